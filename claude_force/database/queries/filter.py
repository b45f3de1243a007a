"""Which executions a question is about, as SQL.

The text of a condition is composed from constants and parameter names alone; values travel as parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from claude_force.executions.record import FIELDS
from claude_force.windows import ALL_TIME, Window

Dimension = Literal["agent_name", "model", "workflow_id", "project", "source"]
"""What a breakdown can be by."""

SERIES_NAMES: tuple[Dimension, ...] = ("agent_name", "model", "project", "source")
"""The dimensions that make a series."""

LABELLED = {name: f"NULLIF({name}, '')" if name == "project" else name for name in FIELDS}
COLUMNS = ", ".join("executions.uid" if name == "uid" else column for name, column in LABELLED.items())
# CROSS JOIN keeps SQLite from beginning with the series, which would read the period once for each.
PENDING = "uncounted CROSS JOIN executions"
SERIES = " CROSS JOIN series"
IS_PENDING = "executions.uid = uncounted.uid"
OF_SERIES = "series.series_id = executions.series_id"


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
        """SQL conditions for the names of some dimensions (without any: of all), and their parameters."""
        found: list[str] = []
        parameters: dict[str, Any] = {}
        for column, wanted in self.names():
            if wanted and (not dimensions or column in dimensions):
                named = {f"{column}_{index}": name for index, name in enumerate(wanted)}
                found.append(f"{column} IN ({', '.join(f':{key}' for key in named)})")
                parameters |= named
        return found, parameters

    @property
    def has_labels(self) -> bool:
        """Whether it asks for names that make a series."""
        return bool(self.agents or self.models or self.projects or self.sources)


def where(conditions: Iterable[str]) -> str:
    """A WHERE clause of conditions; "" where there are none."""
    found = " AND ".join(conditions)
    return f" WHERE {found}" if found else ""


def within(window: Window) -> tuple[list[str], dict[str, Any]]:
    """Conditions on `timestamp_us`, and their parameters."""
    edges = (
        ("timestamp_us >= :start_us", "start_us", window.start_us),
        ("timestamp_us < :end_us", "end_us", window.end_us),
    )
    known = [edge for edge in edges if edge[2] is not None]
    return [condition for condition, _, _ in known], {name: value for _, name, value in known}


def rows_from(chosen: Filter, labelled: bool, *more: str) -> tuple[str, str, dict[str, Any]]:
    """FROM, WHERE and parameters for the chosen rows of `executions`, with their labels where these are asked for."""
    labelled = labelled or chosen.has_labels
    period, parameters = within(chosen.window)
    names, named = chosen.conditions()
    conditions = [*([OF_SERIES] if labelled else []), *period, *names, *more]
    return f"executions{SERIES if labelled else ''}", where(conditions), parameters | named
