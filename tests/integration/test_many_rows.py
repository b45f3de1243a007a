"""Many rows at once arrive as they are, on both engines."""

from __future__ import annotations

import random
from contextlib import closing
from typing import Any

import pytest

from claude_force.database.contract import Database, Row
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import NOON_US, an_execution

HOSTILE = ("", "NULL", "null", '"', "\\", '\\"', "{", "}", ",", "a,b", "'", "$1", ":name", "%s", "\n\t", " x ", "ü😀")
KEYS = [bytes([number]) * 16 for number in range(40)]


def stored(database: Database, sql: str) -> list[Row]:
    """The rows of a query."""
    with database.read() as connection:
        return connection.fetch(sql)


@pytest.mark.parametrize("count", [1, 4, 5, len(HOSTILE)])
def test_texts_that_mean_something_to_a_database_are_texts(count: int, database: Database) -> None:
    """Quotes, braces, commas and NULL are stored as they are, in few rows and in many."""
    rows = [(text, text[::-1]) for text in HOSTILE[-count:]]
    with database.write() as connection:
        connection.insert_all("projects (folder, project)", rows, "")
    assert sorted(stored(database, "SELECT folder, project FROM projects")) == sorted(rows)


def test_columns_with_and_without_values(database: Database) -> None:
    """A column may have values, none, the same everywhere, or be unknown in some rows; of equal keys the first is
    stored, and the order of the rows does not matter."""
    count = len(KEYS)
    order = random.Random(7).sample(range(count), count)
    each: dict[str, list[Any]] = {
        "uid": [KEYS[at] for at in order],
        "timestamp_us": [at - 20 for at in order],
        "duration_us": [None if at % 3 else (1 << 63) - 1 for at in order],
        "error_type": [None if at % 2 else HOSTILE[at % len(HOSTILE)] for at in order],
        "run_id": [None] * count,
    }
    each = {name: [*column, column[0]] for name, column in each.items()}
    same: dict[str, Any] = dict.fromkeys(("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"), 0)
    same |= {"series_id": 1, "success": 1, "host": '"{,}\\', "web_searches": 0, "task_hash": None}
    with database.write() as connection:
        assert sorted(connection.insert_columns("executions", each, same, "archived")) == KEYS
        assert list(connection.insert_columns("executions", each, same, "archived")) == []
    found = stored(database, "SELECT uid, timestamp_us, duration_us, error_type, run_id, host FROM executions")
    assert sorted(found) == [
        (
            KEYS[at], at - 20, None if at % 3 else (1 << 63) - 1,
            None if at % 2 else HOSTILE[at % len(HOSTILE)], None, '"{,}\\',
        )
        for at in range(count)
    ]  # fmt: skip


def test_what_is_archived_is_not_stored_again(database: Database) -> None:
    """Of many rows, those that the other table knows are left out."""
    with database.write() as connection:
        connection.insert_all("archived (uid, digest)", [(key, 1) for key in KEYS[::2]], "")
        new = connection.insert_columns("uncounted", {"uid": KEYS}, {}, "archived")
    assert sorted(new) == KEYS[1::2]
    assert sorted(stored(database, "SELECT uid FROM uncounted")) == [(key,) for key in KEYS[1::2]]


@pytest.mark.parametrize("count", [0, 1, 4, 5, len(KEYS)])
def test_many_rows_change_at_once(count: int, database: Database) -> None:
    """Each by its key, few and many, texts and unknown values as they are; the others stay."""
    each: dict[str, list[Any]] = {"uid": KEYS, "timestamp_us": list(range(len(KEYS))), "task_hash": ["old"] * len(KEYS)}
    same: dict[str, Any] = dict.fromkeys(("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"), 0)
    same |= {"series_id": 1, "success": 1, "run_id": "run"}
    rows = [
        (KEYS[at], None if at % 2 else HOSTILE[at % len(HOSTILE)], None if at % 3 else (1 << 63) - 1, None, at % 2)
        for at in range(count)
    ]
    with database.write() as connection:
        connection.insert_columns("executions", each, same, "archived")
        connection.update_all("executions", ("uid", "task_hash", "cost_nanousd", "run_id", "success"), rows)
    found = stored(database, "SELECT uid, task_hash, cost_nanousd, run_id, success FROM executions")
    assert sorted(found) == [*rows, *((key, "old", None, "run", 1) for key in KEYS[count:])]


def test_looking_up_many(database: Database) -> None:
    """Those that the table has, with their values."""
    with database.write() as connection:
        connection.insert_all("projects (folder, project)", [(text, f"of {text}") for text in HOSTILE], "")
        assert connection.lookup("projects", "project", ("folder",), []) == {}
        found = connection.lookup("projects", "project", ("folder",), [*((text,) for text in HOSTILE), ("other",)])
    assert found == {(text,): f"of {text}" for text in HOSTILE}


def test_a_connection_that_the_server_ended_is_replaced(postgres_url: str) -> None:
    """The next transaction gets a new one: a server that was started again is no error for a program that waits."""
    with closing(open_database(postgres_url)) as ours, closing(open_database(postgres_url)) as other:
        store = Store(ours)
        store.add([an_execution(timestamp_us=NOON_US)])
        with other.write() as connection:
            connection.fetch(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        assert store.add([an_execution(timestamp_us=NOON_US + 1)]).added == 1
