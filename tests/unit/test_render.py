"""Pages in a terminal: tables that are too wide, sparklines, and terminals that cannot show every character."""

from __future__ import annotations

import io

import pytest

from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Table, sparkline, use_substitutes, write_page


def drawn(columns: list[Column], *row: str) -> str:
    """The row of a table with one row, at the width of the tests."""
    file = io.StringIO()
    write_page(Page("Title", [Table(columns, [row])]), file)
    return file.getvalue().splitlines()[-1]


@pytest.mark.parametrize(("first", "second"), [(100, 100), (30, 200), (200, 30), (60, 60)])
def test_the_wider_name_is_cut_first(first: int, second: int) -> None:
    """Two long names share the whole width. The number between them is not cut."""
    line = drawn(
        [Column("One", "name"), Column("Count"), Column("Two", "name")], "a" * first, "1,234,567", "b" * second
    )
    assert len(line) == 80
    assert "1,234,567" in line
    kept = [line.count("a"), line.count("b")]
    assert abs(kept[0] - kept[1]) <= 1 or min(kept) == min(first, second)


def test_names_that_fit_are_not_cut() -> None:
    """A short name beside a long one stays whole."""
    line = drawn([Column("One", "name"), Column("Two", "name")], "short", "b" * 200)
    assert line.startswith("short  bbb")
    assert len(line) == 80


def test_columns_move_closer_before_a_name_is_cut_below_its_least_width() -> None:
    """The gap is one space instead of two; only then names are cut to twelve cells."""
    columns = [Column("Name", "name", 30), Column("Count")]
    assert drawn(columns, "a" * 100, "1" * 48) == f"{'a' * 29}…  {'1' * 48}"
    assert drawn(columns, "a" * 100, "1" * 49) == f"{'a' * 29}… {'1' * 49}"
    assert drawn(columns, "a" * 100, "1" * 66) == f"{'a' * 12}… {'1' * 66}"


def test_a_title_can_have_two_lines() -> None:
    """A title with one line is beside the last line of the others."""
    file = io.StringIO()
    write_page(Page("Title", [Table([Column("Name", "name"), Column("Avg\nTime")], [["a", "1s"]])]), file)
    assert file.getvalue().splitlines()[3:] == ["       Avg", "Name  Time", "──────────", "a       1s"]


def test_a_sparkline_is_scaled_to_the_largest_value() -> None:
    """Only zero has the lowest level, and an unknown value is blank."""
    assert sparkline([0, 1, 50, 100, None, 25]) == "▁▂▅█ ▃"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([None, None]) == "  "
    assert sparkline([]) == ""
    assert sparkline([5]) == "█"


def test_an_ascii_terminal_shows_substitutes() -> None:
    """Each character has a substitute of the same width."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    use_substitutes(file)
    file.write("▁▂▃▄▅▆▇█…")
    file.flush()
    assert raw.getvalue() == b"_.:-=+*#~"
