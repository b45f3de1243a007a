"""${message}

Say here why the schema changes, and what old rows look like afterwards. CONTRIBUTING.md, "Add a migration", lists the
other files to change. This file must not import code of the package that may change later. It has no downgrade.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision).replace("'", '"')}
down_revision = ${repr(down_revision).replace("'", '"')}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """${message}."""
    ${upgrades if upgrades else "pass"}
