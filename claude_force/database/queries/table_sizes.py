"""The number of rows by table, and by level of the roll-ups."""

from __future__ import annotations

from claude_force.database.contract import Connection

TABLES = (
    "alert_events",
    "alert_states",
    "archived",
    "archives",
    "baselines",
    "copied_sessions",
    "counted_outcomes",
    "daily_statistics",
    "deliveries",
    "executions",
    "export_queue",
    "exporters",
    "headless_runs",
    "identities",
    "ingest_passes",
    "job_runs",
    "outcomes",
    "plan_limits",
    "projects",
    "reported_usages",
    "rollup_durations",
    "rollup_errors",
    "rollup_runs",
    "rollup_seat_durations",
    "rollup_seats",
    "rollup_spans",
    "rollups",
    "run_labels",
    "run_parents",
    "seats",
    "series",
    "session_ledgers",
    "sightings",
    "silences",
    "source_files",
    "step_usage",
    "telemetry_kinds",
    "uncounted",
)
"""Every table except that of the revision. A test compares it with the schema."""


def rows_by_table(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {table: int(connection.fetch(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in TABLES}


def rollups_by_level(connection: Connection) -> dict[str, dict[int, int]]:
    """How many rows each level of each roll-up table has."""
    return {
        table: dict(connection.fetch(f"SELECT level, COUNT(*) FROM {table} GROUP BY level ORDER BY level"))
        for table in ("rollups", "rollup_durations", "rollup_errors", "rollup_seats", "rollup_seat_durations")
    }


def hosts(connection: Connection) -> list[str]:
    """The hosts on which files were read, jobs ran or plan limits were observed."""
    tables = ("source_files", "job_runs", "plan_limits")
    rows = connection.fetch(" UNION ".join(f"SELECT host FROM {table}" for table in tables) + " ORDER BY host")
    return [row[0] for row in rows if row[0]]
