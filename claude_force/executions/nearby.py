"""Which executions a sighting can be of although no request id says so.

A sighting is near an execution of the same session that ended within a second with the same tokens, unless its source
has seen the execution already, both have request ids that differ, their models differ, or one of them is a side
request. `NearbyExecutions` finds the nearest one in logarithmic time, also where thousands of executions have the same
session, instant and tokens: those that only their instants and request ids tell apart are one group.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from claude_force.clock import SECOND_US
from claude_force.executions.model_names import parse_model
from claude_force.executions.record import UNKNOWN, ExecutionRow, columns, getter
from claude_force.executions.sightings import TRANSCRIPT, BySource, Sighting, used_nothing

NEARBY_US = SECOND_US
"""Sightings of one response without a request id ended within this time."""

_END, _MODEL, _SESSION, _WORKFLOW = columns("timestamp_us", "model", "session_id", "workflow_id")
_INPUT, _OUTPUT, _READ, _WRITE, _WRITE_1H = columns(
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"
)
_BASIS, _STEPS = columns("usage_basis", "steps")
_used_of = getter(
    "model", "success", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "usage_basis", "steps",
)  # fmt: skip
"""What decides, with source and request id, whether two sightings can be of one response."""


def session_of(row: ExecutionRow) -> str | None:
    """The session that an execution is part of."""
    found: str | None = row[_SESSION] or row[_WORKFLOW]
    return found


def fits(seen: Sighting, known: Iterable[Sighting]) -> bool:
    """Whether a sighting can be of an execution that was seen so, apart from what identifies it."""
    return all(_is_one_response(seen, other) for other in known)


def _is_one_response(seen: Sighting, other: Sighting) -> bool:
    if seen.source == other.source == TRANSCRIPT:
        return False
    if seen.request is not None and other.request is not None and seen.request != other.request:
        return False
    return is_same_model(seen.row[_MODEL], other.row[_MODEL]) and not _are_different_usages(seen.row, other.row)


@lru_cache(maxsize=1024)
def is_same_model(one: str, other: str) -> bool:
    """Whether two names can be of one model: one may have a date, or be the seller's name of it."""
    if one == other or UNKNOWN in (one, other):
        return True
    first, second = parse_model(one), parse_model(other)
    if first is None or second is None or first.claude is None or second.claude is None:
        return False
    return first.claude[1:] == second.claude[1:]


def _are_different_usages(one: ExecutionRow, other: ExecutionRow) -> bool:
    """Whether both usages are final and differ. One with several steps has tokens that others do not count."""
    are_open = any(map(_is_open, (one, other)))
    return not are_open and (_prompt_of(one), one[_OUTPUT]) != (_prompt_of(other), other[_OUTPUT])


def _is_open(row: ExecutionRow) -> bool:
    """Whether the usage of a row may be another in truth."""
    is_final = row[_INPUT] is not None and row[_BASIS] is None and row[_STEPS] is None
    return not is_final or used_nothing(row)


def _prompt_of(row: ExecutionRow) -> tuple[int, int, int]:
    """The tokens of a prompt. Not every source tells the two kinds of cache writes apart."""
    return row[_INPUT], row[_READ], row[_WRITE] + row[_WRITE_1H]


_Place = tuple[str, tuple[int, int, int], int | None]
"""Session, prompt, and output tokens, None for those that are not final: where near sightings are equal."""

_Moment = tuple[int, bytes]
"""When an execution ended, and its uid."""


def _places_of(row: ExecutionRow) -> tuple[_Place, ...]:
    """Where a row is; nowhere if nothing can be near it."""
    session = session_of(row)
    if session is None or row[_INPUT] is None:
        return ()
    prompt, output = _prompt_of(row), row[_OUTPUT] if row[_BASIS] is None else None
    return ((session, prompt, output),) if sum(prompt) + (output or 0) > 0 else ()


@dataclass(slots=True)
class _Group:
    """Executions that only instants and request ids tell apart; `known` is what was seen of one of them, without its
    request ids. Their moments are sorted: of all, and by the one request id that they have (None: they have none)."""

    known: list[Sighting]
    moments: list[_Moment] = field(default_factory=list)
    by_request: dict[bytes | None, list[_Moment]] = field(default_factory=dict)

    def lists(self, requests: set[bytes]) -> Iterator[list[_Moment]]:
        """The lists where an execution with these request ids is."""
        yield self.moments
        if len(requests) < 2:
            yield self.by_request.setdefault(next(iter(requests), None), [])

    def nearest(self, seen: Sighting) -> list[_Moment]:
        """Those that can be the nearest of the executions that the sighting can be of: distance and uid."""
        at_us, request = seen.row[_END], seen.request
        lists = [self.moments] if request is None else [self.by_request.get(key, []) for key in (None, request)]
        return [
            (abs(found - at_us), uid)
            for moments in lists
            for found, uid in _neighbours(moments, at_us)
            if abs(found - at_us) <= NEARBY_US
        ]


def _neighbours(moments: list[_Moment], at_us: int) -> Iterator[_Moment]:
    """The last moment before an instant and the first one from it on; of equal instants the first uid."""
    index = bisect_left(moments, (at_us,))
    if index < len(moments):
        yield moments[index]
    if index > 0:
        yield moments[bisect_left(moments, moments[index - 1][:1])]


@dataclass(slots=True)
class _OfSources:
    """The executions that the same sources have seen. They are sorted into groups when somebody asks for them: in most
    batches nobody does, since the sources are those of all sightings."""

    waiting: dict[bytes, BySource] = field(default_factory=dict)
    groups: dict[_Place, dict[Any, _Group]] = field(default_factory=dict)
    outputs: dict[tuple[str, tuple[int, int, int]], set[int | None]] = field(default_factory=dict)
    _lists: dict[bytes, list[tuple[list[_Moment], _Moment]]] = field(default_factory=dict)

    def drop(self, uid: bytes) -> None:
        """Forget an execution."""
        self.waiting.pop(uid, None)
        for moments, moment in self._lists.pop(uid, ()):
            del moments[bisect_left(moments, moment)]

    def find(self, seen: Sighting) -> Iterator[_Moment]:
        """See `_Group.nearest`."""
        for uid, known in self.waiting.items():
            self._sort_in(uid, known)
        self.waiting.clear()
        for place in self._candidates(seen):
            for group in self.groups.get(place, {}).values():
                if _is_alike(seen, group.known):
                    yield from group.nearest(seen)

    def _candidates(self, seen: Sighting) -> Iterator[_Place]:
        """Where executions with an equal usage are: an output that is not final equals any."""
        for session, prompt, output in _places_of(seen.row):
            outputs = self.outputs.get((session, prompt), set())
            for known in outputs if output is None else outputs & {output, None}:
                yield session, prompt, known

    def _sort_in(self, uid: bytes, known: BySource) -> None:
        seen = list(known.values())
        shape = tuple((one.source, one.is_side_request, _used_of(one.row)) for one in seen)
        requests = {one.request for one in seen if one.request is not None}
        lists = self._lists[uid] = []
        for moment, place in {((one.row[_END], uid), place) for one in seen for place in _places_of(one.row)}:
            groups = self.groups.setdefault(place, {})
            self.outputs.setdefault(place[:2], set()).add(place[2])
            if shape not in groups:
                groups[shape] = _Group([one._replace(request=None) for one in seen])
            for moments in groups[shape].lists(requests):
                insort(moments, moment)
                lists.append((moments, moment))


def _is_alike(seen: Sighting, known: Iterable[Sighting]) -> bool:
    is_side = seen.is_side_request
    return all(other.is_side_request == is_side for other in known) and fits(seen, known)


@dataclass(slots=True)
class NearbyExecutions:
    """Executions by what was seen of them."""

    _of_sources: dict[frozenset[str], _OfSources] = field(default_factory=dict)
    _sources: dict[bytes, frozenset[str]] = field(default_factory=dict)

    def note(self, uid: bytes, known: Mapping[str, Sighting]) -> None:
        """Take in an execution, or what is known of it now."""
        if uid in self._sources:
            self.drop(uid)
        sources = self._sources[uid] = _names(*known)
        of_sources = self._of_sources.get(sources)
        if of_sources is None:
            of_sources = self._of_sources[sources] = _OfSources()
        of_sources.waiting[uid] = known

    def drop(self, uid: bytes) -> None:
        """Forget an execution."""
        sources = self._sources.pop(uid, None)
        if sources is not None:
            self._of_sources[sources].drop(uid)

    def find(self, seen: Sighting) -> bytes | None:
        """The nearest execution that a sighting can be of; None if there is none."""
        found: list[_Moment] = []
        for sources, executions in self._of_sources.items():
            if seen.source not in sources:
                found += executions.find(seen)
        return min(found)[1] if found else None


@lru_cache(maxsize=64)
def _names(*sources: str) -> frozenset[str]:
    return frozenset(sources)
