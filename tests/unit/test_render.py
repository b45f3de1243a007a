"""Tables of a terminal: what gives way where there is too little room."""

from __future__ import annotations

import io

import pytest

from claude_force.reports.render import Column, Page, Table, write_page


def drawn(columns: list[Column], *row: str) -> str:
    """The row of a table of one row, at the width of the tests."""
    file = io.StringIO()
    write_page(Page("Title", [Table(columns, [row])]), file)
    return file.getvalue().splitlines()[-1]


@pytest.mark.parametrize(("first", "second"), [(100, 100), (30, 200), (200, 30), (60, 60)])
def test_names_share_what_is_missing(first: int, second: int) -> None:
    """Two long names take the whole width between them, the wider one gives first, and the number is never cut."""
    line = drawn(
        [Column("One", "name"), Column("Count"), Column("Two", "name")], "a" * first, "1,234,567", "b" * second
    )
    assert len(line) == 80
    assert "1,234,567" in line
    kept = [line.count("a"), line.count("b")]
    assert abs(kept[0] - kept[1]) <= 1 or min(kept) == min(first, second)


def test_names_that_fit_are_left_alone() -> None:
    """A short name beside a long one stays whole."""
    line = drawn([Column("One", "name"), Column("Two", "name")], "short", "b" * 200)
    assert line.startswith("short  bbb")
    assert len(line) == 80
