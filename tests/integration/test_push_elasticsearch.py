"""Executions to Elasticsearch: one document for each, whatever fails on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import HOUR_US, SECOND_US
from claude_force.database.contract import Database
from claude_force.database.queries import export_queue as export_queries
from claude_force.database.writes import Store
from claude_force.errors import SettingsError
from claude_force.executions.record import ExecutionMetrics, column, to_row
from claude_force.exporters.base import PushError, PushResult
from claude_force.exporters.elasticsearch.push import PAUSES_S, ElasticsearchExporter
from claude_force.exporters.elasticsearch.server import PATIENCE, Login, Server
from claude_force.exporters.settings import load_exporter
from claude_force.network.connection import Patience
from claude_force.network.redaction import Secret
from tests.builders import NOON_US, a_line, an_execution
from tests.conftest import Run
from tests.counterparts import DRIP, HANG, Authority, Reply, scripted, unused_port
from tests.elastic import Cut, Each, Fault, Status, elastic, refusal

NOW_US = NOON_US + HOUR_US
INDEX = "claude-force-metrics"
QUICK = Patience(2.0, 2.0)
_COST = column("cost_nanousd")


def executions(count: int, start_us: int = NOON_US) -> list[ExecutionMetrics]:
    """Executions, a second apart."""
    return [an_execution(timestamp_us=start_us + place * SECOND_US) for place in range(count)]


def an_exporter(url: str, tmp_path: Path, waits: list[float] | None = None, **changes: Any) -> ElasticsearchExporter:
    """An exporter that sends four documents a request, and notes its pauses instead of waiting."""
    of_server = {name: changes.pop(name) for name in ("login", "ca_file", "patience") if name in changes}
    server = Server(url, **of_server)
    wait = (waits if waits is not None else []).append
    return ElasticsearchExporter(
        server, INDEX, tmp_path / "metrics" / "rejected.jsonl", **{"wait": wait, "at_once": 4, **changes}
    )


def push(exporter: ElasticsearchExporter, database: Database) -> PushResult:
    """One push."""
    return exporter.push(database, lambda: NOW_US)


def push_until_done(exporter: ElasticsearchExporter, database: Database, attempts: int = 20) -> list[str]:
    """Push until nothing is due. Returns the errors on the way."""
    problems = []
    for _ in range(attempts):
        try:
            push(exporter, database)
        except PushError as error:
            problems.append(str(error))
        if not exporter.count_due(database, lambda: NOW_US):
            return problems
    raise AssertionError(problems)


def uids(records: Sequence[ExecutionMetrics]) -> set[str]:
    """The uids of executions."""
    return {record.uid for record in records}


def test_the_first_push_sends_everything_and_later_ones_what_is_new(
    database: Database, store: Store, tmp_path: Path
) -> None:
    """The first push creates the index and sends everything, the second sends new executions, the third nothing."""
    old, new = executions(10), executions(3, NOON_US + HOUR_US)
    store.add(old)
    with elastic() as server:
        exporter = an_exporter(server.url, tmp_path)
        first = push(exporter, database)
        store.add(new)
        second, third = push(exporter, database), push(exporter, database)
    assert set(server.documents) == uids(old + new)
    assert first.message == "Imported 10 metrics to Elasticsearch"
    assert [pushed.counts["created"] for pushed in (first, second, third)] == [10, 3, 0]
    assert [uid for bulk in server.bulks for _, uid in bulk] == [record.uid for record in old + new]
    assert first.destination == f"{server.url}/{INDEX}"


def test_the_index_has_the_types_of_the_guide(database: Database, store: Store, tmp_path: Path) -> None:
    """Every other field of the record has a type as well."""
    store.add(executions(1))
    with elastic() as server:
        push(an_exporter(server.url, tmp_path), database)
    found = {name: given["type"] for name, given in server.indices[INDEX]["mappings"]["properties"].items()}
    assert list(found.items())[:10] == [
        ("timestamp", "date"),
        ("agent_name", "keyword"),
        ("task_hash", "keyword"),
        ("success", "boolean"),
        ("execution_time_ms", "integer"),
        ("model", "keyword"),
        ("input_tokens", "integer"),
        ("output_tokens", "integer"),
        ("total_tokens", "integer"),
        ("estimated_cost", "float"),
    ]
    assert len(found) == 34
    assert found["steps"] == "object"
    assert found["project"] == "keyword"
    assert found["reference_cost"] == "double"


def test_a_document_is_the_record(database: Database, store: Store, tmp_path: Path) -> None:
    """Public field names, the time in UTC, whole milliseconds; unknown values are absent."""
    known = an_execution(duration_us=3_456_700, project="/srv/shop")
    bare = an_execution(
        task_hash=None, duration_us=None, input_tokens=None, output_tokens=None, cost_nanousd=None,
        reference_cost_nanousd=None, success=False, error_type="TimeoutError",
    )  # fmt: skip
    store.add([known, bare])
    with elastic() as server:
        push(an_exporter(server.url, tmp_path), database)
    assert server.documents[known.uid] == {
        "timestamp": "2025-11-01T12:26:40.000000+00:00", "agent_name": "python-expert", "task_hash": "a3b4c5d6",
        "success": True, "execution_time_ms": 3457, "model": "claude-3-5-haiku-20241022", "input_tokens": 1234,
        "output_tokens": 567, "total_tokens": 1801, "estimated_cost": 0.0032552, "uid": known.uid,
        "source": "tracker", "project": "/srv/shop", "cache_read_tokens": 0, "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0, "reference_cost": 0.012207, "web_searches": 0,
    }  # fmt: skip
    assert server.documents[bare.uid] == {
        "timestamp": "2025-11-01T12:26:40.000000+00:00", "agent_name": "python-expert", "success": False,
        "model": "claude-3-5-haiku-20241022", "error_type": "TimeoutError", "uid": bare.uid, "source": "tracker",
        "cache_read_tokens": 0, "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0, "web_searches": 0,
    }  # fmt: skip


def test_a_change_replaces_the_document(database: Database, store: Store, tmp_path: Path) -> None:
    """An execution whose cost changed is sent again, and is still one document."""
    record = an_execution()
    store.add([record])
    with elastic() as server:
        exporter = an_exporter(server.url, tmp_path)
        push(exporter, database)
        row = list(to_row(record))
        row[_COST] = 5_000_000_000
        store.reprice([tuple(row)])
        pushed = push(exporter, database)
    assert (pushed.counts["replaced"], pushed.message) == (1, "Imported 1 metrics to Elasticsearch")
    assert [document["estimated_cost"] for document in server.documents.values()] == [5.0]


def test_a_data_stream_takes_new_executions(database: Database, store: Store, tmp_path: Path) -> None:
    """It gets a template and documents with a time field. A change cannot be applied, and a remark says so."""
    record = an_execution()
    store.add([record])
    with elastic() as server:
        exporter = an_exporter(server.url, tmp_path, is_stream=True)
        push(exporter, database)
        row = list(to_row(record))
        row[_COST] += 1
        store.reprice([tuple(row)])
        pushed = push(exporter, database)
        assert exporter.count_due(database, lambda: NOW_US) == 0
    assert server.streams == {INDEX}
    template = server.templates[INDEX]
    assert template["index_patterns"] == [INDEX]
    assert template["template"]["mappings"]["properties"]["@timestamp"] == {"type": "date"}
    assert server.documents[record.uid]["@timestamp"] == "2025-11-01T12:26:40.000000+00:00"
    assert pushed.counts["changed"] == 1
    assert pushed.remarks == ("1 change not sent: a data stream takes none",)
    assert [len(bulk) for bulk in server.bulks] == [1]


@pytest.mark.parametrize(("is_stream", "said"), [(True, "has an index named"), (False, "has a data stream named")])
def test_an_index_is_not_a_data_stream(
    database: Database, store: Store, tmp_path: Path, is_stream: bool, said: str
) -> None:
    """If the name belongs to the other of the two, the push is refused before a document is sent."""
    store.add(executions(1))
    with elastic() as server:
        if is_stream:
            server.indices[INDEX] = {}
        else:
            server.streams.add(INDEX)
        with pytest.raises(PushError, match=said):
            push(an_exporter(server.url, tmp_path, is_stream=is_stream), database)
    assert server.bulks == []


@pytest.mark.parametrize(
    "fault",
    [HANG, Cut(0), Cut(0.5), Cut(1), Status(500), Status(301), Status(502), Each((201, 403)), Each((201, 404)),
     Each((400,), "index_closed_exception")],
    ids=str,
)  # fmt: skip
def test_a_batch_that_failed_is_sent_again(database: Database, store: Store, tmp_path: Path, fault: Fault) -> None:
    """The failure is one line, and each execution becomes one document in the end."""
    recorded = executions(10)
    store.add(recorded)
    with elastic() as server:
        exporter = an_exporter(server.url, tmp_path, patience=QUICK if fault == HANG else PATIENCE)
        server.faults = [Each((201,)), fault]
        problems = push_until_done(exporter, database)
    assert len(problems) == 1
    assert problems[0].isprintable()
    assert set(server.documents) == uids(recorded)
    assert [len(bulk) for bulk in server.bulks] == [4, 4, 4, 2]


def test_a_request_that_is_too_large_is_split(database: Database, store: Store, tmp_path: Path) -> None:
    """It is split until it is taken. A document that is too large by itself is rejected and delays no other."""
    recorded = executions(5)
    store.add(recorded)
    large, fine = Status(413), Each((201,))
    with elastic() as server:
        server.faults = [large, fine, large, large, fine]
        pushed = push(an_exporter(server.url, tmp_path), database)
    assert [len(bulk) for bulk in server.bulks] == [4, 2, 2, 1, 1, 1]
    assert (pushed.counts["created"], pushed.counts["rejected"]) == (4, 1)
    assert len(server.documents) == 4


def test_a_redirect_is_not_followed(database: Database, store: Store, tmp_path: Path) -> None:
    """Neither the documents nor the login go to its address."""
    store.add(executions(1))
    with scripted() as elsewhere, elastic() as server:
        server.faults = [Status(307, headers={"Location": elsewhere.url})]
        with pytest.raises(PushError, match="answered 307, a redirect, which is not followed"):
            push(an_exporter(server.url, tmp_path), database)
    assert elsewhere.requests == []


def test_a_slow_answer_ends(database: Database, store: Store, tmp_path: Path) -> None:
    """A server that sends a byte now and then holds a push no longer than its timeout."""
    store.add(executions(1))
    with scripted([DRIP]) as server, pytest.raises(PushError, match="gave no complete answer within 2 seconds"):
        push(an_exporter(server.url.rstrip("/"), tmp_path, patience=QUICK), database)


def test_a_server_that_is_down(
    database: Database, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error is one line, and nothing else is printed."""
    store.add(executions(1))
    with pytest.raises(PushError, match=r"Elasticsearch: the connection to 127\.0\.0\.1 failed"):
        push(an_exporter(f"http://127.0.0.1:{unused_port()}", tmp_path), database)
    assert capfd.readouterr() == ("", "")


def test_a_busy_server_is_asked_again(database: Database, store: Store, tmp_path: Path) -> None:
    """Only the documents that were not taken are sent again, after growing pauses."""
    recorded = executions(4)
    store.add(recorded)
    waits: list[float] = []
    with elastic() as server:
        server.faults = [Each((429, 201)), Each((503,)), Status(429)]
        pushed = push(an_exporter(server.url, tmp_path, waits), database)
    assert waits == list(PAUSES_S)
    assert [len(bulk) for bulk in server.bulks] == [4, 2, 2, 2]
    assert set(server.documents) == uids(recorded)
    assert (pushed.counts["created"], pushed.counts["waiting"]) == (4, 0)


@pytest.mark.parametrize("is_backfill", [True, False])
def test_a_server_that_stays_busy_ends_the_push(
    database: Database, store: Store, tmp_path: Path, is_backfill: bool
) -> None:
    """The push stops, and the documents that were not taken are due at the next one."""
    with elastic() as server:
        exporter = an_exporter(server.url, tmp_path)
        if not is_backfill:
            push(exporter, database)
        recorded = executions(6)
        store.add(recorded)
        server.faults = [Each((201, 429)), *[Each((429,))] * len(PAUSES_S)]
        pushed = push(exporter, database)
        assert (pushed.counts["created"], pushed.counts["waiting"]) == (2, 2)
        assert pushed.remarks == ("Elasticsearch is busy; the rest is due at the next push",)
        assert exporter.count_due(database, lambda: NOW_US) == 4
        assert push_until_done(exporter, database) == []
    assert set(server.documents) == uids(recorded)


def test_rejected_documents_are_written_to_a_file(database: Database, store: Store, tmp_path: Path) -> None:
    """With the reason, readable only by the owner. They are not due any more; the others are stored."""
    recorded = executions(4)
    store.add(recorded)
    with elastic() as server:
        exporter = an_exporter(server.url, tmp_path)
        server.faults = [Each((201, 201, 400, 201), "document_parsing_exception", "out of range\n\x1b[31m")]
        pushed = push(exporter, database)
        assert exporter.count_due(database, lambda: NOW_US) == 0
        push(exporter, database)
    path = tmp_path / "metrics" / "rejected.jsonl"
    assert pushed.counts["rejected"] == 1
    assert pushed.remarks == (f"1 execution rejected; the reasons: {path}",)
    (line,) = path.read_text().splitlines()
    written = json.loads(line)
    assert (written["uid"], written["status"], written["reason"]) == (recorded[2].uid, 400, "out of range\n\x1b[31m")
    assert written["document"]["agent_name"] == "python-expert"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert set(server.documents) == uids(recorded) - {recorded[2].uid}
    with database.read() as connection:
        state = export_queries.exporter(connection, "elasticsearch")
    assert state is not None
    assert state.sent == 3


def test_rejected_documents_stay_due_if_the_file_fails(database: Database, store: Store, tmp_path: Path) -> None:
    """If the file cannot be written, they are due again."""
    (tmp_path / "metrics").write_text("a file where the folder should be")
    store.add(executions(2))
    with elastic() as server:
        exporter = an_exporter(server.url, tmp_path)
        server.faults = [Each((400, 201))]
        with pytest.raises(PushError, match="rejected executions cannot be written to"):
            push(exporter, database)
        assert exporter.count_due(database, lambda: NOW_US) == 2


def test_a_refused_login_names_the_remedy(database: Database, store: Store, tmp_path: Path) -> None:
    """An API key or a password is sent in the header; the errors for 401 and 403 name the fields and show neither
    secret."""
    store.add(executions(1))
    for login, sent in (
        (Login(Secret("key-9f8e7d6c")), "ApiKey key-9f8e7d6c"),
        (Login(None, "elastic", Secret("pass-5b4a3c2d")), "Basic ZWxhc3RpYzpwYXNzLTViNGEzYzJk"),
    ):
        for status in (401, 403):
            with elastic() as server:
                server.faults = [refusal(status, reason="key-9f8e7d6c pass-5b4a3c2d")]
                with pytest.raises(PushError, match="check api_key, or username and password") as raised:
                    push(an_exporter(server.url, tmp_path, login=login), database)
            assert server.headers["authorization"] == sent
            assert "9f8e7d6c" not in str(raised.value)
            assert "5b4a3c2d" not in str(raised.value)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, b"{}"), "is not Elasticsearch"),
        (Reply(200, b"{}", {"Content-Type": "application/json"}), "is not Elasticsearch"),
        (Reply(200, b"{", {"X-Elastic-Product": "Elasticsearch"}), "gave an answer that is not JSON"),
        (Reply(404, b"nothing here"), "answered 404"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_server_gets_no_documents(
    database: Database, store: Store, tmp_path: Path, reply: Reply, said: str
) -> None:
    """A server that is not Elasticsearch is refused before a document is sent."""
    store.add(executions(1))
    with scripted([reply]) as server, pytest.raises(PushError, match=said):
        push(an_exporter(server.url.rstrip("/"), tmp_path), database)
    assert not any(b"python-expert" in request.body for request in server.requests)


@pytest.mark.parametrize(
    "items",
    [[], [{"create": {"status": 201}}], [{"create": {"_id": "another", "status": 201}}], "none", [{"create": 1}], [3]],
)
def test_an_answer_must_match_the_documents(database: Database, store: Store, tmp_path: Path, items: object) -> None:
    """An answer that leaves documents out, or names others, acknowledges nothing."""
    store.add(executions(1))
    with elastic() as server:
        exporter = an_exporter(server.url, tmp_path)
        server.faults = [Status(200, {"errors": False, "items": items})]
        with pytest.raises(PushError, match="does not match the documents sent"):
            push(exporter, database)
        assert exporter.count_due(database, lambda: NOW_US) == 1


def test_over_tls(database: Database, store: Store, tmp_path: Path, authority: Authority) -> None:
    """The certificate of an unknown authority is refused, unless `ca_file` names it."""
    store.add(executions(1))
    with scripted([404], authority.context()) as server:
        with pytest.raises(PushError, match=r"certificate of 127\.0\.0\.1 is not trusted"):
            push(an_exporter(server.url.rstrip("/"), tmp_path), database)
        assert server.requests == []
        with pytest.raises(PushError):
            push(an_exporter(server.url.rstrip("/"), tmp_path, ca_file=authority.ca_file), database)
        assert [request.method for request in server.requests] != []


HOSTILE = ["=1+1,a|b#c:d", "\n\r\t\x1b[31m", "\u202e<script>'\"\\", "\U0001f600" * 200, "ж" * 200, '"}\n{"index":{}}']


def test_hostile_names_arrive_unchanged(database: Database, store: Store, tmp_path: Path) -> None:
    """No name ends a line of the request, and none is too long for a keyword."""
    recorded = [an_execution(agent_name=name, project=name * 4 if len(name) < 250 else name) for name in HOSTILE]
    store.add(recorded)
    with elastic() as server:
        push(an_exporter(server.url, tmp_path), database)
    assert {uid: document["agent_name"] for uid, document in server.documents.items()} == {
        record.uid: record.agent_name for record in recorded
    }
    assert max(len(str(value).encode()) for found in server.documents.values() for value in found.values()) < 32_766


def the_exporter(tmp_path: Path, environment: dict[str, str] | None = None, **stated: Any) -> ElasticsearchExporter:
    """The exporter for a claude.json."""
    found = load_exporter("elasticsearch", {"elasticsearch": stated}, {}, environment or {}, tmp_path)
    assert isinstance(found, ElasticsearchExporter)
    return found


def test_what_is_not_configured_has_a_default(tmp_path: Path) -> None:
    """The server on this machine, the index of the guide and no login; or the values of the environment."""
    found = the_exporter(tmp_path)
    assert (found.destination, found.server.login, found.is_stream) == (
        "http://localhost:9200/claude-force-metrics", Login(), False,
    )  # fmt: skip
    assert found.rejected_file == tmp_path / "metrics" / "rejected-elasticsearch.jsonl"
    environment = {"ELASTICSEARCH_URL": "https://search:9243/", "ELASTIC_API_KEY": "k", "ELASTIC_PASSWORD": "p"}
    found = the_exporter(tmp_path, environment)
    assert (found.server.url, found.server.login) == ("https://search:9243", Login(Secret("k")))
    assert the_exporter(tmp_path, environment, username="u").server.login == Login(None, "u", Secret("p"))


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"url": "https://u:secret-1@h:1"}, "url must not hold a login"),
        ({"url": "https://h/?secret-1"}, "url must end with the path"),
        ({"url": "http://search:9200", "username": "u", "password": "${P}"}, "url must begin with https://"),
        ({"url": "http://169.254.169.254"}, "url must not be used: 169.254.169.254 is a link-local address"),
        ({"url": "ftp://h"}, "url must be a URL"),
        ({"index": "Upper/case"}, "index must consist of a-z"),
        ({"index": "_all"}, "index must consist of a-z"),
        ({"data_stream": "yes"}, "data_stream must be true or false, not text"),
        ({"password": "secret-1"}, 'password must not be in claude.json; set ELASTIC_PASSWORD and write "${ELASTI'),
        ({"api_key": "secret-1"}, "api_key must not be in claude.json"),
        ({"api_key": "${P}", "username": "u", "password": "${P}"}, "are two ways to log in"),
        ({"username": "u"}, "password is missing"),
        ({"password": "${P}"}, "username is missing, which the password belongs to"),
        ({"ca_file": "nowhere.pem"}, "ca_file"),
        ({"hosts": "h"}, "there is no field hosts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, stated: dict[str, Any], said: str) -> None:
    """It names the field and does not show the secret."""
    with pytest.raises(SettingsError) as raised:
        the_exporter(tmp_path, {"P": "pass"}, **stated)
    assert said in str(raised.value)
    assert "secret-1" not in str(raised.value)


def test_a_url_without_a_port_is_called(run: Run, home: Path) -> None:
    """The error is one line about the server."""
    (home / "one.jsonl").write_bytes(a_line())
    run("import", "one.jsonl")
    done = run("push", "elasticsearch", "--url", "http://search.invalid")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: Elasticsearch: the name search.invalid could not be resolved\n"
