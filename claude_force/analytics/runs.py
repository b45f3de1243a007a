"""Runs as a person asks for them: who worked when, how long, for how much, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, get_args

from claude_force import clock
from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.json_fields import errors_of, totals_dict
from claude_force.analytics.names import known_names
from claude_force.analytics.unpriced import unpriced_of
from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries.runs import RunOrder, first_runs, last_runs
from claude_force.database.queries.runs import runs as every_run
from claude_force.executions.record import UNKNOWN
from claude_force.executions.runs import Run, amount_of
from claude_force.executions.totals import Archived, Totals

RUN_ORDERS: tuple[RunOrder, ...] = get_args(RunOrder)


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of a period. `totals` are those of all of its executions, `count` is None if only the shown runs were
    read."""

    period: str
    runs: list[Run]
    count: int | None
    totals: Totals
    unpriced_models: list[str]
    zone: tzinfo
    archived: Archived

    def to_dict(self) -> dict[str, Any]:
        """The runs, and the totals of all."""
        return {
            "period": self.period,
            "total_runs": self.count,
            "archived_executions": self.archived.executions,
            "runs": [self._row(run, list) for run in self.runs],
            "totals": totals_dict(self.totals),
        }

    def rows(self) -> list[dict[str, Any]]:
        """The runs for CSV, where a space separates several names."""
        return [
            self._row(run, " ".join)
            | {"errors": " ".join(f"{kind or UNKNOWN}={count}" for kind, count in run.failures.items())}
            for run in self.runs
        ]

    def _row(self, run: Run, join: Callable[[Sequence[str]], Any]) -> dict[str, Any]:
        duration_us, sums = run.duration_us, run.sums
        return {
            "run": run.key.id,
            "session": run.key.session,
            "outcome": run.outcome,
            "started": self._instant(run.began_us),
            "ended": self._instant(run.last_us),
            "duration_seconds": None if duration_us is None else duration_us / SECOND_US,
            "agents": join(run.agents),
            "models": join(run.models),
            "projects": join(run.projects),
            "workflows": join(run.workflows),
            "errors": errors_of(run.failures),
            "wasted_cost": amount_of(sums.wasted_nanousd, sums.wasted_unpriced),
            **totals_dict(run.totals),
        }

    def _instant(self, instant_us: int | None) -> str | None:
        return None if instant_us is None else clock.format_instant(instant_us, self.zone)


def runs(
    database: Readable, chosen: Filter, sort_by: RunOrder, rows: RowChoice = ALL_ROWS, zone: tzinfo | None = None
) -> Runs:
    """The runs of the chosen executions: the chosen ones of them. With a limit only these are read in full. `zone`
    (None: local time) is for instants."""
    with database.read() as connection:
        chosen = queries.with_projects(connection, known_names(connection, chosen))
        found = _chosen_runs(connection, chosen, sort_by, rows)
        archived = queries.archived(connection, chosen, "workflow_id")
        totals = _stored_totals(connection, chosen, archived)
        unpriced = unpriced_of(connection, chosen, totals)
    count = len(found) if rows.limit is None or len(found) < rows.limit else None
    return Runs(chosen.window.label, found, count, totals, unpriced, zone or clock.local_zone(), archived)


def _chosen_runs(connection: Connection, chosen: Filter, sort_by: RunOrder, rows: RowChoice) -> list[Run]:
    is_ascending = bool(rows.is_ascending)
    if rows.limit is None:
        return sort_runs(every_run(connection, chosen), sort_by, is_ascending=is_ascending)
    if sort_by == "newest" and not is_ascending:
        found = last_runs(connection, chosen, rows.limit)
        # Of models that only took steps of others' requests there may be more.
        if len(found) == rows.limit or not chosen.models:
            return found
    return first_runs(connection, chosen, sort_by, rows.limit, is_ascending=is_ascending)


def sort_runs(found: Sequence[Run], sort_by: RunOrder, *, is_ascending: bool) -> list[Run]:
    """Runs in an order, the largest first unless it is ascending; unknown values come last, and of equal ones the run
    that ended last comes first."""
    values: dict[RunOrder, Callable[[Run], int | None]] = {
        "newest": lambda run: run.last_us,
        "duration": lambda run: run.duration_us,
        "executions": lambda run: run.totals.executions,
        "tokens": lambda run: run.totals.total_tokens,
        "cost": lambda run: run.totals.cost_nanousd if run.totals.is_priced else None,
    }
    sign = 1 if is_ascending else -1

    def order(run: Run) -> tuple[bool, int, int, str]:
        value = values[sort_by](run)
        return value is None, sign * (value or 0), -(run.last_us or 0), str(run.key)

    return sorted(found, key=order)


def _stored_totals(connection: Connection, chosen: Filter, archived: Archived) -> Totals:
    """The totals of the executions that are stored: where there are archived ones, rows know it."""
    dimensions: tuple[queries.Dimension, ...] = ("workflow_id",) if archived.executions else ()
    return sum(queries.totals_by(connection, chosen, *dimensions).values(), Totals())
