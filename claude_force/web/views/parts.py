"""What several views are made of: the output of a command as a page, columns that lead on, and choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from claude_force.reports.freshness import unread_lines
from claude_force.reports.html.linked import Linked
from claude_force.reports.layouts.base import archived_lines, explanation, mark_unknown
from claude_force.reports.render import Page, Section, Table
from claude_force.web.answers import Answer
from claude_force.web.links import Links
from claude_force.web.view import Visit

ROWS = ("limit", "asc", "desc")
"""The words that choose rows."""

Cells = Iterable[str | None]
"""Addresses of the cells of a column; None for a cell that leads nowhere."""


def command_page(answer: Answer, change: Callable[[Page], None] = lambda _: None) -> Page:
    """What the command shows in a terminal: its tables and sections, or why there are none, and what is missing.
    `change` adds links to the tables, which are those of the layout."""
    request, layout = answer.request, answer.layout() if answer.layout else None
    assert request is not None
    assert layout is not None
    if layout.is_empty:
        page = Page("", [Section(None, explanation(request, layout).splitlines())])
    else:
        page = layout.page()
        change(page)
        mark_unknown(page, request)
    more = [*archived_lines(request.workspace, answer.report.archived), *unread_lines(request.freshness)]
    page.parts.extend([Section(None, more)] if more else [])
    return page


def link_column(table: Table, column: int, hrefs: Cells) -> Table:
    """A table whose rows lead somewhere from one column."""
    rows = [
        row if href is None else [*row[:column], Linked(row[column], href), *row[column + 1 :]]
        for row, href in zip(table.rows, hrefs, strict=True)
    ]
    return table._replace(rows=rows)


def link_part(page: Page, column: int, hrefs: Cells, at: int = 0) -> None:
    """The same for the table at a place of a page."""
    table = page.parts[at]
    assert isinstance(table, Table)
    page.parts[at] = link_column(table, column, hrefs)


def choices(links: Links, word: str, titles: Mapping[str, str], chosen: str | None) -> list[dict[str, Any]]:
    """Values of a word to choose from, each a link to this view. A value of "" takes the word out."""
    return [
        {"title": title, "href": links.here(**{word: value or None}), "is_here": value == (chosen or "")}
        for value, title in titles.items()
    ]


def word_of(visit: Visit, word: str) -> str | None:
    """The value of a word of the query string; None if it has none."""
    return dict(visit.links.query).get(word)
