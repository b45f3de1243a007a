"""The record: which values are valid, what its errors name, and its computed properties."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from claude_force.clock import LATEST_US
from claude_force.errors import ClaudeForceError, InvalidRecord
from claude_force.executions.content_uids import content_uid
from claude_force.executions.record import (
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    FIELDS,
    TOKENS_LIMIT,
    ExecutionMetrics,
    as_mapping,
    dollars,
    fresh_uid,
    identity_bytes,
    identity_text,
    model_family,
    task_hash,
)
from tests.builders import NOON_US, an_execution

REQUIRED_NAMES = ("agent_name", "model", "source")
OPTIONAL_NAMES = ("task_hash", "error_type", "workflow_id", "run_id", "host", "price_version", "project")
COUNTS = {
    "duration_us": ("execution_time_ms", DURATION_LIMIT_US),
    "input_tokens": ("input_tokens", TOKENS_LIMIT),
    "output_tokens": ("output_tokens", TOKENS_LIMIT),
    "cache_read_tokens": ("cache_read_tokens", TOKENS_LIMIT),
    "cache_write_5m_tokens": ("cache_write_5m_tokens", TOKENS_LIMIT),
    "cache_write_1h_tokens": ("cache_write_1h_tokens", TOKENS_LIMIT),
    "cost_nanousd": ("estimated_cost", COST_LIMIT_NANOUSD),
    "reference_cost_nanousd": ("reference_cost", COST_LIMIT_NANOUSD),
    "workflow_position": ("workflow_position", 10**6),
}


def refusal(**changes: Any) -> InvalidRecord:
    """The error that a record with these changes raises."""
    with pytest.raises(InvalidRecord) as caught:
        an_execution(**changes)
    return caught.value


@pytest.mark.parametrize("field", REQUIRED_NAMES + OPTIONAL_NAMES)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "is empty"),
        ("a\0b", "contains a NUL character"),
        ("\ud800", "contains a lone surrogate"),
        ("x\udfff", "contains a lone surrogate"),
        ("x" * 1001, "is longer than"),
        (5, "expected text"),
        (b"bytes", "expected text"),
        (True, "expected text"),
        (["a"], "expected text"),
    ],
)
def test_text_that_a_database_cannot_store_is_rejected(field: str, value: object, reason: str) -> None:
    """Empty, too long, not text, with NUL or a lone surrogate: the error names the field."""
    error = refusal(**{field: value})
    assert error.field == field
    assert reason in error.reason


@pytest.mark.parametrize("field", REQUIRED_NAMES)
def test_a_required_name_cannot_be_none(field: str) -> None:
    """Agent, model and source are required."""
    assert refusal(**{field: None}).field == field


@pytest.mark.parametrize("field", OPTIONAL_NAMES)
def test_an_optional_name_may_be_none(field: str) -> None:
    """It stays None."""
    assert getattr(an_execution(**{field: None}), field) is None


@pytest.mark.parametrize(
    "name", ["x" * 200, "漢" * 200, "🙂" * 200, " ", "a\nb", "\x1b[31m", "\u202e", "=1+1", "e\u0301"]
)
def test_unusual_text_is_kept_unchanged(name: str) -> None:
    """A record never changes a name; text is made safe where it is shown."""
    assert an_execution(agent_name=name).agent_name == name


@pytest.mark.parametrize(("field", "label", "limit"), [(field, *rest) for field, rest in COUNTS.items()])
def test_a_count_has_a_minimum_and_a_maximum(field: str, label: str, limit: int) -> None:
    """0 and the limit are valid, values outside are not. The error has the public name of the field."""
    assert getattr(an_execution(**{field: 0}), field) == 0
    assert getattr(an_execution(**{field: limit}), field) == limit
    assert (refusal(**{field: -1}).field, refusal(**{field: -1}).reason) == (label, "is negative")
    assert (refusal(**{field: limit + 1}).field, refusal(**{field: limit + 1}).reason) == (
        label,
        "is too large to be true",
    )


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize(
    "value",
    [1.0, 1.5, float("nan"), float("inf"), "1", True, [1], 1j, 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_a_count_is_a_whole_number(field: str, value: object) -> None:
    """A float, a bool or text is rejected, and a number of any size has a readable error."""
    error = refusal(**{field: value})
    assert error.field == COUNTS[field][0]
    assert len(str(error)) < 200


@pytest.mark.parametrize("field", ["cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"])
def test_cached_tokens_are_never_none(field: str) -> None:
    """Without a cache they are 0."""
    assert refusal(**{field: None}).field == field


@pytest.mark.parametrize("known", ["input_tokens", "output_tokens"])
def test_half_a_usage_is_rejected(known: str) -> None:
    """input_tokens and output_tokens are known both or neither."""
    assert "both or neither" in refusal(**({"input_tokens": None, "output_tokens": None} | {known: 1})).reason


@pytest.mark.parametrize("instant", [-1, LATEST_US, 10**30, 1.5, None, True, "2025-11-14"])
def test_an_instant_lies_between_1970_and_2099(instant: object) -> None:
    """It is a whole number of microseconds."""
    with pytest.raises(InvalidRecord, match="timestamp"):
        ExecutionMetrics(**as_mapping(an_execution()) | {"timestamp_us": instant})


@pytest.mark.parametrize("success", [None, 0, 1, "true", "", []])
def test_success_is_true_or_false(success: object) -> None:
    """Only a bool is valid."""
    assert refusal(success=success).field == "success"


@pytest.mark.parametrize(
    "uid",
    [
        "",
        "42",
        None,
        5,
        "019A81EA-E083-7C55-8F02-3A1F0D9C4B11",
        "019a81eae0837c558f023a1f0d9c4b11",
        "{019a81ea-e083-7c55-8f02-3a1f0d9c4b11}",
        "019a81ea-e083-7c55-8f02-3a1f0d9c4b11\n",
        "٠19a81ea-e083-7c55-8f02-3a1f0d9c4b11",
    ],
)
def test_a_uid_has_one_notation(uid: object) -> None:
    """So equal uids are always equal as text."""
    assert refusal(uid=uid).field == "uid"


def test_an_invalid_record_is_also_a_value_error() -> None:
    """Programs that record catch ValueError; our commands catch ClaudeForceError."""
    assert isinstance(refusal(agent_name=""), ClaudeForceError)
    assert isinstance(refusal(agent_name=""), ValueError)
    assert str(refusal(agent_name="")) == "agent_name: is empty"


def test_a_record_cannot_be_changed() -> None:
    """So it stays valid."""
    record = an_execution()
    with pytest.raises(AttributeError):
        record.agent_name = ""  # type: ignore[misc]


def test_totals_and_units_are_computed() -> None:
    """Milliseconds are whole if possible, dollars are exact, and the total counts every kind of token."""
    record = an_execution(
        duration_us=3_456_789,
        input_tokens=1,
        output_tokens=20,
        cache_read_tokens=300,
        cache_write_5m_tokens=4000,
        cache_write_1h_tokens=50_000,
        cost_nanousd=1,
        workflow_id="flow",
    )
    assert (record.execution_time_ms, an_execution(duration_us=3_456_000).execution_time_ms) == (3456.789, 3456)
    assert isinstance(an_execution(duration_us=3_456_000).execution_time_ms, int)
    assert (record.total_tokens, record.estimated_cost, record.workflow_name) == (54_321, 1e-9, "flow")


def test_an_unknown_value_is_none_and_never_zero() -> None:
    """Without a usage there is no total, without a duration no milliseconds, without a price no cost."""
    record = an_execution(
        duration_us=None, input_tokens=None, output_tokens=None, cost_nanousd=None, reference_cost_nanousd=None
    )
    found = (record.execution_time_ms, record.total_tokens, record.estimated_cost, record.reference_cost)
    assert found == (None, None, None, None)


@pytest.mark.parametrize("nanousd", [1, 999, 123_456_789, COST_LIMIT_NANOUSD - 1, 4_000_000 * 10**9 - 1])
def test_dollars_convert_back_to_the_same_nano_dollars(nanousd: int) -> None:
    """Up to four million dollars, no nano-dollar is lost."""
    assert round((dollars(nanousd) or 0) * 10**9) == nanousd


@pytest.mark.parametrize("instant", [0, NOON_US, LATEST_US - 1])
def test_a_fresh_uid_is_a_version_7_uuid(instant: int) -> None:
    """It begins with the milliseconds; two uids of one instant differ."""
    uid = fresh_uid(instant)
    assert (UUID(uid).version, UUID(uid).int >> 80) == (7, instant // 1000)
    assert UUID(uid).variant == "specified in RFC 4122"
    assert uid != fresh_uid(instant)
    assert identity_text(identity_bytes(uid)) == uid
    assert an_execution(timestamp_us=instant, uid=uid).uid == uid


def test_a_content_uid_depends_on_instant_content_and_ordinal() -> None:
    """The same line has the same uid everywhere; the second of two equal lines has another."""
    uid = content_uid(NOON_US, b"digest", 0)
    assert uid == content_uid(NOON_US, b"digest", 0)
    others = {
        content_uid(NOON_US, b"digest", 1),
        content_uid(NOON_US, b"other", 0),
        content_uid(NOON_US + 1000, b"digest", 0),
    }
    assert len(others | {uid}) == 4
    assert (UUID(uid).version, UUID(uid).variant) == (8, "specified in RFC 4122")


def test_uids_sort_by_time() -> None:
    """As text and as bytes, so that new rows go to the end of the index."""
    uids = [fresh_uid(NOON_US + 1000 * step) for step in range(50)]
    assert sorted(uids) == uids
    assert sorted(map(identity_bytes, uids)) == [identity_bytes(uid) for uid in uids]


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-3-haiku-20240307", "haiku"),
        ("claude-3-5-haiku-20241022", "haiku"),
        ("claude-3-7-sonnet-latest", "sonnet"),
        ("claude-sonnet-4-5", "sonnet"),
        ("claude-opus-4-1-20250805", "opus"),
        ("claude-fable-5", "fable"),
        ("anthropic/claude-3.5-sonnet", "sonnet"),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "sonnet"),
        ("CLAUDE-3-OPUS", "opus"),
        ("gpt-4o", "gpt-4o"),
        ("claude", "claude"),
        ("unknown", "unknown"),
    ],
)
def test_a_family_is_found_anywhere_in_a_name(model: str, family: str) -> None:
    """In old and new names of every cloud. Another model is its own family."""
    assert model_family(model) == family


def test_a_task_hash_is_the_same_as_in_claude_force_1_3() -> None:
    """Eight digits of the MD5, also for text with a lone surrogate."""
    assert task_hash("Review the code") == "dde0b150"
    assert len(task_hash("a\ud800")) == 8


def test_the_mapping_has_every_field() -> None:
    """as_mapping and the constructor are inverse."""
    record = an_execution(workflow_id="flow")
    assert tuple(as_mapping(record)) == FIELDS
    assert ExecutionMetrics(**as_mapping(record)) == record
