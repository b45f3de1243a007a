"""On which hosts, and by which users, workflows, sessions and branches were at work.

The table of spans is made again with these names, from the executions that are rolled up, as before. This file imports
nothing of the package, whose later changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DAY_US = 86_400_000_000
_NAMES = ("workflow_id", "session_id", "git_branch", "host", "user_name")
_FILL = f"""
INSERT INTO rollup_spans (day, {", ".join(_NAMES)}, first_us, last_us)
SELECT timestamp_us / {_DAY_US}, {", ".join(f"COALESCE({name}, '')" for name in _NAMES)},
    MIN(timestamp_us), MAX(timestamp_us)
FROM executions WHERE NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)
GROUP BY 1, 2, 3, 4, 5, 6
"""


def upgrade() -> None:
    """Make the table again."""
    op.drop_table("rollup_spans")
    op.create_table(
        "rollup_spans",
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in _NAMES),
        sa.Column("first_us", _COUNT, nullable=False),
        sa.Column("last_us", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("day", *_NAMES, name="pk_rollup_spans"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.execute(_FILL)
