"""Writes a page as text for a terminal, as Markdown, or as CSV.

A page holds headings, lines and tables of strings; `formatting` has already turned the numbers into text. In a terminal
no line wraps: names are cut to fit, numbers are not. Use `wrap_lines` for text that must not be cut.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from claude_force.output import is_unicode
from claude_force.reports.columns import LEAST_NAME, Column, cell_width, cut, fit_table
from claude_force.text import for_markdown, for_terminal

if TYPE_CHECKING:
    from rich.text import Text

_RULE = "━" * 46
_BAR_WIDTH = 12
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_SUBSTITUTES = dict(zip("━─–…→↗↘▏▎▍▌▋▊▉█▁▂▃▄▅▆▇", "=--~>^v|||||###_.:-=+*", strict=True))
_NOT_IN_MARKDOWN = re.compile(r"^\d+\. | *[▏▎▍▌▋▊▉█]+$")
"""Markdown numbers its own lists, and has no bars."""

_DEFAULT_WIDTH, _LEAST_WIDTH = 80, 20
_SECTION_WIDTH = 76
"""Room for a line of a section, which is indented."""

_GAP = 2


class Table(NamedTuple):
    """Rows of strings under columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


class Section(NamedTuple):
    """Lines of text. If there is a heading, the lines are indented below it."""

    heading: str | None
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Page:
    """The output of a command."""

    heading: str
    parts: list[Section | Table] = field(default_factory=list)


def write_page(page: Page, file: TextIO) -> None:
    """Write a page as text. It is coloured on a terminal, unless NO_COLOR is set."""
    from rich.console import Console
    from rich.text import Text

    use_substitutes(file)
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if console.width < _LEAST_WIDTH:
        # COLUMNS is set to a width that no terminal has.
        console.width = _DEFAULT_WIDTH

    def fit(text: str, style: str = "") -> Text:
        return Text(cut(for_terminal(text), console.width), style)

    lines = [fit(page.heading, "bold"), fit(_RULE, "dim")]
    for part in page.parts:
        lines.append(Text())
        if isinstance(part, Table):
            lines += _table_lines(part, console.width)
            continue
        if part.heading:
            lines.append(fit(f"{part.heading}:", "bold"))
        lines += [fit(f"  {text}" if part.heading else text) for text in part.lines]
    for line in lines:
        console.print(line, no_wrap=True, crop=False, overflow="ignore")


def _table_lines(table: Table, available: int) -> Iterator[Text]:
    """The table. If it is too wide, its columns move closer together and names are cut further."""
    from rich.text import Text

    gap, fitted = _GAP, fit_table(table.columns, table.rows, available, _GAP)
    if fitted.width > available:
        columns = [column._replace(least=min(column.least, LEAST_NAME)) for column in table.columns]
        gap, fitted = 1, fit_table(columns, table.rows, available, 1)
    for title in fitted.titles:
        yield Text((" " * gap).join(title.values()), "bold")
    yield Text("─" * fitted.width)
    styles = ["cyan" if column.kind == "bar" else "" for column in table.columns]
    for row in fitted.rows:
        yield Text(" " * gap).join(Text(text, styles[index]) for index, text in row.items())


def wrap_lines(text: str) -> list[str]:
    """A text as lines of a section. Use it for problems and remedies: they are useless when cut."""
    return wrap(for_terminal(text), _SECTION_WIDTH, subsequent_indent="  ", break_on_hyphens=False)


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
    titles = [table.columns[index].title.replace("\n", " ") for index in kept]
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
