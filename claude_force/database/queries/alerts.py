"""Alerts: their states, transitions, deliveries and silences."""

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
"""Deliveries of one channel in one batch; the rest follows in the next."""


def alerts(connection: Connection) -> list[AlertRow]:
    """Every alert that has ever left `ok`, by rule and labels."""
    rows = connection.fetch(f"SELECT {', '.join(ALERT_FIELDS)} FROM alert_states ORDER BY rule, labels")
    return [AlertRow(*row) for row in rows]


def events(
    connection: Connection, since_us: int, limit: int, until_us: int = LATEST_US, *, is_ascending: bool = False
) -> list[EventRow]:
    """The last `limit` transitions in [since_us, until_us), newest first; or the first ones, oldest first."""
    order = "ASC" if is_ascending else "DESC"
    rows = connection.fetch(
        f"SELECT {', '.join(EVENT_FIELDS)} FROM alert_events WHERE at_us >= :since_us AND at_us < :until_us "
        f"ORDER BY at_us {order}, event_id {order} LIMIT :most",
        {"since_us": since_us, "until_us": until_us, "most": limit},
    )
    return [EventRow(*row) for row in rows]


def silences(connection: Connection, now_us: int) -> dict[str, Silence]:
    """The silences in force now, by the name of the rule."""
    rows = connection.fetch(
        f"SELECT {', '.join(SILENCE_FIELDS)} FROM silences WHERE until_us > :now_us ORDER BY name", {"now_us": now_us}
    )
    return {row[0]: Silence(*row) for row in rows}


def due(connection: Connection, now_us: int, furthest_us: int) -> list[Delivery]:
    """The deliveries to send now, oldest first.

    If the clock was ahead and has been corrected, some deliveries were created after now, or are due after
    `furthest_us`: these are sent, too. The resolve of an episode is not due while an earlier notification of it waits
    on the same channel. The limit on a batch is per channel, so that no channel delays another."""
    names = ", ".join(DELIVERY_FIELDS)
    rows = connection.fetch(
        f"SELECT {names} FROM (SELECT {names}, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY created_us, "
        f"delivery_id) AS number FROM deliveries WHERE status = '{WAITING}' AND (due_us <= :now_us "
        "OR due_us > :furthest_us OR (attempts = 0 AND created_us > :now_us)) AND (action <> 'resolve' "
        "OR NOT EXISTS (SELECT 1 FROM deliveries AS earlier WHERE earlier.episode = deliveries.episode "
        "AND earlier.channel = deliveries.channel AND earlier.action <> 'resolve' "
        f"AND earlier.status = '{WAITING}'))) AS waiting WHERE number <= {_AT_ONCE} ORDER BY created_us, delivery_id",
        {"now_us": now_us, "furthest_us": furthest_us},
    )
    return [Delivery(*row) for row in rows]


def of_episode(connection: Connection, episode: str) -> list[Delivery]:
    """Every delivery of an episode, oldest first."""
    rows = connection.fetch(
        f"{_DELIVERIES} WHERE episode = :episode ORDER BY created_us, delivery_id", {"episode": episode}
    )
    return [Delivery(*row) for row in rows]


def by_status(connection: Connection, status: str, since_us: int = 0, until_us: int = LATEST_US) -> list[Delivery]:
    """The deliveries with a status that were created in [since_us, until_us), oldest first."""
    rows = connection.fetch(
        f"{_DELIVERIES} WHERE status = :status AND created_us >= :since_us AND created_us < :until_us "
        "ORDER BY created_us, delivery_id",
        {"status": status, "since_us": since_us, "until_us": until_us},
    )
    return [Delivery(*row) for row in rows]
