"""Metrics for Prometheus: the figures of the reports, with limited cardinality and sanitized names."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from claude_force.alerts.decision import State
from claude_force.analytics import reports as analytics
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from claude_force.database.archive import archive_once
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.rows.alerts import AlertRow
from claude_force.database.writes import Store
from claude_force.database.writes import alerts as alert_store
from claude_force.errors import ClaudeForceError, SettingsError
from claude_force.executions.record import CLAUDE_CODE, NAME_LIMIT, ExecutionMetrics
from claude_force.executions.totals import Totals
from claude_force.exporters.base import PushError, PushResult
from claude_force.exporters.labels import AGENTS, MODELS
from claude_force.exporters.metrics import ALERT_LEVELS, ALERTS_KEPT, duration_bounds_s, read_exposition
from claude_force.exporters.prometheus.push import Group, PrometheusExporter
from claude_force.exporters.prometheus.text_format import CONTENT_TYPE, encode
from claude_force.exporters.settings import load_exporter
from claude_force.network.connection import Patience
from claude_force.time_windows import Window
from tests.builders import NOON_US, a_line, an_execution
from tests.conftest import Run
from tests.counterparts import HANG, RESET, Reply, scripted, unused_port
from tests.monitoring import Samples, of, samples_of

SOON = Patience(step_s=0.3, overall_s=0.5)
HOSTILE = (
    "new\nline",
    'a "quoted" \\ back\\slash\\n',
    "\x1b[31mred\x1b[0m",
    "\u202eevil",
    "<script>",
    '{a="b"} 1',
    "x" * NAME_LIMIT,
)
USAGES: tuple[dict[str, Any], ...] = ({}, {"input_tokens": 7}, {"input_tokens": None, "output_tokens": None})


def a_history(count: int = 600) -> list[ExecutionMetrics]:
    """Executions of three days up to noon, with some unknown values."""
    draw = random.Random(7)
    return [
        an_execution(
            timestamp_us=NOON_US - draw.randrange(1, 3 * DAY_US),
            agent_name=f"agent-{draw.randrange(6)}",
            model=f"model-{draw.randrange(3)}",
            success=draw.random() < 0.9,
            duration_us=draw.choice([None, draw.randrange(4_000_000_000), draw.randrange(2_000_000)]),
            cost_nanousd=draw.choice([None, draw.randrange(10**9)]),
            cache_read_tokens=draw.randrange(1000),
            **draw.choice(USAGES),
        )
        for _ in range(count)
    ]


def scraped(database: Database, window_us: int = DAY_US) -> Samples:
    """The metrics at noon, as Prometheus parses them."""
    return samples_of(encode(read_exposition(database, NOON_US, window_us)).decode())


def groups(database: Database, chosen: Filter, dimension: Any = "agent_name") -> dict[str, Totals]:
    """The figures of the reports."""
    found = analytics.breakdown(database, chosen, dimension, "name").groups
    return {str(group.name): group.totals for group in found}


def known(values: dict[tuple[str, ...], float | None]) -> dict[tuple[str, ...], Any]:
    """The figures that are known."""
    return {names: pytest.approx(value, rel=1e-12) for names, value in values.items() if value is not None}


def test_gauges_equal_the_reports(database: Database, store: Store) -> None:
    """The guide's four names and the ratio, for each agent; unknown values have no sample."""
    history = a_history()
    history.append(an_execution(timestamp_us=NOON_US - 1, agent_name="no-usage", input_tokens=None, output_tokens=None))
    history.append(an_execution(timestamp_us=NOON_US - 1, agent_name="untimed", duration_us=None, cost_nanousd=None))
    store.add(history)
    samples, by_agent = scraped(database), groups(database, Filter(Window(NOON_US - DAY_US, NOON_US)))
    assert len(by_agent) == 8
    assert of(samples, "claude_force_execution_time_ms", "agent_name", "model") == known(
        {(agent, "all"): sums.average_ms for agent, sums in by_agent.items()}
    )
    assert of(samples, "claude_force_success_rate", "agent_name") == known(
        {(agent,): sums.success_rate for agent, sums in by_agent.items()}
    )
    assert of(samples, "claude_force_cost_usd", "agent_name", "model") == known(
        {(agent, "all"): sums.cost for agent, sums in by_agent.items()}
    )
    usage = of(samples, "claude_force_token_usage", "agent_name", "token_type")
    assert usage == known({(agent, "input"): sums.average_input_tokens for agent, sums in by_agent.items()}) | known(
        {(agent, "output"): sums.average_output_tokens for agent, sums in by_agent.items()}
    )
    assert ("no-usage", "input") not in usage
    assert ("untimed", "all") not in of(samples, "claude_force_execution_time_ms", "agent_name", "model")
    ratios = of(samples, "claude_force_success_ratio", "agent_name")
    assert all(sums.success_rate == pytest.approx(100 * ratios[agent,]) for agent, sums in by_agent.items())


def test_counters_equal_the_totals_of_all_history(database: Database, store: Store) -> None:
    """By agent and model."""
    history = a_history()
    store.add(history[:400])
    store.add(history[400:])
    samples = scraped(database)
    everything, by_model = analytics.summary(database, Filter()).totals, groups(database, Filter(), "model")
    executions = of(samples, "claude_force_executions_total", "agent_name", "model", "status")
    assert sum(executions.values()) == everything.executions == 600
    for model, sums in by_model.items():
        assert (
            sum(n for (_, name, status), n in executions.items() if (name, status) == (model, "failure"))
            == sums.failures
        )
    tokens = of(samples, "claude_force_tokens_total", "agent_name", "model", "token_type")
    assert sum(tokens.values()) == everything.total_tokens
    assert sum(n for (_, _, kind), n in tokens.items() if kind == "cache_read") == everything.cache_read_tokens
    costs = of(samples, "claude_force_cost_usd_total", "agent_name", "model")
    assert sum(costs.values()) == pytest.approx(everything.cost, rel=1e-12)
    assert (
        sum(of(samples, "claude_force_unpriced_executions_total", "agent_name", "model").values())
        == everything.unpriced
    )


def test_archiving_changes_no_counter(database: Database, store: Store, tmp_path: Path) -> None:
    """All cumulative values are exactly the same before and after."""
    store.add(a_history())
    before = scraped(database)
    archive_once(database, tmp_path / "archive", NOON_US, DAY_US)
    after = scraped(database)
    totals = {key: value for key, value in before.items() if "_total" in key[0] or "duration_seconds" in key[0]}
    assert len(totals) > 100
    assert {key: after[key] for key in totals} == totals


def test_counters_wait_for_stable_responses(database: Database, store: Store) -> None:
    """A response in a transcript may continue and would move to another bucket: gauges include it at once, counters
    once it is stable. Executions of programs count at once."""
    store.add(
        [
            an_execution(timestamp_us=NOON_US - MINUTE_US, source=CLAUDE_CODE, agent_name="transcript"),
            an_execution(timestamp_us=NOON_US - 6 * MINUTE_US, source=CLAUDE_CODE, duration_us=1_000_000),
            an_execution(timestamp_us=NOON_US - MINUTE_US),
        ]
    )
    now, later = (
        scraped(database),
        samples_of(encode(read_exposition(database, NOON_US + 5 * MINUTE_US, DAY_US)).decode()),
    )
    count, agent = "claude_force_execution_duration_seconds_count", "agent_name"
    assert of(now, "claude_force_success_rate", agent) == {("transcript",): 100, ("python-expert",): 100}
    assert of(now, count, agent) == {("python-expert",): 2}
    assert {names: n for names, n in of(now, "claude_force_executions_total", agent, "status").items() if n} == {
        ("python-expert", "success"): 2
    }
    assert of(later, count, agent) == {("python-expert",): 2, ("transcript",): 1}


def test_the_histogram_counts_exactly(database: Database, store: Store) -> None:
    """A bucket counts the executions up to its bound, inclusive; sums are exact."""
    bounds = [round(bound_s * SECOND_US) for bound_s in duration_bounds_s()]
    at_bounds = [
        an_execution(duration_us=us, timestamp_us=NOON_US - 9) for bound in bounds for us in (bound, bound + 1)
    ]
    history = [*a_history(), *at_bounds]
    store.add(history)
    found = of(scraped(database), "claude_force_execution_duration_seconds_bucket", "agent_name", "model", "le")
    durations = [one.duration_us for one in history if one.duration_us is not None]
    for text in (*map(repr, duration_bounds_s()), "+Inf"):
        counted = sum(number for (_, _, le), number in found.items() if le == text)
        assert counted == sum(us <= float(text) * SECOND_US + 0.5 for us in durations), text
    samples = scraped(database)
    sums = of(samples, "claude_force_execution_duration_seconds_sum", "agent_name", "model")
    assert sum(sums.values()) == pytest.approx(sum(durations) / SECOND_US, rel=1e-12)
    counts = of(samples, "claude_force_execution_duration_seconds_count", "agent_name", "model")
    assert sum(counts.values()) == len(durations)
    wished = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
    assert duration_bounds_s() == pytest.approx(wished, rel=0.01)


def test_an_empty_store_has_only_build_info(database: Database) -> None:
    """No other family has a sample."""
    assert {name for name, _ in scraped(database)} == {"claude_force_build_info"}


def test_hostile_names_are_read_back_as_one_line(database: Database, store: Store) -> None:
    """Names with line breaks, quotes, escapes or great length are sanitized and cut."""
    store.add([an_execution(agent_name=name, model=name, timestamp_us=NOON_US - 1) for name in HOSTILE])
    samples = scraped(database)
    agents = {names[0] for names in of(samples, "claude_force_success_rate", "agent_name")}
    assert len(agents) == len(HOSTILE)
    assert all(name.isprintable() and len(name) <= 100 for name in agents)
    assert {"new\\nline", 'a "quoted" \\ back\\slash\\n', "\\x1b[31mred\\x1b[0m", "\\u202eevil"} <= agents


def test_names_with_the_same_label_are_one_series(database: Database, store: Store) -> None:
    """Their sums are added, and averages cover all of them."""
    names = ["n" * 150 + ending for ending in "abc"]
    store.add(
        [
            an_execution(agent_name=name, timestamp_us=NOON_US - 1, duration_us=1000 * place, success=place > 0)
            for place, name in enumerate(names)
        ]
    )
    samples = scraped(database)
    assert of(samples, "claude_force_execution_time_ms", "model") == {("all",): 1.0}
    assert of(samples, "claude_force_executions_total", "status") == {("success",): 2.0, ("failure",): 1.0}
    assert of(samples, "claude_force_execution_duration_seconds_count", "model").popitem()[1] == 3


def test_first_names_keep_their_labels_and_no_sum_is_lost(database: Database, store: Store) -> None:
    """Agents and models beyond the limit share a label. A name keeps its label however busy others become, and no
    counter falls."""
    first = [f"first-{number:03}" for number in range(AGENTS)]
    for name in first:
        store.add([an_execution(agent_name=name, timestamp_us=NOON_US - 2 * HOUR_US)])
    before = scraped(database, HOUR_US)
    late = [f"a-late-{number}" for number in range(20)]
    store.add(
        [
            an_execution(agent_name=name, model=f"model-{name}-{place}", timestamp_us=NOON_US - 1)
            for name in late
            for place in range(3)
        ]
    )
    found = read_exposition(database, NOON_US, HOUR_US)
    after = samples_of(encode(found).decode())
    counters = [key for key in before if key[0].endswith(("_total", "_count", "_sum", "_bucket"))]
    assert all(after[key] >= before[key] for key in counters)
    executions = of(after, "claude_force_executions_total", "agent_name", "model", "status")
    assert {agent for agent, _, _ in executions} == {*first, "other"}
    assert len({model for _, model, _ in executions}) == MODELS + 1
    assert sum(executions.values()) == AGENTS + 60
    # The gauges are of who is busy now.
    assert {agent for (agent,) in of(after, "claude_force_success_rate", "agent_name")} == set(late)
    assert [remark.split(" after")[0] for remark in found.remarks] == ["20 agents", "11 models"]


def test_the_busiest_agents_have_gauges(database: Database, store: Store) -> None:
    """`other` is the average over all remaining executions, not over the averages of their agents."""
    just_now = {"timestamp_us": NOON_US - 1}
    for number in range(AGENTS):
        store.add([an_execution(agent_name=f"busy-{number:03}", **just_now) for _ in range(4)])
    store.add([an_execution(agent_name="slow", duration_us=9_000_000, success=False, **just_now) for _ in range(3)])
    store.add([an_execution(agent_name="quick", duration_us=1_000_000, **just_now)])
    samples = scraped(database)
    assert of(samples, "claude_force_execution_time_ms", "agent_name")["other",] == 7000
    assert of(samples, "claude_force_success_rate", "agent_name")["other",] == 25
    assert len(of(samples, "claude_force_success_rate", "agent_name")) == AGENTS + 1


def an_alert(place: int, state: str, labels: dict[str, str | None]) -> AlertRow:
    """The state of an alert."""
    return AlertRow(f"{place:016x}", "r" * 10_000, json.dumps(labels), "critical", state, "WELL", 0, 0)


def test_alert_states_are_numbers(database: Database, store: Store) -> None:
    """By rule and group. An alert without a measurement has no sample; of too many groups, the worst states are
    kept."""
    rows = [
        an_alert(1, "ok", {}), an_alert(2, "pending", {"agent": "a\nb"}), an_alert(3, "firing", {"agent": None}),
        an_alert(4, "no data", {"agent": "c"}), an_alert(5, "resolved", {"agent": "d"}),
    ]  # fmt: skip
    with database.write() as connection:
        alert_store.save_alerts(connection, rows)
    found = of(scraped(database), "claude_force_alert_state", "rule", "severity", "grouped_by", "group")
    assert {names[0] for names in found} == {"r" * 99 + "…"}
    assert {names[2:]: level for names, level in found.items()} == {
        ("", ""): 0, ("agent", "a\\nb"): 1, ("agent", "unknown"): 2, ("agent", "d"): 0,
    }  # fmt: skip
    with database.write() as connection:
        alert_store.save_alerts(connection, [an_alert(n, "firing", {"agent": f"n{n}"}) for n in range(10, 300)])
    found = of(scraped(database), "claude_force_alert_state", "group")
    assert len(found) == ALERTS_KEPT + 2
    assert found["other",] == 2


def test_every_alert_state_with_data_has_a_number() -> None:
    """The states here are those of the alerts, which are in a higher layer."""
    assert set(State) - set(ALERT_LEVELS) == {State.NO_DATA}
    assert set(ALERT_LEVELS) < set(State)


def target(folder: Path, **given: Any) -> PrometheusExporter:
    """The target of a configuration."""
    found = load_exporter("prometheus", {"prometheus": given}, {}, {}, folder)
    assert isinstance(found, PrometheusExporter)
    return found


def impatient(found: PrometheusExporter) -> PrometheusExporter:
    """The same exporter, with a short timeout."""
    assert isinstance(found.to, Group)
    return replace(found, to=replace(found.to, patience=SOON))


def push(database: Database, folder: Path, **given: Any) -> PushResult:
    """One push at noon."""
    return target(folder, **given).push(database, lambda: NOON_US)


GROUPS = {
    "plain": ("claude_force", "build-7.local", "/metrics/job/claude_force/instance/build-7.local"),
    "slash": ("a/b", "x", "/metrics/job@base64/YS9i/instance/x"),
    "space": ("my job", "x", "/metrics/job@base64/bXkgam9i/instance/x"),
    "empty": ("job", "", "/metrics/job/job/instance@base64/="),
    "dots": ("..", "x", "/metrics/job@base64/Li4/instance/x"),
    "not ASCII": ("jöb", "?", "/metrics/job@base64/asO2Yg/instance@base64/Pw"),
}


@pytest.mark.parametrize(("job", "instance", "path"), GROUPS.values(), ids=GROUPS)
def test_a_push_replaces_its_group(database: Database, home: Path, job: str, instance: str, path: str) -> None:
    """With PUT, to the path of job and instance, in the text format."""
    with scripted() as server:
        pushed = push(database, home, gateway=server.url, job=job, instance=instance)
        target(home, gateway=server.url, job=job, instance=instance).delete()
    asked, deleted = server.requests
    assert (asked.method, asked.path, asked.headers["content-type"]) == ("PUT", path, CONTENT_TYPE)
    assert samples_of(asked.body.decode()) == scraped(database)
    assert (deleted.method, deleted.path, deleted.body) == ("DELETE", path, b"")
    assert pushed.message == "Metrics exported to Prometheus"
    assert pushed.counts == {"series": 1}


def test_a_gateway_without_a_scheme_uses_http(database: Database, home: Path) -> None:
    """prometheus_client accepts such addresses."""
    with scripted() as server:
        push(database, home, gateway=server.url.removeprefix("http://"))
        assert len(server.requests) == 1


def test_the_number_of_series_is_right(database: Database, store: Store, home: Path) -> None:
    """It is the number of lines that arrive."""
    store.add(a_history())
    with scripted() as server:
        pushed = push(database, home, gateway=server.url)
    assert pushed.counts["series"] == len(samples_of(server.requests[0].body.decode()))


FAULTS: dict[str, tuple[int | str | Reply, str]] = {
    "hangs": (HANG, "no complete answer within|did not answer in time"),
    "reset": (RESET, "the connection to 127.0.0.1 failed"),
    "redirect": (Reply(302, b"", {"Location": "http://elsewhere/"}), "answered 302, a redirect, which is not followed"),
    "refused": (
        Reply(400, b'pushed metrics are invalid: metric "claude_force_cost_usd" was collected before\nmore'),
        'answered 400: pushed metrics are invalid: metric "claude_force_cost_usd" was collected before$',
    ),
    "broken": (500, "answered 500"),
}


@pytest.mark.parametrize(("reply", "said"), FAULTS.values(), ids=FAULTS)
def test_a_gateway_that_fails_is_one_line(database: Database, home: Path, reply: int | str | Reply, said: str) -> None:
    """With the reason and without the password; the next push works."""
    with scripted([reply, 200]) as server:
        gateway = server.url.replace("://", "://user:pa55word-of-mine@")
        first = target(home, gateway=gateway)
        with pytest.raises(PushError, match=said) as caught:
            (impatient(first) if reply == HANG else first).push(database, lambda: NOON_US)
        assert push(database, home, gateway=gateway).destination == server.url.rstrip("/")
        assert server.requests[-1].headers["authorization"].startswith("Basic ")
    assert "pa55word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gateway_that_is_down_is_one_line(run: Run) -> None:
    """The command exits with 1, and the line names the gateway."""
    done = run("push", "prometheus", "--gateway", f"http://127.0.0.1:{unused_port()}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the Pushgateway did not take it: the connection to 127.0.0.1 failed")
    assert done.stderr.count("\n") == 1


def test_a_file_for_the_node_exporter(run: Run, home: Path) -> None:
    """It is complete, readable by others whatever the umask, and deleted on request."""
    (home / "one.jsonl").write_bytes(a_line())
    run("import", "one.jsonl")
    done = run("push", "prometheus", "--textfile", "out.prom", umask=0o077)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("✅ Metrics exported to Prometheus: ")
    file = home / "out.prom"
    assert file.stat().st_mode & 0o777 == 0o644
    assert of(samples_of(file.read_text()), "claude_force_executions_total", "status") == {
        ("success",): 1,
        ("failure",): 0,
    }
    assert [path.name for path in home.iterdir() if ".tmp" in path.name] == []
    printed = json.loads(run("push", "prometheus", "--textfile", "out.prom", "--json").stdout)
    assert printed == {"destination": str(file), "series": len(samples_of(file.read_text())), "remarks": []}
    assert run("push", "prometheus", "--textfile", "out.prom", "--delete").returncode == 0
    assert not file.exists()


def test_only_a_file_is_replaced(run: Run, home: Path) -> None:
    """A symlink is followed. A pipe, a device and a circle of symlinks stay unchanged, with one line each."""
    (home / "file.prom").touch()
    (home / "link.prom").symlink_to("file.prom")
    assert run("push", "prometheus", "--textfile", "link.prom").returncode == 0
    assert (home / "link.prom").is_symlink()
    assert (home / "file.prom").stat().st_size > 0
    os.mkfifo(home / "pipe.prom")
    (home / "device.prom").symlink_to("/dev/null")
    (home / "circle.prom").symlink_to("circle.prom")
    said = {name: run("push", "prometheus", "--textfile", f"{name}.prom") for name in ("pipe", "device", "circle")}
    assert {(done.returncode, done.stdout) for done in said.values()} == {(1, "")}
    kept = "it is a pipe or a device, which a file cannot replace"
    assert said["pipe"].stderr == f"error: {home}/pipe.prom cannot be written: {kept}\n"
    assert said["device"].stderr == f"error: {home}/device.prom cannot be written: {kept}\n"
    assert said["circle"].stderr == f"error: {home}/circle.prom cannot be written: Too many levels of symbolic links\n"
    assert (home / "pipe.prom").is_fifo()
    assert Path("/dev/null").is_char_device()
    # Of what a report is written to as well.
    done = run("report", "--output", "circle.prom")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Too many levels of symbolic links" in done.stderr


WRONG = {
    "two places": ({"gateway": "http://localhost:1", "textfile": "x.prom"}, "textfile exclude each other"),
    "another file": ({"textfile": "metrics.db"}, "must end in .prom"),
    "no URL": ({"gateway": "ftp://localhost:9091"}, "must be a URL"),
    "half an address": ({"gateway": "http://[::1"}, "must be a URL"),
    "more than a path": ({"gateway": "http://localhost:9091/?a"}, "must end with the path"),
    "a line break": ({"gateway": "localhost:9091\n"}, "another invisible character"),
    "a login in the clear": ({"gateway": "http://u:p@example.org"}, "must begin with https://"),
    "no window": ({"window": "0h"}, "must be a length of time"),
    "words": ({"window": "soon"}, "must be a length of time"),
    "no job": ({"job": ""}, "is empty"),
    "another field": ({"gatway": "http://localhost:1"}, "did you mean gateway"),
}


@pytest.mark.parametrize(("given", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_one_line(home: Path, given: dict[str, Any], said: str) -> None:
    """It names the field."""
    with pytest.raises(SettingsError, match=said):
        target(home, **given)


def test_a_file_that_cannot_be_written_is_named(database: Database, home: Path) -> None:
    """With the reason; no temporary file is left."""
    with pytest.raises(ClaudeForceError, match=r"x\.prom cannot be written: No such file"):
        push(database, home, textfile=str(home / "nowhere" / "x.prom"))


def test_options_override_the_settings(run: Run, home: Path) -> None:
    """A destination from an option replaces both kinds in claude.json; all other fields come from there."""
    with scripted() as server:
        section = {"exporters": {"prometheus": {"textfile": "of-settings.prom", "job": "ours", "instance": "i"}}}
        (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
        assert run("push", "prometheus", "--gateway", server.url).returncode == 0
        assert run("push", "prometheus").returncode == 0
    assert [request.path for request in server.requests] == ["/metrics/job/ours/instance/i"]
    assert (home / ".claude" / "of-settings.prom").exists()


def test_the_time_of_the_newest_execution(database: Database, store: Store) -> None:
    """In seconds since the epoch."""
    store.add([an_execution(timestamp_us=NOON_US - 1), an_execution(timestamp_us=NOON_US - HOUR_US)])
    assert scraped(database)["claude_force_last_execution_timestamp_seconds", frozenset()] == (NOON_US - 1) / SECOND_US
