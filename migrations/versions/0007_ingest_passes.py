"""When each machine last looked for something new, and what it could not read.

A machine whose transcripts were read before, from where Claude Code keeps them, is listed from the start: reports read
there what is new before they answer. This file imports nothing of the package, whose later changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_FROM_FILES = """
INSERT INTO ingest_passes (host, began_us, unread_files, unread_bytes, problems)
SELECT host, MAX(last_read_us), 0, 0, '[]' FROM source_files
WHERE source = 'claude-code' AND (path LIKE '%/.claude/projects/%' OR path LIKE '%/claude/projects/%')
GROUP BY host
"""


def upgrade() -> None:
    """Create the table, and list the machines that were read before."""
    op.create_table(
        "ingest_passes",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("began_us", _COUNT, nullable=False),
        sa.Column("unread_files", _COUNT, nullable=False),
        sa.Column("unread_bytes", _COUNT, nullable=False),
        sa.Column("problems", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_ingest_passes"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.execute(sa.text(_FROM_FILES))
