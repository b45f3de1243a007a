"""Lines of transcripts to entries: what is decoded, what counts as absent, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest

from claude_force.errors import InvalidRecord
from claude_force.ingest.transcripts.entries import (
    Block,
    Entry,
    blocks_of,
    decode_entry,
    plain_text,
    progress_of,
    task_calls_of,
    task_result_of,
    text_of,
)


def raw(value: Any) -> msgspec.Raw:
    """A value as it stands in a line."""
    return msgspec.Raw(orjson.dumps(value))


def entry(**fields: Any) -> Entry:
    """The entry of a line with these fields."""
    return decode_entry(orjson.dumps(fields))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"uuid": "\xff"}', "not valid JSON"),
        (b"[]", "expected a JSON object, got"),
        (b"7", "expected a JSON object, got"),
        (b"null", "expected a JSON object, got"),
        (b'{"uuid": 1, "data": "\\x"}', "not valid JSON"),
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"message": {"usage": {"input_tokens": "3"}}}', "usage"),
        (b'{"message": {"usage": {"input_tokens": 3.5}}}', "usage"),
        (b'{"message": {"usage": {"cache_creation": {"ephemeral_5m_input_tokens": true}}}}', "usage"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused(line: bytes, reason: str) -> None:
    """With the reason: what is no JSON object, and counts that are no whole numbers."""
    with pytest.raises(InvalidRecord, match=reason):
        decode_entry(line)


def test_the_fields_of_a_line() -> None:
    """Names are those of Claude Code; what is not there is None, and a stop reason of null is told from none at all."""
    found = entry(type="assistant", parentUuid="p", isSidechain=True, costUSD=0.5, message={"stop_reason": None})
    assert (found.type, found.parent_uuid, found.is_sidechain, found.cost_usd) == ("assistant", "p", True, 0.5)
    assert (found.uuid, found.timestamp) == (None, None)
    assert found.message is not None
    assert found.message.stop_reason is None
    without = entry(message={}).message
    assert without is not None
    assert without.stop_reason is msgspec.UNSET


@pytest.mark.parametrize(
    ("field", "value"),
    [("uuid", 5), ("isSidechain", "yes"), ("timestamp", {}), ("costUSD", "free"), ("sessionId", [1]), ("message", "x")],
)
def test_a_field_of_another_kind_counts_as_absent(field: str, value: object) -> None:
    """And the others of the line are kept."""
    expected = entry(cwd="/srv", type="assistant")
    assert entry(cwd="/srv", type="assistant", **{field: value}) == expected


def test_the_rest_of_a_message_is_kept() -> None:
    """Where one of its fields is of another kind; a stop reason of null is one all the same, and words of the usage may
    be anything."""
    found = entry(
        uuid=1,
        message={
            "id": 7,
            "model": "m",
            "stop_reason": None,
            "content": [{"type": "text", "text": "a"}],
            "usage": {"input_tokens": 3, "output_tokens": 4, "service_tier": 5, "speed": None},
        },
    ).message
    assert found is not None
    assert found.usage is not None
    assert (found.id, found.model, found.stop_reason) == (None, "m", None)
    assert text_of(blocks_of(found.content)) == "a"
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.service_tier) == (3, 4, None)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"a\ud83d", "a\ufffd"),
        (rb"\ude00b", "\ufffdb"),
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"\\ud83d", "\\ud83d"),
        (rb"\ud83d\\ud83d", "\ufffd\\ud83d"),
    ],
)
def test_half_a_character_is_replaced(written: bytes, read: str) -> None:
    """As JavaScript leaves it where it cuts a text; what only looks like one stays."""
    assert decode_entry(b'{"uuid": "' + written + b'"}').uuid == read


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        ([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "thinking", "text": "hidden"}], ""),
        ([], ""),
        (5, ""),
        ([{"type": 5}], ""),
        ({"type": "text"}, ""),
    ],
)
def test_the_text_of_a_content(content: object, text: str) -> None:
    """Its text blocks, a line each; of what is of no known kind there is none."""
    assert text_of(blocks_of(raw(content))) == text


def test_an_absent_content_has_no_blocks() -> None:
    """As one that is broken."""
    assert blocks_of(msgspec.Raw(b"")) == blocks_of(msgspec.Raw(b"{")) == []


@pytest.mark.parametrize(
    ("value", "text"), [(raw("a"), "a"), (raw(5), None), (raw(None), None), (msgspec.Raw(b""), None)]
)
def test_plain_text(value: msgspec.Raw, text: str | None) -> None:
    """Only of what is text."""
    assert plain_text(value) == text


@pytest.mark.parametrize("result", [{}, {"agentId": ""}, {"agentId": 5}, "text", 5, None, {"agentId": "a", "usage": 1}])
def test_a_result_that_is_of_no_agent(result: object) -> None:
    """Results of other tools, and what cannot be one of an agent, are none."""
    assert task_result_of(raw(result)) is None


def test_a_result_of_an_agent() -> None:
    """Its id, type and sums."""
    found = task_result_of(
        raw({"agentId": "a1", "agentType": "Explore", "totalTokens": 9, "usage": {"input_tokens": 1}})
    )
    assert found is not None
    assert found.usage is not None
    assert (found.agent_id, found.agent_type, found.total_tokens, found.usage.input_tokens) == ("a1", "Explore", 9, 1)


def test_the_calls_that_start_agents() -> None:
    """Those tool calls that have a type and a prompt; text has none."""
    calls = [
        {"type": "tool_use", "input": {"subagent_type": "Explore", "prompt": "Look"}},
        {"type": "tool_use", "input": {"subagent_type": "Explore"}},
        {"type": "tool_use", "input": {"prompt": "Look"}},
        {"type": "tool_use", "input": {"subagent_type": 5, "prompt": "Look"}},
        {"type": "tool_use", "input": "ls"},
        {"type": "text", "input": {"subagent_type": "Explore", "prompt": "Look"}},
    ]
    assert [(call.subagent_type, call.prompt) for call in task_calls_of(blocks_of(raw(calls)))] == [("Explore", "Look")]
    assert task_calls_of("text") == []
    assert task_calls_of([Block("tool_use")]) == []


def test_the_progress_of_an_agent() -> None:
    """Is an entry of the agent, with what the line around it says where it says nothing itself."""
    inner = {"type": "assistant", "uuid": "i", "cwd": "/own"}
    line = entry(
        type="progress",
        sessionId="s",
        cwd="/outer",
        timestamp="t",
        data={"type": "agent_progress", "agentId": "a1", "message": inner},
    )
    found = progress_of(line)
    assert found is not None
    assert (found.type, found.uuid, found.cwd) == ("assistant", "i", "/own")
    assert (found.session_id, found.timestamp, found.agent_id, found.is_sidechain) == ("s", "t", "a1", True)


@pytest.mark.parametrize(
    "data", [None, "x", {}, {"type": "hook_progress", "message": {}}, {"type": "agent_progress"}, {"type": 5}]
)
def test_other_progress_is_none(data: object) -> None:
    """Of hooks, for example."""
    assert progress_of(entry(type="progress", data=data)) is None


def test_the_progress_of_an_agent_is_held_to_the_same_rules() -> None:
    """Counts that are no numbers are refused within it too."""
    message = {"message": {"usage": {"output_tokens": "many"}}}
    with pytest.raises(InvalidRecord, match="usage"):
        progress_of(entry(data={"type": "agent_progress", "message": message}))
