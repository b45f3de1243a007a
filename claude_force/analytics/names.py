"""Names in a filter: the names of the store that a short name, a family or a glob means, and an error for none."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase

from claude_force.analytics.json_fields import TITLES, plural
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import ROW_NAMES, Filter, FilterDimension
from claude_force.errors import TooManyNames, UnknownName
from claude_force.executions.record import model_family
from claude_force.formatting import quantity
from claude_force.text import for_terminal

MOST_NAMES = 10_000
"""What a glob may mean. The names stand in one statement, and SQLite allows 32,766 parameters."""

NAME_USER = "claude-force config set performance.user NAME"
"""The command after which executions of this machine have a user."""

_NAMES_SHOWN = 12

_SHORTEST_PREFIX = 4
"""The number of characters of an id that may stand for the whole id."""

_WITH_IDS: tuple[FilterDimension, ...] = ("workflow_id", "session_id")
_STEPS = re.compile(r"[/\\]")
_GLOB = re.compile(r"[*?\[]")


def known_names(connection: Connection, chosen: Filter) -> Filter:
    """The filter with the full names that the store has. A name that the store has means itself. Otherwise it may be a
    glob (`review*`), the family of models (`sonnet`), the last folders of a project, or the first characters of the id
    of a workflow or a session; the last two must be unambiguous. A folder that belongs to a project selects what ran in
    that folder alone.

    Raises UnknownName for what means no name: an empty report would hide a typing error. An empty store takes every
    name. Raises TooManyNames for a glob that means more than MOST_NAMES. A filter that is the result of this function
    is returned as it is: a page of several reports looks names up once."""
    if chosen.is_of_store:
        return chosen
    if chosen.projects:
        chosen = queries.with_projects(connection, chosen)
    names: dict[FilterDimension, tuple[str, ...]] = {}
    for dimension, wanted in chosen.names():
        found = dict.fromkeys(full for name in wanted for full in _full_names(connection, chosen, dimension, name))
        if len(found) > max(MOST_NAMES, len(wanted)):
            raise TooManyNames(
                f"--{TITLES[dimension]} {for_terminal(wanted[0][:60])} means {len(found):,} {plural(dimension)}, and a "
                f"report takes {MOST_NAMES:,}; write more of the name"
            )
        names[dimension] = tuple(found)
    return queries.with_reach(connection, replace(chosen.with_names(names), is_of_store=True))


def _full_names(connection: Connection, chosen: Filter, dimension: FilterDimension, name: str) -> tuple[str, ...]:
    if queries.has_name(connection, dimension, name) or queries.time_range(connection) is None:
        return (name,)
    found = _projects(chosen, name) if dimension == "project" else _meant(connection, dimension, name)
    if not found:
        raise UnknownName(_unknown_message(connection, chosen, dimension, name))
    return found


def _projects(chosen: Filter, name: str) -> tuple[str, ...]:
    """What the name or the glob of a project means."""
    if project := chosen.project_names.full_name(name):
        return (project,)
    return chosen.project_names.matching(name) if _GLOB.search(name) else ()


def _meant(connection: Connection, dimension: FilterDimension, name: str) -> tuple[str, ...]:
    """What a glob, a family or the begin of an id means."""
    if glob := _GLOB.search(name):
        known = queries.names(connection, dimension, name[: glob.start()])
        return tuple(full for full in known if fnmatchcase(full, name))
    if dimension == "model":
        return tuple(model for model in queries.names(connection, dimension) if model_family(model) == name.lower())
    if dimension not in _WITH_IDS or len(name) < _SHORTEST_PREFIX:
        return ()
    known = queries.names(connection, dimension, name)
    if len(known) > 1:
        title, shown = TITLES[dimension], for_terminal(name)
        raise UnknownName(f"{title} {shown} is ambiguous; {_listed(known)}; '{shown}*' takes all of them")
    return tuple(known)


def _unknown_message(connection: Connection, chosen: Filter, dimension: FilterDimension, name: str) -> str:
    from difflib import get_close_matches

    known = queries.names(connection, dimension)
    if dimension == "project":
        known = sorted({chosen.project_names.of(folder) or folder for folder in known})
    families = sorted({*map(model_family, known)} - {*known}) if dimension == "model" else []
    typed = _GLOB.sub("", name)
    near = [item for item in known if typed and typed in item] or get_close_matches(typed, [*known, *families], n=1)
    if not near and dimension == "project":
        near = get_close_matches(typed, _last_folders(chosen, known), n=1)
    guess = f" did you mean {near[0]}?" if near else ""
    shown = for_terminal(name) or "''"
    how = f": {NAME_USER}" if dimension == "user_name" else ""
    listed = _listed(known) if known else f"there is none yet{how}"
    message = f"no {TITLES[dimension]} {shown} in the store;{for_terminal(guess)} {listed}"
    archived = queries.archived(connection, Filter()).executions if dimension in ROW_NAMES else 0
    if archived:
        message += f"; the {plural(dimension)} of {quantity(archived, 'archived execution')} are not known"
    return message


def _last_folders(chosen: Filter, projects: list[str]) -> list[str]:
    """The last folders of projects, as far as each means one of them."""
    folders = dict.fromkeys(_STEPS.split(project)[-1] for project in projects)
    return [folder for folder in folders if chosen.project_names.full_name(folder)]


def _listed(known: list[str]) -> str:
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    return f"there are: {for_terminal(', '.join(known[:_NAMES_SHOWN]))}{more}"
