"""Whether somebody is to be told: a pure function of a rule, a measurement, what was known before, and the time.

The life of an alert is that of Prometheus: ok, pending while a breach is younger than the rule's `for`, firing, and
resolved once it has been well for as long as `keep_firing_for`. What cannot be measured is `no data`, but an alert that
fires goes on firing, silently: that nothing runs does not mean that all is well.

An episode is one firing, from its beginning to its end. It is told once at its beginning, again after each repeat
interval, and once at its end if anything was told before. What is remembered of a future that a wrong clock showed is
taken for now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from claude_force.alerts.notification import Action
from claude_force.alerts.rules import Rule
from claude_force.clock import DAY_US

RESOLVED_SHOWN_US = DAY_US
"""For so long a resolved alert is called so; then it is ok."""


class State(StrEnum):
    """Where an alert stands."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    NO_DATA = "no data"


class Reason(StrEnum):
    """Why an alert stands where it stands, and why somebody was told or not."""

    WELL = "within its threshold"
    WAITING = "breached, not for long enough yet"
    BEGAN = "breached for long enough"
    GOES_ON = "still breached, told already"
    REPEATED = "still breached, told again"
    SILENCED = "breached, silenced"
    NO_CHANNEL = "breached, no channel to tell it on"
    KEPT = "well again, not for long enough yet"
    ENDED = "well for long enough"
    HELD = "not measured, goes on firing"
    TOO_FEW = "too few samples"
    NO_REFERENCE = "nothing to compare with"
    NO_PRICE = "no known price"
    REMOVED = "no rule names it"


class Measurement(NamedTuple):
    """What a rule came to for one combination of labels. `value` and `limit` are in the unit of the metric; None, with
    the reason in `lack`, where they cannot be told. `samples` are executions. `reference` is what `limit` was made
    from, where the rule compares."""

    value: float | None
    limit: float | None
    samples: int
    lack: Reason | None = None
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of an alert. `breached_us` is since when it is breached without a break, `cleared_us` since when a
    firing one is well, `notified_us` when its episode was told last (None: not at all)."""

    state: State = State.OK
    reason: Reason = Reason.WELL
    since_us: int = 0
    breached_us: int | None = None
    cleared_us: int | None = None
    notified_us: int | None = None
    episode: str | None = None


class Decision(NamedTuple):
    """What an alert is from now on, and what is to be told; None for nothing."""

    status: Status
    action: Action | None = None


def decide(
    rule: Rule, found: Measurement, before: Status, now_us: int, *, episode: str, muted: Reason | None = None
) -> Decision:
    """What follows from a measurement. `episode` is the name of the episode, should one begin now; `muted` says why
    nobody is to be told of a breach, where that is so."""
    before = _not_after(before, now_us)
    if found.value is None or found.limit is None:
        return _unmeasured(found, before, now_us)
    if rule.is_breached(found.value, found.limit):
        if before.state is State.FIRING:
            return _still_firing(rule, before, now_us, muted=muted)
        return _breached(rule, before, now_us, episode, muted=muted)
    return _well(rule, before, now_us)


def end(before: Status, now_us: int) -> Decision:
    """What becomes of an alert that nothing measures any more: its rule was removed, or changed what it is grouped
    by."""
    if before.state is State.FIRING:
        return _resolved(before, now_us, Reason.REMOVED)
    return Decision(_moved(before, State.OK, Reason.REMOVED, now_us))


def _not_after(before: Status, now_us: int) -> Status:
    """The status with no instant after now: a clock that was ahead must not hold back a page, or an end, for years."""
    return replace(
        before,
        since_us=min(before.since_us, now_us),
        breached_us=_earlier(before.breached_us, now_us),
        cleared_us=_earlier(before.cleared_us, now_us),
        notified_us=_earlier(before.notified_us, now_us),
    )


def _earlier(at_us: int | None, now_us: int) -> int | None:
    return None if at_us is None else min(at_us, now_us)


def _unmeasured(found: Measurement, before: Status, now_us: int) -> Decision:
    if before.state is State.FIRING:
        return Decision(replace(before, reason=Reason.HELD, cleared_us=None))
    return Decision(_moved(before, State.NO_DATA, found.lack or Reason.TOO_FEW, now_us))


def _breached(rule: Rule, before: Status, now_us: int, episode: str, *, muted: Reason | None) -> Decision:
    since_us = before.breached_us if before.state is State.PENDING and before.breached_us is not None else now_us
    if now_us - since_us < rule.for_us:
        return Decision(replace(_moved(before, State.PENDING, Reason.WAITING, now_us), breached_us=since_us))
    fired = replace(_moved(before, State.FIRING, Reason.BEGAN, now_us), breached_us=since_us, episode=episode)
    if muted:
        return Decision(replace(fired, reason=muted))
    return Decision(replace(fired, notified_us=now_us), "trigger")


def _still_firing(rule: Rule, before: Status, now_us: int, *, muted: Reason | None) -> Decision:
    status = replace(before, cleared_us=None)
    if muted:
        return Decision(replace(status, reason=muted))
    if before.notified_us is None:
        return Decision(replace(status, reason=Reason.BEGAN, notified_us=now_us), "trigger")
    if now_us - before.notified_us >= rule.repeat_us:
        return Decision(replace(status, reason=Reason.REPEATED, notified_us=now_us), "repeat")
    return Decision(replace(status, reason=Reason.GOES_ON))


def _well(rule: Rule, before: Status, now_us: int) -> Decision:
    if before.state is State.FIRING:
        cleared_us = now_us if before.cleared_us is None else before.cleared_us
        if now_us - cleared_us < rule.keep_firing_us:
            return Decision(replace(before, reason=Reason.KEPT, cleared_us=cleared_us))
        return _resolved(before, now_us, Reason.ENDED)
    if before.state is State.RESOLVED and now_us - before.since_us < RESOLVED_SHOWN_US:
        return Decision(replace(before, reason=Reason.WELL))
    return Decision(_moved(before, State.OK, Reason.WELL, now_us))


def _resolved(before: Status, now_us: int, reason: Reason) -> Decision:
    """The end of an episode, which is told where its beginning was."""
    action: Action | None = "resolve" if before.notified_us is not None else None
    return Decision(replace(_moved(before, State.RESOLVED, reason, now_us), episode=before.episode), action)


def _moved(before: Status, state: State, reason: Reason, now_us: int) -> Status:
    """In a state, since now unless it was in it before. Nothing else is kept: timers and episodes belong to states."""
    if before.state is state:
        return Status(state, reason, before.since_us, before.breached_us)
    return Status(state, reason, now_us)
