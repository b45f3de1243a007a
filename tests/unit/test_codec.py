"""Executions as lines of JSON, and the uids of lines that have none."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from claude_force.clock import LATEST_US
from claude_force.errors import InvalidRecord
from claude_force.executions.billed_steps import Step
from claude_force.executions.jsonl.codec import ALL_COLUMNS, content_digest, decode_line, encode_line
from claude_force.executions.record import COST_LIMIT_NANOUSD, DURATION_LIMIT_US, TOKENS_LIMIT, ExecutionMetrics
from tests.builders import NOON_US, a_line, an_execution

BERLIN = ZoneInfo("Europe/Berlin")
HOSTILE_NAMES = [
    "x" * 200,
    "漢" * 200,
    "🙂",
    "a\u2028b\u2029c\x85",
    "\x1b[31m\n\r\t",
    "\u202e",
    '"\\',
    "e\u0301",
    "\x7f",
    " ",
]


UID = "019a81ea-e083-7c55-8f02-3a1f0d9c4b11"


def read(line: bytes, zone: tzinfo = UTC) -> ExecutionMetrics:
    """The record of a line with a uid."""
    return ExecutionMetrics(**decode_line(line, zone).fields)


def fields_of(zone: tzinfo = UTC, **changes: Any) -> dict[str, Any]:
    """The decoded fields of the guide's line, with changes."""
    return decode_line(a_line(**changes), zone).fields


def digest_of(**changes: Any) -> bytes:
    """The digest of the guide's line, with changes."""
    return content_digest(decode_line(a_line(**changes), UTC))


def refusal_of(**changes: Any) -> InvalidRecord:
    """The error of the guide's line, with changes."""
    with pytest.raises(InvalidRecord) as caught:
        fields_of(**changes)
    return caught.value


@pytest.mark.parametrize("zone", [UTC, BERLIN, timezone(timedelta(hours=5, minutes=30)), ZoneInfo("America/St_Johns")])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"timestamp_us": 0},
        {"timestamp_us": LATEST_US - 1},
        {"duration_us": 1, "cost_nanousd": 1, "reference_cost_nanousd": 3},
        {"duration_us": DURATION_LIMIT_US, "cost_nanousd": COST_LIMIT_NANOUSD, "input_tokens": TOKENS_LIMIT},
        {"duration_us": DURATION_LIMIT_US - 1, "cost_nanousd": COST_LIMIT_NANOUSD - 1},
        {"duration_us": None, "input_tokens": None, "output_tokens": None, "cost_nanousd": None},
        {"success": False, "error_type": "TimeoutError", "workflow_id": "flow", "workflow_position": 0},
        {"host": "box", "project": "/" + "p" * 999, "run_id": "r", "price_version": "1", "task_hash": None},
        *({"agent_name": name, "workflow_id": name, "error_type": name} for name in HOSTILE_NAMES),
    ],
)
def test_encoding_and_decoding_are_inverse(changes: dict[str, Any], zone: tzinfo) -> None:
    """A record that is encoded and decoded is the same in any zone; encoding it again gives the same bytes."""
    record = an_execution(**changes)
    line = encode_line(record, zone)
    assert read(line) == record
    assert encode_line(read(line, BERLIN), zone) == line
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert tuple(json.loads(line)) == ALL_COLUMNS


@pytest.mark.parametrize("instant", [1_761_438_600_000_000, 1_761_442_200_000_000])
def test_a_repeated_hour_keeps_its_offset(instant: int) -> None:
    """02:30 in Berlin, on the day that clocks go back, is two instants. Both survive encoding and decoding."""
    record = an_execution(timestamp_us=instant)
    line = encode_line(record, BERLIN)
    assert b"T02:30:00" in line
    assert read(line) == record


TIMES = {
    "the hour that is repeated": ("2025-10-26T02:30:00", "2025-10-26T00:30:00.000000+00:00"),
    "after it": ("2025-10-26T03:00:00", "2025-10-26T02:00:00.000000+00:00"),
    "the second time round, by its offset": ("2025-10-26T02:30:00+01:00", "2025-10-26T01:30:00.000000+00:00"),
    "the hour that is skipped": ("2025-03-30T02:30:00", "2025-03-30T01:30:00.000000+00:00"),
    "before it": ("2025-03-30T01:59:59.999999", "2025-03-30T00:59:59.999999+00:00"),
    "Z": ("2025-11-14T10:30:45Z", "2025-11-14T10:30:45.000000+00:00"),
    "an offset of half an hour": ("2025-11-14T10:30:46+05:30", "2025-11-14T05:00:46.000000+00:00"),
    "a blank instead of T": ("2025-11-14 10:30:47-08:00", "2025-11-14T18:30:47.000000+00:00"),
    "an offset with seconds": ("2025-11-14T10:30:48+00:00:01", "2025-11-14T10:30:47.000000+00:00"),
    "no seconds": ("2025-11-14T10:30Z", "2025-11-14T10:30:00.000000+00:00"),
    "no punctuation": ("20251114T103045Z", "2025-11-14T10:30:45.000000+00:00"),
    "a comma": ("2025-11-14T10:30:45,5Z", "2025-11-14T10:30:45.500000+00:00"),
    "seven digits, half to even down": ("2025-11-14T10:30:45.1234565Z", "2025-11-14T10:30:45.123456+00:00"),
    "seven digits, half to even up": ("2025-11-14T10:30:45.1234575Z", "2025-11-14T10:30:45.123458+00:00"),
    "nine digits over midnight": ("2025-11-14T23:59:59.999999999Z", "2025-11-15T00:00:00.000000+00:00"),
    "forty digits": ("2025-11-14T10:30:45." + "0" * 39 + "1Z", "2025-11-14T10:30:45.000000+00:00"),
    "the first": ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000+00:00"),
    "the first, before 1970 by its own clock": ("1969-12-31T19:00:00-05:00", "1970-01-01T00:00:00.000000+00:00"),
    "the last": ("2099-12-31T23:59:59.999999Z", "2099-12-31T23:59:59.999999+00:00"),
}


@pytest.mark.parametrize(("text", "expected"), TIMES.values(), ids=TIMES)
def test_a_timestamp_without_an_offset_is_in_the_given_zone(text: str, expected: str) -> None:
    """Here Berlin. Other timestamps are in their own offset, and digits below a microsecond are rounded."""
    record = an_execution(timestamp_us=fields_of(BERLIN, timestamp=text)["timestamp_us"])
    assert json.loads(encode_line(record, UTC))["timestamp"] == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2025-11-14",
        "2025-W46-5",
        "10:30:45",
        "2025-02-30T10:00:00",
        "2025-11-14T25:00:00",
        "2025-11-14T10:30:60",
        "2025-11-14T10:30:45+24:00",
        "1970-01-01T00:00:00+00:01",
        "2099-12-31T23:59:59.9999999Z",
        "9999-12-31T23:59:59.999999-23:59",
        "0001-01-01T00:00:00+14:00",
        "0000-00-00T00:00:00Z",
        "-2025-11-14T10:30:45",
        "1763116245",
        "Fri Nov 14 10:30:45 2025",
        "２０２５-11-14T10:30:45",
        "x" * 5000,
    ],
)
def test_an_invalid_timestamp_is_rejected_with_a_short_reason(text: str) -> None:
    """No date, an impossible day or hour, too early, too late: the reason names the field and fits a line."""
    error = refusal_of(timestamp=text)
    assert error.field == "timestamp"
    assert len(str(error)) < 150


@pytest.mark.parametrize(
    ("number", "duration_us"),
    [("3456", 3_456_000), ("3456.0", 3_456_000), ("3.456e3", 3_456_000), ("0", 0), ("-0.0", 0), ("null", None),
     ("0.0004", 0), ("0.0005", 0), ("0.0015", 2), ("0.0025", 2), ("0.1", 100), ("1234.567", 1_234_567)],
)  # fmt: skip
def test_milliseconds_become_microseconds(number: str, duration_us: int | None) -> None:
    """Numbers in any notation are rounded half to even to a whole microsecond; null stays unknown."""
    line = a_line(execution_time_ms="NUMBER").replace(b'"NUMBER"', number.encode())
    assert decode_line(line, UTC).fields["duration_us"] == duration_us


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "cache_read_tokens", "workflow_position"])
@pytest.mark.parametrize("number", [b"1234.0", b"1.234e3"])
def test_a_float_without_a_fraction_is_a_whole_number(field: str, number: bytes) -> None:
    """Some programs write 1234.0 for 1234."""
    line = a_line(**{field: "NUMBER"}, uid=UID, total_tokens=...).replace(b'"NUMBER"', number)
    assert getattr(read(line), field) == 1234


@pytest.mark.parametrize("field", ["execution_time_ms", "estimated_cost", "reference_cost", "input_tokens"])
@pytest.mark.parametrize("value", [-1e-12, -1, -1e300])
def test_a_negative_number_is_rejected_however_small(field: str, value: float) -> None:
    """Rounding to 0 does not make it valid."""
    with pytest.raises(InvalidRecord, match=field):
        read(a_line(**{field: value}, uid=UID))


def test_older_field_names_are_read() -> None:
    """workflow_name means workflow_id, and duration_ms means execution_time_ms; the newer name wins."""
    decoded = decode_line(a_line(workflow_name="old", duration_ms=5, execution_time_ms=...), UTC)
    assert (decoded.fields["workflow_id"], decoded.fields["duration_us"]) == ("old", 5000)
    assert decoded.aliases == {"workflow_name", "duration_ms"}
    both = fields_of(workflow_name="old", workflow_id="new", duration_ms=1, execution_time_ms=2)
    assert (both["workflow_id"], both["duration_us"]) == ("new", 2000)
    assert fields_of(workflow_name="old", workflow_id=None)["workflow_id"] == "old"


def test_unknown_fields_are_named_in_notes() -> None:
    """They are sorted and cut to a limited length, and are not in `fields`."""
    decoded = decode_line(a_line(zeta=1, **{"a" * 500: 2}), UTC)
    assert set(decoded.extras) == {"zeta", "a" * 500}
    assert decoded.notes == (f"field not known, left out: {'a' * 60}", "field not known, left out: zeta")
    assert "zeta" not in decoded.fields


@pytest.mark.parametrize("total", [1800, 0, -5, "1801", [1801], {}, 1e300])
def test_a_wrong_total_is_noted_and_not_used(total: object) -> None:
    """total_tokens is computed. A different value, of any type, becomes a note."""
    notes = decode_line(a_line(total_tokens=total), UTC).notes
    assert notes == ("total_tokens is not the sum of the token kinds; the sum is used",)


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_1h_tokens"])
@pytest.mark.parametrize("value", ["12", [1], {"a": 1}])
def test_tokens_that_are_not_numbers_are_rejected(field: str, value: object) -> None:
    """Comparing them with total_tokens raises nothing but InvalidRecord with their name."""
    with pytest.raises(InvalidRecord, match=field):
        read(a_line(**{field: value}, total_tokens=1801, uid=UID))


@pytest.mark.parametrize("field", ["agent_name", "extra", "model", "project"])
@pytest.mark.parametrize("depth", [200, 300, 1000])
def test_deep_values_are_accepted_or_rejected(field: str, depth: int) -> None:
    """In known and unknown fields, they raise nothing but InvalidRecord."""
    deep = b"[" * depth + b"]" * depth
    line = a_line(**{field: "DEEP"}).replace(b'"DEEP"', deep)
    with suppress(InvalidRecord):
        assert len(content_digest(decode_line(line, UTC))) == 16


SAME: dict[str, Callable[[bytes], bytes]] = {
    "the order of the keys": lambda line: json.dumps(dict(reversed(json.loads(line).items()))).encode(),
    "white space": lambda line: json.dumps(json.loads(line), indent=4).replace("\n", "\t").encode(),
    "escapes": lambda line: line.replace(b"python", b"\\u0070ython"),
    "a null": lambda line: line.replace(b"{", b'{"workflow_id": null, "host": null, ', 1),
    "a null in a field not known": lambda line: line.replace(b"{", b'{"other": null, ', 1),
    "a float for a whole number": lambda line: line.replace(b"1234,", b"1234.0,"),
    "an exponent": lambda line: line.replace(b"1234,", b"1.234e3,"),
    "zeros in the timestamp": lambda line: line.replace(b".123456", b".1234560"),
    "an offset that says the same": lambda line: line.replace(b".123456", b".123456+00:00"),
    "a total that is left out": lambda line: line.replace(b'"total_tokens": 1801, ', b""),
    "an older name": lambda line: line.replace(b"execution_time_ms", b"duration_ms"),
    "a float in a field not known": lambda line: line.replace(b'"extra": 7', b'"extra": 7.0'),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_notation_does_not_change_the_uid(change: Callable[[bytes], bytes]) -> None:
    """The same content in another notation is the same execution."""
    line = a_line(extra=7).strip()
    changed = change(line)
    assert changed != line
    assert content_digest(decode_line(changed, UTC)) == content_digest(decode_line(line, UTC))


@pytest.mark.parametrize(
    "changes",
    [{"timestamp": "2025-11-14T10:30:45.123457"}, {"agent_name": "other"}, {"success": False}, {"extra": 1},
     {"input_tokens": 1}, {"estimated_cost": 1}, {"estimated_cost": None}, {"workflow_id": "a"},
     {"project": "a"}, {"error_type": "a"}, {"source": "elsewhere"}],
)  # fmt: skip
def test_content_changes_the_uid(changes: dict[str, Any]) -> None:
    """Different content, also in an unknown field, is another execution."""
    others: list[dict[str, Any]] = [{}, {"extra": 3}, {"extra": "1"}, {"run_id": "a"}, {"host": "a"}]
    assert digest_of(**changes) not in [digest_of(**other) for other in others]


def test_the_content_digest_never_changes() -> None:
    """This is the digest of the guide's line in every version: a file that an older version imported adds nothing."""
    assert NOON_US == 1_762_000_000_000_000
    assert digest_of().hex() == "7689e0e09d645004757777c542c62879"


STEPS = (
    Step("message", "claude-sonnet-4-6", 1000, 500, 5, 6, 7, cost_nanousd=10_000_001),
    Step("advisor_message", "claude-opus-4-8", 234, 67, 0, 0, 0, "batch", "us", 4, 5, 6),
)


def test_steps_survive() -> None:
    """All of their fields, as objects with public names."""
    record = an_execution(steps=STEPS, cache_read_tokens=5, cache_write_5m_tokens=6, cache_write_1h_tokens=7)
    line = encode_line(record, UTC)
    assert ExecutionMetrics(**decode_line(line, UTC).fields) == record
    assert json.loads(line)["steps"][1] == {
        "kind": "advisor_message",
        "model": "claude-opus-4-8",
        "input_tokens": 234,
        "output_tokens": 67,
        "cache_read_tokens": 0,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "service_tier": "batch",
        "inference_geo": "us",
        "cost": 4e-09,
        "reference_cost": 5e-09,
        "recorded_cost": 6e-09,
    }


def test_steps_are_content_as_they_are_written() -> None:
    """Also for a program that does not know them: the uid of a line stays the same."""
    steps = [{"kind": "message", "model": "m", "input_tokens": 1234.0, "output_tokens": 567}]
    with_steps = decode_line(a_line(steps=steps), UTC)
    unknown = decode_line(a_line(stages=steps), UTC)
    renamed = replace(unknown, extras={"steps": unknown.extras["stages"]})
    assert content_digest(with_steps) == content_digest(renamed)


BAD_STEPS: list[tuple[Any, str]] = [
    ({}, "steps: expected a list, got an object"),
    ([7], "steps[0]: expected an object, got a number"),
    ([{}], "steps[0].kind: is missing"),
    ([{"kind": "a", "model": "m", "input_tokens": 1}], "steps[0].output_tokens: is missing"),
    ([{"kind": "a", "model": "m", "input_tokens": -1, "output_tokens": 1}], "steps[0].input_tokens: is negative"),
    ([{"kind": "a", "model": "", "input_tokens": 1, "output_tokens": 1}], "steps[0].model: is empty"),
    (
        [{"kind": "a", "model": "m", "input_tokens": 1, "output_tokens": 1, "x": 1}],
        "steps[0].x: is not a field of a step",
    ),
    (
        [{"kind": "a", "model": "m", "input_tokens": 1, "output_tokens": 1, "cost": "1"}],
        "steps[0].cost: expected a number",
    ),
    ([{"kind": "a", "model": "m", "input_tokens": 1, "output_tokens": 1, "cost": 1e300}], "is too large to be true"),
    ([{"kind": "a", "model": "m", "input_tokens": 1, "output_tokens": 1}], "steps: their tokens do not add up"),
    ([], "steps: expected 1 to 10,000, got 0"),
]


@pytest.mark.parametrize(("steps", "reason"), BAD_STEPS)
def test_bad_steps_are_refused(steps: Any, reason: str) -> None:
    """With the step and its field."""
    with pytest.raises(InvalidRecord) as refused:
        ExecutionMetrics(**decode_line(a_line(steps=steps), UTC).fields | {"uid": an_execution().uid})
    assert reason in str(refused.value)
