"""Schema revisions: which one this program needs, and what to do about a database that has another."""

from __future__ import annotations

from claude_force.errors import SchemaOutdated, SchemaTooNew

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every schema revision, oldest first; the last one is what this program needs. A test holds it equal to alembic's, so
that checking a database does not import alembic."""


HEAD = REVISIONS[-1]


VERSION_TABLE = "claude_force_version"
"""Where the revision is recorded: a name of our own, since a team's database may hold other programs of alembic."""


def refuse_other_schema(name: str, found: str | None) -> None:
    """Raise unless the revision found in a database is the one that this program needs. The remedy differs: an older
    database is migrated, an older program is upgraded."""
    if found == HEAD:
        return
    if found is None or found in REVISIONS:
        raise SchemaOutdated(
            f"{name} has schema {found or 'none'}, this program needs {HEAD}: run `claude-force db upgrade`"
        )
    raise SchemaTooNew(
        f"{name} has schema {found}, which this program does not know: a newer claude-force wrote it; "
        "upgrade claude-force"
    )
