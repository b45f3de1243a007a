"""Observations of the limits of a Claude plan. The latest one of each host and limit is what is known now."""

from __future__ import annotations

from collections.abc import Iterable

from claude_force.database.contract import Connection
from claude_force.executions.plan_limits import PlanLimit, lookback_us

COLUMNS = ", ".join(PlanLimit._fields)

_LATEST = (
    f"SELECT * FROM (SELECT {COLUMNS} FROM plan_limits WHERE host = :host AND kind = :kind{{0}} "
    "AND observed_us <= :now_us ORDER BY observed_us DESC LIMIT 1) AS latest{0}"
)


def latest_of_host(connection: Connection, host: str, kinds: Iterable[str], now_us: int) -> dict[str, PlanLimit]:
    """The latest observation of each of these limits on a host, by kind. It reads one row for each."""
    names = {f"kind{number}": kind for number, kind in enumerate(dict.fromkeys(kinds))}
    if not names:
        return {}
    sql = " UNION ALL ".join(_LATEST.format(number) for number in range(len(names)))
    rows = connection.fetch(sql, {"host": host, "now_us": now_us, **names})
    return {row[1]: PlanLimit(*row) for row in rows}


def latest(connection: Connection, now_us: int) -> list[PlanLimit]:
    """The latest observation of every limit of every host."""
    rows = connection.fetch(
        f"SELECT {', '.join(f'a.{name}' for name in PlanLimit._fields)} FROM plan_limits a JOIN ("
        "SELECT host, kind, MAX(observed_us) AS observed_us FROM plan_limits WHERE observed_us <= :now_us "
        "GROUP BY host, kind) b ON a.host = b.host AND a.kind = b.kind AND a.observed_us = b.observed_us",
        {"now_us": now_us},
    )
    return [PlanLimit(*row) for row in rows]


def history(connection: Connection, limit: PlanLimit, now_us: int) -> list[PlanLimit]:
    """What `plan_limits.forecast` needs: the observations of a limit in its lookback and the one before, oldest
    first."""
    of_limit = "FROM plan_limits WHERE host = :host AND kind = :kind AND observed_us"
    rows = connection.fetch(
        f"SELECT {COLUMNS} {of_limit} BETWEEN COALESCE((SELECT MAX(observed_us) {of_limit} <= :since_us), :since_us) "
        "AND :now_us ORDER BY observed_us",
        {"host": limit.host, "kind": limit.kind, "since_us": now_us - lookback_us(limit.kind), "now_us": now_us},
    )
    return [PlanLimit(*row) for row in rows]
