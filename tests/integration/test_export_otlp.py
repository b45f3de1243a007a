"""Metrics over OTLP: the receiver gets what the store holds, and every failure is one line without a secret."""

from __future__ import annotations

import gzip
import logging
import os
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric

from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.archive import archive_once
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.errors import SettingsError
from claude_force.executions.record import UNKNOWN, ExecutionMetrics
from claude_force.exporters.base import PushError, PushResult
from claude_force.exporters.labels import AGENTS, MODELS, OTHER
from claude_force.exporters.otlp.push import PATIENCE, OtlpExporter
from claude_force.exporters.settings import load_exporter, shown
from claude_force.network.connection import Patience
from tests.builders import NOON_US, an_execution
from tests.conftest import ROOT
from tests.counterparts import DRIP, HANG, RESET, Authority, Received, Reply, ScriptedServer, scripted, unused_port

LATER_US = NOON_US + 30 * DAY_US
DURATION = "gen_ai.client.operation.duration"
TOKEN = "s3cret-t0ken/of+the=vendor"

Points = dict[tuple[str, frozenset[tuple[str, str]]], Any]
"""Data points by the name of their metric and their attributes."""


def push(
    database: Database,
    endpoint: str,
    *,
    environment: Mapping[str, str] = {},
    patience: Patience = PATIENCE,
    **fields: Any,
) -> PushResult:
    """Push to an endpoint, with the fields of a claude.json."""
    found = load_exporter("otlp", {"otlp": {"endpoint": endpoint, **fields}}, {}, environment, Path())
    assert isinstance(found, OtlpExporter)
    return replace(found, patience=patience).push(database, lambda: LATER_US)


def decoded(request: Received) -> ExportMetricsServiceRequest:
    """The message in a request."""
    assert (request.method, request.path) == ("POST", "/v1/metrics")
    assert request.headers["content-type"] == "application/x-protobuf"
    found: ExportMetricsServiceRequest = ExportMetricsServiceRequest.FromString(request.body)
    return found


def metrics_of(request: Received) -> list[Metric]:
    """The metrics of the only resource and scope."""
    (resource,) = decoded(request).resource_metrics
    (scope,) = resource.scope_metrics
    return list(scope.metrics)


def points_of(request: Received) -> Points:
    """The data points of a request, each series once."""
    found = [
        ((metric.name, frozenset((item.key, item.value.string_value) for item in point.attributes)), point)
        for metric in metrics_of(request)
        for point in getattr(metric, str(metric.WhichOneof("data"))).data_points
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def of(agent: str, model: str = "claude-3-5-haiku-20241022", **more: str) -> frozenset[tuple[str, str]]:
    """The attributes of an agent with a Claude model; `error_type` and `token_type` add one more."""
    named = {
        "gen_ai.operation.name": "chat",
        "gen_ai.agent.name": agent,
        "gen_ai.request.model": model,
        "gen_ai.provider.name": "anthropic",
    }
    further = {"error_type": "error.type", "token_type": "gen_ai.token.type"}
    return frozenset((named | {further[name]: value for name, value in more.items()}).items())


def received(database: Database, **fields: Any) -> Points:
    """The data points that a push sends."""
    with scripted() as server:
        push(database, server.url, **fields)
        (request,) = server.requests
    return points_of(request)


def history() -> Iterator[ExecutionMetrics]:
    """Executions of several agents and models over days, with and without duration, usage and cost."""
    for index in range(400):
        is_metered = index % 5 != 0
        yield an_execution(
            timestamp_us=NOON_US + index * DAY_US // 40,
            agent_name=f"agent-{index % 3}",
            model=("claude-opus-4-6", "claude-haiku-4-5")[index % 2],
            success=index % 7 != 0,
            duration_us=None if index % 11 == 0 else 5_000 + index * index * 900,
            input_tokens=index if is_metered else None,
            output_tokens=2 * index if is_metered else None,
            cache_read_tokens=3 * index if is_metered else 0,
            cache_write_5m_tokens=index % 9 if is_metered else 0,
            cache_write_1h_tokens=index % 4 if is_metered else 0,
            cost_nanousd=index * 1_000_003 if index % 3 else None,
        )


def test_sums_equal_the_store(database: Database, store: Store) -> None:
    """Executions, tokens and cost by agent and model; failures are marked."""
    store.add(history())
    found = received(database)
    with database.read() as connection:
        totals = queries.totals_by(connection, Filter(), "agent_name", "model")
    assert len(totals) == 6
    for (agent, model), expected in totals.items():
        labels = str(agent), str(model)
        assert found["claude_force.executions", of(*labels)].as_int == expected.successes
        assert found["claude_force.executions", of(*labels, error_type="_OTHER")].as_int == expected.failures
        tokens = {
            "input": expected.input_tokens,
            "output": expected.output_tokens,
            "cache_read": expected.cache_read_tokens,
            "cache_creation": expected.cache_write_5m_tokens + expected.cache_write_1h_tokens,
        }
        for kind, number in tokens.items():
            assert found["claude_force.tokens", of(*labels, token_type=kind)].as_int == number > 0
        # Neither is there for executions that have none.
        if expected.priced:
            assert found["claude_force.cost", of(*labels)].as_double == expected.cost_nanousd / 1e9
        else:
            assert ("claude_force.cost", of(*labels)) not in found


def test_every_duration_bucket_is_exact(database: Database, store: Store) -> None:
    """A bucket counts the executions above the previous bound and not above its own."""
    executions = list(history())
    store.add(executions)
    found = received(database)
    for agent in ("agent-0", "agent-1", "agent-2"):
        for model in ("claude-opus-4-6", "claude-haiku-4-5"):
            point = found[DURATION, of(agent, model)]
            durations_us = [
                one.duration_us
                for one in executions
                if (one.agent_name, one.model) == (agent, model) and one.duration_us is not None
            ]
            bounds_us = [round(bound * 1e6) for bound in point.explicit_bounds]
            counts = Counter(bisect_left(bounds_us, duration_us) for duration_us in durations_us)
            assert list(point.bucket_counts) == [counts[index] for index in range(len(bounds_us) + 1)]
            assert (point.count, point.sum) == (len(durations_us), sum(durations_us) / 1e6)
            assert not point.HasField("min")
            assert not point.HasField("max")


def test_a_duration_at_a_bound_is_in_its_bucket(database: Database, store: Store) -> None:
    """One microsecond longer is in the next. The bounds differ from those of the conventions by at most 1 %."""
    store.add([an_execution()])
    point = received(database)[DURATION, of("python-expert")]
    recommended = [0.01 * 2**step for step in range(14)]
    assert list(point.explicit_bounds) == pytest.approx(recommended, rel=0.01)
    bounds_us = [round(bound * 1e6) for bound in point.explicit_bounds]
    store.add(an_execution(agent_name="b", duration_us=bound + more) for bound in bounds_us for more in (0, 1))
    assert list(received(database)[DURATION, of("b")].bucket_counts) == [1, *[2] * 13, 1]


def test_metrics_are_cumulative_since_the_first_execution(database: Database, store: Store) -> None:
    """They have the units of docs/how-to/otlp.md, and the same resource at every push."""
    store.add([an_execution(timestamp_us=NOON_US + 5), an_execution()])
    with scripted() as server:
        push(database, server.url)
        store.add([an_execution(timestamp_us=NOON_US + 7)])
        push(database, server.url)
    first, second = server.requests
    units = {
        "claude_force.executions": "{execution}",
        "claude_force.tokens": "{token}",
        "claude_force.cost": "{USD}",
        DURATION: "s",
    }
    assert {metric.name: metric.unit for metric in metrics_of(second)} == units
    assert all(f"| `{name}` | " in (ROOT / "docs" / "how-to" / "otlp.md").read_text(encoding="utf-8") for name in units)
    for metric in metrics_of(second):
        kind = getattr(metric, str(metric.WhichOneof("data")))
        assert kind.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
        assert metric.name == DURATION or kind.is_monotonic
    for point in points_of(second).values():
        assert (point.start_time_unix_nano, point.time_unix_nano) == (NOON_US * 1000, LATER_US * 1000)
    resources = [decoded(request).resource_metrics[0].resource for request in (first, second)]
    assert resources[0] == resources[1]
    named = {item.key: item.value.string_value for item in resources[0].attributes}
    assert named["service.name"] == "claude-force"
    assert set(named) == {"service.name", "service.version", "service.instance.id", "host.name"}


def test_pushing_twice_sends_the_same_bytes(database: Database, store: Store) -> None:
    """A receiver that got both counts nothing twice."""
    store.add(history())
    with scripted() as server:
        said = [push(database, server.url) for _ in range(2)]
        one, two = server.requests
    assert one.body == two.body
    assert said[0] == said[1]
    assert said[0].counts == {"executions": 400, "points": len(points_of(one))}


def test_archiving_changes_no_point(database: Database, store: Store, tmp_path: Path) -> None:
    """Neither a value nor the start time."""
    store.add(history())
    with scripted() as server:
        push(database, server.url)
        assert archive_once(database, tmp_path / "archive", NOON_US + 400 * DAY_US, DAY_US).executions == 400
        push(database, server.url)
        before, after = server.requests
    assert points_of(before) == points_of(after)


def test_unknown_values_have_no_point(database: Database, store: Store) -> None:
    """An unknown duration, usage or cost is not 0, and an unknown name is no attribute."""
    unknown = {"duration_us": None, "input_tokens": None, "output_tokens": None, "cost_nanousd": None}
    store.add([an_execution(model=UNKNOWN, **unknown), an_execution(model="gpt-5", **unknown)])
    found = received(database)
    assert {name for name, _ in found} == {"claude_force.executions"}
    keys = {
        frozenset(key for key, _ in attributes) for _, attributes in found if not dict(attributes).get("error.type")
    }
    assert keys == {
        frozenset({"gen_ai.operation.name", "gen_ai.agent.name"}),
        frozenset({"gen_ai.operation.name", "gen_ai.agent.name", "gen_ai.request.model"}),
    }


def test_an_empty_store_is_pushed_too(database: Database) -> None:
    """The request has no points; the push still shows whether the receiver works."""
    with scripted() as server:
        pushed = push(database, server.url)
        assert points_of(server.requests[0]) == {}
    assert pushed.counts == {"executions": 0, "points": 0}


HOSTILE = ["a\nb", "\x1b[31mred", "<script>alert(1)</script>", "\u202egnp.exe", 'q"\\{}=,', "n" * 200, "é" * 200]


def test_hostile_names_are_sanitized(database: Database, store: Store) -> None:
    """Attributes are one line of visible characters of limited length, and no execution is lost."""
    store.add(an_execution(agent_name=name, model=name) for name in HOSTILE)
    found = received(database)
    values = {value for _, attributes in found for _, value in attributes}
    assert all(value.isprintable() and len(value) <= 200 for value in values)
    assert sum(point.as_int for (name, _), point in found.items() if name == "claude_force.executions") == len(HOSTILE)


def test_names_that_look_alike_are_one_series(database: Database, store: Store) -> None:
    """Names that sanitize to the same label are added up under it."""
    store.add([an_execution(agent_name="a\nb"), an_execution(agent_name="a\\nb")])
    found = received(database)
    assert found["claude_force.executions", of("a\\nb")].as_int == 2
    assert found[DURATION, of("a\\nb")].count == 2


def test_cardinality_is_limited_and_no_sum_falls(database: Database, store: Store) -> None:
    """The first hundred agents and fifty models keep their names forever; later ones share one label."""
    before: Points = {}
    for batch in range(4):
        store.add(
            an_execution(agent_name=f"agent-{index:03}", model=f"claude-opus-{index:03}", timestamp_us=LATER_US - index)
            for index in range(40 * (batch + 1))
        )
        found = received(database)
        executions = {key: point.as_int for key, point in found.items() if key[0] == "claude_force.executions"}
        assert all(executions[key] >= number for key, number in before.items())
        before = executions
    agents, models = ({dict(key[1])[name] for key in before} for name in ("gen_ai.agent.name", "gen_ai.request.model"))
    assert (len(agents), len(models)) == (AGENTS + 1, MODELS + 1)
    assert OTHER in agents & models
    assert sum(before.values()) == 40 + 80 + 120 + 160
    with scripted() as server:
        assert push(database, server.url).counts["names_merged"] == 160 - AGENTS + 160 - MODELS


SHORT = Patience(0.2, 0.5)

FAULTS = {
    "it hangs": (HANG, "127.0.0.1 "),
    "it drips": (DRIP, "127.0.0.1 gave no complete answer within"),
    "it breaks off": (RESET, "the connection to 127.0.0.1 failed: "),
    "it redirects": (307, "127.0.0.1 answered 307, a redirect, which is not followed"),
    "it refuses": (Reply(400, b"no such tenant"), "127.0.0.1 answered 400: no such tenant"),
    "it refuses in protobuf": (
        Reply(400, Status(code=3, message="bad\x1b point").SerializeToString()),
        "127.0.0.1 answered 400: bad\\x1b point",
    ),
    "it knows nobody": (401, "127.0.0.1 answered 401"),
    "it has no such path": (404, "127.0.0.1 answered 404"),
    "it breaks": (500, "127.0.0.1 answered 500"),
    "it is busy": (503, "127.0.0.1 answered 503"),
}


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No patience reaches to a second attempt, however busy this machine is."""
    monkeypatch.setattr("claude_force.exporters.otlp.transport._FIRST_PAUSE_S", 60.0)


@pytest.mark.parametrize(("reply", "said"), FAULTS.values(), ids=FAULTS)
def test_a_failed_push_is_one_line(database: Database, one_attempt: None, reply: Any, said: str) -> None:
    """A PushError says what happened. For a hanging receiver, the timeout that comes first decides."""
    with scripted([reply]) as server, pytest.raises(PushError) as caught:
        push(database, server.url, patience=SHORT if reply in (HANG, DRIP) else PATIENCE)
    assert str(caught.value).startswith(f"OpenTelemetry: {said}")
    assert str(caught.value).isprintable()


def test_a_host_that_cannot_be_called_is_one_line(database: Database) -> None:
    """A host name that no URL can have is a PushError, too."""
    with pytest.raises(PushError, match=r"^OpenTelemetry: "):
        push(database, "http://*.example.com")


def test_an_unknown_compression_is_one_line(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and its possible values."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "zip")
    with pytest.raises(PushError, match=r"OTEL_EXPORTER_OTLP_COMPRESSION must be none, gzip or deflate, not 'zip'"):
        push(database, "http://127.0.0.1:9")


def test_a_receiver_that_is_down_is_one_line(database: Database) -> None:
    """The error says that nobody listens on the port."""
    with pytest.raises(PushError, match=r"the connection to 127.0.0.1 failed: nobody listens on port [0-9]+$"):
        push(database, f"http://127.0.0.1:{unused_port()}")


def test_a_redirect_is_not_followed(database: Database) -> None:
    """Neither metrics nor headers go to its address."""
    with scripted() as elsewhere, scripted([Reply(308, b"", {"Location": elsewhere.url})]) as server:
        with pytest.raises(PushError):
            push(database, server.url, headers="${KEY}", environment={"KEY": f"api-key={TOKEN}"})
        assert elsewhere.requests == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_receiver_is_asked_again(database: Database, status: int) -> None:
    """After the pause that it asks for, with the same points."""
    with scripted([Reply(status, b"", {"Retry-After": "0"}), 200]) as server:
        push(database, server.url)
        first, second = server.requests
    assert first.body == second.body


def partial(rejected: int, said: str) -> Reply:
    """An answer of a receiver that rejected some points."""
    success = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=said)
    return Reply(200, ExportMetricsServiceResponse(partial_success=success).SerializeToString())


def test_rejected_points_are_an_error(database: Database) -> None:
    """The error has their number and the reason."""
    with scripted([partial(7, "too old")]) as server:
        with pytest.raises(PushError, match=r"^OpenTelemetry: 127.0.0.1 rejected 7 data points: too old$"):
            push(database, server.url)
        assert len(server.requests) == 1


def test_a_warning_is_a_remark(database: Database) -> None:
    """The receiver took everything; its warning becomes a remark."""
    with scripted([partial(0, "use a\nnewer name")]) as server:
        assert push(database, server.url).remarks == ("127.0.0.1 warns: use a\\nnewer name",)


def test_no_secret_is_shown(
    one_attempt: None,
    database: Database,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in an error that quotes the request, not in a log of any level, and nothing is printed."""
    caplog.set_level(logging.DEBUG)
    store.add([an_execution()])
    bearer = TOKEN[::-1]
    quoting = f"neither {TOKEN} nor {bearer} is known".encode()
    environment = {"OTEL_EXPORTER_OTLP_HEADERS": f"api-key={TOKEN},authorization=Bearer%20{bearer}"}
    for reply in (Reply(401, quoting), Reply(503, quoting), partial(1, quoting.decode()), HANG):
        with scripted([reply]) as server, pytest.raises(PushError) as caught:
            push(database, server.url, environment=environment, patience=SHORT if reply == HANG else PATIENCE)
        assert server.requests[0].headers["api-key"] == TOKEN
        assert server.requests[0].headers["authorization"] == f"Bearer {bearer}"
        assert not any(secret in str(caught.value) for secret in (TOKEN, bearer))
    assert not any(secret in caplog.text for secret in (TOKEN, bearer))
    assert capfd.readouterr() == ("", "")


def test_the_request_headers(database: Database) -> None:
    """The answer is requested uncompressed, and the user agent is claude-force."""
    with scripted() as server:
        push(database, server.url)
        headers = server.requests[0].headers
    assert (headers["accept-encoding"], headers["user-agent"]) == ("identity", "claude-force")


def test_the_environment_does_not_divert_a_push(
    database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No proxy of the environment and no login of a .netrc file is used."""
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    with scripted() as proxy, scripted() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        push(database, server.url)
        assert proxy.requests == []
        assert "authorization" not in server.requests[0].headers


def test_the_environment_sets_the_compression(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the standard variable."""
    with scripted() as server:
        push(database, server.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        push(database, server.url)
        plain, packed = server.requests
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


def test_a_certificate_is_verified(database: Database, authority: Authority) -> None:
    """With the certificates of this machine, plus those in `ca_file`."""
    with scripted(context=authority.context()) as server:
        with pytest.raises(PushError, match=r"the certificate of 127.0.0.1 is not trusted"):
            push(database, server.url)
        assert server.requests == []
        push(database, server.url, ca_file=str(authority.ca_file))
        assert len(server.requests) == 1


def asked_at(server: ScriptedServer, database: Database, **arguments: Any) -> tuple[str, str | None]:
    """The path and the API key of a push."""
    values: dict[str, Any] = {"configured": {}, "given": {}, "environment": {}} | arguments
    found = load_exporter("otlp", {"otlp": values["configured"]}, values["given"], values["environment"], Path())
    found.push(database, lambda: LATER_US)
    request = server.requests[-1]
    return request.path, request.headers.get("api-key")


def test_options_override_variables_and_variables_override_claude_json(database: Database, tmp_path: Path) -> None:
    """For endpoint and headers, by the standard variables. Those of metrics override those of all signals, and their
    endpoint is used unchanged."""
    file = tmp_path / "headers"
    file.write_text("api-key=of-file\n")
    file.chmod(0o600)
    with scripted() as server:
        url = server.url.rstrip("/")
        configured = {"endpoint": f"{url}/file", "headers_file": str(file)}
        every = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{url}/every/", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=of-every"}
        own = {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{url}/own",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "api-key=of-own",
        }
        given = {"endpoint": f"{url}/flag"}
        assert asked_at(server, database, configured=configured) == ("/file/v1/metrics", "of-file")
        found = asked_at(server, database, configured=configured, environment=every)
        assert found == ("/every/v1/metrics", "of-every")
        found = asked_at(server, database, configured=configured, environment=every | own)
        assert found == ("/own", "of-own")
        found = asked_at(server, database, configured=configured, environment=every | own, given=given)
        assert found == ("/flag/v1/metrics", "of-own")
        found = asked_at(server, database, given={"endpoint": f"{url}/whole/v1/metrics"})
        assert found == ("/whole/v1/metrics", None)


PROBLEMS = {
    "a secret in the file": ({"headers": f"api-key={TOKEN}"}, "headers must not be in claude.json; set"),
    "no pair": ({"headers": "${KEY}"}, "headers must be name=value, several with commas between them"),
    "a line break": ({"headers": "${BREAK}"}, "headers must be name=value, several with commas between them"),
    "in the clear": (
        {"endpoint": "http://example.com", "headers": "${GOOD}"},
        "endpoint must begin with https://: what it carries is secret",
    ),
    "no URL": ({"endpoint": "localhost:4318"}, "endpoint must be a URL that begins with https:// or http://"),
    "metadata of a cloud": ({"endpoint": "http://169.254.169.254"}, "endpoint must not be used"),
    "a field that is none": ({"endpiont": "http://localhost"}, "there is no field endpiont; did you mean endpoint?"),
    "a file that is none": ({"ca_file": "nowhere.pem"}, "ca_file nowhere.pem"),
}


@pytest.mark.parametrize(("fields", "said"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_wrong_setting_is_one_line(fields: dict[str, Any], said: str) -> None:
    """It names the field and does not show the secret."""
    environment = {"KEY": TOKEN.replace("=", ""), "BREAK": f"a={TOKEN}%0D%0AHost:x", "GOOD": f"a={TOKEN}"}
    with pytest.raises(SettingsError) as caught:
        load_exporter("otlp", {"otlp": fields}, {}, environment, Path())
    assert f"performance.exporters: otlp: {said}" in str(caught.value)
    assert TOKEN[:8] not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    """Neither by `config` nor by the repr of the exporter."""
    configured = {"otlp": {"endpoint": "https://me:pass@example.com/x", "headers": TOKEN}}
    assert shown(configured) == {"otlp": {"endpoint": "https://example.com/***", "headers": "***"}}
    fields = {"endpoint": "https://example.com", "headers": "${KEY}"}
    found = load_exporter("otlp", {"otlp": fields}, {}, {"KEY": f"a={TOKEN}"}, Path())
    assert TOKEN not in repr(found)


_WITHOUT = """
import sys
from pathlib import Path
sys.modules[sys.argv[1]] = None
from claude_force.errors import MissingExtra
from claude_force.exporters.settings import load_exporter
from claude_force.database.open import open_database
try:
    load_exporter("otlp", {}, {}, {}, Path()).push(open_database(sys.argv[2]), lambda: 0)
except MissingExtra as missing:
    print(missing)
"""


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.proto"])
def test_without_the_extra_the_error_has_the_install_command(missing: str, tmp_path: Path) -> None:
    """Also if another part of OpenTelemetry is installed."""
    command = [sys.executable, "-c", _WITHOUT, missing, str(tmp_path / "metrics.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == ("opentelemetry.proto is not installed: pip install 'claude-force[otel]'\n")
