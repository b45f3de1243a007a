"""Evaluates rules against a database: measures and decides in a read, saves what changed in one write.

Any number of processes evaluate at the same time. A decision is saved only if the alert is still as it was when the
decision was made. So of two processes that find the same breach, one saves the alert with its notifications, and the
other one's decision is dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, NamedTuple

from claude_force.alerts import wording
from claude_force.alerts.configured import ONE_CHANNEL, ConfiguredRules
from claude_force.alerts.decision import Decision, Measurement, Reason, State, Status, close, decide
from claude_force.alerts.measure import Label, measure, measured_nothing
from claude_force.alerts.notification import Notification
from claude_force.alerts.rules import Rule
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED, WAITING, AlertRow, Delivery, EventRow
from claude_force.database.writes import alerts as alert_writes
from claude_force.executions.projects import NO_PROJECTS, ProjectNames
from claude_force.executions.record import UNKNOWN, fresh_uid


class NotificationContext(NamedTuple):
    """What notifications need to know beside the alert: the channels, and whether each takes several alerts in one
    message; the name of the database and of this machine."""

    channels: Mapping[str, bool]
    store: str
    host: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert after an evaluation. `rule` is None if it was removed. `is_gone` means that nothing is kept of it: it
    has no executions or no rule any more, and does not fire."""

    fingerprint: str
    name: str
    rule: Rule | None
    labels: Mapping[str, str | None]
    severity: str
    measurement: Measurement
    before: Status
    decision: Decision
    is_gone: bool = False

    @property
    def status(self) -> Status:
        """Its new status."""
        return self.decision.status

    @property
    def has_transitioned(self) -> bool:
        """Whether its state changed."""
        return self.before.state is not self.status.state

    @property
    def shown_labels(self) -> dict[str, str]:
        """The labels, with a name for the group that has none."""
        return {title: UNKNOWN if name is None else name for title, name in self.labels.items()}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every alert that was evaluated."""

    alerts: list[Alert]

    @property
    def firing(self) -> list[Alert]:
        """The alerts that fire."""
        return [alert for alert in self.alerts if alert.status.state is State.FIRING]

    @property
    def transitioned(self) -> list[Alert]:
        """The alerts whose state changed."""
        return [alert for alert in self.alerts if alert.has_transitioned]


def evaluate(
    database: Database,
    rules: Sequence[Rule],
    context: NotificationContext,
    now_us: int,
    zone: tzinfo,
    configured: ConfiguredRules | None = None,
    project_names: ProjectNames = NO_PROJECTS,
) -> Evaluation:
    """Evaluate rules and save what changed, with the notifications to send. See `judge` for `configured`. Raises
    DatabaseError; then nothing was saved."""
    with database.read() as connection:
        found = judge(connection, rules, context, now_us, zone, configured, project_names)
    changed = [alert for alert in found.alerts if alert.is_gone or alert.status != alert.before]
    if changed:
        with database.write() as connection:
            # PostgreSQL runs writers side by side.
            connection.lock_rollups()
            _save(connection, changed, context, now_us)
    return found


def judge(
    connection: Connection,
    rules: Iterable[Rule],
    context: NotificationContext,
    now_us: int,
    zone: tzinfo,
    configured: ConfiguredRules | None = None,
    project_names: ProjectNames = NO_PROJECTS,
) -> Evaluation:
    """Measure rules and decide, without saving anything. The alerts of rules that are not `configured` are closed; None
    closes nothing."""
    rows = alert_queries.alerts(connection)
    silences = alert_queries.silences(connection, now_us)
    found: list[Alert] = []
    for rule in rules:
        own = {row.fingerprint: row for row in rows if row.rule == rule.name}
        measured = measure(connection, rule, now_us, zone, _known_groups(rule, own.values()), project_names)
        found += _judge_rule(rule, measured, own, now_us, _muted(rule, context, silences))
    if configured is not None:
        ended = {row.fingerprint: configured.end_of(row.rule) for row in rows}
        found += [_close(None, row, now_us, reason) for row in rows if (reason := ended[row.fingerprint])]
    return Evaluation(found)


def _known_groups(rule: Rule, rows: Iterable[AlertRow]) -> set[Label]:
    """The groups of a rule that have an alert already."""
    labels = [json.loads(row.labels) for row in rows]
    return {found[rule.group_by] for found in labels if rule.group_by in found}


def _muted(rule: Rule, context: NotificationContext, silences: Collection[str]) -> Reason | None:
    """Why nobody is notified of a breach; None if somebody is."""
    if rule.name.partition(ONE_CHANNEL)[0] in silences:
        return Reason.SILENCED
    return None if _channels_of(rule, context) else Reason.NO_CHANNEL


def _channels_of(rule: Rule, context: NotificationContext) -> Sequence[str]:
    return tuple(context.channels) if rule.channels is None else rule.channels


def _judge_rule(
    rule: Rule,
    measured: Mapping[Label, Measurement],
    rows: Mapping[str, AlertRow],
    now_us: int,
    muted: Reason | None,
) -> Iterator[Alert]:
    """The alerts of a rule: of the groups that were measured, then of those that have a row only."""
    left = dict(rows)
    for label, measurement in measured.items():
        labels = _labels(rule, label)
        row = left.pop(_fingerprint(rule.name, labels), None)
        yield _decide(rule, labels, measurement, row, now_us, muted)
    for row in left.values():
        labels = json.loads(row.labels)
        if set(labels) != set(_labels(rule, None)):
            yield _close(rule, row, now_us, Reason.REGROUPED)
            continue
        alert = _decide(rule, labels, measured_nothing(rule), row, now_us, muted)
        yield replace(alert, is_gone=alert.status.state in (State.OK, State.NO_DATA))


def _labels(rule: Rule, label: Label) -> dict[str, str | None]:
    return {} if rule.group_by is None else {rule.group_by: label}


def _fingerprint(name: str, labels: Mapping[str, str | None]) -> str:
    """The key of an alert: sixteen hex digits made from its rule and labels."""
    return hashlib.blake2b(json.dumps([name, labels], sort_keys=True).encode(), digest_size=8).hexdigest()


def _decide(
    rule: Rule,
    labels: Mapping[str, str | None],
    measurement: Measurement,
    row: AlertRow | None,
    now_us: int,
    muted: Reason | None,
) -> Alert:
    fingerprint = _fingerprint(rule.name, labels)
    before = _status_of(row)
    decision = decide(rule, measurement, before, now_us, episode=f"{fingerprint}-{now_us}", muted=muted)
    return Alert(fingerprint, rule.name, rule, labels, rule.severity, measurement, before, decision)


def _close(rule: Rule | None, row: AlertRow, now_us: int, reason: Reason) -> Alert:
    before, nothing = _status_of(row), Measurement(None, None, 0, reason)
    decision = close(before, now_us, reason)
    is_gone = decision.status.state is not State.RESOLVED
    labels = json.loads(row.labels)
    return Alert(row.fingerprint, row.rule, rule, labels, row.severity, nothing, before, decision, is_gone)


def _status_of(row: AlertRow | None) -> Status:
    if row is None:
        return Status()
    return Status(
        State(row.state), Reason[row.reason], row.since_us, row.breached_us, row.cleared_us, row.notified_us,
        row.episode,
    )  # fmt: skip


def _save(connection: Connection, changed: Sequence[Alert], context: NotificationContext, now_us: int) -> None:
    """Save alerts, their transitions and deliveries, except of alerts that another process changed meanwhile."""
    current = {row.fingerprint: _status_of(row) for row in alert_queries.alerts(connection)}
    alerts = [alert for alert in changed if current.get(alert.fingerprint, Status()) == alert.before]
    sent = {alert.fingerprint: _sent(connection, alert) for alert in alerts if alert.decision.action}
    alerts = [_without_early_repeat(alert, sent, context, now_us) for alert in alerts]
    alert_writes.save_alerts(connection, [_row_of(alert, now_us) for alert in alerts if alert.status != alert.before])
    alert_writes.add_events(connection, [_event_of(alert, now_us) for alert in alerts if alert.has_transitioned])
    alert_writes.forget_alerts(connection, [alert.fingerprint for alert in alerts if alert.is_gone])
    alert_writes.add_deliveries(connection, _deliveries(alerts, sent, context, now_us))


Sent = Mapping[str, Sequence[Delivery]]
"""The deliveries of each alert's episode so far, by fingerprint."""


def _sent(connection: Connection, alert: Alert) -> Sequence[Delivery]:
    return alert_queries.of_episode(connection, alert.status.episode) if alert.status.episode else ()


def _without_early_repeat(alert: Alert, sent: Sent, context: NotificationContext, now_us: int) -> Alert:
    """The alert, without its repeat if it is too early for one on every channel."""
    if alert.decision.action != "repeat" or _recipients(alert, sent, context, now_us):
        return alert
    status = replace(alert.status, reason=Reason.GOES_ON, notified_us=alert.before.notified_us)
    return replace(alert, decision=Decision(status))


def _recipients(alert: Alert, sent: Sent, context: NotificationContext, now_us: int) -> list[str]:
    """The channels to notify. A resolve goes where the episode was sent. A repeat goes where nothing waits, and the
    last notification was delivered at least one repeat interval ago."""
    before = sent[alert.fingerprint]
    if alert.decision.action == "resolve":
        return list(dict.fromkeys(delivery.channel for delivery in before))
    assert alert.rule is not None
    channels = list(_channels_of(alert.rule, context))
    if alert.decision.action != "repeat":
        return channels
    since_us = now_us - alert.rule.repeat_us
    recent = {
        delivery.channel
        for delivery in before
        if delivery.status == WAITING
        or (delivery.status == DELIVERED and delivery.finished_us is not None and delivery.finished_us > since_us)
    }
    return [channel for channel in channels if channel not in recent]


def _deliveries(alerts: Iterable[Alert], sent: Sent, context: NotificationContext, now_us: int) -> Iterator[Delivery]:
    """The deliveries of alerts, in batches that a channel sends as one message: triggers and repeats apart from
    resolves, and each alert alone where the channel takes one at a time."""
    batches: dict[tuple[str, bool, str], str] = {}
    for alert in alerts:
        action, episode = alert.decision.action, alert.status.episode
        if action is None or episode is None:
            continue
        notification = _notification(alert, sent[alert.fingerprint], context, now_us).to_json()
        for channel in _recipients(alert, sent, context, now_us):
            alone = "" if context.channels.get(channel) else alert.fingerprint
            batch = batches.setdefault((channel, action == "resolve", alone), fresh_uid(now_us))
            yield Delivery(fresh_uid(now_us), batch, channel, episode, action, notification, WAITING, 0, now_us, now_us)


_END = {Reason.REMOVED: "the rule was removed", Reason.DISABLED: "the rule was switched off"}
"""What the last notification of an alert says whose rule is gone."""


def _notification(alert: Alert, sent: Sequence[Delivery], context: NotificationContext, now_us: int) -> Notification:
    action, status, rule = alert.decision.action, alert.status, alert.rule
    assert action is not None
    assert status.episode is not None
    if rule is None:
        last = _last_notification(alert, sent, context, now_us)
        return replace(last, action=action, summary=f"{last.title}: {_END[status.reason]}", at_us=now_us, details={})
    return Notification(
        rule=rule.name,
        title=rule.title,
        summary=wording.summary(rule, alert.measurement, alert.shown_labels, action),
        period=wording.period(rule),
        severity=rule.severity,
        action=action,
        labels=alert.shown_labels,
        details=wording.details(rule, alert.measurement),
        episode=status.episode,
        began_us=_began_us(status.episode),
        at_us=now_us,
        store=context.store,
        host=context.host,
    )


def _last_notification(
    alert: Alert, sent: Sequence[Delivery], context: NotificationContext, now_us: int
) -> Notification:
    """The last notification of an alert whose rule was removed; one made from the alert if none can be read."""
    for delivery in reversed(sent):
        with suppress(ValueError):
            return Notification.from_json(delivery.notice)
    episode = alert.status.episode or ""
    severity: Any = alert.severity
    return Notification(
        rule=alert.name, title=alert.name, summary="", period="", severity=severity, action="resolve",
        labels=alert.shown_labels, details={}, episode=episode, began_us=_began_us(episode), at_us=now_us,
        store=context.store, host=context.host,
    )  # fmt: skip


def _began_us(episode: str) -> int:
    """When an episode began, which is part of its name."""
    return int(episode.rpartition("-")[2])


def _row_of(alert: Alert, now_us: int) -> AlertRow:
    status, measured = alert.status, alert.measurement
    return AlertRow(
        fingerprint=alert.fingerprint, rule=alert.name, labels=json.dumps(alert.labels), severity=alert.severity,
        state=status.state, reason=status.reason.name, since_us=status.since_us, evaluated_us=now_us,
        breached_us=status.breached_us, cleared_us=status.cleared_us, notified_us=status.notified_us,
        episode=status.episode, value=measured.value, samples=measured.samples,
    )  # fmt: skip


def _event_of(alert: Alert, now_us: int) -> EventRow:
    status, measured = alert.status, alert.measurement
    return EventRow(
        event_id=fresh_uid(now_us), at_us=now_us, fingerprint=alert.fingerprint, rule=alert.name,
        labels=json.dumps(alert.labels), severity=alert.severity, before=alert.before.state, after=status.state,
        reason=status.reason.name, episode=status.episode, value=measured.value, samples=measured.samples,
    )  # fmt: skip
