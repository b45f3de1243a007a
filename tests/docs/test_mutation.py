"""Mutation runs: every module that they are meant for is guarded by tests that exist."""

from __future__ import annotations

import pytest

from benchmarks.mutation import GUARDS, guards_of
from tests.conftest import ROOT

TARGETS = ("executions", "database/writes", "ingest/transcripts")


@pytest.mark.parametrize("target", TARGETS)
def test_every_module_is_guarded(target: str) -> None:
    """`scripts/mutate` knows the tests of each module in the core folders."""
    modules = [path.relative_to(ROOT).as_posix() for path in (ROOT / "claude_force" / target).rglob("*.py")]
    assert [module for module in modules if "__init__" not in module and not guards_of(module)] == []


def test_guards_exist() -> None:
    """A test file that is renamed is noticed here, and so is a module."""
    assert [test for tests in GUARDS.values() for test in tests if not (ROOT / "tests" / test).is_file()] == []
    assert [module for module in GUARDS if not (ROOT / module).exists()] == []
