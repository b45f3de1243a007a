"""Labels of runs, by which they are compared.

What ran before has no label. This file imports nothing of the package, whose later changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    keys = ("session", "run", "label")
    op.create_table(
        "run_labels",
        *(sa.Column(name, sa.Text, nullable=False) for name in keys),
        sa.Column("since_us", _COUNT, nullable=False),
        sa.Column("until_us", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint(*keys, name="pk_run_labels"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
