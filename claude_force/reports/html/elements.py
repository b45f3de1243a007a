"""The elements of a page: tiles, charts, tables, notes. Text from outside passes `for_html`, or `json_in_script` on its
way to the script. The report is one file of them, the live page puts them into its views.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from claude_force.alerts.decision import State
from claude_force.analytics.baselines.rules import REGRESSED
from claude_force.analytics.json_fields import latencies, savings
from claude_force.executions.record import model_family
from claude_force.formatting import compact, count, duration, money, percent, unit_cost
from claude_force.reports.columns import Column
from claude_force.reports.html.charts import Chart, labels, unit_of
from claude_force.reports.html.content import Content, Timeline
from claude_force.reports.html.linked import NO_LINKS, PageLinks, linked_html
from claude_force.reports.html.tables import Part
from claude_force.text import for_html

_CLASSES = {"name": " class=wide", "text": " class=t"}
_ALARMING = frozenset((REGRESSED, State.FIRING.upper()))
_SOURCE_MAP = "\n//# sourceMappingURL="


def json_in_script(value: Any) -> str:
    """JSON that is safe inside a `script` element: it cannot end the element or start a comment.

    https://html.spec.whatwg.org/multipage/scripting.html#restrictions-for-contents-of-script-elements
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


@cache
def asset(name: str) -> str:
    """The text of a file in the folder `assets`."""
    return (files("claude_force.reports.html") / "assets" / name).read_text(encoding="ascii")


def chart_library() -> str:
    """Chart.js without the line that names its source map."""
    return asset("chart.umd.min.js").partition(_SOURCE_MAP)[0]


def hash_source(text: str) -> str:
    """The hash source of a script or style.

    https://www.w3.org/TR/CSP3/#grammardef-hash-source
    """
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def headline(content: Content, reference_model: str) -> str:
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


def notes_aside(notes: Sequence[str]) -> str:
    """The notes in a box; "" without any. A line that is indented is a command."""
    if not notes:
        return ""
    return f'<aside aria-label="Notes"><ul>{"".join(map(_note, notes))}</ul></aside>'


def _note(line: str) -> str:
    text = for_html(line.strip())
    return f"<li><code>{text}</code></li>" if line.startswith(" ") else f"<li>{text}</li>"


def chart_data(timeline: Timeline, drawn: Sequence[Chart]) -> dict[str, Any]:
    """The charts for page.js."""
    return {"labels": labels(timeline), "charts": [chart.to_dict() for chart in drawn]}


def over_time(timeline: Timeline, drawn: Sequence[Chart], links: PageLinks = NO_LINKS) -> str:
    """The charts, each with its numbers as a table. Each interval leads where `links` says."""
    times = [links.interval(bucket) for bucket in timeline.buckets]
    figures = "\n".join(_figure(timeline, chart, times) for chart in drawn)
    return (
        f'<section aria-labelledby="over-time"><h2 id="over-time">Over Time</h2><div class="charts">\n{figures}\n'
        "</div></section>"
    )


def _figure(timeline: Timeline, chart: Chart, times: Sequence[str]) -> str:
    """A chart, its caption, and its numbers as a table. The script closes the table after it drew the chart."""
    columns = [Column(unit_of(timeline.interval).capitalize(), "text"), *(Column(one.name) for one in chart.series)]
    rows = zip(times, *(one.texts for one in chart.series), strict=True)
    label = f"{chart.title}, {'bars' if chart.kind == 'bar' else 'lines'} over time. {chart.caption}"
    return (
        f'<figure id="{chart.key}"><figcaption><h3>{for_html(chart.title)}</h3><p>{for_html(chart.caption)}</p>'
        f'</figcaption><div class="plot"><canvas role="img" aria-label="{for_html(label)}"></canvas></div>'
        f"<details open><summary>Numbers</summary>{table(chart.title, columns, rows)}</details></figure>"
    )


def part_section(part: Part) -> str:
    """A section with its heading, sentences and tables."""
    remarks = "".join(f"<p>{for_html(line)}</p>" for line in part.remarks)
    tables = "".join(table(title, found.columns, found.rows) for title, found in part.tables)
    return (
        f'<section aria-labelledby="{part.key}"><h2 id="{part.key}">{for_html(part.heading)}</h2>'
        f"{remarks}{tables}</section>"
    )


def _cell(text: str) -> str:
    return f"<strong>{text}</strong>" if text in _ALARMING else linked_html(text)


def table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """A table. If it is too wide it scrolls, by keyboard too. Cells have no end tags, which keeps long tables small."""
    kinds = [_CLASSES.get(column.kind, "") for column in columns]
    titles = (column.title.replace("\n", " ") for column in columns)
    heads = "".join(f"<th scope=col{kind}>{for_html(title)}" for title, kind in zip(titles, kinds, strict=True))
    body = "\n".join(
        f"<tr><th scope=row>{linked_html(row[0])}"
        + "".join(f"<td{kind}>{_cell(cell)}" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        for row in rows
    )
    name = for_html(title)
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table><caption>{name}</caption>'
        f"<thead><tr>{heads}</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
