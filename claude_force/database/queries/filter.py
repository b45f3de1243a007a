"""Which executions a query is about, as SQL.

The text of a condition is built from constants and parameter names only; values are always parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from claude_force.executions.record import FIELDS
from claude_force.time_windows import ALL_TIME, Window

Dimension = Literal["agent_name", "model", "workflow_id", "project", "source"]
"""What a breakdown can be by."""

SERIES_NAMES: tuple[Dimension, ...] = ("agent_name", "model", "project", "source")
"""The dimensions that make a series."""

LABELLED = {name: f"NULLIF({name}, '')" if name == "project" else name for name in FIELDS}
"""SQL for each field of an execution; an unknown project is stored as ""."""

COLUMNS = ", ".join("executions.uid" if name == "uid" else column for name, column in LABELLED.items())
"""SQL for a whole ExecutionRow, from `executions` joined with `series`."""

# CROSS JOIN fixes SQLite's join order: beginning with the series would read the period once for each of them.
SERIES = " CROSS JOIN series"
IS_OF_SERIES = "series.series_id = executions.series_id"
PENDING = "uncounted CROSS JOIN executions"
"""FROM for the executions that are not rolled up yet, under the condition IS_PENDING."""

IS_PENDING = "executions.uid = uncounted.uid"
IS_ROLLED_UP = "NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which executions a report is about. An empty tuple does not restrict."""

    window: Window = ALL_TIME
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def names(self) -> tuple[tuple[Dimension, tuple[str, ...]], ...]:
        """The names asked for, by dimension."""
        return (
            ("agent_name", self.agents),
            ("model", self.models),
            ("workflow_id", self.workflows),
            ("project", self.projects),
            ("source", self.sources),
        )

    def conditions(self, *dimensions: Dimension) -> tuple[list[str], dict[str, Any]]:
        """SQL conditions for the names in some dimensions (in all, if none is given), and their parameters."""
        conditions: list[str] = []
        parameters: dict[str, Any] = {}
        for dimension, names in self.names():
            if names and (not dimensions or dimension in dimensions):
                named = {f"{dimension}_{index}": name for index, name in enumerate(names)}
                conditions.append(f"{dimension} IN ({', '.join(f':{key}' for key in named)})")
                parameters |= named
        return conditions, parameters

    @property
    def has_labels(self) -> bool:
        """Whether it restricts a dimension that makes a series."""
        return bool(self.agents or self.models or self.projects or self.sources)


def where(conditions: Iterable[str]) -> str:
    """A WHERE clause of conditions; "" if there are none."""
    text = " AND ".join(conditions)
    return f" WHERE {text}" if text else ""


def within(window: Window) -> tuple[list[str], dict[str, Any]]:
    """Conditions on `timestamp_us`, and their parameters."""
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    if window.start_us is not None:
        conditions.append("timestamp_us >= :start_us")
        parameters["start_us"] = window.start_us
    if window.end_us is not None:
        conditions.append("timestamp_us < :end_us")
        parameters["end_us"] = window.end_us
    return conditions, parameters


def rows_from(
    filters: Filter, with_labels: bool, *more: str, table: str = "executions"
) -> tuple[str, str, dict[str, Any]]:
    """FROM, WHERE and parameters for the executions that a filter matches; with `with_labels`, joined with their
    series. `more` are further conditions, `table` may be PENDING."""
    with_labels = with_labels or filters.has_labels
    period, parameters = within(filters.window)
    names, named = filters.conditions()
    conditions = [*([IS_OF_SERIES] if with_labels else []), *period, *names, *more]
    return f"{table}{SERIES if with_labels else ''}", where(conditions), parameters | named
