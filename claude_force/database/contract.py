"""What a database engine offers to the rest of the program.

The same SQL text, with `:name` parameters, runs on SQLite and on PostgreSQL. Where the engines differ, the difference
is a method here, implemented in `sqlite` and in `postgres`. A read sees one consistent snapshot and never creates or
changes anything; a write is one transaction, stored as a whole or not at all. Exceptions of the drivers are translated
to the errors of this program.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from claude_force.database.ad_hoc import Answer, QueryLimits
    from claude_force.database.cluster import Cluster

Parameters = Mapping[str, Any]

Row = tuple[Any, ...]
"""A row of a table or of a query's result; the row of an execution is `executions.record.ExecutionRow`."""

AT_ONCE_S = 0.05
"""How long `Database.write_at_once` waits for a lock."""

Progress = Callable[[int], None]
"""Called with the amount done since the last call: bytes of a copy or of files read, else executions."""


class Role(Protocol):
    """A role that a process asked for (`Database.try_exclusive`). It is true while the process holds it: when the
    server that gave it is lost, so is the role."""

    def __bool__(self) -> bool: ...


class Integrity(NamedTuple):
    """What an engine found in its stored data: the defects, a line each; what it looked at ("all pages"), empty for
    nothing; and what it did not look at, with the reason, empty for nothing."""

    defects: list[str]
    checked: str
    unchecked: str = ""


class Connection(ABC):
    """One transaction."""

    def __init__(self, *, is_snapshot: bool) -> None:
        self._answers: dict[str, list[Row]] | None = {} if is_snapshot else None

    @abstractmethod
    def execute(self, sql: str, parameters: Parameters = ...) -> int:
        """Run a statement; returns the number of rows that it changed."""

    @abstractmethod
    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> int:
        """Run a statement once for each row; returns the number of rows that all of them changed."""

    @abstractmethod
    def insert_new(self, table: str, columns: tuple[str, ...], rows: Sequence[Row], other: str) -> Sequence[Any]:
        """Insert the rows whose key (the first column) is new: neither in `table` nor in `other`, which has a column of
        the same name; of rows with equal keys, the first. Returns the keys of the inserted rows."""

    @abstractmethod
    def insert_columns(
        self, table: str, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any], other: str
    ) -> Sequence[Any]:
        """`insert_new` for many rows by the column: the values of the columns in `each`, whose first is the key, and
        one value for the columns in `same`."""

    @abstractmethod
    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str, values: str = "") -> None:
        """Insert rows into "table (column, ...)". `otherwise` is the ON CONFLICT clause for keys that exist. `values`
        are the SQL expressions of the columns, in which {0}, {1} ... stand for the values of a row; they are the values
        themselves without it."""

    @abstractmethod
    def update_all(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Change the rows with these keys, no two alike: the first column is the key, the others get their values."""

    @abstractmethod
    def lock_rollups(self) -> None:
        """Take the roll-up lock, which one transaction at a time holds until its end. Waits for it."""

    @abstractmethod
    def try_lock_rollups(self) -> bool:
        """Take the roll-up lock if it is free; returns whether it was."""

    def refuse_missing_rows(self) -> None:  # noqa: B027  (only a distributed database has any)
        """To be called before sums are made from rows or compared with them. Raises DatabaseBusy if a server of a
        distributed database does not show rows yet whose commit has ended elsewhere."""

    @abstractmethod
    def fetch(self, sql: str, parameters: Parameters = ...) -> list[Row]:
        """Every row of a query. A sum may arrive as Decimal."""

    @abstractmethod
    def lookup(self, table: str, value: str, key: tuple[str, ...], keys: Sequence[Row]) -> dict[Row, Any]:
        """The value of a column for each of the keys that a table has. `key` are the columns of the keys, which are not
        NULL."""

    @abstractmethod
    def stream(self, sql: str, parameters: Parameters = ...) -> Iterator[Row]:
        """The rows of a query one after the other, in constant memory."""

    def fetch_once(self, sql: str) -> list[Row]:
        """`fetch` for a query that several parts of a report ask: within a snapshot its answer cannot change, so the
        database is asked once. A transaction that writes asks every time."""
        if self._answers is None:
            return self.fetch(sql)
        if sql not in self._answers:
            self._answers[sql] = self.fetch(sql)
        return self._answers[sql]


class Readable(Protocol):
    """Where a report reads from: a database, or one snapshot of it."""

    def read(self) -> AbstractContextManager[Connection]:
        """A snapshot to read from."""


class Snapshot:
    """One open read, given to several readers that must see the same data. Not usable after that read has ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self) -> AbstractContextManager[Connection]:
        """The snapshot, the same each time."""
        return nullcontext(self._connection)


class Database(ABC):
    """One database. Safe to share between threads, and usable after a fork."""

    name: str
    """The path, or the URL without its password, for messages."""

    dialect: str
    """"sqlite" or "postgresql"."""

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A snapshot to read from. A SQLite file that does not exist reads as an empty database and is not created.
        Raises SchemaOutdated or SchemaTooNew for a schema of another revision, DatabaseError for other failures."""

    @abstractmethod
    def ask(self, sql: str, limits: QueryLimits) -> Answer:
        """The answer to a query that somebody wrote: see `ad_hoc`. Nothing is changed. Raises QueryRefused, and what
        `read` raises."""

    @abstractmethod
    def write(self) -> AbstractContextManager[Connection]:
        """A transaction to write in: committed at the end of the block, rolled back if it raises. A SQLite file that
        does not exist is created. An error from the commit itself does not prove that the rows are absent."""

    @property
    def writes_together(self) -> bool:
        """Whether `write_together` is there, and faster than `write`: each statement waits for an answer."""
        return False

    def write_together(self, statements: Sequence[tuple[str, Parameters]]) -> list[int]:
        """Run statements as one transaction that waits for the server once; the rows that each changed."""
        raise NotImplementedError

    @abstractmethod
    def write_at_once(self) -> AbstractContextManager[Connection]:
        """A transaction to write in, for what can be written again later: it waits at most `AT_ONCE_S` for a lock of
        another, and does no maintenance. Raises DatabaseError, also if the database does not exist."""

    @abstractmethod
    def without_waiting(self) -> AbstractContextManager[None]:
        """For the block, `write` waits at most `AT_ONCE_S` for a lock of another, and raises DatabaseBusy. For the only
        thread that uses this object."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether the database has been created."""

    @abstractmethod
    def change_mark(self) -> object:
        """A value that is another one after something was stored, by whomever; cheap enough to ask every second. It may
        be another one although nothing was stored."""

    @abstractmethod
    def revision(self) -> str | None:
        """The schema revision of the database, whether or not this program knows it; None if it has no schema."""

    @abstractmethod
    def version(self) -> str:
        """The engine and its version: "SQLite 3.51.3"."""

    @abstractmethod
    def definition(self) -> list[str]:
        """The tables as they are, whatever the revision. SQLite: the SQL of each table and index. PostgreSQL: a line
        for each column."""

    def cluster(self) -> Cluster | None:
        """The servers among which the executions are distributed; None if they are in one place."""
        return None

    @abstractmethod
    def check_integrity(self, *, is_quick: bool = False) -> Integrity:
        """What the engine finds in the stored data. A quick check skips the content of indexes."""

    @abstractmethod
    def backup(self, target: Path, progress: Progress | None = None) -> None:
        """Write a consistent copy to `target`, which must not exist, and verify it."""

    @abstractmethod
    def optimize(self) -> None:
        """Do the daily maintenance of the engine (checkpoint, statistics) while others keep working."""

    @abstractmethod
    def try_exclusive(self, role: str) -> AbstractContextManager[Role]:
        """Hold a role ("scheduler") for the block, if no other process holds it for this database. The operating system
        or the server releases it when the process ends, however it ends."""

    @abstractmethod
    def uid_literal(self, uid: bytes) -> str:
        """The sixteen bytes of a uid as SQL."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection of this process. The object can be used again."""
