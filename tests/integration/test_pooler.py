"""Behind PgBouncer in transaction mode: each transaction may get another session of the server."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from claude_force.database import migrate, queries
from claude_force.database.check import check
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.revisions import HEAD
from claude_force.database.writes import Store
from claude_force.executions.record import to_row
from tests import citus
from tests.builders import NOON_US, an_execution
from tests.counterparts import unused_port
from tests.daemons import eventually

POOLER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")

pytestmark = [
    pytest.mark.skipif(POOLER is None, reason="pgbouncer is not installed"),
    pytest.mark.skipif(citus.COORDINATOR is not None, reason="a pooler before a cluster must be in session mode"),
]

_SETTINGS = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
logfile = {log}
"""


@pytest.fixture
def pooled_url(postgres_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database at head through a pooler with four sessions."""
    with pooled(postgres_url, tmp_path) as url:
        yield url


@contextmanager
def pooled(direct_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a database through a pooler."""
    assert POOLER is not None
    server = urlsplit(direct_url)
    host = parse_qs(server.query)["host"][0]
    port = unused_port()
    # As root it runs as the user of the server, who can open its socket and must reach this folder.
    owner = Path(host).stat().st_uid
    folder = tmp_path / "pooler"
    folder.mkdir()
    for each in (folder, *list(folder.parents)[:-2]):
        if os.geteuid() == 0:
            each.chmod(each.stat().st_mode | 0o011)
    settings = folder / "pgbouncer.ini"
    settings.write_text(_SETTINGS.format(host=host, port=server.port or 5432, listen=port, log=folder / "log"))
    if os.geteuid() == 0:
        settings.chmod(0o644)
        os.chown(folder, owner, -1)
    user = ["-u", pwd.getpwuid(owner).pw_name] if os.geteuid() == 0 else []
    process = subprocess.Popen([POOLER, "-q", *user, str(settings)], stderr=subprocess.PIPE)
    try:
        url = f"postgresql://postgres@127.0.0.1:{port}{server.path}?prepare_threshold=none"
        eventually(lambda: is_listening(process, port))
        yield url
    finally:
        process.terminate()
        process.communicate()


def is_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether connections are taken."""
    assert process.poll() is None, process.communicate()[1]
    with suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


def test_what_is_stored_is_read(pooled_url: str) -> None:
    """Recorded alone, many at once, changed, checked."""
    executions = [an_execution(timestamp_us=NOON_US + each) for each in range(150)]
    with closing(open_database(pooled_url)) as database:
        store = Store(database)
        store.add(executions[:1])
        store.add(executions[1:])
        store.reprice([to_row(each) for each in executions[:20]])
        with database.read() as connection:
            assert queries.totals(connection, Filter()).executions == 150
        assert check(database)[0] == []


def test_one_has_a_role(pooled_url: str, postgres_url: str) -> None:
    """Others do not get it while transactions come and go, through the pooler or not; then they do."""
    with (
        closing(open_database(pooled_url)) as one,
        closing(open_database(pooled_url)) as two,
        closing(open_database(postgres_url)) as direct,
    ):
        with one.try_exclusive("scheduler") as is_mine:
            assert is_mine
            for number in range(8):
                Store(one).add([an_execution(timestamp_us=NOON_US + number)])
                for other in (one, two, direct):
                    with other.try_exclusive("scheduler") as is_theirs:
                        assert not is_theirs
        with two.try_exclusive("scheduler") as is_free:
            assert is_free


def test_a_server_that_ends_idle_transactions_leaves_the_role(postgres_url: str) -> None:
    """Who has it waits in a transaction, which is meant to be idle."""
    # More than a busy machine pauses between two statements.
    limited = f"{postgres_url}&options=-cidle_in_transaction_session_timeout%3D2000"
    with (
        closing(open_database(limited)) as one,
        closing(open_database(postgres_url)) as two,
        one.try_exclusive("scheduler") as is_mine,
    ):
        assert is_mine
        with two.read() as connection:
            connection.fetch("SELECT 1 FROM pg_sleep(2.5)")
        with two.try_exclusive("scheduler") as is_theirs:
            assert not is_theirs


def test_a_lost_connection_gives_the_role_back(postgres_url: str) -> None:
    """As in a failover: who had it can see that, others can take it, and there is no error at the end."""
    with closing(open_database(postgres_url)) as one, closing(open_database(postgres_url)) as two:
        with one.try_exclusive("scheduler") as is_mine:
            assert is_mine
            with two.write() as connection:
                connection.fetch(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            assert not is_mine
            with two.try_exclusive("scheduler") as is_free:
                assert is_free
        with one.try_exclusive("scheduler") as is_mine:
            assert is_mine


def test_a_database_is_upgraded(bare_url: str, tmp_path: Path) -> None:
    """From nothing to head."""
    with pooled(bare_url, tmp_path) as url, closing(open_database(url)) as database:
        assert migrate.upgrade(database).after == HEAD
        assert Store(database).add([an_execution(timestamp_us=NOON_US)]).added == 1
