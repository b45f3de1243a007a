"""Fixtures of integration tests. Each docstring says what the fixture guarantees."""

from __future__ import annotations

import pytest

from claude_force.database.contract import Database
from tests.alerting import Harness


@pytest.fixture
def harness(database: Database) -> Harness:
    """An empty database without rules, on both engines."""
    return Harness(database)
