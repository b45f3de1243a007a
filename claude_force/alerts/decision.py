"""Decides whether an alert fires and whether to notify: a pure function of rule, measurement, earlier status and time.

The states are those of Prometheus:

    ok -> pending (breached for less than `for`) -> firing -> resolved (within its threshold for `keep_firing_for`)

`no data` is beside them: an alert that cannot be measured. A firing alert that cannot be measured keeps firing and
sends nothing, because a broken ingest must not resolve every alert.

An episode is one firing, from trigger to resolve. It is notified once when it begins, again after each repeat
interval, and once when it is resolved, if it was notified at all. Remembered instants that lie in the future come from
a wrong clock, and count as now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from claude_force.alerts.notification import Action
from claude_force.alerts.rules import Rule
from claude_force.clock import DAY_US
from claude_force.executions.totals import Totals

RESOLVED_SHOWN_US = DAY_US
"""How long an alert stays `resolved` before it becomes `ok`."""


class State(StrEnum):
    """The state of an alert."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    NO_DATA = "no data"


class Reason(StrEnum):
    """Why an alert is in its state, and why a notification was sent or not. The names are stored, the values shown."""

    WELL = "within its threshold"
    WAITING = "breached, not for long enough yet"
    BEGAN = "breached for long enough"
    GOES_ON = "still breached, already notified"
    REPEATED = "still breached, notified again"
    SILENCED = "breached, silenced"
    NO_CHANNEL = "breached, no channel to notify"
    KEPT = "within its threshold, not for long enough yet"
    ENDED = "within its threshold for long enough"
    HELD = "no data, keeps firing"
    TOO_FEW = "too few samples"
    NO_REFERENCE = "nothing to compare with"
    NO_PRICE = "no known price"
    NOT_OBSERVED = "not observed since its last reset"
    REMOVED = "its rule was removed"
    DISABLED = "its rule was switched off"
    REGROUPED = "its rule groups in another way"


class Outlook(NamedTuple):
    """How the limit of a plan goes on: when it runs out at its present rate, or was found used up, and when it is
    reset. None: it does not run out before its reset, or that is unknown. `host` is the machine that observed it."""

    runs_out_at: datetime | None
    resets_at: datetime | None
    host: str
    is_used_up: bool = False


class Measurement(NamedTuple):
    """What a rule measured for one group.

    `value` and `limit` are in the unit of the metric; one that is unknown is None, and `lack` says why. `samples`
    counts executions. `reference` is what `limit` was computed from, for rules that compare. `totals` are the sums of
    the window. `outlook` is there for the limits of plans alone.
    """

    value: float | None
    limit: float | None
    samples: int
    lack: Reason | None = None
    reference: float | None = None
    totals: Totals = Totals()
    outlook: Outlook | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is remembered of an alert between two evaluations.

    `breached_us`: breached without a break since then. `cleared_us`: a firing alert, within its threshold since then.
    `notified_us`: the last trigger or repeat of the episode; None if there was none.
    """

    state: State = State.OK
    reason: Reason = Reason.WELL
    since_us: int = 0
    breached_us: int | None = None
    cleared_us: int | None = None
    notified_us: int | None = None
    episode: str | None = None


class Decision(NamedTuple):
    """The new status of an alert, and the notification to send; None for none."""

    status: Status
    action: Action | None = None


def decide(
    rule: Rule, measured: Measurement, before: Status, now_us: int, *, episode: str, muted: Reason | None = None
) -> Decision:
    """The decision for a measurement. `episode` names the episode if one begins now. `muted` is the reason not to
    notify of a breach, if there is one."""
    before = _not_after(before, now_us)
    if measured.value is None or measured.limit is None:
        return _unmeasured(measured, before, now_us)
    if rule.is_breached(measured.value, measured.limit):
        if before.state is State.FIRING:
            return _still_firing(rule, before, now_us, muted=muted)
        return _breached(rule, before, now_us, episode, muted=muted)
    return _within_threshold(rule, before, now_us)


def close(before: Status, now_us: int, reason: Reason) -> Decision:
    """The decision for an alert that nothing measures any more. `reason` says what became of its rule."""
    before = _not_after(before, now_us)
    if before.state is State.FIRING:
        return _resolve(before, now_us, reason)
    return _not_firing(before, now_us, reason)


def _not_after(before: Status, now_us: int) -> Status:
    """The status with no instant after now: a clock that was ahead must not delay a notification by years."""
    return replace(
        before,
        since_us=min(before.since_us, now_us),
        breached_us=_earlier(before.breached_us, now_us),
        cleared_us=_earlier(before.cleared_us, now_us),
        notified_us=_earlier(before.notified_us, now_us),
    )


def _earlier(at_us: int | None, now_us: int) -> int | None:
    return None if at_us is None else min(at_us, now_us)


def _unmeasured(measured: Measurement, before: Status, now_us: int) -> Decision:
    if before.state is State.FIRING:
        return Decision(replace(before, reason=Reason.HELD, cleared_us=None))
    return Decision(_in_state(before, State.NO_DATA, measured.lack or Reason.TOO_FEW, now_us))


def _breached(rule: Rule, before: Status, now_us: int, episode: str, *, muted: Reason | None) -> Decision:
    since_us = before.breached_us if before.state is State.PENDING and before.breached_us is not None else now_us
    if now_us - since_us < rule.for_us:
        return Decision(replace(_in_state(before, State.PENDING, Reason.WAITING, now_us), breached_us=since_us))
    fired = replace(_in_state(before, State.FIRING, Reason.BEGAN, now_us), breached_us=since_us, episode=episode)
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


def _within_threshold(rule: Rule, before: Status, now_us: int) -> Decision:
    if before.state is not State.FIRING:
        return _not_firing(before, now_us, Reason.WELL)
    cleared_us = now_us if before.cleared_us is None else before.cleared_us
    if now_us - cleared_us < rule.keep_firing_us:
        return Decision(replace(before, reason=Reason.KEPT, cleared_us=cleared_us))
    return _resolve(before, now_us, Reason.ENDED)


def _not_firing(before: Status, now_us: int, reason: Reason) -> Decision:
    """An alert that does not fire: resolved for a day after it did, else ok."""
    if before.state is State.RESOLVED and now_us - before.since_us < RESOLVED_SHOWN_US:
        return Decision(replace(before, reason=reason))
    return Decision(_in_state(before, State.OK, reason, now_us))


def _resolve(before: Status, now_us: int, reason: Reason) -> Decision:
    """The end of an episode. It is notified only if its trigger was."""
    action: Action | None = "resolve" if before.notified_us is not None else None
    return Decision(replace(_in_state(before, State.RESOLVED, reason, now_us), episode=before.episode), action)


def _in_state(before: Status, state: State, reason: Reason, now_us: int) -> Status:
    """The status of an alert that enters a state now, or stays in it. Timers and the episode belong to the old state
    and are dropped."""
    if before.state is state:
        return Status(state, reason, before.since_us, before.breached_us)
    return Status(state, reason, now_us)
