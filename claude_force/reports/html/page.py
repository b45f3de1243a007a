"""Writes the content as one HTML file that loads nothing. Without JavaScript it shows tables instead of charts.

Text from outside passes `for_html`, or `json_in_script` on its way to the script. The content security policy allows
the scripts and the style of this page by their hashes, and no requests. The page is ASCII, so that it is valid in every
encoding.
"""

from __future__ import annotations

from collections.abc import Sequence

from claude_force import __version__
from claude_force.analytics.json_fields import TITLES
from claude_force.clock import to_datetime
from claude_force.ingest.freshness import Freshness
from claude_force.reports.html.charts import charts
from claude_force.reports.html.content import Content, Timeline
from claude_force.reports.html.elements import (
    asset,
    chart_data,
    chart_library,
    hash_source,
    headline,
    json_in_script,
    notes_aside,
    over_time,
    part_section,
)
from claude_force.reports.html.linked import NO_LINKS, PageLinks
from claude_force.reports.html.tables import alerts_part, parts
from claude_force.text import for_html
from claude_force.time_windows import heading_of


def render_page(
    content: Content, notes: Sequence[str], reference_model: str, freshness: Freshness | None = None
) -> str:
    """The page. `notes` are those of `page_notes`; without executions there is nothing else but alerts. `freshness`
    says when the transcripts were read."""
    timeline = content.timeline
    body = [_header(content, freshness), "<main>", *report_body(content, notes, reference_model), "</main>"]
    scripts = [] if timeline is None else [chart_library(), asset("page.js")]
    ends = [_footer(timeline), *(f"<script>{one}</script>" for one in scripts), "</html>", ""]
    text = "\n".join([*_head(content, scripts), *body, *ends])
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def report_body(content: Content, notes: Sequence[str], reference_model: str, links: PageLinks = NO_LINKS) -> list[str]:
    """What the report and the overview of the live page show: figures, notes, charts with their data, and tables."""
    timeline = content.timeline
    if timeline is None:
        return [notes_aside(notes), part_section(alerts_part(content, links))]
    drawn = charts(timeline)
    return [
        headline(content, reference_model),
        notes_aside(notes),
        over_time(timeline, drawn, links),
        *(part_section(part) for part in parts(content, links)),
        f'<script type="application/json" id="data">{json_in_script(chart_data(timeline, drawn))}</script>',
    ]


def _head(content: Content, scripts: Sequence[str]) -> list[str]:
    style = asset("page.css")
    policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {hash_source(style)}"
    if scripts:
        policy += f"; script-src {' '.join(map(hash_source, scripts))}"
    return [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<meta name="generator" content="claude-force {for_html(__version__)}">',
        f"<title>Performance Report ({for_html(heading_of(content.summary.period))})</title>",
        f"<style>{style}</style>",
    ]


def _header(content: Content, freshness: Freshness | None) -> str:
    made = to_datetime(content.now_us, content.zone).strftime("%Y-%m-%d %H:%M")
    filters = "; ".join(f"{TITLES[column]} {', '.join(wanted)}" for column, wanted in content.chosen.names() if wanted)
    lines = [heading_of(content.summary.period), *([f"Only {filters}"] if filters else [])]
    # The instant, not the age: nobody knows when the page is read.
    read = freshness.read_us if freshness else None
    since = f", transcripts read {to_datetime(read, content.zone):%Y-%m-%d %H:%M}" if read is not None else ""
    lines.append(f"Made {made}{since}, time zone {content.zone}")
    paragraphs = "".join(f"<p>{for_html(line)}</p>" for line in lines)
    return f"<header><h1>Performance Report</h1>{paragraphs}</header>"


def _footer(timeline: Timeline | None) -> str:
    charts_by = " Charts by Chart.js (MIT)." if timeline else ""
    return f"<footer><p>Made by claude-force {for_html(__version__)}.{charts_by}</p></footer>"
