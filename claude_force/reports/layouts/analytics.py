"""Layouts of the `analytics` reports. Their content and order follow the user's guide."""

from __future__ import annotations

from functools import partial

from claude_force import clock
from claude_force.analytics.json_fields import TITLES, bucket_dict, cost_dict
from claude_force.analytics.labels import project_labels, workflow_labels
from claude_force.analytics.report_types import STABLE_PERCENT, Breakdown, Costs, Errors, Summary, Trends
from claude_force.executions.intervals import Interval
from claude_force.executions.record import NANOUSD, UNKNOWN, model_family
from claude_force.executions.totals import Bucket, ErrorGroup, Group, Totals
from claude_force.formatting import NONE, compact, count, duration, milliseconds, money, percent, quantity, unit_cost
from claude_force.reports.columns import Column, cell_width, cut
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.notes import backfill_notes, notes
from claude_force.reports.render import Page, Section, Table, bar
from claude_force.text import for_terminal
from claude_force.time_windows import heading_of

TOP_AGENTS = 5
_NAME_WIDTH = 32
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
    return known + (f" ({quantity(totals.unpriced, 'execution')} without a known price)" if totals.unpriced else "")


def _cache_lines(totals: Totals) -> list[str]:
    written = totals.cache_write_5m_tokens + totals.cache_write_1h_tokens
    if not (totals.cache_read_tokens or written):
        return []
    return [f"Cache: {count(totals.cache_read_tokens)} read, {count(written)} written"]


def _top_agents(report: Summary) -> list[str]:
    top = report.agents[:TOP_AGENTS]
    lines = [f"{rank}. {_short(group)} ({_usage(group.totals)})" for rank, group in enumerate(top, 1)]
    more = len(report.agents) - len(top)
    return lines + ([f"and {count(more)} more: claude-force analytics by-agent"] if more else [])


def _usage(totals: Totals) -> str:
    return f"{quantity(totals.executions, 'execution')}, {duration(totals.average_ms)} avg, {money(totals.cost)}"


def _short(group: Group) -> str:
    """A name that leaves room for the numbers beside it."""
    return cut(for_terminal(group.name or UNKNOWN), _NAME_WIDTH)


def _model_lines(report: Summary) -> list[str]:
    names = [_short(group) + ":" for group in report.models]
    width = max(map(cell_width, names))
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
    first = Column(title, "name", _SESSION_WIDTH) if report.workflow_starts else Column(title, "name")
    titles = ("Executions", "Success\nRate", "Avg\nTime", "P95\nTime", "Total\nCost", "Avg Tokens\nin / out")
    labels = _labels(report)
    rows = [
        [
            labels.get(group.name, group.name) if group.name else f"(no {title.lower()})",
            count(group.totals.executions),
            percent(group.totals.success_rate),
            duration(group.totals.average_ms),
            _latency(group.percentiles.p95_us if group.percentiles else None),
            money(group.totals.cost),
            f"{compact(group.totals.average_input_tokens)} / {compact(group.totals.average_output_tokens)}",
        ]
        for group in report.groups
    ]
    page = Page(
        f"{title} Performance Breakdown ({heading_of(report.period)})", [Table([first, *map(Column, titles)], rows)]
    )
    page.parts.extend(_cut_note(len(report.groups), report.count))
    page.parts.extend([] if report.is_exact else [Section(None, ["P95 within 1%"])])
    page.parts.extend(notes(report.totals, report.unpriced_models))
    return page


def _labels(report: Breakdown) -> dict[str, str]:
    """The labels of groups that are not shown by their name."""
    if report.workflow_starts:
        return workflow_labels(report.workflow_starts, report.zone)
    if report.dimension != "project":
        return {}
    return project_labels(group.name for group in report.groups if group.name)


def _cut_note(shown: int, available: int) -> list[Section]:
    return [Section(None, [f"{count(shown)} of {count(available)} shown (--limit)"])] if shown < available else []


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
    agents, models = report.counts
    if "agents" in report.parts:
        page.parts.append(_cost_table("Agent", _named(report.by_agent), totals))
        page.parts.extend(_cut_note(len(report.by_agent), agents))
    if "models" in report.parts:
        page.parts.append(_kinds_table(Column("Model", "name", _MODEL_WIDTH), _named(report.by_model), totals))
        page.parts.extend(_cut_note(len(report.by_model), models))
    if "trends" in report.parts:
        named = [(bucket.label, bucket.totals) for bucket in report.buckets]
        page.parts.append(_kinds_table(Column(_INTERVAL_TITLES[report.interval], "text"), named, totals))
    page.parts.extend(notes(totals, report.unpriced_models, report.unpriced_reasons))
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
        compact(totals.executions),
        compact(totals.known_input_tokens),
        compact(totals.known_output_tokens),
        compact(totals.cache_read_tokens),
        compact(totals.cache_write_5m_tokens + totals.cache_write_1h_tokens),
        money(totals.cost),
        _share(totals, grand_total),
    ] for name, totals in rows])  # fmt: skip


def trends_layout(report: Trends) -> Layout:
    """Executions over time and their trend."""
    rows = [bucket_dict(bucket) for bucket in report.buckets]
    return Layout(partial(_trends_page, report), lambda: rows, not report.buckets)


def _trends_page(report: Trends) -> Page:
    first = Column(_INTERVAL_TITLES[report.interval], "text")
    columns = [first, Column("Executions"), Column("", "bar"), *map(Column, ("Avg Time", "Success Rate", "Cost"))]
    largest = max(bucket.totals.executions for bucket in report.buckets)
    rows = [_trend_row(bucket, largest) for bucket in report.buckets]
    page = Page(f"Performance Trends ({report.interval.capitalize()})", [Table(columns, rows)])
    page.parts.append(Section(None, [_trend_line(report)]))
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


def _trend_line(report: Trends) -> str:
    if report.change is None:
        return "Trend: – not enough complete intervals"
    changes = f"{_arrow(report.change.executions, 'executions')}, {_arrow(report.change.average_time, 'avg time')}"
    return f"Trend: {changes} ({report.change.first} to {report.change.last})"


def _arrow(change: float | None, what: str) -> str:
    if change is None:
        return f"– {what} unknown"
    if abs(change) <= STABLE_PERCENT:
        return f"→ stable {what}"
    return f"{'↗' if change > 0 else '↘'} {int(change):+,}% {what}"


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
    largest = report.groups[0].failures
    rows = []
    for group in report.groups:
        name, failures, share, *rest = error_cells(group, report)
        rows.append([name, failures, share, bar(group.failures, largest), *rest])
    page.parts.append(Table(columns, rows))
    page.parts.extend(_cut_note(len(report.groups), report.count))
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
