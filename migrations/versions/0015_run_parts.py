"""The parts of runs.

The new table is filled from the executions that are rolled up; the few pending ones follow when they are. This file
imports nothing of the package, whose later changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DAY_US = 86_400_000_000
_KEYS = ("day", "session_id", "name", "workflow_id", "series_id")
_TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
)  # fmt: skip
_COUNTS = (
    "executions", "successes", "timed", "duration_us", "metered", *_TOKENS, "priced", "cost_nanousd", "failed_nanousd",
    "failed_unpriced",
)  # fmt: skip
_NAME = "COALESCE(run_id, workflow_id, session_id)"
_PLACE = f"""timestamp_us / {_DAY_US}, COALESCE(session_id, workflow_id, ''), {_NAME}, COALESCE(workflow_id, '')"""
_ROWS = f"""
SELECT {_PLACE}, series_id,
    COUNT(*), SUM(success), COUNT(duration_us), COALESCE(SUM(duration_us), 0), COUNT(input_tokens),
    {", ".join(f"COALESCE(SUM({name}), 0)" for name in _TOKENS)}, COUNT(cost_nanousd), COALESCE(SUM(cost_nanousd), 0),
    COALESCE(SUM(CASE WHEN success = 0 THEN cost_nanousd END), 0),
    COALESCE(SUM(CASE WHEN success = 0 AND cost_nanousd IS NULL THEN 1 END), 0),
    MIN(timestamp_us - COALESCE(duration_us, 0)),
    MAX(timestamp_us * 4 + CASE WHEN success = 1 THEN 3 WHEN error_type = 'refusal' THEN 1
        WHEN error_type = 'unfinished' THEN 0 ELSE 2 END)
FROM executions
WHERE {_NAME} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)
GROUP BY 1, 2, 3, 4, 5
"""
_SHARES = f"""
SELECT {_PLACE}, series_id, 0, 0, 0, 0, 0, {", ".join(f"SUM({name})" for name in _TOKENS)}, 0, SUM(cost_nanousd),
    COALESCE(SUM(CASE WHEN success = 0 THEN cost_nanousd END), 0), 0, CAST(NULL AS BIGINT), CAST(NULL AS BIGINT)
FROM (
    SELECT step_usage.*, executions.session_id, executions.workflow_id, executions.run_id, executions.success
    FROM step_usage CROSS JOIN executions WHERE executions.uid = step_usage.uid
) AS shares
WHERE {_NAME} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = shares.uid)
GROUP BY 1, 2, 3, 4, 5
"""
_ADD = f"""
ON CONFLICT ({", ".join(_KEYS)}) DO UPDATE SET
    {", ".join(f"{name} = rollup_runs.{name} + excluded.{name}" for name in _COUNTS)}
"""


def upgrade() -> None:
    """Create the table and fill it."""
    op.create_table(
        "rollup_runs",
        *(
            sa.Column(name, sa.Integer, autoincrement=False, nullable=False)
            if name in ("day", "series_id")
            else sa.Column(name, sa.Text, nullable=False)
            for name in _KEYS
        ),
        *(sa.Column(name, _COUNT, nullable=False) for name in _COUNTS),
        sa.Column("began_us", _COUNT),
        sa.Column("code", _COUNT),
        sa.PrimaryKeyConstraint(*_KEYS, name="pk_rollup_runs"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    into = f"INSERT INTO rollup_runs ({', '.join((*_KEYS, *_COUNTS))}, began_us, code)"
    op.execute(f"{into} {_ROWS}")
    op.execute(f"{into} {_SHARES} {_ADD}")
