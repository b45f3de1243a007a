"""What is kept of alerts: where they stand, how they came there, and what is to be said of them."""

from __future__ import annotations

from claude_force.clock import LATEST_US
from claude_force.database.contract import Connection
from claude_force.database.rows.alerts import (
    ALERT_FIELDS,
    DELIVERY_FIELDS,
    EVENT_FIELDS,
    SILENCE_FIELDS,
    WAITING,
    AlertRow,
    Delivery,
    EventRow,
    Silence,
)

_DELIVERIES = f"SELECT {', '.join(DELIVERY_FIELDS)} FROM deliveries"
_AT_ONCE = 1000
"""Deliveries of one channel that are looked at in one go; the rest waits for the next."""


def alerts(connection: Connection) -> list[AlertRow]:
    """Where every alert stands that was ever anything but well, by rule and labels."""
    rows = connection.fetch(f"SELECT {', '.join(ALERT_FIELDS)} FROM alert_states ORDER BY rule, labels")
    return [AlertRow(*row) for row in rows]


def events(connection: Connection, since_us: int, limit: int, until_us: int = LATEST_US) -> list[EventRow]:
    """The transitions since a time and before another, the newest first."""
    rows = connection.fetch(
        f"SELECT {', '.join(EVENT_FIELDS)} FROM alert_events WHERE at_us >= :since_us AND at_us < :until_us "
        "ORDER BY at_us DESC, event_id DESC LIMIT :most",
        {"since_us": since_us, "until_us": until_us, "most": limit},
    )
    return [EventRow(*row) for row in rows]


def silences(connection: Connection, now_us: int) -> dict[str, Silence]:
    """What is silenced now, by the name of the rule."""
    rows = connection.fetch(
        f"SELECT {', '.join(SILENCE_FIELDS)} FROM silences WHERE until_us > :now_us ORDER BY name", {"now_us": now_us}
    )
    return {row[0]: Silence(*row) for row in rows}


def due(connection: Connection, now_us: int, furthest_us: int) -> list[Delivery]:
    """What is to be said now, in the order in which it came up. Also what a clock that was ahead put off: what came up
    after now, or is due after `furthest_us`. An end is not due while anything before it waits on its channel, and no
    channel takes the place of another."""
    names = ", ".join(DELIVERY_FIELDS)
    rows = connection.fetch(
        f"SELECT {names} FROM (SELECT {names}, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY created_us, "
        f"delivery_id) AS place FROM deliveries WHERE status = '{WAITING}' AND (due_us <= :now_us "
        "OR due_us > :furthest_us OR (attempts = 0 AND created_us > :now_us)) AND (action <> 'resolve' "
        "OR NOT EXISTS (SELECT 1 FROM deliveries AS earlier WHERE earlier.episode = deliveries.episode "
        "AND earlier.channel = deliveries.channel AND earlier.action <> 'resolve' "
        f"AND earlier.status = '{WAITING}'))) AS waiting WHERE place <= {_AT_ONCE} ORDER BY created_us, delivery_id",
        {"now_us": now_us, "furthest_us": furthest_us},
    )
    return [Delivery(*row) for row in rows]


def of_episode(connection: Connection, episode: str) -> list[Delivery]:
    """What was and is to be said of an episode, in its order."""
    rows = connection.fetch(
        f"{_DELIVERIES} WHERE episode = :episode ORDER BY created_us, delivery_id", {"episode": episode}
    )
    return [Delivery(*row) for row in rows]


def by_status(connection: Connection, fate: str, since_us: int = 0) -> list[Delivery]:
    """The deliveries of one fate that came up since a time, the oldest first."""
    rows = connection.fetch(
        f"{_DELIVERIES} WHERE status = :fate AND created_us >= :since_us ORDER BY created_us, delivery_id",
        {"fate": fate, "since_us": since_us},
    )
    return [Delivery(*row) for row in rows]
