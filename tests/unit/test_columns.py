"""Tables that fit a width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_force.reports.columns import Column, FittedTable, cell_width, fit_table

COLUMNS = [Column("Agent", "name", least=8), Column("Runs"), Column("Tokens", rank=2), Column("Cost", rank=1)]
ROWS = [["python-expert", "12", "1,234,567", "$0.42"], ["宽" * 30, "7", "–", "$1,234.56"]]


def lines_of(table: FittedTable) -> list[str]:
    """The lines of a table, with two spaces between its columns."""
    return ["  ".join(line.values()) for line in (*table.titles, *table.rows)]


def lines_at(width: int) -> list[str]:
    """The lines of the example at a width."""
    return lines_of(fit_table(COLUMNS, ROWS, width, 2))


def test_numbers_are_aligned_to_the_right() -> None:
    """Names are aligned to the left. A wide character takes two cells."""
    assert lines_at(50) == [
        "Agent                   Runs     Tokens       Cost",
        "python-expert             12  1,234,567      $0.42",
        "宽宽宽宽宽宽宽宽宽宽…      7          –  $1,234.56",
    ]


def test_the_column_with_the_highest_rank_is_dropped_first() -> None:
    """A column of rank 0 is never dropped."""
    assert lines_at(39)[0].split() == ["Agent", "Runs", "Tokens", "Cost"]
    assert lines_at(34)[0].split() == ["Agent", "Runs", "Cost"]
    assert lines_at(20)[0].split() == ["Agent", "Runs"]


@given(
    st.lists(st.tuples(st.text(max_size=30), *[st.integers(0, 10**12).map("{:,}".format)] * 3), max_size=5),
    st.integers(15 + 8 + 4, 200),
)
def test_no_line_is_too_wide_and_no_number_is_cut(rows: list[tuple[str, ...]], width: int) -> None:
    """Whatever the names are. A column of numbers is shown in full or not at all."""
    table = fit_table(COLUMNS, rows, width, 2)
    assert all(cell_width(line) == table.width <= width for line in lines_of(table))
    for line, row in zip(table.rows, rows, strict=True):
        assert {index: text.strip() for index, text in line.items() if index} == {
            index: row[index] for index in line if index
        }


def test_nothing_in_a_name_moves_the_cursor() -> None:
    """Control characters are spelled out."""
    (row,) = fit_table(COLUMNS, [["\x1b[2J\r\nq\t\u202e", "1", "2", "3"]], 60, 2).rows
    assert row[0] == r"\x1b[2J\r\nq\t\u202e"


def test_a_short_name_is_not_cut() -> None:
    """The wider name is cut first."""
    columns = [Column("Agent", "name"), Column("Model", "name", least=6), Column("Cost")]
    table = fit_table(columns, [["a" * 200, "claude-haiku-4-5", "$1.00"]], 60, 2)
    assert lines_of(table)[1] == f"{'a' * 34}…  claude-haiku-4-5  $1.00"
