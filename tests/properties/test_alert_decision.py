"""Laws of alert decisions, for every history of measurements, clocks and silences; and a second implementation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.alerts.decision import (
    RESOLVED_SHOWN_US,
    Decision,
    Measurement,
    Reason,
    State,
    Status,
    close,
    decide,
)
from claude_force.alerts.rules import Rule
from claude_force.clock import MINUTE_US
from tests.profiles import scaled

START_US = 1_762_000_000_000_000
LIMIT = 95.0

laws = settings(max_examples=scaled(300))


class Step(NamedTuple):
    """One evaluation: the time since the last one, the measured value (None: unknown), and whether a silence mutes
    it."""

    gap_us: int
    value: float | None
    muted: bool = False


class Outcome(NamedTuple):
    """The decision of one evaluation."""

    at_us: int
    step: Step
    decision: Decision

    @property
    def action(self) -> str | None:
        """What is sent."""
        return self.decision.action

    @property
    def status(self) -> Status:
        """The status of the alert."""
        return self.decision.status


def a_rule(for_us: int = 0, keep_us: int = 0, repeat_us: int = 240 * MINUTE_US, operator: Any = "<") -> Rule:
    """A rule on the success rate."""
    return Rule(
        "mine", "success_rate", operator, LIMIT, 60 * MINUTE_US, "Mine",
        for_us=for_us, keep_firing_us=keep_us, repeat_us=repeat_us,
    )  # fmt: skip


def play(rule: Rule, steps: Iterable[Step], before: Status | None = None) -> list[Outcome]:
    """The decisions of a history of evaluations."""
    status, at_us, found = before or Status(), START_US, []
    for number, step in enumerate(steps):
        at_us += step.gap_us
        measured = Measurement(step.value, None if step.value is None else LIMIT, 10, None)
        muted = Reason.SILENCED if step.muted else None
        decision = decide(rule, measured, status, at_us, episode=f"{number}", muted=muted)
        assert decision == decide(rule, measured, status, at_us, episode=f"{number}", muted=muted)
        found.append(Outcome(at_us, step, decision))
        status = decision.status
    return found


def is_breach(rule: Rule, value: float | None) -> bool:
    """Whether a value breaches the limit, written out operator by operator."""
    if value is None:
        return False
    table = {"<": value < LIMIT, "<=": value <= LIMIT, ">": value > LIMIT, ">=": value >= LIMIT}
    return table[rule.operator]


spans = st.one_of(st.just(0), st.integers(1, 30).map(lambda minutes: minutes * MINUTE_US))
rules = st.builds(
    a_rule,
    spans,
    spans,
    st.integers(1, 90).map(lambda minutes: minutes * MINUTE_US),
    st.sampled_from(("<", "<=", ">", ">=")),
)
values = st.sampled_from((90.0, 90.0, 95.0, 99.0, 99.0, None))
forward = st.one_of(
    st.sampled_from((0, 1, MINUTE_US, MINUTE_US, 10 * MINUTE_US, RESOLVED_SHOWN_US, 400 * RESOLVED_SHOWN_US)),
    st.integers(0, 60 * MINUTE_US),
)
any_gap = st.one_of(forward, st.sampled_from((-1, -MINUTE_US, -60 * MINUTE_US, -365 * RESOLVED_SHOWN_US)))


def steps_of(gaps: st.SearchStrategy[int]) -> st.SearchStrategy[list[Step]]:
    """Histories, often with several equal evaluations in a row."""
    one = st.builds(Step, gaps, values, st.sampled_from((False, False, False, True)))
    runs = st.lists(st.tuples(one, st.sampled_from((1, 1, 2, 5))), max_size=25)
    return runs.map(lambda found: [step for step, times in found for _ in range(times)])


@laws
@given(rules, steps_of(any_gap))
def test_an_episode_has_one_trigger_and_at_most_one_resolve(rule: Rule, steps: list[Step]) -> None:
    """Each notified episode begins with its only trigger, and its resolve, if any, is last; whatever the clock does."""
    sent: dict[str | None, list[str]] = {}
    for outcome in play(rule, steps):
        if outcome.action:
            sent.setdefault(outcome.status.episode, []).append(outcome.action)
    assert None not in sent
    for actions in sent.values():
        assert actions[0] == "trigger"
        assert actions.count("trigger") == 1
        assert "resolve" not in actions[:-1]


@laws
@given(rules, steps_of(any_gap))
def test_unknown_or_silenced_alerts_send_nothing(rule: Rule, steps: list[Step]) -> None:
    """Without data, nothing is sent and nothing resolves. In a silence, only a resolve is sent. A trigger or repeat is
    of a breach."""
    before = Status()
    for outcome in play(rule, steps):
        if outcome.step.value is None:
            assert outcome.action is None
            assert (outcome.status.state is State.FIRING) == (before.state is State.FIRING)
        if outcome.step.muted:
            assert outcome.action in (None, "resolve")
        if outcome.action in ("trigger", "repeat"):
            assert is_breach(rule, outcome.step.value)
        if outcome.action == "resolve":
            assert before.state is State.FIRING
            assert not is_breach(rule, outcome.step.value)
        before = outcome.status


@laws
@given(rules, steps_of(any_gap))
def test_what_still_fires_after_a_silence_is_notified_at_once(rule: Rule, steps: list[Step]) -> None:
    """An episode that was not notified is notified at the first evaluation that finds a breach and no silence."""
    for outcome in play(rule, steps):
        if outcome.status.state is State.FIRING and is_breach(rule, outcome.step.value) and not outcome.step.muted:
            assert outcome.status.notified_us is not None


@laws
@given(rules, steps_of(forward))
def test_an_alert_fires_only_after_for(rule: Rule, steps: list[Step]) -> None:
    """An episode begins as soon as every evaluation found a breach for as long as `for`, and not before."""
    unbroken_since: int | None = None
    before = State.OK
    for outcome in play(rule, steps):
        if not is_breach(rule, outcome.step.value):
            unbroken_since = None
        elif unbroken_since is None:
            unbroken_since = outcome.at_us
        has_held = unbroken_since is not None and outcome.at_us - unbroken_since >= rule.for_us
        if before is not State.FIRING:
            assert (outcome.status.state is State.FIRING) == has_held
        before = outcome.status.state


@laws
@given(rules, steps_of(forward))
def test_repeats_are_one_interval_apart(rule: Rule, steps: list[Step]) -> None:
    """Between a notification and a repeat is at least the repeat interval; and no unsilenced breach lasts longer
    without one."""
    last: dict[str | None, int] = {}
    for outcome in play(rule, steps):
        episode = outcome.status.episode
        if outcome.action == "repeat":
            assert outcome.at_us - last[episode] >= rule.repeat_us
        if outcome.action in ("trigger", "repeat"):
            last[episode] = outcome.at_us
        elif is_breach(rule, outcome.step.value) and not outcome.step.muted and episode in last:
            assert outcome.at_us - last[episode] < rule.repeat_us


@laws
@given(rules, steps_of(forward))
def test_triggers_of_one_alert_are_apart(rule: Rule, steps: list[Step]) -> None:
    """Between two triggers of an alert are at least `for` and `keep_firing_for`."""
    pages = [outcome.at_us for outcome in play(rule, steps) if outcome.action == "trigger"]
    for first, second in pairwise(pages):
        assert second - first >= rule.for_us + rule.keep_firing_us


@laws
@given(rules, steps_of(forward))
def test_an_alert_resolves_only_after_keep_firing_for(rule: Rule, steps: list[Step]) -> None:
    """An episode is resolved as soon as every evaluation was within the threshold for as long as `keep_firing_for`, and
    not before."""
    well_since: int | None = None
    before = State.OK
    for outcome in play(rule, steps):
        is_well = outcome.step.value is not None and not is_breach(rule, outcome.step.value)
        if before is State.FIRING:
            well_since = None if not is_well else outcome.at_us if well_since is None else well_since
            has_ended = well_since is not None and outcome.at_us - well_since >= rule.keep_firing_us
            assert (outcome.status.state is State.RESOLVED) == has_ended
        else:
            well_since = None
        before = outcome.status.state


@laws
@given(
    st.integers(2, 30),
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=20),
)
def test_flapping_faster_than_keep_firing_for_notifies_once(keep_minutes: int, flaps: list[tuple[int, int]]) -> None:
    """An alert that is within its threshold for less than `keep_firing_for`, again and again, neither resolves nor
    begins again."""
    rule = a_rule(0, keep_minutes * MINUTE_US, 10**9 * MINUTE_US)
    steps = [Step(0, 90.0)]
    for well, bad in flaps:
        steps += [Step(MINUTE_US, 99.0), Step(min(well, keep_minutes) * MINUTE_US - 1, 99.0), Step(1, 90.0)]
        steps.append(Step(bad * MINUTE_US, 90.0))
    sent = [outcome.action for outcome in play(rule, steps) if outcome.action]
    assert sent == ["trigger"]


@pytest.mark.parametrize("ahead_us", [1, 60 * MINUTE_US, 3650 * RESOLVED_SHOWN_US])
def test_a_clock_that_was_ahead_delays_nothing(ahead_us: int) -> None:
    """Instants in the future count as now: trigger, repeat and resolve come in time."""
    rule = a_rule(5 * MINUTE_US, 5 * MINUTE_US, 60 * MINUTE_US)
    steps = [
        Step(ahead_us, 90.0), Step(-ahead_us, 90.0), Step(5 * MINUTE_US, 90.0),
        Step(ahead_us, 90.0), Step(-ahead_us, 90.0), Step(60 * MINUTE_US, 90.0),
        Step(ahead_us, 99.0), Step(-ahead_us, 99.0), Step(5 * MINUTE_US, 99.0),
    ]  # fmt: skip
    states = [outcome.status.state for outcome in play(rule, steps)]
    assert states[0] is State.PENDING
    assert states[2] is State.FIRING
    assert states[-1] is State.RESOLVED


def test_a_resolved_alert_stays_resolved_for_a_day() -> None:
    """Whoever looks the next morning sees that it fired; then it is ok."""
    steps = [Step(0, 90.0), Step(1, 99.0), Step(RESOLVED_SHOWN_US - 1, 99.0), Step(1, 99.0)]
    states = [outcome.status.state for outcome in play(a_rule(), steps)]
    assert states == [State.FIRING, State.RESOLVED, State.RESOLVED, State.OK]


@laws
@given(rules, steps_of(any_gap))
def test_removing_a_rule_resolves_what_was_notified(rule: Rule, steps: list[Step]) -> None:
    """The alert of a removed rule is resolved where it was notified, once, and stays resolved for a day."""
    played = play(rule, steps)
    before = played[-1].status if played else Status()
    at_us = played[-1].at_us if played else START_US
    closed = close(before, at_us, Reason.REMOVED)
    was_notified = before.state is State.FIRING and before.notified_us is not None
    assert closed.action == ("resolve" if was_notified else None)
    assert closed.status.reason is Reason.REMOVED
    if before.state is State.FIRING:
        assert closed.status.state is State.RESOLVED
        assert close(closed.status, at_us + RESOLVED_SHOWN_US - 1, Reason.REMOVED) == (closed.status, None)
    assert close(closed.status, at_us + RESOLVED_SHOWN_US, Reason.REMOVED).status.state is State.OK


@dataclass
class Model:
    """A second implementation: it remembers everything that happened to an alert, and no state. The clock only goes
    forward."""

    rule: Rule
    seen: list[tuple[int, str]] = field(default_factory=list)
    fires: bool = False
    notified_us: int | None = None

    def next(self, at_us: int, step: Step) -> tuple[bool, str | None]:
        """Whether it fires, and what is sent."""
        kind = "none" if step.value is None else "bad" if is_breach(self.rule, step.value) else "well"
        self.seen.append((at_us, kind))
        if not self.fires and self._length("bad", at_us, self.rule.for_us):
            self.fires, self.notified_us, self.seen = True, None, [(at_us, kind)]
        elif self.fires and self._length("well", at_us, self.rule.keep_firing_us):
            notified_us = self.notified_us
            self.fires, self.seen = False, [(at_us, kind)]
            return False, None if notified_us is None else "resolve"
        if not self.fires or kind != "bad" or step.muted:
            return self.fires, None
        if self.notified_us is not None and at_us - self.notified_us < self.rule.repeat_us:
            return True, None
        action = "trigger" if self.notified_us is None else "repeat"
        self.notified_us = at_us
        return True, action

    def _length(self, kind: str, at_us: int, least_us: int) -> bool:
        """Whether the last evaluations, over this time, were all of one kind."""
        first = None
        for when, what in reversed(self.seen):
            if what != kind:
                break
            first = when
        return first is not None and at_us - first >= least_us


@settings(laws, max_examples=scaled(600))
@given(rules, steps_of(forward))
def test_a_second_implementation_agrees(rule: Rule, steps: list[Step]) -> None:
    """A model without states, which looks at the whole history, decides the same at each evaluation."""
    model = Model(rule)
    for outcome in play(rule, steps):
        fires, action = model.next(outcome.at_us, outcome.step)
        assert ((outcome.status.state is State.FIRING), outcome.action) == (fires, action)
