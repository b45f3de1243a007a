"""The tree of a session: which run started which, with what each cost alone and with all below it. Pure.

    session
      prompt
        sub-agent
          sub-agent
        workflow
          sub-agent

Every run of the session is in the tree once. One whose parent is not known hangs below the session and says so; so does
one run of each circle, which only damaged data can have. A run without executions is in the tree if one below it has
some.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from claude_force.executions.record import MAIN
from claude_force.executions.run_parents import RunParent
from claude_force.executions.runs import Run
from claude_force.executions.totals import Totals

RunKind = Literal["session", "workflow", "prompt", "agent", "headless"]


@dataclass(slots=True)
class RunNode:
    """A run and those that it started, in the order in which they began. `run` is None if no execution is its own.
    `totals` are those of all executions of the run and below it. `has_parent` tells whether it is known what started
    the run."""

    id: str
    kind: RunKind
    run: Run | None
    has_parent: bool = True
    children: list[RunNode] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    began_us: int | None = None
    ended_us: int | None = None

    @property
    def own(self) -> Totals:
        """The totals of its own executions."""
        return self.run.totals if self.run else Totals()

    def walk(self) -> list[tuple[int, RunNode]]:
        """It and all below it, each after its parent, with its depth."""
        found, waiting = [], [(0, self)]
        while waiting:
            depth, node = waiting.pop()
            found.append((depth, node))
            waiting += [(depth + 1, child) for child in reversed(node.children)]
        return found

    def find(self, run_id: str) -> RunNode | None:
        """The node of a run; None if it is not in the tree."""
        return next((node for _, node in self.walk() if node.id == run_id), None)


def session_tree(session: str, runs: Iterable[Run], parents: Iterable[RunParent]) -> RunNode:
    """The tree of a session from its runs, and from what is known of their parents."""
    own = {run.key.id: run for run in runs}
    known = {parent.run_id: parent.parent_id for parent in parents}
    parent_of = _linked(session, own, known)
    nodes = {name: RunNode(name, _kind(name, session, own.get(name), known), own.get(name)) for name in parent_of}
    nodes.setdefault(session, RunNode(session, "session", own.get(session)))
    for name in parent_of.keys() & own.keys():
        for workflow in _workflows(own[name], session):
            if workflow in nodes:
                nodes[workflow].kind = "workflow"
    for name, parent in parent_of.items():
        node = nodes[name]
        node.has_parent = parent is not None or node.kind == "prompt"
        nodes[parent or session].children.append(node)
    return summed(nodes[session])


def summed(root: RunNode) -> RunNode:
    """A tree with the totals and the times of its nodes, and its runs in order. A cut circle may end in runs without
    executions, which are left out."""
    for _, node in reversed(root.walk()):
        node.children = [child for child in node.children if child.run or child.children]
        runs = [node.run] if node.run else []
        node.totals = sum((child.totals for child in node.children), node.own)
        node.began_us = _least([*(run.began_us for run in runs), *(child.began_us for child in node.children)])
        ends = [*(run.last_us for run in runs), *(child.ended_us for child in node.children)]
        node.ended_us = max((end for end in ends if end is not None), default=None)
        node.children.sort(key=lambda child: (child.began_us is None, child.began_us or 0, child.id))
    return root


def _linked(session: str, own: Mapping[str, Run], known: Mapping[str, str | None]) -> dict[str, str | None]:
    """What started each run, and each run that started one; None if it is not known. Without circles."""
    found: dict[str, str | None] = {}
    waiting = sorted(own.keys() - {session})
    while waiting:
        name = waiting.pop()
        if name not in found:
            parent = known.get(name) or _workflow(own.get(name), session)
            found[name] = None if parent == name else parent
            waiting += [parent] if parent not in (None, session) else []
    for name in _circle_breakers(found):
        found[name] = None
    return found


def _circle_breakers(parent_of: Mapping[str, str | None]) -> list[str]:
    """The first run by name of each circle."""
    breakers: list[str] = []
    is_seen: set[str] = set()
    for start in parent_of:
        path: dict[str, None] = {}
        name: str | None = start
        while name is not None and name not in is_seen and name not in path:
            path[name] = None
            name = parent_of.get(name)
        if name in path:
            names = list(path)
            breakers.append(min(names[names.index(name) :]))
        is_seen |= path.keys()
    return breakers


def _kind(name: str, session: str, run: Run | None, known: Mapping[str, str | None]) -> RunKind:
    if name == session:
        return "session"
    if run is None:
        # A workflow, if it is none, becomes one by those below it.
        return "prompt" if known.get(name) == session else "agent"
    return "prompt" if MAIN in run.agents else "agent"


def _workflows(run: Run, session: str) -> set[str]:
    return {workflow for workflow in run.workflows if workflow != session}


def _workflow(run: Run | None, session: str) -> str | None:
    """The workflow that a run is part of."""
    return min(_workflows(run, session), default=None) if run else None


def _least(values: Sequence[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)
