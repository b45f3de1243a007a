"""alembic's entry point. Everything is in `claude_force.database.migrate`, so that every way in takes the same path."""

from __future__ import annotations

from alembic import context

from claude_force.database import migrate

migrate.run_in_alembic(context)
