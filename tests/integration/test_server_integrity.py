"""What the doctor and `db check` say about the pages of a server: only what was checked, by amcheck."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from claude_force.database import amcheck, migrate
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests import citus
from tests.builders import an_execution
from tests.conftest import Run
from tests.postgres import TEMPLATE_AT_HEAD, TEMPLATE_BARE, execute_sql, new_database

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server(postgres_server: str) -> Iterator[str]:
    """The URL of a database of its own with executions in it, without amcheck."""
    # Of a distributed one, it is said that the workers were not checked.
    with new_database(postgres_server, TEMPLATE_BARE if citus.COORDINATOR else TEMPLATE_AT_HEAD) as url:
        with closing(open_database(url)) as database:
            migrate.upgrade(database)
            Store(database).add([an_execution() for _ in range(20)])
        yield url


def integrity_of(run: Run, url: str, *options: str) -> list[dict[str, str]]:
    """What the doctor finds about the pages."""
    found = json.loads(run("doctor", "--json", "--db", url, *options).stdout)["findings"]
    return [finding for finding in found if finding["id"] == "integrity"]


def test_without_amcheck_nothing_is_said_to_be_sound(server: str, run: Run) -> None:
    """The doctor and `db check` say that the pages were not checked, and what it takes."""
    (finding,) = integrity_of(run, server)
    assert (finding["level"], finding["text"]) == ("note", f"not checked: {amcheck.NOT_INSTALLED}")
    done = run("db", "check", "--db", server)
    assert done.returncode == 0
    unchecked, ok = done.stdout.splitlines()
    assert (ok.endswith(": ok"), unchecked.endswith(f": not checked: {amcheck.NOT_INSTALLED}")) == (True, True)
    assert json.loads(run("db", "check", "--json", "--db", server).stdout)["not_checked"] == amcheck.NOT_INSTALLED


@pytest.mark.parametrize("options", [[], ["--full"]], ids=["quick", "full"])
def test_with_amcheck_tables_and_indexes_are_checked(options: list[str], server: str, run: Run) -> None:
    """Their number is said; other tables of the database are not looked at."""
    execute_sql(server, "CREATE EXTENSION amcheck; CREATE TABLE other_program (x int PRIMARY KEY)")
    with closing(open_database(server)) as database:
        checked = database.check_integrity()
    assert (checked.defects, checked.unchecked) == ([], "")
    number = int(checked.checked.split()[0])
    assert number > 40
    (finding,) = integrity_of(run, server, *options)
    assert (finding["level"], finding["text"]) == ("ok", f"{number} tables and indexes (amcheck) are sound")
    execute_sql(server, "DROP TABLE other_program")
    with closing(open_database(server)) as database:
        assert database.check_integrity().checked == checked.checked


def test_a_damaged_index_is_found(server: str, run: Run) -> None:
    """An index that lacks a row: a full check finds it, and `db check` exits 1."""
    execute_sql(
        server,
        "CREATE EXTENSION amcheck; UPDATE pg_index SET indisready = false "
        "WHERE indrelid = 'silences'::regclass AND indisprimary",
    )
    execute_sql(server, "INSERT INTO silences (name, until_us, created_us) VALUES ('a', 2, 1)")
    execute_sql(server, "UPDATE pg_index SET indisready = true WHERE NOT indisready")
    (finding,) = integrity_of(run, server, "--full")
    assert finding["level"] == "problem"
    assert "the index" in finding["text"]
    assert "REINDEX" in finding["remedy"]
    assert run("db", "check", "--db", server).returncode == 1


def test_a_check_ends_within_its_time(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what it did not reach."""
    execute_sql(server, "CREATE EXTENSION amcheck")
    monkeypatch.setattr(amcheck, "QUICK_S", 0)
    with closing(open_database(server)) as database:
        found = database.check_integrity(is_quick=True)
    assert (found.defects, found.checked) == ([], "")
    assert found.unchecked.endswith("because 0 s were over")


def test_a_user_without_rights_is_told(server: str) -> None:
    """amcheck's functions are for administrators unless they are granted."""
    execute_sql(server, "CREATE EXTENSION amcheck")
    execute_sql(
        server,
        "DO $$ BEGIN CREATE ROLE reader_of_tests LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; "
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_tests",
    )
    with closing(
        open_database(server.replace("postgres:@", "reader_of_tests:@").replace("postgres@", "reader_of_tests@"))
    ) as database:
        found = database.check_integrity()
    assert (found.defects, found.checked) == ([], "")
    assert "may not use amcheck" in found.unchecked
