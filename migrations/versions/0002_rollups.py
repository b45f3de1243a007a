"""Roll-ups, and series.

The labels of an execution (agent, model, project, source) move to `series`, which executions refer to by number. Then
the roll-ups are filled from the executions: hours and days by series, longer buckets from shorter ones, the sums of all
series from those of each. This file imports nothing of the package, whose later changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_IDENTITY = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPTIONS = {"sqlite_with_rowid": False, "sqlite_strict": True}

_HOUR_US = 3_600_000_000
_LEVELS_US = (_HOUR_US, 24 * _HOUR_US, 32 * 24 * _HOUR_US, 1024 * 24 * _HOUR_US)
_LONGEST_US = 366 * 24 * _HOUR_US

_KEPT = (
    "success", "task_hash", "duration_us", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "cost_nanousd", "reference_cost_nanousd", "price_version",
    "error_type", "workflow_id", "workflow_position", "host", "run_id",
)  # fmt: skip

_SUMS = {
    "executions": "COUNT(*)",
    "successes": "SUM(success)",
    "timed": "COUNT(duration_us)",
    "duration_us": "COALESCE(SUM(duration_us), 0)",
    "metered": "COUNT(input_tokens)",
    "input_tokens": "COALESCE(SUM(input_tokens), 0)",
    "output_tokens": "COALESCE(SUM(output_tokens), 0)",
    "cache_read_tokens": "SUM(cache_read_tokens)",
    "cache_write_5m_tokens": "SUM(cache_write_5m_tokens)",
    "cache_write_1h_tokens": "SUM(cache_write_1h_tokens)",
    "priced": "COUNT(cost_nanousd)",
    "cost_nanousd": "COALESCE(SUM(cost_nanousd), 0)",
    "compared_cost_nanousd": "COALESCE(SUM(CASE WHEN reference_cost_nanousd IS NOT NULL THEN cost_nanousd END), 0)",
    "compared_reference_nanousd": (
        "COALESCE(SUM(CASE WHEN cost_nanousd IS NOT NULL THEN reference_cost_nanousd END), 0)"
    ),
}

_FREE_NAMES = """
DO $$ DECLARE taken name; BEGIN
    FOR taken IN SELECT conname FROM pg_constraint WHERE conrelid = 'labelled_executions'::regclass LOOP
        EXECUTE format('ALTER TABLE labelled_executions RENAME CONSTRAINT %I TO %I', taken, 'old_' || taken);
    END LOOP;
END $$
"""
"""A server's constraints keep their names when their table gets another one."""


def upgrade() -> None:
    """Create the tables, move the labels, fill the roll-ups."""
    _create_tables()
    _move_labels()
    _count()


def _create_tables() -> None:
    labels = ("agent_name", "model", "project", "source")
    op.create_table(
        "series",
        sa.Column("series_id", sa.Integer, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in labels),
        sa.PrimaryKeyConstraint("series_id", name="pk_series"),
        sa.UniqueConstraint(*labels, name="uq_series_agent_name_model_project_source"),
        sqlite_strict=True,
    )
    op.create_table(
        "uncounted",
        sa.Column("uid", _IDENTITY, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_uncounted"),
        **_OPTIONS,
    )
    sums = [sa.Column(name, _COUNT, nullable=False) for name in _SUMS]
    _create_rollup("rollups", ("scope", "level", "bucket", "series_id"), *sums)
    _create_rollup(
        "rollup_durations",
        ("scope", "level", "bucket", "series_id", "bin"),
        sa.Column("executions", _COUNT, nullable=False),
    )
    _create_rollup(
        "rollup_errors",
        ("level", "bucket", "series_id", "error_type"),
        *(sa.Column(name, _COUNT, nullable=False) for name in ("failures", "first_us", "last_us")),
    )


def _create_rollup(table: str, key: tuple[str, ...], *values: sa.Column[int]) -> None:
    kinds = {"error_type": sa.Text}
    op.create_table(
        table,
        *(sa.Column(name, kinds.get(name, sa.Integer), autoincrement=False, nullable=False) for name in key),
        *values,
        sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"),
        **_OPTIONS,
    )


def _move_labels() -> None:
    op.drop_index("ix_executions_timestamp_us_uid", "executions")
    op.rename_table("executions", "labelled_executions")
    if op.get_context().dialect.name == "postgresql":
        op.execute(_FREE_NAMES)
    # Now nobody can add an execution, on a server either, whose series would be missing.
    op.execute(
        "INSERT INTO series (series_id, agent_name, model, project, source) "
        "SELECT ROW_NUMBER() OVER (ORDER BY agent_name, model, project, source), agent_name, model, project, source "
        "FROM (SELECT DISTINCT agent_name, model, COALESCE(project, '') AS project, source "
        "FROM labelled_executions) AS labels"
    )
    counts = (
        "duration_us", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens",
        "cache_write_1h_tokens", "cost_nanousd", "reference_cost_nanousd",
    )  # fmt: skip
    kinds = {"success": sa.Integer, "workflow_position": sa.Integer} | dict.fromkeys(counts, _COUNT)
    never_null = {"success", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"}
    op.create_table(
        "executions",
        sa.Column("uid", _IDENTITY, nullable=False),
        sa.Column("timestamp_us", _COUNT, nullable=False),
        sa.Column("series_id", sa.Integer, nullable=False),
        *(sa.Column(name, kinds.get(name, sa.Text), nullable=name not in never_null) for name in _KEPT),
        sa.CheckConstraint("success IN (0, 1)", name="success"),
        sa.PrimaryKeyConstraint("uid", name="pk_executions"),
        **_OPTIONS,
    )
    names = ", ".join(_KEPT)
    op.execute(
        f"INSERT INTO executions (uid, timestamp_us, series_id, {names}) "
        f"SELECT uid, timestamp_us, series_id, {names} FROM labelled_executions AS old JOIN series "
        "ON series.agent_name = old.agent_name AND series.model = old.model "
        "AND series.project = COALESCE(old.project, '') AND series.source = old.source ORDER BY uid"
    )
    op.drop_table("labelled_executions")
    columns = ["timestamp_us", "uid", "series_id", "duration_us"]
    op.create_index(f"ix_executions_{'_'.join(columns)}", "executions", columns)


def _count() -> None:
    hour, day = _LEVELS_US[:2]
    op.execute(
        f"INSERT INTO rollups (scope, level, bucket, series_id, {', '.join(_SUMS)}) "
        f"SELECT 1, 0, timestamp_us / {hour}, series_id, {', '.join(_SUMS.values())} "
        f"FROM executions GROUP BY timestamp_us / {hour}, series_id"
    )
    op.execute(
        "INSERT INTO rollup_errors (level, bucket, series_id, error_type, failures, first_us, last_us) "
        f"SELECT 0, timestamp_us / {hour}, series_id, COALESCE(error_type, ''), COUNT(*), MIN(timestamp_us), "
        "MAX(timestamp_us) FROM executions WHERE success = 0 "
        f"GROUP BY timestamp_us / {hour}, series_id, COALESCE(error_type, '')"
    )
    lows = op.create_table(
        "bin_lows",
        sa.Column("low", _COUNT, primary_key=True, autoincrement=False),
        sa.Column("bin", sa.Integer),
    )
    op.bulk_insert(lows, [{"low": low, "bin": number} for number, low in enumerate(_bin_lows())])
    op.execute(
        "INSERT INTO rollup_durations (scope, level, bucket, series_id, bin, executions) "
        "SELECT 1, 1, day, series_id, bin, COUNT(*) FROM ("
        f"SELECT timestamp_us / {day} AS day, series_id, "
        "(SELECT bin FROM bin_lows WHERE low <= duration_us ORDER BY low DESC LIMIT 1) AS bin "
        "FROM executions WHERE duration_us IS NOT NULL) AS binned GROUP BY day, series_id, bin"
    )
    op.drop_table("bin_lows")
    for level in range(1, len(_LEVELS_US)):
        coarser = f"bucket / {_LEVELS_US[level] // _LEVELS_US[level - 1]}, series_id"
        _fold_errors(f"{level}, {coarser}", coarser, f"level = {level - 1}")
        for table in ("rollups", "rollup_durations") if level > 1 else ("rollups",):
            _fold(table, f"1, {level}, {coarser}", coarser, f"scope = 1 AND level = {level - 1}")
    for table in ("rollups", "rollup_durations"):
        _fold(table, "0, level, bucket, 0", "level, bucket", "scope = 1")


def _bin_lows() -> list[int]:
    lows = [0]
    while lows[-1] <= _LONGEST_US:
        lows.append(max(lows[-1] + 1, lows[-1] * 102 // 100))
    return lows


def _fold(table: str, place: str, grouping: str, condition: str) -> None:
    """Add up rows of a table, into rows of the same table at another place."""
    names, more = (list(_SUMS), "") if table == "rollups" else (["executions"], ", bin")
    op.execute(
        f"INSERT INTO {table} (scope, level, bucket, series_id{more}, {', '.join(names)}) "
        f"SELECT {place}{more}, {', '.join(f'SUM({name})' for name in names)} "
        f"FROM {table} WHERE {condition} GROUP BY {grouping}{more}"
    )


def _fold_errors(place: str, grouping: str, condition: str) -> None:
    op.execute(
        "INSERT INTO rollup_errors (level, bucket, series_id, error_type, failures, first_us, last_us) "
        f"SELECT {place}, error_type, SUM(failures), MIN(first_us), MAX(last_us) "
        f"FROM rollup_errors WHERE {condition} GROUP BY {grouping}, error_type"
    )
