"""A database on a server as a Database."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

try:
    import psycopg
except ImportError as missing:
    from claude_force.errors import MissingExtra

    raise MissingExtra("PostgreSQL needs an extra: pip install 'claude-force[postgres]'") from missing

from claude_force.database.cluster import HAS_CITUS, Cluster
from claude_force.database.contract import AT_ONCE_S, Database, Integrity, Parameters, Progress, Role
from claude_force.database.postgres import citus
from claude_force.database.postgres.connection import UNLIMITED, ServerConnection, run_together
from claude_force.database.postgres.errors import translate
from claude_force.database.postgres.pool import Pool, works
from claude_force.database.postgres.server_url import connection_options
from claude_force.database.postgres.values import Raw, connect
from claude_force.database.revisions import VERSION_TABLE, refuse_other_schema
from claude_force.errors import DatabaseError, DatabaseMissing
from claude_force.settings.location import without_password

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from claude_force.database.ad_hoc import Answer, QueryLimits

_ROLE_LOCKS = 0x636C6673
"""The upper half of the keys of the advisory locks of roles; the lower half is a checksum of the role."""

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""The store relies on it, whatever the server's default is."""

_NOTICED = """
SELECT COUNT(set_config(name, value, true)) FROM (VALUES
('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3')
) AS known (name, value)
"""
"""Lets the server notice within half a minute that the machine of a session has vanished."""

_TAKE_ROLE = f"SELECT pg_try_advisory_xact_lock($1) FROM ({UNLIMITED}) AS unlimited, ({_NOTICED}) AS noticed"
"""The lock is one of a transaction, which waits until the role is given back: behind a pooler that gives each
transaction another session, a lock of a session would stay with a session that others get. Between its statements such
a transaction has no snapshot, so it keeps no row from being vacuumed."""

_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position
"""


class ServerDatabase(Database):
    """A database on a PostgreSQL server."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        self._options = connection_options(url)
        self.name = without_password(url)
        self._pool = Pool(self._options)
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._verified = False
        self._is_distributed = False
        self._waits = True
        self._pid = os.getpid()

    @contextmanager
    def read(self) -> Iterator[ServerConnection]:
        self._verify()
        with (
            self._connected() as raw,
            _transaction(
                ServerConnection(raw, _READ, is_snapshot=True, is_distributed=self._is_distributed)
            ) as connection,
        ):
            if self._is_distributed:
                citus.fix_snapshot(raw, connection)
            yield connection

    def ask(self, sql: str, limits: QueryLimits) -> Answer:
        from claude_force.database.ad_hoc import checked
        from claude_force.database.postgres import ad_hoc

        query = checked(sql)
        self._verify()
        try:
            # Not of the pool: what a function set for the session ends with it.
            with closing(connect(self._options)) as raw:
                return ad_hoc.ask(raw, query, limits, is_distributed=self._is_distributed)
        except (psycopg.Error, UnicodeError) as error:
            raise translate(error, self.name, self._options) from error

    @contextmanager
    def write(self) -> Iterator[ServerConnection]:
        self._verify()
        with (
            self._connected() as raw,
            _transaction(ServerConnection(raw, _WRITE, is_distributed=self._is_distributed)) as connection,
        ):
            if not self._waits:
                connection.execute(f"SET LOCAL lock_timeout = {AT_ONCE_S * 1000:.0f}")
            yield connection

    @property
    def writes_together(self) -> bool:
        self._verify()
        # Citus plans an INSERT inside WITH anew each time: it takes three times as long as `write` there.
        return self._waits and not self._is_distributed

    def write_together(self, statements: Sequence[tuple[str, Parameters]]) -> list[int]:
        self._verify()
        with self._connected() as raw:
            return run_together(raw, statements)

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        self._waits = False
        try:
            yield
        finally:
            self._waits = True

    @contextmanager
    def write_at_once(self) -> Iterator[ServerConnection]:
        with self.write() as connection:
            connection.execute(f"SET LOCAL lock_timeout = {AT_ONCE_S * 1000:.0f}")
            yield connection

    def engine(self) -> Engine:
        """SQLAlchemy's engine of this process, for migrations. A forked child gets its own and leaves its parent's
        sockets alone."""
        from sqlalchemy import create_engine

        with self._lock:
            if self._engine is not None and self._pid != os.getpid():
                self._engine.dispose(close=False)
                self._engine = None
            if self._engine is None:
                self._pid = os.getpid()
                # Its URL is empty: there is one reader of URLs.
                self._engine = create_engine("postgresql+psycopg://", connect_args=dict(self._options))
            return self._engine

    @contextmanager
    def _connected(self) -> Iterator[Raw]:
        """A connection of the pool in autocommit mode. Raises DatabaseError in place of the errors of psycopg."""
        try:
            raw, generation = self._pool.take()
            try:
                yield raw
            finally:
                self._pool.give(raw, generation)
        except (psycopg.Error, UnicodeError) as error:
            raise translate(error, self.name, self._options) from error

    def _verify(self) -> None:
        if self._verified:
            return
        revision, has_citus = self._state()
        if revision is None:
            raise DatabaseMissing(
                f"{self.name} has no tables of claude-force: run `claude-force db upgrade` to make them, or name "
                "another database"
            )
        refuse_other_schema(self.name, revision)
        if has_citus:
            with self._connected() as raw:
                self._is_distributed = citus.is_distributed(raw)
        self._verified = True

    def exists(self) -> bool:
        return self.revision() is not None

    def change_mark(self) -> object:
        # Every write moves it, those to other databases of the server as well. A standby has no place to insert.
        with self._connected() as raw:
            if self._is_distributed:
                return citus.change_mark(raw)
            return raw.execute(
                "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
                "ELSE pg_current_wal_insert_lsn() END::text"
            ).fetchone()

    def revision(self) -> str | None:
        return self._state()[0]

    def _state(self) -> tuple[str | None, bool]:
        """The revision, and whether the server has Citus."""
        sql = f"SELECT version_num, {HAS_CITUS} FROM {VERSION_TABLE}"
        try:
            with self._connected() as raw:
                row = raw.execute(sql.encode()).fetchone()
        except DatabaseError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
                self._refuse_worker()
                return None, False
            raise
        return (None, False) if row is None else (str(row[0]), bool(row[1]))

    def _refuse_worker(self) -> None:
        with self._connected() as raw:
            coordinator = citus.coordinator_of(raw)
        if coordinator is not None:
            raise DatabaseError(
                f"{self.name} is a worker of Citus, which holds a part of the rows: name the coordinator, {coordinator}"
            )

    def cluster(self) -> Cluster | None:
        with self._connected() as raw:
            return citus.cluster_of(raw)

    def optimize(self) -> None:
        """Nothing to do: the server has autovacuum."""

    @contextmanager
    def try_exclusive(self, role: str) -> Iterator[Role]:
        key = [_ROLE_LOCKS << 32 | crc32(role.encode())]
        # The connection holds the lock, so it must not go back to the pool before the end of the block.
        with self._connected() as keeper:
            keeper.execute(_WRITE)
            try:
                yield _HeldRole(keeper) if keeper.execute(_TAKE_ROLE, key).fetchone() == (True,) else False
            finally:
                # A broken connection has released the lock already.
                with suppress(psycopg.Error):
                    keeper.execute("ROLLBACK")

    def version(self) -> str:
        with self._connected() as raw:
            (version,) = raw.execute("SHOW server_version").fetchone() or ("",)
        return f"PostgreSQL {version}"

    def definition(self) -> list[str]:
        with self._connected() as raw:
            rows = [tuple(map(str, row)) for row in raw.execute(_COLUMNS)]
        return [
            f"{table}.{name} {kind}{' NOT NULL' if nullable == 'NO' else ''}" for table, name, kind, nullable in rows
        ]

    def check_integrity(self, *, is_quick: bool = False) -> Integrity:
        from claude_force.database import amcheck, schema

        with self._connected() as raw:
            found = amcheck.check(raw, schema.metadata.tables, is_quick=is_quick)
            if citus.is_distributed(raw):
                unchecked = "; ".join(filter(None, [found.unchecked, "the shards on the workers"]))
                return found._replace(unchecked=unchecked)
            return found

    def backup(self, target: Path, progress: Progress | None = None) -> None:  # noqa: ARG002  (for files)
        raise DatabaseError(f"{self.name} is on a server: use pg_dump --format=custom --file={target}")

    def uid_literal(self, uid: bytes) -> str:
        return f"CAST('{uid.hex()}' AS UUID)"

    def close(self) -> None:
        self._pool.close()
        with self._lock:
            if self._engine is not None:
                self._engine.dispose(close=self._pid == os.getpid())
            self._engine = None
        self._verified = False


class _HeldRole:
    """A role that lasts as long as the connection that asked for it."""

    def __init__(self, keeper: Raw) -> None:
        self._keeper = keeper

    def __bool__(self) -> bool:
        return works(self._keeper)


@contextmanager
def _transaction(connection: ServerConnection) -> Iterator[ServerConnection]:
    """Committed at the end of the block, rolled back if it raises."""
    try:
        yield connection
    except BaseException:
        connection.roll_back()
        raise
    connection.commit()
