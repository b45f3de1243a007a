"""Decode the lines of Claude Code's transcripts.

Only the fields that metrics need are decoded; texts are skipped and never kept. The format is internal to Claude Code
and may change with any release. So a field of an unexpected type counts as absent, unless it counts tokens: then the
line is rejected, because no number may be made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
import orjson

from claude_force.errors import InvalidJson, InvalidRecord
from claude_force.executions.jsonl.damaged_lines import RecordKind, split_damaged
from claude_force.executions.record import task_hash
from claude_force.text import kind_of

_HIGH, _LOW, _BACKSLASH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}", rb"\\\\"
_LONE_SURROGATES = re.compile(rb"(%b|%b%b)|%b|%b" % (_BACKSLASH, _HIGH, _LOW, _HIGH, _LOW))
"""A lone surrogate, which JavaScript writes when it cuts a character in two and no JSON decoder accepts. The group
matches what only looks like one: an escaped backslash, or a whole pair."""

_FREE_FORM = frozenset((b"data", b"input", b"toolUseResult"))
"""Fields that may hold any object. In `content` it is the `content` of a tool's result."""

T = TypeVar("T", bound=msgspec.Struct)

_NOTHING = msgspec.Raw(b"")


class CacheCreation(msgspec.Struct, gc=False):
    """Cache writes by lifetime."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class ServerTools(msgspec.Struct, gc=False):
    """Tools that the server ran."""

    web_search_requests: int | None = None


class Usage(msgspec.Struct, gc=False):
    """The usage of a response as this line has it. `input_tokens` does not include cached tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    server_tool_use: ServerTools | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    iterations: msgspec.Raw = _NOTHING


class StepUsage(Usage, gc=False):
    """A billed step of a response: `usage.iterations`."""

    type: str | None = None
    model: str | None = None


class StopDetails(msgspec.Struct, gc=False):
    """Why a response stopped: the category of a refusal."""

    category: str | None = None


class Message(msgspec.Struct, gc=False):
    """A message of the conversation. `stop_reason` is UNSET if the line has no such field, None if it is null."""

    id: str | None = None
    model: str | None = None
    content: msgspec.Raw = _NOTHING
    stop_reason: str | msgspec.UnsetType | None = msgspec.UNSET
    stop_details: StopDetails | None = None
    usage: Usage | None = None


class Entry(msgspec.Struct, rename="camel", gc=False):
    """One line. Fields with text stay raw bytes; they are decoded only where a prompt or a report is expected."""

    type: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    timestamp: str | None = None
    session_id: str | None = None
    cwd: str | None = None
    is_sidechain: bool | None = None
    is_meta: bool | None = None
    is_compact_summary: bool | None = None
    is_api_error_message: bool | None = None
    agent_id: str | None = None
    attribution_agent: str | None = None
    request_id: str | None = None
    prompt_id: str | None = None
    audit_timestamp: str | None = msgspec.field(default=None, name="_audit_timestamp")
    git_branch: str | None = None
    subtype: str | None = None
    api_refusal_category: str | None = None
    cost_usd: float | None = msgspec.field(default=None, name="costUSD")
    total_cost_usd: float | None = msgspec.field(default=None, name="totalCostUSD")
    has_unknown_model_cost: bool | None = None
    message: Message | None = None
    tool_use_result: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING
    content: msgspec.Raw = _NOTHING
    data: msgspec.Raw = _NOTHING
    model_usage: msgspec.Raw = _NOTHING
    start_time: msgspec.Raw = _NOTHING


class Block(msgspec.Struct, gc=False):
    """A block of a message's content. `input` is that of a tool call."""

    type: str | None = None
    text: str | None = None
    name: str | None = None
    input: msgspec.Raw = _NOTHING


class TaskCall(msgspec.Struct, gc=False):
    """The input of the tool call that starts a sub-agent."""

    prompt: str | None = None
    subagent_type: str | None = None


class TaskResult(msgspec.Struct, rename="camel", gc=False):
    """The result of a sub-agent that was started or ended, or of a workflow that was started (`run_id`). `usage` is the
    final one of the sub-agent's last response, `total_tokens` its sum; of `prompt` only the hash is kept."""

    agent_id: str | None = None
    run_id: str | None = None
    agent_type: str | None = None
    prompt: str | None = None
    total_tokens: int | None = None
    total_duration_ms: int | None = None
    usage: Usage | None = None


class Progress(msgspec.Struct, gc=False):
    """A line of a sub-agent, which older versions also wrote into the transcript of its session."""

    type: str | None = None
    message: msgspec.Raw = _NOTHING
    agent_id: str | None = msgspec.field(default=None, name="agentId")


decode_usual = msgspec.json.Decoder(Entry).decode
"""The entry of a line in which every field is of its type. Raises one of NOT_USUAL for any other, which `decode_entry`
may decode."""

NOT_USUAL = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What `decode_usual` raises."""

_content: msgspec.json.Decoder[str | list[Block]] = msgspec.json.Decoder(str | list[Block])
_decode_steps = msgspec.json.Decoder(list[StepUsage]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_result = msgspec.json.Decoder(TaskResult).decode
_decode_call = msgspec.json.Decoder(TaskCall).decode
_decode_progress = msgspec.json.Decoder(Progress).decode


def decode_entry(line: bytes) -> Entry:
    """The entry of a line. Raises InvalidRecord if it is not a JSON object, or a token count is not a whole number;
    InvalidJson if it is not JSON."""
    try:
        return decode_usual(line)
    except msgspec.ValidationError:
        return _decode_leniently(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        valid = without_lone_surrogates(line)
        if valid != line:
            return decode_entry(valid)
        raise InvalidJson(f"not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidJson("nested too deeply") from None


def _is_entry(data: bytes) -> bool:
    try:
        entry = decode_entry(data)
    except InvalidRecord:
        return False
    return bool(entry.type and entry.session_id)


def _may_end_in_entry(path: Sequence[bytes]) -> bool:
    return _FREE_FORM.isdisjoint(path) and path.count(b"content") < 2


ENTRY = RecordKind(_is_entry, _may_end_in_entry)
"""Entries, on damaged lines. Only what tools are given and return may have another entry within."""


def entries_on(line: bytes) -> Iterator[Entry]:
    """The entries on a line that can be decoded, also on a damaged one."""
    try:
        yield decode_entry(line)
    except InvalidJson:
        for part in split_damaged(line, ENTRY):
            with suppress(InvalidRecord):
                yield decode_entry(line[part.start : part.end])
    except InvalidRecord:
        return


def _decode_leniently(line: bytes) -> Entry:
    """The entry of a line in which a field has an unexpected type."""
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"not valid JSON: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(data, dict):
        raise InvalidRecord("", f"expected a JSON object, got {kind_of(data)}")
    message = data.pop("message", None)
    entry = fitting(data, Entry)
    if isinstance(message, dict):
        usage = message.pop("usage", None)
        entry.message = fitting(message, Message)
        if isinstance(usage, dict):
            entry.message.usage = _usage(usage)
    return entry


def without_lone_surrogates(line: bytes) -> bytes:
    """A line with the replacement character for each half of a surrogate pair."""
    return _LONE_SURROGATES.sub(lambda match: match[1] or b"\\ufffd", line)


def fitting(data: dict[str, Any], kind: type[T]) -> T:
    """A struct of the values that have the expected type."""
    found = kind()
    for field in msgspec.structs.fields(kind):
        value = data.get(field.encode_name)
        if value is None:
            continue
        try:
            if field.type is msgspec.Raw:
                setattr(found, field.name, msgspec.Raw(orjson.dumps(value)))
            else:
                setattr(found, field.name, msgspec.convert(value, field.type))
        except (msgspec.ValidationError, orjson.JSONEncodeError):
            continue
    if "stop_reason" in data and isinstance(found, Message) and found.stop_reason is msgspec.UNSET:
        found.stop_reason = None
    return found


def _usage(data: dict[str, Any]) -> Usage:
    for name in ("service_tier", "speed", "inference_geo"):
        if not isinstance(data.get(name), str):
            data.pop(name, None)
    iterations = data.pop("iterations", None)
    try:
        found = msgspec.convert(data, Usage)
    except msgspec.ValidationError as error:
        raise InvalidRecord("usage", str(error)) from None
    found.iterations = msgspec.Raw(orjson.dumps(iterations))
    return found


def single_step_of(raw: msgspec.Raw) -> StepUsage | None:
    """The step of a response that lists one, as nearly all do; None for any other."""
    try:
        steps = _decode_steps(raw)
    except msgspec.DecodeError:
        return None
    return steps[0] if len(steps) == 1 else None


def blocks_of(content: msgspec.Raw) -> str | list[Block]:
    """The content of a message: text, or blocks; no blocks if it is neither."""
    if not bytes(content):
        return []
    try:
        return _content.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def text_of(content: str | list[Block]) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if block.type == "text" and block.text)


def prompt_hash(entry: Entry) -> str | None:
    """The task hash of a prompt; None if the entry is no prompt but the result of a tool."""
    content = blocks_of(entry.message.content) if entry.message is not None else []
    if isinstance(content, list) and any(block.type == "tool_result" for block in content):
        return None
    text = text_of(content)
    return task_hash(text) if text or content else None


def plain_text(raw: msgspec.Raw) -> str | None:
    """A raw value if it is text, else None."""
    try:
        return _decode_text(raw) if bytes(raw) else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def task_result_of(raw: msgspec.Raw) -> TaskResult | None:
    """The result of a sub-agent or a workflow; None for the result of another tool."""
    try:
        found = _decode_result(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.agent_id or found.run_id else None


def task_calls_of(content: str | list[Block]) -> list[TaskCall]:
    """The tool calls in a message's content that start sub-agents."""
    found: list[TaskCall] = []
    for block in content if isinstance(content, list) else []:
        if block.type != "tool_use":
            continue
        try:
            call = _decode_call(block.input)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if call.subagent_type and call.prompt:
            found.append(call)
    return found


def progress_of(entry: Entry) -> Entry | None:
    """The entry of a sub-agent inside a progress line; None for other progress. Raises InvalidRecord like
    `decode_entry`."""
    try:
        progress = _decode_progress(entry.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if progress.type != "agent_progress" or not bytes(progress.message):
        return None
    inner = decode_entry(bytes(progress.message))
    inner.agent_id = inner.agent_id or progress.agent_id
    inner.session_id = inner.session_id or entry.session_id
    inner.cwd = inner.cwd or entry.cwd
    inner.timestamp = inner.timestamp or entry.timestamp
    inner.is_sidechain = True
    return inner
