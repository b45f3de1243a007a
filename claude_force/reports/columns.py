"""Tables fitted to a width: columns with a rank are dropped first, then names are cut. A number is never cut.

rich is imported when a table is drawn: the HTML page has columns too, and needs no rich.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from claude_force.text import for_terminal

LEAST_NAME = 12


class Column(NamedTuple):
    """A column of a table. The title may have two lines.

    A `name` can be cut, to no fewer than `least` cells. A column whose `rank` is not 0 can be dropped, the highest rank
    first.
    """

    title: str
    kind: Literal["name", "number", "bar", "text"] = "number"
    least: int = LEAST_NAME
    rank: int = 0


class FittedTable(NamedTuple):
    """The lines of a table. Each line maps the index of a column that was kept to its text, padded to the column."""

    titles: list[dict[int, str]]
    rows: list[dict[int, str]]
    width: int
    """The cells that a line takes, with the gaps."""


def fit_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], available: int, gap: int) -> FittedTable:
    """Fit a table into `available` cells. It is wider only if the columns that cannot be dropped or cut need more."""
    cells = [[for_terminal(cell) for cell in row] for row in rows]
    title_lines = [column.title.split("\n") for column in columns]
    natural = [
        max(map(cell_width, [*lines, *(row[index] for row in cells)])) for index, lines in enumerate(title_lines)
    ]
    widths = _fit_widths(columns, natural, available, gap)
    height = max(map(len, title_lines), default=0)
    titles = list(zip(*([""] * (height - len(lines)) + lines for lines in title_lines), strict=True))
    return FittedTable(
        _align(columns, titles, widths), _align(columns, cells, widths), _line_width(widths.values(), gap)
    )


def _fit_widths(columns: Sequence[Column], natural: Sequence[int], available: int, gap: int) -> dict[int, int]:
    """The width of each column that is kept, by its index."""
    least = {
        index: min(width, column.least) if column.kind == "name" else width
        for index, (column, width) in enumerate(zip(columns, natural, strict=True))
    }
    while _line_width(least.values(), gap) > available and any(columns[index].rank for index in least):
        del least[max(least, key=lambda index: (columns[index].rank, index))]
    widths = {index: natural[index] for index in least}
    for _ in range(_line_width(widths.values(), gap) - available):
        widest = max((index for index in widths if widths[index] > least[index]), key=widths.__getitem__, default=None)
        if widest is None:
            break
        widths[widest] -= 1
    return widths


def _line_width(widths: Iterable[int], gap: int) -> int:
    kept = list(widths)
    return sum(kept) + gap * (len(kept) - 1)


def _align(columns: Sequence[Column], rows: Iterable[Sequence[str]], widths: dict[int, int]) -> list[dict[int, str]]:
    return [{index: _pad(row[index], columns[index], width) for index, width in widths.items()} for row in rows]


def _pad(text: str, column: Column, width: int) -> str:
    short = cut(text, width)
    padding = " " * (width - cell_width(short))
    return padding + short if column.kind == "number" else short + padding


def cut(text: str, width: int) -> str:
    """Text in at most `width` terminal cells. It ends with an ellipsis if it was cut."""
    from rich.cells import set_cell_size

    return text if cell_width(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def cell_width(text: str) -> int:
    """The terminal cells that text takes. A wide character takes two."""
    from rich.cells import cell_len

    return cell_len(text)
