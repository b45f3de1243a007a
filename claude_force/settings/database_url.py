"""`performance.database`, whose password is a secret as those of channels are.

| in claude.json | the password comes from |
|---|---|
| `"database": "${PGURL}"` | the variable, which holds the whole URL |
| `"database": "postgresql://user:${PGPASSWORD}@host/metrics"` | the variable, as it is: it needs no percent signs |
| `"database": "postgresql://user@host/metrics", "database_password_file": "pgpass"` | the first line of the file |
| `"database": "postgresql://user@host/metrics"` | what libpq finds: PGPASSWORD, ~/.pgpass |
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from claude_force.errors import SettingsError
from claude_force.settings.values import REFERENCE

if TYPE_CHECKING:
    from claude_force.settings.claude_json import Settings
    from claude_force.settings.fields import Fields

REMEDY = 'set PGURL and write "${PGURL}", or put it into a file that performance.database_password_file names'

_NO_SERVER = (
    "is only for a postgresql:// URL in performance.database; "
    "to remove it: claude-force config unset performance.database_password_file"
)
_IN_LOGIN = r"://[^:/?]*:(.*)@"
_IN_QUERY = r"(?i)[?&][^=&]*password=([^&]*)"
_PASSWORD_REFERENCE = rf"://[^:/?@]*:{REFERENCE.pattern}@"
_SERVER = r"(?i)(postgres[^:/]*://)([^/?#]*@)?"


def holds_password(database: str) -> bool:
    """Whether a URL holds a password itself, not as a reference to a variable."""
    if "://" not in database:
        return False
    found = [*re.findall(_IN_LOGIN, database), *re.findall(_IN_QUERY, database)]
    return any(password and not REFERENCE.search(password) for password in found)


def configured_database(settings: Settings, settings_file: Path) -> str | None:
    """The path or URL in the settings, with its variables replaced and its password in it; None if they name none.
    Raises SettingsError, whose text begins with the file."""
    database, file = settings.database, settings.database_password_file
    if file is None and (database is None or "${" not in database):
        return database
    found, fields = _read(settings, os.environ, settings_file.parent)
    if fields.problems:
        problems = "; ".join(f"performance.{problem}" for problem in fields.problems)
        raise SettingsError(f"{settings_file}: {problems}")
    return found


def database_problems(settings: Settings, folder: Path) -> list[str]:
    """What is wrong with the database in the settings, whichever variables are set; one line each."""
    _, fields = _read(settings, os.environ, folder)
    return [f"performance.{problem}" for problem in fields.lasting().others]


def _read(settings: Settings, environment: Mapping[str, str], folder: Path) -> tuple[str, Fields]:
    """The database, and the fields with their problems."""
    from urllib.parse import quote

    from claude_force.settings.fields import Fields

    known = {"database": settings.database, "database_password_file": settings.database_password_file}
    given = {name: value for name, value in known.items() if value is not None}
    inner = re.search(_PASSWORD_REFERENCE, settings.database or "")
    if inner and environment.get(inner[1]):
        # The variable holds the password as it is; in a URL some characters are written otherwise.
        environment = {**environment, inner[1]: quote(environment[inner[1]], safe="")}
    fields = Fields("performance", given, {"database": None, "database_password": "PGPASSWORD"}, environment, folder)
    found = fields.text("database", "")
    if settings.database_password_file is not None:
        found = _with_password(fields, found)
    return found, fields


def _with_password(fields: Fields, url: str) -> str:
    """The URL with the password of the file."""
    from urllib.parse import quote

    password = fields.secret("database_password").reveal()
    server = re.match(_SERVER, url)
    if REFERENCE.search(str(fields.given.get("database"))) and not url.strip():
        return url
    if server is None:
        fields.problem("database_password_file", _NO_SERVER)
        return url
    login = (server[2] or "").removesuffix("@")
    if not login:
        fields.problem("database", "needs a user beside database_password_file: postgresql://user@host/name")
    elif ":" in login or re.search(_IN_QUERY, url):
        fields.problem("database_password_file", "and the password in database exclude each other; remove one of them")
    return f"{server[1]}{login}:{quote(password, safe='')}@{url[server.end() :]}"
