"""Tables fitted to a width. A number is never cut, and two different rows never look alike.

A page wraps its names (`wrap_table`), so nothing is cut at all. A dashboard has one line for each row: it drops columns
that have a rank, and shortens names in the middle (`fit_table`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple

from claude_force.reports.cells import cell_width, cut, shorten_all, visible, wrap_all

LEAST_NAME = 12
GAP = 2
"""Spaces between columns. A page has one if that is too much."""


class Column(NamedTuple):
    """A column of a table. The title may have two lines.

    A `name` can take fewer cells than its longest text: no fewer than `least`. Where every row has one line, a column
    whose `rank` is not 0 can be dropped, the highest rank first.
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

    gap: int


Widths = dict[int, int]
"""The cells of each column that is kept, by its index."""


def fit_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], available: int, gap: int) -> FittedTable:
    """Fit a table into `available` cells, one line for each row. It is wider only if the columns that cannot be dropped
    or shortened need more."""
    cells = _safe_cells(columns, rows)
    natural = _natural(columns, cells)
    kept = dict(enumerate(_least(columns, natural)))
    while _line_width(kept.values(), gap) > available and any(columns[index].rank for index in kept):
        del kept[max(kept, key=lambda index: (columns[index].rank, index))]
    widths = _spread(kept, natural, available, gap)
    shown = {index: shorten_all(set(cells[index]), width) for index, width in widths.items()}
    lines = [
        {index: _pad(shown[index][cells[index][at]], columns[index], width) for index, width in widths.items()}
        for at in range(len(rows))
    ]
    return FittedTable(_titles(columns, widths), lines, _line_width(widths.values(), gap), gap)


def wrap_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], available: int | None) -> FittedTable | None:
    """Fit a table into `available` cells (None: as many as it needs). If it is too wide, it loses its bars; if that is
    not enough, names take several lines, then gaps are narrow, and in the end figures take two lines.

    None if they need more: `unfold` shows them."""
    cells = _safe_cells(columns, rows)
    fitted = _choose_widths(columns, _natural(columns, cells), available)
    if fitted is None:
        columns, cells = _fold(columns, cells)
        fitted = _choose_widths(columns, _natural(columns, cells), available)
    if fitted is None:
        return None
    widths, gap = fitted
    lines = list(_wrapped_lines(columns, cells, widths))
    return FittedTable(_titles(columns, widths), lines, _line_width(widths.values(), gap), gap)


def _fold(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> tuple[list[Column], list[list[str]]]:
    """The same table without bars, whose second half of the figures is below the first. A text behind the first number
    is a figure, too; a name keeps its column, because it can wrap."""
    kinds = [column.kind for column in columns]
    first = kinds.index("number") if "number" in kinds else len(columns)
    figures = [at for at, kind in enumerate(kinds) if at >= first and kind in ("number", "text")]
    half = (len(figures) + 1) // 2
    pairs: list[tuple[int, int | None]] = [(at, None) for at in range(first) if kinds[at] != "bar"]
    pairs += zip_longest(figures[:half], figures[half:])
    pairs += [(at, None) for at, kind in enumerate(kinds) if at > first and kind == "name"]
    titles = ["\n".join("" if index is None else _one_line(columns[index]) for index in pair) for pair in pairs]
    folded = [columns[upper]._replace(title=title) for (upper, _), title in zip(pairs, titles, strict=True)]
    below = ([] if lower is None else cells[lower] for _, lower in pairs)
    return folded, [
        ["\n".join(filter(None, pair)) for pair in zip_longest(cells[upper], under, fillvalue="")]
        for (upper, _), under in zip(pairs, below, strict=True)
    ]


def _one_line(column: Column) -> str:
    return column.title.replace("\n", " ")


def unfold(columns: Sequence[Column], rows: Sequence[Sequence[str]], available: int) -> Iterator[str]:
    """The rows one below the other, each figure on a line of its own: `Agent: main`, then `  Executions: 12`."""
    titles = list(map(_one_line, columns))
    cells = _safe_cells(columns, rows)
    figures = [index for index, column in enumerate(columns) if column.kind != "bar"]
    named = [
        [f"{title}: {cell.strip()}" if title else cell for cell in column]
        for title, column in zip(titles, cells, strict=True)
    ]
    lines = {index: wrap_all(set(named[index]), available - 2, hang=2) for index in figures}
    for at in range(len(rows)):
        if at:
            yield ""
        for index in figures:
            if cells[index][at].strip():
                indent = "  " if index else ""
                yield from (indent + line for line in lines[index][named[index][at]])


def _safe_cells(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The cells of each column, safe for a terminal: without line ends."""
    cells = [[row[index] for row in rows] for index in range(len(columns))]
    for index, column in enumerate(cells):
        shown = visible(set(column))
        cells[index] = [shown[cell] for cell in column]
    return cells


def _natural(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    """The width that shows each column whole."""
    texts = ({column.title, *found} for column, found in zip(columns, cells, strict=True))
    return [max(cell_width(line) for text in found for line in text.split("\n")) for found in texts]


def _least(columns: Sequence[Column], natural: Sequence[int]) -> list[int]:
    """The least width of each column."""
    return [
        min(width, column.least) if column.kind == "name" else width
        for column, width in zip(columns, natural, strict=True)
    ]


def _least_of_page(columns: Sequence[Column], natural: Sequence[int], most: int) -> list[int]:
    """The least width of each column that shows its title whole. A name needs at most `most` cells."""
    titles = (max(map(cell_width, column.title.split("\n"))) for column in columns)
    needs = [
        column._replace(least=max(min(column.least, most), title))
        for column, title in zip(columns, titles, strict=True)
    ]
    return _least(needs, natural)


def _choose_widths(
    columns: Sequence[Column], natural: Sequence[int], available: int | None
) -> tuple[Widths, int] | None:
    """The widths of a page's table, and its gap."""
    if available is None:
        return dict(enumerate(natural)), GAP
    least = _least_of_page(columns, natural, available)
    narrow = _least_of_page(columns, natural, LEAST_NAME)
    tried = ((True, GAP, natural), (False, GAP, natural), (True, GAP, least), (False, GAP, least), (False, 1, narrow))
    for has_bars, gap, widths in tried:
        kept = {index: width for index, width in enumerate(widths) if has_bars or columns[index].kind != "bar"}
        if _line_width(kept.values(), gap) <= available:
            return _spread(kept, natural, available, gap), gap
    return None


def _spread(least: Mapping[int, int], natural: Sequence[int], available: int, gap: int) -> Widths:
    """Share what is available: the widest column gives way first, down to its least width."""
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


def _titles(columns: Sequence[Column], widths: Widths) -> list[dict[int, str]]:
    """The lines of the titles. A title with one line is beside the last line of the others."""
    lines = {index: columns[index].title.split("\n") for index in widths}
    height = max(map(len, lines.values()), default=0)
    padded = {index: [""] * (height - len(found)) + found for index, found in lines.items()}
    return [
        {index: _pad(cut(padded[index][at], width), columns[index], width) for index, width in widths.items()}
        for at in range(height)
    ]


def _wrapped_lines(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Widths
) -> Iterator[dict[int, str]]:
    """The lines of the rows. Beside a cell that takes more lines than others, these are empty."""
    shown = []
    for index, width in widths.items():
        texts = set(cells[index])
        is_whole = columns[index].kind != "name" or max(map(cell_width, texts), default=0) <= width
        wrapped = {text: text.split("\n") for text in texts} if is_whole else wrap_all(texts, width)
        padded = {text: [_pad(line, columns[index], width) for line in lines] for text, lines in wrapped.items()}
        shown.append([padded[cell] for cell in cells[index]])
    blank = [" " * width for width in widths.values()]
    for row in zip(*shown, strict=True):
        for line in zip_longest(*row):
            yield {index: text or blank[at] for at, (index, text) in enumerate(zip(widths, line, strict=True))}


def _pad(text: str, column: Column, width: int) -> str:
    padding = " " * (width - cell_width(text))
    return padding + text if column.kind == "number" else text + padding
