"""Who ran an execution.

Of what ran before, that is not known. The column is added at the end, which takes no time at any size. This file
imports nothing of the package, whose later changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("executions", sa.Column("user_name", sa.Text))
