"""From the events of runs of `claude -p` to executions: one for each model of a run.

A result holds the usage and cost of each model, sub-agents and side requests included. It is cumulative: a later result
of the same session contains the earlier ones (since Claude Code 2.1.277 also one of a later process that resumed it).
So the largest counts. It begins anew where the cost goes down (`/clear`), and with each process of an older version.
A run without a result, which was killed or still goes on, has the usage of its responses, which is a lower bound.

| the same session                       | what counts                                                         |
|----------------------------------------|---------------------------------------------------------------------|
| has a transcript in the store          | the transcript, whichever came first                                |
| has several results                    | the largest                                                         |
| is read again, also from another file  | once                                                                |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import NamedTuple

import msgspec

from claude_force.clock import parse_instant
from claude_force.errors import InvalidRecord
from claude_force.executions.clean_names import clean_name
from claude_force.executions.content_uids import content_uid
from claude_force.executions.costs import Billed, complete_costs
from claude_force.executions.deduplication import Observation
from claude_force.executions.pricing import STANDARD, Costs, PriceTable
from claude_force.executions.pricing import Usage as Tokens
from claude_force.executions.record import (
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    MAIN,
    NANOUSD,
    PROJECT_LIMIT,
    PROVISIONAL,
    REPORTED_RESULT,
    RESULT,
    TOKENS_LIMIT,
    UNKNOWN,
    ExecutionMetrics,
    to_row,
)
from claude_force.executions.runs import UNFINISHED
from claude_force.ingest.results.events import Event, ModelUsage
from claude_force.ingest.transcripts.api_errors import kind_of_failure
from claude_force.ingest.transcripts.billed_usage import tokens_of
from claude_force.ingest.transcripts.entries import plain_text
from claude_force.ingest.transcripts.identity import digest, session_key
from claude_force.ingest.transcripts.ledgers import model_name
from claude_force.ingest.transcripts.responses import SYNTHETIC

_CUMULATIVE_SINCE = (2, 1, 277)
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,6})")


class Used(NamedTuple):
    """What a run used of a model; no tokens if they are not known."""

    tokens: Tokens | None
    cost_nanousd: int | None = None
    searches: int = 0


@dataclass(slots=True)
class Run:
    """A run as it was read so far: the results that contain each other, and the usage of each response by its id."""

    key: str = ""
    results: list[Event] = field(default_factory=list)
    responses: dict[str, tuple[str, Tokens]] = field(default_factory=dict)
    has_agents: bool = False

    def used(self, main: str | None) -> tuple[dict[str, Used], bool]:
        """What it used by model, and whether that is all of it. `main` is the model that it was started with. Raises
        InvalidRecord for impossible figures."""
        last = self.results[-1] if self.results else Event()
        found = {name: usage for name, usage in (last.model_usage or {}).items() if usage is not None}
        if found:
            used, is_whole = _by_model(found), True
        else:
            used, is_whole = self._by_results(main), not self.has_agents
        total = _nanousd(last.total_cost_usd, "total_cost_usd")
        if self.responses and not any(item.tokens and sum(item.tokens) for item in used.values()):
            used, is_whole, total = self._by_responses(), False, total or None
        return _with_total(used, main, total), bool(self.results) and is_whole

    def _by_results(self, main: str | None) -> dict[str, Used]:
        """The usage of results without usages by model: that of the main conversation, turn by turn."""
        turns = [_checked(tokens_of(result.usage), "usage") for result in self.results if result.usage is not None]
        known = [tokens for tokens in turns if tokens is not None]
        if not self.results:
            return {}
        model = main or next((model for model, _ in self.responses.values()), UNKNOWN)
        return {model: Used(_sum(known) if known else None)}

    def _by_responses(self) -> dict[str, Used]:
        """The usages of the responses: their output tokens are placeholders."""
        found: dict[str, list[Tokens]] = {}
        for model, tokens in self.responses.values():
            found.setdefault(model, []).append(tokens)
        return {model: Used(_sum(tokens)) for model, tokens in found.items()}


@dataclass(slots=True)
class Session:
    """The runs of one session in a file. `known_nanousd` of its totals are stored for another session, which it is a
    fork of; it is read as one process. `last_us` is the latest instant that the file names."""

    session_id: str
    known_nanousd: int = 0
    runs: list[Run] = field(default_factory=lambda: [Run()])
    model: str | None = None
    cwd: str | None = None
    last_us: int | None = None
    is_cumulative: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_cumulative = not self.known_nanousd

    def read(self, event: Event) -> None:
        """Read the next event."""
        self.last_us = _instant(event.timestamp) or self.last_us
        if event.type == "system" and event.subtype == "init":
            self._begin(event)
        elif event.type == "assistant":
            self._read_response(event)
        elif event.type == "result":
            self._read_result(self._without_known(event))

    def _contains_earlier(self, version: str | None) -> bool:
        return not self.known_nanousd and _is_cumulative(version)

    def _without_known(self, event: Event) -> Event:
        """A result with a total that begins where the known one ends. The usages of models contain what is known."""
        if not self.known_nanousd or event.total_cost_usd is None:
            return event
        left = max(0.0, event.total_cost_usd - self.known_nanousd / NANOUSD)
        return msgspec.structs.replace(event, total_cost_usd=left, model_usage=None)

    def _begin(self, event: Event) -> None:
        self.is_cumulative = self._contains_earlier(event.claude_code_version)
        self.model, self.cwd = clean_name(event.model) or self.model, event.cwd or self.cwd
        if not self.is_cumulative and self.runs[-1].results:
            self.runs.append(Run())

    def _read_response(self, event: Event) -> None:
        message, run = event.message, self.runs[-1]
        if message is None or message.usage is None or not message.id or message.model == SYNTHETIC:
            return
        tokens = tokens_of(message.usage)
        run.has_agents |= event.parent_tool_use_id is not None
        known = run.responses.get(message.id)
        if tokens is not None and _is_possible(tokens) and (known is None or sum(tokens) >= sum(known[1])):
            model = clean_name(message.model)
            run.responses[message.id] = (model_name(model) if model else UNKNOWN, tokens)

    def _read_result(self, event: Event) -> None:
        Run(results=[event]).used(None)  # Raises InvalidRecord before anything is kept.
        before = self.runs[-1].results
        if before and (event.total_cost_usd or 0) < (before[-1].total_cost_usd or 0):
            self.runs.append(Run())
        run = self.runs[-1]
        if not run.results and not (run is self.runs[0] and self.is_cumulative):
            run.key = event.uuid or str(len(self.runs))
        run.results.append(event)


@dataclass(slots=True)
class RunReader:
    """Reads events and makes observations of them. `known_totals` are the parts of totals, in nano-dollars by session,
    that are stored for another session. `notes` count what needs attention, by text."""

    prices: PriceTable | None
    host: str | None
    known_totals: Mapping[str, int] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    user: str | None = None

    def read(self, event: Event) -> None:
        """Read the next event. Raises InvalidRecord for a result with impossible figures, or without a session."""
        session_id = clean_name(event.session_id)
        if session_id is not None:
            known_nanousd = self.known_totals.get(session_id, 0)
            self.sessions.setdefault(session_id, Session(session_id, known_nanousd)).read(event)
        elif event.type in ("assistant", "result"):
            raise InvalidRecord("session_id", "is missing")

    def observations(self, otherwise_us: int) -> Iterator[Observation]:
        """The executions of all runs. `otherwise_us` is their end if the events name no instant."""
        for session in self.sessions.values():
            for run in session.runs:
                if run.results or run.responses:
                    yield from self._observations(session, run, session.last_us or otherwise_us)
                else:
                    self._note("a run without a response and without a result: nothing to count")

    def _observations(self, session: Session, run: Run, at_us: int) -> Iterator[Observation]:
        used, is_whole = run.used(session.model and model_name(session.model))
        if not run.results:
            self._note("a run without a result: it was interrupted or still goes on; its usage is a lower bound")
        elif not is_whole:
            self._note("a result without the usage of each model: its usage is a lower bound")
        for index, (model, item) in enumerate(used.items()):
            identity = digest("result", session.session_id, run.key, model)
            record = self._record(session, run, model, item, identity, at_us, is_main=index == 0, is_whole=is_whole)
            key = session_key(session.session_id)
            yield Observation(to_row(record), (identity,), session=key, is_result=True)

    def _record(
        self, session: Session, run: Run, model: str, used: Used, identity: bytes, at_us: int, *,
        is_main: bool, is_whole: bool,
    ) -> ExecutionMetrics:  # fmt: skip
        tokens = used.tokens or Tokens(0, 0)
        cost, reference, version = self._costs(model, used, at_us)
        error_type = failure_of(run) if is_main else None
        return ExecutionMetrics(
            uid=content_uid(at_us, identity, 0),
            timestamp_us=at_us,
            agent_name=MAIN,
            success=error_type is None,
            model=model,
            duration_us=_duration_us(run) if is_main else None,
            input_tokens=tokens.input_tokens if used.tokens else None,
            output_tokens=tokens.output_tokens if used.tokens else None,
            cache_read_tokens=tokens.cache_read_tokens,
            cache_write_5m_tokens=tokens.cache_write_5m_tokens,
            cache_write_1h_tokens=tokens.cache_write_1h_tokens,
            cost_nanousd=cost,
            reference_cost_nanousd=reference,
            price_version=version,
            error_type=error_type,
            workflow_id=session.session_id,
            source=RESULT,
            host=self.host,
            project=clean_name(session.cwd, PROJECT_LIMIT),
            run_id=clean_name(run.results[-1].uuid) if run.results else None,
            web_searches=used.searches,
            usage_basis=REPORTED_RESULT if is_whole else PROVISIONAL,
            user_name=self.user,
        )

    def _costs(self, model: str, used: Used, at_us: int) -> Costs:
        given: Costs = (used.cost_nanousd, None, None)
        if used.tokens is None or self.prices is None:
            return given
        return complete_costs(self.prices, Billed(model, at_us, used.tokens, STANDARD, used.searches), given)[0]

    def _note(self, text: str) -> None:
        self.notes[text] = self.notes.get(text, 0) + 1


def _by_model(usages: dict[str, ModelUsage]) -> dict[str, Used]:
    found: dict[str, Used] = {}
    for name, usage in usages.items():
        model, used = model_name(name), _used(name, usage)
        known = found.get(model)
        found[model] = used if known is None else _plus(known, used)
    return found


def _used(name: str, usage: ModelUsage) -> Used:
    written, hour = usage.cache_creation_input_tokens or 0, usage.cache_writes_1h or 0
    tokens = Tokens(
        usage.input_tokens or 0, usage.output_tokens or 0, usage.cache_read_input_tokens or 0, written - hour, hour
    )
    searches = usage.web_search_requests or 0
    _checked(tokens, f"modelUsage of {name[:100]!a}")
    if not 0 <= searches <= TOKENS_LIMIT:
        raise InvalidRecord("modelUsage", f"impossible searches of {name[:100]!a}")
    cost = None if usage.cost_basis == UNKNOWN else _nanousd(usage.cost_usd, "modelUsage.costUSD")
    return Used(tokens, cost, searches)


def _plus(one: Used, other: Used) -> Used:
    tokens = _sum([tokens for tokens in (one.tokens, other.tokens) if tokens])
    costs = (one.cost_nanousd, other.cost_nanousd)
    cost = None if costs[0] is None or costs[1] is None else costs[0] + costs[1]
    return Used(tokens, cost, one.searches + other.searches)


def _with_total(used: dict[str, Used], main: str | None, total: int | None) -> dict[str, Used]:
    """The usages with the main model first, and with the total as their cost where each cost is known or there is one
    model: what no model is named for is the main model's."""
    if not used:
        return {main or UNKNOWN: Used(None, total)} if total is not None else {}
    first = main if main in used else max(used, key=lambda model: (used[model].cost_nanousd or 0, model))
    others = {model: item for model, item in used.items() if model != first}
    costs = [item.cost_nanousd for item in others.values()]
    known = [cost for cost in costs if cost is not None]
    item = used[first]
    if total is not None and len(known) == len(costs) and total >= sum(known):
        item = item._replace(cost_nanousd=total - sum(known))
    return {first: item, **others}


def _sum(tokens: list[Tokens]) -> Tokens:
    return Tokens(*map(sum, zip(*tokens, strict=True)))


def _is_possible(tokens: Tokens) -> bool:
    return all(0 <= count <= TOKENS_LIMIT for count in tokens)


def _checked(tokens: Tokens | None, field: str) -> Tokens | None:
    if tokens is not None and not _is_possible(tokens):
        raise InvalidRecord(field, "impossible counts of tokens")
    return tokens


def _nanousd(cost: float | None, field: str) -> int | None:
    if cost is None:
        return None
    if not 0 <= cost * NANOUSD <= COST_LIMIT_NANOUSD:
        raise InvalidRecord(field, f"impossible: {cost}")
    return round(cost * NANOUSD)


def failure_of(run: Run) -> str | None:
    """Why a run failed; None if it did not."""
    if not run.results:
        return UNFINISHED
    last = run.results[-1]
    if last.subtype and last.subtype.startswith("error"):
        return clean_name(last.subtype)
    if not last.is_error and last.subtype in ("success", None):
        return None
    named = clean_name(last.api_error_type)
    return named or kind_of_failure(last.api_error_status, plain_text(last.result) or "")


def _duration_us(run: Run) -> int | None:
    """The time of all turns; None if it is not known."""
    times = [result.duration_ms for result in run.results if result.duration_ms is not None]
    duration_us = round(sum(times) * 1000) if times else -1
    return duration_us if 0 <= duration_us <= DURATION_LIMIT_US else None


def _is_cumulative(version: str | None) -> bool:
    """Whether the results of this version contain those of earlier processes of the session."""
    match = _VERSION.match(version or "")
    return match is None or tuple(map(int, match.groups())) >= _CUMULATIVE_SINCE


def _instant(timestamp: str | None) -> int | None:
    try:
        return parse_instant(timestamp, UTC) if timestamp else None
    except ValueError:
        return None
