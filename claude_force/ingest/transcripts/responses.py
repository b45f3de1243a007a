"""Entries of one transcript to responses: what belongs to one response, whose it is, and what it answers.

A response spans several lines, each with the usage as far as that line knew it; it counts once, with the largest. What
it is known by:

- message id and request id, where there is a request id;
- else message id, instant and prompt tokens of its first line. A copy keeps all three, whatever else it changes, and
  two responses behind a gateway that repeats a message id never share them. Its further lines are those that follow it
  in the chain of parents.

A replay of a main conversation in that of a sub-agent keeps nothing but the message id and what was said, so each
response is also known by session, side, message id and a hash of its first line's content, as long as that is one
response alone.

Nothing here knows a file or a database. The state between two lines fits on a page, so that reading can go on later.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from functools import lru_cache
from typing import TypeVar

import msgspec

from claude_force.clock import DAY_US, SECOND_US, parse_instant
from claude_force.errors import InvalidRecord
from claude_force.executions.deduplication import LONGEST_PAUSE_US, ReportedUsage
from claude_force.executions.record import (
    DURATION_LIMIT_US,
    NAME_LIMIT,
    PROJECT_LIMIT,
    TOKENS_LIMIT,
    UNKNOWN,
    task_hash,
)
from claude_force.ingest.transcripts.entries import (
    Entry,
    Message,
    TaskResult,
    Usage,
    blocks_of,
    plain_text,
    progress_of,
    task_calls_of,
    task_result_of,
    text_of,
)

K = TypeVar("K")
V = TypeVar("V")

MAIN = "main"
SUBAGENT = "subagent"
"""The name of a sub-agent whose type no record tells."""

SYNTHETIC = "<synthetic>"
"""The model of what Claude Code itself wrote in the place of a response."""

REMEMBERED = 16
"""So many of the latest entries are remembered as what a response may answer, or belong to."""

NO_REQUEST = "not a model's response (synthetic)"
NO_MESSAGE = "a response without a message"
NO_ENTRY = "not an entry of a transcript"
"""What is left out, by its reason."""

_LONGEST_UUID = 64
_REPORT_TAIL = 2000
"""Characters at the end of a notification that hold what was spent; before them stands what the agent said."""

_TASK_ID = re.compile(r"<task-id>([\w.:-]{1,100})</task-id>")
_SPENT = re.compile(r"<(?:subagent|total)_tokens>(\d{1,9})</(?:subagent|total)_tokens>")
_TOOK = re.compile(r"<duration_ms>(\d{1,12})</duration_ms>")
_WORD = re.compile(r"[\w.:-]{1,100}")
_STATUS = re.compile(r"API Error: (\d{3})")
_KIND = re.compile(r'"type"\s*:\s*"(\w{1,60}_error)"')
_PHRASES = (("timed out", "timeout"), ("limit reached", "rate_limit"), ("hit your", "rate_limit"))


@dataclass(slots=True)
class Run:
    """What responses are part of: a prompt's turn, or a sub-agent's run."""

    run_id: str | None
    agent_name: str
    task_hash: str | None


@dataclass(slots=True)
class Response:
    """One response, as far as it was read. `asked_us` is the instant of the entry that it answers, `content` a hash of
    what its first line says. `from_us` is where it ended when it was handed over before; None where these are
    its first lines."""

    message_id: str
    request_id: str | None
    identity: bytes
    content: bytes
    first_us: int
    last_us: int
    asked_us: int | None
    model: str
    usage: Usage
    is_final: bool
    is_sidechain: bool
    session_id: str | None
    project: str | None
    run: Run
    agent_name: str
    error_type: str | None
    cost_usd: float | None
    line: int
    from_us: int | None = None

    def take(self, entry: Entry, message: Message, instant: int) -> None:
        """Take in a further line: the usage that is final, or larger, and the end."""
        if 0 < instant - self.last_us <= LONGEST_PAUSE_US:
            self.last_us = instant
        if self.agent_name == SUBAGENT:
            self.agent_name = _name(entry.attribution_agent) or SUBAGENT
        usage, is_final = message.usage or Usage(), _is_final(entry, message)
        if _rank(usage, is_final) > _rank(self.usage, self.is_final):
            self.usage, self.is_final = usage, is_final
        self.cost_usd = self.cost_usd if entry.cost_usd is None else entry.cost_usd


class State(msgspec.Struct):
    """What is remembered between two lines. `entries` are the latest: uuid, instant and place in `runs`; `chains` the
    latest lines of responses without a request id: uuid, identity, and what is the same on all lines of a response;
    `agents` the runs of sub-agents; `taken_out` the latest responses that were handed over, with their ends."""

    entries: list[tuple[str, int, int]] = []
    runs: list[tuple[str | None, str, str | None]] = []
    main: int = -1
    side: int = -1
    chains: list[tuple[str, str, str]] = []
    called: list[tuple[str, str]] = []
    agents: list[tuple[str, int]] = []
    taken_out: list[tuple[str, int]] = []


@dataclass(frozen=True, slots=True)
class TranscriptContext:
    """Where a transcript stands. `agent_id` is that of a sub-agent's own file, `workflow_id` that of the workflow that
    it runs in, if it does. `agent_of` tells the type of a sub-agent by its id, the hash of its prompt, and the session;
    None where nothing tells."""

    session_id: str | None = None
    agent_id: str | None = None
    workflow_id: str | None = None
    agent_of: Callable[[str | None, str | None, str | None], str | None] = lambda _agent, _prompt, _session: None


@dataclass(slots=True)
class Reader:
    """Reads the entries of one transcript in their order; what is done is taken out with `take_out`."""

    place: TranscriptContext
    state: State = field(default_factory=State)
    skipped: dict[str, int] = field(default_factory=dict)
    reports: list[ReportedUsage] = field(default_factory=list)
    _open: dict[bytes, Response] = field(default_factory=dict)
    _requests: dict[tuple[str | None, str], Response] = field(default_factory=dict)
    _entries: dict[str, tuple[int, int]] = field(default_factory=dict)
    _runs: list[Run] = field(default_factory=list)
    _chains: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    _called: dict[str, str] = field(default_factory=dict)
    _agents: dict[str, int] = field(default_factory=dict)
    _taken_out: dict[bytes, int] = field(default_factory=dict)
    _main: int = -1
    _side: int = -1

    def __post_init__(self) -> None:
        state = self.state
        self._runs = [Run(*run) for run in state.runs]
        self._entries = {uuid: (instant, run) for uuid, instant, run in state.entries}
        self._chains = {
            uuid: (bytes.fromhex(identity), bytes.fromhex(prompt)) for uuid, identity, prompt in state.chains
        }
        self._called, self._agents = dict(state.called), dict(state.agents)
        self._taken_out = {bytes.fromhex(identity): last_us for identity, last_us in state.taken_out}
        self._main, self._side = state.main, state.side

    def read(self, entry: Entry, line: int) -> None:
        """Take in the next entry. Raises InvalidRecord for a response that cannot be recorded."""
        if entry.type == "progress":
            inner = progress_of(entry)
            if inner is not None and inner.type != "progress":
                self.read(inner, line)
        instant = _instant(entry)
        run = self._run_of(entry)
        if _is_response(entry):
            self._respond(entry, line, instant, run)
        elif entry.type == "assistant":
            self._skip(NO_MESSAGE)
        elif entry.type is None and entry.message is None:
            self._skip(NO_ENTRY)
        elif entry.type == "user":
            run = self._take_prompt(entry, run)
            self._take_result(entry, instant)
        elif entry.type == "queue-operation":
            self._take_notification(plain_text(entry.content), instant)
        if entry.uuid and len(entry.uuid) <= _LONGEST_UUID and instant is not None:
            _remember(self._entries, entry.uuid, (instant, run))

    def take_out(self) -> list[Response]:
        """The responses read since the last time, in their order. Further lines of them come as responses of the same
        identity."""
        found = list(self._open.values())
        for response in found:
            response.from_us = self._taken_out.get(response.identity)
            _remember(self._taken_out, response.identity, max(response.last_us, response.from_us or 0))
        self._open.clear()
        self._requests.clear()
        return found

    def saved(self) -> State:
        """What must be remembered to read on later."""
        agents = dict(list(self._agents.items())[-REMEMBERED:])
        runs = {run for _, run in self._entries.values()} | {self._main, self._side} | set(agents.values())
        used = sorted(runs - {-1})
        places = {run: place for place, run in enumerate(used)}
        kept = [self._runs[run] for run in used]
        return State(
            [(uuid, instant, places.get(run, -1)) for uuid, (instant, run) in self._entries.items()],
            [(run.run_id, run.agent_name, run.task_hash) for run in kept],
            places.get(self._main, -1),
            places.get(self._side, -1),
            [(uuid, identity.hex(), prompt.hex()) for uuid, (identity, prompt) in self._chains.items()],
            list(self._called.items()),
            [(agent_id, places[run]) for agent_id, run in agents.items()],
            [(identity.hex(), last_us) for identity, last_us in self._taken_out.items()],
        )

    def _skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def _run_of(self, entry: Entry) -> int:
        """The place of the run that an entry is part of; -1 before the first prompt."""
        agent_id = self.place.agent_id or (entry.agent_id if entry.is_sidechain else None)
        if agent_id is not None:
            return self._run_of_agent(agent_id, entry)
        known = self._entries.get(entry.parent_uuid or "")
        if known is not None and known[1] >= 0:
            return known[1]
        if entry.is_sidechain:
            return self._side
        return self._main

    def _run_of_agent(self, agent_id: str, entry: Entry) -> int:
        prompt = _prompt_hash(entry) if entry.type == "user" and not bytes(entry.tool_use_result) else None
        number = self._agents.get(agent_id)
        if number is None:
            self._runs.append(Run(_name(agent_id), self._agent_name(agent_id, prompt, entry), prompt))
            number = self._agents[agent_id] = len(self._runs) - 1
        elif self._runs[number].task_hash is None and prompt is not None:
            self._runs[number].task_hash = prompt
            self._runs[number].agent_name = self._agent_name(agent_id, prompt, entry)
        return number

    def _agent_name(self, agent_id: str | None, prompt: str | None, entry: Entry) -> str:
        called = self._called.get(prompt or "")
        return _name(called or self.place.agent_of(agent_id, prompt, entry.session_id)) or SUBAGENT

    def _take_prompt(self, entry: Entry, run: int) -> int:
        """The run that a user's entry begins, if it is a prompt; else the one that it is part of."""
        is_agents = self.place.agent_id is not None or (entry.is_sidechain and entry.agent_id)
        if is_agents or entry.is_meta or entry.is_compact_summary or bytes(entry.tool_use_result):
            return run
        if entry.is_sidechain and entry.parent_uuid is not None and run >= 0:
            return run
        prompt = _prompt_hash(entry)
        if prompt is None:
            return run
        name = self._agent_name(None, prompt, entry) if entry.is_sidechain else MAIN
        self._runs.append(Run(_name(entry.prompt_id or entry.uuid), name, prompt))
        if entry.is_sidechain:
            self._side = len(self._runs) - 1
        else:
            self._main = len(self._runs) - 1
        return len(self._runs) - 1

    def _take_result(self, entry: Entry, instant: int | None) -> None:
        """Note what a user's entry tells of a sub-agent that ended."""
        raw = bytes(entry.tool_use_result)
        if b'"totalTokens"' in raw:
            found = task_result_of(entry.tool_use_result)
            if found is not None and instant is not None:
                self.reports += _report_of(found, instant)
        elif entry.message is not None and b"<task-notification>" in bytes(entry.message.content):
            self._take_notification(text_of(blocks_of(entry.message.content)), instant)

    def _take_notification(self, text: str | None, instant: int | None) -> None:
        if text is None or instant is None or "<task-notification>" not in text:
            return
        task, end = _TASK_ID.search(text), text[-_REPORT_TAIL:]
        spent, took = _SPENT.findall(end), _TOOK.findall(end)
        if task and spent:
            since = _since(instant, int(took[-1]) if took else None)
            self.reports.append(ReportedUsage(task[1], "task_notification", instant, since, int(spent[-1])))

    def _respond(self, entry: Entry, line: int, instant: int | None, run: int) -> None:
        message = entry.message
        assert message is not None
        if message.model == SYNTHETIC and not entry.is_api_error_message:
            self._skip(NO_REQUEST)
            return
        if instant is None:
            reason = "is missing" if entry.timestamp is None else "not an ISO 8601 date and time"
            raise InvalidRecord("timestamp", reason)
        content = blocks_of(message.content) if b'"subagent_type"' in bytes(message.content) else []
        for call in task_calls_of(content):
            _remember(self._called, task_hash(call.prompt or ""), _name(call.subagent_type) or SUBAGENT)
        known = self._requests.get((message.id, entry.request_id)) if entry.request_id else None
        if known is None:
            identity = self._identity(entry, message, instant)
            known = self._open.get(identity)
        if known is not None:
            known.take(entry, message, instant)
            return
        found = self._open[identity] = self._response(entry, message, identity, line, instant, run)
        if entry.request_id:
            self._requests[message.id, entry.request_id] = found

    def _response(
        self, entry: Entry, message: Message, identity: bytes, line: int, instant: int, place: int
    ) -> Response:
        is_sidechain = bool(entry.is_sidechain or self.place.agent_id)
        run = self._runs[place] if place >= 0 else Run(None, SUBAGENT if is_sidechain else MAIN, None)
        asked = self._entries.get(entry.parent_uuid or "")
        is_error = bool(entry.is_api_error_message)
        return Response(
            message_id=message.id or "",
            request_id=entry.request_id,
            identity=identity,
            content=digest(bytes(message.content)),
            first_us=instant,
            last_us=instant,
            asked_us=asked[0] if asked else None,
            model=(None if message.model == SYNTHETIC else _name(message.model)) or UNKNOWN,
            usage=message.usage or Usage(),
            is_final=_is_final(entry, message),
            is_sidechain=is_sidechain,
            session_id=_name(entry.session_id or self.place.session_id),
            project=_name(entry.cwd, PROJECT_LIMIT),
            run=run,
            agent_name=_name(entry.attribution_agent) or run.agent_name,
            error_type=_error_of(entry, message) if is_error else None,
            cost_usd=entry.cost_usd,
            line=line,
        )

    def _identity(self, entry: Entry, message: Message, instant: int) -> bytes:
        """What the response of a line is known by: sixteen bytes. These must never change."""
        if entry.request_id:
            return digest("request", message.id, entry.request_id)
        prompt = _prompt_of(message)
        identity, of_parent = self._chains.get(entry.parent_uuid or "", (b"", b""))
        if not (message.id and of_parent == prompt):
            identity = digest("moment", message.id or entry.uuid, instant, _prompt_tokens(message.usage or Usage()))
        if entry.uuid and len(entry.uuid) <= _LONGEST_UUID:
            _remember(self._chains, entry.uuid, (identity, prompt))
        return identity


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """Put something last among what is remembered, and forget what was first when it is too much."""
    known.pop(key, None)
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]


def digest(*parts: object) -> bytes:
    """Sixteen bytes that stand for some values."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def side_of(response: Response, *, is_sidechain: bool) -> bytes | None:
    """What a response would be known by on one side of its session; None where only real requests are told apart."""
    if not (response.request_id and response.message_id and response.session_id):
        return None
    return digest("side", response.session_id, response.message_id, response.content, is_sidechain)


def _is_final(entry: Entry, message: Message) -> bool:
    """Whether a line knows the final usage. One that has no reason to stop at all, not even none, says nothing else."""
    return bool(entry.is_api_error_message) or message.stop_reason is not None


def _is_response(entry: Entry) -> bool:
    if entry.message is None or entry.type not in ("assistant", None):
        return False
    return entry.type == "assistant" or entry.message.usage is not None


def _instant(entry: Entry) -> int | None:
    try:
        return parse_instant(entry.timestamp, UTC) if entry.timestamp else None
    except ValueError:
        return None


def _report_of(found: TaskResult, instant: int) -> list[ReportedUsage]:
    """What the result of a task reports; nothing where its numbers cannot be."""
    usage, tokens = found.usage, [found.total_tokens or 0]
    if usage is not None and None not in (usage.input_tokens, usage.output_tokens):
        tokens += [_prompt_tokens(usage), usage.output_tokens or 0]
    if not _WORD.fullmatch(found.agent_id or "") or not all(0 < count <= TOKENS_LIMIT for count in tokens):
        return []
    since = _since(instant, found.total_duration_ms)
    return [ReportedUsage(found.agent_id or "", "task_result", instant, since, *tokens)]


def _since(until_us: int, duration_ms: int | None) -> int:
    """From when on the run of a report may have responded."""
    known = duration_ms is not None and 0 <= duration_ms * 1000 <= DURATION_LIMIT_US
    spent_us = (duration_ms or 0) * 1000 if known else DAY_US
    return max(until_us - spent_us - 600 * SECOND_US, 0)


def _rank(usage: Usage, is_final: bool) -> tuple[bool, bool, int, int]:
    """By what usages of one response are compared: known, final, large (see `observation`)."""
    is_known = None not in (usage.input_tokens, usage.output_tokens)
    return is_known, is_final, usage.output_tokens or 0, _prompt_tokens(usage)


def _prompt_tokens(usage: Usage) -> int:
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return (usage.input_tokens or 0) + cached


def _prompt_of(message: Message) -> bytes:
    """What is the same on all lines of a response."""
    return digest(message.id, _prompt_tokens(message.usage or Usage()))


def _prompt_hash(entry: Entry) -> str | None:
    """The hash of a prompt; None where the entry is none, but the result of a tool."""
    content = blocks_of(entry.message.content) if entry.message is not None else []
    if isinstance(content, list) and any(block.type == "tool_result" for block in content):
        return None
    text = text_of(content)
    return task_hash(text) if text or content else None


def _error_of(entry: Entry, message: Message) -> str:
    """The kind of an API error: in its own words where it has some, else what the message says. The message itself is
    not kept."""
    named = plain_text(entry.error)
    if named and named != UNKNOWN and _WORD.fullmatch(named):
        return named
    text = text_of(blocks_of(message.content))
    kind, status = _KIND.search(text), _STATUS.search(text)
    if kind:
        return kind.group(1)
    if status:
        return f"http_{status.group(1)}"
    return next((name for phrase, name in _PHRASES if phrase in text.lower()), "api_error")


@lru_cache(maxsize=4096)
def _name(text: str | None, limit: int = NAME_LIMIT) -> str | None:
    """Text as a record takes it: cut, without what no engine stores; None where nothing is left."""
    if not text:
        return None
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode() or None
