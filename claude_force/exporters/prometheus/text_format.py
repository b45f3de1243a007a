"""The text format of Prometheus. The only importer of prometheus_client.

Version 0.0.4 and not OpenMetrics: there a gauge `claude_force_cost_usd` and a counter `claude_force_cost_usd_total`
have one name, and only one of them can be told.
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
    registry.register(_Totals(found))
    return generate_latest(registry)


class _Totals(Collector):
    """What was counted already, and by a database: no counter of the library can be set."""

    def __init__(self, found: Exposition) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Every family that has samples."""
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
