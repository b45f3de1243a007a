"""Which executions a query is about, as SQL.

The text of a condition is built from constants and parameter names only; values are always parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, TypeVar

from claude_force.executions.projects import NO_PROJECTS, ProjectNames
from claude_force.executions.record import FIELDS
from claude_force.time_windows import ALL_TIME, Window

Dimension = Literal[
    "agent_name", "model", "workflow_id", "project", "source", "session_id", "git_branch", "host", "user_name"
]
"""What a breakdown can be by."""

FilterDimension = Dimension | Literal["run_label"]
"""What a filter can name."""

Names = tuple[str | None, ...]
"""The names of a group, one for each dimension; None for executions that have none."""


class Additive(Protocol):
    """Sums, counts or lists."""

    def __add__(self, other: Self, /) -> Self:
        """Both together."""


A = TypeVar("A", bound=Additive)

SERIES_NAMES: tuple[Dimension, ...] = ("agent_name", "model", "project", "source")
"""The dimensions that make a series."""

ROW_NAMES: tuple[Dimension, ...] = ("workflow_id", "session_id", "git_branch", "host", "user_name")
"""The dimensions that series do not have."""

SEAT_DIMENSIONS: tuple[Dimension, ...] = ("host", "user_name")
"""Those of them by which there are sums of days: see `executions.seats`."""

ROW_FILTERS: tuple[FilterDimension, ...] = (*ROW_NAMES, "run_label")
"""The dimensions of conditions on rows that are no conditions on their series."""

LABELLED = {name: f"NULLIF({name}, '')" if name == "project" else name for name in FIELDS}
"""SQL for each field of an execution; an unknown project is stored as ""."""

COLUMNS = ", ".join("executions.uid" if name == "uid" else column for name, column in LABELLED.items())
"""SQL for a whole ExecutionRow, from `executions` joined with `series`."""

NAME_SQL: dict[Dimension, str] = {
    **{name: LABELLED[name] for name in SERIES_NAMES},
    "workflow_id": "workflow_id",
    "session_id": "COALESCE(session_id, workflow_id)",
    "git_branch": "git_branch",
    "host": "host",
    "user_name": "user_name",
}
"""SQL for the name in a dimension. The session is stored only where it is not the workflow itself."""

ROW_COLUMNS = frozenset(f"{NAME_SQL[name]} AS {name}" for name in ROW_NAMES)
"""SQL for the columns with the names that only rows have."""

SESSION = "COALESCE(executions.session_id, executions.workflow_id)"
"""The session of an execution. That of a workflow's run is the one that started it."""

# CROSS JOIN fixes SQLite's join order: beginning with the series would read the period once for each of them.
SERIES = " CROSS JOIN series"
IS_OF_SERIES = "series.series_id = executions.series_id"
PENDING = "uncounted CROSS JOIN executions"
"""FROM for the executions that are not rolled up yet, under the condition IS_PENDING."""

IS_PENDING = "executions.uid = uncounted.uid"
IS_ROLLED_UP = "NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)"
STEPS_ARE_ROLLED_UP = "NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = step_usage.uid)"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which executions a report is about. An empty tuple does not restrict."""

    window: Window = ALL_TIME
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    run_labels: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    project_names: ProjectNames = field(default=NO_PROJECTS, compare=False)
    """Which folders make a project: see `queries.with_projects`."""
    reach: Window = field(default=ALL_TIME, compare=False)
    """The period in which the executions of its names are that only rows have: `queries.with_reach`."""
    is_of_store: bool = field(default=False, compare=False)
    """Whether all names are those of the store: see `analytics.names.known_names`."""

    @property
    def searched(self) -> Window:
        """The part of the period in which rows can match."""
        starts = [each.start_us for each in (self.window, self.reach) if each.start_us is not None]
        ends = [each.end_us for each in (self.window, self.reach) if each.end_us is not None]
        return Window(max(starts, default=None), min(ends, default=None))

    def names(self) -> tuple[tuple[FilterDimension, tuple[str, ...]], ...]:
        """The names asked for, by dimension."""
        return (
            ("agent_name", self.agents),
            ("model", self.models),
            ("workflow_id", self.workflows),
            ("project", self.projects),
            ("source", self.sources),
            ("session_id", self.sessions),
            ("git_branch", self.branches),
            ("run_label", self.run_labels),
            ("host", self.hosts),
            ("user_name", self.users),
        )

    def with_names(self, names: Mapping[FilterDimension, tuple[str, ...]]) -> Filter:
        """The same filter for other names. A dimension without names is not restricted."""
        return Filter(
            self.window,
            agents=names.get("agent_name", ()),
            models=names.get("model", ()),
            workflows=names.get("workflow_id", ()),
            projects=names.get("project", ()),
            sources=names.get("source", ()),
            sessions=names.get("session_id", ()),
            branches=names.get("git_branch", ()),
            run_labels=names.get("run_label", ()),
            hosts=names.get("host", ()),
            users=names.get("user_name", ()),
            project_names=self.project_names,
        )

    def conditions(self, *dimensions: FilterDimension) -> tuple[list[str], dict[str, Any]]:
        """SQL conditions for the names in some dimensions (in all, if none is given), and their parameters."""
        conditions: list[str] = []
        parameters: dict[str, Any] = {}
        for dimension, names in self.names():
            if names and (not dimensions or dimension in dimensions):
                column = NAME_SQL[dimension] if dimension in ROW_NAMES else dimension
                stored = self._folders() if dimension == "project" else names
                among, named = among_names(dimension, stored)
                conditions.append(has_run_label(among) if dimension == "run_label" else f"{column} {among}")
                parameters |= named
        return conditions, parameters

    def _folders(self) -> tuple[str, ...]:
        """The folders of the projects asked for."""
        return tuple(dict.fromkeys(folder for name in self.projects for folder in self.project_names.folders(name)))

    def merge_projects(self, dimensions: Sequence[Dimension], groups: dict[Names, A]) -> dict[Names, A]:
        """Groups by name, with projects in place of folders: those of one project are added up."""
        if "project" not in dimensions or not self.project_names.has_merged:
            return groups
        place = dimensions.index("project")
        merged: dict[Names, A] = {}
        for names, found in groups.items():
            key = (*names[:place], self.project_names.of(names[place]), *names[place + 1 :])
            merged[key] = merged[key] + found if key in merged else found
        return merged

    @property
    def has_rows_only(self) -> bool:
        """Whether it restricts a dimension that series do not have."""
        return bool(self.workflows or self.sessions or self.branches or self.run_labels or self.hosts or self.users)

    @property
    def has_seats(self) -> bool:
        """Whether it restricts hosts or users."""
        return bool(self.hosts or self.users)

    @property
    def has_labels(self) -> bool:
        """Whether it restricts a dimension that makes a series."""
        return bool(self.agents or self.models or self.projects or self.sources)


def among_names(dimension: FilterDimension, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The end of a condition for some names, "IN (:name, …)", and its parameters."""
    named = {f"{dimension}_{index}": name for index, name in enumerate(names)}
    return f"IN ({', '.join(f':{key}' for key in named)})", named


def of_labelled_run(what: str) -> str:
    """SQL for a column of the row of `run_labels` that an execution has: see `executions.run_labels`."""
    # The columns of `run_labels` have names of their own, so the others are those of the query around it.
    return (
        f"(SELECT {what} FROM run_labels WHERE session = {NAME_SQL['session_id']} AND since_us <= timestamp_us "
        "AND until_us >= timestamp_us ORDER BY since_us DESC, run DESC, label DESC LIMIT 1)"
    )


def has_run_label(among: str) -> str:
    """The condition for executions whose label is `among` some: "IN (:name, …)"."""
    # The sessions are looked up first, once: most executions are of none of them.
    return f"({is_of_labelled(among)} AND {of_labelled_run('label')} {among})"


def is_of_labelled(among: str) -> str:
    """The condition for executions, or spans, of sessions that had a run with a label among some."""
    return f"{NAME_SQL['session_id']} IN (SELECT session FROM run_labels WHERE label {among})"


def where(conditions: Iterable[str]) -> str:
    """A WHERE clause of conditions; "" if there are none."""
    text = " AND ".join(conditions)
    return f" WHERE {text}" if text else ""


def begins(column: str, begin: str) -> tuple[str, dict[str, Any]]:
    """The condition for texts that begin so, and its parameters."""
    # PostgreSQL's SUBSTR takes no bigint, and every number comes as one.
    return f"SUBSTR({column}, 1, CAST(:length AS INTEGER)) = :begin", {"length": len(begin), "begin": begin}


def within(window: Window, instant: str = "timestamp_us") -> tuple[list[str], dict[str, Any]]:
    """Conditions on the column of an instant, and their parameters."""
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    if window.start_us is not None:
        conditions.append(f"{instant} >= :start_us")
        parameters["start_us"] = window.start_us
    if window.end_us is not None:
        conditions.append(f"{instant} < :end_us")
        parameters["end_us"] = window.end_us
    return conditions, parameters


def rows_from(
    filters: Filter, with_labels: bool, *more: str, table: str = "executions"
) -> tuple[str, str, dict[str, Any]]:
    """FROM, WHERE and parameters for the executions that a filter matches; with `with_labels`, joined with their
    series. `more` are further conditions, `table` may be PENDING."""
    with_labels = with_labels or filters.has_labels
    period, parameters = within(filters.searched)
    names, named = filters.conditions()
    conditions = [*([IS_OF_SERIES] if with_labels else []), *period, *names, *more]
    return f"{table}{SERIES if with_labels else ''}", where(conditions), parameters | named
