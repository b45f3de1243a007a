"""Views for everybody who asks by SQL.

Nothing is changed here: an upgrade that reaches the newest revision makes the views of the package, whatever they were
before. So a change of a view needs a revision like this one, and no revision needs to know the views.
"""

from __future__ import annotations

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing: see above."""
