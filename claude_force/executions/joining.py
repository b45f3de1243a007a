"""Joining: which execution a sighting is of, where telemetry takes part.

| a sighting is of an execution if                         | unless                                                    |
|----------------------------------------------------------|-----------------------------------------------------------|
| it has an identity of it                                 |                                                           |
| it has the same request id                               | the model is another, or both usages are final and        |
|                                                          | differ, or both are lines of transcripts: gateways        |
|                                                          | repeat request ids                                        |
| no request id says so, but session, model and tokens are | the source has seen the execution already, or both have   |
| equal and they ended within a second; the nearest one    | request ids, and these differ, or it is a side request,   |
|                                                          | which no transcript has                                   |

The last rule is for gateways that give no request ids, and for executions that version 2.2 stored, which did not keep
the request id. Two executions that both fit have equal tokens, so the sums are right whichever is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from claude_force.executions.content_uids import content_identity
from claude_force.executions.deduplication import AMBIGUOUS, REPLAY, EntityResolver, Observation, merge, merge_new
from claude_force.executions.nearby import NearbyExecutions, fits
from claude_force.executions.record import TELEMETRY, ExecutionRow, columns
from claude_force.executions.sightings import (
    EVENT,
    TRANSCRIPT,
    BySource,
    Price,
    Sighting,
    merge_again,
    merge_sightings,
    merge_source,
)

_END, _SOURCE = columns("timestamp_us", "source")


def implied_sightings(row: ExecutionRow) -> dict[str, Sighting]:
    """What was seen of an execution of which no sightings are stored: its own source saw all of it."""
    source = EVENT if row[_SOURCE] == TELEMETRY else TRANSCRIPT
    return {source: Sighting(source, (b"", *row[1:]))}


@dataclass(slots=True)
class JoiningResolver(EntityResolver):
    """Finds the execution of each observation, also by request id, and keeps what each source says of it.

    `stored` are executions that observations may be of, by uid, and `sightings` what was seen of them, by uid and
    source. `gone` are executions that telemetry alone saw, and that were archived. After `finish`, `merged` are the
    executions of which something was seen. `absorbed` are stored executions that turned out to be of others.
    """

    stored: dict[bytes, ExecutionRow] = field(default_factory=dict)
    sightings: dict[bytes, dict[str, Sighting]] = field(default_factory=dict)
    gone: set[bytes] = field(default_factory=set)
    merged: dict[bytes, ExecutionRow] = field(default_factory=dict)
    absorbed: list[ExecutionRow] = field(default_factory=list)
    _touched: set[bytes] = field(default_factory=set)
    _near: NearbyExecutions = field(default_factory=NearbyExecutions)
    _saved: dict[bytes, dict[str, Sighting]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._saved = {uid: dict(found) for uid, found in self.sightings.items()}
        for uid, row in self.stored.items():
            if uid not in self.sightings:
                self.sightings[uid] = implied_sightings(row)
            self._near.note(uid, self.sightings[uid])

    def match_all(self, observations: Iterable[Observation]) -> None:
        """Match observations: first those that an identity or a request id tells."""
        late: list[Observation] = []
        for observation in observations:
            if observation.sighting is None or self._is_told(observation):
                self.match(observation)
            else:
                late.append(observation)
        for observation in late:
            self.match(observation)

    def match(self, observation: Observation) -> None:
        """Match the next observation."""
        if not observation.is_result:
            observation = self._joined(observation)
        EntityResolver.match(self, observation)
        uid = self.known.get(observation.identities[0], REPLAY)
        if uid != REPLAY and not observation.is_result:
            self._see(uid, observation)

    def finish(self, price: Price | None) -> None:
        """Merge the executions of which something was seen."""
        for uid in sorted(self._touched):
            found = self.sightings[uid].values()
            if uid in self.new_rows:
                self.merged[uid] = self.new_rows[uid] = merge_sightings(uid, found, price)
            elif uid in self.stored:
                self.merged[uid] = merge_again(self.stored[uid], found, price)

    def revised(self) -> Iterator[tuple[ExecutionRow, ExecutionRow]]:
        """The stored executions that change, before and after."""
        for uid, after in self.merged.items():
            before = self.stored.get(uid, after)
            if after != before:
                yield before, after

    def joined(self) -> Iterator[tuple[bytes, ExecutionRow, BySource]]:
        """The sightings to store: those of executions that telemetry saw, each with its uid and as it is now."""
        for uid, row in self.merged.items():
            found = self.sightings[uid]
            has_changed = found != self._saved.get(uid) or row != self.stored.get(uid)
            if has_changed and found.keys() != {TRANSCRIPT}:
                yield uid, row, found

    def _is_told(self, observation: Observation) -> bool:
        return self._is_known(observation) or self._by_request(observation) is not None

    def _is_known(self, observation: Observation) -> bool:
        return not self.known.keys().isdisjoint(observation.identities)

    def _joined(self, observation: Observation) -> Observation:
        """The observation, whose identity is known if it is of a known execution."""
        if self._is_known(observation):
            return observation
        uid = self._by_request(observation) or self._near.find(sighting_of(observation))
        replay = self._replay_of(observation)
        if uid in self.sightings and replay is not None and uid != replay:
            self._absorb(uid, replay)
        elif uid is not None:
            key = observation.identities[0]
            self.known[key] = self.remembered[key] = uid
        elif observation.sighting is not None and observation.request in self.known:
            # Another response has this request id, and a uid that is made of it.
            row = observation.row
            return observation._replace(row=(content_identity(row[_END], observation.identities[0], 0), *row[1:]))
        return observation

    def _replay_of(self, observation: Observation) -> bytes | None:
        """The execution that a replay of this response in a sub-agent's transcript was taken for."""
        if observation.sighting is not None or observation.is_sidechain:
            return None
        found = (self.known.get(key, AMBIGUOUS) for key in observation.other_side)
        return next((uid for uid in found if uid != AMBIGUOUS and uid in self.sightings), None)

    def _absorb(self, uid: bytes, other: bytes) -> None:
        """Let an execution that telemetry alone saw be of another one."""
        for source, seen in self.sightings.pop(uid).items():
            known = self.sightings[other].get(source)
            self.sightings[other][source] = seen if known is None else merge_source(known, seen)
        if self.new_rows.pop(uid, None) is None:
            self.absorbed.append(self.stored.pop(uid))
        self._touched.discard(uid)
        self._touched.add(other)
        self._near.drop(uid)
        self._near.note(other, self.sightings[other])
        for key in [key for key, known_uid in self.known.items() if known_uid == uid]:
            self.known[key] = self.remembered[key] = other

    def _by_request(self, observation: Observation) -> bytes | None:
        """The execution with the same request id, if it can be the same."""
        uid = self.known.get(observation.request or b"", AMBIGUOUS)
        if uid in (AMBIGUOUS, REPLAY):
            return None
        found = self.sightings.get(uid)
        if found is None:
            # It was archived or deleted: it is not counted again. Another message of a transcript may be another one.
            return uid if observation.sighting is not None or uid in self.gone else None
        return uid if fits(sighting_of(observation), found.values()) else None

    def _see(self, uid: bytes, observation: Observation) -> None:
        """Keep what an observation says of an execution."""
        found = self.sightings.setdefault(uid, {})
        seen = sighting_of(observation)
        known = found.get(seen.source)
        if observation.sighting is not None:
            found[seen.source] = seen if known is None else merge_source(known, seen)
        elif known is None or self._first.get(uid) is observation:
            # A replay that came before its original gives way to it. Of stored transcripts the request id is not known.
            found[TRANSCRIPT] = seen._replace(request=None)
            if uid in self._first:
                self._first[uid] = observation
        elif uid in self.new_rows:
            found[TRANSCRIPT] = known._replace(row=merge_new(known.row, observation))
        else:
            is_continuation = observation.is_continuation_of(known.row)
            found[TRANSCRIPT] = known._replace(row=merge(known.row, observation.row, is_continuation=is_continuation))
        self._touched.add(uid)
        self._near.note(uid, found)


def sighting_of(observation: Observation) -> Sighting:
    """What an observation says of its execution."""
    if observation.sighting is not None:
        return observation.sighting
    return Sighting(TRANSCRIPT, (b"", *observation.row[1:]), short_key(observation.request))


def short_key(request: bytes | None) -> bytes | None:
    """The key of a request id as sightings have it: without its time."""
    return None if request is None else request[8:]
