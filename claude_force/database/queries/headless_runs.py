"""Headless runs, and what the store has of their sessions: in the time in which they ran, and before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from claude_force.database.contract import Connection
from claude_force.database.queries.filter import IS_OF_SERIES, SERIES, SESSION, begins
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.executions.ledgers import WHOLE_SESSION
from claude_force.executions.record import RESULT
from claude_force.executions.sightings import EVENT, SDK, SPAN

_RUNS = f"SELECT {', '.join(HeadlessRun._fields)} FROM headless_runs"
_HEARD = ", ".join(f"'{source}'" for source in (EVENT, SPAN, SDK))

_SEEN = f"""
SELECT COUNT(*), COALESCE(SUM(cost_nanousd), 0), COUNT(cost_nanousd),
    COALESCE(SUM(COALESCE(input_tokens, 0) + COALESCE(output_tokens, 0) + cache_read_tokens + cache_write_5m_tokens
        + cache_write_1h_tokens), 0)
FROM executions
WHERE timestamp_us >= :since_us AND timestamp_us <= :until_us AND {SESSION} = :session_id
"""
_OF_TELEMETRY = f"executions.uid IN (SELECT uid FROM sightings WHERE source IN ({_HEARD}))"
_OF_OTHERS = f"executions.uid IN (SELECT uid FROM sightings WHERE source NOT IN ({_HEARD}))"


class Seen(NamedTuple):
    """Executions, and their costs and tokens together. `priced` of them have a cost."""

    executions: int
    cost_nanousd: int
    priced: int
    tokens: int

    def plus(self, other: Seen) -> Seen:
        """Both together."""
        return Seen(*map(sum, zip(self, other, strict=True)))


class SeenInRun(NamedTuple):
    """What is stored of the time of a run: all of it, what telemetry did not say, and what nothing else said."""

    everything: Seen
    missed: Seen
    only_heard: Seen


NOTHING = SeenInRun(*[Seen(0, 0, 0, 0)] * 3)


def headless_run(connection: Connection, run_id: str) -> HeadlessRun | None:
    """The run of `claude-force run` with this id; None if there is none."""
    rows = connection.fetch(f"{_RUNS} WHERE run_id = :run_id", {"run_id": run_id})
    return HeadlessRun(*rows[0]) if rows else None


def headless_runs_that_begin(connection: Connection, begin: str) -> list[HeadlessRun]:
    """The runs of `claude-force run` whose id begins so."""
    condition, parameters = begins("run_id", begin)
    return [HeadlessRun(*row) for row in connection.fetch(f"{_RUNS} WHERE {condition} ORDER BY run_id", parameters)]


def seen_in_run(connection: Connection, session_ids: Iterable[str], since_us: int, until_us: int) -> SeenInRun:
    """What is stored of some sessions between two instants, and who saw it."""
    found = NOTHING
    for session_id in session_ids:
        of_session = _seen_in_session(connection, session_id, since_us, until_us)
        found = SeenInRun(*(known.plus(more) for known, more in zip(found, of_session, strict=True)))
    return found


def _seen_in_session(connection: Connection, session_id: str, since_us: int, until_us: int) -> SeenInRun:
    parameters = {"session_id": session_id, "since_us": since_us, "until_us": until_us}

    def seen(condition: str) -> Seen:
        return Seen(*map(int, connection.fetch(_SEEN + condition, parameters)[0]))

    only_heard = seen(f" AND {_OF_TELEMETRY} AND NOT {_OF_OTHERS}")
    return SeenInRun(seen(""), seen(f" AND NOT {_OF_TELEMETRY}"), only_heard)


def cost_of_session(connection: Connection, session_id: str) -> int | None:
    """The cost of all executions of a session; None if none of them is stored."""
    rows = connection.fetch(
        f"SELECT COUNT(*), COALESCE(SUM(cost_nanousd), 0) FROM executions WHERE {SESSION} = :session_id",
        {"session_id": session_id},
    )
    return int(rows[0][1]) if rows[0][0] else None


def is_known_otherwise(connection: Connection, session_id: str, since_us: int) -> bool:
    """Whether an execution of a session is stored that is not from a result. Since an instant there is probably one, so
    what is older is looked through only if there is none."""
    parameters = {"session_id": session_id, "since_us": since_us}
    sql = (
        f"SELECT 1 FROM executions{SERIES} WHERE {IS_OF_SERIES} AND {SESSION} = :session_id "
        f"AND source <> '{RESULT}' AND timestamp_us {{}} :since_us LIMIT 1"
    )
    return bool(connection.fetch(sql.format(">="), parameters) or connection.fetch(sql.format("<"), parameters))


def last_total(connection: Connection, session_id: str) -> int | None:
    """The last total that is known of a session, in nano-dollars: that of a run, else that of its ledger; None if
    neither is known."""
    parameters = {"session_id": session_id}
    rows = connection.fetch(
        "SELECT reported_cost_nanousd FROM headless_runs WHERE session_id = :session_id "
        "AND reported_cost_nanousd IS NOT NULL ORDER BY started_us DESC LIMIT 1",
        parameters,
    ) or connection.fetch(
        f"SELECT cost_nanousd FROM session_ledgers WHERE session_id = :session_id AND model = '{WHOLE_SESSION}'",
        parameters,
    )
    return int(rows[0][0]) if rows else None
