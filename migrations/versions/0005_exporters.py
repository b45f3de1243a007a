"""Exporters that send each execution once, and their queue.

Tables are added and nothing is changed, which takes no time at any size. This file imports nothing of the package,
whose later changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_IDENTITY = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "exporters",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("has_history", sa.Integer, nullable=False),
        sa.Column("walked_us", _COUNT),
        sa.Column("walked_uid", _IDENTITY),
        sa.Column("began_us", _COUNT, nullable=False),
        sa.Column("pushed_us", _COUNT),
        sa.Column("sent", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_exporters"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_table(
        "export_queue",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("uid", _IDENTITY, nullable=False),
        sa.Column("changes", sa.Integer, nullable=False),
        sa.Column("is_sent", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("kind", "uid", name="pk_export_queue"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
