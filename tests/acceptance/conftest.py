"""Fixtures for transcripts of Claude Code. Each docstring says what the fixture guarantees."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.transcripts import Ingester


@pytest.fixture
def ingester(store: Store, tmp_path: Path) -> Ingester:
    """Ingests into an empty database, on both engines."""
    return Ingester(store, tmp_path / "rejected.jsonl")


@pytest.fixture
def sqlite_ingester(tmp_path: Path) -> Ingester:
    """Ingests into an empty SQLite database."""
    return Ingester(Store(open_database(str(tmp_path / "sqlite_ingester.db"))), tmp_path / "rejected.jsonl")


@pytest.fixture
def projects(home: Path) -> Path:
    """The `projects` folder of Claude Code."""
    return home / ".claude" / "projects"
