"""Which database is used: the first of `--db`, CLAUDE_FORCE_DB, claude.json, and the file of the home.

A store that a project has, but that nothing names, comes before the database of the user's claude.json."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from claude_force.errors import SettingsError
from claude_force.settings.claude_json import Settings, absolute_location
from claude_force.settings.database_url import configured_database
from claude_force.settings.home import SECTION, Home, expand, user_home

DATABASE_VARIABLE = "CLAUDE_FORCE_DB"

_LOGIN = r"(?<=://)([^:/?]*):(.*)(?=@)"
_USER = r"(://[^:/?@]+)@"
_IN_QUERY = r"(?i)([?&][^=&]*password=)[^&]*"


def without_password(location: str) -> str:
    """A path or URL without its password, for messages."""
    if "://" not in location:
        return location
    return re.sub(_IN_QUERY, r"\1***", re.sub(_LOGIN, r"\1:***", location))


def names_of_server(location: str) -> tuple[str, str]:
    """The two names of a server's database in the names of our files: as `without_password` shows it, and the other of
    with and without the *** of a password. Where the password comes from may change."""
    shown = without_password(location)
    other = shown.replace(":***@", "@", 1) if ":***@" in shown else re.sub(_USER, r"\1:***@", shown, count=1)
    return shown, other


class NamedLocation(NamedTuple):
    """The path or server URL of a database, and why it is used, as `config path` says it."""

    location: str
    reason: str


def named_location(flag: str | None) -> str | None:
    """The database that the user named for this command: the flag, else CLAUDE_FORCE_DB; None if neither does."""
    return flag or os.environ.get(DATABASE_VARIABLE) or None


def database_location(settings: Settings, home: Home, flag: str | None = None) -> str:
    """The path or server URL of the database: the flag, CLAUDE_FORCE_DB, the settings (where a path is relative to the
    folder that holds `.claude`), or the file of the home. Raises SettingsError if the password or a variable of the
    database in the settings cannot be found."""
    return explained_location(settings, home, flag).location


def explained_location(settings: Settings, home: Home, flag: str | None = None) -> NamedLocation:
    """`database_location`, with its reason."""
    if flag:
        return NamedLocation(_full(flag), "--db names it")
    if named := os.environ.get(DATABASE_VARIABLE):
        return NamedLocation(_full(named), f"{DATABASE_VARIABLE} names it")
    file = home.shared_settings_file or home.settings_file
    if not home.is_found and (database := configured_database(settings, file)):
        named = absolute_location(database, file.parent)
        return NamedLocation(_full(named), f"{SECTION}.database in {file} names it")
    return NamedLocation(str(home.database_file), _reason_of(home))


def _reason_of(home: Home) -> str:
    """Why the file of a home is used."""
    if home.is_found:
        return "this project has it already"
    if home.metrics_folder == user_home().metrics_folder:
        return "the store of this user, for all projects"
    return f"{SECTION}.metrics_file in {home.settings_file} names a file beside it"


def _full(location: str) -> str:
    named = location.removeprefix("sqlite:///") or location
    if "://" in named:
        return named
    try:
        return str(expand(named))
    except SettingsError:
        # Opening reports it: a tracker must not fail before it has something to record.
        return named
