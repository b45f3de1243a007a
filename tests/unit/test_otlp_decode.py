"""What the receiver makes of the bodies themselves: formats, numbers, ids, damage, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from claude_force.errors import InvalidBody
from claude_force.executions.signals import Heard, encode
from claude_force.receiver.budget import ATTRIBUTES_LIMIT, COUNTED_BYTES, PARTS_LIMIT, VALUES_LIMIT
from claude_force.receiver.decode import Kind, decode_export
from claude_force.receiver.mapping import KINDS_LIMIT, OWN, UNREAD
from claude_force.receiver.records import DROPPED
from claude_force.settings.claude_json import USER_ATTRIBUTES
from tests.telemetry import (
    JSON,
    NOON_NS,
    PERSONAL,
    PROTOBUF,
    RESOURCE,
    api_request,
    as_json,
    heard_of,
    logs,
    metrics,
    outcomes_of,
    requests_of,
    signals_of,
    spans,
)

KINDS: tuple[Kind, ...] = ("logs", "traces", "metrics")
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 1,
    "gen_ai.usage.output_tokens": 1,
}


def written(**record: Any) -> bytes:
    """A body in JSON with one log record of Claude Code."""
    scope = {"name": "com.anthropic.claude_code.events"}
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"scope": scope, "logRecords": [record]}]}]}).encode()


def attributes(values: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Attributes in JSON, with their values as they are written."""
    return [{"key": key, "value": value} for key, value in values.items()]


REQUEST: dict[str, dict[str, Any]] = {
    "event.name": {"stringValue": "api_request"},
    "model": {"stringValue": "claude-opus-5-5"},
    "input_tokens": {"intValue": "6"},
    "output_tokens": {"intValue": 412},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content_type", [JSON, PROTOBUF, "Application/JSON; charset=utf-8", "application/protobuf"])
def test_an_empty_request_says_nothing(kind: Kind, content_type: str) -> None:
    """A request without records is valid, whatever it writes after the type of its content."""
    assert decode_export(kind, content_type, b"{}" if "json" in content_type.lower() else b"") == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b""),
        (JSON, b"[]"),
        (JSON, b"null"),
        (JSON, b"{"),
        (JSON, b"\xff"),
        (JSON, b'{"resourceLogs": 1, "resourceSpans": 1, "resourceMetrics": 1}'),
        (JSON, b"[" * 100_000),
        (PROTOBUF, b"\xff"),
        (PROTOBUF, b"{}"),
        ("text/plain", b""),
        ("", b""),
    ],
)
def test_what_is_no_otlp_is_refused(kind: Kind, content_type: str, body: bytes) -> None:
    """The client is told that the body is wrong, and need not send it again."""
    with pytest.raises(InvalidBody):
        decode_export(kind, content_type, body)


@pytest.mark.parametrize("value", [6, "6", 6.0, "6.0"])
def test_whole_numbers_may_be_texts(value: object) -> None:
    """JSON has no whole numbers of 64 bits, so they are texts or numbers. A fraction in a text is no whole number."""
    record = written(timeUnixNano=str(NOON_NS), attributes=attributes({**REQUEST, "input_tokens": {"intValue": value}}))
    found = decode_export("logs", JSON, record)

    assert [request.input_tokens for request in requests_of(found)] == ([] if value == "6.0" else [6])


@pytest.mark.parametrize("time_ns", [NOON_NS, str(NOON_NS)])
def test_instants_may_be_texts(time_ns: object) -> None:
    """So are instants; a record without one has that at which it was observed."""
    for record in ({"timeUnixNano": time_ns}, {"timeUnixNano": "0", "observedTimeUnixNano": time_ns}):
        [request] = requests_of(decode_export("logs", JSON, written(**record, attributes=attributes(REQUEST))))

        assert request.at_us == NOON_NS // 1000


def test_null_and_unknown_fields_are_as_if_absent() -> None:
    """Fields of later versions, and those that are null, change nothing."""
    plain = written(timeUnixNano=NOON_NS, attributes=attributes(REQUEST))
    more = written(
        timeUnixNano=NOON_NS,
        severityText="INFO",
        body=None,
        tomorrow={"a": [1]},
        attributes=[*attributes(REQUEST), {"key": "empty", "value": None}, {"key": "none"}, {}],
    )

    assert decode_export("logs", JSON, more) == decode_export("logs", JSON, plain)


@pytest.mark.parametrize(
    ("trace_id", "span_id"),
    [
        ("000102030405060708090a0b0c0d0e0f", "0001020304050600"),
        ("000102030405060708090A0B0C0D0E0F", "0001020304050600"),
        ("AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgA="),
    ],
)
def test_ids_may_be_hexadecimal_or_base64(trace_id: str, span_id: str) -> None:
    """OTLP writes ids in hexadecimal digits; the usual JSON of protobuf writes base64. Both are the same id."""
    [request] = requests_of(signals_of(spans(CHAT)))
    body = json.loads(as_json(spans(CHAT)))
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][0] |= {"traceId": trace_id, "spanId": span_id}

    assert requests_of(decode_export("traces", JSON, json.dumps(body).encode())) == [request]


def test_half_a_character_costs_its_record_only() -> None:
    """A text with half a character, where it would be stored, makes its record unusable, and no other."""
    body = as_json(logs(api_request(), api_request(effort="HALF")))
    found = decode_export("logs", JSON, body.replace(b"HALF", b"\\ud83d"))

    assert heard_of(found) == [
        ("claude_code.api_request", 1, ""),
        ("claude_code.api_request", 1, "effort has half a character"),
    ]


@pytest.mark.parametrize("half", [b"\\ud83d", b"\xed\xa0\xbd"])
def test_half_a_character_in_what_is_not_read_costs_nothing(half: bytes) -> None:
    """A message that was cut within a character is common; its record is as good as any."""
    message = logs(api_request(), api_request(note="HALF----"[: len(half)]))
    whole = "HALF----"[: len(half)].encode()
    json_body, protobuf_body = as_json(message), message.SerializeToString()
    found = (
        decode_export("logs", JSON, json_body.replace(whole, half))
        if half.isascii()
        else decode_export("logs", PROTOBUF, protobuf_body.replace(whole, half))
    )

    assert len(requests_of(found)) == 2


@pytest.mark.parametrize("text", [b"\xff", b"\xed", b"\xc0"])
def test_names_that_are_no_text_are_repaired(text: bytes) -> None:
    """The same for a name of a span and for what a list has."""
    message = spans({**CHAT, "tags": ["X"]}, name="X")
    found = decode_export("traces", PROTOBUF, message.SerializeToString().replace(b"X", text))

    assert requests_of(found) == requests_of(signals_of(message))


@pytest.mark.parametrize(
    "message",
    [
        logs(api_request(), resource={"service.name": "claude-force"}),
        logs(api_request(), scope="claude_force"),
        spans(CHAT, scope="claude-force.tracker"),
        metrics(("claude_code.commit.count", 1, {}), resource={"service.name": "claude-force"}),
    ],
)
def test_what_we_sent_ourselves_is_refused(message: Any) -> None:
    """A store that exports to its own receiver would feed itself."""
    found = signals_of(message)

    assert len(found) == 1
    assert heard_of(found)[0][2] == OWN


@pytest.mark.parametrize(
    "message",
    [
        logs({"event.name": "device.app.lifecycle"}, scope="other", prefix="", resource={}),
        metrics(("http.server.duration", 1, {}), resource={}),
    ],
)
def test_records_of_other_programs_are_ignored(message: Any) -> None:
    """What no reader knows is counted under the name that its program fixed."""
    found = signals_of(message)

    assert [(heard.service, heard.ignored) for heard in found if isinstance(heard, Heard)] == [
        ("unknown_service", UNREAD)
    ]
    assert len(found) == 1


def test_a_body_has_few_kinds() -> None:
    """Senders who make up names cannot fill the store: beyond a limit, kinds are counted together."""
    found = signals_of(logs(*({"event.name": f"event_{number}"} for number in range(KINDS_LIMIT + 50))))

    assert len(found) == KINDS_LIMIT + 1
    assert heard_of(found)[-1][:2] == ("further kinds", 50)


def test_a_record_that_is_used_is_not_said_to_be_ignored() -> None:
    """Also where a body has too many kinds to name it."""
    others = ({"event.name": f"event_{number}"} for number in range(KINDS_LIMIT))
    found = signals_of(logs(*others, api_request()))

    assert len(requests_of(found)) == 1
    assert heard_of(found)[-1] == ("further kinds", 1, "")


def test_a_body_has_few_programs() -> None:
    """The same for made-up names of programs."""
    message = logs()
    for number in range(KINDS_LIMIT + 50):
        message.MergeFrom(logs({"event.name": "x"}, resource={"service.name": f"program-{number}"}))

    assert len(signals_of(message)) == KINDS_LIMIT + 1


def test_names_with_words_of_a_user_are_not_kept() -> None:
    """A name that is no word is not repeated."""
    message = logs({"event.name": "my personal words"}, {"event.name": "x" * 500}, scope="s", prefix="", resource={})

    assert {name for name, _, _ in heard_of(signals_of(message))} == {"record"}


def test_personal_attributes_are_dropped_while_decoding() -> None:
    """Those of the resource too. The list has every attribute of Claude Code that is about its user."""
    found = signals_of(metrics(("claude_code.commit.count", 1, PERSONAL), resource={**RESOURCE, **PERSONAL}))
    personal = {name for name in PERSONAL if name.startswith(("user", "organization", "prompt", "tool_i"))}

    assert personal <= DROPPED
    assert outcomes_of(found) == outcomes_of(signals_of(metrics(("claude_code.commit.count", 1, {}))))


@pytest.mark.parametrize("name", USER_ATTRIBUTES)
def test_one_attribute_can_say_who_the_user_is(name: str) -> None:
    """That of a record goes before that of its resource, in both formats; nothing else about the user is kept."""
    named, unnamed = api_request(**{name: "ada"}), api_request(**dict.fromkeys(PERSONAL))
    message = logs(named, unnamed, resource={**RESOURCE, name: "team"})

    for content_type, body in ((PROTOBUF, message.SerializeToString()), (JSON, as_json(message))):
        found = decode_export("logs", content_type, body, name)
        assert [request.user for request in requests_of(found)] == ["ada", "team"]
        assert b"personal" not in encode(found)


def test_a_user_that_is_no_text_is_not_known() -> None:
    """The record is used all the same."""
    body = logs(api_request(**{"user.email": 7})).SerializeToString()

    assert [request.user for request in requests_of(decode_export("logs", PROTOBUF, body, "user.email"))] == [None]


def test_json_needs_no_extra() -> None:
    """Without protobuf, JSON is read all the same, and a body in protobuf names the command that installs it."""
    program = """
import sys
sys.modules["google.protobuf"] = None
from claude_force.errors import MissingExtra
from claude_force.receiver.decode import decode_export
assert decode_export("logs", "application/json", b"{}") == []
try:
    decode_export("logs", "application/x-protobuf", b"")
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "pip install 'claude-force[otel]'" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_of_empty_parts_is_refused(kind: Kind) -> None:
    """A small body may unpack to millions of groups, which would keep the receiver busy for minutes."""
    group = {"logs": b"resourceLogs", "traces": b"resourceSpans", "metrics": b"resourceMetrics"}[kind]
    written = b'{"%s":[%s{}]}' % (group, b"{}," * PARTS_LIMIT)

    for content_type, body in ((PROTOBUF, b"\n\0" * (PARTS_LIMIT + 1)), (JSON, written)):
        with pytest.raises(InvalidBody, match="groups and records"):
            decode_export(kind, content_type, body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(JSON, b"{}," * (VALUES_LIMIT // 2 + 1)), (PROTOBUF, bytes(COUNTED_BYTES) + b"\xff"), (JSON, b"\xff" * 9 * 2**20)],
    ids=["countless values", "no message", "not UTF-8"],
)
def test_a_large_body_is_judged_before_it_is_decoded(content_type: str, body: bytes) -> None:
    """What it would be decoded to may be thirty times as large."""
    with pytest.raises(InvalidBody):
        decode_export("logs", content_type, body)


def test_a_record_of_countless_attributes_is_refused() -> None:
    """The same for a record."""
    message = logs({f"attribute_{number}": 1 for number in range(ATTRIBUTES_LIMIT + 1)})

    for content_type, body in ((PROTOBUF, message.SerializeToString()), (JSON, as_json(message))):
        with pytest.raises(InvalidBody, match="attributes"):
            decode_export("logs", content_type, body)
