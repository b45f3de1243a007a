"""One run with everything that it started: see `executions.run_trees`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, NamedTuple

from claude_force import clock
from claude_force.analytics.json_fields import errors_of, totals_dict
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries.headless_runs import headless_run, headless_runs_that_begin
from claude_force.database.queries.run_labels import labels_of_runs, sessions_with_label
from claude_force.database.queries.run_parents import parents_in_session, runs_that_begin, runs_with_id
from claude_force.database.queries.runs import runs, runs_called
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.errors import UnknownName
from claude_force.executions.projects import NO_PROJECTS, ProjectNames
from claude_force.executions.run_trees import RunNode, session_tree, summed
from claude_force.executions.runs import Outcome, most_frequent
from claude_force.executions.totals import Archived
from claude_force.text import for_terminal
from claude_force.time_windows import ALL_TIME, Window

SHORTEST_PREFIX = 4
"""The number of characters of an id that may stand for the whole id."""

_MOST_LISTED = 6

NOTHING_ARCHIVED = Archived()


@dataclass(frozen=True, slots=True)
class RunTree:
    """A run and all below it. `parent` is what started it, `headless` how `claude-force run` saw it. `sessions` are its
    sessions; the branches are those of all of their executions. `label` is that of a headless run. `archived` are the
    executions that it may lack: those of the time of a headless run, else of all time."""

    root: RunNode
    parent: RunNode | None
    headless: HeadlessRun | None
    sessions: list[str]
    branches: list[str]
    zone: tzinfo
    label: str | None = None
    archived: Archived = NOTHING_ARCHIVED

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None for a session or a workflow, which consists of runs that end."""
        if self.headless is not None:
            return "success" if self.headless.success else "failed"
        return self.root.run.outcome if self.root.run else None

    @property
    def duration_us(self) -> int | None:
        """From the beginning of its first request, or of one below it, to the end of the last one."""
        if self.headless is not None:
            return self.headless.duration_us
        return duration_of(self.root)

    @property
    def began_us(self) -> int | None:
        """When it began."""
        return self.headless.started_us if self.headless else self.root.began_us

    def outcomes(self) -> dict[Outcome, int]:
        """How many of the runs, the run itself among them, ended how."""
        found: dict[Outcome, int] = {}
        for _, node in self.root.walk():
            if node.run is not None:
                found[node.run.outcome] = found.get(node.run.outcome, 0) + 1
        return found

    def failures(self) -> dict[str | None, int]:
        """The failed requests by error type, the most frequent first."""
        return most_frequent((node.run.failures for _, node in self.root.walk() if node.run))

    def models(self) -> list[str]:
        """The models of all runs."""
        return _distinct(name for _, node in self.root.walk() if node.run for name in node.run.models)

    def projects(self) -> list[str]:
        """The projects of all runs."""
        return _distinct(name for _, node in self.root.walk() if node.run for name in node.run.projects)

    def to_dict(self) -> dict[str, Any]:
        """For JSON. `runs` has the tree in the order of its lines, each run after the one that started it."""
        return {
            "run": self.root.id,
            "kind": self.root.kind,
            "sessions": self.sessions,
            "started_by": self.parent.id if self.parent else None,
            "projects": self.projects(),
            "branches": self.branches,
            "models": self.models(),
            "started": self._instant(self.began_us),
            "duration_seconds": _seconds(self.duration_us),
            "outcome": self.outcome,
            "headless": self._headless_dict(),
            "outcomes": self.outcomes(),
            "errors": errors_of(self.failures()),
            "archived_executions": self.archived.executions,
            "runs": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """The runs of the tree: what each did itself (`own`), and with all below it (`total`)."""
        parents = {child.id: node.id for _, node in self.root.walk() for child in node.children}
        return [self._row(depth, node, parents.get(node.id)) for depth, node in self.root.walk()]

    def _row(self, depth: int, node: RunNode, parent: str | None) -> dict[str, Any]:
        run = node.run
        return {
            "run": node.id,
            "kind": node.kind,
            "parent": parent,
            "parent_is_known": node.has_parent,
            "depth": depth,
            "agents": list(run.agents) if run else [],
            "models": list(run.models) if run else [],
            "started": self._instant(node.began_us),
            "ended": self._instant(node.ended_us),
            "duration_seconds": _seconds(run.duration_us if run else None),
            "total_duration_seconds": _seconds(duration_of(node)),
            "outcome": run.outcome if run else None,
            "errors": errors_of(run.failures) if run else [],
            "own": totals_dict(node.own),
            "total": totals_dict(node.totals),
        }

    def _instant(self, at_us: int | None) -> str | None:
        return None if at_us is None else clock.format_instant(at_us, self.zone)

    def _headless_dict(self) -> dict[str, Any] | None:
        if self.headless is None:
            return None
        names = ("agent_name", "project", "host", "exit_code", "outcome", "turns")
        return {**{name: getattr(self.headless, name) for name in names}, "label": self.label}


def duration_of(node: RunNode) -> int | None:
    """From the beginning of a run to the end of the last one below it."""
    if node.began_us is None or node.ended_us is None:
        return None
    if not node.children:
        return node.run.duration_us if node.run else None
    return node.ended_us - node.began_us


def run_tree(database: Readable, run_id: str, zone: tzinfo, projects: ProjectNames = NO_PROJECTS) -> RunTree:
    """The tree of a run, a session, a workflow or a headless run, by its id or the beginning of it. `projects` names
    projects. Raises UnknownName if no id begins so, or several do, or its executions are not stored."""
    with database.read() as connection:
        tree = _tree(connection, _find(connection, run_id), zone, projects)
        window = ALL_TIME if tree.headless is None else _hours_of(tree.headless)
        return replace(tree, archived=queries.archived(connection, Filter(window), "workflow_id"))


def _tree(connection: Connection, found: _Found, zone: tzinfo, projects: ProjectNames) -> RunTree:
    if found.headless is not None:
        return _of_headless(connection, found.headless, zone, projects)
    session, name = found.session, found.name
    if session is None:
        return _alone(connection, name, zone, projects)
    tree = _tree_of_session(connection, session, projects)
    root = tree.find(name)
    if root is None:
        raise UnknownName(f"no execution of run {for_terminal(name)} is stored; it may be archived or deleted")
    parent = next((node for _, node in tree.walk() if root in node.children), None) if root.has_parent else None
    return RunTree(root, parent, None, [session], _branches(connection, [session]), zone)


class _Found(NamedTuple):
    """What an id means: a name in a session, or a headless run. Without a session it is a run outside of any."""

    name: str
    session: str | None = None
    headless: HeadlessRun | None = None


def _find(connection: Connection, run_id: str) -> _Found:
    found = _exactly(connection, run_id)
    if not found and len(run_id) >= SHORTEST_PREFIX:
        found = _beginning(connection, run_id)
        names = sorted({each.name for each in found})
        if len(names) > 1:
            listed = ", ".join(names[:_MOST_LISTED]) + (" and more" if len(names) > _MOST_LISTED else "")
            raise UnknownName(f"run {for_terminal(run_id)} is ambiguous; there are: {for_terminal(listed)}")
    if not found:
        raise UnknownName(
            f"no run, session or workflow {for_terminal(run_id) or chr(39) * 2} in the store; "
            "claude-force runs shows the last runs"
        )
    return _with_executions(connection, found)


def _exactly(connection: Connection, run_id: str) -> list[_Found]:
    headless = headless_run(connection, run_id)
    if headless is not None:
        return [_Found(run_id, headless=headless)]
    if queries.has_name(connection, "session_id", run_id):
        return [_Found(run_id, run_id)]
    if queries.has_name(connection, "workflow_id", run_id):
        return _of_workflow(connection, run_id)
    return [_Found(name, session or None) for name, session in runs_with_id(connection, run_id)]


def _beginning(connection: Connection, begin: str) -> list[_Found]:
    names = {run.run_id for run in headless_runs_that_begin(connection, begin)}
    for dimension in ("session_id", "workflow_id"):
        names.update(queries.names(connection, dimension, begin))
    names.update(name for name, _ in runs_that_begin(connection, begin))
    if len(names) > 1:
        return [_Found(name) for name in names]
    return [found for name in names for found in _exactly(connection, name)]


def _of_workflow(connection: Connection, workflow: str) -> list[_Found]:
    """A workflow in each session that has runs of it."""
    found = runs(connection, queries.with_reach(connection, Filter(workflows=(workflow,))))
    return [_Found(workflow, session) for session in sorted({run.key.session or workflow for run in found})]


def _with_executions(connection: Connection, found: list[_Found]) -> _Found:
    """The one of a run's sessions that has executions: a forked session repeats what its original says of runs."""
    if len(found) > 1:
        stored = [each for each in found if each.session and queries.has_name(connection, "session_id", each.session)]
        placed = [each for each in stored if _has_run(connection, each)]
        if len(placed) > 1:
            sessions = ", ".join(each.session or "" for each in placed)
            raise UnknownName(f"run {found[0].name} is in several sessions: show one of {for_terminal(sessions)}")
        found = placed or stored or found
    return found[0]


def _has_run(connection: Connection, found: _Found) -> bool:
    return _tree_of_session(connection, found.session or "", NO_PROJECTS).find(found.name) is not None


def _tree_of_session(
    connection: Connection, session: str, projects: ProjectNames, window: Window = ALL_TIME
) -> RunNode:
    chosen = queries.with_projects(connection, Filter(window, sessions=(session,), project_names=projects))
    found = runs(connection, queries.with_reach(connection, chosen))
    return session_tree(session, found, parents_in_session(connection, session))


def _alone(connection: Connection, name: str, zone: tzinfo, projects: ProjectNames) -> RunTree:
    """A run of a program that names neither a workflow nor a session."""
    chosen = queries.with_projects(connection, Filter(project_names=projects))
    found = [run for run in runs_called(connection, chosen, name) if run.key.session is None]
    if not found:
        raise UnknownName(f"no execution of run {for_terminal(name)} is stored; it may be archived or deleted")
    return RunTree(summed(RunNode(name, "agent", found[0])), None, None, [], [], zone)


def _of_headless(connection: Connection, run: HeadlessRun, zone: tzinfo, projects: ProjectNames) -> RunTree:
    """The executions of the sessions of a headless run, while it ran. Its label knows all of them, if there are
    several. The calls of a program with the Anthropic SDK are a session that is called as the run."""
    window = _window_of(run)
    labelled = sessions_with_label(connection, run.run_id)
    sessions = [session for session in dict.fromkeys((run.session_id, *labelled, run.run_id)) if session]
    trees = [_tree_of_session(connection, session, projects, window) for session in sessions]
    found = [tree for tree in trees if not tree.totals.is_empty]
    root = summed(RunNode(run.run_id, "headless", None, children=found))
    names = [tree.id for tree in found] or ([run.session_id] if run.session_id else [])
    label = labels_of_runs(connection, [run.run_id]).get(run.run_id)
    return RunTree(root, None, run, names, _branches(connection, names), zone, label)


def _window_of(run: HeadlessRun) -> Window:
    return Window(run.started_us, run.started_us + run.duration_us + 1)


def _hours_of(run: HeadlessRun) -> Window:
    """The hours in which a run was: of archived executions only these are known."""
    return Window(run.started_us // clock.HOUR_US * clock.HOUR_US, run.started_us + run.duration_us + 1)


def _branches(connection: Connection, sessions: list[str]) -> list[str]:
    if not sessions:
        return []
    chosen = queries.with_reach(connection, Filter(sessions=tuple(sessions)))
    found = queries.time_ranges_by(connection, chosen, "git_branch")
    return sorted(name for name in found if name)


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _seconds(duration_us: int | None) -> float | None:
    return None if duration_us is None else duration_us / clock.SECOND_US
