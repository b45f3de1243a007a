"""Short campaigns: the promises hold in each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from torture.campaign import CannotRun, Effort
from torture.run import BEGIN, CAMPAIGNS, END, PAGE, campaign_of

SHARES = {
    "recorders": 0.01, "server": 0.05, "faults": 0.05, "filling": 0.05, "writers": 0.05, "upgrades": 0.02,
    "ingesting": 0.05, "fuzzing": 0.002, "delivering": 0.005, "archiving": 0.05,
    "telemetry": 0.02, "bodies": 0.005,
    "claude-code": 0.02, "team": 0.01, "team-server": 0.01,
}  # fmt: skip
"""The share of each campaign that is run here: a few seconds."""


@pytest.mark.thorough
@pytest.mark.torture
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_finds_nothing(name: str, tmp_path: Path) -> None:
    """No figure of a short campaign exceeds its bound."""
    effort = Effort(share=SHARES[name])
    try:
        figures = campaign_of(name)(tmp_path, effort)
    except CannotRun as reason:
        pytest.skip(str(reason))
    problems = [figure.problem(effort) for figure in figures]
    assert problems
    assert [problem for problem in problems if problem] == []


def test_the_page_has_a_place_for_the_figures() -> None:
    """The page has both marks for `scripts/torture --write` once, in order."""
    page = PAGE.read_text()
    assert (page.count(BEGIN), page.count(END)) == (1, 1)
    assert page.index(BEGIN) < page.index(END)
