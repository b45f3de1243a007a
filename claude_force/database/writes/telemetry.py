"""Storing what telemetry says of agents, in the caller's transaction: outcomes, which records came, headless runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from claude_force.clock import DAY_US, EARLIEST_US, LATEST_US
from claude_force.database.contract import Connection
from claude_force.database.rows.telemetry import CountedOutcome, HeadlessRun, OutcomeSum, TelemetryKind
from claude_force.executions.outcomes import VALUE_LIMIT
from claude_force.executions.record import NAME_LIMIT
from claude_force.executions.signals import Heard, Outcome

KEYS_KEPT_US = 7 * DAY_US
"""How long it is known which records were counted. A client sends one again within minutes, and the spool waits for as
long as the database is away."""

KINDS_LIMIT = 1000
"""How many kinds of records of a host are told apart. Programs send a few dozens; a hostile one any number."""

OTHER_SERVICE, OTHER_NAME = "other", "further kinds"
"""What the records of all other kinds are counted as."""

_KindKey = tuple[str, str, str]
_ROWS_AT_ONCE = 100
_COUNTED = CountedOutcome._fields
_SUM_KEY = OutcomeSum._fields[:4]
_ADD_SUMS = (
    f"ON CONFLICT ({', '.join(_SUM_KEY)}) DO UPDATE SET "
    "records = outcomes.records + excluded.records, value = outcomes.value + excluded.value"
)
REPLACE_SUMS = f"ON CONFLICT ({', '.join(_SUM_KEY)}) DO UPDATE SET records = excluded.records, value = excluded.value"
_IS_LATER = "excluded.last_us >= telemetry_kinds.last_us"
_ADD_KINDS = (
    "ON CONFLICT (host, service, name, ignored) DO UPDATE SET "
    f"version = CASE WHEN {_IS_LATER} THEN excluded.version ELSE telemetry_kinds.version END, "
    f"last_us = CASE WHEN {_IS_LATER} THEN excluded.last_us ELSE telemetry_kinds.last_us END, "
    "records = telemetry_kinds.records + excluded.records"
)
_REPLACE_RUN = "ON CONFLICT (run_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in HeadlessRun._fields if name != "run_id"
)


def add_outcomes(connection: Connection, outcomes: Iterable[Outcome], now_us: int) -> int:
    """Add outcomes to the sums of their day (UTC) and session; returns how many were new.

    A record whose key was counted in the last week, or is twice in `outcomes`, counts once; so the sums are the same in
    any order and after any repetition. An impossible value or time is left out."""
    by_key = {row.key: row for row in _counted(outcomes, now_us)}
    return add_counted(connection, [by_key[key] for key in sorted(by_key)])


def add_counted(connection: Connection, rows: Sequence[CountedOutcome]) -> int:
    """Add the records that are not counted yet to the sums; returns how many. The keys must be in order."""
    new = remember(connection, rows)
    connection.insert_all(f"outcomes ({', '.join(OutcomeSum._fields)})", sums_of(new), _ADD_SUMS)
    return len(new)


def remember(connection: Connection, rows: Sequence[CountedOutcome]) -> list[CountedOutcome]:
    """Note records as counted; returns those that were not. The keys must be in order."""
    new: list[CountedOutcome] = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        new += _remember(connection, rows[start : start + _ROWS_AT_ONCE])
    return new


def sums_of(rows: Iterable[CountedOutcome]) -> list[OutcomeSum]:
    """What records add to the sums, in the order of their keys: two transactions that wait for each other's rows in
    different orders would be a deadlock."""
    values: dict[tuple[int, str, str, str], list[int]] = defaultdict(list)
    for row in rows:
        values[row.day_us, row.session_id, row.name, row.kind].append(row.value)
    return [OutcomeSum(*key, len(found), sum(found)) for key, found in sorted(values.items())]


def _counted(outcomes: Iterable[Outcome], now_us: int) -> Iterator[CountedOutcome]:
    for outcome in outcomes:
        if EARLIEST_US <= outcome.at_us < LATEST_US and abs(outcome.value) <= VALUE_LIMIT:
            texts = (outcome.key, outcome.session_id, outcome.name, outcome.kind)
            key, session_id, name, kind = map(_storable, texts)
            day_us = outcome.at_us - outcome.at_us % DAY_US
            yield CountedOutcome(key, now_us, day_us, session_id, name, kind, outcome.value)


def _remember(connection: Connection, rows: Sequence[CountedOutcome]) -> list[CountedOutcome]:
    """Store records; returns those whose keys were new. In one statement, which waits for another transaction that
    stores the same key, so that each is new to only one of them."""
    marks = ", ".join(f"({', '.join(f':{name}_{index}' for name in _COUNTED)})" for index in range(len(rows)))
    values = {
        f"{name}_{index}": value for index, row in enumerate(rows) for name, value in zip(_COUNTED, row, strict=True)
    }
    inserted = connection.fetch(
        f"INSERT INTO counted_outcomes ({', '.join(_COUNTED)}) VALUES {marks} ON CONFLICT DO NOTHING RETURNING key",
        values,
    )
    new = {row[0] for row in inserted}
    return [row for row in rows if row.key in new]


def add_heard(connection: Connection, host: str, heard: Iterable[Heard]) -> None:
    """Note which records came to a host; the latest one of a kind says the version. Kinds beyond KINDS_LIMIT are
    counted together. A pass that was killed before it deleted what it read counts these records again: the numbers are
    for people."""
    by_key: dict[_KindKey, TelemetryKind] = {}
    for found in heard:
        if EARLIEST_US <= found.at_us < LATEST_US and 0 <= found.records <= VALUE_LIMIT:
            service, name, ignored, version = map(_storable, (found.service, found.name, found.ignored, found.version))
            kind = TelemetryKind(_storable(host), service, name, ignored, version, found.at_us, found.records)
            _add_kind(by_key, kind)
    by_key = _within_limit(connection, _storable(host), by_key)
    rows = [by_key[key] for key in sorted(by_key)]
    connection.insert_all(f"telemetry_kinds ({', '.join(TelemetryKind._fields)})", rows, _ADD_KINDS)


def _add_kind(by_key: dict[_KindKey, TelemetryKind], kind: TelemetryKind) -> None:
    key = (kind.service, kind.name, kind.ignored)
    known = by_key.get(key)
    by_key[key] = kind if known is None else _together(known, kind)


def _within_limit(
    connection: Connection, host: str, by_key: Mapping[_KindKey, TelemetryKind]
) -> dict[_KindKey, TelemetryKind]:
    """The kinds of a host, those that are new and too many as one."""
    known = connection.fetch("SELECT service, name, ignored FROM telemetry_kinds WHERE host = :host", {"host": host})
    new = [key for key in by_key if key not in set(known)]
    too_many = set(new[max(KINDS_LIMIT - len(known), 0) :])
    found: dict[_KindKey, TelemetryKind] = {}
    for key, kind in by_key.items():
        other = kind._replace(service=OTHER_SERVICE, name=OTHER_NAME, version="")
        _add_kind(found, other if key in too_many else kind)
    return found


def _together(one: TelemetryKind, other: TelemetryKind) -> TelemetryKind:
    latest = max(one, other, key=lambda kind: (kind.last_us, kind.version))
    return latest._replace(records=one.records + other.records)


def add_headless_run(connection: Connection, run: HeadlessRun) -> None:
    """Store a run of `claude-force run`, in place of what is known of it."""
    connection.insert_all(f"headless_runs ({', '.join(HeadlessRun._fields)})", [tuple(run)], _REPLACE_RUN)


def forget_counted(connection: Connection, now_us: int) -> int:
    """Delete the keys of records that were counted more than a week ago; returns how many. The sums stay."""
    return connection.execute(
        "DELETE FROM counted_outcomes WHERE received_us < :before_us", {"before_us": now_us - KEYS_KEPT_US}
    )


def _storable(text: str) -> str:
    """A text that both databases can store, of usual length."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:NAME_LIMIT]
