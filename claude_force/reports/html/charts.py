"""The charts of the page. A chart and the table below it show the same values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from claude_force.executions.intervals import NOUNS, Interval
from claude_force.executions.record import milliseconds
from claude_force.executions.totals import Bucket
from claude_force.formatting import count, duration, money, percent
from claude_force.reports.cells import shorten_all
from claude_force.reports.html.content import MOST_MODELS, Timeline
from claude_force.text import for_terminal

Unit = Literal["money", "count", "duration", "percent", "share"]
Tone = Literal["blue", "red", "teal", "purple", "ochre", "grey", "low", "middle", "high"]
"""The name of a colour in page.css. `low`, `middle` and `high` are steps of one hue."""

_MODEL_TONES: tuple[Tone, ...] = ("blue", "ochre", "teal", "purple", "red", "grey")
_NAME_LENGTH = 40


class Series(NamedTuple):
    """Values over time in dollars, milliseconds, percent or counts; None if unknown. `texts` has them formatted."""

    name: str
    tone: Tone
    values: Sequence[float | None]
    texts: Sequence[str]


class Chart(NamedTuple):
    """Series over the same intervals. With the unit `share`, values are counts that are drawn as parts of their sum."""

    key: str
    title: str
    kind: Literal["bar", "line"]
    unit: Unit
    series: Sequence[Series]
    caption: str

    def to_dict(self) -> dict[str, Any]:
        """The chart for page.js. Long names are shortened in the middle: the legend has little room."""
        names = shorten_all((for_terminal(one.name) for one in self.series), _NAME_LENGTH)
        return {
            "key": self.key,
            "kind": self.kind,
            "unit": self.unit,
            "series": [
                {"name": names[for_terminal(one.name)], "tone": one.tone, "values": one.values} for one in self.series
            ],
        }


def charts(timeline: Timeline) -> list[Chart]:
    """Cost, executions, latency, success rate and models over time."""
    return [_cost(timeline), _executions(timeline), _latency(timeline), _success(timeline), _models(timeline)]


def labels(timeline: Timeline) -> list[str]:
    """The labels of the time axis. An hour has no year and no UTC offset."""
    return [_label(timeline, bucket) for bucket in timeline.buckets]


def _label(timeline: Timeline, bucket: Bucket) -> str:
    return bucket.label[5:16] if timeline.interval == "hourly" else bucket.label


def unit_of(interval: Interval) -> str:
    """An interval as a noun: daily is day."""
    return NOUNS[interval]


def _series(
    name: str, tone: Tone, values: Sequence[float | None], format_value: Callable[[float | None], str]
) -> Series:
    return Series(name, tone, values, [format_value(value) for value in values])


def _cost(timeline: Timeline) -> Chart:
    costs = [bucket.totals.cost for bucket in timeline.buckets]
    caption = _highest(timeline, costs, money)
    title = f"Cost per {unit_of(timeline.interval)}"
    return Chart("cost", title, "bar", "money", [_series("Cost", "blue", costs, money)], caption)


def _executions(timeline: Timeline) -> Chart:
    totals = [bucket.totals for bucket in timeline.buckets]
    series = [
        _series("Succeeded", "blue", [found.successes for found in totals], count),
        _series("Failed", "red", [found.failures for found in totals], count),
    ]
    caption = _highest(timeline, [found.executions for found in totals], count)
    return Chart("executions", f"Executions per {unit_of(timeline.interval)}", "bar", "count", series, caption)


def _latency(timeline: Timeline) -> Chart:
    tones: tuple[Tone, ...] = ("low", "middle", "high")
    series = [
        _series(name, tone, [None if value is None else milliseconds(value) for value in values], duration)
        for name, tone, values in zip(
            ("P50", "P95", "P99"), tones, zip(*timeline.percentiles, strict=True), strict=True
        )
    ]
    within = "" if timeline.is_exact else " Percentiles are within 1%."
    caption = f"{_highest(timeline, series[1].values, duration, 'P95')}{within}"
    return Chart("latency", "Latency", "line", "duration", series, caption)


def _success(timeline: Timeline) -> Chart:
    rates = [bucket.totals.success_rate for bucket in timeline.buckets]
    lowest, bucket = min(_comparable(timeline, rates), key=lambda pair: pair[0], default=(None, None))
    caption = "Unknown." if bucket is None else f"Lowest: {percent(lowest)}, {_label(timeline, bucket)}."
    return Chart("success", "Success rate", "line", "percent", [_series("Success rate", "blue", rates, percent)],
                 caption)  # fmt: skip


def _models(timeline: Timeline) -> Chart:
    all_executions = [bucket.totals.executions for bucket in timeline.buckets]
    series = [
        Series(name, tone, counts, [_share(*pair) for pair in zip(counts, all_executions, strict=True)])
        for name, tone, counts in zip(timeline.models, _MODEL_TONES, timeline.executions_by_model, strict=False)
    ]
    detail = f": the {MOST_MODELS} most used models, then all others" if timeline.other_models else ""
    return Chart("mix", "Model mix", "bar", "share", series, f"Share of the executions{detail}.")


def _share(part: int, whole: int) -> str:
    return percent(100 * part / whole if whole else None)


def _highest(
    timeline: Timeline, values: Sequence[float | None], format_value: Callable[[float | None], str], name: str = ""
) -> str:
    """The highest point as a sentence, for readers who cannot see the chart."""
    known = _comparable(timeline, values)
    if not known:
        return "Unknown."
    value, bucket = max(known, key=lambda pair: pair[0])
    is_whole = len(known) < sum(one is not None for one in values)
    of_whole = f"of a whole {unit_of(timeline.interval)}" if is_whole else ""
    return f"{' '.join(filter(None, ('Highest', name, of_whole)))}: {format_value(value)}, {_label(timeline, bucket)}."


def _comparable(timeline: Timeline, values: Sequence[float | None]) -> list[tuple[float, Bucket]]:
    """The known values and their intervals. Incomplete intervals are left out, unless there are no others."""
    known = [
        (value, bucket, is_complete)
        for value, bucket, is_complete in zip(values, timeline.buckets, timeline.are_complete, strict=True)
        if value is not None
    ]
    any_complete = any(is_complete for *_, is_complete in known)
    return [(value, bucket) for value, bucket, is_complete in known if is_complete or not any_complete]
