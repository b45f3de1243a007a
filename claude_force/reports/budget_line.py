"""The budget in the status line: "budget shop 81% of $200.00/month".

Of the budgets of the project and branch that Claude Code works in, it is the one nearest to its limit; of all budgets,
if there is none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.analytics.budgets import chosen_by
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Filter
from claude_force.database.queries.projects import repositories
from claude_force.executions.projects import ProjectNames, name_projects
from claude_force.executions.record import NANOUSD
from claude_force.formatting import money, percent
from claude_force.ingest.branches import branch_of
from claude_force.ingest.freshness import Freshness
from claude_force.settings.budgets import Budget
from claude_force.text import for_terminal


class _Used(NamedTuple):
    """A budget, the percentage that is spent, and whether that is all that is known to be."""

    percent: float
    budget: Budget
    is_complete: bool


def budget_part(
    database: Database,
    budgets: Iterable[Budget],
    project_names: ProjectNames,
    folder: str | None,
    zone: tzinfo,
    freshness: Freshness,
) -> str:
    """The part of the line; "" if no cost of a budget is known. `folder` is where Claude Code works."""
    with database.read() as connection:
        names = queries.with_projects(connection, Filter(project_names=project_names)).project_names
        here = list(_here(connection, budgets, names, folder))
        used = [found for each in here or budgets if (found := _used(connection, each, names, zone, freshness))]
    return _text(max(used, key=lambda found: found.percent)) if used else ""


def _here(
    connection: Connection, budgets: Iterable[Budget], names: ProjectNames, folder: str | None
) -> Iterator[Budget]:
    """The budgets of the project and the branch of a folder."""
    if folder is None:
        return
    project, branch = _project_of(connection, names, folder), branch_of(folder)
    for budget in budgets:
        own = None if budget.project is None else names.full_name(budget.project) or budget.project
        is_named = own is not None or budget.branch is not None
        if is_named and budget.agent is None and own in (None, project) and budget.branch in (None, branch):
            yield budget


def _project_of(connection: Connection, names: ProjectNames, folder: str) -> str:
    """The project of a folder, also of one in which nothing ran yet."""
    known = names.by_folder or {}
    for each in (folder, *map(str, Path(folder).parents)):
        if each in known:
            return known[each]
    return name_projects([folder], repositories(connection), names.globs)[folder]


def _used(
    connection: Connection, budget: Budget, names: ProjectNames, zone: tzinfo, freshness: Freshness
) -> _Used | None:
    """What of a budget is spent; None if that is not known."""
    totals = queries.totals(connection, chosen_by(connection, budget, names, zone, freshness.as_of_us))
    if totals.cost is None or (freshness.is_incomplete and totals.is_empty):
        return None
    return _Used(100 * totals.cost_nanousd / (budget.usd * NANOUSD), budget, not totals.unpriced)


def _text(found: _Used) -> str:
    budget, least = found.budget, "" if found.is_complete else "at least "
    names = [os.path.basename(name) or name if key == "project" else name for key, name in budget.scope.items()]  # noqa: PTH119
    words = " ".join(["budget", *map(for_terminal, names)])
    return f"{words} {least}{percent(found.percent, 0)} of {money(budget.usd)}/{budget.per}"


def folder_of(session: Any) -> str | None:
    """The folder that Claude Code sent; None if it sent none."""
    workspace = session.get("workspace") if isinstance(session, dict) else None
    sent = [workspace.get("current_dir")] if isinstance(workspace, dict) else []
    sent += [session.get("cwd")] if isinstance(session, dict) else []
    return next((each for each in sent if isinstance(each, str) and os.path.isabs(each) and "\0" not in each), None)  # noqa: PTH117
