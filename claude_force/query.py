"""Every read. The database counts; Python only folds days into weeks and months.

The text of a query is composed from constants and parameter names alone; values travel as parameters. Functions take
an open connection, so that a report made of several queries sees one snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, timezone, tzinfo
from operator import itemgetter
from typing import Any, Literal

from claude_force import clock
from claude_force.clock import ALL_TIME, DAY_US, HOUR_US, Window
from claude_force.database import Connection, Database, Row
from claude_force.errors import DatabaseCorrupt, InvalidRecord
from claude_force.record import FIELDS, ExecutionMetrics
from claude_force.result import Bucket, ErrorGroup, Extent, Percentiles, Totals

Dimension = Literal["agent_name", "model", "workflow_id", "project"]
"""What a breakdown can be by: a column of `executions`."""

Interval = Literal["hourly", "daily", "weekly", "monthly"]

PAGE = 5000
"""Rows that an iteration holds at a time; each page is a read of its own, so a slow consumer pins nothing."""

_MONDAY = date(1969, 12, 29)
_SHIFT_US = 3 * DAY_US
"""Days are counted from a Monday before the epoch: no division meets a negative number, and weeks are whole."""

_TOTALS = """
    COUNT(*), COALESCE(SUM(success), 0),
    COUNT(duration_us), COALESCE(SUM(duration_us), 0),
    COUNT(input_tokens), COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0),
    COALESCE(SUM(cache_read_tokens), 0), COALESCE(SUM(cache_write_5m_tokens), 0),
    COALESCE(SUM(cache_write_1h_tokens), 0),
    COUNT(cost_nanousd), COALESCE(SUM(cost_nanousd), 0),
    COALESCE(SUM(CASE WHEN reference_cost_nanousd IS NOT NULL THEN cost_nanousd END), 0),
    COALESCE(SUM(CASE WHEN cost_nanousd IS NOT NULL THEN reference_cost_nanousd END), 0)
"""
"""The columns of `result.Totals`, in its order."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which executions a report is about. An empty tuple does not restrict."""

    window: Window = ALL_TIME
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()

    def names(self) -> tuple[tuple[Dimension, tuple[str, ...]], ...]:
        """The names asked for, by dimension."""
        return (
            ("agent_name", self.agents),
            ("model", self.models),
            ("workflow_id", self.workflows),
            ("project", self.projects),
        )

    def where(self, *more: str) -> tuple[str, dict[str, Any]]:
        """A WHERE clause ("" where nothing restricts) and its parameters. `more` are further conditions."""
        conditions: list[str] = []
        parameters: dict[str, Any] = {}
        if self.window.start_us is not None:
            conditions.append("timestamp_us >= :start_us")
            parameters["start_us"] = self.window.start_us
        if self.window.end_us is not None:
            conditions.append("timestamp_us < :end_us")
            parameters["end_us"] = self.window.end_us
        for column, wanted in self.names():
            if wanted:
                named = {f"{column}_{index}": name for index, name in enumerate(wanted)}
                conditions.append(f"{column} IN ({', '.join(f':{key}' for key in named)})")
                parameters |= named
        conditions.extend(more)
        return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), parameters


def totals(connection: Connection, chosen: Filter) -> Totals:
    """The sums over all chosen executions."""
    condition, parameters = chosen.where()
    return _totals(connection.fetch(f"SELECT {_TOTALS} FROM executions{condition}", parameters)[0])


def totals_by(connection: Connection, chosen: Filter, dimension: Dimension) -> dict[str | None, Totals]:
    """The sums by each name that occurs; None is the name of executions that have none."""
    condition, parameters = chosen.where()
    rows = connection.fetch(f"SELECT {dimension}, {_TOTALS} FROM executions{condition} GROUP BY 1", parameters)
    return {row[0]: _totals(row[1:]) for row in rows}


def percentiles(connection: Connection, chosen: Filter) -> Percentiles:
    """The nearest-rank percentiles over all chosen executions that were timed."""
    return _percentiles(connection, chosen, "NULL").get(None, Percentiles())


def percentiles_by(connection: Connection, chosen: Filter, dimension: Dimension) -> dict[str | None, Percentiles]:
    """The nearest-rank percentiles by each name; a name none of whose executions was timed is left out."""
    return _percentiles(connection, chosen, dimension)


def _totals(row: Sequence[Any]) -> Totals:
    # PostgreSQL sums bigint as numeric, which arrives as Decimal.
    return Totals(*map(int, row))


def _percentiles(connection: Connection, chosen: Filter, grouping: str) -> dict[str | None, Percentiles]:
    """Nearest rank: the smallest duration such that at least p percent of the group is not above it, whose rank is
    p * n / 100 rounded up."""
    condition, parameters = chosen.where("duration_us IS NOT NULL")
    rank = "MAX(CASE WHEN place = (size * {p} + 99) / 100 THEN duration_us END)"
    rows = connection.fetch(
        f"""
        SELECT name, {rank.format(p=50)}, {rank.format(p=95)}, {rank.format(p=99)}
        FROM (
            SELECT {grouping} AS name, duration_us,
                ROW_NUMBER() OVER (PARTITION BY {grouping} ORDER BY duration_us) AS place,
                COUNT(*) OVER (PARTITION BY {grouping}) AS size
            FROM executions{condition}
        ) AS ranked
        GROUP BY name
        """,
        parameters,
    )
    return {row[0]: Percentiles(*row[1:]) for row in rows}


def extent(connection: Connection, chosen: Filter) -> Extent | None:
    """From the first to the last chosen execution; None where there is none."""
    condition, parameters = chosen.where()
    # Apart, each is one step in the index; together they would read all of it.
    edges = (f"(SELECT {edge}(timestamp_us) FROM executions{condition})" for edge in ("MIN", "MAX"))
    first, last = connection.fetch(f"SELECT {', '.join(edges)}", parameters)[0]
    return None if first is None else Extent(first, last)


def trend(connection: Connection, chosen: Filter, interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The intervals, in local time of `zone`, that hold executions, oldest first. A week begins on Monday.

    An hour that a clock change repeats is two buckets; a day of 23 or 25 hours is one.
    """
    reach = extent(connection, chosen)
    if reach is None:
        return []
    spans = clock.offset_spans(zone, reach.first_us - HOUR_US, reach.last_us)
    offset, offsets = _offset_expression(spans)
    condition, parameters = chosen.where()
    parameters |= offsets
    if interval == "hourly":
        rows = connection.fetch(
            f"SELECT (timestamp_us + {offset} + {_SHIFT_US}) / {HOUR_US}, {offset}, MIN(timestamp_us), {_TOTALS} "
            f"FROM executions{condition} GROUP BY 1, 2",
            parameters,
        )
        return [_hour(row[0], row[2], _totals(row[3:]), spans) for row in sorted(rows, key=itemgetter(2))]
    days = connection.fetch(
        f"SELECT (timestamp_us + {offset} + {_SHIFT_US}) / {DAY_US}, {_TOTALS} FROM executions{condition} GROUP BY 1",
        parameters,
    )
    folded: dict[date, Totals] = {}
    for row in sorted(days):
        first = _first_day(_MONDAY + timedelta(days=row[0]), interval)
        folded[first] = folded.get(first, Totals()) + _totals(row[1:])
    return [_days(first, found, interval, zone) for first, found in folded.items()]


def _offset_expression(spans: Sequence[tuple[int, int]]) -> tuple[str, dict[str, int]]:
    """SQL for the offset of `timestamp_us` from UTC, and its parameters."""
    *earlier, (_, last) = spans
    if not earlier:
        return ":offset_last", {"offset_last": last}
    branches = [f"WHEN timestamp_us < :until_{index} THEN :offset_{index}" for index in range(len(earlier))]
    parameters = {"offset_last": last}
    for index, (until, offset) in enumerate(earlier):
        parameters |= {f"until_{index}": until, f"offset_{index}": offset}
    return f"CASE {' '.join(branches)} ELSE :offset_last END", parameters


def _hour(place: int, first_us: int, found: Totals, spans: Sequence[tuple[int, int]]) -> Bucket:
    """The hour of a local clock that holds `first_us`; where the offset changes within an hour, the part before or
    after the change."""
    index = next(index for index, (until, _) in enumerate(spans) if first_us < until)
    until_us, offset_us = spans[index]
    nominal_us = place * HOUR_US - _SHIFT_US - offset_us
    since_us = spans[index - 1][0] if index else nominal_us
    moment = clock.moment_of(nominal_us, timezone(timedelta(microseconds=offset_us)))
    label = moment.isoformat(sep=" ", timespec="minutes")
    return Bucket(label, max(nominal_us, since_us), min(nominal_us + HOUR_US, until_us), found)


def _first_day(day: date, interval: Interval) -> date:
    if interval == "weekly":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "monthly" else day


def _days(first: date, found: Totals, interval: Interval, zone: tzinfo) -> Bucket:
    if interval == "monthly":
        following = (first + timedelta(days=31)).replace(day=1)
    else:
        following = first + timedelta(days=7 if interval == "weekly" else 1)
    start, end = (clock.midnight_of(day, zone) for day in (first, following))
    return Bucket(first.strftime("%Y-%m" if interval == "monthly" else "%Y-%m-%d"), start, end, found)


def errors(connection: Connection, chosen: Filter) -> list[ErrorGroup]:
    """The failures by their kind, in no particular order."""
    condition, parameters = chosen.where("success = 0")
    rows = connection.fetch(
        "SELECT error_type, COUNT(*), COUNT(DISTINCT agent_name), MIN(timestamp_us), MAX(timestamp_us) "
        f"FROM executions{condition} GROUP BY error_type",
        parameters,
    )
    return [ErrorGroup(*row) for row in rows]


def has_name(connection: Connection, dimension: Dimension, name: str) -> bool:
    """Whether a name ever occurred in a dimension."""
    return bool(connection.fetch(f"SELECT 1 FROM executions WHERE {dimension} = :name LIMIT 1", {"name": name}))


def names(connection: Connection, dimension: Dimension) -> list[str]:
    """Every name that ever occurred in a dimension, sorted."""
    rows = connection.fetch(f"SELECT DISTINCT {dimension} FROM executions WHERE {dimension} IS NOT NULL")
    return sorted(row[0] for row in rows)


def read_every_column(connection: Connection) -> None:
    """Raise DatabaseError unless every column of an execution is there to be read."""
    connection.fetch(f"SELECT {', '.join(FIELDS)} FROM executions LIMIT 1")


def known_uids(database: Database, uids: Sequence[str]) -> set[str]:
    """Those of the uids that are stored."""
    found: set[str] = set()
    with database.read() as connection:
        for start in range(0, len(uids), 500):
            part = {f"uid_{index}": database.encode_uid(uid) for index, uid in enumerate(uids[start : start + 500])}
            marks = ", ".join(f":{key}" for key in part)
            rows = connection.fetch(f"SELECT uid FROM executions WHERE uid IN ({marks})", part)
            found.update(database.decode_uid(row[0]) for row in rows)
    return found


def iterate(database: Database, chosen: Filter) -> Iterator[ExecutionMetrics]:
    """Every chosen execution, oldest first, in constant memory.

    Each page is a snapshot of its own: an execution that is added behind the place that the iteration has reached is
    not seen, one that is added ahead of it is.
    """
    columns = ", ".join(FIELDS)
    after: tuple[str, ...] = ()
    place: dict[str, Any] = {}
    while True:
        condition, parameters = chosen.where(*after)
        with database.read() as connection:
            rows = connection.fetch(
                f"SELECT {columns} FROM executions{condition} ORDER BY timestamp_us, uid LIMIT {PAGE}",
                parameters | place,
            )
        yield from (_record(database, row) for row in rows)
        if len(rows) < PAGE:
            return
        after = ("(timestamp_us, uid) > (:after_us, :after_uid)",)
        place = {"after_us": rows[-1][1], "after_uid": rows[-1][0]}


def _record(database: Database, row: Row) -> ExecutionMetrics:
    values = dict(zip(FIELDS, row, strict=True))
    values |= {"uid": database.decode_uid(row[0]), "success": bool(values["success"])}
    try:
        return ExecutionMetrics(**values)
    except InvalidRecord as error:
        raise DatabaseCorrupt(
            f"{database.name} holds a row that no claude-force wrote ({values['uid']}: {error}); restore a backup"
        ) from error
