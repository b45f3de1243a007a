"""Fixtures for transcripts of Claude Code. Each docstring says what the fixture guarantees."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.transcripts import Passes


@pytest.fixture
def passes(store: Store, tmp_path: Path) -> Passes:
    """Passes into an empty database, on both engines."""
    return Passes(store, tmp_path / "rejected.jsonl")


@pytest.fixture
def lite(tmp_path: Path) -> Passes:
    """Passes into an empty SQLite database."""
    return Passes(Store(open_database(str(tmp_path / "lite.db"))), tmp_path / "rejected.jsonl")


@pytest.fixture
def projects(home: Path) -> Path:
    """The `projects` folder of Claude Code."""
    return home / ".claude" / "projects"
