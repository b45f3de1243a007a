"""Settings: claude.json, the `.claude` folder, and the location of the database."""

from __future__ import annotations
