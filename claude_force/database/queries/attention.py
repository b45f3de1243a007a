"""What needs attention, as far as it is quick to find: alerts that fire, jobs that failed, lines that were rejected.

Apart from the modules of these tables, which load more than the first answer of the program needs.
"""

from __future__ import annotations

from claude_force.database.contract import Connection

FIRING = "firing"
"""The value of `alerts.decision.State.FIRING`."""

FAILED = "failed"
"""The value of `database.writes.jobs.FAILED`."""


def firing_rules(connection: Connection, now_us: int) -> list[str]:
    """The rule of each alert that fires and is not silenced."""
    rows = connection.fetch(
        "SELECT rule FROM alert_states WHERE state = :firing AND NOT EXISTS "
        "(SELECT 1 FROM silences WHERE name = rule AND until_us > :now_us) ORDER BY rule",
        {"firing": FIRING, "now_us": now_us},
    )
    return [row[0] for row in rows]


def failed_jobs(connection: Connection, since_us: int) -> list[str]:
    """The jobs whose last finished run failed, and began since a time."""
    rows = connection.fetch(
        "SELECT DISTINCT job FROM job_runs WHERE outcome = :failed AND started_us >= :since_us AND NOT EXISTS ("
        "SELECT 1 FROM job_runs AS later WHERE later.job = job_runs.job AND later.started_us > job_runs.started_us "
        "AND later.finished_us IS NOT NULL) ORDER BY job",
        {"failed": FAILED, "since_us": since_us},
    )
    return [row[0] for row in rows]


def rejected_lines(connection: Connection) -> int:
    """How many lines of the files that were read, on any host, are no valid executions."""
    return int(connection.fetch("SELECT COALESCE(SUM(rejected), 0) FROM source_files")[0][0])
