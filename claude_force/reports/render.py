"""Result rows to text: a page for the terminal, Markdown, CSV or JSON. The only importer of rich.

A page is headings, labelled lines and tables of strings; numbers became text in `amounts`. Nothing wraps at 80 columns:
a name that does not fit is cut with an ellipsis, a number never is. What must not be cut is made lines by `whole`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, Literal, NamedTuple, TextIO

from claude_force.output import is_unicode
from claude_force.text import for_markdown, for_terminal

_RULE = "━" * 46
_BAR_WIDTH = 12
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_SUBSTITUTES = dict(zip("━─–…→↗↘▏▎▍▌▋▊▉█▁▂▃▄▅▆▇", "=--~>^v|||||###_.:-=+*", strict=True))
_TERMINAL_ONLY = re.compile(r"^\d+\. | *[▏▎▍▌▋▊▉█]+$")
_DEFAULT_WIDTH = 80
_LINE_WIDTH = 76
"""Of the lines of a section that are to be whole; they are indented."""

_NARROWEST = 20
_NARROWEST_NAME = 12


class Column(NamedTuple):
    """A column of a table. `title` may have two lines. Only `name` columns may be cut; to less than `least` cells only
    when the columns stand as close as they can."""

    title: str
    kind: Literal["name", "number", "bar", "text"] = "number"
    least: int = _NARROWEST_NAME


class Table(NamedTuple):
    """Rows of strings under columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


class Section(NamedTuple):
    """Lines, under a heading of their own where it has one; the lines are indented then."""

    heading: str | None
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Page:
    """What one command shows."""

    heading: str
    parts: list[Section | Table] = field(default_factory=list)


def write_page(page: Page, file: TextIO) -> None:
    """The page as text, in colour on a terminal unless NO_COLOR is set."""
    from rich.console import Console
    from rich.text import Text

    allow_substitutes(file)
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if console.width < _NARROWEST:
        # COLUMNS says something that no terminal is.
        console.width = _DEFAULT_WIDTH

    def line(text: str, style: str = "") -> None:
        console.print(Text(cut(for_terminal(text), console.width), style), no_wrap=True, crop=False, overflow="ignore")

    line(page.heading, "bold")
    line(_RULE, "dim")
    for part in page.parts:
        line("")
        if isinstance(part, Table):
            drawn, width = _rich_table(part, console.width)
            console.print(drawn, width=width, crop=False, no_wrap=True, overflow="ignore")
            continue
        if part.heading:
            line(f"{part.heading}:", "bold")
        for text in part.lines:
            line(f"  {text}" if part.heading else text)


def _rich_table(table: Table, available: int) -> tuple[Any, int]:
    """The table and its width: no more than there is, unless the figures alone need more."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table as RichTable
    from rich.text import Text

    rows = [[for_terminal(cell) for cell in row] for row in table.rows]
    widths = [
        max(map(cell_len, [*column.title.split("\n"), *(row[index] for row in rows)]))
        for index, column in enumerate(table.columns)
    ]
    gap, widths = _fitted(widths, table.columns, available)
    drawn = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), header_style="bold")
    for column, width in zip(table.columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.kind == "number" else "left"
        style = "cyan" if column.kind == "bar" else ""
        drawn.add_column(Text(column.title), justify=justify, no_wrap=True, width=width, style=style)
    for row in rows:
        drawn.add_row(*(Text(cut(cell, width)) for cell, width in zip(row, widths, strict=True)))
    return drawn, sum(widths) + gap * (len(widths) - 1)


def _fitted(widths: list[int], columns: Sequence[Column], available: int) -> tuple[int, list[int]]:
    """The gap between columns, and their widths: the widest names give first. Where one would get less than its least
    width, or there is too little room even so, the columns stand as close as they can."""
    gaps = 2 * (len(widths) - 1)
    found = _narrowed(widths, columns, sum(widths) + gaps - available)
    is_enough = all(
        width >= min(wanted, column.least) for width, wanted, column in zip(found, widths, columns, strict=True)
    )
    if is_enough and sum(found) + gaps <= available:
        return 2, found
    return 1, _narrowed(widths, columns, sum(widths) + gaps // 2 - available)


def _narrowed(widths: list[int], columns: Sequence[Column], excess: int) -> list[int]:
    """Widths that are less by the excess, as far as names can be cut."""
    found = list(widths)
    names = [index for index, column in enumerate(columns) if column.kind == "name"]
    for _ in range(excess):
        widest = max(names, key=found.__getitem__, default=None)
        if widest is None or found[widest] <= _NARROWEST_NAME:
            break
        found[widest] -= 1
    return found


def cut(text: str, width: int) -> str:
    """Text in no more than `width` cells of a terminal, with an ellipsis where it is cut."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def whole(text: str) -> list[str]:
    """A text as lines of a section, as many as it takes: what went wrong and what to do are of no use when cut."""
    return wrap(for_terminal(text), _LINE_WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def cell_width(text: str) -> int:
    """The cells of a terminal that text takes; wide characters take two."""
    from rich.cells import cell_len

    return cell_len(text)


def allow_substitutes(file: TextIO) -> None:
    """On a terminal that cannot show our rules and bars, show what it can, in as many cells."""
    if hasattr(file, "reconfigure") and not is_unicode(file):
        codecs.register_error("claude-force", _substitute)
        file.reconfigure(errors="claude-force")


def _substitute(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_SUBSTITUTES.get(char, "?" * cell_width(char)) for char in text), error.end


def write_markdown(page: Page, file: TextIO) -> None:
    """The page as Markdown; bars are left out."""
    allow_substitutes(file)
    file.write(f"## {for_markdown(page.heading)}\n")
    for part in page.parts:
        file.write("\n")
        if isinstance(part, Section):
            if part.heading:
                file.write(f"**{for_markdown(part.heading)}**\n\n")
            # Bars and places belong to the terminal: Markdown has lists.
            lines = [re.sub(r" +", " ", _TERMINAL_ONLY.sub("", line)).strip() for line in part.lines]
            bullet, end = ("- ", "\n") if part.heading else ("", "  \n")
            file.writelines(f"{bullet}{for_markdown(line)}{end}" for line in lines)
            continue
        kept = [index for index, column in enumerate(part.columns) if column.kind != "bar"]
        titles = [part.columns[index].title.replace("\n", " ") for index in kept]
        marks = ["---:" if part.columns[index].kind == "number" else "---" for index in kept]
        for cells in (titles, marks, *([for_markdown(row[index]) for index in kept] for row in part.rows)):
            file.write(f"| {' | '.join(cells)} |\n")


def write_csv(rows: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Rows under the keys of the first; nothing at all where there are none."""
    if not rows:
        return
    from claude_force.executions.export import csv_line

    file.write(csv_line(rows[0]))
    for row in rows:
        file.write(csv_line(row.get(name) for name in rows[0]))


def bar(value: float, largest: float, width: int = _BAR_WIDTH) -> str:
    """A horizontal bar, an eighth of a character fine; something is never nothing."""
    if value <= 0 or largest <= 0:
        return ""
    eighths = max(1, round(8 * width * value / largest))
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def sparkline(values: Sequence[float | None]) -> str:
    """A character for each value, as high as it is beside the largest: nothing is the lowest and something is higher;
    what is not known is blank."""
    largest = max((value for value in values if value is not None), default=0)
    return "".join(" " if value is None else _LEVELS[_level(value, largest)] for value in values)


def _level(value: float, largest: float) -> int:
    return max(1, round((len(_LEVELS) - 1) * value / largest)) if value > 0 else 0
