"""The options that restrict a command to names, and the completion of these names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from claude_force.database import queries
from claude_force.database.queries import Filter, FilterDimension
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.errors import ClaudeForceError
from claude_force.executions.projects import ProjectNames
from claude_force.settings.home import find_home
from claude_force.time_windows import Window

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from claude_force.database.contract import Connection

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]

_NAMES = (
    "agents", "models", "workflows", "projects", "sources", "sessions", "branches", "run_labels", "hosts", "users",
)  # fmt: skip
"""The options that restrict a report to names."""

_PLAIN_NAME = r"[\w.@:/+,=%-]+"
"""A name that every shell reads as one word."""


def complete_from(names: Callable[[Connection], Sequence[str]]) -> Completer:
    """A completer for names in the database. Without a database it completes nothing."""
    return _completer(lambda connection, _: names(connection))


def _completer(names: Callable[[Connection, Workspace], Iterable[str]]) -> Completer:
    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        try:
            workspace = workspace_at(find_home(), context.params.get("location"))[0]
            with workspace.database.read() as connection:
                found = names(connection, workspace)
        except ClaudeForceError:
            return []
        return [CompletionItem(name) for name in found if name.startswith(typed) and re.fullmatch(_PLAIN_NAME, name)]

    return complete


def _complete(dimension: FilterDimension) -> Completer:
    return complete_from(lambda connection: queries.names(connection, dimension))


def _project_names(connection: Connection, workspace: Workspace) -> Iterable[str]:
    """The projects and the folders in the store."""
    by_folder = queries.with_projects(connection, Filter(project_names=workspace.project_names)).project_names.by_folder
    return sorted({*(by_folder or {}), *(by_folder or {}).values()})


_complete_projects = _completer(_project_names)


complete_ids = complete_from(lambda connection: sorted({
    *queries.names(connection, "session_id"), *queries.names(connection, "workflow_id"),
}))  # fmt: skip
"""The sessions and workflows in the store."""


MODEL_OPTION = click.option(
    "--model", "models", multiple=True, metavar="NAME", shell_complete=_complete("model"),
    help="Only this model, family (sonnet) or glob. Repeatable.",
)  # fmt: skip
FOR_MODEL_OPTION = click.option(
    "--for-model", "models", multiple=True, metavar="NAME", shell_complete=_complete("model"),
    help="Only what ran on this model, family (opus) or glob. Repeatable.",
)  # fmt: skip
"""The same for a command whose --model is another one."""

FILTER_OPTIONS = (
    click.option(
        "--agent", "agents", multiple=True, metavar="NAME", shell_complete=_complete("agent_name"),
        help="Only this agent, or all like 'review*'. Repeatable.",
    ),
    MODEL_OPTION,
    click.option(
        "--workflow", "workflows", multiple=True, metavar="NAME", shell_complete=_complete("workflow_id"),
        help="Only this workflow (its beginning is enough), or glob. Repeatable.",
    ),
    click.option(
        "--project", "projects", multiple=True, metavar="NAME", shell_complete=_complete_projects,
        help="Only this project, folder or glob. Repeatable.",
    ),
    click.option(
        "--session", "sessions", multiple=True, metavar="NAME", shell_complete=_complete("session_id"),
        help="Only this session, with all that it started. As --workflow.",
    ),
    click.option(
        "--branch", "branches", multiple=True, metavar="NAME", shell_complete=_complete("git_branch"),
        help="Only this git branch, or glob. Repeatable.",
    ),
    click.option(
        "--label", "run_labels", multiple=True, metavar="NAME", shell_complete=_complete("run_label"),
        help="Only runs with this label, or glob. Repeatable.",
    ),
    click.option(
        "--host", "hosts", multiple=True, metavar="NAME", shell_complete=_complete("host"),
        help="Only what this machine recorded, or glob. Repeatable.",
    ),
    click.option(
        "--user", "users", multiple=True, metavar="NAME", shell_complete=_complete("user_name"),
        help="Only what this user ran, or glob. Repeatable.",
    ),
    click.option(
        "--source", "sources", multiple=True, metavar="NAME", shell_complete=_complete("source"),
        help="Only claude-code, tracker or jsonl. Repeatable.",
    ),
)  # fmt: skip


def take_filter(options: dict[str, Any], window: Window, project_names: ProjectNames) -> Filter:
    """The filter of the options for names, which are taken out of `options`."""
    return Filter(window, **{name: options.pop(name) for name in _NAMES}, project_names=project_names)
