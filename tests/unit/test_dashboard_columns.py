"""Tables that fit a width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_force.reports.dashboard.columns import Column, join, lay_out
from claude_force.reports.render import cell_width

COLUMNS = [Column("Agent", "name", least=8), Column("Runs"), Column("Tokens", rank=2), Column("Cost", rank=1)]
ROWS = [["python-expert", "12", "1,234,567", "$0.42"], ["宽" * 30, "7", "–", "$1,234.56"]]


def texts(width: int) -> list[str]:
    """The lines of the table at a width."""
    return [join(cells) for cells in lay_out(COLUMNS, ROWS, width)]


def test_figures_stand_under_each_other_to_the_right() -> None:
    """Names to the left, in as many cells whatever alphabet they are in."""
    assert texts(50) == [
        "Agent                   Runs     Tokens       Cost",
        "python-expert             12  1,234,567      $0.42",
        "宽宽宽宽宽宽宽宽宽宽…      7          –  $1,234.56",
    ]


def test_the_least_important_columns_go_first() -> None:
    """By their rank; those of rank 0 stay."""
    assert texts(39)[0].split() == ["Agent", "Runs", "Tokens", "Cost"]
    assert texts(34)[0].split() == ["Agent", "Runs", "Cost"]
    assert texts(20)[0].split() == ["Agent", "Runs"]


@given(
    st.lists(st.tuples(st.text(max_size=30), *[st.integers(0, 10**12).map("{:,}".format)] * 3), max_size=5),
    st.integers(15 + 8 + 4, 200),
)
def test_no_line_is_wider_and_no_figure_is_cut(rows: list[tuple[str, ...]], width: int) -> None:
    """Whatever the names are; a figure that is there is whole."""
    lines = lay_out(COLUMNS, rows, width)
    assert all(cell_width(join(cells)) <= width for cells in lines)
    for cells, row in zip(lines[1:], rows, strict=True):
        assert {place: text.strip() for place, text in cells.texts.items() if place} == {
            place: row[place] for place in cells.texts if place
        }


def test_nothing_in_a_name_moves_the_cursor() -> None:
    """Control characters are spelled out."""
    lines = lay_out(COLUMNS, [["\x1b[2J\r\nq\t\u202e", "1", "2", "3"]], 60)
    assert join(lines[1]).startswith(r"\x1b[2J\r\nq\t\u202e ")


def test_names_share_the_room() -> None:
    """A short one is not cut so that a long one is cut less."""
    columns = [Column("Agent", "name"), Column("Model", "name", least=6), Column("Cost")]
    lines = lay_out(columns, [["a" * 200, "claude-haiku-4-5", "$1.00"]], 60)
    assert join(lines[1]) == f"{'a' * 34}…  claude-haiku-4-5  $1.00"
