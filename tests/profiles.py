"""How much is tried: fewer examples and parameters in a quick run, all of them with `--thorough`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

T = TypeVar("T")

_ANY_MACHINE: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
"""Whether a test passes does not depend on how busy the machine is."""

settings.register_profile("quick", max_examples=20, **_ANY_MACHINE)
settings.register_profile("thorough", max_examples=60, **_ANY_MACHINE)

_QUICK_FRACTION = 5
"""A quick run does this part of the repetitions that a test names."""


def load(profile: str) -> None:
    """Choose a profile, before the tests are imported."""
    settings.load_profile(profile)


def scaled(number: int) -> int:
    """So many repetitions in a thorough run; a fifth of them in a quick one, and two at least."""
    return max(2, number // _fraction())


def sparse(values: Sequence[T]) -> Sequence[T]:
    """All of the values in a thorough run, every fifth of them in a quick one."""
    return values[:: _fraction()]


def _fraction() -> int:
    return 1 if settings.get_current_profile_name() == "thorough" else _QUICK_FRACTION


def thorough(*values: Any) -> list[Any]:
    """Values of a parameter that only a thorough run tries: `[0, *thorough(1, 2)]`."""
    return [pytest.param(value, marks=pytest.mark.thorough) for value in values]


sqlite_when_quick = pytest.mark.parametrize("location", ["sqlite", *thorough("postgresql")], indirect=True)
"""For tests that take long and in which the engine is not the point."""
