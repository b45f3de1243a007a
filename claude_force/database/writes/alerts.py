"""Writes of alerts and of their outbox, in the caller's transaction.

A delivery is stored in the same transaction as the transition that it reports, so that neither exists alone. Its result
is stored after it was sent: a process killed in between sends it again, with the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from claude_force.database.contract import Connection
from claude_force.database.rows.alerts import (
    ALERT_FIELDS,
    DELIVERY_FIELDS,
    EVENT_FIELDS,
    SILENCE_FIELDS,
    WAITING,
    AlertRow,
    Delivery,
    DeliveryStatus,
    EventRow,
    Silence,
)

_alert_of = attrgetter(*ALERT_FIELDS)
_event_of = attrgetter(*EVENT_FIELDS)
_delivery_of = attrgetter(*DELIVERY_FIELDS)
_silence_of = attrgetter(*SILENCE_FIELDS)


def _replacing(key: str, names: Sequence[str]) -> str:
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
    return f"ON CONFLICT ({key}) DO UPDATE SET {changed}"


_REPLACE_ALERT = _replacing("fingerprint", ALERT_FIELDS)
_REPLACE_SILENCE = _replacing("name", SILENCE_FIELDS)


def save_alerts(connection: Connection, alerts: Iterable[AlertRow]) -> None:
    """Store the states of alerts."""
    into = f"alert_states ({', '.join(ALERT_FIELDS)})"
    connection.insert_all(into, [_alert_of(alert) for alert in alerts], _REPLACE_ALERT)


def forget_alerts(connection: Connection, fingerprints: Iterable[str]) -> None:
    """Delete the states of alerts."""
    connection.execute_many(
        "DELETE FROM alert_states WHERE fingerprint = :fingerprint",
        [{"fingerprint": fingerprint} for fingerprint in fingerprints],
    )


def add_events(connection: Connection, events: Iterable[EventRow]) -> None:
    """Store transitions."""
    rows = [_event_of(event) for event in events]
    connection.insert_all(f"alert_events ({', '.join(EVENT_FIELDS)})", rows, "ON CONFLICT DO NOTHING")


def add_deliveries(connection: Connection, deliveries: Iterable[Delivery]) -> None:
    """Put deliveries into the outbox."""
    rows = [_delivery_of(delivery) for delivery in deliveries]
    connection.insert_all(f"deliveries ({', '.join(DELIVERY_FIELDS)})", rows, "ON CONFLICT DO NOTHING")


def claim(connection: Connection, delivery: Delivery, until_us: int) -> bool:
    """Reserve a delivery until an instant for the caller, who is about to send it; returns whether that succeeded. It
    fails if another sender has claimed it since it was read."""
    return (
        connection.execute(
            "UPDATE deliveries SET due_us = :until_us, attempts = attempts + 1 "
            f"WHERE delivery_id = :delivery_id AND status = '{WAITING}' AND attempts = :attempts",
            {"until_us": until_us, "delivery_id": delivery.delivery_id, "attempts": delivery.attempts},
        )
        == 1
    )


def finish(
    connection: Connection,
    delivery_id: str,
    status: DeliveryStatus,
    now_us: int,
    problem: str | None,
    receipt: str | None = None,
) -> None:
    """Store the final status of a delivery."""
    connection.execute(
        "UPDATE deliveries SET status = :status, finished_us = :now_us, problem = :problem, receipt = :receipt "
        f"WHERE delivery_id = :delivery_id AND status = '{WAITING}'",
        {"status": status, "now_us": now_us, "problem": problem, "receipt": receipt, "delivery_id": delivery_id},
    )


def postpone(connection: Connection, delivery_id: str, due_us: int, problem: str | None) -> None:
    """Schedule another attempt of a delivery."""
    connection.execute(
        "UPDATE deliveries SET due_us = :due_us, problem = :problem "
        f"WHERE delivery_id = :delivery_id AND status = '{WAITING}'",
        {"due_us": due_us, "problem": problem, "delivery_id": delivery_id},
    )


def silence(connection: Connection, silence: Silence) -> None:
    """Silence a rule; replaces an earlier silence of it."""
    connection.insert_all(f"silences ({', '.join(SILENCE_FIELDS)})", [_silence_of(silence)], _REPLACE_SILENCE)


def unsilence(connection: Connection, name: str) -> bool:
    """End a silence; returns whether there was one."""
    return connection.execute("DELETE FROM silences WHERE name = :name", {"name": name}) == 1


def forget_old(connection: Connection, before_us: int) -> dict[str, int]:
    """Delete transitions, finished deliveries and silences that ended before a time; returns how many of each. Keeps
    the deliveries of alerts that still fire: their resolve notification needs them."""
    open_episodes = "SELECT episode FROM alert_states WHERE episode IS NOT NULL"
    conditions = {
        "alert_events": "at_us < :before_us",
        "deliveries": f"status <> '{WAITING}' AND finished_us < :before_us AND episode NOT IN ({open_episodes})",
        "silences": "until_us < :before_us",
    }
    return {
        table: connection.execute(f"DELETE FROM {table} WHERE {condition}", {"before_us": before_us})
        for table, condition in conditions.items()
    }
