"""Layouts of `archive` and `archive restore`: the months, their files and sizes."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.database.archive import ArchiveReport
from claude_force.formatting import count, size
from claude_force.ingest.archives import RestoredMonth
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table


def archive_page(found: ArchiveReport, folder: str, *, dry_run: bool) -> Page:
    """The months that were archived, or would be."""
    rows = [[month.month, count(month.executions), month.file.name, size(month.size)] for month in found.months]
    if len(rows) > 1:
        sizes = [month.size for month in found.months if month.size is not None]
        executions = sum(month.executions for month in found.months)
        rows.append(["Total", count(executions), "", size(sum(sizes)) if sizes else ""])
    columns = [Column("Month", "text"), Column("Executions"), Column("File", "text"), Column("Size")]
    note = (
        "Dry run: nothing was changed. Only a file that exists already has a size."
        if dry_run
        else "The totals of all reports are unchanged. To bring them back:"
    )
    page = Page("To Be Archived" if dry_run else "Archived", [Table(columns, rows)])
    page.parts.extend([Section(None, [f"In {folder}"]), Section(None, [note])])
    return page


def restored_page(found: Sequence[RestoredMonth], folder: str) -> Page:
    """The months whose executions are stored again."""
    rows = [
        [month.month, count(month.restored), count(month.added), count(month.stored), month.file.name]
        for month in found
    ]
    if len(rows) > 1:
        sums = [sum(getattr(month, name) for month in found) for name in ("restored", "added", "stored")]
        rows.append(["Total", *map(count, sums), ""])
    columns = [
        Column("Month", "text"), Column("Restored"), Column("Added"), Column("Stored already"), Column("File", "text"),
    ]  # fmt: skip
    page = Page("Restored", [Table(columns, rows)])
    page.parts.append(Section(None, [f"The files stay in {folder}"]))
    return page
