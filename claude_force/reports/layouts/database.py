"""Layouts of `db`: what repricing changes, and what a restore replaces."""

from __future__ import annotations

from pathlib import Path

from claude_force import clock
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.distribute import Plan
from claude_force.database.merge import MergeReport
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.reprice import Change, Preview
from claude_force.errors import DatabaseError
from claude_force.executions.record import dollars
from claude_force.formatting import count, money, quantity, size
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table
from claude_force.text import for_terminal


def reprice_page(found: Preview, overrides: int) -> Page:
    """What repricing would change, by model. `overrides` is the number of prices that claude.json sets."""
    own = f", and {quantity(overrides, 'price')} of claude.json" if overrides else ""
    page = Page(f"Repricing (genai-prices {found.price_version}{own})")
    total = found.total
    if found.models:
        titles = ("Executions", "Cost\nas recorded", "Cost\nnow", "Cost\nrepriced", "Difference")
        rows = [_change_row(name, change) for name, change in found.models.items()]
        rows += [_change_row("Total", total)] if len(rows) > 1 else []
        page.parts.append(Table([Column("Model", "name"), *map(Column, titles)], rows))
    lines = [f"{count(total.executions)} of {quantity(found.executions, 'execution')} would change."]
    if total.reference_only:
        lines.append(f"For {count(total.reference_only)} of them only the reference cost would change.")
    page.parts.append(Section(None, lines))
    if found.causes:
        page.parts.append(Section("Why", [_cause_line(cause, change) for cause, change in found.causes.items()]))
    if found.unpriced:
        unchanged = [
            f"{name}: {quantity(number, 'execution')}, {reason}"
            for (name, reason), number in found.unpriced.most_common()
        ]
        page.parts.append(Section("No known price, so unchanged", unchanged))
    return page


def _cause_line(cause: str, change: Change) -> str:
    return f"{for_terminal(cause)}: {quantity(change.executions, 'execution')}, {_difference(change)}"


def _change_row(name: str, change: Change) -> list[str]:
    return [
        name,
        count(change.executions),
        money(dollars(change.recorded_nanousd)),
        money(dollars(change.cost_nanousd)),
        money(dollars(change.repriced_nanousd)),
        _difference(change),
    ]


def _difference(change: Change) -> str:
    return f"{'+' if change.difference_nanousd > 0 else ''}{money(dollars(change.difference_nanousd))}"


def database_line(path: Path) -> str:
    """A SQLite file in one line: its executions, the last instant and the size; or why it cannot be read."""
    if not path.exists():
        return f"{path}: does not exist"
    try:
        with open_database(str(path)).read() as connection:
            executions, stored = queries.totals(connection, Filter()).executions, queries.time_range(connection)
    except DatabaseError as error:
        return str(error)
    until = f" until {clock.to_datetime(stored.last_us, clock.local_zone()):%Y-%m-%d %H:%M}" if stored else ""
    return f"{path}: {quantity(executions, 'execution')}{until}, {size(path.stat().st_size)}"


def distribution_lines(plan: Plan) -> list[str]:
    """Which tables of a distributed database are where, or will be."""
    lines = [
        f"Nodes:        {plan.coordinator} (coordinator), {', '.join(plan.workers)}",
        f"Shards:       {count(plan.shards)} of each table that is spread",
        *(f"By {column + ':':<10} {', '.join(tables)}" for column, tables in plan.spread.items()),
        f"On all nodes: {', '.join(plan.everywhere)}",
        "Coordinator:  all others, such as the roll-ups",
    ]
    moving = f"{quantity(plan.executions, 'execution')} to move" if "executions" in plan.missing else ""
    if not plan.missing:
        return [*lines, "All tables are where they belong."]
    return [*lines, "; ".join(filter(None, [f"Not yet there: {', '.join(plan.missing)}", moving]))]


def store_line(name: str, database: Database) -> str:
    """A store in one line: its executions, how many of them are archived, and the last instant."""
    if not database.exists():
        return f"{name}: does not exist yet"
    with database.read() as connection:
        executions, stored = queries.totals(connection, Filter()).executions, queries.time_range(connection)
        archived = queries.archived(connection, Filter()).executions
    until = f" until {clock.to_datetime(stored.last_us, clock.local_zone()):%Y-%m-%d %H:%M}" if stored else ""
    part = f", {count(archived)} of them archived" if archived else ""
    return f"{name}: {quantity(executions, 'execution')}{until}{part}"


_TABLES = {
    "source_files": "files read",
    "session_ledgers": "ledgers",
    "daily_statistics": "daily statistics",
    "plan_limits": "plan limits",
    "baselines": "baselines",
    "alert_events": "alert changes",
    "silences": "silences",
    "outcomes": "sums of outcomes",
    "headless_runs": "headless runs",
    "run_labels": "labels of runs",
}


def merge_lines(report: MergeReport, *, is_dry_run: bool) -> list[str]:
    """What a merge did, or would do."""
    lines = ["", "Would merge" if is_dry_run else "Merged"]
    for name, found in (("executions", report.executions), ("archived executions", report.archived)):
        parts = {"added": found.added, "changed to the better version": found.changed, "known": found.known}
        if sum(parts.values()) or found is report.executions:
            lines.append(f"  {name}: " + ", ".join(f"{count(number)} {what}" for what, number in parts.items()))
    other = [f"{count(number)} {_TABLES[name]}" for name, number in report.rows.items() if number and name in _TABLES]
    if other:
        lines.append(f"  also: {', '.join(other)}")
    return [*lines, "  not merged: what alerts, the scheduler and exporters of the other store were doing"]
