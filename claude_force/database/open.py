"""From a location (a path or a URL) to a Database."""

from __future__ import annotations

from claude_force.database.contract import Database
from claude_force.settings.home import expand


def open_database(location: str) -> Database:
    """The database at a path, a `sqlite:///` URL or a `postgresql://` URL. Nothing is opened or created until its first
    use. Raises DatabaseError for another URL, MissingExtra where the driver is not installed."""
    if location.startswith("sqlite:///"):
        location = location.removeprefix("sqlite:///")
    if "://" not in location:
        from claude_force.database.sqlite.database import SqliteDatabase

        return SqliteDatabase(expand(location))
    from claude_force.database.postgres.database import ServerDatabase

    return ServerDatabase(location)
