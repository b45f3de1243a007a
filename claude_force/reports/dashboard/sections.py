"""The parts of a dashboard, each as lines that are no wider than asked for: names are cut, numbers never.

What comes from outside is made inert and put into Text objects, in which nothing is markup.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from rich.text import Text

from claude_force import clock
from claude_force.alerts import wording
from claude_force.analytics.reports import SortKey, sort_groups
from claude_force.clock import DAY_US
from claude_force.database.rows.alerts import AlertRow
from claude_force.executions.record import UNKNOWN, ExecutionMetrics, dollars, milliseconds
from claude_force.executions.totals import Group, Totals
from claude_force.formatting import compact, count, duration, money, percent, quantity, unit_cost
from claude_force.reports.dashboard.columns import GAP, Cells, Column, join, lay_out
from claude_force.reports.dashboard.snapshot import SPANS, Course, Figures, Period, Span
from claude_force.reports.render import bar, cell_width, cut, sparkline
from claude_force.text import for_terminal

TITLES: dict[Span, str] = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days"}

_TITLE_STYLE = "bold underline"
_BAR_CELLS = 8
_MOST_SPREAD = 8
_RELEASED = re.compile(r"-20\d{6}$")
_GOOD_PERCENT, _BAD_PERCENT = 95.0, 90.0
"""The guide's target of the success rate; below the other it is shown in red."""

_EVALUATED_US = 5 * 60 * clock.SECOND_US
"""An alert that was evaluated longer ago than this may not be true any more; the scheduler does it every minute."""

_SORTED: dict[SortKey, int] = {"executions": 1, "success": 2, "time": 3, "cost": 4, "tokens": 5}
"""The column of agents that an order goes by, which is never left out."""

_ROOMY_WIDTH = 60
"""From so many cells on, agents and models have room for the whole word for executions."""

_LEAST_ROWS = 4
"""Of fewer rows of agents none is given up to say how many more there are."""


class Measure(NamedTuple):
    """What is drawn over time, and how its figure is written."""

    title: str
    value_of: Callable[[Totals], float | None]
    show: Callable[[float | None], str]
    style: str = "cyan"


_MEASURES = (
    Measure("Executions", lambda totals: totals.executions, compact),
    Measure("Cost", lambda totals: totals.cost, money),
    Measure("Average", lambda totals: totals.average_ms, duration),
    Measure("Failures", lambda totals: totals.failures, compact, "red"),
)
_LABEL_CELLS = 11
_LONGEST_DURATION = "8784h00m"


def header(figures: Figures, zone: tzinfo, width: int) -> Text:
    """What this is, of which database, and when it was read."""
    title = "claude-force"
    at = clock.to_datetime(figures.at_us, zone)
    moment = at.strftime("%Y-%m-%d %H:%M:%S" if width >= 60 else "%H:%M:%S")
    room = width - len(title) - len(moment) - 4
    name = _tail(for_terminal(_homely(figures.name)), room)
    gap = " " * (width - len(title) - len(moment) - cell_width(name) - 2)
    return Text.assemble((title, "bold"), "  ", (name, "dim"), gap, moment)


def _homely(name: str) -> str:
    home = str(Path.home())
    return f"~{name.removeprefix(home)}" if name.startswith(f"{home}/") else name


def _tail(text: str, width: int) -> str:
    """The end of a path says more than its beginning."""
    return cut(text[::-1], width)[::-1]


def key_figures(figures: Figures, width: int) -> list[Text]:
    """The last hour, 24 hours and 7 days under each other. Where a percentile is not exact, it is said how near it
    is."""
    is_exact = all(period.is_exact for period in figures.periods.values())
    columns = [
        Column("Last", "text"), Column("Executions"), Column("Success"), Column("Average", rank=3),
        Column("P95" if is_exact else "P95 ~1%", rank=2), Column("Cost", rank=1), Column("Tokens", rank=4),
    ]  # fmt: skip
    lines = lay_out(columns, [[TITLES[span], *_key_cells(figures.periods[span])] for span in SPANS], width)
    spread = _spread(lines, width)
    drawn = [
        _line(cells, {2: _success_style(figures.periods[span].totals)})
        for span, cells in zip(SPANS, spread[1:], strict=True)
    ]
    drawn[SPANS.index(figures.span)].stylize("bold")
    return [_titles(spread[0], width), *drawn]


def _key_cells(period: Period) -> list[str]:
    totals = period.totals
    return [
        count(totals.executions) if totals.executions < 10**9 else compact(totals.executions),
        percent(totals.success_rate),
        duration(totals.average_ms),
        duration(milliseconds(period.percentiles.p95_us)),
        money(totals.cost),
        compact(totals.total_tokens),
    ]


def _spread(lines: Sequence[Cells], width: int) -> list[Cells]:
    """The columns of figures spread over the width, evenly, as far as they still read as a line."""
    places = list(lines[0].texts)
    extra = max(width - cell_width(join(lines[0])), 0)
    more = min(extra // max(len(places) - 1, 1), _MOST_SPREAD)
    return [
        Cells({place: text if place == places[0] else " " * more + text for place, text in cells.texts.items()})
        for cells in lines
    ]


def _success_style(totals: Totals) -> str:
    rate = totals.success_rate
    if rate is None:
        return "dim"
    return "green" if rate >= _GOOD_PERCENT else "yellow" if rate >= _BAD_PERCENT else "bold red"


def unpriced_lines(figures: Figures, width: int) -> list[Text]:
    """What the costs leave out; no line where that is nothing."""
    unpriced = figures.periods[figures.span].totals.unpriced
    if not unpriced:
        return []
    said = f"{quantity(unpriced, 'execution')} without a known price: {', '.join(figures.unpriced_models)}"
    return [Text(cut(for_terminal(said), width), "dim")]


def alert_lines(figures: Figures, zone: tzinfo, width: int, most: int) -> list[Text]:
    """What fires, the newest first, in no more than `most` lines."""
    firing = sorted(figures.firing, key=lambda alert: (-alert.since_us, alert.rule, alert.labels))
    if not firing:
        return [Text(cut("No alert fires", width), "dim")]
    shown = firing if len(firing) <= most else firing[: most - 1]
    lines = [_alert_line(alert, figures.at_us, zone, width) for alert in shown]
    if len(shown) < len(firing):
        what = f"{len(firing) - len(shown)} more fire" if shown else f"{len(firing)} alerts fire"
        lines.append(Text(cut(f"{what}: claude-force alerts list", width), "bold red"))
    return lines


def _alert_line(alert: AlertRow, now_us: int, zone: tzinfo, width: int) -> Text:
    """Where there is little room, why it fires is cut first."""
    since, why = f"since {_when(alert.since_us, now_us, zone)}", f": {wording.kept_reason(alert.reason)}"
    if now_us - alert.evaluated_us > _EVALUATED_US:
        since, why = f"not evaluated since {_when(alert.evaluated_us, now_us, zone)}", ""
    room = width - len("FIRING ")
    rest = for_terminal(f"  {alert.severity}, {since}")
    name = for_terminal(wording.name(alert.rule, alert.labels))
    name = cut(name, max(room - cell_width(rest), room // 3))
    rest = cut(rest + for_terminal(why), room - cell_width(name))
    return Text.assemble(("FIRING", "bold red"), " ", (name, "bold"), rest)


def course_lines(figures: Figures, width: int, most: int) -> list[Text]:
    """How it went over time: a title and at most `most` sparklines, each with the most that a stretch came to."""
    whole = figures.periods[figures.span].totals
    figure_cells = 1 + max(map(cell_width, (compact(whole.executions), money(whole.cost), _LONGEST_DURATION)))
    cells = width - _LABEL_CELLS - figure_cells
    step, slots = _fit(figures.course, cells)
    unit = clock.span_name(step * figures.course.step_us).removeprefix("1 ")
    heading = f"Last {TITLES[figures.span]}, by {unit}"
    return [
        Text(heading + "most".rjust(width - len(heading)), _TITLE_STYLE),
        *(_course_line(measure, slots, max(cells // len(slots), 1), width) for measure in _MEASURES[:most]),
    ]


def _course_line(measure: Measure, slots: Sequence[Totals], cells: int, width: int) -> Text:
    values = [measure.value_of(totals) for totals in slots]
    drawn = "".join(mark * cells for mark in sparkline(values))
    largest = measure.show(max((value for value in values if value is not None), default=None))
    room = width - _LABEL_CELLS - cell_width(drawn)
    return Text.assemble(measure.title.ljust(_LABEL_CELLS), (drawn, measure.style), largest.rjust(room))


def _fit(course: Course, cells: int) -> tuple[int, list[Totals]]:
    """So many stretches as one that all have a cell, and their sums; the last one ends with the course."""
    size = len(course.slots)
    step = next(step for step in range(1, size + 1) if size % step == 0 and size // step <= max(cells, 1))
    return step, [sum(course.slots[start : start + step], Totals()) for start in range(0, size, step)]


def agent_lines(figures: Figures, sort_by: SortKey, zone: tzinfo, width: int, most: int) -> list[Text]:
    """The first agents of the order asked for, in `most` lines with the title; the last may say how many more there
    are. Where there are none, what the store has instead."""
    groups = sort_groups(figures.agents, sort_by)
    rows = most - 1
    shown = groups[: rows - 1] if len(groups) > rows >= _LEAST_ROWS else groups[:rows]
    lines = lay_out(_agent_columns(sort_by, width), [_agent_cells(group) for group in shown], width)
    if not groups:
        said = wrap(_none(figures, zone), width)[: most - 1]
        return [_titles(lines[0], width), *(Text(line, "dim") for line in said)]
    styles = [{2: _success_style(group.totals)} for group in shown]
    drawn = [_titles(lines[0], width), *map(_line, lines[1:], styles)]
    left_out = len(groups) - len(shown)
    return drawn + ([Text(f"and {left_out:,} more", "dim")] if len(drawn) < most and left_out else [])


def _agent_columns(sort_by: SortKey, width: int) -> list[Column]:
    executions = _executions(width)
    title = f"Agents by {executions.lower() if sort_by == 'executions' else sort_by}"
    columns = [
        Column(title, "name", least=max(len(title), min(width // 3, 16))), Column(executions),
        Column("Success", rank=2), Column("Average", rank=4), Column("Cost", rank=1), Column("Tokens", rank=3),
    ]  # fmt: skip
    columns[_SORTED[sort_by]] = columns[_SORTED[sort_by]]._replace(rank=0)
    return columns


def _executions(width: int) -> str:
    return "Executions" if width >= _ROOMY_WIDTH else "Runs"


def _none(figures: Figures, zone: tzinfo) -> str:
    said = f"None in the last {TITLES[figures.span]}"
    if figures.reach is None:
        return said
    first, last = (clock.to_datetime(at, zone).date() for at in (figures.reach.first_us, figures.reach.last_us))
    return f"{said}; the store has some from {first} to {last}"


def _agent_cells(group: Group) -> list[str]:
    totals = group.totals
    return [
        group.name or UNKNOWN,
        compact(totals.executions),
        percent(totals.success_rate),
        duration(totals.average_ms),
        money(totals.cost),
        compact(totals.total_tokens),
    ]


def model_lines(figures: Figures, width: int, most: int) -> list[Text]:
    """The share of each model in the executions, the largest first, in `most` lines with the title."""
    # The title of the bars goes on from that of the share, which would look like one of the cost beside it.
    columns = [
        Column("Models", "name", least=18), Column("Share"), Column(f"of {_executions(width).lower()}", "text", rank=1),
        Column("Cost", rank=2),
    ]  # fmt: skip
    groups = sort_groups(figures.models, "executions")
    whole = sum(group.totals.executions for group in groups)
    labels = _model_labels(group.name or UNKNOWN for group in groups)
    rows = [_model_cells(group, labels, whole, groups[0]) for group in groups[: most - 1]]
    lines = lay_out(columns, rows, width)
    return [_titles(lines[0], width), *(_line(cells, {2: "cyan"}) for cells in lines[1:])]


def _model_cells(group: Group, labels: Mapping[str, str], whole: int, largest: Group) -> list[str]:
    executions = group.totals.executions
    drawn = bar(executions, largest.totals.executions, _BAR_CELLS)
    return [labels[group.name or UNKNOWN], percent(100 * executions / whole, 0), drawn, money(group.totals.cost)]


def _model_labels(names: Iterable[str]) -> dict[str, str]:
    """Models without the date of their release, unless two would be called the same."""
    short = {name: _RELEASED.sub("", name) for name in names}
    seen = Counter(short.values())
    return {name: label if seen[label] == 1 else name for name, label in short.items()}


def recent_lines(figures: Figures, zone: tzinfo, width: int, most: int) -> list[Text]:
    """The last executions, the newest first, in `most` lines with the title."""
    columns = [
        Column("Ended", "text"), Column("Agent", "name"), Column("Model", "name", rank=3, least=14), Column("Time"),
        Column("Cost", rank=2), Column("Tokens", rank=4), Column("Result", "name", rank=1, least=6),
    ]  # fmt: skip
    shown = figures.recent[: most - 1]
    labels = _model_labels(execution.model for execution in shown)
    lines = lay_out(columns, [_recent_cells(execution, labels, figures.at_us, zone) for execution in shown], width)
    styles = [{6: "green" if execution.success else "bold red"} for execution in shown]
    return [_titles(lines[0], width), *map(_line, lines[1:], styles)]


def _recent_cells(execution: ExecutionMetrics, labels: Mapping[str, str], now_us: int, zone: tzinfo) -> list[str]:
    return [
        _when(execution.timestamp_us, now_us, zone),
        execution.agent_name,
        labels[execution.model],
        duration(milliseconds(execution.duration_us)),
        unit_cost(dollars(execution.cost_nanousd)),
        compact(execution.total_tokens),
        "ok" if execution.success else execution.error_type or "failed",
    ]


def _when(instant_us: int, now_us: int, zone: tzinfo) -> str:
    """A time of today to the second; another day with its date, to the minute."""
    at, now = clock.to_datetime(instant_us, zone), clock.to_datetime(now_us, zone)
    return at.strftime("%H:%M:%S" if _is_near(at, now, instant_us, now_us) else "%m-%d %H:%M")


def _is_near(at: datetime, now: datetime, instant_us: int, now_us: int) -> bool:
    return at.date() == now.date() or 0 <= now_us - instant_us < DAY_US // 2


def _titles(cells: Cells, width: int) -> Text:
    return Text(join(cells).ljust(width), _TITLE_STYLE)


def _line(cells: Cells, styles: Mapping[int, str]) -> Text:
    line = Text()
    for number, (place, text) in enumerate(cells.texts.items()):
        line.append(GAP * bool(number)).append(text, styles.get(place, ""))
    return line
