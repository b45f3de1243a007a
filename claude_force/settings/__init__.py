"""Settings: claude.json, the `.claude` folder, and which database is used."""

from __future__ import annotations
