"""Sightings: one response of a model, as it was seen in one place, and what two sightings of it come to.

The invariant: a figure of the past does not move. A sighting that comes later changes a stored execution only where it
is the same file that went on (a response is written line by line, and its usage grows), or where the stored usage was
never final and this one is, or is a higher bound. Anything else (a copy, a file that was rewritten or shortened) adds
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from claude_force.clock import HOUR_US, SECOND_US
from claude_force.executions.record import DURATION_LIMIT_US, PROVISIONAL, ExecutionRow, column, columns

_END, _DURATION, _BASIS = columns("timestamp_us", "duration_us", "usage_basis")
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_COUNTS = columns(*_TOKENS)
_OUTPUT = column("output_tokens")
_USAGE = columns(
    *_TOKENS, "cost_nanousd", "reference_cost_nanousd", "price_version", "service_tier", "web_searches", "usage_basis"
)
"""What belongs together: a usage is taken whole, with the price that was made from it."""

_SURENESS = {PROVISIONAL: 0, "task_notification": 1, "task_result": 2}
"""How sure a usage is by its basis; the final one of its own source is surer than each."""

LONGEST_PAUSE_US = HOUR_US
"""The lines of one response are never further apart; a later one is of something else, or of a wrong clock."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A response, as a row. `identities` are what it is known by, each enough alone. `side` is by what the response
    would be known in its session on this side (main conversation, or sub-agent), `other_side` on the other, where a
    replay stands that has no identity in common; None where that cannot be told. `from_us` is where it
    ended when it was seen in the same file before, of which these are further lines; None where they are the first."""

    row: ExecutionRow
    identities: tuple[bytes, ...]
    side: bytes | None = None
    other_side: bytes | None = None
    is_sidechain: bool = False
    from_us: int | None = None

    def goes_on(self, known: ExecutionRow) -> bool:
        """Whether these are the lines after those that an execution is known from: not those of a copy of it."""
        return self.from_us is not None and self.from_us == known[_END]


def keys_of(observations: Iterable[Observation]) -> set[bytes]:
    """Everything that the responses of sightings may be known by."""
    return {
        key
        for observation in observations
        for key in (*observation.identities, observation.side, observation.other_side)
        if key
    }


AMBIGUOUS = bytes(16)
"""The uid of an identity that two executions have, and that therefore tells nothing."""

REPLAY = bytes([*bytes(15), 1])
"""The uid of an identity that only a replay has: nothing that is seen of it counts."""


@dataclass(slots=True)
class Resolution:
    """Which execution each sighting is of. `known` are the uids of identities; what is `learned` about more of them is
    to be kept. New executions are `rows` by their uid; `seen` are sightings of those that are known."""

    known: dict[bytes, bytes]
    rows: dict[bytes, ExecutionRow] = field(default_factory=dict)
    seen: list[tuple[bytes, Observation]] = field(default_factory=list)
    learned: dict[bytes, bytes] = field(default_factory=dict)
    _first: dict[bytes, Observation] = field(default_factory=dict)

    def resolve(self, observation: Observation) -> None:
        """Find the execution of the next sighting."""
        uid = next((self.known[key] for key in observation.identities if key in self.known), None)
        if uid is None and observation.other_side is not None:
            other = self.known.get(observation.other_side)
            if other not in (None, AMBIGUOUS):
                self._replay(other, observation)
                return
        if uid is None:
            uid = observation.row[0]
            self.rows[uid], self._first[uid] = observation.row, observation
        elif uid in self.rows:
            self.rows[uid] = met(self.rows[uid], observation)
        elif uid != REPLAY:
            self.seen.append((uid, observation))
        self._learn(observation, uid)

    def _replay(self, uid: bytes, observation: Observation) -> None:
        """The other side of an execution: the main conversation tells the truth, whichever comes first."""
        if observation.is_sidechain:
            self._learn(observation, REPLAY)
            return
        if uid in self.rows:
            self._learn(self._first[uid], REPLAY)
            self.rows[uid], self._first[uid] = (uid, *observation.row[1:]), observation
        else:
            self.seen.append((uid, observation))
        self._learn(observation, uid)

    def _learn(self, observation: Observation, uid: bytes) -> None:
        """Keep what the sighting is known by. Its side tells of one execution, or of none."""
        for key in observation.identities:
            self._tell(key, uid)
        if observation.side is not None and uid != REPLAY:
            told = self.known.get(observation.side, uid)
            self._tell(observation.side, uid if told == uid else AMBIGUOUS)

    def _tell(self, key: bytes, uid: bytes) -> None:
        if self.known.get(key) != uid:
            self.known[key] = self.learned[key] = uid


def met(known: ExecutionRow, observation: Observation) -> ExecutionRow:
    """What an execution that is not stored yet is after another sighting of it: in whatever order they come."""
    if observation.goes_on(known):
        return merged(known, observation.row, goes_on=True)
    return _with_usage(known, observation.row) if _rank(observation.row) > _rank(known) else known


def merged(known: ExecutionRow, seen: ExecutionRow, *, goes_on: bool) -> ExecutionRow:
    """What a stored execution is after another sighting of it; the very same row where nothing changes. Its identity,
    names and outcome stay."""
    may_change = goes_on or known[_BASIS] is not None
    row = _with_usage(known, seen) if may_change and _rank(seen) > _rank(known) else known
    longer_us = seen[_END] - known[_END]
    if goes_on and 0 < longer_us <= LONGEST_PAUSE_US:
        duration_us = None if known[_DURATION] is None else min(known[_DURATION] + longer_us, DURATION_LIMIT_US)
        changed = list(row)
        changed[_END], changed[_DURATION] = seen[_END], duration_us
        row = tuple(changed)
    return known if row == known else row


def _with_usage(known: ExecutionRow, seen: ExecutionRow) -> ExecutionRow:
    row = list(known)
    for place in _USAGE:
        row[place] = seen[place]
    return tuple(row)


def _rank(row: ExecutionRow) -> tuple[bool, int, tuple[int, int]]:
    """By what usages of one response are compared: known, sure, large."""
    return row[_OUTPUT] is not None, _SURENESS.get(row[_BASIS], len(_SURENESS)), size_of(row)


def size_of(row: ExecutionRow) -> tuple[int, int]:
    """By what usages of one response are compared: output first, then everything."""
    return row[_OUTPUT] or 0, sum(row[place] or 0 for place in _COUNTS)


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """What a parent was told of the last response of a sub-agent's run, which ended between two instants. `basis` says
    by which record; the tokens of the prompt and of the output are None where only their sum was told. `read_us` is the
    time of the pass that read it."""

    run_id: str
    basis: str
    until_us: int
    since_us: int
    total_tokens: int
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    read_us: int = 0


REPORTED_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(ReportedUsage))
"""The names of what is kept of a report, in their order."""

OUTPUT_LIMIT = 200_000
"""More output than any model gives in one response: a sum of tokens that leaves more was not of that response."""

REPORTED_WITHIN_US = {"task_result": 600 * SECOND_US, "task_notification": 120 * SECOND_US}
"""So soon after the last response of a run its end is reported; a later one is of a response that was not read yet."""


def reported(report: ReportedUsage, run: list[ExecutionRow]) -> ExecutionRow | None:
    """The last execution of a run (its executions in their order) with the output that was reported of it; None where
    the report is of another response, or its usage is final."""
    if not run or run[-1][_BASIS] != PROVISIONAL:
        return None
    if report.until_us - run[-1][_END] > REPORTED_WITHIN_US[report.basis]:
        return None
    last = list(run[-1])
    prompt_tokens = sum(last[place] or 0 for place in _COUNTS if place != _OUTPUT)
    output_tokens = report.output_tokens
    if output_tokens is None:
        output_tokens = report.total_tokens - prompt_tokens
    elif report.prompt_tokens != prompt_tokens:
        return None
    if not (last[_OUTPUT] or 0) <= output_tokens <= OUTPUT_LIMIT or not output_tokens:
        return None
    last[_OUTPUT], last[_BASIS] = output_tokens, report.basis
    return tuple(last)
