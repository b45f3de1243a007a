"""Layouts of the `analytics` reports. Their content and order follow the user's guide."""

from __future__ import annotations

from functools import partial

from claude_force import clock
from claude_force.analytics.json_fields import TITLES, bucket_dict, cost_dict
from claude_force.analytics.labels import project_labels, workflow_labels
from claude_force.analytics.names import NAME_USER
from claude_force.analytics.report_types import Breakdown, Costs, Errors, Summary, Trends
from claude_force.analytics.trend import LEAST_POINTS, Trend
from claude_force.executions.intervals import NOUNS, Interval
from claude_force.executions.record import CLAUDE_CODE, NANOUSD, UNKNOWN, model_family
from claude_force.executions.totals import Bucket, ErrorGroup, Group, Totals
from claude_force.formatting import NONE, count, duration, milliseconds, money, percent, quantity, unit_cost
from claude_force.reports.cells import cell_width
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.notes import backfill_notes, cut_note, notes, too_low_notes
from claude_force.reports.layouts.what_if import cheaper_section
from claude_force.reports.render import Page, Section, Table, bar
from claude_force.text import for_terminal
from claude_force.time_windows import heading_of

TOP_AGENTS = 5
_ALIGNED_WIDTH = 33
"""The figures behind names that are not longer are aligned."""

_MODEL_WIDTH = len("claude-sonnet-4-5-20250929")
_SESSION_WIDTH = len("2026-11-24 15:38 1b2c3d4e folder")

_INTERVAL_TITLES: dict[Interval, str] = {"hourly": "Hour", "daily": "Date", "weekly": "Week of", "monthly": "Month"}


def summary_layout(report: Summary, reference_model: str) -> Layout:
    """The summary. Its CSV is one row without the nested keys."""
    flat = {key: value for key, value in report.to_dict().items() if not isinstance(value, (dict, list))}
    return Layout(partial(_summary_page, report, reference_model), lambda: [flat], report.totals.is_empty)


def _summary_page(report: Summary, reference_model: str) -> Page:
    totals = report.totals
    found = report.percentiles
    latencies = (("P50", found.p50_us), ("P95", found.p95_us), ("P99", found.p99_us))
    figures = [
        f"Total Executions: {count(totals.executions)}",
        f"Success Rate: {percent(totals.success_rate)} ({count(totals.successes)} / {count(totals.executions)})",
        f"Average Execution Time: {milliseconds(totals.average_ms)}",
        f"Latency: {', '.join(f'{name} {_latency(value)}' for name, value in latencies)}{_within(report.is_exact)}",
        f"Total Cost: {_total_cost(totals)}",
    ]
    tokens = [
        f"Total Tokens: {count(totals.total_tokens)}",
        f"Average Input: {_tokens(totals.average_input_tokens)}",
        f"Average Output: {_tokens(totals.average_output_tokens)}",
    ]
    page = Page(f"Performance Summary ({heading_of(report.period)})", [Section(None, figures)])
    page.parts.append(Section("Token Usage", tokens + _cache_lines(totals)))
    page.parts.append(Section("Top Agents by Usage", _top_agents(report)))
    page.parts.append(Section("Model Distribution", _model_lines(report)))
    page.parts.append(Section(None, [_savings_line(totals, reference_model)]))
    page.parts.extend(notes(totals, report.unpriced_models))
    page.parts.extend(too_low_notes(report.too_low))
    page.parts.extend(backfill_notes(report.backfill))
    return page


def _within(is_exact: bool) -> str:
    return "" if is_exact else " (within 1%)"


def _latency(duration_us: int | None) -> str:
    return duration(None if duration_us is None else duration_us / 1000)


def _tokens(number: float | None) -> str:
    return NONE if number is None else f"{count(number)} tokens"


def _total_cost(totals: Totals) -> str:
    known = NONE if totals.cost is None else f"{money(totals.cost)} USD"
    return known + (f" ({quantity(totals.unpriced, 'execution')} not in this cost)" if totals.unpriced else "")


def _cache_lines(totals: Totals) -> list[str]:
    written = totals.cache_write_5m_tokens + totals.cache_write_1h_tokens
    if not (totals.cache_read_tokens or written):
        return []
    return [f"Cache: {count(totals.cache_read_tokens)} read, {count(written)} written"]


def _top_agents(report: Summary) -> list[str]:
    top = report.agents[:TOP_AGENTS]
    lines = [f"{rank}. {_name(group)} ({_usage(group.totals)})" for rank, group in enumerate(top, 1)]
    more = len(report.agents) - len(top)
    return lines + ([f"and {count(more)} more: claude-force analytics by-agent"] if more else [])


def _usage(totals: Totals) -> str:
    return f"{quantity(totals.executions, 'execution')}, {duration(totals.average_ms)} avg, {money(totals.cost)}"


def _name(group: Group) -> str:
    return for_terminal(group.name or UNKNOWN)


def _model_lines(report: Summary) -> list[str]:
    names = [_name(group) + ":" for group in report.models]
    width = min(max(map(cell_width, names)), _ALIGNED_WIDTH)
    spent = [f"({money(group.totals.cost)})" for group in report.models]
    lines = []
    for name, group, cost in zip(names, report.models, spent, strict=True):
        # A model alone may have steps of executions of other models, and no execution.
        share = 100 * group.totals.executions / max(report.totals.executions, 1)
        label = name + " " * (width - cell_width(name))
        aligned = cost.ljust(max(map(len, spent)))
        lines.append(f"{label} {percent(share, 0):>4} {aligned} {bar(share, 100)}".rstrip())
    return lines


def _savings_line(totals: Totals, reference_model: str) -> str:
    family = model_family(reference_model)
    title = f"Cost Savings (vs {family[:1].upper()}{family[1:]}-only)"
    if totals.saved_percent is None:
        return f"{title}: {NONE}"
    saved = totals.saved_nanousd / NANOUSD
    return f"{title}: {percent(totals.saved_percent, 0)} ({money(abs(saved))} {'saved' if saved >= 0 else 'more'})"


def breakdown_layout(report: Breakdown) -> Layout:
    """A breakdown by one dimension."""
    return Layout(partial(_breakdown_page, report), report.rows, report.totals.is_empty)


def _breakdown_page(report: Breakdown) -> Page:
    title = TITLES[report.dimension].capitalize()
    has_sessions = any(start.source == CLAUDE_CODE for start in report.workflow_starts.values())
    name = ("Workflow or session", _SESSION_WIDTH) if has_sessions else (title, _MODEL_WIDTH)
    titles = ("Exec.", "Success\nRate", "Avg\nTime", "P95\nTime", "Total\nCost", "Share", "Avg Tokens\nin/out")
    labels = _labels(report)
    rows = [
        _breakdown_row(labels.get(group.name, group.name) if group.name else f"(no {title.lower()})", group, report)
        for group in report.groups
    ]
    if report.count > 1:
        rows.append(_breakdown_row("Total", Group(None, report.totals), report))
    page = Page(
        f"{title} Performance Breakdown ({heading_of(report.period)})",
        [Table([Column(name[0], "name", name[1]), *map(Column, titles)], rows)],
    )
    page.parts.extend(cut_note(len(report.groups), report.count))
    page.parts.extend([] if report.is_exact else [Section(None, ["P95 is within 1% of the real value"])])
    page.parts.extend(notes(report.totals, report.unpriced_models))
    page.parts.extend(_unnamed_notes(report))
    return page


def _unnamed_notes(report: Breakdown) -> list[Section]:
    """How to get users, where there is none."""
    if report.dimension != "user_name" or any(group.name for group in report.groups) or report.count > 1:
        return []
    return [Section(None, ["No user is known here. To name who works on this machine from now on:", f"  {NAME_USER}"])]


def _breakdown_row(label: str, group: Group, report: Breakdown) -> list[str]:
    totals = group.totals
    return [
        label,
        count(totals.executions),
        percent(totals.success_rate),
        duration(totals.average_ms),
        _latency(group.percentiles.p95_us) if group.percentiles else "",
        money(totals.cost),
        _share(totals, report.totals),
        f"{count(totals.average_input_tokens)}/{count(totals.average_output_tokens)}",
    ]


def _labels(report: Breakdown) -> dict[str, str]:
    """The labels of groups that are not shown by their name."""
    if report.workflow_starts:
        return workflow_labels(report.workflow_starts, report.zone)
    if report.dimension != "project":
        return {}
    return project_labels(group.name for group in report.groups if group.name)


def costs_layout(report: Costs, reference_model: str) -> Layout:
    """The cost analysis."""
    named = [("agent", group.name, group.totals) for group in report.by_agent]
    named += [("model", group.name, group.totals) for group in report.by_model]
    named += [("date", bucket.label, bucket.totals) for bucket in report.buckets]
    rows = [{"group": kind, "name": name, **cost_dict(totals)} for kind, name, totals in named]
    return Layout(partial(_costs_page, report, reference_model), lambda: rows, report.totals.is_empty)


def _costs_page(report: Costs, reference_model: str) -> Page:
    totals = report.totals
    figures = [
        f"Total Cost: {_total_cost(totals)}",
        *_recorded(totals),
        f"Cost per Execution: {unit_cost(totals.average_cost)}",
        f"Total Executions: {count(totals.executions)}",
        _savings_line(totals, reference_model),
    ]
    page = Page(f"Cost Analysis ({heading_of(report.period)})", [Section(None, figures)])
    page.parts.append(Section("Token Usage", _kind_lines(totals)))
    agents, models, intervals = report.counts
    if "agents" in report.parts:
        page.parts.append(_cost_table("Agent", _named(report.by_agent), totals))
        page.parts.extend(cut_note(len(report.by_agent), agents))
    if "models" in report.parts:
        page.parts.append(_kinds_table(Column("Model", "name", _MODEL_WIDTH), _named(report.by_model), totals))
        page.parts.extend(cut_note(len(report.by_model), models))
    if "trends" in report.parts:
        named = [(bucket.label, bucket.totals) for bucket in report.buckets]
        page.parts.append(_kinds_table(Column(_INTERVAL_TITLES[report.interval], "text"), named, totals))
        page.parts.extend(cut_note(len(report.buckets), intervals))
    page.parts.extend(cheaper_section(report.cheaper))
    page.parts.extend(notes(totals, report.unpriced_models, report.unpriced_reasons))
    page.parts.extend(too_low_notes(report.too_low))
    page.parts.append(Section(None, ["What a success costs: claude-force outcomes --by agent"]))
    return page


def _named(groups: list[Group]) -> list[tuple[str, Totals]]:
    return [(group.name or UNKNOWN, group.totals) for group in groups]


def _recorded(totals: Totals) -> list[str]:
    if totals.recorded_cost_nanousd == totals.cost_nanousd:
        return []
    return [f"As Recorded: {money(totals.recorded_cost)} (before db reprice)"]


def _kind_lines(totals: Totals) -> list[str]:
    lines = [f"Input: {count(totals.known_input_tokens)}", f"Output: {count(totals.known_output_tokens)}"]
    cached = {
        "Read": totals.cache_read_tokens,
        "Write (5m)": totals.cache_write_5m_tokens,
        "Write (1h)": totals.cache_write_1h_tokens,
    }
    return lines + (
        [f"Cache {kind}: {count(tokens)}" for kind, tokens in cached.items()] if any(cached.values()) else []
    )


def _cost_table(title: str, rows: list[tuple[str, Totals]], grand_total: Totals) -> Table:
    columns = [
        Column(title, "name"),
        *map(Column, ("Executions", "Total Cost", "Avg Cost", "Share")),
        Column("", "bar"),
    ]
    largest = max((totals.cost_nanousd for _, totals in rows), default=0)
    return Table(columns, [[
        name,
        count(totals.executions),
        money(totals.cost),
        unit_cost(totals.average_cost),
        _share(totals, grand_total),
        bar(totals.cost_nanousd, largest, 8),
    ] for name, totals in rows])  # fmt: skip


def _share(totals: Totals, grand_total: Totals) -> str:
    return percent(
        100 * totals.cost_nanousd / grand_total.cost_nanousd if totals.is_priced and grand_total.cost_nanousd else None
    )


def _kinds_table(first: Column, rows: list[tuple[str, Totals]], grand_total: Totals) -> Table:
    """Costs with their tokens by kind."""
    titles = ("Exec.", "Input", "Output", "Cache\nRead", "Cache\nWrite", "Total\nCost", "Share")
    return Table([first, *map(Column, titles)], [[
        name,
        count(totals.executions),
        count(totals.known_input_tokens),
        count(totals.known_output_tokens),
        count(totals.cache_read_tokens),
        count(totals.cache_write_5m_tokens + totals.cache_write_1h_tokens),
        money(totals.cost),
        _share(totals, grand_total),
    ] for name, totals in rows])  # fmt: skip


def trends_layout(report: Trends, most: int | None = None, is_ascending: bool = True) -> Layout:
    """Executions over time and their trend. The page has the last `most` intervals (None: all), which come at the end
    if it `is_ascending`; all if there was nothing in the last ones."""
    rows = [bucket_dict(bucket) for bucket in report.buckets]
    return Layout(partial(_trends_page, report, most, is_ascending), lambda: rows, not report.buckets)


def _trends_page(report: Trends, most: int | None, is_ascending: bool) -> Page:
    last = report.buckets if most is None else report.buckets[-most:] if is_ascending else report.buckets[:most]
    shown = last if any(bucket.totals.executions for bucket in last) else report.buckets
    first = Column(_INTERVAL_TITLES[report.interval], "text")
    columns = [first, Column("Executions"), Column("", "bar"), *map(Column, ("Avg Time", "Success Rate", "Cost"))]
    largest = max(bucket.totals.executions for bucket in shown)
    rows = [_trend_row(bucket, largest) for bucket in shown]
    page = Page(f"Performance Trends ({report.interval.capitalize()})", [Table(columns, rows)])
    if len(shown) < len(report.buckets):
        of_all = f"The last {count(len(shown))} of {quantity(report.interval_count, NOUNS[report.interval])}"
        page.parts.append(Section(None, [f"{of_all}; more with --days or --limit"]))
    else:
        page.parts.extend(cut_note(len(shown), report.interval_count))
    page.parts.append(Section(None, _trend_lines(report)))
    page.parts.extend(notes(report.totals, report.unpriced_models))
    page.parts.extend(backfill_notes(report.backfill))
    return page


def _trend_row(bucket: Bucket, largest: int) -> list[str]:
    totals = bucket.totals
    return [
        bucket.label,
        count(totals.executions),
        bar(totals.executions, largest, 8),
        duration(totals.average_ms),
        percent(totals.success_rate),
        money(totals.cost),
    ]


def _trend_lines(report: Trends) -> list[str]:
    """The trends, and how sure they are."""
    unit, change = NOUNS[report.interval], report.change
    if change is None or change.executions is None:
        return [f"Trend: too few {unit}s for a trend, at least {LEAST_POINTS} whole ones are needed"]
    series = {"executions": change.executions, "avg time": change.average_time, "cost": change.cost}
    sure = " and ".join(_probability(trend.p_value) for trend in series.values() if trend)
    whole = f"Over {quantity(change.intervals, f'whole {unit}')}, {change.first} to {change.last}"
    return [
        f"Trend: {', '.join(_arrow(trend, what, unit) for what, trend in series.items())}",
        f"{whole}: p {sure} (Mann-Kendall)",
    ]


def _arrow(trend: Trend | None, what: str, unit: str) -> str:
    if trend is None:
        return f"{NONE} too few {unit}s with {what}"
    if trend.direction in ("stable", "unclear"):
        return f"→ stable {what}" if trend.direction == "stable" else f"{NONE} no clear trend in {what}"
    percent = "" if trend.percent is None else f"{trend.percent:+z,.0f}% "
    return f"{'↗' if trend.is_rising else '↘'} {percent}{what}"


def _probability(p_value: float) -> str:
    return "<0.001" if p_value < 0.001 else f"{p_value:.2g}"


def errors_layout(report: Errors) -> Layout:
    """The failures by error type. It is empty without executions, but not without failures."""
    rows = report.to_dict()["errors"] if report.groups else []
    return Layout(partial(_errors_page, report), lambda: rows, not report.totals.executions)


def _errors_page(report: Errors) -> Page:
    totals = report.totals
    line = f"Failed Executions: {count(totals.failures)} of {count(totals.executions)}"
    page = Page(f"Errors ({heading_of(report.period)})", [Section(None, [line])])
    if not report.groups:
        return page
    columns = [
        Column("Error", "name"), Column("Failures"), Column("Share"), Column("", "bar"), Column("Agents"),
        Column("Last Seen", "text"),
    ]  # fmt: skip
    largest = max(group.failures for group in report.groups)
    rows = []
    for group in report.groups:
        name, failures, share, *rest = error_cells(group, report)
        rows.append([name, failures, share, bar(group.failures, largest), *rest])
    page.parts.append(Table(columns, rows))
    page.parts.extend(cut_note(len(report.groups), report.count))
    return page


def error_cells(group: ErrorGroup, report: Errors) -> list[str]:
    """An error type: its name, the failures, their share, the agents, and the last failure."""
    return [
        group.error_type or f"({UNKNOWN})",
        count(group.failures),
        percent(100 * group.failures / report.totals.failures),
        count(group.agents),
        f"{clock.to_datetime(group.last_us, report.zone):%Y-%m-%d %H:%M}",
    ]
