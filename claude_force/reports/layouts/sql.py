"""Layouts of `db sql`: the answer to a query, and the views that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from claude_force.database.ad_hoc import Answer
from claude_force.database.views import EXAMPLE, VIEWS
from claude_force.formatting import NONE, quantity
from claude_force.output import write_json
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table, write_markdown, write_page
from claude_force.text import for_terminal


def write_answer(answer: Answer, form: str, file: TextIO) -> None:
    """Write the answer to a query. JSON and a table say that it was cut; for CSV see `cut_line`."""
    if form == "json":
        write_json(answer_dict(answer), file)
    elif form == "csv":
        file.writelines(_csv_lines(answer))
    elif form == "markdown":
        write_markdown(_page(answer), file)
    else:
        write_page(_page(answer), file)


def answer_dict(answer: Answer) -> dict[str, Any]:
    """The answer for JSON, each row by the names of its columns."""
    return {
        "columns": answer.columns,
        "rows": [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
        "rows_shown": len(answer.rows),
        "rows_at_least": answer.rows_at_least,
        "cut_at": answer.cut,
    }


def cut_line(answer: Answer) -> str | None:
    """That an answer was cut, and what to do about it; None for a whole one."""
    if answer.cut is None:
        return None
    remedy = "--limit shows more" if answer.cut == "rows" else "ask for less: an answer has 64 MB at most"
    return f"cut: {quantity(len(answer.rows), 'row')} of at least {answer.rows_at_least:,}; {remedy}"


def _csv_lines(answer: Answer) -> Iterator[str]:
    from claude_force.executions.export import csv_line

    yield csv_line(answer.columns)
    yield from map(csv_line, answer.rows)


def _page(answer: Answer) -> Page:
    page = Page(quantity(len(answer.rows), "row"))
    numbers = [_is_number(column) for column in zip(*answer.rows, strict=True)] or [False] * len(answer.columns)
    columns = [
        Column(for_terminal(name), "number" if is_number else "name", 4)
        for name, is_number in zip(answer.columns, numbers, strict=True)
    ]
    page.parts.append(Table(columns, [list(map(_cell, row)) for row in answer.rows]))
    if cut := cut_line(answer):
        page.parts.append(Section(None, [cut]))
    return page


def _is_number(values: tuple[Any, ...]) -> bool:
    """Whether a column has numbers, and nothing else."""
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, (int, float)) for value in known)


def _cell(value: Any) -> str:
    """A value in a table. The last digits of a number with a point are those of its rounding."""
    if value is None:
        return NONE
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def views_page() -> Page:
    """What can be asked, for somebody who has not asked yet."""
    page = Page("Views")
    for view in VIEWS:
        columns = ", ".join(column.name for column in view.columns)
        page.parts.append(Section(view.name, [view.about, columns]))
    page.parts.append(Section("For example", [f'  claude-force db sql "{EXAMPLE}"']))
    return page
