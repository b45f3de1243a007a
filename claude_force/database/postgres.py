"""PostgreSQL through SQLAlchemy and psycopg. Nothing here is imported until a URL asks for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import lru_cache
from itertools import repeat
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zlib import crc32

try:
    import psycopg  # noqa: F401  (imported here, where a message can name the missing extra)
    from sqlalchemy import TextClause, create_engine, text
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
    from sqlalchemy.pool import NullPool
except ImportError as missing:
    from claude_force.errors import MissingExtra

    raise MissingExtra("PostgreSQL needs an extra: pip install 'claude-force[postgres]'") from missing

from claude_force.database.contract import AT_ONCE_S, Connection, Database, Integrity, Parameters, Progress, Row
from claude_force.database.revisions import VERSION_TABLE, refuse_other_schema
from claude_force.errors import DatabaseBusy, DatabaseError, DatabaseFull, DatabaseMissing, DatabaseUnavailable
from claude_force.settings.location import without_password

if TYPE_CHECKING:
    from sqlalchemy import Connection as EngineConnection
    from sqlalchemy import Engine

CONNECT_TIMEOUT_S = 10

_ALWAYS_THERE, _ASKING_TIMEOUT_S = "postgres", 2
"""The database that a server has unless somebody dropped it, and how long to wait for it to learn of the others."""

_ROWS_AT_ONCE = 500
"""Rows in one statement; a statement can have 65,535 parameters."""

_ROLLUP_LOCK = 0x636C6672
"""The key of the advisory lock of transactions that change the roll-ups."""

_ROLE_LOCKS = 0x636C6673
"""The upper half of the keys of the advisory locks of roles; the lower half is a checksum of the role."""

_DISK_FULL, _LOCK_TIMEOUT = "53100", "55P03"
_CONNECTION_STATES = ("08", "57P")
"""SQLSTATE: connection exceptions, and a server that is shutting down or starting."""


@lru_cache(maxsize=256)
def _statement(sql: str) -> TextClause:
    return text(sql)


class ServerConnection(Connection):
    """A transaction on a server."""

    def __init__(self, raw: EngineConnection, *, is_snapshot: bool = False) -> None:
        super().__init__(is_snapshot=is_snapshot)
        self._raw = raw

    def execute(self, sql: str, parameters: Parameters = {}) -> int:
        return self._raw.execute(_statement(sql), dict(parameters)).rowcount

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> int:
        return self._raw.execute(_statement(sql), [dict(row) for row in rows]).rowcount if rows else 0

    def insert_new(self, table: str, columns: tuple[str, ...], rows: Sequence[Row], other: str) -> Sequence[Any]:
        new: list[Any] = []
        marks = f"({', '.join(['%s'] * len(columns))})"
        # Every transaction inserts in the order of the keys, so that two with the same rows cannot deadlock.
        ordered = sorted(rows, key=itemgetter(0))
        for start in range(0, len(ordered), _ROWS_AT_ONCE):
            part: dict[Any, Row] = {}
            for row in ordered[start : start + _ROWS_AT_ONCE]:
                part.setdefault(row[0], row)
            sql = (
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([marks] * len(part))} "
                f"ON CONFLICT DO NOTHING RETURNING {columns[0]}"
            )
            values = tuple(value for row in part.values() for value in row)
            inserted = [row[0] for row in self._raw.exec_driver_sql(sql, values)]
            # After the insert: it waits for a transaction that is moving the key to `other`, and only the next
            # statement sees the key there.
            moved = self._delete_moved(table, columns[0], inserted, other)
            new += [key for key in inserted if key not in moved]
        return new

    def insert_columns(
        self, table: str, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any], other: str
    ) -> Sequence[Any]:
        columns = [*each.values(), *map(repeat, same.values())]
        # The values in `same` have no end.
        return self.insert_new(table, (*each, *same), list(zip(*columns, strict=False)), other)

    def _delete_moved(self, table: str, key: str, inserted: Sequence[Any], other: str) -> set[Any]:
        """Delete the inserted rows whose key `other` has; returns these keys."""
        if not inserted:
            return set()
        sql = (
            f"DELETE FROM {table} WHERE {key} IN ({', '.join(['%s'] * len(inserted))}) "
            f"AND EXISTS (SELECT 1 FROM {other} WHERE {other}.{key} = {table}.{key}) RETURNING {key}"
        )
        return {row[0] for row in self._raw.exec_driver_sql(sql, tuple(inserted))}

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str, values: str = "") -> None:
        if rows and values:
            names = [f"value_{number}" for number in range(len(rows[0]))]
            sql = f"INSERT INTO {into} VALUES ({values.format(*(f':{name}' for name in names))}) {otherwise}"
            self.execute_many(sql, [dict(zip(names, row, strict=True)) for row in rows])
        elif rows:
            sql = f"INSERT INTO {into} VALUES ({', '.join(['%s'] * len(rows[0]))}) {otherwise}"
            self._raw.exec_driver_sql(sql, list(rows))

    def lock_rollups(self) -> None:
        self.fetch("SELECT pg_advisory_xact_lock(:key)", {"key": _ROLLUP_LOCK})

    def try_lock_rollups(self) -> bool:
        return bool(self.fetch("SELECT pg_try_advisory_xact_lock(:key)", {"key": _ROLLUP_LOCK})[0][0])

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        return [tuple(row) for row in self._raw.execute(_statement(sql), dict(parameters))]

    def stream(self, sql: str, parameters: Parameters = {}) -> Iterator[Row]:
        options = {"stream_results": True}
        with self._raw.execute(_statement(sql), dict(parameters), execution_options=options) as result:
            yield from map(tuple, result)


class ServerDatabase(Database):
    """A database on a PostgreSQL server."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self.name = without_password(url)
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._verified = False
        self._waits = True
        self._pid = os.getpid()

    @contextmanager
    def read(self) -> Iterator[ServerConnection]:
        self._verify()
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._connected() as raw:
            yield ServerConnection(raw.execution_options(**options), is_snapshot=True)

    @contextmanager
    def write(self) -> Iterator[ServerConnection]:
        self._verify()
        with self._connected() as raw, raw.begin():
            connection = ServerConnection(raw)
            if not self._waits:
                connection.execute(f"SET LOCAL lock_timeout = {AT_ONCE_S * 1000:.0f}")
            yield connection

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
        """The engine of this process. A forked child gets its own and leaves its parent's sockets alone."""
        with self._lock:
            if self._engine is not None and self._pid != os.getpid():
                self._engine.dispose(close=False)
                self._engine = None
            if self._engine is None:
                self._pid = os.getpid()
                self._engine = create_engine(
                    self.url,
                    pool_pre_ping=True,
                    # The store relies on it, whatever the server's default is.
                    isolation_level="READ COMMITTED",
                    connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
                )
            return self._engine

    @contextmanager
    def _connected(self) -> Iterator[EngineConnection]:
        """A connection of the pool. Raises DatabaseError in place of the errors of SQLAlchemy."""
        pid, engine = os.getpid(), self.engine()
        try:
            with self._translated(), engine.connect() as raw:
                yield raw
        finally:
            if engine is not self._engine and pid == os.getpid():
                # Another thread closed the database meanwhile, so nobody uses the pool any more to which the
                # connection went back: it would count against the limit of the server until it is collected.
                engine.pool.dispose()

    def _verify(self) -> None:
        if self._verified:
            return
        revision = self.revision()
        if revision is None:
            raise DatabaseMissing(
                f"{self.name} has no tables of claude-force: run `claude-force db upgrade` to make them, or name "
                "another database"
            )
        refuse_other_schema(self.name, revision)
        self._verified = True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state == _DISK_FULL:
                raise DatabaseFull(f"the disk of {self.name} is full: {_reason(error)}") from error
            if state == _LOCK_TIMEOUT:
                raise DatabaseBusy(
                    f"{self.name} was locked by another process; nothing was written, try again"
                ) from error
            if state is not None and not state.startswith(_CONNECTION_STATES):
                raise DatabaseError(f"{self.name}: {_reason(error)}") from error
            self._refuse_missing(_reason(error))
            raise DatabaseUnavailable(f"cannot reach {self.name}: {_reason(error)}") from error
        except SQLAlchemyError as error:
            raise DatabaseError(f"{self.name}: {_reason(error)}") from error
        except UnicodeError as error:
            # A host name that cannot be encoded for a name server.
            raise DatabaseUnavailable(f"cannot reach {self.name}: {error}") from error

    def _refuse_missing(self, reason: str) -> None:
        """Raise DatabaseMissing if that is why it cannot be reached. The reason is in the language of the server, so
        the server is asked for its databases; only if the reason has the name, because others mean more waiting."""
        name = self.url.database
        if not name or name not in reason:
            return
        others = _databases(self.url)
        if others and name not in others:
            near = get_close_matches(name, others, 1)
            remedy = f"did you mean {near[0]}?" if near else f"createdb {name} makes it, then: claude-force db upgrade"
            raise DatabaseMissing(f"no database {name} on the server of {self.name}; {remedy}")

    def exists(self) -> bool:
        return self.revision() is not None

    def revision(self) -> str | None:
        with self._connected() as raw:
            if raw.execute(text(f"SELECT to_regclass('{VERSION_TABLE}')")).scalar() is None:
                return None
            revision = raw.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return None if revision is None else str(revision)

    def optimize(self) -> None:
        """Nothing to do: the server has autovacuum."""

    @contextmanager
    def try_exclusive(self, role: str) -> Iterator[bool]:
        with self._connected() as keeper:
            keeper.execution_options(isolation_level="AUTOCOMMIT")
            key = {"key": _ROLE_LOCKS << 32 | crc32(role.encode())}
            # The connection holds the lock, so it must not go back to the pool before the end of the block.
            if not keeper.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar():
                yield False
                return
            try:
                yield True
            finally:
                # A broken connection has released the lock already.
                with suppress(SQLAlchemyError):
                    keeper.execute(text("SELECT pg_advisory_unlock(:key)"), key)

    def version(self) -> str:
        with self._connected() as raw:
            return f"PostgreSQL {raw.execute(text('SHOW server_version')).scalar()}"

    def definition(self) -> list[str]:
        columns = (
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"
        )
        with self._connected() as raw:
            rows = [tuple(map(str, row)) for row in raw.execute(text(columns))]
        return [
            f"{table}.{name} {kind}{' NOT NULL' if nullable == 'NO' else ''}" for table, name, kind, nullable in rows
        ]

    def check_integrity(self, *, is_quick: bool = False) -> Integrity:
        from claude_force.database import amcheck, schema

        with self._connected() as raw:
            raw.execution_options(isolation_level="AUTOCOMMIT")
            return amcheck.check(raw, schema.metadata.tables, is_quick=is_quick)

    def backup(self, target: Path, progress: Progress | None = None) -> None:  # noqa: ARG002  (for files)
        raise DatabaseError(f"{self.name} is on a server: use pg_dump --format=custom --file={target}")

    def uid_literal(self, uid: bytes) -> str:
        return f"'{UUID(bytes=uid)}'"

    def encode_uid(self, uid: bytes) -> UUID:
        return UUID(bytes=uid)

    def decode_uid(self, value: Any) -> bytes:
        assert isinstance(value, UUID)
        return value.bytes

    def close(self) -> None:
        with self._lock:
            if self._engine is not None and self._pid == os.getpid():
                # Not the engine, which would get another pool: see `_connected`.
                self._engine.pool.dispose()
            elif self._engine is not None:
                self._engine.dispose(close=False)
            self._engine = None
            self._verified = False


def parse_url(url: str) -> URL:
    """The URL with our driver. Raises DatabaseError if it is not a PostgreSQL URL."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseError(
            "the database URL cannot be read; it looks like postgresql://user@host:port/name, the port a number"
        ) from None
    if "@" in (parsed.host or ""):
        raise DatabaseError("a password with an @ in it must be written with %40 in the database URL")
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseError(
            f"no support for {parsed.get_backend_name()} databases: give a file, or a postgresql:// URL"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _databases(url: URL) -> list[str]:
    """The databases of a server that this user may connect to; empty if that cannot be found out."""
    connect = {"connect_timeout": _ASKING_TIMEOUT_S}
    engine = create_engine(url.set(database=_ALWAYS_THERE), poolclass=NullPool, connect_args=connect)
    names = text("SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege(datname, 'CONNECT')")
    try:
        with engine.connect() as raw:
            return [row[0] for row in raw.execute(names)]
    except SQLAlchemyError:
        return []


def _reason(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split())[:300]
