"""Schema revisions: which one this program needs, and the error for a database that has another."""

from __future__ import annotations

from claude_force.errors import SchemaOutdated, SchemaTooNew

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
)
"""Every schema revision, oldest first. A test compares it with alembic's, so that checking a database does not import
alembic."""

HEAD = REVISIONS[-1]
"""The revision that this program needs."""

VERSION_TABLE = "claude_force_version"
"""The table that holds the revision. Not alembic's default name: a team's database may hold other alembic programs."""


def refuse_other_schema(name: str, revision: str | None) -> None:
    """Raise SchemaOutdated for a database of an older revision (remedy: upgrade the database), SchemaTooNew for one
    that this program does not know (remedy: upgrade the program)."""
    if revision == HEAD:
        return
    if revision is None or revision in REVISIONS:
        raise SchemaOutdated(
            f"{name} has schema {revision or 'none'}, this program needs {HEAD}: run `claude-force db upgrade`"
        )
    raise SchemaTooNew(
        f"{name} has schema {revision}, which this program does not know: a newer claude-force wrote it; "
        "upgrade claude-force"
    )
