"""Queries that somebody writes: they read and nothing else, on both engines, whoever asks and whatever is asked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from claude_force.database import ad_hoc
from claude_force.database.ad_hoc import QUERY_LIMIT, VALUE_LIMIT, QueryLimits
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.sqlite import ad_hoc as sqlite_ad_hoc
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.views import VIEWS
from claude_force.database.writes import Store
from claude_force.errors import DatabaseCorrupt, DatabaseError, QueryRefused
from tests import citus
from tests.builders import NOON_US, an_execution

pytestmark = pytest.mark.skipif(
    citus.COORDINATOR is not None, reason="a superuser's query is refused on a Citus cluster: see test_citus.py"
)

LIMITS = QueryLimits(rows=100, seconds=20)
ENDLESS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT {} FROM numbers"


@pytest.fixture
def filled(store: Store, database: Database) -> Database:
    """A database with two executions."""
    store.add([an_execution(timestamp_us=NOON_US + number, cost_nanousd=1_500_000_000) for number in range(2)])
    return database


def content(database: Database) -> list[Any]:
    """The executions, and the tables."""
    with database.read() as connection:
        rows = connection.fetch("SELECT uid, success, cost_nanousd FROM executions ORDER BY uid")
    return [rows, database.definition()]


def refusal(database: Database, sql: str, limits: QueryLimits = LIMITS) -> str:
    """Why a query is refused: one line. It has changed nothing."""
    before = content(database)
    with pytest.raises(QueryRefused) as refused:
        database.ask(sql, limits)
    assert content(database) == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_query_is_answered(filled: Database) -> None:
    """In the same words on both engines: instants and days as text, booleans, dollars. A comment may stand anywhere."""
    found = filled.ask(
        "/* all */ SELECT timestamp, day, success, cost, agent -- who\nFROM executions_v1 ORDER BY timestamp ;\n-- end",
        LIMITS,
    )
    assert found.columns == ["timestamp", "day", "success", "cost", "agent"]
    assert found.cut is None
    assert [row[:4] for row in found.rows] == [
        ("2025-11-01T12:26:40.000000+00:00", "2025-11-01", 1, 1.5),
        ("2025-11-01T12:26:40.000001+00:00", "2025-11-01", 1, 1.5),
    ]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_view_can_be_asked(filled: Database, view: Any) -> None:
    """By whoever may read, and with the columns that are promised."""
    assert filled.ask(f"SELECT * FROM {view.name}", LIMITS).columns == [column.name for column in view.columns]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO silences VALUES ('a', 1, 1, NULL)",
        "UPDATE executions SET success = 0",
        "DELETE FROM executions",
        "DELETE FROM executions RETURNING *",
        "WITH gone AS (SELECT 1) DELETE FROM executions",
        "DROP VIEW daily_v1",
        "CREATE TABLE notes (note TEXT)",
        "CREATE TEMP TABLE notes AS SELECT 1",
        "ALTER TABLE executions ADD COLUMN grade INTEGER",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM executions",
        "SELECT 1; COMMIT; DELETE FROM executions",
        "/* SELECT */ DELETE FROM executions -- SELECT",
        "VACUUM",
        "ANALYZE",
        "",
        " \n ",
        "-- nothing",
        "SELECT 1 \0; DELETE FROM executions",
        "SELECT '\udcff'",
        "SELECT :name",
        "SELECT * FROM nothing_v1",
        "SELECT nothing FROM daily_v1",
        "SELECT (",
        f"SELECT {'1 + ' * QUERY_LIMIT} 1",
    ],
    ids=lambda sql: ascii(sql[:30]),
)
def test_what_is_no_query_is_refused(filled: Database, sql: str) -> None:
    """Writes in every guise, several statements, text that is none; the reason is one line."""
    assert refusal(filled, sql)


SQLITE_ONLY = {
    "ATTACH 'other.db' AS other": "ATTACH",
    "ATTACH ':memory:' AS other": "ATTACH",
    "DETACH main": "DETACH",
    "VACUUM INTO 'copy.db'": "a query only reads",
    "PRAGMA journal_mode=DELETE": "PRAGMA journal_mode",
    "PRAGMA query_only=OFF": "PRAGMA query_only",
    "PRAGMA writable_schema=ON": "PRAGMA writable_schema",
    "PRAGMA application_id=7": "PRAGMA application_id",
    "SELECT * FROM pragma_journal_mode": "PRAGMA journal_mode",
    "SELECT load_extension('evil')": "FUNCTION load_extension",
    "SELECT fts3_tokenizer('simple', X'4141414141414141')": "FUNCTION fts3_tokenizer",
    "REINDEX": "REINDEX",
    "UPDATE sqlite_master SET sql = ''": "may not be modified",
    "SAVEPOINT here": "SAVEPOINT",
    "CREATE VIRTUAL TABLE t USING fts5(x)": "is refused",
    "CREATE TRIGGER t AFTER INSERT ON executions BEGIN SELECT 1; END": "is refused",
    "EXPLAIN DELETE FROM executions": "DELETE",
    "REPLACE INTO silences VALUES ('a', 1, 1, NULL)": "INSERT",
    "SELECT zeroblob(1000000000)": "larger than 1,000,000 bytes",
    "SELECT hex(zeroblob(600000))": "larger than 1,000,000 bytes",
    f"SELECT group_concat(n) FROM ({ENDLESS.format('n')} LIMIT 200000)": "larger than 1,000,000 bytes",
}


@pytest.mark.parametrize(("sql", "reason"), SQLITE_ONLY.items(), ids=lambda text: text[:25])
def test_what_sqlite_could_do_is_refused(tmp_path: Path, sql: str, reason: str) -> None:
    """Other files, settings, extensions, and values that do not fit into memory; the file has the same bytes."""
    with closing(open_database(str(tmp_path / "metrics.db"))) as database:
        Store(database).add([an_execution()])
        database.optimize()
        before = (tmp_path / "metrics.db").read_bytes()
        assert reason in refusal(database, sql)
        assert (tmp_path / "metrics.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "metrics.db", "metrics.db-wal", "metrics.db-shm"}
    assert list((tmp_path / "home").iterdir()) == [tmp_path / "home" / ".claude"]


def test_what_tells_about_tables_is_allowed(filled: Database) -> None:
    """Names and columns."""
    if isinstance(filled, SqliteDatabase):
        assert filled.ask("PRAGMA table_info(daily_v1)", LIMITS).rows[0][1] == "day"
        assert filled.ask("SELECT name FROM pragma_table_info('daily_v1')", LIMITS).rows[0] == ("day",)
        assert filled.ask("EXPLAIN QUERY PLAN SELECT * FROM daily_v1", LIMITS).rows
    sql = (
        "SELECT * FROM information_schema.columns" if filled.dialect == "postgresql" else "SELECT * FROM sqlite_master"
    )
    assert filled.ask(sql, LIMITS).rows


POSTGRES_ONLY = {
    "WITH gone AS (DELETE FROM executions RETURNING *) SELECT * FROM gone": "data-modifying",
    "SELECT * FROM executions FOR UPDATE": "read-only transaction",
    "COPY executions TO '/tmp/claude-force-copy'": "syntax error",
    "COPY executions TO PROGRAM 'true'": "syntax error",
    "DO $$ BEGIN END $$": "syntax error",
    "SET statement_timeout = 0": "syntax error",
    "RESET ROLE": "syntax error",
    "EXPLAIN ANALYZE SELECT 1": "syntax error",
    "SELECT 1) AS x (a); DELETE FROM executions; --": "is refused|syntax error|more than one statement",
    "SELECT pg_read_file('/etc/passwd')": "pg_read_file is refused",
    "SELECT pg_read_binary_file('/etc/passwd')": "pg_read_binary_file is refused",
    "SELECT pg_ls_dir('/')": "pg_ls_dir is refused",
    "SELECT lo_export(1, '/tmp/x')": "lo_export is refused",
    "SELECT lo_import('/etc/passwd')": "lo_import is refused",
    "SELECT pg_terminate_backend(1)": "pg_terminate_backend is refused",
    'SELECT "pg_catalog"."pg_cancel_backend"(1)': "pg_cancel_backend is refused",
    "SELECT SET_CONFIG('role', 'none', true)": "SET_CONFIG is refused",
    "SELECT U&\"\\0073et_config\"('role', 'none', true)": 'U&"',
    "SELECT query_to_xml('SELECT 1', true, true, '')": "query_to_xml is refused",
    "SELECT table_to_xml(CAST(1260 AS regclass), true, true, '')": "table_to_xml is refused",
    "SELECT schema_to_xml_and_xmlschema('pg_catalog', true, true, '')": "schema_to_xml_and_xmlschema is refused",
    "SELECT * FROM crosstab('SELECT 1')": "crosstab is refused",
    "SELECT run_command_on_workers('DROP TABLE x')": "run_command_on_workers is refused",
    "SELECT pg_advisory_lock(1)": "pg_advisory_lock is refused",
    "SELECT pg_logical_emit_message(false, 'a', 'b')": "is refused",
    "SELECT pg_reload_conf()": "pg_reload_conf is refused",
    "SELECT pg_switch_wal()": "is refused",
    "SELECT dblink_exec('dbname=postgres', 'DROP TABLE x')": "dblink_exec is refused",
    "SELECT nextval('nothing')": "does not exist",
    "SELECT rolpassword FROM pg_authid": "pg_authid is refused",
    "SELECT passwd FROM pg_shadow": "pg_shadow is refused",
    "SELECT histogram_bounds FROM pg_stats WHERE attname ~ 'password'": "pg_stats is refused",
    "SELECT stavalues1 FROM pg_statistic WHERE starelid = 1260": "pg_statistic is refused",
    "SELECT current_setting('data_directory')": "permission denied",
    "SELECT repeat('x', 20000000)": "larger than 1,000,000 bytes",
    "SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 2000)": "larger than 1,000,000 bytes",
    "SELECT array_agg(n) FROM generate_series(1, 1000000) AS n": "larger than 1,000,000 bytes",
    "SELECT CAST('infinity' AS timestamptz)": "timestamp too large",
    "SELECT $1": "parameter",
    "SELECT 1 / 0": "division by zero",
}


@pytest.mark.parametrize(("sql", "reason"), POSTGRES_ONLY.items(), ids=lambda text: text[:25])
def test_what_a_superuser_could_do_is_refused(postgres_url: str, sql: str, reason: str) -> None:
    """The role of the tests is one: files, programs, other sessions, settings, locks, and text that is run as SQL."""
    with closing(open_database(postgres_url)) as database:
        assert database.ask("SELECT current_user, session_user", LIMITS).rows[0] == ("pg_read_all_data", "postgres")
        found = refusal(database, sql)
        assert any(each in found for each in reason.split("|")), found


@pytest.mark.thorough
def test_a_gigabyte_is_not_sent(postgres_url: str) -> None:
    """The server makes it, and its client never has it."""
    with closing(open_database(postgres_url)) as database:
        limits = QueryLimits(rows=1, seconds=100)
        assert "larger than 1,000,000 bytes" in refusal(database, "SELECT repeat('x', 1000000000)", limits)


def test_an_answer_is_cut_and_says_so(filled: Database) -> None:
    """At the rows, also of a query that never ends; not if there are as many as that."""
    found = filled.ask(ENDLESS.format("n"), QueryLimits(rows=3, seconds=20))
    assert (found.rows, found.cut, found.rows_at_least) == ([(1,), (2,), (3,)], "rows", 4)
    found = filled.ask("SELECT success FROM executions", QueryLimits(rows=2, seconds=20))
    assert (len(found.rows), found.cut, found.rows_at_least) == (2, None, 2)


def test_a_large_answer_is_cut(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its size, whatever the number of rows."""
    monkeypatch.setattr(ad_hoc, "ANSWER_LIMIT", 10_500)
    value = "hex(zeroblob(1000))" if isinstance(filled, SqliteDatabase) else "repeat('x', 2000)"
    found = filled.ask(ENDLESS.format(value), QueryLimits(rows=10**9, seconds=20))
    assert (len(found.rows), found.cut, found.rows_at_least) == (5, "size", 6)
    found = filled.ask(ENDLESS.format("n"), QueryLimits(rows=10**9, seconds=20))
    assert len(found.rows) < 200, "a row takes memory, however little it has"


def test_a_query_that_takes_too_long_is_stopped(filled: Database) -> None:
    """One that never gives a row; on a server also one that only sleeps."""
    reason = "the query took more than 1 s; ask for less, or give it more with --timeout"
    assert refusal(filled, ENDLESS.format("count(*)"), QueryLimits(rows=1, seconds=1)) == reason
    if filled.dialect == "postgresql":
        assert refusal(filled, "SELECT pg_sleep(60)", QueryLimits(rows=1, seconds=1)) == reason


def test_a_sort_leaves_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what is free when it begins."""
    free = iter([1000, *[499] * 1_000_000])
    monkeypatch.setattr(sqlite_ad_hoc, "_free_bytes", lambda folder: next(free))
    database = open_database(str(tmp_path / "metrics.db"))
    Store(database).add([an_execution()])
    assert "sorts more than fits into" in refusal(database, ENDLESS.format("n") + " ORDER BY n DESC")


def test_a_query_has_no_more_memory_than_it_may(filled: Database) -> None:
    """Also one that takes it before it begins: 29 names, each of which is the one before twice."""
    doubled = ", ".join(f"c{n} AS (SELECT a.x FROM c{n - 1} AS a JOIN c{n - 1} AS b ON true)" for n in range(1, 30))
    sql = f"WITH c0 AS (SELECT 1 AS x), {doubled} SELECT COUNT(*) FROM c29"
    if filled.dialect == "postgresql":
        assert filled.ask(sql, LIMITS).rows == [(1,)]
    else:
        assert refusal(filled, sql) == "the query needs more than 256 MB of memory; ask for less"


def test_names_that_are_equal_stay_apart(filled: Database) -> None:
    """They are the keys of JSON. There may be as many as an engine has columns."""
    found = filled.ask("SELECT 1 AS a, 2 AS a, 3 AS a_2", LIMITS)
    assert (found.columns, found.rows) == (["a", "a_2", "a_2_2"], [(1, 2, 3)])
    assert filled.ask(f"SELECT {', '.join(['1 AS a'] * 1600)}", LIMITS).columns[-1] == "a_1600"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 ; ; -- end\n;\n/* end */ ",
        "SELECT 1 -- one; more\n/* ; */",
        f"SELECT 1{' ' * 99_000}+ 0",
        f"SELECT 1{'; ' * 49_000}",
        f"SELECT 1;{'-- end' + chr(10) * 1000}",
    ],
    ids=["comments", "semicolons in comments", "spaces", "semicolons", "lines"],
)
def test_a_statement_ends_where_its_text_says(postgres_url: str, sql: str) -> None:
    """However long that is: a text is not looked through again and again."""
    with closing(open_database(postgres_url)) as database:
        assert database.ask(sql, LIMITS).rows == [(1,)]


def test_values_are_those_of_json(filled: Database) -> None:
    """Bytes, and numbers that JSON does not have, are text."""
    if isinstance(filled, SqliteDatabase):
        assert filled.ask("SELECT X'00ff', 9e999, NULL, CAST(X'ff' AS TEXT)", LIMITS).rows == [
            ("00ff", "inf", None, "\ufffd")
        ]
        return
    found = filled.ask("SELECT CAST('NaN' AS float8), 1.50, NULL, CAST('[1]' AS jsonb), ARRAY[1, 2], true", LIMITS)
    assert found.rows == [("nan", "1.50", None, "[1]", "{1,2}", True)]
    (uid,) = filled.ask("SELECT uid FROM executions", LIMITS).rows[0]
    assert len(uid) == 36


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """And it is not made."""
    database = open_database(str(tmp_path / "none.db"))
    assert database.ask("SELECT COUNT(*) FROM executions_v1", LIMITS).rows == [(0,)]
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_damaged_is_no_fault_of_the_query(tmp_path: Path) -> None:
    """Its error is that of every other command."""
    path = tmp_path / "metrics.db"
    with closing(open_database(str(path))) as database:
        Store(database).add([an_execution()])
        database.optimize()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'executions'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    with closing(open_database(str(path))) as database, pytest.raises(DatabaseCorrupt):
        database.ask("SELECT * FROM executions", LIMITS)


def test_a_server_that_cannot_be_reached_is_no_fault_of_the_query() -> None:
    """Its error is that of every other command."""
    with closing(open_database("postgresql://me@127.0.0.1:1/x")) as database, pytest.raises(DatabaseError) as refused:
        database.ask("SELECT 1", LIMITS)
    assert not isinstance(refused.value, QueryRefused)


def test_a_role_with_few_rights_keeps_them(postgres_url: str) -> None:
    """One that may read the views reads them, and nothing else."""
    # A role is one of the server, also of another run of the tests.
    analyst = f"analyst_{uuid4().hex}"
    with closing(open_database(postgres_url)) as database:
        Store(database).add([an_execution()])
        with database.write() as connection:
            connection.execute(f"CREATE ROLE {analyst} LOGIN")
            connection.execute(f"GRANT SELECT ON claude_force_version, daily_v1 TO {analyst}")
    try:
        with closing(open_database(postgres_url.replace("postgres:@", f"{analyst}:@", 1))) as theirs:
            assert theirs.ask("SELECT executions, current_user FROM daily_v1", LIMITS).rows == [(1, analyst)]
            with pytest.raises(QueryRefused, match="permission denied for table executions"):
                theirs.ask("SELECT * FROM executions", LIMITS)
    finally:
        with closing(open_database(postgres_url)) as database, database.write() as connection:
            connection.execute(f"DROP OWNED BY {analyst}")
            connection.execute(f"DROP ROLE {analyst}")


def test_the_limits_are_what_the_pages_say() -> None:
    """docs/how-to/sql.md names them."""
    assert (QUERY_LIMIT, VALUE_LIMIT, ad_hoc.ANSWER_LIMIT) == (100_000, 1_000_000, 64_000_000)
