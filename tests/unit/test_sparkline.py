"""Sparklines."""

from __future__ import annotations

import io

from claude_force.reports.render import allow_substitutes, sparkline


def test_a_value_is_as_high_as_it_is_beside_the_largest() -> None:
    """Nothing is the lowest, something is higher, and what is not known is blank."""
    assert sparkline([0, 1, 50, 100, None, 25]) == "▁▂▅█ ▃"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([None, None]) == "  "
    assert sparkline([]) == ""
    assert sparkline([5]) == "█"


def test_a_terminal_without_blocks_shows_a_ramp() -> None:
    """A character for each, in as many cells."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    allow_substitutes(file)
    file.write("▁▂▃▄▅▆▇█…")
    file.flush()
    assert raw.getvalue() == b"_.:-=+*#~"
