"""The metrics of the store as an OTLP request: cumulative data points by agent and model.

A point covers the whole store since its first execution, so sending it twice counts once, and the next push makes up
for one that was lost. Unknown values have no point; durations, usage and costs cover the executions that have them.

Names follow the conventions for generative AI wherever the store can fill them truthfully
(open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md); docs/how-to/otlp.md lists the exceptions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import Filter
from claude_force.executions.record import UNKNOWN, dollars
from claude_force.executions.totals import Totals
from claude_force.exporters.buckets import bounds_s, bucket_counts
from claude_force.exporters.labels import AGENTS, MODELS, Labels, limit_cardinality, overflow_count

Attributes = dict[str, str]
Values = Callable[[Attributes, Totals], Iterator[tuple[Attributes, float]]]

_CONVENTIONAL_BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The bounds that the conventions recommend for `gen_ai.client.operation.duration`."""

_CLAUDE = ("claude-", "anthropic/claude-")
"""How the names of models begin that Anthropic itself serves. Bedrock and Vertex AI write theirs differently."""

_FAILED = {"error.type": "_OTHER"}
"""Marks failures; `_OTHER` is the conventions' value for an error of unspecified type."""


class Figures(NamedTuple):
    """The figures to send, by the labels of agent and model.

    `first_us` is the instant of the first execution, None for an empty store; `overflow` the number of agents and
    models that share the label `other`.
    """

    totals: Mapping[Labels, Totals]
    durations: Mapping[Labels, Counter[int]]
    first_us: int | None
    overflow: int

    @property
    def executions(self) -> int:
        """The number of executions."""
        return sum(totals.executions for totals in self.totals.values())


def read_figures(connection: Connection) -> Figures:
    """The figures of the whole store, archived executions included."""
    everything, period = Filter(), queries.time_range(connection)
    totals = queries.totals_by(connection, everything, "agent_name", "model")
    durations = queries.durations_by(connection, everything, "agent_name", "model")
    agents = frozenset(queries.first_names(connection, "agent_name", AGENTS))
    models = frozenset(queries.first_names(connection, "model", MODELS))
    by_pair = {(str(agent), str(model)): found for (agent, model), found in totals.items()}
    return Figures(
        limit_cardinality(by_pair, agents, models),
        limit_cardinality(durations, agents, models),
        None if period is None else period.first_us,
        overflow_count(by_pair, agents, models),
    )


def request_of(figures: Figures, now_us: int, resource: Mapping[str, str]) -> ExportMetricsServiceRequest:
    """The figures as a request. The order is always the same; a metric without points is left out."""
    # If the clock was wrong once, the first execution may lie in the future.
    start_us = now_us if figures.first_us is None else min(figures.first_us, now_us)
    metrics = list(_metrics(figures, _Period(start_us * 1000, now_us * 1000)))
    scope = InstrumentationScope(name="claude_force", version=resource.get("service.version", ""))
    scoped = ScopeMetrics(scope=scope, metrics=metrics)
    sender = Resource(attributes=_key_values(resource))
    return ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(resource=sender, scope_metrics=[scoped])])


def count_points(request: ExportMetricsServiceRequest) -> int:
    """How many data points a request has."""
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    return sum(len(metric.sum.data_points) + len(metric.histogram.data_points) for metric in metrics)


class _Period(NamedTuple):
    """The period that a point covers, in nanoseconds since the epoch."""

    start_ns: int
    end_ns: int


def _metrics(figures: Figures, period: _Period) -> Iterator[Metric]:
    groups = [(_attributes(*labels), totals) for labels, totals in sorted(figures.totals.items())]
    sums: tuple[tuple[str, str, str, Values], ...] = (
        ("claude_force.executions", "{execution}", "Executions; those that failed have error.type.", _executions),
        ("claude_force.tokens", "{token}", "Tokens used, each counted under one type.", _tokens),
        ("claude_force.cost", "{USD}", "Cost of the executions with a known price.", _cost),
    )
    for name, unit, description, values_of in sums:
        points = [_number(*found, period) for group in groups for found in values_of(*group)]
        if points:
            data = Sum(
                data_points=points, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE, is_monotonic=True
            )
            yield Metric(name=name, description=description, unit=unit, sum=data)
    durations = [
        _distribution(_attributes(*labels), counts, figures.totals[labels].duration_us, period)
        for labels, counts in sorted(figures.durations.items())
    ]
    if durations:
        data = Histogram(data_points=durations, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE)
        description = "GenAI operation duration."
        yield Metric(name="gen_ai.client.operation.duration", description=description, unit="s", histogram=data)


def _attributes(agent: str, model: str) -> Attributes:
    named = {"gen_ai.agent.name": agent, "gen_ai.request.model": model}
    found = {"gen_ai.operation.name": "chat"} | {key: name for key, name in named.items() if name != UNKNOWN}
    return found | {"gen_ai.provider.name": "anthropic"} if model.startswith(_CLAUDE) else found


def _executions(attributes: Attributes, totals: Totals) -> Iterator[tuple[Attributes, int]]:
    # Both from the start, even if one is 0: a rate needs a point before the first failure.
    yield attributes, totals.successes
    yield attributes | _FAILED, totals.failures


def _tokens(attributes: Attributes, totals: Totals) -> Iterator[tuple[Attributes, int]]:
    if totals.metered:
        written = totals.cache_write_5m_tokens + totals.cache_write_1h_tokens
        yield attributes | {"gen_ai.token.type": "input"}, totals.input_tokens
        yield attributes | {"gen_ai.token.type": "output"}, totals.output_tokens
        yield attributes | {"gen_ai.token.type": "cache_read"}, totals.cache_read_tokens
        yield attributes | {"gen_ai.token.type": "cache_creation"}, written


def _cost(attributes: Attributes, totals: Totals) -> Iterator[tuple[Attributes, float]]:
    cost = dollars(totals.cost_nanousd) if totals.is_priced else None
    if cost is not None:
        yield attributes, cost


def _key_values(attributes: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()]


def _number(attributes: Attributes, value: float, period: _Period) -> NumberDataPoint:
    point = NumberDataPoint(
        attributes=_key_values(attributes), start_time_unix_nano=period.start_ns, time_unix_nano=period.end_ns
    )
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    return point


def _distribution(
    attributes: Attributes, counts: Counter[int], duration_us: int, period: _Period
) -> HistogramDataPoint:
    """A histogram of durations, without `min` and `max`, which the store does not know."""
    return HistogramDataPoint(
        attributes=_key_values(attributes),
        start_time_unix_nano=period.start_ns,
        time_unix_nano=period.end_ns,
        count=counts.total(),
        sum=duration_us / SECOND_US,
        bucket_counts=bucket_counts(counts, _CONVENTIONAL_BOUNDS_S),
        explicit_bounds=bounds_s(_CONVENTIONAL_BOUNDS_S),
    )
