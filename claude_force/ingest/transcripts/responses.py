"""From the entries of one transcript to model responses.

A response spans several lines. Each carries the usage as it was known then; the response counts once, with the largest.
It is identified by:

| its first line has | identity                                                                    |
|--------------------|-----------------------------------------------------------------------------|
| a request id       | message id and request id                                                   |
| no request id      | message id, instant and prompt tokens; parent ids lead to the further lines |

Copies of a transcript keep all of these. A gateway may repeat a message id, but not together with instant and tokens.

When Claude Code replays the main conversation in a sub-agent's transcript, only the message id and the content are the
same. So each response also has a second identity, for either side (main or sub-agent): session, side, message id and a
hash of its first line's content. It counts only while a single response has it.

Nothing here reads a file or a database. What the reader must remember between two passes fits on a page
(`ReaderState`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from functools import lru_cache
from typing import TypeVar

import msgspec

from claude_force.clock import parse_instant
from claude_force.errors import InvalidRecord
from claude_force.executions.deduplication import LONGEST_PAUSE_US, ReportedUsage
from claude_force.executions.ledgers import Ledger
from claude_force.executions.record import NAME_LIMIT, PROJECT_LIMIT, UNKNOWN, task_hash
from claude_force.ingest.transcripts.agent_ids import internal_agent, label_of
from claude_force.ingest.transcripts.api_errors import error_type_of
from claude_force.ingest.transcripts.entries import (
    Entry,
    Message,
    Usage,
    blocks_of,
    plain_text,
    progress_of,
    task_calls_of,
    task_result_of,
    text_of,
)
from claude_force.ingest.transcripts.ledgers import COST_STATE, ledger_of
from claude_force.ingest.transcripts.reported_usage import NOTIFICATION, from_notification, from_result, prompt_tokens

K = TypeVar("K")
V = TypeVar("V")

MAIN = "main"
SUBAGENT = "subagent"
"""The agent name of a sub-agent whose type is neither recorded anywhere nor said by its id."""

SYNTHETIC = "<synthetic>"
"""The model of a message that Claude Code wrote itself in place of a response."""

REFUSAL = "refusal"
"""The `error_type` of a response that the model refused to give, and the `stop_reason` that says so."""

REMEMBERED = 16
"""How many of the latest entries are kept, as parents of the next ones."""

NO_REQUEST = "not a model's response (synthetic)"
NO_MESSAGE = "a response without a message"
NO_ENTRY = "not an entry of a transcript"
AUDIT = "the audit log of Claude Desktop, a copy of the transcript beside it"
"""Reasons for skipping a line."""

_LONGEST_UUID = 64
_NOTIFICATION = NOTIFICATION.encode()


@dataclass(slots=True)
class Run:
    """What a response is part of: the turn of one prompt, or the run of one sub-agent."""

    run_id: str | None
    agent_name: str
    task_hash: str | None


@dataclass(slots=True)
class Response:
    """One response, from the lines read so far. `asked_us` is the instant of the entry that it answers, `content` a
    hash of its first line's content. `refusal_category` is "" for a refusal without one, None if it is not known.
    `from_us` is where it ended when earlier lines of it were emitted; None if these
    are its first lines."""

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
    git_branch: str | None
    refusal_category: str | None
    from_us: int | None = None

    def add_line(self, entry: Entry, message: Message, instant: int) -> None:
        """Update the response from a further line: its end, and the usage if that is final or larger."""
        if 0 < instant - self.last_us <= LONGEST_PAUSE_US:
            self.last_us = instant
        if self.agent_name == SUBAGENT:
            self.agent_name = _name(entry.attribution_agent) or SUBAGENT
        usage, is_final = message.usage or Usage(), _is_final(entry, message)
        if _rank(usage, is_final) > _rank(self.usage, self.is_final):
            self.usage, self.is_final = usage, is_final
        self.cost_usd = self.cost_usd if entry.cost_usd is None else entry.cost_usd

    def refuse(self, message: Message) -> None:
        """Note that the model refused to answer, and the category of that if the message has it."""
        self.error_type = self.error_type or REFUSAL
        if message.stop_details is not None:
            self.refusal_category = message.stop_details.category or ""


class ReaderState(msgspec.Struct):
    """What a reader remembers between two passes, stored as JSON with the cursor (so these names never change).

    `entries` are the latest: uuid, instant, index in `runs`. `main` and `side` are indexes of the current runs.
    `chains` are the latest lines of responses without a request id: uuid, identity, prompt hash (`_prompt_of`).
    `called` are the types of started sub-agents by the hash of their prompt, `agents` the runs of sub-agents by id,
    `taken_out` the latest emitted responses by identity, with their ends.
    """

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
    """What the path of a transcript says. `agent_id` is set for a sub-agent's own file, `workflow_id` if it runs in a
    workflow, `is_audit_log` if no line of the file counts. `agent_type_of` looks up the type of a sub-agent by its id,
    the hash of its prompt and its session; None if it is not recorded."""

    session_id: str | None = None
    agent_id: str | None = None
    workflow_id: str | None = None
    is_audit_log: bool = False
    agent_type_of: Callable[[str | None, str | None, str | None], str | None] = lambda _agent, _prompt, _session: None


@dataclass(slots=True)
class ResponseReader:
    """Reads the entries of one transcript in order. `emit` returns the responses; `skipped` counts lines that are none,
    by reason; `reports` are usages that a session reported about its sub-agents, `ledgers` what it says that it
    cost."""

    context: TranscriptContext
    state: ReaderState = field(default_factory=ReaderState)
    skipped: dict[str, int] = field(default_factory=dict)
    reports: list[ReportedUsage] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    _open: dict[bytes, Response] = field(default_factory=dict)
    _requests: dict[tuple[str | None, str], Response] = field(default_factory=dict)
    _entries: dict[str, tuple[int, int]] = field(default_factory=dict)
    _runs: list[Run] = field(default_factory=list)
    _chains: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    _called: dict[str, str] = field(default_factory=dict)
    _agents: dict[str, int] = field(default_factory=dict)
    _emitted: dict[bytes, int] = field(default_factory=dict)
    _refused: dict[str, Response] = field(default_factory=dict)
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
        self._emitted = {bytes.fromhex(identity): last_us for identity, last_us in state.taken_out}
        self._main, self._side = state.main, state.side

    def read(self, entry: Entry, line: int) -> None:
        """Read the next entry, which is on this line. Raises InvalidRecord for a response that cannot be recorded."""
        if self.context.is_audit_log or entry.audit_timestamp is not None:
            self._skip(AUDIT)
            return
        if entry.type == "progress":
            inner = progress_of(entry)
            if inner is not None and inner.type != "progress":
                self.read(inner, line)
        instant = _instant(entry)
        run = self._run_of(entry)
        if _is_response(entry):
            self._read_response(entry, line, instant, run)
        elif entry.type == "assistant":
            self._skip(NO_MESSAGE)
        elif entry.type is None and entry.message is None:
            self._skip(NO_ENTRY)
        elif entry.type == "user":
            run = self._start_run(entry, run)
            self._read_report(entry, instant)
        else:
            self._read_other(entry, instant)
        if entry.uuid and len(entry.uuid) <= _LONGEST_UUID and instant is not None:
            _remember(self._entries, entry.uuid, (instant, run))

    def emit(self) -> list[Response]:
        """The responses read since the last call, in order. If more lines of one follow, it is emitted again with the
        same identity."""
        found = list(self._open.values())
        for response in found:
            response.from_us = self._emitted.get(response.identity)
            _remember(self._emitted, response.identity, max(response.last_us, response.from_us or 0))
        self._open.clear()
        self._requests.clear()
        self._refused.clear()
        return found

    def saved_state(self) -> ReaderState:
        """What a reader needs to continue in a later pass."""
        agents = dict(list(self._agents.items())[-REMEMBERED:])
        runs = {run for _, run in self._entries.values()} | {self._main, self._side} | set(agents.values())
        used = sorted(runs - {-1})
        new_index = {run: index for index, run in enumerate(used)}
        kept = [self._runs[run] for run in used]
        return ReaderState(
            entries=[(uuid, instant, new_index.get(run, -1)) for uuid, (instant, run) in self._entries.items()],
            runs=[(run.run_id, run.agent_name, run.task_hash) for run in kept],
            main=new_index.get(self._main, -1),
            side=new_index.get(self._side, -1),
            chains=[(uuid, identity.hex(), prompt.hex()) for uuid, (identity, prompt) in self._chains.items()],
            called=list(self._called.items()),
            agents=[(agent_id, new_index[run]) for agent_id, run in agents.items()],
            taken_out=[(identity.hex(), last_us) for identity, last_us in self._emitted.items()],
        )

    def _skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def _run_of(self, entry: Entry) -> int:
        """The index of the run that an entry is part of; -1 before the first prompt."""
        agent_id = self.context.agent_id or (entry.agent_id if entry.is_sidechain else None)
        if agent_id is not None:
            return self._run_of_agent(agent_id, entry)
        parent = self._entries.get(entry.parent_uuid or "")
        if parent is not None and parent[1] >= 0:
            return parent[1]
        return self._side if entry.is_sidechain else self._main

    def _run_of_agent(self, agent_id: str, entry: Entry) -> int:
        prompt = _prompt_hash(entry) if entry.type == "user" and not bytes(entry.tool_use_result) else None
        index = self._agents.get(agent_id)
        if index is None:
            index = self._agents[agent_id] = self._add_run(agent_id, self._agent_name(agent_id, prompt, entry), prompt)
        elif self._runs[index].task_hash is None and prompt is not None:
            self._runs[index].task_hash = prompt
            self._runs[index].agent_name = self._agent_name(agent_id, prompt, entry)
        return index

    def _add_run(self, run_id: str | None, agent_name: str, prompt: str | None) -> int:
        self._runs.append(Run(_name(run_id), agent_name, prompt))
        return len(self._runs) - 1

    def _agent_name(self, agent_id: str | None, prompt: str | None, entry: Entry) -> str:
        if internal := internal_agent(agent_id):
            return internal
        called = self._called.get(prompt or "")
        recorded = called or self.context.agent_type_of(agent_id, prompt, entry.session_id)
        return _name(recorded or label_of(agent_id)) or SUBAGENT

    def _start_run(self, entry: Entry, run: int) -> int:
        """The run that a user's entry starts if it is a prompt; else the run that it is part of."""
        is_agents = self.context.agent_id is not None or (entry.is_sidechain and entry.agent_id)
        if is_agents or entry.is_meta or entry.is_compact_summary or bytes(entry.tool_use_result):
            return run
        if entry.is_sidechain and entry.parent_uuid is not None and run >= 0:
            return run
        prompt = _prompt_hash(entry)
        if prompt is None:
            return run
        name = self._agent_name(None, prompt, entry) if entry.is_sidechain else MAIN
        started = self._add_run(entry.prompt_id or entry.uuid, name, prompt)
        if entry.is_sidechain:
            self._side = started
        else:
            self._main = started
        return started

    def _read_report(self, entry: Entry, instant: int | None) -> None:
        """Keep what a user's entry reports about a sub-agent that ended."""
        if b'"totalTokens"' in bytes(entry.tool_use_result):
            result = task_result_of(entry.tool_use_result)
            if result is not None and instant is not None:
                self.reports += from_result(result, instant)
        elif entry.message is not None and _NOTIFICATION in bytes(entry.message.content):
            self._read_notification(text_of(blocks_of(entry.message.content)), instant)

    def _read_other(self, entry: Entry, instant: int | None) -> None:
        """Read what Claude Code itself writes: notifications, ledgers, and after a refusal its category."""
        if entry.type == "queue-operation":
            self._read_notification(plain_text(entry.content), instant)
        elif entry.type == COST_STATE:
            latest_us = max((at_us for at_us, _ in self._entries.values()), default=None)
            self.ledgers.append(ledger_of(entry, _name(entry.session_id or self.context.session_id), latest_us))
        refused = self._refused.get(entry.parent_uuid or "") if entry.subtype == "model_refusal_fallback" else None
        if refused is not None and refused.refusal_category is None:
            refused.refusal_category = entry.api_refusal_category or ""

    def _read_notification(self, text: str | None, instant: int | None) -> None:
        if text is not None and instant is not None:
            self.reports += from_notification(text, instant)

    def _read_response(self, entry: Entry, line: int, instant: int | None, run: int) -> None:
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
            known.add_line(entry, message, instant)
        else:
            known = self._open[identity] = self._first_line(entry, message, identity, line, instant, run)
            if entry.request_id:
                self._requests[message.id, entry.request_id] = known
        if message.stop_reason == REFUSAL:
            known.refuse(message)
            self._refused[entry.uuid or ""] = known

    def _first_line(
        self, entry: Entry, message: Message, identity: bytes, line: int, instant: int, run_index: int
    ) -> Response:
        """A response as its first line has it."""
        is_sidechain = bool(entry.is_sidechain or self.context.agent_id)
        run = self._runs[run_index] if run_index >= 0 else Run(None, SUBAGENT if is_sidechain else MAIN, None)
        parent = self._entries.get(entry.parent_uuid or "")
        return Response(
            message_id=message.id or "",
            request_id=entry.request_id,
            identity=identity,
            content=digest(bytes(message.content)),
            first_us=instant,
            last_us=instant,
            asked_us=parent[0] if parent else None,
            model=(None if message.model == SYNTHETIC else _name(message.model)) or UNKNOWN,
            usage=message.usage or Usage(),
            is_final=_is_final(entry, message),
            is_sidechain=is_sidechain,
            session_id=_name(entry.session_id or self.context.session_id),
            project=_name(entry.cwd, PROJECT_LIMIT),
            run=run,
            agent_name=internal_agent(run.run_id) or _name(entry.attribution_agent) or run.agent_name,
            error_type=error_type_of(entry, message) if entry.is_api_error_message else None,
            cost_usd=entry.cost_usd,
            line=line,
            git_branch=_name(entry.git_branch),
            refusal_category=None,
        )

    def _identity(self, entry: Entry, message: Message, instant: int) -> bytes:
        """The identity of the response that a line belongs to: sixteen bytes, stored, so they must never change."""
        if entry.request_id:
            return digest("request", message.id, entry.request_id)
        prompt = _prompt_of(message)
        identity, parents_prompt = self._chains.get(entry.parent_uuid or "", (b"", b""))
        if not (message.id and parents_prompt == prompt):
            identity = digest("moment", message.id or entry.uuid, instant, prompt_tokens(message.usage or Usage()))
        if entry.uuid and len(entry.uuid) <= _LONGEST_UUID:
            _remember(self._chains, entry.uuid, (identity, prompt))
        return identity


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """Put an item last; drop the first one when there are more than REMEMBERED."""
    known.pop(key, None)
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]


def digest(*parts: object) -> bytes:
    """Sixteen bytes that identify some values."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def side_identity(response: Response, *, is_sidechain: bool) -> bytes | None:
    """The second identity of a response (see above) on one side of its session; None without a request id."""
    if not (response.request_id and response.message_id and response.session_id):
        return None
    return digest("side", response.session_id, response.message_id, response.content, is_sidechain)


def _is_final(entry: Entry, message: Message) -> bool:
    """Whether a line has the final usage. A line without the field `stop_reason` at all has no later one."""
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


def _rank(usage: Usage, is_final: bool) -> tuple[bool, bool, int, int]:
    """Of two usages of one response, the one to keep has the higher rank: known, then final, then larger."""
    is_known = None not in (usage.input_tokens, usage.output_tokens)
    return is_known, is_final, usage.output_tokens or 0, prompt_tokens(usage)


def _prompt_of(message: Message) -> bytes:
    """A hash of what all lines of a response have in common."""
    return digest(message.id, prompt_tokens(message.usage or Usage()))


def _prompt_hash(entry: Entry) -> str | None:
    """The task hash of a prompt; None if the entry is no prompt but the result of a tool."""
    content = blocks_of(entry.message.content) if entry.message is not None else []
    if isinstance(content, list) and any(block.type == "tool_result" for block in content):
        return None
    text = text_of(content)
    return task_hash(text) if text or content else None


@lru_cache(maxsize=4096)
def _name(text: str | None, limit: int = NAME_LIMIT) -> str | None:
    """Text as a record takes it: cut to the limit, without NUL and lone surrogates; None where nothing is left."""
    if not text:
        return None
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode() or None
