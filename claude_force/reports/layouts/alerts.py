"""How alerts look: one line, a list, a history, an explanation, and each of them as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from claude_force import clock
from claude_force.alerts import wording
from claude_force.alerts.decision import Outlook, State
from claude_force.alerts.evaluation import Alert, Evaluation
from claude_force.alerts.notification import rule_in
from claude_force.alerts.rules import Rule
from claude_force.database.rows.alerts import DELIVERED, FAILED, SKIPPED, WAITING, Delivery, EventRow, Silence
from claude_force.executions.record import UNKNOWN
from claude_force.formatting import NONE, quantity
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table, wrap_lines

_STATUSES = {
    WAITING: "waiting",
    DELIVERED: "delivered",
    FAILED: "could not be delivered",
    SKIPPED: "not sent",
}
_ORDER = (State.FIRING, State.PENDING, State.NO_DATA, State.RESOLVED, State.OK)


def _time(instant_us: int | None) -> str:
    """A local date and time, to the minute."""
    return f"{clock.to_datetime(instant_us, clock.local_zone()):%Y-%m-%d %H:%M}" if instant_us else NONE


def _instant(instant_us: int | None) -> str | None:
    return clock.format_instant(instant_us, clock.local_zone()) if instant_us else None


def alert_dict(alert: Alert) -> dict[str, Any]:
    """An alert for JSON. Values and limits are in the unit of the metric, rates in percent."""
    measured, status = alert.measurement, alert.status
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
        **(wording.instants(measured.outlook) if measured.outlook else {}),
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
    """A delivery for JSON, without its message."""
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


def silence_dict(silence: Silence) -> dict[str, Any]:
    """A silence for JSON."""
    return {"rule": silence.name, "until": _instant(silence.until_us), "comment": silence.comment}


def alert_line(alert: Alert) -> str:
    """An alert in one line: "mine: firing (was ok), 1; beyond its threshold"."""
    transition = f" (was {alert.before.state})" if alert.has_transitioned else ""
    name, status = wording.name(alert.name, alert.labels), alert.status
    value, reason = wording.value(alert.measurement, alert.rule), wording.reason(status.reason, alert.rule)
    return f"{name}: {status.state}{transition}, {value}; {reason}"


def list_page(found: Evaluation, channels: Sequence[str], silences: Mapping[str, Silence]) -> Page:
    """Every alert, firing ones first, then the silences and the channels."""
    page = Page("Alerts", [alerts_table(found.alerts)] if found.alerts else [])
    if silences:
        lines = [line for silence in silences.values() for line in wrap_lines(f"{silence.name} {_until(silence)}")]
        page.parts.append(Section("Silenced", lines))
    page.parts.append(Section(None, wrap_lines(f"Channels: {', '.join(channels)}" if channels else _NO_CHANNEL)))
    return page


_NO_CHANNEL = "No channel: nobody is notified (see docs/how-to/alert-channels.md)"


def alerts_table(alerts: Sequence[Alert]) -> Table:
    """The alerts, firing ones first."""
    ordered = sorted(alerts, key=lambda alert: _ORDER.index(alert.status.state))
    columns = [
        Column("Alert", "name", 20), Column("State", "text"), Column("Now"), Column("Fires at", "name", 16),
        Column("Over", "text"),
    ]  # fmt: skip
    return Table(columns, [_list_row(alert) for alert in ordered])


def _list_row(alert: Alert) -> list[str]:
    state = alert.status.state
    return [
        wording.name(alert.name, alert.labels),
        state.upper() if state is State.FIRING else state.value,
        wording.value(alert.measurement, alert.rule),
        wording.threshold(alert.rule) if alert.rule else "(removed)",
        wording.period(alert.rule).removeprefix("Last ").lower() if alert.rule else NONE,
    ]


def _until(silence: Silence) -> str:
    return f"until {_time(silence.until_us)}" + (f" ({silence.comment})" if silence.comment else "")


def history_page(events: Sequence[EventRow], failed: Sequence[Delivery], days: int, rules: Sequence[Rule]) -> Page:
    """Transitions, then failed deliveries. Values have a unit if the rule is still among `rules`."""
    page = Page(f"Alerts (Last {quantity(days, 'day')})")
    if events:
        page.parts.append(events_table(events, rules, clock.local_zone()))
    if failed:
        page.parts.append(Section("Could not be delivered", [line for item in failed for line in _failure(item)]))
    return page


def events_table(events: Sequence[EventRow], rules: Sequence[Rule], zone: tzinfo) -> Table:
    """Transitions, with the unit of a value if its rule is among `rules`."""
    known = {rule.name: rule for rule in rules}
    columns = [Column("When", "text"), Column("Alert", "name"), Column("Became", "text"), Column("At"),
               Column("Reason", "name")]  # fmt: skip
    rows = [
        [
            f"{clock.to_datetime(event.at_us, zone):%Y-%m-%d %H:%M}",
            *wording.transition(event, known.get(wording.rule_of(event))),
        ]
        for event in events
    ]
    return Table(columns, rows)


def _failure(delivery: Delivery) -> list[str]:
    at, rule = _time(delivery.finished_us), rule_in(delivery.notice)
    return wrap_lines(f"{at} {delivery.channel}, {rule}: {delivery.problem or UNKNOWN}")


def explain_page(
    rule: Rule, found: Sequence[Alert], silence: Silence | None, sent: Sequence[Delivery], *, is_on: bool
) -> Page:
    """The rule in words, each of its alerts with its measurement and reason, and what was sent."""
    page = Page(f"{rule.name}: {wording.condition(rule)}", [Section(None, list(_rule_lines(rule, is_on=is_on)))])
    if silence:
        page.parts.append(Section(None, [f"Silenced {_until(silence)}"]))
    page.parts.extend(_explained(alert) for alert in found)
    if sent:
        page.parts.append(Section("Sent", [line for delivery in sent for line in wrap_lines(_delivery_line(delivery))]))
    return page


def _rule_lines(rule: Rule, *, is_on: bool) -> list[str]:
    filters = [*rule.agents, *rule.models, *rule.projects, *rule.sources]
    channels = "all" if rule.channels is None else ", ".join(rule.channels)
    lines = [] if is_on else ["This rule is off. This is what it would do:"]
    lines.append(f"Severity {rule.severity}; at least {quantity(rule.min_samples, 'sample')}; channels: {channels}")
    spans = {"fires": rule.for_us, "resolves": rule.keep_firing_us, "repeats": rule.repeat_us}
    lines.append("; ".join(f"{what} {_after(span_us)}" for what, span_us in spans.items()).capitalize())
    lines += [f"Only {', '.join(filters)}"] if filters else []
    return lines + ([f"One alert for each {rule.group_by}"] if rule.group_by else [])


def _after(span_us: int) -> str:
    return f"after {clock.span_name(span_us)}" if span_us else "at once"


_NEXT_STEPS = {"trigger": "notify", "repeat": "notify again", "resolve": "notify that it is resolved", None: "nothing"}


def _explained(alert: Alert) -> Section:
    measured, status = alert.measurement, alert.status
    assert alert.rule is not None
    show = alert.rule.metric_info.show
    limit = "" if measured.limit is None else f", threshold {show(measured.limit)}"
    lines = [
        f"State: {status.state}" + (f" since {_time(status.since_us)}" if status.since_us else ""),
        f"Measured: {wording.value(measured, alert.rule)}{limit}",
        *([] if measured.reference is None else [f"Compared to: {show(measured.reference)}"]),
        *_outlook_lines(measured.outlook),
        f"Samples: {measured.samples:,}",
        f"Why: {wording.reason(measured.lack or status.reason, alert.rule)}",
        f"At the next check: {_NEXT_STEPS[alert.decision.action]}",
    ]
    return Section(wording.name(alert.name, alert.labels), lines)


def _outlook_lines(outlook: Outlook | None) -> list[str]:
    """When the limit of a plan runs out and is reset."""
    if outlook is None:
        return []
    runs_out, resets = (f"{at:%Y-%m-%d %H:%M}" if at else None for at in (outlook.runs_out_at, outlook.resets_at))
    return [
        f"Used up since {runs_out}" if outlook.is_used_up else f"Runs out at this rate: {runs_out or NONE}",
        f"Reset: {resets or UNKNOWN}; observed on {outlook.host or UNKNOWN}",
    ]


def _delivery_line(delivery: Delivery) -> str:
    problem = f": {delivery.problem}" if delivery.problem else ""
    at = delivery.finished_us or delivery.created_us
    return f"{_time(at)} {delivery.channel}, {delivery.action}: {_STATUSES[delivery.status]}{problem}"  # type: ignore[index]
