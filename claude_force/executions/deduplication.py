"""Deduplication: which execution an observation belongs to, and what it changes about it.

An observation is one response of a model as it was seen in one file. The invariant: stored figures do not move. A later
observation changes a stored execution only if

- it is a continuation (more lines of the response in the same file, whose usage grows while it is written), or
- the stored usage was never final, and the observed one is final or a higher bound.

Anything else, such as a copy or a file that was rewritten or truncated, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from claude_force.clock import HOUR_US, SECOND_US
from claude_force.executions.record import DURATION_LIMIT_US, PROVISIONAL, REPORTED_RESULT, ExecutionRow, columns

if TYPE_CHECKING:
    from claude_force.executions.sightings import Sighting

_TOKENS = columns(
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"
)
_END, _DURATION, _BASIS, _HOST = columns("timestamp_us", "duration_us", "usage_basis", "host")
_OUTPUT, _STEPS = columns("output_tokens", "steps")
_PRICE_VERSION, _RECORDED_BASIS = columns("price_version", "recorded_basis")
_USAGE = _TOKENS + columns(
    "cost_nanousd", "reference_cost_nanousd", "price_version", "service_tier", "web_searches", "usage_basis",
    "inference_geo", "steps",
)  # fmt: skip
"""Fields that are replaced together: a usage, and the price that was computed from it."""

_CERTAINTY = {PROVISIONAL: 0, "task_notification": 1, "task_result": 2, REPORTED_RESULT: 3}
"""How certain a usage is, by its basis. The final usage of the response's own file is more certain than all of
these."""

LONGEST_PAUSE_US = HOUR_US
"""Lines of one response are never further apart. A later line belongs to something else, or its clock is wrong."""


class Observation(NamedTuple):
    """A response as it was seen in one file.

    Any one of `identities` is enough to recognise its execution. `shared` are identities that other executions may
    have, too, and then identify none: those within its session on this side (main conversation or sub-agent), and its
    request id alone, `request`, by which only telemetry is joined. `other_side` are those on the other side, where a
    replay shares no other identity. `from_us` is where the response ended when its earlier lines were observed; None if
    these are its first. `session` is the key of its session. `is_result` says that it is from the result of a run,
    which counts only while nothing else of the session is known. `sighting` is what telemetry says; None for a line of
    a transcript.
    """

    row: ExecutionRow
    identities: tuple[bytes, ...]
    shared: tuple[bytes, ...] = ()
    other_side: tuple[bytes, ...] = ()
    is_sidechain: bool = False
    from_us: int | None = None
    session: bytes | None = None
    is_result: bool = False
    request: bytes | None = None
    sighting: Sighting | None = None

    def is_continuation_of(self, known: ExecutionRow) -> bool:
        """Whether these lines follow those that `known` was made from, in the same file (and not in a copy of it)."""
        return self.from_us is not None and self.from_us == known[_END]


def keys_of(observations: Iterable[Observation]) -> set[bytes]:
    """The identities by which some observations are matched."""
    return {
        key
        for seen in observations
        for key in (*seen.identities, *seen.other_side, *((seen.session,) if seen.session else ()))
    }


AMBIGUOUS = bytes(16)
"""In place of a uid: two executions have this identity, so it identifies neither."""

REPLAY = bytes([*bytes(15), 1])
"""In place of a uid: only a replay has this identity, so its observations do not count."""


@dataclass(slots=True)
class EntityResolver:
    """Finds the execution of each observation.

    `known` are the uids of identities; `remembered` are those found here, to be stored, and `shared` those that other
    executions may have, too. `new_rows` are executions that are not stored yet, by uid. `seen_again` are observations
    of stored ones, with their uid. `replaced` are the keys of sessions whose results do not count any more, because a
    transcript was found.
    """

    known: dict[bytes, bytes]
    new_rows: dict[bytes, ExecutionRow] = field(default_factory=dict)
    seen_again: list[tuple[bytes, Observation]] = field(default_factory=list)
    remembered: dict[bytes, bytes] = field(default_factory=dict)
    shared: dict[bytes, bytes] = field(default_factory=dict)
    replaced: set[bytes] = field(default_factory=set)
    _first: dict[bytes, Observation] = field(default_factory=dict)

    def match_all(self, observations: Iterable[Observation]) -> None:
        """Match observations, in their order."""
        for observation in observations:
            self.match(observation)

    def match(self, observation: Observation) -> None:
        """Match the next observation."""
        if observation.session is not None:
            known = self.known.get(observation.session)
            if observation.is_result and known == REPLAY:
                return
            if not observation.is_result and known != REPLAY:
                self.replaced |= set() if known is None else {observation.session}
                self.known[observation.session] = self.remembered[observation.session] = REPLAY
        uid = next((self.known[key] for key in observation.identities if key in self.known), None)
        if uid is None:
            for key in observation.other_side:
                other = self.known.get(key, AMBIGUOUS)
                if other != AMBIGUOUS:
                    self._match_replay(other, observation)
                    return
            uid = observation.row[0]
            self.new_rows[uid], self._first[uid] = observation.row, observation
        elif uid in self.new_rows and observation.is_result:
            self.new_rows[uid] = merge_result(self.new_rows[uid], observation.row)
        elif uid in self.new_rows:
            self.new_rows[uid] = merge_new(self.new_rows[uid], observation)
        elif uid != REPLAY:
            self.seen_again.append((uid, observation))
        self._remember(observation, uid)

    def _match_replay(self, uid: bytes, observation: Observation) -> None:
        """An observation of the other side of execution `uid`: the main conversation counts, whichever comes first."""
        if observation.is_sidechain:
            self._remember(observation, REPLAY)
            return
        if uid in self.new_rows:
            self._remember(self._first[uid], REPLAY)
            self.new_rows[uid], self._first[uid] = (uid, *observation.row[1:]), observation
        else:
            self.seen_again.append((uid, observation))
        self._remember(observation, uid)

    def _remember(self, observation: Observation, uid: bytes) -> None:
        """Remember the identities of an observation. A shared one identifies one execution, or none."""
        for key in observation.identities:
            # Where version 2.2 made two executions of one response, each keeps what it was known by.
            if uid == REPLAY or key not in self.known:
                self.known[key] = self.remembered[key] = uid
        if observation.is_result and observation.session is not None and observation.session not in self.known:
            self.known[observation.session] = self.remembered[observation.session] = uid
        if uid != REPLAY:
            for key in observation.shared:
                self.known[key] = self.shared[key] = uid if self.known.get(key, uid) == uid else AMBIGUOUS


def merge_new(known: ExecutionRow, observation: Observation) -> ExecutionRow:
    """An execution that is not stored yet after another observation; the order of observations does not matter."""
    if observation.is_continuation_of(known):
        return merge(known, observation.row, is_continuation=True)
    return with_usage(known, observation.row) if _rank(observation.row) > _rank(known) else known


def merge(known: ExecutionRow, seen: ExecutionRow, *, is_continuation: bool) -> ExecutionRow:
    """A stored execution after another observation: its usage and end may change, its identity, names and outcome do
    not. The same object if nothing changes."""
    may_change = is_continuation or known[_BASIS] is not None
    row = with_usage(known, seen) if may_change and _rank(seen) > _rank(known) else known
    longer_us = seen[_END] - known[_END]
    if is_continuation and 0 < longer_us <= LONGEST_PAUSE_US:
        duration_us = None if known[_DURATION] is None else min(known[_DURATION] + longer_us, DURATION_LIMIT_US)
        changed = list(row)
        changed[_END], changed[_DURATION] = seen[_END], duration_us
        row = tuple(changed)
    return known if row == known else row


def merge_result(known: ExecutionRow, seen: ExecutionRow) -> ExecutionRow:
    """An execution from the result of a run after another result: the larger one, which contains the other. The same
    object if nothing changes."""
    return (known[0], *seen[1:]) if _rank(seen) > _rank(known) else known


def preferred(first: ExecutionRow, second: ExecutionRow) -> ExecutionRow:
    """Of two versions of one execution, from two stores, the one to keep, in whichever order they are given: the better
    usage, then the later end, then the one that was priced again, then any."""
    return max(first, second, key=preference)


def succeeding(known: ExecutionRow, sent: ExecutionRow) -> ExecutionRow:
    """Of a stored version and one that a machine sends, the one to keep: what the same machine sends later counts, as a
    price that was corrected, unless its usage is worse; of versions of two machines, the preferred one."""
    is_later = known[_HOST] == sent[_HOST] and _rank(known) == _rank(sent)
    return sent if is_later else preferred(known, sent)


def preference(row: ExecutionRow) -> tuple[Any, ...]:
    """The order in which versions of one execution are preferred, the best last."""
    rest = tuple((value is not None, str(value)) for value in row[1:])
    return (*_rank(row), row[_END], row[_RECORDED_BASIS] is not None, row[_PRICE_VERSION] or "", rest)


def with_usage(known: ExecutionRow, seen: ExecutionRow) -> ExecutionRow:
    """An execution with the usage of another version of it."""
    row = list(known)
    for index in _USAGE:
        row[index] = seen[index]
    return tuple(row)


def _rank(row: ExecutionRow) -> tuple[bool, int, tuple[int, int]]:
    """Of two usages of one response, the one to keep has the higher rank: known, then certain, then large."""
    return (*certainty(row), usage_size(row))


def certainty(row: ExecutionRow) -> tuple[bool, int]:
    """Whether the usage of a row is known, and how certain it is; a final one is the most certain."""
    return row[_OUTPUT] is not None, _CERTAINTY.get(row[_BASIS], len(_CERTAINTY))


def usage_size(row: ExecutionRow) -> tuple[int, int]:
    """Output tokens, then all tokens: the order in which usages of one response are compared."""
    return row[_OUTPUT] or 0, sum(row[index] or 0 for index in _TOKENS)


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """What a session reports about a sub-agent that ended between `since_us` and `until_us`.

    `basis` is the kind of record, a key of REPORTED_WITHIN_US. `prompt_tokens` and `output_tokens` are those of the
    last response; None if only their sum, `total_tokens`, is reported. `read_us` is the time of the pass that read it.
    """

    run_id: str
    basis: str
    until_us: int
    since_us: int
    total_tokens: int
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    read_us: int = 0


REPORTED_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(ReportedUsage))
"""The stored fields of a report, in order."""

OUTPUT_LIMIT = 200_000
"""More than any model outputs in one response. A report that implies more is about another response."""

REPORTED_WITHIN_US = {"task_result": 600 * SECOND_US, "task_notification": 120 * SECOND_US}
"""How soon after its last response the end of a run is reported. A later report is about a response not read yet."""


def apply_report(report: ReportedUsage, run: list[ExecutionRow]) -> ExecutionRow | None:
    """The last execution of a run (its executions, in order) with the reported output. None if that execution has its
    final usage already or several steps, or if the report is about another response."""
    if not run or run[-1][_BASIS] != PROVISIONAL or run[-1][_STEPS] is not None:
        return None
    if report.until_us - run[-1][_END] > REPORTED_WITHIN_US[report.basis]:
        return None
    last = list(run[-1])
    prompt_tokens = sum(last[index] or 0 for index in _TOKENS if index != _OUTPUT)
    output_tokens = report.output_tokens
    if output_tokens is None:
        output_tokens = report.total_tokens - prompt_tokens
    elif report.prompt_tokens != prompt_tokens:
        return None
    if not (last[_OUTPUT] or 0) <= output_tokens <= OUTPUT_LIMIT or not output_tokens:
        return None
    last[_OUTPUT], last[_BASIS] = output_tokens, report.basis
    return tuple(last)
