"""Pages in a terminal and elsewhere: what is too wide, sparklines, and terminals that cannot show every character."""

from __future__ import annotations

import io

import pytest

from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table, sparkline, use_substitutes, write_page


class Screen(io.StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        """It says so."""
        return True


def written(page: Page, file: io.StringIO | None = None) -> list[str]:
    """The lines of a page, without its heading."""
    file = file or io.StringIO()
    write_page(page, file)
    return file.getvalue().splitlines()[3:]


LONG = Page("Title", [Table([Column("Name", "name"), Column("Count")], [["q" * 200, "1"]]),
                      Section(None, ["word " * 40, "  claude-force " + "x " * 100])])  # fmt: skip


def test_nothing_wraps_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name, a sentence and a command each have one line."""
    monkeypatch.delenv("COLUMNS")
    assert [len(line) for line in written(LONG)] == [207, 207, 207, 0, 199, 214]


@pytest.mark.parametrize("file", [io.StringIO, Screen])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_everything_wraps_at_the_width_but_a_command(
    width: int, file: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, and where COLUMNS asks for it. A command can be copied, because it stays one line."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(width))
    *lines, command = written(LONG, file())
    assert max(map(len, lines)) <= width
    assert "".join(lines).count("q") == 200
    assert " ".join(lines).count("word") == 40
    assert len(command.rstrip()) == 214


def test_a_terminal_without_a_size_has_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no reason to fail."""
    monkeypatch.delenv("COLUMNS")
    assert max(map(len, written(Page("Title", [Section(None, ["word " * 40])]), Screen()))) == 79


def test_lines_below_a_heading_are_indented() -> None:
    """So are their later lines, by two cells more."""
    page = Page("Title", [Section("Notes", ["word " * 20])])
    assert written(page) == ["Notes:", "  " + " ".join(["word"] * 15), "    " + " ".join(["word"] * 5)]


def test_a_table_that_does_not_fit_is_unfolded() -> None:
    """No figure is left out."""
    columns = [Column("Name", "name"), Column("Count"), Column("Total")]
    assert written(Page("Title", [Table(columns, [["main", "1" * 76, "2" * 40]])])) == [
        "Name: main", "  Count:", f"    {'1' * 76}", f"  Total: {'2' * 40}",
    ]  # fmt: skip


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
