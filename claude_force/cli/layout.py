"""How each report looks: its headings, labels and columns. Content and order follow the user's guide."""

from __future__ import annotations

from functools import partial

from claude_force import analytics, clock
from claude_force.analytics import TITLES, Breakdown, Costs, Errors, Summary, Trends
from claude_force.cli.options import Layout
from claude_force.clock import heading_of
from claude_force.escape import for_terminal
from claude_force.intervals import Interval
from claude_force.query import Dimension
from claude_force.record import NANOUSD, UNKNOWN, model_family
from claude_force.render import (
    NONE,
    Column,
    Page,
    Section,
    Table,
    bar,
    cell_width,
    compact,
    count,
    cut,
    duration,
    milliseconds,
    money,
    percent,
    quantity,
    unit_cost,
)
from claude_force.result import Bucket, Group, Totals

TOP_AGENTS = 5
_NAME_WIDTH = 32

_INTERVAL_TITLES: dict[Interval, str] = {"hourly": "Hour", "daily": "Date", "weekly": "Week of", "monthly": "Month"}


def summary_layout(report: Summary, reference_model: str) -> Layout:
    """The summary. The baseline is its JSON; its CSV is one row without the nested keys."""
    flat = {key: value for key, value in report.to_dict().items() if not isinstance(value, (dict, list))}
    return Layout(partial(_summary_page, report, reference_model), lambda: [flat], not report.totals.executions)


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
    lines = [f"{place}. {_short(group)} ({_usage(group.totals)})" for place, group in enumerate(top, 1)]
    more = len(report.agents) - len(top)
    return lines + ([f"and {count(more)} more: claude-force analytics by-agent"] if more else [])


def _usage(totals: Totals) -> str:
    return f"{quantity(totals.executions, 'execution')}, {duration(totals.average_ms)} avg, {money(totals.cost)}"


def _short(group: Group) -> str:
    """A name that leaves room for figures beside it."""
    return cut(for_terminal(group.name or UNKNOWN), _NAME_WIDTH)


def _model_lines(report: Summary) -> list[str]:
    names = [_short(group) + ":" for group in report.models]
    width = max(map(cell_width, names))
    spent = [f"({money(group.totals.cost)})" for group in report.models]
    lines = []
    for name, group, cost in zip(names, report.models, spent, strict=True):
        share = 100 * group.totals.executions / report.totals.executions
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
    """A breakdown by agent, model, workflow or project."""
    rows = [analytics.group_dict(report.dimension, group) for group in report.groups]
    return Layout(partial(_breakdown_page, report), lambda: rows, not report.totals.executions)


def _breakdown_page(report: Breakdown) -> Page:
    title = TITLES[report.dimension].capitalize()
    columns = [
        Column(title, "name"),
        Column("Executions"),
        Column("Success\nRate"),
        Column("Avg\nTime"),
        Column("P95\nTime"),
        Column("Total\nCost"),
        Column("Avg Tokens\nin / out"),
    ]
    rows = [
        [
            _name(report.dimension, group),
            count(group.totals.executions),
            percent(group.totals.success_rate),
            duration(group.totals.average_ms),
            _latency(group.percentiles.p95_us if group.percentiles else None),
            money(group.totals.cost),
            f"{compact(group.totals.average_input_tokens)} / {compact(group.totals.average_output_tokens)}",
        ]
        for group in report.groups
    ]
    page = Page(f"{title} Performance Breakdown ({heading_of(report.period)})", [Table(columns, rows)])
    page.parts.extend(_cut_note(len(report.groups), report.count))
    page.parts.extend([] if report.is_exact else [Section(None, ["P95 within 1%"])])
    page.parts.extend(_unpriced_note(report.totals))
    return page


def _name(dimension: Dimension, group: Group) -> str:
    if group.name is None:
        return f"(no {TITLES[dimension]})"
    if dimension == "project":
        # The end of a path is what tells two projects apart.
        return group.name if len(group.name) <= 28 else f"…{group.name[-27:]}"
    return group.name


def _cut_note(shown: int, available: int) -> list[Section]:
    return [Section(None, [f"{count(shown)} of {count(available)} shown (--limit)"])] if shown < available else []


def _unpriced_note(totals: Totals) -> list[Section]:
    if not totals.unpriced:
        return []
    return [
        Section(None, [f"{quantity(totals.unpriced, 'execution')} without a known price; costs are over the others"])
    ]


def costs_layout(report: Costs, reference_model: str) -> Layout:
    """The cost analysis."""
    named = [("agent", group.name, group.totals) for group in report.by_agent]
    named += [("model", group.name, group.totals) for group in report.by_model]
    named += [("date", bucket.label, bucket.totals) for bucket in report.buckets]
    rows = [{"group": kind, "name": name, **_cost_row(totals)} for kind, name, totals in named]
    return Layout(partial(_costs_page, report, reference_model), lambda: rows, not report.totals.executions)


def _cost_row(totals: Totals) -> dict[str, float | None]:
    return {
        "executions": totals.executions,
        "total_cost": totals.cost,
        "avg_cost_per_execution": totals.average_cost,
        "unpriced_executions": totals.unpriced,
    }


def _costs_page(report: Costs, reference_model: str) -> Page:
    totals = report.totals
    figures = [
        f"Total Cost: {_total_cost(totals)}",
        f"Cost per Execution: {unit_cost(totals.average_cost)}",
        f"Total Executions: {count(totals.executions)}",
        _savings_line(totals, reference_model),
    ]
    page = Page(f"Cost Analysis ({heading_of(report.period)})", [Section(None, figures)])
    agents, models = report.counts
    for part, title, groups, available in (
        ("agents", "Agent", report.by_agent, agents),
        ("models", "Model", report.by_model, models),
    ):
        if part in report.parts:
            named = [(group.name or UNKNOWN, group.totals) for group in groups]
            page.parts.append(_cost_table(title, "name", named, totals))
            page.parts.extend(_cut_note(len(groups), available))
    if "trends" in report.parts:
        named = [(bucket.label, bucket.totals) for bucket in report.buckets]
        page.parts.append(_cost_table(_INTERVAL_TITLES[report.interval], "text", named, totals))
    return page


def _cost_table(title: str, kind: str, rows: list[tuple[str, Totals]], whole: Totals) -> Table:
    columns = [
        Column(title, "name" if kind == "name" else "text"),
        Column("Executions"),
        Column("Total Cost"),
        Column("Avg Cost"),
        Column("Share"),
        Column("", "bar"),
    ]
    largest = max((totals.cost_nanousd for _, totals in rows), default=0)
    return Table(columns, [[
        name,
        count(totals.executions),
        money(totals.cost),
        unit_cost(totals.average_cost),
        percent(100 * totals.cost_nanousd / whole.cost_nanousd if totals.priced and whole.cost_nanousd else None),
        bar(totals.cost_nanousd, largest, 8),
    ] for name, totals in rows])  # fmt: skip


def trends_layout(report: Trends) -> Layout:
    """Executions over time, and where they are going."""
    rows = [analytics.bucket_dict(bucket) for bucket in report.buckets]
    return Layout(partial(_trends_page, report), lambda: rows, not report.buckets)


def _trends_page(report: Trends) -> Page:
    columns = [
        Column(_INTERVAL_TITLES[report.interval], "text"),
        Column("Executions"),
        Column("", "bar"),
        Column("Avg Time"),
        Column("Success Rate"),
        Column("Cost"),
    ]
    largest = max(bucket.totals.executions for bucket in report.buckets)
    rows = [_trend_row(bucket, largest) for bucket in report.buckets]
    page = Page(f"Performance Trends ({report.interval.capitalize()})", [Table(columns, rows)])
    page.parts.append(Section(None, [_trend_line(report)]))
    page.parts.extend(_unpriced_note(report.totals))
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
        return "Trend: – not enough whole intervals to tell"
    changes = f"{_arrow(report.change.executions, 'executions')}, {_arrow(report.change.average_time, 'avg time')}"
    return f"Trend: {changes} ({report.change.first} to {report.change.last})"


def _arrow(change: float | None, what: str) -> str:
    if change is None:
        return f"– {what} not known"
    if abs(change) <= analytics.STABLE_PERCENT:
        return f"→ stable {what}"
    return f"{'↗' if change > 0 else '↘'} {int(change):+,}% {what}"


def errors_layout(report: Errors) -> Layout:
    """The failures by kind. Without executions it is empty; without failures it says so."""
    rows = report.to_dict()["errors"] if report.groups else []
    return Layout(partial(_errors_page, report), lambda: rows, not report.totals.executions)


def _errors_page(report: Errors) -> Page:
    totals = report.totals
    line = f"Failed Executions: {count(totals.failures)} of {count(totals.executions)}"
    page = Page(f"Errors ({heading_of(report.period)})", [Section(None, [line])])
    if not report.groups:
        return page
    columns = [
        Column("Error", "name"),
        Column("Failures"),
        Column("Share"),
        Column("", "bar"),
        Column("Agents"),
        Column("Last Seen", "text"),
    ]
    largest = report.groups[0].failures
    rows = [
        [
            group.error_type or f"({UNKNOWN})",
            count(group.failures),
            percent(100 * group.failures / totals.failures),
            bar(group.failures, largest),
            count(group.agents),
            clock.moment_of(group.last_us, report.zone).strftime("%Y-%m-%d %H:%M"),
        ]
        for group in report.groups
    ]
    page.parts.append(Table(columns, rows))
    page.parts.extend(_cut_note(len(report.groups), report.count))
    return page
