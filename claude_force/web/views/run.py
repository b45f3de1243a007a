"""One run: what it is, the tree of what it started, what failed, and its executions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.analytics.execution_lists import ExecutionList
from claude_force.analytics.run_trees import RunTree
from claude_force.reports.html.linked import Linked
from claude_force.reports.layouts.executions import RUN, executions_table, run_of
from claude_force.reports.layouts.run_tree import failures_table, head_lines, note_lines, tree_table
from claude_force.web.links import ZONE, Links
from claude_force.web.view import MOST_ROWS, View, Visit
from claude_force.web.views.parts import link_column


def _fill(visit: Visit) -> Mapping[str, Any]:
    tree: RunTree
    executions: ExecutionList
    tree, executions = visit.answer.report
    links = visit.links
    nodes, every = [node for _, node in tree.root.walk()], tree_table(tree)
    shown = every._replace(rows=every.rows[:MOST_ROWS])
    listed = executions.executions
    runs = (run_of(each) for each in listed)
    return {
        "head": [(name, _linked(name, text, tree, links)) for name, text in head_lines(tree)],
        "tree": link_column(shown, 0, (links.to("/run", id=node.id) for node in nodes[:MOST_ROWS])),
        "is_full": len(nodes) > MOST_ROWS,
        "failures": failures_table(tree) if tree.failures() else None,
        "lines": note_lines(tree),
        "executions": link_column(
            executions_table(listed, tree.zone),
            RUN,
            (links.to("/run", id=run) if run and run != tree.root.id else None for run in runs),
        ),
        "shown": len(listed),
        "matching": executions.matching,
    }


def _linked(name: str, text: str, tree: RunTree, links: Links) -> str:
    """What started the run leads there."""
    if name == "Started by" and tree.parent is not None:
        return Linked(text, links.to("/run", id=tree.parent.id))
    if name == "Session" and len(tree.sessions) == 1:
        return Linked(text, links.to("/run", id=tree.sessions[0]))
    return text


VIEW = View("/run", "Run", "run show", "run.html", _fill, navigation=False, takes=(ZONE,), argument="id", below="/runs")
