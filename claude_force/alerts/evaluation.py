"""Rules against the database: where every alert stands now, kept together with what is to be said of it.

Measuring is a read. Only where something changes is there a write, and it decides again on what it finds then: of two
processes that evaluate at once, one changes the alert and the other finds it changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any, NamedTuple

from claude_force.alerts import wording
from claude_force.alerts.decision import Decision, Measurement, Reason, State, Status, decide, end
from claude_force.alerts.measure import Found, Label, measure, measured_nothing
from claude_force.alerts.notification import Notification
from claude_force.alerts.rules import Rule
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED, WAITING, AlertRow, Delivery, EventRow
from claude_force.database.writes import alerts as alert_writes
from claude_force.executions.record import UNKNOWN, fresh_uid
from claude_force.executions.totals import Totals

ONE_CHANNEL = "@"
"""An alert that is checked for one channel alone goes by RULE@CHANNEL: what was said on another is not known to it."""


class NotificationContext(NamedTuple):
    """Where and by whom alerts are told: the channels there are, and whether each takes several in one message; the
    database and the machine, as a person knows them."""

    channels: Mapping[str, bool]
    store: str
    host: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert after an evaluation: its rule (None where that is gone), what it came to, and where it stands.
    `is_over` says that nothing has to be kept of it: its group is gone, and it was not firing."""

    fingerprint: str
    name: str
    rule: Rule | None
    labels: Mapping[str, str | None]
    severity: str
    found: Found
    before: Status
    decision: Decision
    is_over: bool = False

    @property
    def status(self) -> Status:
        """Where it stands."""
        return self.decision.status

    @property
    def has_moved(self) -> bool:
        """Whether it went from one state to another."""
        return self.before.state is not self.status.state


@dataclass(slots=True)
class Evaluation:
    """What an evaluation came to: every alert, and how much is to be said."""

    alerts: list[Alert] = field(default_factory=list)
    deliveries: int = 0

    @property
    def firing(self) -> list[Alert]:
        """The alerts that fire."""
        return [alert for alert in self.alerts if alert.status.state is State.FIRING]

    @property
    def moved(self) -> list[Alert]:
        """The alerts that went from one state to another."""
        return [alert for alert in self.alerts if alert.has_moved]


Measured = Sequence[tuple[Rule, Mapping[Label, Found]]]


def measure_all(connection: Connection, rules: Iterable[Rule], now_us: int, zone: tzinfo) -> Measured:
    """What each rule comes to."""
    kept = alert_queries.alerts(connection)
    return [(rule, measure(connection, rule, now_us, zone, _labels_kept(rule, kept))) for rule in rules]


def _labels_kept(rule: Rule, kept: Iterable[AlertRow]) -> set[Label]:
    """The groups of a rule of which an alert is kept."""
    labels = [json.loads(row.labels) for row in kept if row.rule == rule.name]
    return {found[rule.group_by] for found in labels if rule.group_by in found}


def evaluate(
    database: Database,
    rules: Sequence[Rule],
    context: NotificationContext,
    now_us: int,
    zone: tzinfo,
    ended: Collection[str] = (),
) -> Evaluation:
    """Measure and decide, and keep what follows. `ended` are rules that nothing measures any more: see `gone`. Raises
    DatabaseError; then nothing was changed."""
    with database.read() as connection:
        measured = measure_all(connection, rules, now_us, zone)
        found = judge(connection, measured, context, now_us, ended)
    if not any(alert.is_over or alert.status != alert.before for alert in found.alerts):
        return found
    with database.write() as connection:
        connection.lock_rollups()
        found = judge(connection, measured, context, now_us, ended)
        found.deliveries = _keep(connection, found.alerts, context, now_us)
    return found


def gone(connection: Connection, configured: Collection[str]) -> set[str]:
    """The rules of which alerts are kept, and which claude.json no longer names. One with an error in it is named."""
    return {alert.rule for alert in alert_queries.alerts(connection) if ONE_CHANNEL not in alert.rule} - set(configured)


def judge(
    connection: Connection, measured: Measured, context: NotificationContext, now_us: int, ended: Collection[str] = ()
) -> Evaluation:
    """What follows from measurements and what is kept; nothing is changed."""
    kept = {row.fingerprint: row for row in alert_queries.alerts(connection)}
    silences = alert_queries.silences(connection, now_us)
    found: dict[str, Alert] = {}
    for rule, groups in measured:
        muted = _muted(rule, context, silences)
        for label, group in groups.items():
            alert = _measured(rule, _labels(rule, label), group, kept, now_us, muted)
            found[alert.fingerprint] = alert
        for row in kept.values():
            if row.rule == rule.name and row.fingerprint not in found:
                found[row.fingerprint] = _without_executions(rule, row, kept, now_us, muted)
    for row in kept.values():
        if row.rule in ended:
            found[row.fingerprint] = _ended(None, row, now_us)
    return Evaluation(list(found.values()))


def _muted(rule: Rule, context: NotificationContext, silences: Collection[str]) -> Reason | None:
    if rule.name.partition(ONE_CHANNEL)[0] in silences:
        return Reason.SILENCED
    return None if channels_of(rule, context) else Reason.NO_CHANNEL


def channels_of(rule: Rule, context: NotificationContext) -> Sequence[str]:
    """The channels that a rule is told on: those it names, or all."""
    return tuple(context.channels) if rule.channels is None else rule.channels


def _labels(rule: Rule, label: Label) -> dict[str, str | None]:
    return {} if rule.group_by is None else {rule.group_by: label}


def fingerprint_of(name: str, labels: Mapping[str, str | None]) -> str:
    """What an alert is known by: sixteen digits for its rule and labels."""
    return hashlib.blake2b(json.dumps([name, labels], sort_keys=True).encode(), digest_size=8).hexdigest()


def _measured(
    rule: Rule,
    labels: Mapping[str, str | None],
    found: Found,
    kept: Mapping[str, AlertRow],
    now_us: int,
    muted: Reason | None,
) -> Alert:
    fingerprint = fingerprint_of(rule.name, labels)
    before = _status_of(kept.get(fingerprint))
    decision = decide(rule, found.measurement, before, now_us, episode=f"{fingerprint}-{now_us}", muted=muted)
    return Alert(fingerprint, rule.name, rule, labels, rule.severity, found, before, decision)


def _without_executions(
    rule: Rule, row: AlertRow, kept: Mapping[str, AlertRow], now_us: int, muted: Reason | None
) -> Alert:
    """A kept alert whose group has no executions in the window, or is none any more as the rule groups otherwise."""
    labels = json.loads(row.labels)
    if set(labels) != set(_labels(rule, None)):
        return _ended(rule, row, now_us)
    alert = _measured(rule, labels, measured_nothing(rule), kept, now_us, muted)
    return replace(alert, is_over=alert.status.state in (State.OK, State.NO_DATA) and not alert.has_moved)


def _ended(rule: Rule | None, row: AlertRow, now_us: int) -> Alert:
    before, nothing = _status_of(row), Found(Measurement(None, None, 0, Reason.REMOVED), Totals())
    decision = end(before, now_us)
    is_over = decision.status.state is not State.RESOLVED or not decision.action
    return Alert(
        row.fingerprint, row.rule, rule, json.loads(row.labels), row.severity, nothing, before, decision, is_over
    )


def _status_of(row: AlertRow | None) -> Status:
    if row is None:
        return Status()
    return Status(
        State(row.state), Reason[row.reason], row.since_us, row.breached_us, row.cleared_us, row.notified_us,
        row.episode,
    )  # fmt: skip


def _keep(connection: Connection, alerts: Sequence[Alert], context: NotificationContext, now_us: int) -> int:
    """Write down where alerts stand, and put what is to be said into the outbox; how much that is."""
    said = {alert.fingerprint: _said(connection, alert) for alert in alerts if alert.decision.action}
    alerts = [_repeated_where_due(alert, said, context, now_us) for alert in alerts]
    alert_writes.save_alerts(connection, [_row_of(alert, now_us) for alert in alerts if alert.status != alert.before])
    alert_writes.add_events(connection, [_event_of(alert, now_us) for alert in alerts if alert.has_moved])
    alert_writes.forget_alerts(connection, [alert.fingerprint for alert in alerts if alert.is_over])
    deliveries = list(_deliveries(alerts, said, context, now_us))
    alert_writes.add_deliveries(connection, deliveries)
    return len(deliveries)


Said = Mapping[str, Sequence[Delivery]]
"""What was said of the episodes of alerts so far, by fingerprint."""


def _said(connection: Connection, alert: Alert) -> Sequence[Delivery]:
    return alert_queries.of_episode(connection, alert.status.episode) if alert.status.episode else ()


def _repeated_where_due(alert: Alert, said: Said, context: NotificationContext, now_us: int) -> Alert:
    """The alert without its repetition where no channel is due for one."""
    if alert.decision.action != "repeat" or _hearing(alert, said, context, now_us):
        return alert
    status = replace(alert.status, reason=Reason.GOES_ON, notified_us=alert.before.notified_us)
    return replace(alert, decision=Decision(status))


def _hearing(alert: Alert, said: Said, context: NotificationContext, now_us: int) -> list[str]:
    """The channels on which something is to be said of an alert: an end where there was a beginning, a repetition where
    the last word was delivered so long ago, and nothing still waits."""
    before = said[alert.fingerprint]
    if alert.decision.action == "resolve":
        return list(dict.fromkeys(delivery.channel for delivery in before))
    assert alert.rule is not None
    channels = list(channels_of(alert.rule, context))
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


def _deliveries(alerts: Iterable[Alert], said: Said, context: NotificationContext, now_us: int) -> Iterator[Delivery]:
    batches: dict[tuple[str, bool, str], str] = {}
    for alert in alerts:
        action, episode = alert.decision.action, alert.status.episode
        if action is None or episode is None:
            continue
        notification = _notice(alert, said[alert.fingerprint], context, now_us).to_json()
        for channel in _hearing(alert, said, context, now_us):
            alone = "" if context.channels.get(channel) else alert.fingerprint
            batch = batches.setdefault((channel, action == "resolve", alone), fresh_uid(now_us))
            yield Delivery(fresh_uid(now_us), batch, channel, episode, action, notification, WAITING, 0, now_us, now_us)


def _notice(alert: Alert, said: Sequence[Delivery], context: NotificationContext, now_us: int) -> Notification:
    action, status, rule = alert.decision.action, alert.status, alert.rule
    assert action is not None
    assert status.episode is not None
    labels = {title: UNKNOWN if name is None else name for title, name in alert.labels.items()}
    if rule is None:
        last = _last_words(alert, said, context, now_us)
        return replace(last, action=action, summary=f"{last.title}: the rule was removed", at_us=now_us, details={})
    return Notification(
        rule.name,
        rule.title,
        wording.summary(rule, alert.found.measurement, labels, action),
        wording.period(rule),
        rule.severity,
        action,
        labels,
        wording.details(rule, alert.found),
        status.episode,
        began_us_of(status.episode),
        now_us,
        context.store,
        context.host,
    )


def _last_words(alert: Alert, said: Sequence[Delivery], context: NotificationContext, now_us: int) -> Notification:
    """What was said last of an alert whose rule is gone; where that cannot be read, what is known without it."""
    for delivery in reversed(said):
        with suppress(ValueError):
            return Notification.from_json(delivery.notice)
    labels = {title: UNKNOWN if name is None else name for title, name in alert.labels.items()}
    episode = alert.status.episode or ""
    severity: Any = alert.severity
    return Notification(
        alert.name, alert.name, "", "", severity, "resolve", labels, {}, episode, began_us_of(episode), now_us,
        context.store, context.host,
    )  # fmt: skip


def began_us_of(episode: str) -> int:
    """When an episode began; its name says so."""
    return int(episode.rpartition("-")[2])


def _row_of(alert: Alert, now_us: int) -> AlertRow:
    status, measured = alert.status, alert.found.measurement
    return AlertRow(
        alert.fingerprint, alert.name, json.dumps(alert.labels), alert.severity, status.state, status.reason.name,
        status.since_us, now_us, status.breached_us, status.cleared_us, status.notified_us, status.episode,
        measured.value, measured.samples,
    )  # fmt: skip


def _event_of(alert: Alert, now_us: int) -> EventRow:
    status, measured = alert.status, alert.found.measurement
    return EventRow(
        fresh_uid(now_us), now_us, alert.fingerprint, alert.name, json.dumps(alert.labels), alert.severity,
        alert.before.state, status.state, status.reason.name, status.episode, measured.value, measured.samples,
    )  # fmt: skip
