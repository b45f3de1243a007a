"""Writes a page as text for a terminal, as Markdown, or as CSV.

A page holds headings, lines and tables of strings; `formatting` has already turned the numbers into text. Nothing is
cut: what does not fit into the width of a terminal takes several lines. Where there is no terminal, everything has the
width that it needs, unless COLUMNS is set.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TextIO

from claude_force.output import is_unicode
from claude_force.reports.cells import cell_width, keep_direction, wrap
from claude_force.reports.columns import Column, unfold, wrap_table
from claude_force.text import for_markdown, for_terminal, join_commands, part_commands

_RULE = "━" * 46
_BAR_WIDTH = 12
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_SUBSTITUTES = dict(zip("━─–…→↗↘▏▎▍▌▋▊▉█▁▂▃▄▅▆▇", "=--~>^v|||||###_.:-=+*", strict=True))
_NOT_IN_MARKDOWN = re.compile(r"^\d+\. | *[▏▎▍▌▋▊▉█]+$")
"""Markdown numbers its own lists, and has no bars."""

_DEFAULT_WIDTH, _LEAST_WIDTH = 80, 20

_LINES_AT_ONCE = 500
"""Lines that rich gets at once: line by line it takes three times as long."""

Line = list[tuple[str, str]]
"""A line as pieces of text, each with its style."""


class Table(NamedTuple):
    """Rows of strings under columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


class Section(NamedTuple):
    """Lines of text, which wrap. If there is a heading, the lines are indented below it.

    A line that begins with two spaces is a command, or part of a list: it stays as it is, so that it can be copied."""

    heading: str | None
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Page:
    """The output of a command."""

    heading: str
    parts: list[Section | Table] = field(default_factory=list)


def write_page(page: Page, file: TextIO) -> None:
    """Write a page as text. It is coloured on a terminal, unless NO_COLOR is set."""
    use_substitutes(file)
    lines = _page_lines(page, _width_of(file))
    if file.isatty() or os.environ.get("FORCE_COLOR"):
        _write_coloured(lines, file)
    else:
        file.writelines("".join(text for text, _ in line).rstrip(" ") + "\n" for line in lines)


def _width_of(file: TextIO) -> int | None:
    """The cells of a line; None if nothing limits them. COLUMNS counts unless no terminal could be so narrow."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) >= _LEAST_WIDTH:
        return int(columns)
    if not file.isatty():
        return None
    try:
        width = os.get_terminal_size(file.fileno()).columns
    except OSError:
        return _DEFAULT_WIDTH
    return width if width >= _LEAST_WIDTH else _DEFAULT_WIDTH


def _write_coloured(lines: Iterable[Line], file: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False, markup=False, emoji=False)
    texts = (Text.assemble(*((keep_direction(piece), style) for piece, style in line)) for line in lines)
    while some := list(islice(texts, _LINES_AT_ONCE)):
        console.print(Text("\n").join(some), no_wrap=True, crop=False, overflow="ignore")


def _page_lines(page: Page, width: int | None) -> Iterator[Line]:
    for line in _wrap(page.heading, width):
        yield [(line, "bold")]
    yield [(_RULE[:width], "dim")]
    for part in page.parts:
        yield []
        if isinstance(part, Table):
            yield from _table_lines(part, width)
        else:
            yield from _section_lines(part, width)


def _section_lines(section: Section, width: int | None) -> Iterator[Line]:
    indent = ""
    if section.heading:
        indent = "  "
        for line in _wrap(f"{section.heading}:", width):
            yield [(line, "bold")]
    for text in section.lines:
        for line in _wrap(text, width, indent):
            yield [(line, "")]


def _wrap(text: str, width: int | None, indent: str = "") -> list[str]:
    """A text in lines. Lines after the first one are indented by two cells more."""
    safe = for_terminal(text)
    if width is None or safe.startswith("  "):
        return [indent + safe]
    room = width - len(indent)
    return [indent + part_commands(line) for line in wrap(join_commands(safe, room - 2), room, hang=2)]


def _table_lines(table: Table, width: int | None) -> Iterator[Line]:
    fitted = wrap_table(table.columns, table.rows, width)
    if fitted is None:
        assert width is not None
        yield from ([(line, "")] for line in unfold(table.columns, table.rows, width))
        return
    gap = " " * fitted.gap
    for title in fitted.titles:
        yield [(gap.join(title.values()), "bold")]
    yield [("─" * fitted.width, "")]
    styles = ["cyan" if column.kind == "bar" else "" for column in table.columns]
    for row in fitted.rows:
        yield [(text if at == 0 else gap + text, styles[index]) for at, (index, text) in enumerate(row.items())]


def use_substitutes(file: TextIO) -> None:
    """Write ASCII characters in place of lines and bars if the terminal cannot show them."""
    if hasattr(file, "reconfigure") and not is_unicode(file):
        codecs.register_error("claude-force", _substitute)
        file.reconfigure(errors="claude-force")


def _substitute(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_SUBSTITUTES.get(char, "?" * cell_width(char)) for char in text), error.end


def write_markdown(page: Page, file: TextIO) -> None:
    """Write a page as Markdown, without its bars."""
    use_substitutes(file)
    file.write(f"## {for_markdown(page.heading)}\n")
    for part in page.parts:
        file.write("\n")
        file.writelines(_markdown_table(part) if isinstance(part, Table) else _markdown_section(part))


def _markdown_section(section: Section) -> Iterator[str]:
    if section.heading:
        yield f"**{for_markdown(section.heading)}**\n\n"
    bullet, end = ("- ", "\n") if section.heading else ("", "  \n")
    for line in section.lines:
        text = re.sub(r" +", " ", _NOT_IN_MARKDOWN.sub("", line)).strip()
        yield f"{bullet}{for_markdown(text)}{end}"


def _markdown_table(table: Table) -> Iterator[str]:
    kept = [index for index, column in enumerate(table.columns) if column.kind != "bar"]
    titles = [for_markdown(table.columns[index].title.replace("\n", " ")) for index in kept]
    marks = ["---:" if table.columns[index].kind == "number" else "---" for index in kept]
    for cells in (titles, marks, *([for_markdown(row[index]) for index in kept] for row in table.rows)):
        yield f"| {' | '.join(cells)} |\n"


def write_csv(rows: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Write rows under the keys of the first row. Without rows, write nothing."""
    if not rows:
        return
    from claude_force.executions.export import csv_line

    file.write(csv_line(rows[0]))
    for row in rows:
        file.write(csv_line(row.get(name) for name in rows[0]))


def bar(value: float, largest: float, width: int = _BAR_WIDTH) -> str:
    """A horizontal bar in steps of an eighth of a character. Every value above zero is visible."""
    if value <= 0 or largest <= 0:
        return ""
    full, rest = divmod(max(1, round(8 * width * value / largest)), 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def sparkline(values: Sequence[float | None]) -> str:
    """One character for each value, scaled to the largest value. Only zero has the lowest level; None is blank."""
    largest = max((value for value in values if value is not None), default=0)
    return "".join(" " if value is None else _LEVELS[_level(value, largest)] for value in values)


def _level(value: float, largest: float) -> int:
    return max(1, round((len(_LEVELS) - 1) * value / largest)) if value > 0 else 0
