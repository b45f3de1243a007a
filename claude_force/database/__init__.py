"""The database: every SQL statement, the schema, both engines, migrations, archives and restores."""

from __future__ import annotations
