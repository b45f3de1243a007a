"""The tables: their single definition. The migrations build them, and tests compare both on each engine.

- Everything that is added up is an integer.
- `uid` is the primary key of `executions`, with no surrogate beside it; every unique key of a large table contains its
  `uid`, so that `executions` can be distributed by it.
- On SQLite a table is stored as its primary key (WITHOUT ROWID), so executions lie in order of time, since a uid begins
  with the instant. STRICT keeps text out of number columns.

| tables | what they hold |
|---|---|
| `series`, `executions` | the executions |
| `step_usage` | what the steps of executions move from the sums of one model to those of others |
| `uncounted` | pending executions: those that the roll-ups do not contain yet |
| `rollups`, `rollup_durations`, `rollup_errors` | sums by time and series; see `executions.rollups` |
| `rollup_spans` | when which workflows, sessions, branches, hosts and users were at work |
| `seats`, `rollup_seats`, `rollup_seat_durations` | the sums by host and user; see `executions.seats` |
| `rollup_runs` | sums of each run by day and series; see `executions.run_parts` |
| `source_files`, `identities`, `reported_usages` | ingestion: how far files were read, which identities are known |
| `ingest_passes` | when each host last looked for something new, and what it could not read |
| `session_ledgers`, `copied_sessions`, `daily_statistics` | what Claude Code itself says that it used |
| `run_parents` | which run started which |
| `projects` | the repository of each folder |
| `archived`, `archives` | executions that were moved to archive files |
| `job_runs`, `baselines` | the scheduler's runs, and baselines |
| `alert_states`, `alert_events`, `deliveries`, `silences` | alerts, their transitions and their outbox |
| `exporters`, `export_queue` | what exporters have sent and still have to send |
| `plan_limits` | how much of a Claude plan was used when |
| `sightings` | who saw an execution, if telemetry did |
| `outcomes`, `counted_outcomes` | what agents did, by day and session |
| `telemetry_kinds`, `headless_runs` | which telemetry came from where; the runs of `claude-force run` |
| `run_labels` | the labels that runs were given, to compare them |
"""

from __future__ import annotations

from claude_force.database.schema import executions, monitoring, sources, telemetry
from claude_force.database.schema.types import EVERYWHERE, ON_COORDINATOR, metadata

__all__ = ["EVERYWHERE", "ON_COORDINATOR", "executions", "metadata", "monitoring", "sources", "telemetry"]
