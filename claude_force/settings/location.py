"""Which database is used: the first of `--db`, CLAUDE_FORCE_DB, claude.json, and the home's own file."""

from __future__ import annotations

import os
import re

from claude_force.errors import SettingsError
from claude_force.settings.claude_json import Settings
from claude_force.settings.home import Home, expand

DATABASE_VARIABLE = "CLAUDE_FORCE_DB"

_LOGIN = re.compile(r"(?<=://)([^:/?]*):(.*)(?=@)")
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*password=)[^&]*", re.IGNORECASE)


def without_password(location: str) -> str:
    """A path or URL without its password, for messages."""
    if "://" not in location:
        return location
    return _SECRET_PARAMETER.sub(r"\1***", _LOGIN.sub(r"\1:***", location))


def database_location(settings: Settings, home: Home, flag: str | None = None) -> str:
    """The path or server URL of the database: the flag, CLAUDE_FORCE_DB, the settings (where a path is relative to the
    folder that holds `.claude`), or the home's own file."""
    named = flag or os.environ.get(DATABASE_VARIABLE)
    if not named and settings.database:
        named = settings.database
        if "://" not in named:
            # A path in the settings must not depend on the working folder.
            named = os.path.join(home.folder.parent, os.path.expanduser(named))  # noqa: PTH111, PTH118
    if not named:
        return str(home.database_file)
    named = named.removeprefix("sqlite:///") or named
    if "://" in named:
        return named
    try:
        return str(expand(named))
    except SettingsError:
        # Opening reports it: a tracker must not fail before it has something to record.
        return named
