"""Random and damaged requests: each becomes signals or is refused, and nothing else is raised."""

from __future__ import annotations

from pathlib import Path

from torture.bodies import read_some


def test_any_body_is_understood_or_refused(tmp_path: Path) -> None:
    """Two thousand of those of the campaign `bodies`, a part of them through sockets."""
    found = read_some(tmp_path, 1, 0, 2000)
    assert found["understood"] + found["refused"] == found["bodies"] == 2000
    assert (found["unexpected"], found["changed"], found["errors"], found["unanswered"]) == (0, 0, 0, 0)
    assert min(found["understood"], found["sent"]) > 0
