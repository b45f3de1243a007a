"""Names in a filter: the full name for a short one, and an error for an unknown one."""

from __future__ import annotations

from claude_force.analytics.json_fields import TITLES, plural
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import ROW_NAMES, Dimension, Filter
from claude_force.errors import UnknownName
from claude_force.formatting import quantity
from claude_force.text import for_terminal

_NAMES_SHOWN = 12

_SHORTEST_PREFIX = 4
"""The number of characters of an id that may stand for the whole id."""


def known_names(connection: Connection, chosen: Filter) -> Filter:
    """The filter with the full names that the store has. The last folders of a project are enough, and a prefix of the
    id of a workflow or a session, if they are unambiguous. A folder that belongs to a project selects what ran in that
    folder alone.

    Raises UnknownName for a name that the store has never seen: an empty report would hide a typing error. An empty
    store takes every name."""
    if chosen.projects:
        chosen = queries.with_projects(connection, chosen)
    names = {
        dimension: tuple(_full_name(connection, chosen, dimension, name) for name in wanted)
        for dimension, wanted in chosen.names()
    }
    return chosen.with_names(names)


def _full_name(connection: Connection, chosen: Filter, dimension: Dimension, name: str) -> str:
    if queries.has_name(connection, dimension, name) or queries.time_range(connection) is None:
        return name
    if dimension == "project" and (project := chosen.project_names.full_name(name)):
        return project
    known = queries.names(connection, dimension)
    matches: list[str] = []
    if dimension in ("workflow_id", "session_id") and len(name) >= _SHORTEST_PREFIX:
        matches = [workflow for workflow in known if workflow.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if dimension == "project":
        known = sorted({chosen.project_names.of(folder) or folder for folder in known})
    message = _unknown_message(TITLES[dimension], name, known)
    archived = queries.archived(connection, Filter()).executions if dimension in ROW_NAMES else 0
    if archived:
        message += f"; the {plural(dimension)} of {quantity(archived, 'archived execution')} are not known"
    raise UnknownName(message)


def _unknown_message(title: str, name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = [item for item in known if name in item] or get_close_matches(name, known, n=1)
    guess = f" did you mean {near[0]}?" if near else ""
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    shown = for_terminal(", ".join(known[:_NAMES_SHOWN])) or "none"
    return f"no {title} {for_terminal(name)} in the store;{for_terminal(guess)} there are: {shown}{more}"
