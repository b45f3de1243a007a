"""Cells that lead elsewhere, and where the names and intervals of a page lead. The report is one file: nothing in it
leads anywhere. In the live page a name leads to the same view of that name alone.
"""

from __future__ import annotations

from typing import Self

from claude_force.database.queries import FilterDimension
from claude_force.executions.totals import Bucket
from claude_force.text import for_html


class Linked(str):
    """The text of a cell, with the address that it leads to."""

    __slots__ = ("href",)
    href: str

    def __new__(cls, text: str, href: str) -> Self:
        made = super().__new__(cls, text)
        made.href = href
        return made


def linked_html(text: str) -> str:
    """A cell as HTML: a link if it is Linked."""
    shown = for_html(text)
    return f'<a href="{for_html(text.href)}">{shown}</a>' if isinstance(text, Linked) else shown


class PageLinks:
    """Where names and intervals lead: nowhere, unless a subclass says more."""

    def name(self, dimension: FilterDimension, name: str, text: str) -> str:
        """The cell of a name, which is shown as `text`."""
        del dimension, name
        return text

    def interval(self, bucket: Bucket) -> str:
        """The cell of an interval."""
        return bucket.label

    def rule(self, name: str, text: str) -> str:
        """The cell of an alert, which is shown as `text`, by the name of its rule."""
        del name
        return text


NO_LINKS = PageLinks()
