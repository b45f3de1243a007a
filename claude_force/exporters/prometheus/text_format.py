"""The text format of Prometheus. The only module that imports prometheus_client.

It is version 0.0.4 and not OpenMetrics, in which the gauge `claude_force_cost_usd` and the counter
`claude_force_cost_usd_total` would share a name, so that only one of them could exist.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from claude_force.exporters.metrics import Exposition, Family, Histogram, duration_bounds_s

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def encode(found: Exposition) -> bytes:
    """An exposition as text, in UTF-8."""
    registry = CollectorRegistry()
    registry.register(_StoredMetrics(found))
    return generate_latest(registry)


class _StoredMetrics(Collector):
    """Values that the database has counted. The library's own counters cannot be set to a value."""

    def __init__(self, found: Exposition) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """The families that have samples."""
        yield from (_metric(family) for family in self._found.families if family.samples)
        if self._found.durations.distributions:
            yield _histogram(self._found.durations)


def _metric(family: Family) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for sample in family.samples:
        metric.add_metric(sample.labels, sample.value)
    return metric


def _histogram(found: Histogram) -> Metric:
    metric = HistogramMetricFamily(found.name, found.help, labels=found.labels)
    bounds = [*map(repr, duration_bounds_s()), "+Inf"]
    for labels, counts, sum_s in found.distributions:
        metric.add_metric(labels, list(zip(bounds, counts, strict=True)), sum_s)
    return metric
