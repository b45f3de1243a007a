"""A table as lines of a width: figures stand whole, names are cut, and where that is not enough the least important
columns are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from claude_force.reports.render import cell_width, cut
from claude_force.text import for_terminal

GAP = "  "


class Column(NamedTuple):
    """A column. `rank` is how early it is left out, the highest first; those of rank 0 never. A `name` may be cut to
    `least` cells."""

    title: str
    kind: Literal["name", "number", "text"] = "number"
    rank: int = 0
    least: int = 10


class Cells(NamedTuple):
    """A line of a table: each kept column's text, padded to its width, by the number of the column."""

    texts: dict[int, str]


def lay_out(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[Cells]:
    """The titles and the rows, in lines of no more than `width` cells, unless what is of rank 0 needs more."""
    shown = [[for_terminal(cell) for cell in row] for row in rows]
    needed = [
        max([cell_width(column.title), *(cell_width(row[place]) for row in shown)])
        for place, column in enumerate(columns)
    ]
    widths = _widths(columns, needed, width)
    return [
        Cells({place: _fitted(row[place], columns[place], cells) for place, cells in widths.items()})
        for row in ([column.title for column in columns], *shown)
    ]


def join(cells: Cells) -> str:
    """A line of a table as text."""
    return GAP.join(cells.texts.values())


def _widths(columns: Sequence[Column], needed: Sequence[int], width: int) -> dict[int, int]:
    """The cells of each column that is kept."""
    least = [
        min(needed[place], column.least) if column.kind == "name" else needed[place]
        for place, column in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    while _length(least, kept) > width and any(columns[place].rank for place in kept):
        kept.remove(max(kept, key=lambda place: (columns[place].rank, place)))
    spare = max(width - _length(least, kept), 0)
    widths = {place: least[place] for place in kept}
    # Who needs little gets it first; who needs much shares what is left.
    hungry = sorted(kept, key=lambda place: needed[place] - least[place])
    for turn, place in enumerate(hungry):
        more = min(needed[place] - least[place], spare // (len(hungry) - turn))
        widths[place] += more
        spare -= more
    return widths


def _length(widths: Sequence[int], kept: Sequence[int]) -> int:
    return sum(widths[place] for place in kept) + len(GAP) * (len(kept) - 1)


def _fitted(text: str, column: Column, width: int) -> str:
    short = cut(text, width)
    padding = " " * (width - cell_width(short))
    return padding + short if column.kind == "number" else short + padding
