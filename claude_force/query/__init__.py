"""Every read. The database counts; Python names intervals, folds days into weeks and months, and ranks durations.

Functions take an open connection, so that a report made of several queries sees one snapshot.
"""

from __future__ import annotations

from claude_force.query.alerts import alerts, due, events, of_episode, silences, with_fate
from claude_force.query.archives import MonthToArchive, archived, months_before, stored_uids, tombstones
from claude_force.query.cells import extent
from claude_force.query.filter import Dimension, Filter
from claude_force.query.jobs import last_run, runs
from claude_force.query.moments import beginnings, edges, hours
from claude_force.query.names import errors, has_name, names
from claude_force.query.percentiles import EXACT_LIMIT, durations_by, percentiles, percentiles_by
from claude_force.query.rows import (
    PAGE,
    counted_page,
    iterate,
    iterate_rows,
    known_uids,
    page,
    read_every_column,
    rows_of,
    stored,
)
from claude_force.query.totals import totals, totals_by
from claude_force.query.trend import trend

__all__ = [
    "EXACT_LIMIT",
    "PAGE",
    "Dimension",
    "Filter",
    "MonthToArchive",
    "alerts",
    "archived",
    "beginnings",
    "counted_page",
    "due",
    "durations_by",
    "edges",
    "errors",
    "events",
    "extent",
    "has_name",
    "hours",
    "iterate",
    "iterate_rows",
    "known_uids",
    "last_run",
    "months_before",
    "names",
    "of_episode",
    "page",
    "percentiles",
    "percentiles_by",
    "read_every_column",
    "rows_of",
    "runs",
    "silences",
    "stored",
    "stored_uids",
    "tombstones",
    "totals",
    "totals_by",
    "trend",
    "with_fate",
]
