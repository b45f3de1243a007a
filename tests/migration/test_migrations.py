"""Revisions: one line of them, equal to the schema, whole or absent, whoever runs them and however they end."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from claude_force.database import migrate, queries, schema
from claude_force.database.contract import Database
from claude_force.database.ingest_passes import IngestPass, last_pass
from claude_force.database.open import open_database
from claude_force.database.postgres.database import ServerDatabase
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.revisions import HEAD, REVISIONS, VERSION_TABLE
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.sqlite.files import APPLICATION_ID, create_file
from claude_force.database.views import VIEWS
from claude_force.database.views.definition import Engine
from claude_force.database.writes import Store
from claude_force.errors import DatabaseError, SchemaOutdated, SchemaTooNew
from claude_force.executions.totals import TOTALS
from tests import citus
from tests.builders import NOON_US, an_execution
from tests.conftest import ROOT, Run
from tests.histories import a_labelled_history, an_old_file, connected
from tests.profiles import scaled, sqlite_when_quick, thorough

NEXT = "next"
_REVISION = f"""
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"

def upgrade():
    op.create_table("notes", sa.Column("note", sa.Text, nullable=False))
    op.execute("INSERT INTO notes (note) VALUES ('one'), ('two')")
    recreate = "always" if op.get_context().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("executions", recreate=recreate) as table:
        table.add_column(sa.Column("grade", sa.Integer))
    op.create_index("ix_executions_grade", "executions", ["grade"])
    op.execute("DELETE FROM executions")
"""


_READ_FILE = """
INSERT INTO source_files (host, path, source, head, tail, skipped, state, device, inode, size, mtime_ns, position,
lines, responses, rejected, last_read_us)
VALUES (:host, :path, :source, '', '', '{}', '', 1, 1, 1, 1, 1, 1, 1, 0, :read_us)
"""


def a_next_revision(folder: Path, ending: str = "") -> Path:
    """A copy of the migrations with one revision more, which changes everything and then does what `ending` says."""
    scripts = folder / "scripts"
    shutil.copytree(ROOT / "migrations", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / f"{NEXT}.py").write_text(_REVISION + ending)
    return scripts


def upgrade_by(scripts: Path, database: Database) -> None:
    """Upgrade to the newest revision of a folder of scripts."""
    config = migrate.configuration()
    config.set_main_option("script_location", str(scripts))
    with connected(database) as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")


def content(database: Database) -> dict[str, Any]:
    """Revision, tables with their columns and indexes, views, and the executions that there are."""
    with connected(database) as connection:
        found = inspect(connection)
        tables = {
            name: (
                [column["name"] for column in found.get_columns(name)],
                [index["name"] for index in found.get_indexes(name)],
            )
            for name in sorted(found.get_table_names())
        }
        executions = connection.execute(text("SELECT uid, timestamp_us FROM executions ORDER BY uid")).fetchall()
        # Citus has views of its own beside ours.
        ours = [name for name in found.get_view_names() if not name.startswith("citus_")]
        # A distributed table has no order.
        views = {name: sorted(connection.execute(text(f"SELECT * FROM {name}")).fetchall(), key=str) for name in ours}
    return {"revision": database.revision(), "tables": tables, "views": views, "executions": executions}


def rows_of(path: Path, sql: str) -> list[Any]:
    """What a query gives on a SQLite file."""
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute(sql).fetchall()


def backups_of(path: Path) -> list[Path]:
    """The copies that upgrades made beside a file."""
    return sorted(path.parent.glob(f"{path.name}.pre-*"))


@pytest.fixture
def migrated(location: str, tmp_path: Path) -> Iterator[Database]:
    """An empty database that the migrations built, on both engines."""
    database = open_database(location)
    if isinstance(database, SqliteDatabase):
        database.path.touch()
        with migrate.sqlite_connection(database.path) as connection:
            migrate.upgrade_connection(connection, "head")
    yield database
    database.close()


def test_the_program_knows_the_line_of_revisions() -> None:
    """There is one head, and the constants of the package are alembic's revisions, oldest first."""
    scripts = ScriptDirectory.from_config(migrate.configuration())
    assert scripts.get_heads() == [HEAD]
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


def test_schema_and_migrations_agree(migrated: Database) -> None:
    """alembic finds nothing to change between what the migrations built and the tables of the package."""
    options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
    with connected(migrated) as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []


def test_migrated_tables_are_those_of_the_schema_to_the_letter(tmp_path: Path) -> None:
    """Also what alembic does not compare is equal on SQLite: checks, STRICT, WITHOUT ROWID."""
    built: list[set[tuple[str, frozenset[str], str]]] = []
    for name in ("by_migrations.db", "by_schema.db"):
        (tmp_path / name).touch()
        with migrate.sqlite_connection(tmp_path / name) as connection:
            if name == "by_schema.db":
                schema.metadata.create_all(connection)
                connection.commit()
            else:
                migrate.upgrade_connection(connection, "head")
        sql = (
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'view' AND name <> 'claude_force_version'"
        )
        built.append({clauses_of(row[0]) for row in rows_of(tmp_path / name, sql)})
    assert built[0] == built[1]


def clauses_of(sql: str) -> tuple[str, frozenset[str], str]:
    """A statement as what stands before, in and after its parentheses; a column that was added stands last there."""
    before, rest = " ".join(sql.split()).split("(", 1)
    inside, after = rest.rsplit(")", 1)
    return before, frozenset(re.split(r", (?![^(]*\))", inside.strip())), after


def test_checks_on_the_server_are_those_of_the_schema(bare_url: str, postgres_url: str) -> None:
    """Also what alembic does not compare is equal on PostgreSQL: every constraint by its definition."""
    sql = text(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace AND conrelid = ANY(CAST(:tables AS regclass[])) "
        "ORDER BY conrelid::regclass::text, conname"
    )
    tables = list(schema.metadata.tables)
    bare, migrated = ServerDatabase(bare_url), ServerDatabase(postgres_url)
    with bare.engine().begin() as connection:
        schema.metadata.create_all(connection)
        connection.execute(text("CREATE TABLE claude_force_version (version_num TEXT)"))
        wanted = connection.execute(sql, {"tables": tables}).fetchall()
    with migrated.engine().begin() as connection:
        assert connection.execute(sql, {"tables": tables}).fetchall() == wanted
    bare.close()
    migrated.close()


def test_a_new_file_is_a_migrated_file(tmp_path: Path) -> None:
    """A file made from the stored schema has the tables, indexes, revision and mark of one that revisions built."""
    new, migrated = tmp_path / "new.db", tmp_path / "migrated.db"
    create_file(new)
    migrated.touch()
    with migrate.sqlite_connection(migrated) as connection:
        migrate.upgrade_connection(connection, "head")
    made = []
    for path in (new, migrated):
        objects = rows_of(path, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
        squeezed = [(*row[:3], " ".join((row[3] or "").split())) for row in objects]
        made.append([squeezed, *(rows_of(path, f"PRAGMA {name}") for name in ("application_id", "user_version"))])
        made[-1].append(rows_of(path, "SELECT version_num FROM claude_force_version"))
    assert made[0] == made[1]
    assert rows_of(new, "PRAGMA application_id") == [(APPLICATION_ID,)]


def test_a_revision_that_fails_leaves_no_trace(database: Database, tmp_path: Path) -> None:
    """The old version stays whole: revision, tables and executions; the same revision, repaired, then succeeds."""
    Store(database).add([an_execution(timestamp_us=NOON_US + number) for number in range(3)])
    before = content(database)
    scripts = a_next_revision(tmp_path, "    raise RuntimeError('half way')\n")
    with pytest.raises(RuntimeError, match="half way"):
        upgrade_by(scripts, database)
    assert content(database) == before
    assert len(list(queries.iterate(database, Filter()))) == 3

    (scripts / "versions" / f"{NEXT}.py").write_text(_REVISION)
    upgrade_by(scripts, database)
    after = content(database)
    assert (after["revision"], after["executions"]) == (NEXT, [])
    assert "grade" in after["tables"]["executions"][0]
    assert "notes" in after["tables"]
    assert after["views"] == {view.name: [] for view in VIEWS}


def states_of_killed(location: str, scripts: Path) -> list[dict[str, Any]]:
    """What a database is like before, after each upgrade to the newest revision that was killed, and in the end."""
    command = [sys.executable, "-m", "torture.interrupt", location, str(scripts), "kill", "head"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert {tuple(state["damage"]) for state in found} == {()}
    return found


@pytest.mark.thorough
@sqlite_when_quick
def test_a_revision_that_is_killed_leaves_no_trace(location: str, tmp_path: Path) -> None:
    """Killed after any of its statements, a revision changed nothing; run again on the same database, it succeeds."""
    database = open_database(location)
    Store(database).add([an_execution(timestamp_us=NOON_US + number) for number in range(3)])
    database.close()
    before, *killed, after = states_of_killed(location, a_next_revision(tmp_path))
    tables = sorted({"claude_force_version", *schema.metadata.tables})
    assert (before["revision"], before["tables"], before["executions"]) == (HEAD, tables, 3)
    assert len(killed) >= 6
    assert killed == [before] * len(killed)
    assert (after["revision"], after["tables"], after["executions"]) == (NEXT, sorted([*tables, "notes"]), 0)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is no schema yet, on both engines."""
    if request.param == "sqlite":
        return str(tmp_path / "old.db")
    url = request.getfixturevalue("bare_url")
    assert isinstance(url, str)
    return url


def test_the_roll_ups_are_made_from_what_was_there(empty_location: str) -> None:
    """An upgrade from the first revision keeps every execution, and its roll-ups are proven from the rows."""
    executions = a_labelled_history(empty_location, 300)
    with closing(open_database(empty_location)) as database:
        assert migrate.upgrade(database).after == HEAD
        assert list(queries.iterate(database, Filter())) == executions
        with database.read() as connection:
            assert verify_rollups.differences(connection) == []
            assert queries.totals(connection, Filter()).executions == 300
            assert connection.fetch("SELECT SUM(executions) FROM rollups WHERE scope = 0 AND level = 3")[0][0] == 300
        Store(database).rebuild()
        with database.read() as connection:
            assert verify_rollups.differences(connection) == []
        assert database.check_integrity().defects == []


@pytest.mark.thorough
@pytest.mark.parametrize("empty_location", ["sqlite", *thorough("postgresql")], indirect=True)
def test_making_the_roll_ups_can_be_killed(empty_location: str) -> None:
    """Killed after any of its statements the upgrade of all revisions changed nothing, and then it succeeds."""
    executions = a_labelled_history(empty_location, 20)
    before, *killed, after = states_of_killed(empty_location, ROOT / "migrations")
    found = (before["revision"], before["tables"], before["executions"])
    assert found == ("0001", ["claude_force_version", "executions"], 20)
    assert len(killed) >= 20
    assert killed == [before] * len(killed)
    assert after["revision"] == HEAD
    with closing(open_database(empty_location)) as database:
        assert list(queries.iterate(database, Filter())) == executions


def upgraded_at_once(location: Path | str) -> dict[str, int]:
    """Of six processes that upgrade one database at once, how many failed and how many migrated. They are forks that
    start on one signal, so that they do meet; none of them may complain."""
    command = [sys.executable, "-m", "torture.concurrent", str(location)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_what_cannot_be_distributed_says_why(tmp_path: Path, bare_url: str, run: Run) -> None:
    """A file, a server without tables, and one without Citus are refused, each with what it needs."""
    file = tmp_path / "metrics.db"
    create_file(file)
    refused = [run("db", "distribute", "--db", location) for location in (file, bare_url)]
    if not citus.COORDINATOR:
        with closing(open_database(bare_url)) as database:
            migrate.upgrade(database)
        refused.append(run("db", "distribute", "--db", bare_url))
    assert {done.returncode for done in refused} == {1, 2}
    said = ("only a PostgreSQL server with Citus", "claude-force db upgrade", "CREATE EXTENSION citus")
    assert all(words in done.stderr for words, done in zip(said, refused, strict=False))
    assert {len(done.stderr.splitlines()) for done in refused} == {1}


def test_six_processes_create_one_file(tmp_path: Path) -> None:
    """Whoever is first makes the file; the others find it, and nothing is left beside it."""
    path = tmp_path / "metrics" / "metrics.db"
    assert upgraded_at_once(path)["failed"] == 0
    assert open_database(str(path)).revision() == HEAD
    assert [found.name for found in path.parent.iterdir()] == ["metrics.db"]


def test_six_processes_upgrade_an_old_file(tmp_path: Path) -> None:
    """One of them migrates, the others find the work done; what is named as the old version holds the old version.
    This is repeated, because they meet at another moment each time."""
    for attempt in range(scaled(5)):
        path = an_old_file(tmp_path / str(attempt) / "metrics.db")
        assert upgraded_at_once(path) == {"failed": 0, "migrated": 1}
        assert open_database(str(path)).revision() == HEAD
        assert rows_of(path, "SELECT word FROM keepsake") == [("remember",)]
        assert backups_of(path)
        assert {open_database(str(backup)).revision() for backup in backups_of(path)} == {None}


def test_six_processes_upgrade_a_server(bare_url: str) -> None:
    """One of them migrates, the others find the work done."""
    assert upgraded_at_once(bare_url) == {"failed": 0, "migrated": 1}
    database = open_database(bare_url)
    assert database.revision() == HEAD
    database.close()


def test_a_file_is_backed_up_before_it_is_upgraded(run: Run, tmp_path: Path) -> None:
    """The copy is named in the output, is sound, private and as the database was; a second upgrade does nothing."""
    path = an_old_file(tmp_path / "metrics.db")
    done = run("db", "upgrade", "--db", path)
    assert done.returncode == 0, done.stderr
    (backup,) = backups_of(path)
    assert str(backup) in done.stdout
    assert rows_of(backup, "SELECT word FROM keepsake") == [("remember",)]
    assert rows_of(backup, "PRAGMA integrity_check") == [("ok",)]
    assert open_database(str(backup)).revision() is None
    assert backup.stat().st_mode & 0o777 == 0o600

    again = run("db", "upgrade", "--db", path)
    assert "already" in again.stdout
    assert backups_of(path) == [backup]


def test_no_backup_is_overwritten(run: Run, tmp_path: Path) -> None:
    """Where the name of the copy is taken, the next free one is used."""
    path = an_old_file(tmp_path / "metrics.db")
    taken = tmp_path / "metrics.db.pre-none"
    taken.write_text("mine")
    assert run("db", "upgrade", "--db", path).returncode == 0
    assert taken.read_text() == "mine"
    assert len(backups_of(path)) == 2


def test_an_older_database_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    """Neither reading nor writing migrates by itself."""
    database = open_database(str(an_old_file(tmp_path / "metrics.db")))
    for use in (lambda: list(queries.iterate(database, Filter())), lambda: Store(database).add([an_execution()])):
        with pytest.raises(SchemaOutdated, match="claude-force db upgrade"):
            use()
    assert backups_of(tmp_path / "metrics.db") == []
    database.close()


def test_a_newer_database_is_refused(database: Database, location: str, tmp_path: Path, run: Run) -> None:
    """A database of a newer program is neither read, written nor migrated; the message says what to upgrade."""
    Store(database).add([an_execution()])
    upgrade_by(a_next_revision(tmp_path), database)
    before = content(database)
    with closing(open_database(location)) as met:
        uses: list[Callable[[], object]] = [
            lambda: migrate.upgrade(met),
            lambda: Store(met).add([an_execution()]),
            lambda: list(queries.iterate(met, Filter())),
        ]
        for use in uses:
            with pytest.raises(SchemaTooNew, match="upgrade claude-force"):
                use()
    for command in (("db", "upgrade"), ("analytics", "summary")):
        done = run(*command, "--db", location)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"schema {NEXT}" in done.stderr
        assert "upgrade claude-force" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert content(database) == before


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("db", "path"), 0, "metrics.db"),
        (("db", "current"), 0, "no database yet"),
        (("db", "check"), 1, "there is no database at"),
        (("db", "backup"), 2, "no database at"),
    ],
)
def test_looking_creates_nothing(command: tuple[str, ...], code: int, said: str, run: Run, home: Path) -> None:
    """Where there is no database, a command that does not write says so and leaves no file or folder behind."""
    done = run(*command)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert list((home / ".claude").iterdir()) == []


def test_the_db_commands_tell_the_state(store: Store, location: str, run: Run, tmp_path: Path) -> None:
    """`current` and `check` say that a database is sound and at head, `path` names it without its password."""
    store.add([an_execution()])
    current = run("db", "current", "--json", "--db", location)
    found = json.loads(current.stdout)
    found.pop("nodes", None)
    assert found == {"revision": HEAD, "head": HEAD, "is_head": True}
    check = run("db", "check", "--db", location)
    assert (check.returncode, check.stdout.split(": ")[-1]) == (0, "ok\n")
    assert run("db", "path", "--db", "postgresql://me:secret@box/metrics").stdout == "postgresql://me:***@box/metrics\n"


def test_a_backup_is_a_database(store: Store, location: str, run: Run, tmp_path: Path) -> None:
    """A copy of a file holds what the file held and is never written over one that exists; a server names pg_dump."""
    store.add([an_execution()])
    copy = tmp_path / "copies" / "copy.db"
    done = run("db", "backup", copy, "--db", location)
    if store.database.dialect == "postgresql":
        assert (done.returncode, copy.exists()) == (1, False)
        assert "pg_dump" in done.stderr
        return
    assert (done.returncode, done.stdout) == (0, f"{copy}\n")
    assert rows_of(copy, "SELECT COUNT(*) FROM executions") == [(1,)]
    assert (copy.stat().st_mode & 0o777, copy.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    again = run("db", "backup", copy, "--db", location)
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists already" in again.stderr


def test_an_older_program_cannot_count_after_an_upgrade(migrated: Database) -> None:
    """One that had the database open when it was upgraded fails, and puts its executions aside, rather than count them
    without the sums that it does not know."""
    names = [name for name in TOTALS if name not in ("provisional", "recorded_cost_nanousd")]
    with connected(migrated) as connection, pytest.raises(IntegrityError):
        connection.execute(
            text(
                f"INSERT INTO rollups (scope, level, bucket, series_id, {', '.join(names)}) "
                f"VALUES (0, 0, 0, 0, {', '.join('0' for _ in names)})"
            )
        )


def test_machines_that_were_read_before_stay_fresh(empty_location: str) -> None:
    """An upgrade lists those whose own transcripts are in the store; one with samples alone stays a sample."""
    files = {
        "laptop": ("/home/ada/.claude/projects/-app/s.jsonl", "claude-code", 5),
        "desktop": ("/home/ada/.config/claude/projects/-app/s.jsonl", "claude-code", 6),
        "sample": ("/home/ada/examples/s.jsonl", "claude-code", 7),
        "other": ("/home/ada/.claude/projects/executions.jsonl", "executions", 8),
    }
    with closing(open_database(empty_location)) as database:
        if isinstance(database, SqliteDatabase):
            database.path.touch()
        with connected(database) as connection:
            migrate.upgrade_connection(connection, "0006")
            for host, (path, source, read_us) in files.items():
                row = {"host": host, "path": path, "source": source, "read_us": read_us}
                connection.execute(text(_READ_FILE), row)
            connection.commit()
        assert migrate.upgrade(database).after == HEAD
        with database.read() as connection:
            known = {host: last_pass(connection, host) for host in files}
    assert known == {"laptop": IngestPass(5), "desktop": IngestPass(6), "sample": None, "other": None}


def test_why_a_server_refuses_an_upgrade_is_one_line(postgres_url: str) -> None:
    """Here no schema can be found to create tables in. The server shows the statement, on lines of its own."""
    with closing(open_database(f"{postgres_url}&options=-csearch_path%3Dnowhere")) as database:
        with pytest.raises(DatabaseError, match="no schema has been selected to create in") as refused:
            migrate.upgrade(database)
        assert "\n" not in str(refused.value)


def test_a_changed_view_has_a_revision() -> None:
    """A database at the newest revision has the views that this made: who changes one adds a revision, and this."""
    made = "".join(view.sql(engine) for view in VIEWS for engine in get_args(Engine))
    assert hashlib.sha256(made.encode()).hexdigest()[:16] == "02a691a7d9db7993"


def test_an_upgrade_keeps_what_others_made_of_a_view(postgres_url: str, tmp_path: Path) -> None:
    """On a server the rights that were granted on it, and a view that reads it."""
    rights = (
        "SELECT COUNT(*) FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC' AND table_name = 'daily_v1'"
    )
    with closing(open_database(postgres_url)) as database:
        with connected(database) as connection:
            connection.execute(text("GRANT SELECT ON daily_v1 TO PUBLIC"))
            connection.execute(text("CREATE VIEW theirs AS SELECT day, SUM(cost) AS cost FROM daily_v1 GROUP BY day"))
            connection.commit()
        upgrade_by(a_next_revision(tmp_path), database)
        with connected(database) as connection:
            assert connection.execute(text(rights)).scalar_one() == 1
            assert connection.execute(text("SELECT * FROM theirs")).fetchall() == []


def test_an_upgrade_outlasts_a_limit_for_idle_transactions(bare_url: str) -> None:
    """Its lock is held in a transaction that is idle as long as the upgrade takes; others wait for it all the time."""
    # More than a busy machine pauses between two statements.
    limited = f"{bare_url}{'&' if '?' in bare_url else '?'}options=-cidle_in_transaction_session_timeout%3D2000"
    with closing(open_database(limited)) as database, connected(database) as connection:
        connection.execute(text("SELECT pg_sleep(2.5)"))
        held = "SELECT COUNT(*) FROM pg_locks JOIN pg_database ON oid = database WHERE datname = current_database() "
        assert connection.execute(text(f"{held} AND locktype = 'advisory' AND granted")).scalar_one() == 1
