"""The metrics for Prometheus: one snapshot of the database, as families of samples of limited cardinality.

| kind | covers | names with a label of their own |
|---|---|---|
| gauge | a window that ends now | the busiest agents of the window |
| counter, histogram | all history | the agents and models that were seen first |

Counters survive a restart of the process that exposes them, and they never fall: the first names never change, and a
name that moved to `other` and back would look like a reset. Unknown values have no sample and are never 0.

Nothing here depends on the text format or on the library of Prometheus.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from claude_force.clock import MINUTE_US, SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Filter
from claude_force.database.queries import alerts as alert_query
from claude_force.database.queries import ingestion as file_query
from claude_force.database.queries import jobs as job_query
from claude_force.database.queries import plan_limits as limit_query
from claude_force.database.revisions import HEAD
from claude_force.database.rows.alerts import AlertRow
from claude_force.database.writes.jobs import OK
from claude_force.executions.plan_limits import PlanLimit
from claude_force.executions.record import CLAUDE_CODE, TELEMETRY, UNKNOWN
from claude_force.executions.totals import Totals
from claude_force.exporters.buckets import bounds_s, bucket_counts
from claude_force.exporters.labels import (
    AGENTS,
    MODELS,
    OTHER,
    label_or_other,
    limit_cardinality,
    sanitize_label,
    sum_by_label,
)
from claude_force.formatting import quantity
from claude_force.time_windows import Window

ALERTS_KEPT = 100
"""The number of alerts that get a series of their own."""

LIMITS_KEPT = 100
"""The number of limits of Claude plans that get a series."""

ALL_MODELS = "all"
"""The label of a sum over all models."""

STABLE_AFTER_US = 5 * MINUTE_US
"""A response in a transcript may continue for this long, and one that telemetry saw gets its transcript. Its duration
would move from one bucket of the histogram to the next, which would look like a reset, so counters and the histogram
leave it out until then."""

ALERT_LEVELS = {"ok": 0, "resolved": 0, "pending": 1, "firing": 2}
"""The states of `alerts.decision` as numbers. A state without a measurement has no sample."""

_DESIRED_BOUNDS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)

Names = tuple[str, ...]
Kind = Literal["gauge", "counter"]


class Sample(NamedTuple):
    """One value, and the values of the labels of its family."""

    labels: Names
    value: float


class Distribution(NamedTuple):
    """Durations. `counts` has the number up to each of `duration_bounds_s()`, then the total number; `sum_s` is their
    sum in seconds."""

    labels: Names
    counts: tuple[int, ...]
    sum_s: float


@dataclass(frozen=True, slots=True)
class Family:
    """The samples of one metric. Their labels are in the order of `labels`. A counter has its name without `_total`."""

    name: str
    kind: Kind
    help: str
    labels: Names
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """The distributions of one metric."""

    name: str
    help: str
    labels: Names
    distributions: tuple[Distribution, ...]


class Exposition(NamedTuple):
    """All metrics. `remarks` name what has no series of its own, one line each."""

    families: tuple[Family, ...]
    durations: Histogram
    remarks: tuple[str, ...]

    @property
    def series(self) -> int:
        """How many series they are in Prometheus."""
        by_histogram = len(self.durations.distributions) * (len(duration_bounds_s()) + 3)
        return by_histogram + sum(len(family.samples) for family in self.families)


def read_exposition(database: Database, now_us: int, window_us: int) -> Exposition:
    """All metrics, from one snapshot. Gauges cover the `window_us` that end at `now_us`. Raises DatabaseError."""
    window = Window(now_us - window_us, now_us)
    with database.read() as connection:
        recent = {names[0]: sums for names, sums in queries.totals_by(connection, Filter(window), "agent_name").items()}
        history, times = _stable_history(connection, now_us)
        agents = frozenset(queries.first_names(connection, "agent_name", AGENTS))
        models = frozenset(queries.first_names(connection, "model", MODELS))
        state = [*_state(connection), _alerts(alert_query.alerts(connection))]
        state.append(_plan_limits(limit_query.latest(connection, now_us), now_us))
    by_label = limit_cardinality(history, agents, models)
    families = (*_of_window(_busiest(recent)), *_of_history(by_label), *state)
    return Exposition(
        families,
        _durations(by_label, limit_cardinality(times, agents, models)),
        tuple(_overflow_warnings(recent, history, agents, models)),
    )


def _stable_history(
    connection: Connection, now_us: int
) -> tuple[dict[tuple[Any, ...], Totals], dict[tuple[Any, ...], Counter[int]]]:
    """Sums and durations of all history by agent and model, without responses that may still change."""
    unstable = Filter(Window(now_us - STABLE_AFTER_US), sources=(CLAUDE_CODE, TELEMETRY))
    sums, pending_sums = (queries.totals_by(connection, of, "agent_name", "model") for of in (Filter(), unstable))
    times, pending_times = (queries.durations_by(connection, of, "agent_name", "model") for of in (Filter(), unstable))
    sums |= {names: sums[names] - pending for names, pending in pending_sums.items()}
    times |= {names: times[names] - pending for names, pending in pending_times.items()}
    return (
        {names: found for names, found in sums.items() if found.executions},
        {names: bins for names, bins in times.items() if bins},
    )


def _busiest(recent: Mapping[str | None, Totals]) -> dict[Names, Totals]:
    """The sums of the agents with the most executions; all others are one."""
    by_name = {str(name): totals for name, totals in recent.items()}
    ranked = sorted(by_name, key=lambda name: (-by_name[name].executions, name))
    kept = frozenset(ranked[:AGENTS])
    return sum_by_label(by_name, lambda name: (label_or_other(name, kept),))


def _family(name: str, kind: Kind, text: str, labels: Names, values: Iterable[tuple[Names, float | None]]) -> Family:
    samples = (Sample(names, value) for names, value in values if value is not None)
    return Family(f"claude_force_{name}", kind, text, labels, tuple(samples))


def _of_window(recent: Mapping[Names, Totals]) -> Iterator[Family]:
    """The gauges by agent. The first four have names and units from the guide, which do not follow the conventions."""
    by_agent_and_model = ("agent_name", "model")
    yield _family(
        "execution_time_ms", "gauge", "Average execution time in the window, in milliseconds.", by_agent_and_model,
        (((agent, ALL_MODELS), sums.average_ms) for (agent,), sums in recent.items()),
    )  # fmt: skip
    yield _family(
        "success_rate", "gauge", "Successful executions in the window, in percent (0 to 100).", ("agent_name",),
        ((names, sums.success_rate) for names, sums in recent.items()),
    )  # fmt: skip
    yield _family(
        "cost_usd", "gauge", "Cost of the executions in the window, in US dollars.", by_agent_and_model,
        (((agent, ALL_MODELS), sums.cost) for (agent,), sums in recent.items()),
    )  # fmt: skip
    yield _family(
        "token_usage", "gauge", "Average tokens of an execution in the window.", ("agent_name", "token_type"),
        (
            ((agent, kind), average)
            for (agent,), sums in recent.items()
            for kind, average in (("input", sums.average_input_tokens), ("output", sums.average_output_tokens))
        ),
    )  # fmt: skip
    yield _family(
        "success_ratio", "gauge", "Successful executions in the window, as a ratio (0 to 1).", ("agent_name",),
        ((names, sums.successes / sums.executions) for names, sums in recent.items()),
    )  # fmt: skip


def _of_history(history: Mapping[Names, Totals]) -> Iterator[Family]:
    """The counters by agent and model."""
    labels = ("agent_name", "model")
    yield _family(
        "executions", "counter", "Executions.", (*labels, "status"),
        (
            ((*names, status), number)
            for names, sums in history.items()
            for status, number in (("success", sums.successes), ("failure", sums.failures))
        ),
    )  # fmt: skip
    yield _family(
        "tokens", "counter", "Tokens of the executions whose usage is known.", (*labels, "token_type"),
        (
            ((*names, kind), number)
            for names, sums in history.items()
            if sums.metered
            for kind, number in _tokens(sums).items()
        ),
    )  # fmt: skip
    yield _family(
        "cost_usd", "counter", "Cost of the executions whose price is known, in US dollars.", labels,
        ((names, sums.cost) for names, sums in history.items()),
    )  # fmt: skip
    yield _family(
        "unpriced_executions", "counter", "Executions whose cost is not known.", labels,
        ((names, sums.unpriced) for names, sums in history.items()),
    )  # fmt: skip


def _tokens(sums: Totals) -> dict[str, int]:
    return {
        "input": sums.input_tokens,
        "output": sums.output_tokens,
        "cache_read": sums.cache_read_tokens,
        "cache_write_5m": sums.cache_write_5m_tokens,
        "cache_write_1h": sums.cache_write_1h_tokens,
    }


def duration_bounds_s() -> tuple[float, ...]:
    """The bounds of the histogram of durations, in seconds, each inclusive."""
    return bounds_s(_DESIRED_BOUNDS_S)


def _durations(history: Mapping[Names, Totals], times: Mapping[Names, Counter[int]]) -> Histogram:
    found = (
        Distribution(
            names, tuple(accumulate(bucket_counts(bins, _DESIRED_BOUNDS_S))), history[names].duration_us / SECOND_US
        )
        for names, bins in times.items()
    )
    return Histogram(
        "claude_force_execution_duration_seconds", "Durations of the executions.", ("agent_name", "model"),
        tuple(found),
    )  # fmt: skip


def _state(connection: Connection) -> Iterator[Family]:
    """How fresh the store is, and which version keeps it."""
    from importlib.metadata import version

    period = queries.time_range(connection)
    yield _instant("last_execution_timestamp_seconds", "Time of the newest execution.", period and period.last_us)
    known = (job_query.last_finish(connection, "ingest", OK), file_query.last_read(connection))
    ingested_us = max((at_us for at_us in known if at_us), default=None)
    yield _instant("last_ingest_timestamp_seconds", "Time of the last ingest.", ingested_us)
    labels = ("version", "schema")
    yield _family("build_info", "gauge", "The program and its schema.", labels, [((version("claude-force"), HEAD), 1)])


def _instant(name: str, text: str, instant_us: int | None) -> Family:
    value = None if instant_us is None else instant_us / SECOND_US
    return _family(name, "gauge", f"{text} Seconds since the epoch.", (), [((), value)])


def _alerts(rows: Iterable[AlertRow]) -> Family:
    """The states of the alerts. The worst groups have a series of their own; the others of a rule share one, with the
    worst of their states."""
    known = sorted(
        ((ALERT_LEVELS[row.state], _alert_labels(row)) for row in rows if row.state in ALERT_LEVELS),
        key=lambda found: (-found[0], found[1]),
    )
    states: dict[Names, int] = {}
    for place, (level, (rule, severity, grouped_by, group)) in enumerate(known):
        shown = OTHER if grouped_by and place >= ALERTS_KEPT else group
        states.setdefault((rule, severity, grouped_by, shown), level)
    text = "State of an alert: 0 for ok, 1 for pending, 2 for firing."
    return _family("alert_state", "gauge", text, ("rule", "severity", "grouped_by", "group"), states.items())


def _plan_limits(latest: Iterable[PlanLimit], now_us: int) -> Family:
    """The current limits of plans. The fullest have a series; the others of many machines have none."""
    current = sorted(
        (limit for limit in latest if limit.is_current(now_us)), key=lambda limit: (-limit.used_percent, limit)
    )
    samples = (((limit.kind, sanitize_label(limit.host)), limit.used_percent) for limit in current[:LIMITS_KEPT])
    text = "Used part of a limit of the Claude plan, in percent."
    return _family("plan_limit_percent", "gauge", text, ("window", "host"), samples)


def _alert_labels(row: AlertRow) -> Names:
    grouped_by, name = next(iter(json.loads(row.labels).items()), ("", ""))
    return sanitize_label(row.rule), row.severity, grouped_by, sanitize_label(UNKNOWN if name is None else name)


def _overflow_warnings(
    recent: Mapping[Any, Totals],
    history: Mapping[tuple[Any, ...], Totals],
    agents: frozenset[str],
    models: frozenset[str],
) -> Iterator[str]:
    if len(recent) > AGENTS:
        yield f"{quantity(len(recent) - AGENTS, 'agent')} in the window share the label {OTHER} in gauges"
    for noun, index, kept in (("agent", 0, agents), ("model", 1, models)):
        late = {names[index] for names in history} - kept
        if late:
            names = f"{quantity(len(late), noun)} after the first {len(kept)}"
            yield f"{names} share the label {OTHER} in counters and histograms"
