"""Seats: the sums of hosts and users.

The new tables are filled from the executions that are rolled up; the few pending ones follow when they are. SQL cannot
compute the bin of a duration, so the durations are read, day by day. This file imports nothing of the package, whose
later changes must not change it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPTIONS = {"sqlite_with_rowid": False, "sqlite_strict": True}
_DAY_US = 86_400_000_000
_LONGEST_US = 366 * _DAY_US
_DAYS_OF_LEVEL = {2: 32, 3: 1024}
_FIRST_DAY = -(1 << 26)
_ROWS_AT_ONCE = 10_000

_SHARES = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "cost_nanousd", "compared_cost_nanousd", "compared_reference_nanousd", "recorded_cost_nanousd",
)  # fmt: skip
_SUMS = {
    "executions": "COUNT(*)",
    "successes": "SUM(success)",
    "timed": "COUNT(duration_us)",
    "duration_us": "COALESCE(SUM(duration_us), 0)",
    "metered": "COUNT(input_tokens)",
    **{name: f"COALESCE(SUM({name}), 0)" for name in _SHARES[:5]},
    "priced": "COUNT(cost_nanousd)",
    "cost_nanousd": "COALESCE(SUM(cost_nanousd), 0)",
    "compared_cost_nanousd": "COALESCE(SUM(CASE WHEN reference_cost_nanousd IS NOT NULL THEN cost_nanousd END), 0)",
    "compared_reference_nanousd": (
        "COALESCE(SUM(CASE WHEN cost_nanousd IS NOT NULL THEN reference_cost_nanousd END), 0)"
    ),
    "provisional": "COALESCE(SUM(CASE WHEN usage_basis = 'provisional' THEN 1 END), 0)",
    "recorded_cost_nanousd": (
        "COALESCE(SUM(CASE WHEN recorded_basis IS NULL THEN cost_nanousd ELSE recorded_cost_nanousd END), 0)"
    ),
}
_NAMES = ", ".join(_SUMS)
_KEY = ("scope", "level", "bucket", "series_id", "seat_id")
_INTO = f"INSERT INTO rollup_seats ({', '.join(_KEY)}, {_NAMES})"
_SEAT = "COALESCE(host, '') AS host, COALESCE(user_name, '') AS user_name"
_IS_ROLLED_UP = "NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = {}.uid)"
_OF_ROWS = f"""
SELECT timestamp_us / {_DAY_US} AS day, series_id, {_SEAT},
    {", ".join(f"{sql} AS {name}" for name, sql in _SUMS.items())}
FROM executions WHERE {_IS_ROLLED_UP.format("executions")}
GROUP BY 1, 2, 3, 4
"""
_OF_STEPS = f"""
SELECT timestamp_us / {_DAY_US} AS day, series_id, {_SEAT},
    {", ".join(f"SUM({name}) AS {name}" if name in _SHARES else f"0 AS {name}" for name in _SUMS)}
FROM (
    SELECT step_usage.*, executions.host, executions.user_name
    FROM step_usage CROSS JOIN executions WHERE executions.uid = step_usage.uid
) AS shares
WHERE {_IS_ROLLED_UP.format("shares")}
GROUP BY 1, 2, 3, 4
"""
_ADD = f"""
ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET
    {", ".join(f"{name} = rollup_seats.{name} + excluded.{name}" for name in _SUMS)}
"""
_TOTALS = ", ".join(f"SUM({name})" for name in _SUMS)
_DURATIONS = sa.text(
    f"SELECT {_SEAT}, duration_us, COUNT(*) FROM executions WHERE timestamp_us >= :start_us AND timestamp_us < :end_us "
    f"AND duration_us IS NOT NULL AND {_IS_ROLLED_UP.format('executions')} GROUP BY 1, 2, 3"
)
_NEXT_DAY = sa.text(f"SELECT MIN(timestamp_us) / {_DAY_US} FROM executions WHERE timestamp_us >= :start_us")


def upgrade() -> None:
    """Create the tables, and fill them."""
    _create_tables()
    op.execute(
        "INSERT INTO seats (seat_id, host, user_name) SELECT ROW_NUMBER() OVER (ORDER BY host, user_name), host, "
        f"user_name FROM (SELECT DISTINCT {_SEAT} FROM executions "
        f"WHERE {_IS_ROLLED_UP.format('executions')}) AS named"
    )
    for counted, otherwise in ((_OF_ROWS, ""), (_OF_STEPS, _ADD)):
        op.execute(
            f"{_INTO} SELECT 1, 1, day, series_id, seat_id, {_NAMES} FROM ({counted}) AS counted "
            "JOIN seats ON seats.host = counted.host AND seats.user_name = counted.user_name WHERE 1 = 1 "
            f"{otherwise}"
        )
    _add_bins()
    for level, days in _DAYS_OF_LEVEL.items():
        ratio = days // _DAYS_OF_LEVEL.get(level - 1, 1)
        op.execute(
            f"{_INTO} SELECT 1, {level}, bucket / {ratio}, series_id, seat_id, {_TOTALS} FROM rollup_seats "
            f"WHERE scope = 1 AND level = {level - 1} GROUP BY bucket / {ratio}, series_id, seat_id"
        )
        op.execute(
            "INSERT INTO rollup_seat_durations (level, bucket, seat_id, bin, executions) "
            f"SELECT {level}, bucket / {ratio}, seat_id, bin, SUM(executions) FROM rollup_seat_durations "
            f"WHERE level = {level - 1} GROUP BY bucket / {ratio}, seat_id, bin"
        )
    op.execute(
        f"{_INTO} SELECT 0, level, bucket, 0, seat_id, {_TOTALS} FROM rollup_seats WHERE scope = 1 "
        "GROUP BY level, bucket, seat_id"
    )


def _create_tables() -> None:
    op.create_table(
        "seats",
        sa.Column("seat_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seat_id", name="pk_seats"),
        sa.UniqueConstraint("host", "user_name", name="uq_seats_host_user_name"),
        sqlite_strict=True,
    )
    for table, key, values in (
        ("rollup_seats", _KEY, tuple(_SUMS)),
        ("rollup_seat_durations", ("level", "bucket", "seat_id", "bin"), ("executions",)),
    ):
        op.create_table(
            table,
            *(sa.Column(name, sa.Integer, autoincrement=False, nullable=False) for name in key),
            *(sa.Column(name, _COUNT, nullable=False) for name in values),
            sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"),
            **_OPTIONS,
        )


def _add_bins() -> None:
    """Add how many executions of a seat and a day have a duration in each bin."""
    connection = op.get_bind()
    seats = {(host, user): number for number, host, user in connection.execute(sa.text("SELECT * FROM seats"))}
    table = sa.table("rollup_seat_durations", *map(sa.column, ("level", "bucket", "seat_id", "bin", "executions")))
    lows = _bin_lows()
    for day in _days():
        counts: Counter[tuple[int, int]] = Counter()
        period = {"start_us": day * _DAY_US, "end_us": (day + 1) * _DAY_US}
        for host, user, duration_us, count in connection.execute(_DURATIONS, period):
            counts[seats[host, user], bisect_right(lows, duration_us) - 1] += count
        rows = [
            {"level": 1, "bucket": day, "seat_id": seat, "bin": number, "executions": count}
            for (seat, number), count in counts.items()
        ]
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            connection.execute(table.insert(), rows[start : start + _ROWS_AT_ONCE])


def _days() -> Iterator[int]:
    """The days that have executions, since the epoch (UTC)."""
    day = op.get_bind().execute(_NEXT_DAY, {"start_us": _FIRST_DAY * _DAY_US}).scalar()
    while day is not None:
        yield int(day)
        day = op.get_bind().execute(_NEXT_DAY, {"start_us": (int(day) + 1) * _DAY_US}).scalar()


def _bin_lows() -> list[int]:
    lows = [0]
    while lows[-1] <= _LONGEST_US:
        lows.append(max(lows[-1] + 1, lows[-1] * 102 // 100))
    return lows
