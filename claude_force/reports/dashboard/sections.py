"""The sections of the dashboard, each a list of lines that fit a width. Names are cut; numbers are not.

Text from outside passes `for_terminal` and is put into rich Text objects, which know no markup.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from rich.text import Text

from claude_force import clock
from claude_force.alerts import wording
from claude_force.analytics.groups import SortKey, sort_groups
from claude_force.analytics.plan_limits import names_of
from claude_force.clock import DAY_US
from claude_force.database.rows.alerts import AlertRow
from claude_force.executions.record import UNKNOWN, ExecutionMetrics, dollars, milliseconds
from claude_force.executions.totals import Group, Totals
from claude_force.formatting import NONE, age, compact, count, duration, money, percent, unit_cost
from claude_force.ingest.freshness import Freshness
from claude_force.reports import freshness
from claude_force.reports.cells import cell_width, cut, shorten_all
from claude_force.reports.cells import wrap as wrap_cells
from claude_force.reports.columns import Column, fit_table
from claude_force.reports.dashboard.snapshot import SPANS, DashboardSnapshot, Period, Span, TimeSeries
from claude_force.reports.layouts.notes import join_names, unpriced_sentence
from claude_force.reports.layouts.plan_limits import cells as limit_cells
from claude_force.reports.render import bar, sparkline
from claude_force.text import for_terminal

TITLES: dict[Span, str] = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days"}

_TITLE_STYLE = "bold underline"
_GAP, _WIDEST_GAP = 2, 10
_BAR_WIDTH, _LIMIT_BAR_WIDTH = 8, 20
_RELEASE_DATE = re.compile(r"-20\d{6}$")
_GOOD_PERCENT, _BAD_PERCENT = 95.0, 90.0
"""A success rate is green from the guide's target on, and red below the second value."""

_BUSY_PERCENT, _FULL_PERCENT = 70.0, 90.0
"""A limit is yellow from the first value on, and red from the second: that of the rule five-hour-limit."""

_STALE_US = 5 * 60 * clock.SECOND_US
"""An alert that was evaluated longer ago may be outdated; the scheduler evaluates every minute."""

_SORT_COLUMN: dict[SortKey, int] = {"executions": 1, "success": 2, "time": 3, "cost": 4, "tokens": 5}
"""The column of agents that each order sorts by. It is never dropped."""

_WIDE = 60
"""From this width on there is room for the word Executions, and for a date in the header."""

_UNREAD_LINES = 2

_COUNT_FROM_ROWS = 4
"""With fewer rows of agents, no row is given up to count the agents that are left out."""


class Measure(NamedTuple):
    """A sparkline: its value for a bucket, and how its largest value is written."""

    title: str
    value_of: Callable[[Totals], float | None]
    format: Callable[[float | None], str]
    style: str = "cyan"


_MEASURES = (
    Measure("Executions", lambda totals: totals.executions, compact),
    Measure("Cost", lambda totals: totals.cost, money),
    Measure("Average", lambda totals: totals.average_ms, duration),
    Measure("Failures", lambda totals: totals.failures, compact, "red"),
)
_LABEL_WIDTH = 11
_LONGEST_DURATION = "8784h00m"


def header(snapshot: DashboardSnapshot, zone: tzinfo, width: int) -> Text:
    """The name of the database, when it last read what is new, and the time of the snapshot."""
    title = "claude-force"
    at = clock.to_datetime(snapshot.at_us, zone).strftime("%Y-%m-%d %H:%M:%S" if width >= _WIDE else "%H:%M:%S")
    if snapshot.freshness.age_s is not None and width >= _WIDE:
        at = f"read {age(snapshot.freshness.age_s)}  {at}"
    name = _cut_start(for_terminal(_shorten_home(snapshot.name)), width - len(title) - len(at) - 4)
    gap = " " * (width - len(title) - len(at) - cell_width(name) - 2)
    return Text.assemble((title, "bold"), "  ", (name, "dim"), gap, at)


def _shorten_home(name: str) -> str:
    home = str(Path.home())
    return f"~{name.removeprefix(home)}" if name.startswith(f"{home}/") else name


def _cut_start(text: str, width: int) -> str:
    """Keep the end: in a path it says more than the start."""
    return cut(text[::-1], width)[::-1]


def period_lines(snapshot: DashboardSnapshot, width: int) -> list[Text]:
    """The totals of the last hour, 24 hours and 7 days. If a percentile is not exact, the title has its error."""
    is_exact = all(period.is_exact for period in snapshot.periods.values())
    columns = [
        Column("Last", "text"), Column("Executions"), Column("Success"), Column("Average", rank=3),
        Column("P95" if is_exact else "P95 ~1%", rank=2), Column("Cost", rank=1), Column("Tokens", rank=4),
    ]  # fmt: skip
    rows = [[TITLES[span], *_period_cells(snapshot.periods[span], snapshot.freshness)] for span in SPANS]
    styles = [{2: _success_style(snapshot.periods[span].totals)} for span in SPANS]
    title, *lines = _table(columns, rows, styles, width, widest_gap=_WIDEST_GAP)
    lines[SPANS.index(snapshot.span)].stylize("bold")
    return [title, *lines]


def _period_cells(period: Period, known: Freshness) -> list[str]:
    totals = period.totals
    if known.is_incomplete and totals.is_empty:
        # Not zeros: what is not read yet may have executions of this period.
        return [NONE] * 6
    return [
        count(totals.executions) if totals.executions < 10**9 else compact(totals.executions),
        percent(totals.success_rate),
        duration(totals.average_ms),
        duration(milliseconds(period.percentiles.p95_us)),
        money(totals.cost),
        compact(totals.total_tokens),
    ]


def _success_style(totals: Totals) -> str:
    rate = totals.success_rate
    if rate is None:
        return "dim"
    return "green" if rate >= _GOOD_PERCENT else "yellow" if rate >= _BAD_PERCENT else "bold red"


def limit_lines(snapshot: DashboardSnapshot, zone: tzinfo, width: int, limit: int) -> list[Text]:
    """The current limits of Claude plans, in at most `limit` lines with the title; none if nothing is known of any."""
    visible = snapshot.plan_limits[: max(limit - 1, 0)]
    if not visible:
        return []
    columns = [
        Column("Plan limit", "name", least=len("5 hours")), Column("Used"), Column("", "text", rank=2),
        Column("Reset", "text"), Column("Runs out", "text", rank=1),
    ]  # fmt: skip
    names = names_of(snapshot.plan_limits)
    rows = [
        [name, *limit_cells(state, zone, snapshot.at_us, _LIMIT_BAR_WIDTH)]
        for name, state in zip(names, visible, strict=False)
    ]
    styles = [dict.fromkeys((1, 2), _limit_style(state.limit.used_percent)) for state in visible]
    return _table(columns, rows, styles, width, widest_gap=_WIDEST_GAP)


def _limit_style(used_percent: float) -> str:
    return "bold red" if used_percent >= _FULL_PERCENT else "yellow" if used_percent >= _BUSY_PERCENT else "green"


def unread_lines(snapshot: DashboardSnapshot, width: int) -> list[Text]:
    """That something is not read yet, if so."""
    lines = freshness.unread_lines(snapshot.freshness)[:_UNREAD_LINES]
    return [Text(part, "yellow") for line in lines for part in wrap_cells(for_terminal(line), width, hang=2)]


def unpriced_lines(snapshot: DashboardSnapshot, width: int) -> list[Text]:
    """The executions that the costs do not include, if there are any."""
    unpriced = snapshot.periods[snapshot.span].totals.unpriced
    if not unpriced:
        return []
    line = f"{unpriced_sentence(unpriced)}: {join_names(snapshot.unpriced_models, width // 2)}"
    return [Text(line, "dim") for line in wrap_cells(line, width, hang=2)]


def alert_lines(snapshot: DashboardSnapshot, zone: tzinfo, width: int, limit: int) -> list[Text]:
    """The firing alerts, the newest first, in at most `limit` lines."""
    firing = sorted(snapshot.firing, key=lambda alert: (-alert.since_us, alert.rule, alert.labels))
    if not firing:
        return [Text(cut("No alert is firing", width), "dim")]
    visible = firing if len(firing) <= limit else firing[: limit - 1]
    lines = _lines_of_alerts(visible, snapshot.at_us, zone, width)
    if len(visible) < len(firing):
        hidden = f"{len(firing) - len(visible)} more firing" if visible else f"{len(firing)} alerts firing"
        lines.append(Text(cut(f"{hidden}: claude-force alerts list", width), "bold red"))
    return lines


def _lines_of_alerts(alerts: Sequence[AlertRow], now_us: int, zone: tzinfo, width: int) -> list[Text]:
    """The alerts. If there is little room, the reason is cut first, then the middle of the name."""
    room = width - len("FIRING ")
    names = [for_terminal(wording.name(alert.rule, alert.labels)) for alert in alerts]
    states = [_state_of_alert(alert, now_us, zone) for alert in alerts]
    least = max(room - max((cell_width(since) for since, _ in states), default=0), room // 3)
    short = shorten_all(names, least)
    return [
        Text.assemble(
            ("FIRING", "bold red"), " ", (short[name], "bold"), cut(since + why, room - cell_width(short[name]))
        )
        for name, (since, why) in zip(names, states, strict=True)
    ]


def _state_of_alert(alert: AlertRow, now_us: int, zone: tzinfo) -> tuple[str, str]:
    """Since when an alert fires, and why; or how old its state is."""
    since, why = f"since {_time(alert.since_us, now_us, zone)}", f": {wording.kept_reason(alert.reason)}"
    if now_us - alert.evaluated_us > _STALE_US:
        since, why = f"not evaluated since {_time(alert.evaluated_us, now_us, zone)}", ""
    return for_terminal(f"  {alert.severity}, {since}"), for_terminal(why)


def sparkline_lines(snapshot: DashboardSnapshot, width: int, limit: int) -> list[Text]:
    """A title and at most `limit` sparklines, each with the largest value of a bucket."""
    totals = snapshot.periods[snapshot.span].totals
    widest = max(map(cell_width, (compact(totals.executions), money(totals.cost), _LONGEST_DURATION)))
    room = width - _LABEL_WIDTH - 1 - widest
    merged, buckets = _merge_buckets(snapshot.time_series, room)
    unit = clock.span_name(merged * snapshot.time_series.step_us).removeprefix("1 ")
    heading = f"Last {TITLES[snapshot.span]}, by {unit}"
    return [
        Text(heading + "most".rjust(width - len(heading)), _TITLE_STYLE),
        *(_sparkline_line(measure, buckets, max(room // len(buckets), 1), width) for measure in _MEASURES[:limit]),
    ]


def _sparkline_line(measure: Measure, buckets: Sequence[Totals], cells: int, width: int) -> Text:
    values = [measure.value_of(totals) for totals in buckets]
    line = "".join(level * cells for level in sparkline(values))
    largest = measure.format(max((value for value in values if value is not None), default=None))
    room = width - _LABEL_WIDTH - cell_width(line)
    return Text.assemble(measure.title.ljust(_LABEL_WIDTH), (line, measure.style), largest.rjust(room))


def _merge_buckets(series: TimeSeries, cells: int) -> tuple[int, list[Totals]]:
    """Merge so many neighbouring buckets that each result has a cell. Returns that number and the merged buckets."""
    size = len(series.buckets)
    step = next(step for step in range(1, size + 1) if size % step == 0 and size // step <= max(cells, 1))
    return step, [sum(series.buckets[start : start + step], Totals()) for start in range(0, size, step)]


def agent_lines(snapshot: DashboardSnapshot, sort_by: SortKey, zone: tzinfo, width: int, limit: int) -> list[Text]:
    """The first agents of an order, in `limit` lines with the title.

    The last line counts the agents that are left out. Without agents, a sentence says what the store has.
    """
    groups = sort_groups(snapshot.agents, sort_by)
    rows = limit - 1
    visible = groups[: rows - 1] if len(groups) > rows >= _COUNT_FROM_ROWS else groups[:rows]
    styles = [{2: _success_style(group.totals)} for group in visible]
    lines = _table(_agent_columns(sort_by, width), [_agent_cells(group) for group in visible], styles, width)
    if not groups:
        return [*lines, *(Text(line, "dim") for line in wrap(_explain_empty(snapshot, zone), width)[:rows])]
    hidden = len(groups) - len(visible)
    return lines + ([Text(f"and {hidden:,} more", "dim")] if len(lines) < limit and hidden else [])


def _agent_columns(sort_by: SortKey, width: int) -> list[Column]:
    executions = _executions_title(width)
    title = f"Agents by {executions.lower() if sort_by == 'executions' else sort_by}"
    columns = [
        Column(title, "name", least=max(len(title), min(width // 3, 16))), Column(executions),
        Column("Success", rank=2), Column("Average", rank=4), Column("Cost", rank=1), Column("Tokens", rank=3),
    ]  # fmt: skip
    columns[_SORT_COLUMN[sort_by]] = columns[_SORT_COLUMN[sort_by]]._replace(rank=0)
    return columns


def _executions_title(width: int) -> str:
    return "Executions" if width >= _WIDE else "Exec."


def _explain_empty(snapshot: DashboardSnapshot, zone: tzinfo) -> str:
    text = f"None in the last {TITLES[snapshot.span]}"
    if snapshot.stored_range is None:
        return text
    instants = (snapshot.stored_range.first_us, snapshot.stored_range.last_us)
    first, last = (clock.to_datetime(at, zone).date() for at in instants)
    return f"{text}; stored: {first} to {last}"


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


def model_lines(snapshot: DashboardSnapshot, width: int, limit: int) -> list[Text]:
    """The models by their share of the executions, the largest first, in `limit` lines with the title."""
    # One title over two columns: "Share of executions". Without it, the share would look like that of the cost.
    columns = [
        Column("Models", "name", least=18), Column("Share"),
        Column(f"of {_executions_title(width).lower()}", "text", rank=1), Column("Cost", rank=2),
    ]  # fmt: skip
    groups = sort_groups(snapshot.models, "executions")
    executions = sum(group.totals.executions for group in groups)
    labels = _model_labels(group.name or UNKNOWN for group in groups)
    rows = [_model_cells(group, labels, executions, groups[0]) for group in groups[: limit - 1]]
    return _table(columns, rows, [{2: "cyan"}] * len(rows), width)


def _model_cells(group: Group, labels: Mapping[str, str], all_executions: int, largest: Group) -> list[str]:
    executions = group.totals.executions
    drawn = bar(executions, largest.totals.executions, _BAR_WIDTH)
    return [labels[group.name or UNKNOWN], percent(100 * executions / all_executions, 0), drawn,
            money(group.totals.cost)]  # fmt: skip


def _model_labels(names: Iterable[str]) -> dict[str, str]:
    """Model names without their release date, unless two releases would have the same label."""
    short = {name: _RELEASE_DATE.sub("", name) for name in names}
    uses = Counter(short.values())
    return {name: label if uses[label] == 1 else name for name, label in short.items()}


def recent_lines(snapshot: DashboardSnapshot, zone: tzinfo, width: int, limit: int) -> list[Text]:
    """The last executions, the newest first, in `limit` lines with the title."""
    columns = [
        Column("Ended", "text"), Column("Agent", "name", least=10), Column("Model", "name", least=14, rank=3),
        Column("Time"), Column("Cost", rank=2), Column("Tokens", rank=4), Column("Result", "name", least=6, rank=1),
    ]  # fmt: skip
    visible = snapshot.recent[: limit - 1]
    labels = _model_labels(execution.model for execution in visible)
    rows = [_recent_cells(execution, labels, snapshot.at_us, zone) for execution in visible]
    styles = [{6: "green" if execution.success else "bold red"} for execution in visible]
    return _table(columns, rows, styles, width)


def _recent_cells(execution: ExecutionMetrics, labels: Mapping[str, str], now_us: int, zone: tzinfo) -> list[str]:
    return [
        _time(execution.timestamp_us, now_us, zone),
        execution.agent_name,
        labels[execution.model],
        duration(milliseconds(execution.duration_us)),
        unit_cost(dollars(execution.cost_nanousd)),
        compact(execution.total_tokens),
        "ok" if execution.success else execution.error_type or "failed",
    ]


def _time(instant_us: int, now_us: int, zone: tzinfo) -> str:
    """The time of day with seconds if it was today or less than 12 hours ago; otherwise the date, with the minute, or
    with the year if that is another one."""
    at, now = clock.to_datetime(instant_us, zone), clock.to_datetime(now_us, zone)
    is_near = at.date() == now.date() or 0 <= now_us - instant_us < DAY_US // 2
    return at.strftime("%H:%M:%S" if is_near else "%m-%d %H:%M" if at.year == now.year else "%Y-%m-%d")


def _table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    styles: Sequence[Mapping[int, str]],
    width: int,
    *,
    widest_gap: int = _GAP,
) -> list[Text]:
    """A title line and the rows. `styles` has the styles of each row by the index of the column.

    Columns are spread over the width with gaps of up to `widest_gap`.
    """
    fitted = fit_table(columns, rows, width, _GAP)
    title = fitted.titles[0]
    gap = min(_GAP + max(width - fitted.width, 0) // max(len(title) - 1, 1), widest_gap)
    separator = Text(" " * gap)
    lines = [
        separator.join(Text(text, style.get(index, "")) for index, text in row.items())
        for row, style in zip(fitted.rows, styles, strict=True)
    ]
    return [Text((" " * gap).join(title.values()).ljust(width), _TITLE_STYLE), *lines]
