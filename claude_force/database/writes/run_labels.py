"""Storing the labels of runs, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable

from claude_force.database.contract import Connection
from claude_force.executions.run_labels import RunLabel, merged

WIDEN = (
    "ON CONFLICT (session, run, label) DO UPDATE SET "
    "since_us = CASE WHEN excluded.since_us < run_labels.since_us THEN excluded.since_us ELSE run_labels.since_us END, "
    "until_us = CASE WHEN excluded.until_us > run_labels.until_us THEN excluded.until_us ELSE run_labels.until_us END"
)
"""A row that is there already lasts from the first to the last instant of both: so the order in which rows come, and
how often, does not matter."""


def add_run_labels(connection: Connection, labels: Iterable[RunLabel]) -> None:
    """Store labels; those of a run that are known already are widened."""
    connection.insert_all(f"run_labels ({', '.join(RunLabel._fields)})", merged(labels), WIDEN)
