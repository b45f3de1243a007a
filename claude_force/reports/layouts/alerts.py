"""How alerts look: a line, a table, an explanation, and the same for JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from claude_force import clock
from claude_force.alerts import wording
from claude_force.alerts.check import AlertSetup
from claude_force.alerts.decision import State
from claude_force.alerts.evaluation import Alert, Evaluation
from claude_force.alerts.notification import rule_in
from claude_force.alerts.rules import Rule
from claude_force.database.rows.alerts import DELIVERED, FAILED, SKIPPED, WAITING, Delivery, EventRow, Silence
from claude_force.executions.record import UNKNOWN
from claude_force.formatting import NONE, quantity
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table, wrap_lines

_FATES = {
    WAITING: "waits to be delivered",
    DELIVERED: "delivered",
    FAILED: "could not be delivered",
    SKIPPED: "not sent: its beginning was never delivered",
}


def _time(instant_us: int | None) -> str:
    """A local date and time, to the minute."""
    return f"{clock.to_datetime(instant_us, clock.local_zone()):%Y-%m-%d %H:%M}" if instant_us else NONE


def _instant(instant_us: int | None) -> str | None:
    return clock.format_instant(instant_us, clock.local_zone()) if instant_us else None


def _value(alert: Alert) -> str:
    return wording.value(alert.found.measurement, alert.rule)


def alert_dict(alert: Alert) -> dict[str, Any]:
    """An alert for JSON. Values and limits are in the unit of the metric, rates in percent."""
    measured, status = alert.found.measurement, alert.status
    return {
        "rule": alert.name,
        "labels": dict(alert.labels),
        "severity": alert.severity,
        "condition": alert.rule and wording.condition(alert.rule),
        "state": status.state.value,
        "since": _instant(status.since_us),
        "reason": status.reason.value,
        "value": measured.value,
        "threshold": measured.limit,
        "reference": measured.reference,
        "samples": measured.samples,
        "would": alert.decision.action,
    }


def event_dict(event: EventRow) -> dict[str, Any]:
    """A transition for JSON."""
    return {
        "at": _instant(event.at_us),
        "rule": event.rule,
        "labels": json.loads(event.labels),
        "severity": event.severity,
        "from": event.before,
        "to": event.after,
        "reason": wording.kept_reason(event.reason),
        "value": event.value,
        "samples": event.samples,
        "episode": event.episode,
    }


def delivery_dict(delivery: Delivery) -> dict[str, Any]:
    """A delivery for JSON, without what was said."""
    return {
        "channel": delivery.channel,
        "rule": rule_in(delivery.notice),
        "action": delivery.action,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "created": _instant(delivery.created_us),
        "due": _instant(delivery.due_us) if delivery.status == WAITING else None,
        "finished": _instant(delivery.finished_us),
        "problem": delivery.problem,
        "episode": delivery.episode,
    }


def alert_line(alert: Alert) -> str:
    """An alert in one line."""
    moved = f" (was {alert.before.state})" if alert.has_moved else ""
    name, status = wording.name(alert.name, alert.labels), alert.status
    return f"{name}: {status.state}{moved}, {_value(alert)}; {wording.reason(status.reason, alert.rule)}"


def list_page(found: Evaluation, setup: AlertSetup) -> Page:
    """Every alert, those that fire first."""
    order = [State.FIRING, State.PENDING, State.NO_DATA, State.RESOLVED, State.OK]
    ordered = sorted(found.alerts, key=lambda alert: order.index(alert.status.state))
    columns = [
        Column("Alert", "name", 20), Column("State", "text"), Column("Now"), Column("Fires at", "name", 16),
        Column("Over", "text"),
    ]  # fmt: skip
    rows = [
        [
            wording.name(alert.name, alert.labels),
            alert.status.state.upper() if alert.status.state is State.FIRING else alert.status.state.value,
            _value(alert),
            wording.threshold(alert.rule) if alert.rule else "(removed)",
            wording.period(alert.rule).removeprefix("Last ").lower() if alert.rule else NONE,
        ]
        for alert in ordered
    ]
    told = f"Told by: {', '.join(setup.channels)}" if setup.channels else _NO_CHANNEL
    return Page("Alerts", [Table(columns, rows), Section(None, wrap_lines(told))])


_NO_CHANNEL = "Nobody is told: there is no channel (performance.channels; docs/how-to/alert-channels.md)"


def history_page(events: Sequence[EventRow], failed: Sequence[Delivery], days: int, rules: Sequence[Rule]) -> Page:
    """Transitions, then what could not be delivered. Values are in words where the rule is still among `rules`."""
    known = {rule.name: rule for rule in rules}
    page = Page(f"Alerts (Last {quantity(days, 'day')})")
    if events:
        columns = [Column("When", "text"), Column("Alert", "name"), Column("Became", "text"), Column("At"),
                   Column("Reason", "name")]  # fmt: skip
        said = (wording.transition(event, known.get(wording.rule_of(event))) for event in events)
        page.parts.append(Table(columns, [[_time(event.at_us), *row] for event, row in zip(events, said, strict=True)]))
    if failed:
        lines = [
            line
            for item in failed
            for line in wrap_lines(
                f"{_time(item.finished_us)} {item.channel}, {rule_in(item.notice)}: {item.problem or UNKNOWN}"
            )
        ]
        page.parts.append(Section("Could not be delivered", lines))
    return page


def explain_page(
    rule: Rule, found: Sequence[Alert], silenced: Silence | None, said: Sequence[Delivery], *, is_on: bool
) -> Page:
    """A rule in words, then each of its alerts with what it measures and why it stands where it stands."""
    page = Page(f"{rule.name}: {wording.condition(rule)}", [Section(None, list(_rule_lines(rule, is_on=is_on)))])
    if silenced:
        why = f" ({silenced.comment})" if silenced.comment else ""
        page.parts.append(Section(None, [f"Silenced until {_time(silenced.until_us)}{why}"]))
    page.parts.extend(_explained(alert) for alert in found)
    if said:
        page.parts.append(Section("Told", [line for delivery in said for line in wrap_lines(_said(delivery))]))
    return page


def _rule_lines(rule: Rule, *, is_on: bool) -> list[str]:
    filters = [*rule.agents, *rule.models, *rule.projects, *rule.sources]
    channels = "all" if rule.channels is None else ", ".join(rule.channels)
    lines = [] if is_on else ["Not switched on: this is what it would come to."]
    lines.append(f"Severity {rule.severity}; at least {quantity(rule.min_samples, 'sample')}; channels: {channels}")
    spans = {"fires": rule.for_us, "ends": rule.keep_firing_us, "told again": rule.repeat_us}
    lines.append("; ".join(f"{what} {_after(span_us)}" for what, span_us in spans.items()).capitalize())
    lines += [f"Only {', '.join(filters)}"] if filters else []
    return lines + ([f"One alert for each {rule.group_by}"] if rule.group_by else [])


def _after(span_us: int) -> str:
    return f"after {clock.span_name(span_us)}" if span_us else "at once"


def _explained(alert: Alert) -> Section:
    measured, status = alert.found.measurement, alert.status
    assert alert.rule is not None
    show = alert.rule.what.show
    lines = [f"State: {status.state}" + (f" since {_time(status.since_us)}" if status.since_us else "")]
    held = "" if measured.limit is None else f", held against {show(measured.limit)}"
    lines.append(f"Measured: {_value(alert)}{held}")
    if measured.reference is not None:
        lines.append(f"Compared to: {show(measured.reference)}")
    lines.append(f"Samples: {measured.samples:,}")
    lines.append(f"Why: {wording.reason(measured.lack or status.reason, alert.rule)}")
    next_step = {"trigger": "it is told", "repeat": "it is told again", "resolve": "its end is told", None: "nothing"}
    lines.append(f"At the next evaluation: {next_step[alert.decision.action]}")
    return Section(wording.name(alert.name, alert.labels), lines)


def _said(delivery: Delivery) -> str:
    problem = f": {delivery.problem}" if delivery.problem else ""
    at = delivery.finished_us or delivery.created_us
    return f"{_time(at)} {delivery.channel}, {delivery.action}: {_FATES[delivery.status]}{problem}"  # type: ignore[index]
