"""Executions to a DataDog Agent: each once, unknown values never, and no sample at a wrong time."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datadog.dogstatsd.base import DogStatsd

from claude_force.clock import DAY_US, HOUR_US, SECOND_US
from claude_force.database.contract import Database
from claude_force.database.writes import Store
from claude_force.errors import SettingsError
from claude_force.executions.record import ExecutionMetrics, column, to_row
from claude_force.exporters.base import PushError, PushResult
from claude_force.exporters.datadog import dogstatsd
from claude_force.exporters.datadog import push as export
from claude_force.exporters.datadog.dogstatsd import Agent, error_event, histogram, pack
from claude_force.exporters.datadog.push import DatadogExporter
from claude_force.exporters.settings import load_exporter
from tests.builders import NOON_US, an_execution
from tests.counterparts import unused_port
from tests.dogstatsd import Event, Listener, Metric, agent

NOW_US = NOON_US + 60 * SECOND_US
_COST = column("cost_nanousd")


def executions(count: int, start_us: int = NOON_US) -> list[ExecutionMetrics]:
    """Executions, a tenth of a second apart, each with a different input."""
    tenth_us = SECOND_US // 10
    return [an_execution(timestamp_us=start_us + place * tenth_us, input_tokens=place) for place in range(count)]


def push(listener: Listener, database: Database, now_us: int = NOW_US, **changes: Any) -> PushResult:
    """One push to a listener."""
    found = Agent("127.0.0.1", listener.port, listener.path)
    return DatadogExporter(found, **{"wait": lambda _: None, **changes}).push(database, lambda: now_us)


def inputs(listener: Listener) -> list[float]:
    """The input tokens that were sent."""
    return [metric.value for metric in listener.metrics() if metric.name == "claude_force.tokens.input"]


def test_the_metrics_and_tags_of_the_guide(database: Database, store: Store) -> None:
    """Four histograms for an execution, and an event for a failure, with the tags of the guide."""
    store.add([an_execution(), an_execution(success=False, duration_us=1500, agent_name="code-reviewer")])
    with agent() as listener:
        pushed = push(listener, database)
    expert, reviewer, model = "agent:python-expert", "agent:code-reviewer", "model:claude-3-5-haiku-20241022"
    assert sorted(listener.metrics()) == [
        Metric("claude_force.cost", 0.0032552, (reviewer, model)),
        Metric("claude_force.cost", 0.0032552, (expert, model)),
        Metric("claude_force.execution_time", 1.5, (reviewer, model, "success:False")),
        Metric("claude_force.execution_time", 3456.0, (expert, model, "success:True")),
        Metric("claude_force.tokens.input", 1234.0, (reviewer,)),
        Metric("claude_force.tokens.input", 1234.0, (expert,)),
        Metric("claude_force.tokens.output", 567.0, (reviewer,)),
        Metric("claude_force.tokens.output", 567.0, (expert,)),
    ]
    at_s = str(NOON_US // SECOND_US)
    assert listener.events() == [
        Event("Agent Execution Failed", "Agent code-reviewer failed", {"t": "error", "d": at_s}, (reviewer,))
    ]
    assert pushed.message == "Exported 2 metrics to DataDog (sent, not confirmed)"
    assert pushed.destination == f"127.0.0.1:{listener.port}"
    assert pushed.counts == {"sent": 2, "too_old": 0, "changed": 0, "gone": 0}


def test_unknown_values_are_not_sent(database: Database, store: Store) -> None:
    """Without a duration, a cost or a usage there is no sample; a cost of 0 is one."""
    unknown = {"duration_us": None, "cost_nanousd": None, "input_tokens": None, "output_tokens": None}
    store.add([an_execution(**unknown), an_execution(**unknown | {"cost_nanousd": 0})])
    with agent() as listener:
        assert push(listener, database).counts["sent"] == 2
    assert [(metric.name, metric.value) for metric in listener.metrics()] == [("claude_force.cost", 0.0)]


@pytest.mark.parametrize("is_socket", [False, True], ids=["udp", "socket"])
def test_each_execution_once(database: Database, store: Store, tmp_path: Path, is_socket: bool) -> None:
    """Over several pushes, with many executions or none, and with late arrivals."""
    with agent(tmp_path / "agent.sock" if is_socket else None) as listener:
        store.add(executions(130))
        push(listener, database)
        push(listener, database)
        late = executions(20, NOON_US - HOUR_US)
        store.add(late)
        push(listener, database)
        push(listener, database)
    assert Counter(inputs(listener)) == Counter([*map(float, range(130)), *map(float, range(20))])


def test_the_first_push_sends_the_last_minutes(database: Database, store: Store) -> None:
    """Executions older than the first window are never sent."""
    store.add(executions(3, NOW_US - 301 * SECOND_US) + executions(2, NOW_US - 299 * SECOND_US))
    with agent() as listener:
        assert push(listener, database).counts == {"sent": 2, "too_old": 0, "changed": 0, "gone": 0}
        assert push(listener, database).counts["sent"] == 0
    assert inputs(listener) == [0.0, 1.0]


def test_old_executions_are_not_sent(database: Database, store: Store) -> None:
    """An imported history would count as of now; a remark says how many were left out."""
    with agent() as listener:
        push(listener, database)
        store.add(executions(3, NOW_US - DAY_US - 1 * SECOND_US) + executions(2, NOW_US - DAY_US + SECOND_US))
        pushed = push(listener, database)
        assert push(listener, database).counts["too_old"] == 0
    assert pushed.counts == {"sent": 2, "too_old": 3, "changed": 0, "gone": 0}
    assert pushed.remarks == ("3 executions older than 1 day not sent: they would count as of now",)
    assert inputs(listener) == [0.0, 1.0]


def test_a_change_is_not_sent_again(database: Database, store: Store) -> None:
    """A histogram cannot take back a sample."""
    record = an_execution()
    store.add([record])
    with agent() as listener:
        push(listener, database)
        row = list(to_row(record))
        row[_COST] += 1
        store.reprice([tuple(row)])
        assert push(listener, database).counts == {"sent": 0, "too_old": 0, "changed": 1, "gone": 0}
        assert push(listener, database).counts["changed"] == 0
    assert len(listener.metrics()) == 4


HOSTILE = ["=1+1,a|b#c:d@e", "\n\r\t\x1b[31m|#x:y\n_e{1,1}:a|b", "\u202e<script>'\"\\", "\U0001f600" * 200,
           "\U00020000" * 200, "ж" * 200, "a" * 200, " ", "😀"]  # fmt: skip


def test_hostile_names_are_harmless_and_within_limits(database: Database, store: Store) -> None:
    """No name ends a tag, a field or a line, and no tag or datagram is too long, in bytes."""
    store.add([an_execution(agent_name=name, model=name, success=False) for name in HOSTILE])
    with agent() as listener:
        assert push(listener, database).counts["sent"] == len(HOSTILE)
    assert len(listener.metrics()) == 4 * len(HOSTILE)
    assert len(listener.events()) == len(HOSTILE)
    assert {event.title for event in listener.events()} == {"Agent Execution Failed"}
    assert all(event.text.isprintable() and len(event.text.encode()) <= 4000 for event in listener.events())
    assert all(len(tag.encode()) <= 200 for metric in listener.metrics() for tag in metric.tags)
    assert {tag.split(":", 1)[0] for metric in listener.metrics() for tag in metric.tags} == {
        "agent", "model", "success",
    }  # fmt: skip


def test_the_number_of_agent_tags_is_limited(database: Database, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names after the first so many of a push are tagged `other`."""
    monkeypatch.setattr(export, "NAMES_LIMIT", 3)
    store.add([an_execution(agent_name=f"agent-{number}", timestamp_us=NOON_US + number) for number in range(9)])
    with agent() as listener:
        push(listener, database)
    tags = {metric.tags[0] for metric in listener.metrics()}
    assert len(tags) == 4
    assert "agent:other" in tags


def test_the_environment_adds_nothing(database: Database, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tag, container, telemetry or thread that the official client would add for these variables."""
    for name in ("DATADOG_TAGS", "DD_ENV", "DD_SERVICE", "DD_VERSION", "DD_ENTITY_ID", "DD_EXTERNAL_ENV"):
        monkeypatch.setenv(name, "a:b")
    monkeypatch.setenv("DD_TELEMETRY_HOST", "127.0.0.1")
    monkeypatch.setenv("DD_DOGSTATSD_URL", "unix:///nowhere")
    threads = threading.active_count()
    store.add(executions(1))
    with agent() as listener:
        push(listener, database)
        assert threading.active_count() == threads + 1
    assert len(listener.metrics()) == 4
    assert {tag.split(":")[0] for metric in listener.metrics() for tag in metric.tags} == {"agent", "model", "success"}


def test_lines_share_datagrams(database: Database, store: Store) -> None:
    """An Agent gets few datagrams, not one for each line."""
    store.add(executions(50))
    with agent() as listener:
        push(listener, database)
    assert len(listener.lines()) == 200
    assert len(listener.datagrams) <= 20


@pytest.mark.parametrize("is_socket", [False, True], ids=["udp", "socket"])
def test_many_executions_are_paced(database: Database, store: Store, tmp_path: Path, is_socket: bool) -> None:
    """Over UDP there is a pause after each batch except the last; a Unix socket needs none."""
    store.add(executions(130))
    waits: list[float] = []
    with agent(tmp_path / "agent.sock" if is_socket else None) as listener:
        push(listener, database, wait=waits.append)
    assert waits == ([] if is_socket else [export.PAUSE_S] * 2)


@pytest.mark.parametrize(
    ("lengths", "found"),
    [([], []), ([10], [1]), ([4, 5], [2]), ([4, 6], [1, 1]), ([3, 3, 2, 10, 1], [3, 1, 1]), ([10, 10], [1, 1])],
)
def test_packing(lengths: list[int], found: list[int]) -> None:
    """Datagrams are filled up to the limit, newlines included."""
    lines = [b"x" * length for length in lengths]
    datagrams = [datagram.split(b"\n") for datagram in pack(lines, 10)]
    assert [len(together) for together in datagrams] == found
    assert [line for together in datagrams for line in together] == lines


def test_lines_are_those_of_the_official_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library `datadog` writes the same bytes for the same histogram and the same event."""
    written: list[str] = []
    client = DogStatsd(disable_telemetry=True, origin_detection_enabled=False, constant_tags=[])
    monkeypatch.setattr(client, "_send", lambda line, *_, **__: written.append(line))
    tags = ["agent:жan", "model:claude-haiku-4-5", "success:False"]
    values = [0, 1234, 0.0032552, 3456.7, 1e-07, 123456789.125]
    for value in values:
        client.histogram("claude_force.cost", value, tags=tags)
    client.event("Agent Execution Failed", "Agent жan failed", alert_type="error", date_happened=1762000000, tags=tags)
    expected = [histogram("claude_force.cost", value, tags) for value in values]
    assert written == [*expected, error_event("Agent Execution Failed", "Agent жan failed", 1762000000, tags)]


def refused(database: Database, found: Agent) -> str:
    """The message of a push that must fail. Everything stays due."""
    exporter = DatadogExporter(found)
    with pytest.raises(PushError) as raised:
        exporter.push(database, lambda: NOW_US)
    assert exporter.count_due(database, lambda: NOW_US) > 0
    assert str(raised.value).isprintable()
    return str(raised.value)


def test_nobody_listens(database: Database, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    """The error of the system becomes one line, nothing counts as sent, and nothing else is printed."""
    store.add(executions(1))
    found = Agent("127.0.0.1", unused_port())
    assert refused(database, found) == (
        f"nothing can be sent to the DataDog Agent at {found.destination}: nobody listens there"
    )
    store.add(executions(120))
    assert "nobody listens there" in refused(database, found)
    assert capfd.readouterr() == ("", "")


def test_no_such_socket(database: Database, store: Store, tmp_path: Path) -> None:
    """A socket that is missing, unread, or has too long a path."""
    store.add(executions(1))
    assert "No such file" in refused(database, Agent("", path=str(tmp_path / "none.sock")))
    with agent(tmp_path / "left.sock"):
        pass
    assert "nobody listens there" in refused(database, Agent("", path=str(tmp_path / "left.sock")))
    assert "too long" in refused(database, Agent("", path="/x" * 100))


def test_a_host_without_address(database: Database, store: Store) -> None:
    """A name that does not exist, or that no host can have."""
    store.add(executions(1))
    for host in ("agent.invalid", "a" * 70 + ".invalid", ".."):
        assert "could not be resolved" in refused(database, Agent(host))


def test_an_agent_that_does_not_read(
    database: Database, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full socket ends the push after the timeout; nothing of the batch counts as sent."""
    monkeypatch.setattr(dogstatsd, "TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "full.sock"))
        store.add(executions(5000, NOW_US - 300 * SECOND_US))
        said = refused(database, Agent("", path=str(tmp_path / "full.sock")))
    assert "it does not read what was sent before" in said


def the_exporter(environment: dict[str, str] | None = None, **stated: Any) -> DatadogExporter:
    """The exporter for a claude.json."""
    found = load_exporter("datadog", {"datadog": stated}, {}, environment or {}, Path("/home/.claude"))
    assert isinstance(found, DatadogExporter)
    return found


def test_what_is_not_configured_has_a_default() -> None:
    """The Agent on this machine, or the one in the environment; a day, and five minutes."""
    environment = {"DD_AGENT_HOST": "agent", "DD_DOGSTATSD_PORT": "9125"}
    assert the_exporter() == DatadogExporter(Agent("localhost", 8125), DAY_US, 300 * SECOND_US)
    assert the_exporter(environment).agent == Agent("agent", 9125)
    assert the_exporter(environment, host="h", port=1).agent == Agent("h", 1)
    assert the_exporter(socket="unix:///run/a.sock").destination == "/run/a.sock"
    assert the_exporter(socket="a.sock").destination == "/home/.claude/a.sock"
    assert the_exporter(max_age="2h", first_window="1h").max_age_us == 2 * HOUR_US


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"port": 0}, "port must be a whole number"),
        ({"port": "x"}, "port must be a whole number"),
        ({"socket": "/a", "host": "b"}, "socket cannot be combined with host and port; remove one of them"),
        ({"max_age": "long"}, "max_age must be a length of time: 'long' is not a length of time such as 30s"),
        ({"first_window": 5}, "first_window must be text, not a number"),
        ({"tags": []}, "there is no field tags"),
    ],
)
def test_a_wrong_setting_is_one_line(stated: dict[str, Any], said: str) -> None:
    """It names the field."""
    with pytest.raises(SettingsError) as raised:
        the_exporter(**stated)
    assert said in str(raised.value)
