"""Writes the content as one HTML file that loads nothing. Without JavaScript it shows tables instead of charts.

Text from outside passes `for_html`, or `_json` on its way to the script. The content security policy allows the scripts
and the style of this page by their hashes, and no requests. The page is ASCII, so that it is valid in every encoding.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

from claude_force import __version__
from claude_force.alerts.decision import State
from claude_force.analytics.baselines.rules import REGRESSED
from claude_force.analytics.json_fields import TITLES, latencies, savings
from claude_force.clock import to_datetime
from claude_force.executions.record import model_family
from claude_force.formatting import compact, count, duration, money, percent, unit_cost
from claude_force.ingest.freshness import Freshness
from claude_force.reports.columns import Column
from claude_force.reports.html.charts import Chart, charts, labels, unit_of
from claude_force.reports.html.content import Content, Timeline
from claude_force.reports.html.tables import Part, alerts_part, parts
from claude_force.text import for_html
from claude_force.time_windows import heading_of

_CLASSES = {"name": " class=wide", "text": " class=t"}
_ALARMING = frozenset((REGRESSED, State.FIRING.upper()))
_SOURCE_MAP = "\n//# sourceMappingURL="


def render_page(
    content: Content, notes: Sequence[str], reference_model: str, freshness: Freshness | None = None
) -> str:
    """The page. `notes` are those of `page_notes`; without executions there is nothing else but alerts. `freshness`
    says when the transcripts were read."""
    timeline = content.timeline
    body = [_header(content, freshness), "<main>"]
    if timeline is None:
        body += [_notes(notes), _part(alerts_part(content))]
    else:
        drawn = charts(timeline)
        body += [_headline(content, reference_model), _notes(notes), _over_time(timeline, drawn)]
        body += [_part(part) for part in parts(content)]
        body.append(f'<script type="application/json" id="data">{_json(_data(timeline, drawn))}</script>')
    body += ["</main>", _footer(timeline)]
    scripts = [] if timeline is None else [_chart_library(), _asset("page.js")]
    text = "\n".join([*_head(content, scripts), *body, *(f"<script>{one}</script>" for one in scripts), "</html>", ""])
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _json(value: Any) -> str:
    """JSON that is safe inside a `script` element: it cannot end the element or start a comment.

    https://html.spec.whatwg.org/multipage/scripting.html#restrictions-for-contents-of-script-elements
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _asset(name: str) -> str:
    return (files("claude_force.reports.html") / "assets" / name).read_text(encoding="ascii")


def _chart_library() -> str:
    """Chart.js without the line that names its source map."""
    return _asset("chart.umd.min.js").partition(_SOURCE_MAP)[0]


def _head(content: Content, scripts: Sequence[str]) -> list[str]:
    style = _asset("page.css")
    policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {_hash(style)}"
    if scripts:
        policy += f"; script-src {' '.join(map(_hash, scripts))}"
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


def _hash(text: str) -> str:
    """The hash source of a script or style.

    https://www.w3.org/TR/CSP3/#grammardef-hash-source
    """
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


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


def _headline(content: Content, reference_model: str) -> str:
    """The values of `analytics summary`. The id of each is its key in the JSON of that report."""
    summary, totals = content.summary, content.summary.totals
    ranked = {**latencies(summary.percentiles)}
    within = "" if summary.is_exact else "within 1%"
    saved = savings(totals)
    family = model_family(reference_model)
    reference = f"{family[:1].upper()}{family[1:]}"
    tiles = [
        _tile("Executions", "total_executions", totals.executions, count(totals.executions),
              f"{count(totals.failures)} failed"),
        _tile("Success rate", "success_rate", totals.success_rate, percent(totals.success_rate),
              f"{count(totals.successes)} of {count(totals.executions)}"),
        _tile("Total cost", "total_cost", totals.cost, money(totals.cost), ""),
        _tile("Cost per execution", "avg_cost_per_execution", totals.average_cost, unit_cost(totals.average_cost), ""),
        _tile(f"Saved (vs {reference} only)", "cost_savings", saved["percent"], percent(saved["percent"]),
              money(saved["amount"])),
        _tile("Average time", "avg_execution_time_ms", totals.average_ms, duration(totals.average_ms), ""),
        *(_tile(f"{key[:3].upper()} latency", key, value, duration(value), within) for key, value in ranked.items()),
        _tile("Tokens", "total_tokens", totals.total_tokens, compact(totals.total_tokens), _tokens(content)),
    ]  # fmt: skip
    return (
        '<section aria-labelledby="figures"><h2 id="figures">Figures</h2>'
        f'<dl class="tiles">{"".join(tiles)}</dl></section>'
    )


def _tokens(content: Content) -> str:
    totals = content.summary.totals
    if totals.total_tokens is None:
        return ""
    return f"{compact(totals.average_input_tokens)} in, {compact(totals.average_output_tokens)} out per execution"


def _tile(title: str, key: str, value: float | None, text: str, more: str) -> str:
    data = text if value is None else f'<data id="{key}" value="{value}">{for_html(text)}</data>'
    return f"<div><dt>{for_html(title)}</dt><dd>{data}<small>{for_html(more)}</small></dd></div>"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<aside aria-label="Notes"><ul>{"".join(map(_note, notes))}</ul></aside>'


def _note(line: str) -> str:
    """A note. A line that is indented is a command."""
    text = for_html(line.strip())
    return f"<li><code>{text}</code></li>" if line.startswith(" ") else f"<li>{text}</li>"


def _data(timeline: Timeline, drawn: Sequence[Chart]) -> dict[str, Any]:
    return {"labels": labels(timeline), "charts": [chart.to_dict() for chart in drawn]}


def _over_time(timeline: Timeline, drawn: Sequence[Chart]) -> str:
    figures = "\n".join(_figure(timeline, chart) for chart in drawn)
    return (
        f'<section aria-labelledby="over-time"><h2 id="over-time">Over Time</h2><div class="charts">\n{figures}\n'
        "</div></section>"
    )


def _figure(timeline: Timeline, chart: Chart) -> str:
    """A chart, its caption, and its numbers as a table. The script closes the table after it drew the chart."""
    columns = [Column(unit_of(timeline.interval).capitalize(), "text"), *(Column(one.name) for one in chart.series)]
    times = [bucket.label for bucket in timeline.buckets]
    rows = zip(times, *(one.texts for one in chart.series), strict=True)
    label = f"{chart.title}, {'bars' if chart.kind == 'bar' else 'lines'} over time. {chart.caption}"
    return (
        f'<figure id="{chart.key}"><figcaption><h3>{for_html(chart.title)}</h3><p>{for_html(chart.caption)}</p>'
        f'</figcaption><div class="plot"><canvas role="img" aria-label="{for_html(label)}"></canvas></div>'
        f"<details open><summary>Numbers</summary>{_table(chart.title, columns, rows)}</details></figure>"
    )


def _part(part: Part) -> str:
    remarks = "".join(f"<p>{for_html(line)}</p>" for line in part.remarks)
    tables = "".join(_table(title, table.columns, table.rows) for title, table in part.tables)
    return (
        f'<section aria-labelledby="{part.key}"><h2 id="{part.key}">{for_html(part.heading)}</h2>'
        f"{remarks}{tables}</section>"
    )


def _cell(text: str) -> str:
    return f"<strong>{text}</strong>" if text in _ALARMING else for_html(text)


def _table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """A table. If it is too wide it scrolls, by keyboard too. Cells have no end tags, which keeps long tables small."""
    kinds = [_CLASSES.get(column.kind, "") for column in columns]
    heads = "".join(
        f"<th scope=col{kind}>{for_html(column.title)}" for column, kind in zip(columns, kinds, strict=True)
    )
    body = "\n".join(
        f"<tr><th scope=row>{for_html(row[0])}"
        + "".join(f"<td{kind}>{_cell(cell)}" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        for row in rows
    )
    name = for_html(title)
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table><caption>{name}</caption>'
        f"<thead><tr>{heads}</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
