"""When which workflows, sessions and branches were at work.

The new table is filled from the executions that are rolled up; the few pending ones follow when they are. This file
imports nothing of the package, whose later changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DAY_US = 86_400_000_000
_FILL = f"""
INSERT INTO rollup_spans (day, workflow_id, session_id, git_branch, first_us, last_us)
SELECT timestamp_us / {_DAY_US}, COALESCE(workflow_id, ''), COALESCE(session_id, ''), COALESCE(git_branch, ''),
    MIN(timestamp_us), MAX(timestamp_us)
FROM executions WHERE NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)
GROUP BY 1, 2, 3, 4
"""


def upgrade() -> None:
    """Create the table and fill it."""
    names = ("workflow_id", "session_id", "git_branch")
    op.create_table(
        "rollup_spans",
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in names),
        sa.Column("first_us", _COUNT, nullable=False),
        sa.Column("last_us", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("day", *names, name="pk_rollup_spans"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.execute(_FILL)
