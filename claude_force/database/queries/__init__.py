"""Every read. The database sums and counts; Python names intervals, folds days into weeks and months, and ranks
durations.

Functions take an open connection, so that a report made of several queries sees one snapshot. Reports import this
package; they do not load the modules `alerts`, `baselines`, `export_queue`, `ingestion` and `jobs`, which are imported
by name.
"""

from __future__ import annotations

from claude_force.database.queries.aggregates import time_range
from claude_force.database.queries.archives import MonthToArchive, archived, months_before, stored_uids, tombstones
from claude_force.database.queries.errors import errors
from claude_force.database.queries.executions import (
    PAGE,
    iterate,
    iterate_rows,
    known_uids,
    newest,
    page,
    read_every_column,
    rolled_up_page,
    rows_of,
    stored,
)
from claude_force.database.queries.filter import ROW_NAMES, Dimension, Filter, FilterDimension
from claude_force.database.queries.names import first_names, has_name, names
from claude_force.database.queries.percentiles import EXACT_LIMIT, durations_by, percentiles, percentiles_by
from claude_force.database.queries.projects import with_projects
from claude_force.database.queries.spans import ranges_in_time, time_ranges_by, with_reach
from claude_force.database.queries.timeline import hours, time_buckets, time_ranges, workflow_starts
from claude_force.database.queries.totals import totals, totals_by
from claude_force.database.queries.trend import trend

__all__ = [
    "EXACT_LIMIT",
    "PAGE",
    "ROW_NAMES",
    "Dimension",
    "Filter",
    "FilterDimension",
    "MonthToArchive",
    "archived",
    "durations_by",
    "errors",
    "first_names",
    "has_name",
    "hours",
    "iterate",
    "iterate_rows",
    "known_uids",
    "months_before",
    "names",
    "newest",
    "page",
    "percentiles",
    "percentiles_by",
    "ranges_in_time",
    "read_every_column",
    "rolled_up_page",
    "rows_of",
    "stored",
    "stored_uids",
    "time_buckets",
    "time_range",
    "time_ranges",
    "time_ranges_by",
    "tombstones",
    "totals",
    "totals_by",
    "trend",
    "with_projects",
    "with_reach",
    "workflow_starts",
]
