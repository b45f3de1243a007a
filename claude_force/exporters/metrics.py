"""What monitoring is told: one reading of the database, as a bounded number of families of samples.

Gauges are of a window that ends now. Counters and histograms are of all history, so that they survive a restart of
whoever exposes them, and they do not fall. Which names these have for themselves is decided by who came first, and
never changes: a name that moved to `other` and back would look like a counter that was reset. What is not known has no
sample, and is never 0.

Nothing here knows the format or the library of a monitoring system.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Filter
from claude_force.database.queries import alerts as alert_query
from claude_force.database.queries import ingestion as file_query
from claude_force.database.queries import jobs as job_query
from claude_force.database.revisions import HEAD
from claude_force.database.rows.alerts import AlertRow
from claude_force.database.writes.jobs import OK
from claude_force.executions.histogram import bin_lows
from claude_force.executions.record import CLAUDE_CODE, UNKNOWN
from claude_force.executions.totals import Totals
from claude_force.exporters.labels import AGENTS, MODELS, OTHER, bounded, label, label_of, merged
from claude_force.formatting import quantity
from claude_force.windows import Window

ALERTS_KEPT = 100
"""So many alerts have series of their own."""

ALL_MODELS = "all"
"""The model of a sum over all of them."""

SETTLED_AFTER_US = 5 * 60 * SECOND_US
"""The response of a transcript that ended more recently may go on. It takes longer then, and leaves one bucket of the
histogram for the next, which would look like a reset; so counters and the histogram wait for it."""

ALERT_LEVELS = {"ok": 0, "resolved": 0, "pending": 1, "firing": 2}
"""The states of `alerts.decision` as numbers. One in which nothing was measured has none."""

_BOUNDS_WISHED_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)

Names = tuple[str, ...]
Kind = Literal["gauge", "counter"]


class Sample(NamedTuple):
    """One number, and the values of the labels of its family."""

    labels: Names
    value: float


class Distribution(NamedTuple):
    """Durations: how many are at most each of `duration_bounds_s()`, then how many there are, and their sum."""

    labels: Names
    counts: tuple[int, ...]
    sum_s: float


@dataclass(frozen=True, slots=True)
class Family:
    """The samples of one name, which say what `labels` are in its order. A counter is named without its `_total`."""

    name: str
    kind: Kind
    help: str
    labels: Names
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """The distributions of one name."""

    name: str
    help: str
    labels: Names
    distributions: tuple[Distribution, ...]


class Exposition(NamedTuple):
    """What there is to tell. `remarks` say, a line each, what has no series of its own."""

    families: tuple[Family, ...]
    durations: Histogram
    remarks: tuple[str, ...]

    @property
    def series(self) -> int:
        """How many series it makes in a monitoring system."""
        by_histogram = len(self.durations.distributions) * (len(duration_bounds_s()) + 3)
        return by_histogram + sum(len(family.samples) for family in self.families)


def read(database: Database, now_us: int, window_us: int) -> Exposition:
    """Everything, from one snapshot; gauges are of the `window_us` that end at `now_us`. Raises DatabaseError."""
    window = Window(now_us - window_us, now_us)
    with database.read() as connection:
        recent = {names[0]: sums for names, sums in queries.totals_by(connection, Filter(window), "agent_name").items()}
        history, times = _settled(connection, now_us)
        agents = frozenset(queries.first_names(connection, "agent_name", AGENTS))
        models = frozenset(queries.first_names(connection, "model", MODELS))
        state = [*_state(connection), _alerts(alert_query.alerts(connection))]
    by_label = bounded(history, agents, models)
    families = (*_of_window(_busiest(recent)), *_of_history(by_label), *state)
    return Exposition(
        families,
        _durations(by_label, bounded(times, agents, models)),
        tuple(_left_out(recent, history, agents, models)),
    )


def _settled(
    connection: Connection, now_us: int
) -> tuple[dict[tuple[Any, ...], Totals], dict[tuple[Any, ...], Counter[int]]]:
    """Sums and durations of all history by agent and model, without what may still change."""
    unsettled = Filter(Window(now_us - SETTLED_AFTER_US), sources=(CLAUDE_CODE,))
    sums, pending_sums = (queries.totals_by(connection, of, "agent_name", "model") for of in (Filter(), unsettled))
    times, pending_times = (queries.durations_by(connection, of, "agent_name", "model") for of in (Filter(), unsettled))
    sums |= {names: sums[names] - pending for names, pending in pending_sums.items()}
    times |= {names: times[names] - pending for names, pending in pending_times.items()}
    return (
        {names: found for names, found in sums.items() if found.executions},
        {names: bins for names, bins in times.items() if bins},
    )


def _busiest(recent: Mapping[str | None, Totals]) -> dict[Names, Totals]:
    """The sums of the agents with the most executions, and of all others as one."""
    by_name = {str(name): totals for name, totals in recent.items()}
    ranked = sorted(by_name, key=lambda name: (-by_name[name].executions, name))
    kept = frozenset(ranked[:AGENTS])
    return merged(by_name, lambda name: (label(name, kept),))


def _family(name: str, kind: Kind, text: str, labels: Names, values: Iterable[tuple[Names, float | None]]) -> Family:
    samples = (Sample(names, value) for names, value in values if value is not None)
    return Family(f"claude_force_{name}", kind, text, labels, tuple(samples))


def _of_window(recent: Mapping[Names, Totals]) -> Iterator[Family]:
    """The gauges by agent. The names of the first four are older than the conventions; so are their units."""
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


@cache
def _bounds() -> tuple[int, ...]:
    """The bins that begin just above the bounds of a histogram: those that begin nearest to what is wished, so that no
    bin lies on both sides of a bound, and counts are exact."""
    return tuple(_bin_near(round(wished_s * SECOND_US)) for wished_s in _BOUNDS_WISHED_S)


def _bin_near(wished_us: int) -> int:
    lows = bin_lows()
    above = bisect_right(lows, wished_us)
    return min((above - 1, above), key=lambda number: abs(lows[number] - wished_us))


def duration_bounds_s() -> tuple[float, ...]:
    """The bounds of the histogram of durations, in seconds; a bound is the longest duration that it counts."""
    return tuple((bin_lows()[first] - 1) / SECOND_US for first in _bounds())


def _durations(history: Mapping[Names, Totals], times: Mapping[Names, Counter[int]]) -> Histogram:
    found = (
        Distribution(names, _cumulated(bins), history[names].duration_us / SECOND_US) for names, bins in times.items()
    )
    return Histogram(
        "claude_force_execution_duration_seconds", "Durations of the executions.", ("agent_name", "model"),
        tuple(found),
    )  # fmt: skip


def _cumulated(bins: Counter[int]) -> tuple[int, ...]:
    counts = [0] * (len(_bounds()) + 1)
    for number, count in bins.items():
        counts[bisect_right(_bounds(), number)] += count
    return tuple(accumulate(counts))


def _state(connection: Connection) -> Iterator[Family]:
    """How fresh the store is, and what keeps it."""
    from importlib.metadata import version

    extent = queries.time_range(connection)
    yield _instant("last_execution_timestamp_seconds", "When the newest execution was.", extent and extent.last_us)
    known = (job_query.last_finish(connection, "ingest", OK), file_query.last_read(connection))
    ingested_us = max((at_us for at_us in known if at_us), default=None)
    yield _instant("last_ingest_timestamp_seconds", "When sources were read last.", ingested_us)
    labels = ("version", "schema")
    yield _family("build_info", "gauge", "The program and its schema.", labels, [((version("claude-force"), HEAD), 1)])


def _instant(name: str, text: str, instant_us: int | None) -> Family:
    value = None if instant_us is None else instant_us / SECOND_US
    return _family(name, "gauge", f"{text} Seconds since the epoch.", (), [((), value)])


def _alerts(rows: Iterable[AlertRow]) -> Family:
    """Where alerts stand. Of many groups those that are worst have a series of their own; of the others of a
    rule the worst is told."""
    known = sorted(
        ((ALERT_LEVELS[row.state], _alert_labels(row)) for row in rows if row.state in ALERT_LEVELS),
        key=lambda found: (-found[0], found[1]),
    )
    states: dict[Names, int] = {}
    for place, (level, (rule, severity, grouped_by, group)) in enumerate(known):
        shown = OTHER if grouped_by and place >= ALERTS_KEPT else group
        states.setdefault((rule, severity, grouped_by, shown), level)
    text = "Where an alert stands: 0 for ok, 1 for pending, 2 for firing."
    return _family("alert_state", "gauge", text, ("rule", "severity", "grouped_by", "group"), states.items())


def _alert_labels(row: AlertRow) -> Names:
    grouped_by, name = next(iter(json.loads(row.labels).items()), ("", ""))
    return label_of(row.rule), row.severity, grouped_by, label_of(UNKNOWN if name is None else name)


def _left_out(
    recent: Mapping[Any, Totals],
    history: Mapping[tuple[Any, ...], Totals],
    agents: frozenset[str],
    models: frozenset[str],
) -> Iterator[str]:
    if len(recent) > AGENTS:
        yield f"{quantity(len(recent) - AGENTS, 'agent')} in the window told as {OTHER} by gauges"
    for noun, place, kept in (("agent", 0, agents), ("model", 1, models)):
        late = {names[place] for names in history} - kept
        if late:
            yield f"{quantity(len(late), noun)} after the first {len(kept)} told as {OTHER} by counters and histograms"
