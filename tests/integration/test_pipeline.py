"""Several statements that a server gets in one piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from claude_force.database.postgres import pipeline
from claude_force.database.postgres.server_url import connection_options
from claude_force.database.postgres.values import Raw, connect

INSERT, DELETE = "INSERT INTO projects (folder, project) VALUES ($1, $2)", "DELETE FROM projects WHERE folder = $1"


@pytest.fixture
def raw(postgres_url: str) -> Iterator[Raw]:
    """A connection."""
    with closing(connect(connection_options(postgres_url))) as raw:
        yield raw


def folders(raw: Raw) -> list[str]:
    """What is stored."""
    return [folder for (folder,) in raw.execute("SELECT folder FROM projects ORDER BY 1")]


def test_each_statement_sees_those_before_it(raw: Raw) -> None:
    """They are one transaction, and the rows that each changed are counted."""
    changed = pipeline.run(raw, [(INSERT, ["a", "x"]), (INSERT, ["b", "x"]), (DELETE, ["a"]), (DELETE, ["none"])])
    assert changed == [1, 1, 1, 0]
    assert folders(raw) == ["b"]


def test_a_statement_is_prepared_once(raw: Raw) -> None:
    """However often it is run, with whatever types of values."""
    for value in ("x", "y", "z"):
        pipeline.run(raw, [(INSERT, [value, value]), (DELETE, [value]), (DELETE, [value])])
    prepared = raw.execute("SELECT statement FROM pg_prepared_statements").fetchall()
    assert sorted(prepared) == [(DELETE,), (INSERT,)]


def test_a_statement_that_fails_each_time_is_prepared_once(raw: Raw) -> None:
    """What is prepared outlasts the transaction: a server that takes no writes for a day would run out of memory."""
    raw.execute("SET default_transaction_read_only = on")
    for _ in range(3):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            pipeline.run(raw, [(INSERT, ["a", "x"]), (DELETE, ["a"])])
    assert raw.execute("SELECT COUNT(*) FROM pg_prepared_statements WHERE statement = $1", [INSERT]).fetchone() == (1,)


def test_nothing_is_prepared_where_it_must_not(postgres_url: str) -> None:
    """A pooler gives each transaction another session, which would not know the statement."""
    with closing(connect(connection_options(postgres_url) | {"prepare_threshold": None})) as raw:
        assert pipeline.run(raw, [(INSERT, ["a", "x"]), (DELETE, ["a"])]) == [1, 1]
        assert raw.execute("SELECT statement FROM pg_prepared_statements").fetchall() == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ((INSERT, ["a", "y"]), psycopg.errors.UniqueViolation),
        (("INSERT INTO nowhere VALUES ($1)", ["a"]), psycopg.errors.UndefinedTable),
        ((INSERT, ["\0", "y"]), psycopg.DataError),
    ],
)
def test_the_first_error_ends_the_transaction(
    wrong: tuple[str, list[str]], error: type[psycopg.Error], raw: Raw
) -> None:
    """Nothing of it is stored, and the connection works afterwards, with the same statements."""
    with pytest.raises(error):
        pipeline.run(raw, [(INSERT, ["a", "x"]), wrong, (DELETE, ["a"])])
    assert folders(raw) == []
    assert pipeline.run(raw, [(INSERT, ["a", "x"]), (DELETE, ["b"])]) == [1, 0]


def test_a_connection_that_is_lost_meanwhile(raw: Raw, postgres_url: str) -> None:
    """Whoever waits for a lock when the server ends the session gets an error, and a connection that is closed."""
    with closing(connect(connection_options(postgres_url))) as other:
        other.execute("BEGIN")
        other.execute(INSERT, ["a", "x"])

        def end_it() -> None:
            while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND pid = $1::int", [pid]).fetchall():
                pass
            other.execute("SELECT pg_terminate_backend($1::int)", [pid])

        pid = raw.info.backend_pid
        ending = threading.Thread(target=end_it)
        ending.start()
        with pytest.raises(psycopg.OperationalError):
            pipeline.run(raw, [(INSERT, ["a", "x"]), (DELETE, ["a"])])
        ending.join()
    assert raw.closed
