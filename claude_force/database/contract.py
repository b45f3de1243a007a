"""The contract between SQL and an engine.

The same SQL text, with `:name` parameters, runs on SQLite and on PostgreSQL; where the engines differ, the difference
is a method here, with one body in `sqlite` and one in `server`. Reads see one consistent snapshot and never create or
change anything; writes are one transaction that is whole or absent. Driver exceptions never leave the bodies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]

Progress = Callable[[int], None]
"""Called with the amount done since the last call: bytes of a copy or of files read, else executions."""


class Connection(Protocol):
    """One transaction on one engine."""

    def execute(self, sql: str, parameters: Parameters = ...) -> int:
        """Run a statement; the number of rows that it changed."""

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> int:
        """Run a statement for each row; the number of rows changed by all of them."""

    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[Row], other: str) -> Sequence[Row]:
        """Insert rows unless their key, the first column, is there, or in the column of that name of another table;
        those that were really inserted, each once."""

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str) -> None:
        """Insert rows into "table (column, ...)"; where a key is there already, do what the ON CONFLICT clause says."""

    def lock_rollups(self) -> None:
        """Until the end of the transaction, be the only one that has the turn."""

    def try_lock_rollups(self) -> bool:
        """The same without waiting: whether the turn was to be had."""

    def fetch(self, sql: str, parameters: Parameters = ...) -> list[Row]:
        """Every row of a query. A sum may come as Decimal."""


class Readable(Protocol):
    """What a report is read from: a database, or a snapshot of one."""

    def read(self) -> AbstractContextManager[Connection]:
        """A snapshot to read from."""


class Snapshot:
    """A database as it is in one read, for what asks several times and must find the same. Not to be used after it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self) -> AbstractContextManager[Connection]:
        """The snapshot, each time the same."""
        return nullcontext(self._connection)


class Database(ABC):
    """One database. Safe to share between threads, and to use again after a fork."""

    name: str
    """How a person knows it: the path, or the URL without its password."""

    dialect: str
    """"sqlite" or "postgresql"."""

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A snapshot to read from. A SQLite file that does not exist reads as an empty database, and is not created.
        Raises SchemaOutdated or SchemaTooNew where the schema is another one, and DatabaseError for the rest."""

    @abstractmethod
    def write(self) -> AbstractContextManager[Connection]:
        """A transaction to write in: committed at the end of the block, rolled back if it raises. A SQLite file that
        does not exist is created. An error from the commit itself does not prove that the rows are absent."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is a database; reading does not need one, since what is not there is empty."""

    @abstractmethod
    def revision(self) -> str | None:
        """The schema revision as found, without judging it; None where there is no schema."""

    @abstractmethod
    def version(self) -> str:
        """The engine and its version: "SQLite 3.51.3"."""

    @abstractmethod
    def definition(self) -> list[str]:
        """The tables as they are, whatever the schema: the text of each and of each index; on a server each column."""

    @abstractmethod
    def check_integrity(self, *, is_quick: bool = False) -> list[str]:
        """What the engine finds wrong with the stored data; empty when it is sound. A quick check does not look at the
        content of indexes."""

    @abstractmethod
    def backup(self, target: Path, progress: Progress | None = None) -> None:
        """Write a consistent copy to `target`, which must not exist, and verify it."""

    @abstractmethod
    def optimize(self) -> None:
        """Do what the engine wants done once a day, while others go on: shorten the log, look after the statistics."""

    @abstractmethod
    def try_exclusive(self, role: str) -> AbstractContextManager[bool]:
        """Within the block, be the only one of a role ("scheduler") at this database; whether it is to be had. It goes
        with the process, however that ends."""

    @abstractmethod
    def encode_uid(self, uid: bytes) -> Any:
        """The sixteen bytes of a uid as a parameter."""

    @abstractmethod
    def decode_uid(self, value: Any) -> bytes:
        """The sixteen bytes of a uid from a row."""

    def decode_rows(self, rows: list[Row]) -> list[Row]:
        """Rows whose first column is a uid, with its sixteen bytes."""
        return [(self.decode_uid(row[0]), *row[1:]) for row in rows]

    @abstractmethod
    def close(self) -> None:
        """Close every connection of this process. The object can be used again."""
