"""docs/reference/doctor.md has a row for every possible finding."""

from __future__ import annotations

import re

from tests.conftest import ROOT

_FINDING = re.compile(r"\b(?:ok|note|problem|finding)\(\s*\"([a-z-]+)\"")
_ROW = re.compile(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", re.MULTILINE)


def test_every_finding_is_explained() -> None:
    """The page lists exactly the ids of the code."""
    code = "".join(path.read_text() for path in (ROOT / "claude_force" / "doctor").glob("*.py"))
    page = (ROOT / "docs" / "reference" / "doctor.md").read_text()
    explained = {name for row in _ROW.findall(page) for name in re.findall("[a-z-]+", row)}
    assert explained == set(_FINDING.findall(code)) | {"sqlite-version", "postgresql-version"}
