"""Every case of docs/explanation/reliability.md names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.cases import CASES, Case
from tests.conftest import ROOT
from torture.run import CAMPAIGNS


def test_there_are_twenty_seven_cases() -> None:
    """No case is dropped."""
    assert len(CASES) == 27


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault[:40])
def test_a_case_names_tests_that_exist(case: Case) -> None:
    """A renamed or removed test is found here."""
    assert case.tests
    for name in case.tests:
        if name.startswith("torture:"):
            assert name.removeprefix("torture:") in CAMPAIGNS
            continue
        file, _, test = name.partition("::")
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), name
