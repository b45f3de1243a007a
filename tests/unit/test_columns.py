"""Tables that fit a width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_force.reports.cells import cell_width
from claude_force.reports.columns import Column, FittedTable, fit_table, unfold, wrap_table

COLUMNS = [Column("Agent", "name", least=8), Column("Runs"), Column("Tokens", rank=2), Column("Cost", rank=1)]
ROWS = [["python-expert", "12", "1,234,567", "$0.42"], ["宽" * 30, "7", "–", "$1,234.56"]]
PAGE = [Column("Agent", "name"), Column("Avg\nTime"), Column("", "bar"), Column("Cost")]


def lines_of(table: FittedTable) -> list[str]:
    """The lines of a table."""
    return [(" " * table.gap).join(line.values()).rstrip() for line in (*table.titles, *table.rows)]


def lines_at(width: int) -> list[str]:
    """The lines of the example of a dashboard at a width."""
    return lines_of(fit_table(COLUMNS, ROWS, width, 2))


def page_at(width: int | None, *names: str) -> list[str]:
    """The lines of a page's table at a width."""
    fitted = wrap_table(PAGE, [[name, "1.2s", "███", "$1,234.56"] for name in names], width)
    return [] if fitted is None else lines_of(fitted)


def test_numbers_are_aligned_to_the_right() -> None:
    """Names are aligned to the left. A wide character takes two cells."""
    assert lines_at(50) == [
        "Agent                   Runs     Tokens       Cost",
        "python-expert             12  1,234,567      $0.42",
        "宽宽宽宽宽…宽宽宽宽宽      7          –  $1,234.56",
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
    assert all(cell_width("  ".join(line.values())) == table.width <= width for line in (*table.titles, *table.rows))
    for line, row in zip(table.rows, rows, strict=True):
        assert {index: text.strip() for index, text in line.items() if index} == {
            index: row[index] for index in line if index
        }


def test_nothing_in_a_name_moves_the_cursor() -> None:
    """Control characters are spelled out."""
    (row,) = fit_table(COLUMNS, [["\x1b[2J\r\nq\t\u202e", "1", "2", "3"]], 60, 2).rows
    assert row[0] == r"\x1b[2J\r\nq\t\u202e"


def test_a_short_name_is_not_shortened() -> None:
    """The wider name is shortened first."""
    columns = [Column("Agent", "name"), Column("Model", "name", least=6), Column("Cost")]
    table = fit_table(columns, [["a" * 200, "claude-haiku-4-5", "$1.00"]], 60, 2)
    assert lines_of(table)[1] == f"{'a' * 17}…{'a' * 17}  claude-haiku-4-5  $1.00"


def test_without_a_width_a_page_shows_a_name_in_one_line() -> None:
    """Where there is no terminal."""
    assert page_at(None, "a" * 200)[2] == f"{'a' * 200}  1.2s  ███  $1,234.56"


def test_a_table_gives_up_its_bars_before_a_name_takes_two_lines() -> None:
    """Below a name that does, the other columns are empty."""
    assert page_at(33, "python-expert")[2] == "python-expert  1.2s  $1,234.56"
    assert page_at(35, "python-expert")[2] == "python-expert  1.2s  ███  $1,234.56"
    assert page_at(29, "python-expert", "b") == [
        "               Avg",
        "Agent         Time       Cost",
        "python-       1.2s  $1,234.56",
        "expert",
        "b             1.2s  $1,234.56",
    ]


def test_gaps_are_narrow_before_figures_take_two_lines() -> None:
    """A number is never narrower. Figures are below each other as their titles are."""
    assert page_at(27, "python-expert")[2:] == ["python-      1.2s $1,234.56", "expert"]
    assert page_at(26, "python-expert", "b") == [
        "Agent           Avg Time",
        "                    Cost",
        "python-expert       1.2s",
        "               $1,234.56",
        "b                   1.2s",
        "               $1,234.56",
    ]
    assert page_at(22, "python-expert")[2:] == ["python-           1.2s", "expert       $1,234.56"]
    assert page_at(21, "python-expert") == []


def test_rows_that_are_too_wide_are_shown_one_below_the_other() -> None:
    """As in the guide, without bars and without what is empty. A long name wraps."""
    rows = [["agent-" * 5, "1.2s", "███", "$1,234.56"], ["main", "", "", "$0.00"]]
    assert list(unfold(PAGE, rows, 26)) == [
        "Agent:",
        "  agent-agent-agent-",
        "  agent-agent-",
        "  Avg Time: 1.2s",
        "  Cost: $1,234.56",
        "",
        "Agent: main",
        "  Cost: $0.00",
    ]


def test_a_title_is_never_cut_on_a_page() -> None:
    """The column of a short name is as wide as its title."""
    columns = [Column("A title of twenty ce", "name"), Column("Cost")]
    fitted = wrap_table(columns, [["a" * 30, "$1.00"]], 28)
    assert fitted is not None
    assert lines_of(fitted)[0].split("  ")[0] == "A title of twenty ce"


def test_a_name_behind_the_figures_keeps_its_column() -> None:
    """It can wrap, so that figures need not be shown one below the other."""
    columns = [Column("Started", "text"), Column("Runs"), Column("Tokens"), Column("Cost"), Column("Models", "name", 8)]
    rows = [["2026-11-24", "12", "123,456,789", "$12.34", "opus, sonnet, haiku"]]
    fitted = wrap_table(columns, rows, 38)
    assert fitted is not None
    assert lines_of(fitted) == [
        "Started      Runs      Tokens Models",
        "             Cost",
        "2026-11-24     12 123,456,789 opus,",
        "           $12.34             sonnet,",
        "                              haiku",
    ]
