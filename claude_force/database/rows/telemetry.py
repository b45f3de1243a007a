"""Rows of the tables of telemetry. The fields are the columns, in their order."""

from __future__ import annotations

from typing import NamedTuple


class OutcomeSum(NamedTuple):
    """What agents did on one day (UTC) in one session: `value` of `name` in `records` records, see
    `executions.outcomes`. The session is "" if it is not known."""

    day_us: int
    session_id: str
    name: str
    kind: str
    records: int
    value: int


class TelemetryKind(NamedTuple):
    """The records of one name (an event, a span or a metric) that came to a host from one program: the version of its
    latest one, when that was made, and how many there were. `ignored` says why they are not used, or is "" for those
    that are: a name may have a row for each reason."""

    host: str
    service: str
    name: str
    ignored: str
    version: str
    last_us: int
    records: int


class HeadlessRun(NamedTuple):
    """One run of `claude-force run`. `outcome` is the word of the program's own result; `reported_cost_nanousd` is that
    of the whole session so far, and is never added up."""

    run_id: str
    session_id: str | None
    agent_name: str | None
    project: str | None
    host: str | None
    started_us: int
    duration_us: int
    exit_code: int
    success: int
    outcome: str | None
    turns: int | None
    reported_cost_nanousd: int | None


class CountedOutcome(NamedTuple):
    """One record that is in the sums: see `OutcomeSum`. `received_us` is when it was stored."""

    key: str
    received_us: int
    day_us: int
    session_id: str
    name: str
    kind: str
    value: int
