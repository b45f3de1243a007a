"""docs/reference/telemetry.md names every alias and every dropped attribute, and no other."""

from __future__ import annotations

import re

import pytest

from claude_force.receiver import claude_code, claude_code_outcomes
from claude_force.receiver.conventions import ALIASES
from claude_force.receiver.records import DROPPED
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "reference" / "telemetry.md").read_text()


def test_every_alias_is_on_the_page() -> None:
    """In the order in which they count."""
    rows = [f"| {field} | {', '.join(f'`{name}`' for name in names)} |" for field, names in ALIASES.items()]
    table = "\n".join(["| value | names |", "|---|---|", *rows])

    assert table in PAGE


def test_every_dropped_attribute_is_on_the_page() -> None:
    """The page lists exactly those of the code."""
    section = PAGE.partition("## What is dropped")[2].partition("Of all other attributes")[0]

    assert set(re.findall(r"`([^`]+)`", section)) == DROPPED


@pytest.mark.parametrize(
    "name", [*claude_code.EVENTS, *claude_code_outcomes.EVENTS, *claude_code_outcomes.METRICS, claude_code.REQUEST_SPAN]
)
def test_every_record_of_claude_code_that_is_read_is_on_the_page(name: str) -> None:
    """By its name without the prefix of all of them."""
    assert f"`{name}`" in PAGE
