"""From the entries of one transcript to model responses.

A response spans several lines. Each carries the usage as it was known then; the response counts once, with the largest.
Lines with one request id and message id are one response. Where there is no request id, a line goes on the latest
response of its agent if the message id and the prompt are the same (`identity.LatestResponse`). By what responses are
found again is in `identity.py`.

Nothing here reads a file or a database. What the reader must remember between two passes fits on a page
(`ReaderState`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC

import msgspec

from claude_force.clock import parse_instant
from claude_force.errors import InvalidRecord
from claude_force.executions.clean_names import clean_name
from claude_force.executions.deduplication import LONGEST_PAUSE_US, ReportedUsage
from claude_force.executions.ledgers import Ledger
from claude_force.executions.record import MAIN, PROJECT_LIMIT, SUBAGENT, UNKNOWN, task_hash
from claude_force.executions.run_parents import RunParent
from claude_force.ingest.transcripts.agent_ids import internal_agent, label_of
from claude_force.ingest.transcripts.api_errors import error_type_of
from claude_force.ingest.transcripts.context import TranscriptContext
from claude_force.ingest.transcripts.entries import (
    Entry,
    Message,
    Usage,
    blocks_of,
    plain_text,
    progress_of,
    prompt_hash,
    task_calls_of,
    task_result_of,
    text_of,
)
from claude_force.ingest.transcripts.identity import (
    REMEMBERED,
    LatestResponses,
    digest,
    latest_of_2_2,
    remember,
    request_identity,
)
from claude_force.ingest.transcripts.ledgers import COST_STATE, ledger_of, started_us
from claude_force.ingest.transcripts.reader_state import ReaderState
from claude_force.ingest.transcripts.reported_usage import NOTIFICATION, from_notification, from_result, prompt_tokens
from claude_force.ingest.transcripts.run_starts import names_run, started_by, started_by_call, starter_of

SYNTHETIC = "<synthetic>"
"""The model of a message that Claude Code wrote itself in place of a response."""

REFUSAL = "refusal"
"""The `error_type` of a response that the model refused to give, and the `stop_reason` that says so."""

NO_REQUEST = "not a model's response (synthetic)"
NO_MESSAGE = "a response without a message"
NO_ENTRY = "not an entry of a transcript"
NO_INSTANT = "the ledger of a session without any time"
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


class Response(msgspec.Struct, gc=False):
    """One response, from the lines read so far. `asked_us` is the instant of the entry that it answers, `content` a
    hash of its first line's content. `refusal_category` is "" for a refusal without one, None if it is not known.
    `from_us` is where it ended when earlier lines of it were emitted; None if these are its first lines. `moments` are
    the identities of its further lines, if it has no request id."""

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
    moments: list[bytes] = []

    @property
    def identities(self) -> tuple[bytes, ...]:
        """Each is enough to recognise the response."""
        return (self.identity, *self.moments) if self.moments else (self.identity,)

    def add_line(self, entry: Entry, message: Message, instant: int) -> None:
        """Update the response from a further line: its end, and the usage if that is final or larger."""
        if 0 < instant - self.last_us <= LONGEST_PAUSE_US:
            self.last_us = instant
        if self.agent_name == SUBAGENT:
            self.agent_name = clean_name(entry.attribution_agent) or SUBAGENT
        usage, is_final = message.usage or Usage(), _is_final(entry, message)
        is_known = is_final == self.is_final and usage == self.usage
        if not is_known and _rank(usage, is_final) > _rank(self.usage, self.is_final):
            self.usage, self.is_final = usage, is_final
        self.cost_usd = self.cost_usd if entry.cost_usd is None else entry.cost_usd

    def refuse(self, message: Message) -> None:
        """Note that the model refused to answer, and the category of that if the message has it."""
        self.error_type = self.error_type or REFUSAL
        if message.stop_details is not None:
            self.refusal_category = message.stop_details.category or ""


@dataclass(slots=True)
class ResponseReader:
    """Reads the entries of one transcript in order. `emit` returns the responses; `skipped` counts lines that are none,
    by reason; `reports` are usages that a session reported about its sub-agents, `ledgers` what it says that it
    cost, `parents` which run started which."""

    context: TranscriptContext
    state: ReaderState = field(default_factory=ReaderState)
    skipped: dict[str, int] = field(default_factory=dict)
    reports: list[ReportedUsage] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    parents: list[RunParent] = field(default_factory=list)
    _open: dict[bytes, Response] = field(default_factory=dict)
    _requests: dict[tuple[str | None, str], bytes] = field(default_factory=dict)
    _entries: dict[str, tuple[int, int]] = field(default_factory=dict)
    _runs: list[Run] = field(default_factory=list)
    _latest: LatestResponses = field(default_factory=LatestResponses)
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
        self._called, self._agents = dict(state.called), dict(state.agents)
        self._emitted = {bytes.fromhex(identity): last_us for identity, last_us in state.taken_out}
        self._main, self._side = state.main, state.side
        run = self._agents.get(self.context.agent_id or "", state.main)
        self._latest.by_run = dict(state.latest) or latest_of_2_2(state.chains, self._entries, self._emitted, run)

    def read(self, entry: Entry, line: int) -> None:
        """Read the next entry, which is on this line. Raises InvalidRecord for a response that cannot be recorded."""
        if entry.audit_timestamp is not None or self.context.is_audit_log:
            self._skip(AUDIT)
            return
        kind, uuid = entry.type, entry.uuid
        if kind == "progress":
            self._read_progress(entry, line)
        instant = _instant(entry.timestamp)
        run = self._run_of(entry)
        if kind == "user":
            run = self._read_user(entry, instant, run)
        elif kind == "assistant" or kind is None:
            self._read_message(entry, line, instant, run)
        else:
            self._read_other(entry, instant)
        if uuid and instant is not None and len(uuid) <= _LONGEST_UUID:
            remember(self._entries, uuid, (instant, run))

    def emit(self) -> list[Response]:
        """The responses read since the last call, in order. If more lines of one follow, it is emitted again with the
        same identity."""
        found = list(self._open.values())
        for response in found:
            response.from_us = self._emitted.get(response.identity)
            remember(self._emitted, response.identity, max(response.last_us, response.from_us or 0))
        self._open.clear()
        self._requests.clear()
        self._refused.clear()
        self._latest.forget_lines()
        return found

    def saved_state(self) -> ReaderState:
        """What a reader needs to continue in a later pass."""
        agents = dict(list(self._agents.items())[-REMEMBERED:])
        runs = {run for _, run in self._entries.values()} | {
            self._main,
            self._side,
            *agents.values(),
            *self._latest.by_run,
        }
        used = sorted(runs - {-1})
        new_index = {run: index for index, run in enumerate(used)}
        kept = [self._runs[run] for run in used]
        return ReaderState(
            entries=[(uuid, instant, new_index.get(run, -1)) for uuid, (instant, run) in self._entries.items()],
            runs=[(run.run_id, run.agent_name, run.task_hash) for run in kept],
            main=new_index.get(self._main, -1),
            side=new_index.get(self._side, -1),
            called=list(self._called.items()),
            agents=[(agent_id, new_index[run]) for agent_id, run in agents.items()],
            taken_out=[(identity.hex(), last_us) for identity, last_us in self._emitted.items()],
            latest=[(new_index.get(run, -1), latest) for run, latest in self._latest.by_run.items()],
        )

    def _read_progress(self, entry: Entry, line: int) -> None:
        """Read the entry inside of a progress line."""
        inner = progress_of(entry)
        if inner is not None and inner.type != "progress":
            if inner.agent_id not in self._agents:
                self._add_parent(inner.agent_id, self._run_id(self._run_of(entry)), inner)
            self.read(inner, line)

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
        index = self._agents.get(agent_id)
        if index is not None and self._runs[index].task_hash is not None:
            return index
        prompt = prompt_hash(entry) if entry.type == "user" and not bytes(entry.tool_use_result) else None
        if index is None:
            index = self._agents[agent_id] = self._add_run(agent_id, self._agent_name(agent_id, prompt, entry), prompt)
            is_own = agent_id == self.context.agent_id
            recorded = (self.context.parent_agent(), self.context.workflow_id) if is_own else (None, None)
            self._add_parent(agent_id, starter_of(agent_id, *recorded, entry), entry)
        elif prompt is not None:
            self._runs[index].task_hash = prompt
            self._runs[index].agent_name = self._agent_name(agent_id, prompt, entry)
        return index

    def _add_run(self, run_id: str | None, agent_name: str, prompt: str | None) -> int:
        self._runs.append(Run(clean_name(run_id), agent_name, prompt))
        return len(self._runs) - 1

    def _run_id(self, run: int) -> str | None:
        return self._runs[run].run_id if run >= 0 else None

    def _session_of(self, entry: Entry) -> str | None:
        return entry.session_id or self.context.session_id

    def _add_parent(self, run_id: str | None, parent_id: str | None, entry: Entry) -> None:
        """Note what started a run, if it is known."""
        if parent_id is not None:
            self.parents += started_by(run_id, parent_id, self._session_of(entry), _instant(entry.timestamp))

    def _agent_name(self, agent_id: str | None, prompt: str | None, entry: Entry) -> str:
        if internal := internal_agent(agent_id):
            return internal
        called = self._called.get(prompt or "")
        recorded = called or self.context.agent_type_of(agent_id, prompt, entry.session_id)
        return clean_name(recorded or label_of(agent_id)) or SUBAGENT

    def _start_run(self, entry: Entry, run: int) -> int:
        """The run that a user's entry without a result starts if it is a prompt; else the run that it is part of."""
        is_agents = self.context.agent_id is not None or (entry.is_sidechain and entry.agent_id)
        if is_agents or entry.is_meta or entry.is_compact_summary:
            return run
        if entry.is_sidechain and entry.parent_uuid is not None and run >= 0:
            return run
        prompt = prompt_hash(entry)
        if prompt is None:
            return run
        name = self._agent_name(None, prompt, entry) if entry.is_sidechain else MAIN
        started = self._add_run(entry.prompt_id or entry.uuid, name, prompt)
        parent = self._run_id(self._main) if entry.is_sidechain else self._session_of(entry)
        self._add_parent(self._run_id(started), parent, entry)
        if entry.is_sidechain:
            self._side = started
        else:
            self._main = started
        return started

    def _read_report(self, entry: Entry, result: bytes, instant: int | None, run: int) -> None:
        """Keep what a user's entry, with this result of a tool, reports about a sub-agent that a run started."""
        task = task_result_of(entry.tool_use_result) if names_run(result) else None
        if task is not None:
            if instant is not None:
                self.reports += from_result(task, instant)
                self.parents += started_by_call(task, self._run_id(run), self._session_of(entry), instant)
        elif entry.message is not None and _NOTIFICATION in bytes(entry.message.content):
            self._read_notification(text_of(blocks_of(entry.message.content)), instant)

    def _read_other(self, entry: Entry, instant: int | None) -> None:
        """Read what Claude Code itself writes: notifications, ledgers, and after a refusal its category."""
        if entry.type == "queue-operation":
            self._read_notification(plain_text(entry.content), instant)
        elif entry.type == COST_STATE:
            self._read_ledger(entry)
        refused = self._refused.get(entry.parent_uuid or "") if entry.subtype == "model_refusal_fallback" else None
        if refused is not None and refused.refusal_category is None:
            refused.refusal_category = entry.api_refusal_category or ""

    def _read_ledger(self, entry: Entry) -> None:
        at_us = max((instant for instant, _ in self._entries.values()), default=started_us(entry))
        if at_us is None:
            self._skip(NO_INSTANT)
        else:
            self.ledgers.append(ledger_of(entry, clean_name(self._session_of(entry)), at_us))

    def _read_notification(self, text: str | None, instant: int | None) -> None:
        if text is not None and instant is not None:
            self.reports += from_notification(text, instant)

    def _read_message(self, entry: Entry, line: int, instant: int | None, run: int) -> None:
        """Read an entry of the model, or one without a type, which may be one."""
        message = entry.message
        if message is None:
            self._skip(NO_MESSAGE if entry.type else NO_ENTRY)
        elif entry.type or message.usage is not None:
            self._read_response(entry, message, line, instant, run)
        else:
            self._read_other(entry, instant)

    def _read_response(self, entry: Entry, message: Message, line: int, instant: int | None, run: int) -> None:
        if message.model == SYNTHETIC and not entry.is_api_error_message:
            self._skip(NO_REQUEST)
            return
        if instant is None:
            reason = "is missing" if entry.timestamp is None else "not an ISO 8601 date and time"
            raise InvalidRecord("timestamp", reason)
        if b'"subagent_type"' in bytes(message.content):
            for call in task_calls_of(blocks_of(message.content)):
                remember(self._called, task_hash(call.prompt or ""), clean_name(call.subagent_type) or SUBAGENT)
        response = self._response_of(entry, message, line, instant, run)
        if message.stop_reason == REFUSAL:
            response.refuse(message)
            self._refused[entry.uuid or ""] = response

    def _response_of(self, entry: Entry, message: Message, line: int, instant: int, run: int) -> Response:
        """The response that a line belongs to, with the line."""
        if not entry.request_id:
            identity, moment = self._latest.match(message.id or entry.uuid, message, instant, run)
            response = self._add_line(identity, entry, message, line, instant, run)
            if moment != identity:
                response.moments.append(moment)
            return response
        request = message.id, entry.request_id
        known = self._requests.get(request)
        if known is None:
            self._latest.end(run)
            known = self._requests[request] = request_identity(*request)
        return self._add_line(known, entry, message, line, instant, run)

    def _add_line(self, identity: bytes, entry: Entry, message: Message, line: int, instant: int, run: int) -> Response:
        """The response with this identity, with a line."""
        response = self._open.get(identity)
        if response is None:
            response = self._open[identity] = self._first_line(entry, message, identity, line, instant, run)
        else:
            response.add_line(entry, message, instant)
        return response

    def _read_user(self, entry: Entry, instant: int | None, run: int) -> int:
        """Read a user's entry: a prompt, or the result of a tool. Returns the run that it is part of."""
        result = bytes(entry.tool_use_result)
        if run in self._latest.by_run:
            self._read_between(entry, run)
        self._read_report(entry, result, instant, run)
        return run if result else self._start_run(entry, run)

    def _read_between(self, entry: Entry, run: int) -> None:
        """Read what a user's entry means for the latest response of its agent: the result of a tool may stand between
        its lines, a prompt ends it."""
        if entry.is_meta or entry.is_compact_summary:
            return
        if bytes(entry.tool_use_result) or prompt_hash(entry) is None:
            self._latest.add_result(run)
        else:
            self._latest.end(run)

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
            model=(None if message.model == SYNTHETIC else clean_name(message.model)) or UNKNOWN,
            usage=message.usage or Usage(),
            is_final=_is_final(entry, message),
            is_sidechain=is_sidechain,
            session_id=clean_name(self._session_of(entry)),
            project=clean_name(entry.cwd, PROJECT_LIMIT),
            run=run,
            agent_name=internal_agent(run.run_id) or clean_name(entry.attribution_agent) or run.agent_name,
            error_type=error_type_of(entry, message) if entry.is_api_error_message else None,
            cost_usd=entry.cost_usd,
            line=line,
            git_branch=clean_name(entry.git_branch),
            refusal_category=None,
        )


def _is_final(entry: Entry, message: Message) -> bool:
    """Whether a line has the final usage. A line without the field `stop_reason` at all has no later one."""
    return bool(entry.is_api_error_message) or message.stop_reason is not None


def _instant(timestamp: str | None) -> int | None:
    try:
        return parse_instant(timestamp, UTC) if timestamp else None
    except ValueError:
        return None


def _rank(usage: Usage, is_final: bool) -> tuple[bool, bool, int, int, int]:
    """Of two usages of one response, the one to keep has the higher rank: known, then final, then larger, then with the
    longer list of steps."""
    is_known = None not in (usage.input_tokens, usage.output_tokens)
    return is_known, is_final, usage.output_tokens or 0, prompt_tokens(usage), len(bytes(usage.iterations))
