"""Schema revisions, run by alembic. In the wheel this is `claude_force.database.migrations`."""
