"""Fixtures of integration tests. Each docstring says what the fixture guarantees."""

from __future__ import annotations

import threading

import pytest

from claude_force.database.contract import Database
from tests.alerting import Harness


@pytest.fixture
def harness(database: Database) -> Harness:
    """An empty database without rules, on both engines."""
    return Harness(database)


@pytest.fixture
def no_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that other tests have, such as those of a local server, do not count: a process that has threads does
    not fork."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)
