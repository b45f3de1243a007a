"""The endpoint for deliveries: what it refuses as a whole, what in part, and that it answers after storing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from claude_force.database.contract import Database
from claude_force.database.merge import delivery_body
from claude_force.database.merge.delivery import Delivery
from claude_force.database.merge.delivery_body import encode_body
from claude_force.database.merge.tables import TABLES
from claude_force.executions.record import FIELDS, ExecutionRow, column, identity_text, to_row
from claude_force.exporters.base import PushError
from claude_force.exporters.team import PATH, recipients
from claude_force.exporters.team.recipients import TeamReceiver
from claude_force.network.connection import Patience
from tests.builders import NOON_US, an_execution
from tests.counterparts import Reply, scripted, unused_port
from tests.receivers import JSON, PROTOBUF, Answered, post, request_head, send_raw
from tests.teams import COST, ROWS, TOKEN, Laptop, meaning, receiver_of, seen, table, team_rows, uid_of

LOGIN = {"Authorization": f"Bearer {TOKEN.reveal()}"}


class Door:
    """The endpoint as a client sees it."""

    def __init__(self, url: str) -> None:
        self.port = urlsplit(url).port or 0

    def send(self, body: bytes | dict[str, Any], **more: Any) -> Answered:
        """Send a body, or an object as one."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return post(self.port, content, more.pop("kind", JSON), PATH, **LOGIN | more)

    def outcome(self, body: bytes | dict[str, Any]) -> dict[str, Any]:
        """The answer to a body that is taken."""
        answer = self.send(body)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = json.loads(answer.body)
        return found


@pytest.fixture
def door(location: str, database: Database, tmp_path: Path) -> Iterator[Door]:
    """The endpoint of a receiver whose store is `database`."""
    with database.write():
        pass
    with receiver_of(location, tmp_path) as receiver:
        yield Door(receiver.url)


def an_object(*rows: ExecutionRow, **changes: Any) -> dict[str, Any]:
    """The body of a delivery as an object, with changes."""
    found: dict[str, Any] = json.loads(encode_body(Delivery(rows)))
    return found | changes


def a_row(**changes: Any) -> ExecutionRow:
    """An execution as a row."""
    return to_row(an_execution(**changes))


def test_a_delivery_is_answered_when_it_is_stored(door: Door, database: Database) -> None:
    """Plain or gzip; sent again, it is known."""
    rows = [a_row(), a_row()]
    body = encode_body(Delivery(rows))
    counts = {"added": 2, "changed": 0, "known": 0, "rejected": [], "left_out": []}
    assert door.outcome(body) == counts
    assert set(team_rows(database)) == {row[0] for row in rows}
    answer = door.send(gzip.compress(body), Content_Encoding="gzip")
    assert json.loads(answer.body) == counts | {"added": 0, "known": 2}


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": ""}, 401),
        ({"Origin": "https://page.example"}, 403),
        ({"kind": PROTOBUF}, 415),
        ({"kind": "text/plain"}, 415),
        ({"Content_Encoding": "gzip"}, 400),
        ({"Content_Encoding": "br"}, 415),
    ],
    ids=str,
)
def test_a_request_that_may_not_send_changes_nothing(
    more: dict[str, str], status: int, door: Door, database: Database
) -> None:
    """A wrong token, a web page, another type."""
    assert door.send(encode_body(Delivery([a_row()])), **more).status == status
    assert team_rows(database) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"version": "1"}', b'{"version": 2}', b'{"version": 1, "executions": 5}',
        b'{"version": 1, "executions": [[]]}', b'{"version": 1, "columns": ["uid", "uid"]}',
        b'{"version": 1, "identities": [["00"]]}', b"\xff\xfe", b"[" * 100_000, b'{"version": 1, "tables": []}',
    ],
    ids=lambda body: body[:30],
)  # fmt: skip
def test_a_body_that_is_no_delivery_is_refused_for_good(body: bytes, door: Door) -> None:
    """With 400: sending it again is of no use."""
    assert door.send(body).status == 400


def test_a_version_that_is_not_known_names_the_remedy(door: Door) -> None:
    """In one line, which the sender shows."""
    answer = door.send(an_object(version=2))
    assert "version 2, known is 1: upgrade the older claude-force" in answer.body.decode()


def test_a_cut_body_stores_nothing(door: Door, database: Database) -> None:
    """Its sender does not know what became of it, and sends it again."""
    body = encode_body(Delivery([a_row()]))
    head = request_head(len(body), f"Authorization: {LOGIN['Authorization']}").replace(b"/v1/logs", PATH.encode())
    assert send_raw(door.port, head + body[:-5]).status == 400
    assert team_rows(database) == {}


BAD_CELLS = [
    ("timestamp_us", -1), ("timestamp_us", "now"), ("agent_name", ""), ("agent_name", "a\0b"), ("model", None),
    ("success", 7), ("success", "yes"), ("cost_nanousd", 10**18), ("cost_nanousd", 0.5), ("input_tokens", -1),
    ("output_tokens", None), ("steps", "[["), ("steps", "[" * 3000), ("project", "x" * 2000), ("uid", "zz"), ("uid", 5),
    ("uid", None), ("cache_read_tokens", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_CELLS, ids=lambda each: str(each)[:20])
def test_an_impossible_execution_is_named_and_the_others_are_stored(
    name: str, value: object, door: Door, database: Database
) -> None:
    """By its uid and with the reason, so that its sender can write that down and go on."""
    good, bad = a_row(), a_row()
    body = an_object(good, bad)
    body["executions"][1][FIELDS.index(name)] = value
    outcome = door.outcome(body)
    assert outcome["added"] == 1
    (rejected,) = outcome["rejected"]
    assert name == "uid" or rejected["what"] == identity_text(bad[0])
    assert rejected["reason"]
    assert set(team_rows(database)) == {good[0]}


def test_a_row_with_too_few_values_is_named(door: Door) -> None:
    """It is not guessed which one is missing."""
    body = an_object(a_row(), a_row())
    body["executions"][1].pop()
    outcome = door.outcome(body)
    assert (outcome["added"], len(outcome["rejected"])) == (1, 1)


def test_rows_of_other_tables_are_checked(door: Door, database: Database) -> None:
    """A wrong one is named by its table; an unknown table is left out and named."""
    tables = {
        "run_parents": {"columns": ["run_id", "session_id", "parent_id", "seen_us"], "rows": [
            ["r", "s", "p", 5], ["r", 7, "p", 5], ["a\0", "s", "p", 5], ["b", "s", "p", 2**70], ["c"],
        ]},
        "secrets": {"columns": ["a"], "rows": [["b"]]},
    }  # fmt: skip
    outcome = door.outcome(an_object(tables=tables))
    assert [item["what"] for item in outcome["rejected"]] == ["run_parents"] * 4
    assert outcome["left_out"] == ["secrets"]
    with database.read() as connection:
        assert connection.fetch("SELECT run_id, parent_id FROM run_parents") == [("r", "p")]


NUMBERS = [
    ("outcomes", "day_us", 9 * 10**18), ("outcomes", "day_us", -1), ("outcomes", "value", 9 * 10**18),
    ("session_ledgers", "cost_nanousd", -1), ("session_ledgers", "input_tokens", 9 * 10**18),
    ("headless_runs", "duration_us", -1), ("headless_runs", "exit_code", 2**60), ("run_labels", "until_us", 2**62),
]  # fmt: skip


@pytest.mark.parametrize(("name", "column_name", "value"), NUMBERS, ids=str)
def test_an_impossible_number_of_another_table_is_named(
    name: str, column_name: str, value: int, door: Door, database: Database
) -> None:
    """One row would break the reports of the whole team: a day that no calendar has, a sum that overflows, a cost that
    takes from that of others."""
    columns = list(TABLES[name].columns)
    bad = list(ROWS[name])
    bad[columns.index(column_name)] = value
    outcome = door.outcome(an_object(tables={name: {"columns": columns, "rows": [bad]}}))
    assert [item["what"] for item in outcome["rejected"]] == [name]
    assert column_name in outcome["rejected"][0]["reason"]
    assert table(database, name) == []


@pytest.mark.parametrize("name", ROWS)
def test_rows_with_one_key_in_one_body_are_one(name: str, door: Door, database: Database) -> None:
    """The last one counts, on both engines: a server stores no key twice in a statement."""
    rows = {"columns": list(TABLES[name].columns), "rows": [list(ROWS[name])] * 2}
    assert door.outcome(an_object(tables={name: rows}))["rejected"] == []
    assert table(database, name) == [ROWS[name]]


def test_sightings_and_identities_are_checked(door: Door, database: Database) -> None:
    """Those of executions that the body does not have are left out: they would speak of what others sent."""
    row = a_row()
    uid, other = row[0].hex(), a_row()[0].hex()
    body = an_object(
        row,
        identities=[["00" * 16, uid], ["11" * 16, other], ["xx", uid]],
        sightings=[
            [uid, "event", 5, None, None, None, "{}"],
            [uid, "rumour", 5, None, None, None, "{}"],
            [uid, "span", 5, None, None, None, '{"input_tokens": "many"}'],
            [uid, "sdk", 5, None, None, None, "[]"],
            [other, "event", 5, None, None, None, "{}"],
        ],
    )
    outcome = door.outcome(body)
    assert len(outcome["rejected"]) == 4
    with database.read() as connection:
        assert [bytes(found[0]).hex() for found in connection.fetch("SELECT identity FROM identities")] == ["00" * 16]
        assert connection.fetch("SELECT source FROM sightings") == [("event",)]


def test_a_sender_of_another_release_is_understood(door: Door, database: Database) -> None:
    """A column that is not known here is left out and named; one that is not sent is not known."""
    row = a_row()
    newer = an_object(row)
    newer["columns"].append("mood")
    newer["executions"][0].append("good")
    assert door.outcome(newer)["left_out"] == ["mood"]
    older = an_object(a_row())
    place = older["columns"].index("git_branch")
    for values in (older["columns"], older["executions"][0]):
        values.pop(place)
    assert door.outcome(older)["added"] == 1
    assert len(team_rows(database)) == 2


def test_a_body_with_too_many_rows_is_sent_in_parts(
    location: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver says 413, and the laptop halves it until it is taken; all of it arrives."""
    with database.write():
        pass
    monkeypatch.setattr(delivery_body, "ROWS_LIMIT", 3)
    with receiver_of(location, tmp_path) as receiver:
        ana = Laptop(tmp_path, "ana", receiver)
        ana.store.add([an_execution() for _ in range(10)])
        assert ana.push(at_once=10).counts["added"] == 10
        ana.database.close()
    assert len(team_rows(database)) == 10


@pytest.mark.parametrize("status", [408, 413])
def test_what_is_too_much_at_once_is_sent_in_halves(status: int, tmp_path: Path) -> None:
    """Too large for a proxy, or too slow on a thin line: the same body again would have the same end."""
    counts = {"changed": 0, "known": 0, "rejected": [], "left_out": []}
    taken = [Reply(200, json.dumps(counts | {"added": added}).encode()) for added in (0, 2, 2)]
    with scripted([taken[0], Reply(status), *taken[1:]]) as counterpart:
        ana = Laptop(tmp_path, "ana", TeamReceiver(counterpart.url, TOKEN, patience=Patience(5.0, 5.0)))
        ana.store.add([an_execution() for _ in range(4)])
        assert ana.push().counts["added"] == 4
        sent = [json.loads(gzip.decompress(request.body))["executions"] for request in counterpart.requests[1:]]
    assert [len(rows) for rows in sent] == [4, 2, 2]
    assert sent[1] + sent[2] == sent[0]
    ana.database.close()


def test_a_large_delivery_is_several_bodies(
    location: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So those of other laptops are stored in between. Each execution is in one of them, with its identities."""
    with database.write():
        pass
    monkeypatch.setattr(recipients, "BODY_ROWS", 2)
    with receiver_of(location, tmp_path) as receiver:
        ana = Laptop(tmp_path, "ana", receiver)
        ana.store.ingest([seen(f"{number}", f"{number}-too") for number in range(5)], [])
        assert ana.push(at_once=10).counts["added"] == 5
        ana.database.close()
    assert len(team_rows(database)) == 5
    assert [meaning(database, f"{number}-too") for number in range(5)] == [uid_of(f"{number}") for number in range(5)]


def test_what_is_rejected_is_written_down(location: str, database: Database, tmp_path: Path) -> None:
    """In a file beside the store, and it is not sent again."""
    with database.write():
        pass
    with receiver_of(location, tmp_path) as receiver:
        ana = Laptop(tmp_path, "ana", receiver)
        ana.store.add([an_execution(), an_execution()])
        bad = ana.rows()[0][0]
        with ana.database.write() as connection:
            connection.execute("UPDATE executions SET error_type = '' WHERE uid = :uid", {"uid": bad})
        result = ana.push()
        assert (result.counts["added"], result.counts["rejected"]) == (1, 1)
        assert str(ana.rejected_file) in result.remarks[0]
        (line,) = ana.rejected_file.read_text().splitlines()
        assert json.loads(line)["what"] == identity_text(bad)
        assert ana.push().counts["rejected"] == 0
        ana.database.close()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, b"{}"), "not of a claude-force receive"),
        (Reply(200, b"<html>"), "not of a claude-force receive"),
        (Reply(404), "has no /v1/team"),
        (Reply(301), "redirect"),
        (Reply(500, b'{"message": "token-of-the-team"}'), "answered 500"),
        (Reply(503), "answered 503"),
    ],
    ids=str,
)
def test_an_answer_of_something_else_is_one_line(reply: Reply, said: str, tmp_path: Path) -> None:
    """What was due stays due, and the token is not repeated."""
    with scripted([reply]) as counterpart:
        ana = Laptop(tmp_path, "ana", TeamReceiver(counterpart.url, TOKEN, patience=Patience(5.0, 5.0)))
        ana.store.add([an_execution()])
        with pytest.raises(PushError, match=said) as error:
            ana.push()
    assert TOKEN.reveal() not in str(error.value)
    ana.database.close()


def test_nobody_listens(tmp_path: Path) -> None:
    """One line."""
    ana = Laptop(tmp_path, "ana", TeamReceiver(f"http://127.0.0.1:{unused_port()}", TOKEN))
    ana.store.add([an_execution()])
    with pytest.raises(PushError, match="nobody listens"):
        ana.push()
    ana.database.close()


def test_costs_of_others_are_not_lowered(door: Door, database: Database) -> None:
    """A delivery with the uid of another machine's execution and a smaller usage changes nothing; with a larger one it
    wins, as in a merge of two stores. The token is what keeps strangers out."""
    row = a_row(host="ana", output_tokens=500, cost_nanousd=500)
    door.outcome(an_object(row))
    for output, cost, expected in ((1, 1, 500), (900, 7, 7)):
        other = list(row)
        other[column("host")], other[column("output_tokens")], other[COST] = "mallory", output, cost
        door.outcome(an_object(tuple(other)))
        assert team_rows(database)[row[0]][COST] == expected
    assert team_rows(database)[row[0]][1] == NOON_US
