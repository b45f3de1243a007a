"""How alerts look: one line, a list, a history, an explanation, and each of them as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any

from claude_force import clock
from claude_force.alerts import wording
from claude_force.alerts.decision import Outlook, Reason, State
from claude_force.alerts.evaluation import Alert
from claude_force.alerts.inspection import AlertHistory, AlertList, Explanation
from claude_force.alerts.notification import rule_in
from claude_force.alerts.rules import Rule
from claude_force.database.rows.alerts import DELIVERED, FAILED, SKIPPED, WAITING, Delivery, EventRow, Silence
from claude_force.executions.record import UNKNOWN
from claude_force.formatting import NONE, quantity
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of

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


def listed_dict(alert: Alert, silences: Mapping[str, Silence]) -> dict[str, Any]:
    """An alert for JSON, with the silence of its rule."""
    silence = silences.get(alert.name)
    return alert_dict(alert) | {
        "silenced_until": silence and _instant(silence.until_us),
        "silence_comment": silence and silence.comment,
    }


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


def silence_dict(silence: Silence, rules: Collection[str]) -> dict[str, Any]:
    """A silence for JSON, and whether its rule is among `rules`, which are on."""
    is_on = silence.name in rules
    return {"rule": silence.name, "until": _instant(silence.until_us), "comment": silence.comment, "rule_is_on": is_on}


def alert_line(alert: Alert) -> str:
    """An alert in one line: "mine: firing (was ok), 1; beyond its threshold"."""
    transition = f" (was {alert.before.state})" if alert.has_transitioned else ""
    name, status = wording.name(alert.name, alert.labels), alert.status
    value, reason = wording.value(alert.measurement, alert.rule), wording.reason(status.reason, alert.rule)
    return f"{name}: {status.state}{transition}, {value}; {reason}"


def list_dict(listed: AlertList) -> dict[str, Any]:
    """The alerts for JSON, with the channels, the silences, the rules that are switched off, and what is wrong with the
    settings."""
    return {
        "alerts": [listed_dict(alert, listed.silences) for alert in listed.found.alerts],
        "channels": list(listed.setup.channels),
        "silences": [silence_dict(silence, listed.on) for silence in listed.silences.values()],
        "off": list(listed.setup.off),
        "problems": list(listed.setup.problems),
    }


def list_page(listed: AlertList) -> Page:
    """Every alert, firing ones first, with the end of its silence; then the silences, the rules that are switched off,
    and the channels."""
    alerts, channels = listed.found.alerts, listed.setup.channels
    page = Page("Alerts", [alerts_table(alerts, listed.silences)] if alerts else [])
    if listed.silences:
        lines = [_silence_line(silence, listed.on) for silence in listed.silences.values()]
        page.parts.append(Section("Silenced", lines))
    if listed.setup.off:
        page.parts.append(Section(None, [f"Off: {', '.join(listed.setup.off)}"]))
    page.parts.append(Section(None, [f"Channels: {', '.join(channels)}"] if channels else _NO_CHANNEL.splitlines()))
    return page


_NO_CHANNEL = (
    "No channel: nobody is notified. On this desktop:\n"
    '  claude-force config set performance.channels.desk \'{"type": "desktop"}\''
)


def next_steps(*, has_channels: bool) -> list[str]:
    """What a rule that was switched on still needs, so that somebody is told."""
    return [*([] if has_channels else _NO_CHANNEL.splitlines()), "Checked by: claude-force scheduler start --detach"]


def _silence_line(silence: Silence, rules: Collection[str]) -> str:
    state = "" if silence.name in rules else " (the rule is off)"
    return f"{silence.name}{state} {_until(silence)}"


def sort_alerts(alerts: Iterable[Alert]) -> list[Alert]:
    """The alerts as the table has them: firing ones first."""
    return sorted(alerts, key=lambda alert: _ORDER.index(alert.status.state))


def alerts_table(alerts: Sequence[Alert], silences: Mapping[str, Silence] = {}) -> Table:
    """The alerts, firing ones first; with a column for their silences, if there are any."""
    ordered = sort_alerts(alerts)
    columns = [
        Column("Alert", "name", 20), Column("State", "text"), Column("Now"), Column("Fires at", "name", 16),
        Column("Over", "text"),
    ]  # fmt: skip
    rows = [_list_row(alert) for alert in ordered]
    ends = [_time(silences[alert.name].until_us) if alert.name in silences else "" for alert in ordered]
    if any(ends):
        columns.append(Column("Silenced until", "text"))
        rows = [[*row, end] for row, end in zip(rows, ends, strict=True)]
    return Table(columns, rows)


def _gone(alert: Alert) -> str:
    return "off" if alert.measurement.lack is Reason.DISABLED else "removed"


def _list_row(alert: Alert) -> list[str]:
    state = alert.status.state
    return [
        wording.name(alert.name, alert.labels),
        state.upper() if state is State.FIRING else state.value,
        wording.value(alert.measurement, alert.rule),
        wording.threshold(alert.rule) if alert.rule else f"({_gone(alert)})",
        wording.period(alert.rule).removeprefix("Last ").lower() if alert.rule else NONE,
    ]


def _until(silence: Silence) -> str:
    return f"until {_time(silence.until_us)}" + (f" ({silence.comment})" if silence.comment else "")


def history_dict(found: AlertHistory) -> dict[str, Any]:
    """The transitions and the failed deliveries for JSON."""
    return {"events": [*map(event_dict, found.events)], "failed_deliveries": [*map(delivery_dict, found.failed)]}


def history_page(found: AlertHistory, rules: Sequence[Rule]) -> Page:
    """The transitions of a period, then failed deliveries. Values have a unit if the rule is still among `rules`."""
    page = Page(f"Alerts ({heading_of(found.period)})")
    if found.events:
        page.parts.append(events_table(found.events, rules, clock.local_zone()))
    if found.failed:
        page.parts.append(Section("Could not be delivered", [_failure(item) for item in found.failed]))
    return page


def events_table(events: Sequence[EventRow], rules: Sequence[Rule], zone: tzinfo) -> Table:
    """Transitions, with the unit of a value if its rule is among `rules`."""
    known = {rule.name: rule for rule in rules}
    columns = [Column("When", "text"), Column("Alert", "name"), Column("Became", "text"), Column("At"),
               Column("Reason", "name")]  # fmt: skip
    rows = [
        [
            f"{clock.to_datetime(event.at_us, zone):%Y-%m-%d %H:%M}",
            *wording.transition(event, known.get(wording.rule_of(event.rule))),
        ]
        for event in events
    ]
    return Table(columns, rows)


def _failure(delivery: Delivery) -> str:
    at, rule = _time(delivery.finished_us), rule_in(delivery.notice)
    return f"{at} {delivery.channel}, {rule}: {delivery.problem or UNKNOWN}"


def explanation_dict(found: Explanation) -> dict[str, Any]:
    """The explanation of a rule for JSON."""
    return {
        "rule": found.rule.name,
        "is_on": found.is_on,
        "silenced_until": found.silence and _instant(found.silence.until_us),
        "alerts": [alert_dict(alert) for alert in found.alerts],
        "deliveries": [*map(delivery_dict, found.sent)],
    }


def explain_page(found: Explanation) -> Page:
    """The rule in words, each of its alerts with its measurement and reason, and what was sent."""
    rule = found.rule
    lines = list(_rule_lines(rule, is_on=found.is_on))
    page = Page(f"{rule.name}: {wording.condition(rule)}", [Section(None, lines)])
    if found.silence:
        page.parts.append(Section(None, [f"Silenced {_until(found.silence)}"]))
    page.parts.extend(_explained(alert) for alert in found.alerts)
    if found.sent:
        page.parts.append(Section("Sent", [_delivery_line(delivery) for delivery in found.sent]))
    return page


def changed_rule_dict(name: str, rule: Rule | None, *, is_on: bool, has_changed: bool) -> dict[str, Any]:
    """A rule for JSON after a change; None if it cannot be read, as a budget without its threshold."""
    return {
        "rule": name,
        "is_on": is_on,
        "changed": has_changed,
        "condition": rule and wording.condition(rule),
        "severity": rule and rule.severity,
    }


def changed_rule_lines(name: str, rule: Rule | None, *, is_on: bool, has_changed: bool) -> list[str]:
    """A rule after a change, in one or two lines; None if it cannot be read, as a budget without its threshold."""
    state = f"{name} is {'on' if is_on else 'off'}{'' if has_changed else ' already'}"
    if rule is None:
        return [state]
    lines = [f"{state}: {wording.condition(rule)}"]
    if has_changed and is_on:
        samples, channels = quantity(rule.min_samples, "sample"), _channels(rule)
        lines.append(
            f"  severity {rule.severity}; at least {samples}; fires {_after(rule.for_us)}; channels: {channels}"
        )
    return lines


def ended_line(alert: Alert) -> str:
    """An alert that fired until its rule was switched off or removed."""
    sent = "its end is sent at the next check" if alert.decision.action else "nobody was notified of it, nor of its end"
    return f"{wording.name(alert.name, alert.labels)} no longer fires; {sent}"


def _rule_lines(rule: Rule, *, is_on: bool) -> list[str]:
    filters = [*rule.agents, *rule.models, *rule.projects, *rule.sources, *rule.branches]
    lines = [] if is_on else ["This rule is off. This is what it would do:"]
    lines.append(
        f"Severity {rule.severity}; at least {quantity(rule.min_samples, 'sample')}; channels: {_channels(rule)}"
    )
    repeats = f"once a {rule.window}" if _is_once_a_period(rule) else f"repeats {_after(rule.repeat_us)}"
    lines.append(f"Fires {_after(rule.for_us)}; resolves {_after(rule.keep_firing_us)}; {repeats}")
    lines += [f"Only {', '.join(filters)}"] if filters else []
    return lines + ([f"One alert for each {rule.group_by}"] if rule.group_by else [])


_LONGEST_US = {
    period: days * clock.DAY_US + clock.HOUR_US for period, days in {"day": 1, "week": 7, "month": 31}.items()
}
"""The longest that a period lasts: an hour is added where clocks are set back."""


def _is_once_a_period(rule: Rule) -> bool:
    """Whether a notification in a day, week or month is the only one of that period."""
    return isinstance(rule.window, str) and rule.repeat_us >= _LONGEST_US[rule.window]


def _channels(rule: Rule) -> str:
    return "all" if rule.channels is None else ", ".join(rule.channels) or "none"


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
