"""The metrics of the store as OpenTelemetry has them: cumulative data points, by agent and model.

A point is what the whole store comes to, since its first execution: sent twice it counts once, and one that was lost is
made up for by the next. What is not known has no point; a duration, a usage or a cost is that of the executions that
have one.

Names are those of the conventions for generative AI where these have one that the store can fill truthfully
(open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md); docs/how-to/otlp.md says
where they cannot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import Filter
from claude_force.executions.histogram import bin_lows, bin_of
from claude_force.executions.record import UNKNOWN, dollars
from claude_force.executions.totals import Totals
from claude_force.exporters.labels import AGENTS, MODELS, Labels, bounded, nameless

Attributes = dict[str, str]

_CONVENTIONAL_BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The bounds that the conventions recommend for `gen_ai.client.operation.duration`."""

_CLAUDE = ("claude-", "anthropic/claude-")
"""How the names of models begin that Anthropic itself serves. Bedrock and Vertex AI write theirs differently."""

_FAILED = {"error.type": "_OTHER"}
"""What marks failures: the conventions' word for an error whose kind is not told apart."""


class Figures(NamedTuple):
    """What is sent, by the labels of agent and model. `first_us` is the instant of the first execution, None where
    there is none; `nameless` how many agents and models share the label of those that came later."""

    totals: Mapping[Labels, Totals]
    durations: Mapping[Labels, Counter[int]]
    first_us: int | None
    nameless: int

    @property
    def executions(self) -> int:
        """All of them."""
        return sum(totals.executions for totals in self.totals.values())


def read_figures(connection: Connection) -> Figures:
    """The figures of the whole store, archived executions included."""
    everything, extent = Filter(), queries.time_range(connection)
    totals = queries.totals_by(connection, everything, "agent_name", "model")
    durations = queries.durations_by(connection, everything, "agent_name", "model")
    agents = frozenset(queries.first_names(connection, "agent_name", AGENTS))
    models = frozenset(queries.first_names(connection, "model", MODELS))
    by_pair = {(str(agent), str(model)): found for (agent, model), found in totals.items()}
    return Figures(
        bounded(by_pair, agents, models),
        bounded(durations, agents, models),
        None if extent is None else extent.first_us,
        nameless(by_pair, agents, models),
    )


def metrics_data(figures: Figures, now_us: int, resource: Mapping[str, str]) -> MetricsData:
    """The figures as the exporter takes them, in the same order each time; a metric without a point is left out."""
    # A clock that was set may have put the first execution into the future.
    start_us = now_us if figures.first_us is None else min(figures.first_us, now_us)
    times = _Times(start_us * 1000, now_us * 1000)
    metrics = [metric for metric in _metrics(figures, times) if metric.data.data_points]
    scope = ScopeMetrics(InstrumentationScope("claude_force", resource.get("service.version")), metrics, "")
    return MetricsData([ResourceMetrics(Resource(resource), [scope], "")])


def count_points(data: MetricsData) -> int:
    """How many data points there are."""
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return sum(len(metric.data.data_points) for scope in scopes for metric in scope.metrics)


class _Times(NamedTuple):
    """Since when a point counts, and until when, in nanoseconds."""

    start_ns: int
    end_ns: int


def _metrics(figures: Figures, times: _Times) -> Iterator[Metric]:
    groups = [(_attributes(*labels), totals) for labels, totals in sorted(figures.totals.items())]
    executions = [point for group in groups for point in _executions(*group)]
    tokens = [point for group in groups for point in _tokens(*group)]
    costs = [(attributes, dollars(totals.cost_nanousd)) for attributes, totals in groups if totals.priced]
    yield _sum(
        "claude_force.executions", "{execution}", "Executions; those that failed have error.type.", executions, times
    )
    yield _sum("claude_force.tokens", "{token}", "Tokens used, each counted under one type.", tokens, times)
    yield _sum("claude_force.cost", "{USD}", "What the executions with a known price cost.", costs, times)
    points = [
        _durations(_attributes(*labels), counts, figures.totals[labels].duration_us, times)
        for labels, counts in sorted(figures.durations.items())
    ]
    histogram = Histogram(points, AggregationTemporality.CUMULATIVE)
    yield Metric("gen_ai.client.operation.duration", "GenAI operation duration.", "s", histogram)


def _attributes(agent: str, model: str) -> Attributes:
    named = {"gen_ai.agent.name": agent, "gen_ai.request.model": model}
    found = {"gen_ai.operation.name": "chat"} | {key: name for key, name in named.items() if name != UNKNOWN}
    return found | {"gen_ai.provider.name": "anthropic"} if model.startswith(_CLAUDE) else found


def _executions(attributes: Attributes, totals: Totals) -> Iterator[tuple[Attributes, int]]:
    # Both from the beginning, though one be 0: a rate needs a point before the first failure.
    yield attributes, totals.successes
    yield attributes | _FAILED, totals.failures


def _tokens(attributes: Attributes, totals: Totals) -> Iterator[tuple[Attributes, int]]:
    if totals.metered:
        written = totals.cache_write_5m_tokens + totals.cache_write_1h_tokens
        yield attributes | {"gen_ai.token.type": "input"}, totals.input_tokens
        yield attributes | {"gen_ai.token.type": "output"}, totals.output_tokens
        yield attributes | {"gen_ai.token.type": "cache_read"}, totals.cache_read_tokens
        yield attributes | {"gen_ai.token.type": "cache_creation"}, written


def _sum(name: str, unit: str, said: str, values: list[tuple[Attributes, Any]], times: _Times) -> Metric:
    points = [NumberDataPoint(attributes, *times, value) for attributes, value in values]
    return Metric(name, said, unit, Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True))


def _durations(attributes: Attributes, counts: Counter[int], duration_us: int, times: _Times) -> HistogramDataPoint:
    edges, lows = _edges(), bin_lows()
    buckets = [0] * (len(edges) + 1)
    for number, count in counts.items():
        buckets[bisect_right(edges, number)] += count
    # The encoder leaves out what is None: the store does not know the shortest and the longest.
    unknown: Any = None
    return HistogramDataPoint(
        attributes,
        *times,
        count=counts.total(),
        sum=duration_us / SECOND_US,
        bucket_counts=buckets,
        # A bucket holds its upper bound: the last microsecond of the bin before the edge.
        explicit_bounds=[(lows[edge] - 1) / SECOND_US for edge in edges],
        min=unknown,
        max=unknown,
    )


@cache
def _edges() -> tuple[int, ...]:
    """The bins that begin a bucket: those nearest to the recommended bounds, so that every count is exact."""
    lows, edges = bin_lows(), []
    for bound_s in _CONVENTIONAL_BOUNDS_S:
        bound_us = round(bound_s * SECOND_US)
        number = bin_of(bound_us)
        edges.append(min(number, number + 1, key=lambda edge: abs(lows[edge] - 1 - bound_us)))
    return tuple(edges)
