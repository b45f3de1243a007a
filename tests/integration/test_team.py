"""What a team's store makes of what laptops send, on both engines: identities, sightings, other tables, disclosure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_force.database.archive import archive_once
from claude_force.database.contract import Database
from claude_force.database.merge.delivered_tables import ROW_TYPES
from claude_force.database.queries.projects import repositories
from claude_force.database.revisions import HEAD
from claude_force.database.writes.projects import remember_repositories
from claude_force.errors import SettingsError
from claude_force.executions.record import PROVISIONAL, TELEMETRY, column
from claude_force.exporters.base import PushError
from claude_force.exporters.queue import forget, open_queue
from claude_force.exporters.settings import load_exporter
from claude_force.exporters.team.push import KIND, TeamExporter
from claude_force.exporters.team.recipients import TeamStore
from tests.builders import NOON_US, an_execution
from tests.profiles import thorough
from tests.sighted import in_telemetry, in_transcript, value_of
from tests.teams import (
    COST,
    HOST,
    NOW_US,
    OUTPUT,
    ROWS,
    Laptop,
    insert,
    meaning,
    only,
    receiver_of,
    seen,
    set_revision,
    table,
    team_rows,
    uid_of,
)

PROJECT, TASK = column("project"), column("task_hash")


@pytest.fixture(autouse=True)
def _made(request: pytest.FixtureRequest) -> None:
    """The team's store is there: a push makes none."""
    if "database" in request.fixturenames:
        with request.getfixturevalue("database").write():
            pass


@pytest.fixture
def pair(database: Database, tmp_path: Path) -> Iterator[tuple[Laptop, Laptop]]:
    """Two laptops whose team's store is `database`."""
    ana, ben = (Laptop(tmp_path, name, TeamStore(database)) for name in ("ana", "ben"))
    yield ana, ben
    for laptop in (ana, ben):
        laptop.database.close()


@pytest.mark.parametrize("first", [0, 1])
def test_a_response_that_two_machines_hold_counts_once(
    first: int, pair: tuple[Laptop, Laptop], database: Database
) -> None:
    """Also under two uids, whichever machine pushes first: an identity of which one uid is made tells it. What the
    second machine learns later finds the same execution."""
    pair[0].store.ingest([seen("first", "second", output_tokens=300, usage_basis=PROVISIONAL)], [])
    pair[1].store.ingest([seen("second", "third", output_tokens=400, usage_basis=PROVISIONAL)], [])
    for laptop in (pair[first], pair[1 - first]):
        laptop.push()
    assert only(database)[OUTPUT] == 400
    pair[0].store.ingest([seen("first", output_tokens=700)], [])
    pair[0].push()
    pair[1].store.ingest([seen("third", output_tokens=700)], [])
    assert pair[1].push().counts["added"] == 0
    assert only(database)[OUTPUT] == 700
    assert {meaning(database, name) for name in ("first", "second", "third")} == {only(database)[0]}


def test_an_identity_that_is_found_later_joins_two_executions(pair: tuple[Laptop, Laptop], database: Database) -> None:
    """Both were in the team's store already: one of them stays, and everything that stood for the other stands for
    it."""
    ana, ben = pair
    ana.store.ingest([seen("first", output_tokens=300)], [])
    ben.store.ingest([seen("second", output_tokens=300)], [])
    ana.push()
    ben.push()
    assert len(team_rows(database)) == 2
    ana.store.ingest([seen("first", "second", output_tokens=300)], [])
    ana.push()
    assert only(database)[0] == uid_of("second")
    assert meaning(database, "first") == meaning(database, "second") == uid_of("second")
    forget(ana.database, KIND)
    assert ana.push().counts["added"] == 0
    assert len(team_rows(database)) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_transcript_and_telemetry_of_two_machines_are_one_execution(
    first: int, pair: tuple[Laptop, Laptop], database: Database
) -> None:
    """As in one store: the time is that of telemetry, usage and cost are those of the transcript."""
    pair[0].store.ingest([in_transcript()], [])
    pair[1].store.ingest([in_telemetry()], [])
    for laptop in (pair[first], pair[1 - first], pair[0], pair[1]):
        laptop.push()
    row = only(database)
    assert (value_of(row, "duration_us"), row[COST]) == (2_500_000, in_transcript().row[COST])
    assert value_of(row, "source") != TELEMETRY


def test_a_correction_arrives_whichever_way_it_goes(pair: tuple[Laptop, Laptop], database: Database) -> None:
    """A price that was corrected to a higher and then to a lower cost: the last one counts."""
    ana, _ = pair
    ana.store.add([an_execution(cost_nanousd=500, price_version="0.8")])
    ana.push()
    for cost, version in ((900, "0.9"), (100, "0.10")):
        row = list(ana.rows()[0])
        row[COST], row[column("price_version")] = cost, version
        ana.store.reprice([tuple(row)])
        assert ana.push().counts["changed"] == 1
        assert only(database)[COST] == cost


def test_the_uid_of_another_machine_does_not_lower_a_usage(pair: tuple[Laptop, Laptop], database: Database) -> None:
    """Of two machines that send one uid with other values, the more certain and then the larger usage wins, so a
    machine cannot make the figures of another smaller. The row stays that of the machine whose usage won."""
    ana, ben = pair
    execution = an_execution(output_tokens=500, cost_nanousd=500)
    ana.store.add([execution])
    ben.store.add([an_execution(uid=execution.uid, output_tokens=1, cost_nanousd=1)])
    ana.push()
    assert ben.push().counts["known"] == 1
    assert (only(database)[COST], only(database)[HOST]) == (500, "ana")


def test_two_pushes_of_one_store_at_once_are_refused(pair: tuple[Laptop, Laptop]) -> None:
    """The second one sends nothing; the first one is not disturbed."""
    ana, _ = pair
    ana.store.add([an_execution()])
    with (
        open_queue(ana.database, KIND, ana.road.destination, lambda: NOW_US, None),
        pytest.raises(PushError, match="another push to team is running"),
    ):
        ana.push()
    assert ana.push().counts["added"] == 1


def test_what_the_team_has_archived_stays_as_it_is(
    pair: tuple[Laptop, Laptop], database: Database, tmp_path: Path
) -> None:
    """A change of it is known there, and neither stored again nor an error."""
    ana, _ = pair
    ana.store.add([an_execution(usage_basis=PROVISIONAL, output_tokens=1)])
    ana.push()
    archive_once(database, tmp_path / "archive", NOW_US, 0)
    forget(ana.database, KIND)
    assert ana.push().counts == {"added": 0, "changed": 0, "known": 1, "rejected": 0, "rows": 0, "gone": 0}
    assert team_rows(database) == {}


@pytest.mark.parametrize("over_http", [False, True])
def test_other_tables_arrive_and_are_sent_once(
    over_http: bool, pair: tuple[Laptop, Laptop], database: Database, location: str, tmp_path: Path
) -> None:
    """Each row, and then only what changed."""
    ana, _ = pair
    assert set(ROWS) == set(ROW_TYPES)
    for name, row in ROWS.items():
        insert(ana.database, name, row)
    with receiver_of(location, tmp_path) as receiver:
        if over_http:
            ana.road.recipient = receiver
        assert ana.push().counts["rows"] == len(ROWS)
        assert {name: table(database, name) for name in ROWS} == {name: [row] for name, row in ROWS.items()}
        assert ana.push().counts["rows"] == 0
        later = (*ROWS["session_ledgers"][:2], NOON_US + 1, 9, *ROWS["session_ledgers"][4:])
        insert(ana.database, "session_ledgers", later)
        insert(ana.database, "outcomes", (*ROWS["outcomes"][:4], 3, 40))
        assert ana.push().counts["rows"] == 2
    assert table(database, "session_ledgers") == [later]
    assert table(database, "outcomes")[0][4:] == (3, 40)


def test_projects_are_hashed_and_task_hashes_left_out(database: Database, tmp_path: Path) -> None:
    """Executions of all folders of a repository get one name, the same at every push, so what is sent again is known.
    No name, path or hash of a task is in the team's store, also not in what telemetry saw."""
    ana = Laptop(tmp_path, "ana", TeamStore(database), projects="hashed", has_task_hash=False)
    ana.store.add([an_execution(project="/srv/shop"), an_execution(project="/srv/shop/web"), an_execution()])
    ana.store.ingest([in_transcript(project="/srv/shop"), in_telemetry(project="/srv/shop")], [])
    with ana.database.write() as connection:
        remember_repositories(connection, {"/srv/shop/web": "/srv/shop"})
    insert(ana.database, "headless_runs", ROWS["headless_runs"])
    ana.push()
    rows = team_rows(database).values()
    names = {row[PROJECT] for row in rows} - {None}
    assert len(names) == 1
    assert names.pop().startswith("project-")
    assert {row[TASK] for row in rows} == {None}
    with database.read() as connection:
        texts = connection.fetch("SELECT fields FROM sightings UNION SELECT project FROM headless_runs")
        assert not any("shop" in str(text) for text in texts)
        assert repositories(connection) == {}
    forget(ana.database, KIND)
    assert ana.push().counts["added"] == 0
    assert set(team_rows(database)) == {row[0] for row in rows}
    ana.database.close()


def test_projects_are_mapped(database: Database, tmp_path: Path) -> None:
    """Those that are listed get their name, all others are hashed."""
    ana = Laptop(tmp_path, "ana", TeamStore(database), projects={"/srv/shop": "shop"})
    ana.store.add([an_execution(project="/srv/shop"), an_execution(project="/srv/secret")])
    ana.push()
    found = sorted(str(row[PROJECT]) for row in team_rows(database).values())
    assert found[1] == "shop"
    assert found[0].startswith("project-")
    ana.database.close()


def test_a_change_of_the_settings_holds_for_what_is_sent_from_then_on(
    pair: tuple[Laptop, Laptop], database: Database
) -> None:
    """What is there keeps its name until everything is sent again; then each execution gets the new one, once."""
    ana, _ = pair
    ana.store.add([an_execution(project="/srv/shop")])
    ana.push()
    ana.disclosure.projects, ana.disclosure.has_task_hash = "hashed", False
    ana.store.add([an_execution(project="/srv/shop")])
    ana.push()
    assert len({row[PROJECT] for row in team_rows(database).values()}) == 2
    forget(ana.database, KIND)
    ana.push()
    rows = team_rows(database).values()
    assert (len(rows), {row[TASK] for row in rows}) == (2, {None})
    assert [str(name).startswith("project-") for name in {row[PROJECT] for row in rows}] == [True]


def test_archived_executions_that_were_never_sent_are_named(
    pair: tuple[Laptop, Laptop], database: Database, tmp_path: Path
) -> None:
    """They are in a file, and not in the queue."""
    ana, _ = pair
    ana.store.add([an_execution()])
    archive_once(ana.database, tmp_path / "archive", NOW_US, 0)
    assert any("1 archived execution stayed here" in remark for remark in ana.push().remarks)
    assert team_rows(database) == {}


def test_the_store_of_another_schema_is_one_line(pair: tuple[Laptop, Laptop], database: Database) -> None:
    """It names both schemas and the remedy, nothing is sent, and what was sent before stays known."""
    ana, _ = pair
    ana.store.add([an_execution()])
    ana.push()
    ana.store.add([an_execution()])
    for revision, remedy in (("0001", "db upgrade --db"), ("9999", "upgrade claude-force here")):
        with database.write() as connection:
            before = connection.fetch("SELECT version_num FROM claude_force_version")[0][0]
            connection.execute("UPDATE claude_force_version SET version_num = :new", {"new": revision})
        database.close()
        try:
            with pytest.raises(PushError, match=f"has schema {revision}.*{remedy}.*claude-force receive"):
                ana.push()
        finally:
            set_revision(database, before)
    assert ana.push().counts["added"] == 1


def a_load(folder: Path, **stated: object) -> TeamExporter:
    """The exporter of these settings."""
    found = load_exporter(KIND, {KIND: stated}, {}, {"PASSWORD": "geheim"}, folder)
    assert isinstance(found, TeamExporter)
    return found


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ({}, "to is missing"),
        ({"to": "postgresql://me:geheim@db/team"}, "to must not hold a password"),
        ({"to": "postgresql://db/team?user=me&password=geheim"}, "to must not hold a password"),
        ({"to": "postgresql://db/team?sslpassword=geheim"}, "to must not hold a password"),
        ({"to": "postgresql://me:geheim${PASSWORD}@db/team"}, "to must not hold a password"),
        ({"to": "https://me:geheim@team.example"}, "to must be an address alone"),
        ({"to": "https://[::1"}, "to must be a URL"),
        ({"to": "https://team.example:99999"}, "to must be a URL"),
        ({"to": "team.db", "projects": "some"}, "projects must be"),
        ({"to": "team.db", "projects": {"/srv/shop": ""}}, "projects must be"),
        ({"to": "team.db", "task_hash": "no"}, "task_hash must be"),
        ({"to": "mysql://db/team"}, "to cannot be used"),
        ({"to": "team.db", "token": "geheim"}, "token must not be in claude.json"),
    ],
)
def test_a_wrong_setting_is_a_line_without_secrets(stated: dict[str, object], problem: str, tmp_path: Path) -> None:
    """It names the field; a password or token in claude.json itself is refused, and not repeated."""
    with pytest.raises(SettingsError, match=problem) as error:
        a_load(tmp_path, **stated)
    assert "geheim" not in str(error.value)


def test_settings_make_an_exporter(tmp_path: Path) -> None:
    """A password may come from a variable, and is not shown; a path is relative to claude.json."""
    server = a_load(tmp_path, to="postgresql://me:${PASSWORD}@db/team", projects="hashed", task_hash=False)
    assert (server.destination.count("geheim"), server.disclosure.projects) == (0, "hashed")
    assert a_load(tmp_path, to="team.db").destination == str(tmp_path / "team.db")
    assert a_load(tmp_path, to="https://team.example:4319/").destination == "https://team.example:4319"


@pytest.mark.parametrize("over_http", [True, *thorough(False)])
def test_a_team_store_that_was_upgraded_meanwhile_loses_nothing(
    over_http: bool, pair: tuple[Laptop, Laptop], database: Database, location: str, tmp_path: Path
) -> None:
    """A push fails as long as its program is the older one; then the next push sends what was due."""
    ana, _ = pair
    ana.store.add([an_execution()])
    with receiver_of(location, tmp_path) as receiver:
        if over_http:
            ana.road.recipient = receiver
        with database.write() as connection:
            connection.execute("UPDATE claude_force_version SET version_num = '9999'")
        with pytest.raises(PushError):
            ana.push()
        set_revision(database, HEAD)
        assert ana.push().counts["added"] == 1
