"""What an alert measures, compared to a second implementation: plain Python over the executions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from claude_force.alerts.decision import Measurement, Reason
from claude_force.alerts.measure import measure, measured_nothing
from claude_force.alerts.rules import Rule, load_rules
from claude_force.analytics import baselines
from claude_force.analytics import reports as analytics
from claude_force.clock import DAY_US, HOUR_US, parse_span
from claude_force.database.archive import archive_once
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.record import ExecutionMetrics
from claude_force.time_windows import Window
from tests.builders import an_execution
from tests.profiles import sqlite_when_quick, thorough
from tests.properties.strategies import refill, utc

Config = dict[str, Any]
Records = list[ExecutionMetrics]
Answer = tuple[float | None, float | None]
"""A value and its limit."""

MODELS = {
    "claude-3-5-haiku-20241022": "haiku", "claude-haiku-4-5": "haiku", "claude-sonnet-4-5": "sonnet",
    "gpt-4o": "gpt-4o",
}  # fmt: skip

MOMENTS = {
    "a day of 25 hours": ("2025-11-02T22:17:05.000123", "America/New_York"),
    "an hour that comes twice": ("2025-11-02T06:30:00", "America/New_York"),
    "a day of 23 hours": ("2025-03-09T21:00:00", "America/New_York"),
    "a month with a change": ("2025-10-31T12:00:00", "Europe/Berlin"),
    "half an hour": ("2025-10-05T20:45:00", "Australia/Lord_Howe"),
    "off the hour": ("2025-12-01T18:29:59.999999", "Asia/Kolkata"),
    "midnight": ("2025-11-15T00:00:00", "UTC"),
}
"""UTC, and the zone of the calendar."""

METRICS: tuple[Config, ...] = (
    *(
        {"metric": name, "window": window}
        for name in (
            "success_rate", "avg_execution_time_ms", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "total_cost",
            "avg_cost_per_execution", "total_executions", "failed_executions", "avg_tokens", "avg_input_tokens",
            "avg_output_tokens",
        )
        for window in ("90m", "3d", "day", "month")
    ),
    *({"metric": "model_share", "family": family, "window": "10d"} for family in ("haiku", "sonnet", "gpt-4o", "opus")),
    {"metric": "burn_rate", "objective": 95, "window": "2d", "short_window": "6h"},
    {"metric": "burn_rate", "objective": 99.9, "window": "10d", "short_window": "1d"},
    {"metric": "cost_forecast", "window": "day"},
    {"metric": "cost_forecast", "window": "month"},
)  # fmt: skip

SCOPES: tuple[Config, ...] = (
    {}, {"agent": "a"}, {"agent": ["a", "b"], "model": "gpt-4o"}, {"project": "/p"}, {"source": "tracker"},
    {"agent": "nobody"}, {"group_by": "agent"}, {"group_by": "model", "agent": "a"}, {"group_by": "project"},
)  # fmt: skip


def a_history(seed: int, now_us: int, count: int = 250, days: int = 50) -> Records:
    """Executions before and shortly after an instant, most of them recent; some without duration, usage or price."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        at_us = now_us + HOUR_US - int(chance.random() ** 3 * days * DAY_US)
        success, metered = chance.random() < 0.8, chance.random() < 0.8
        found.append(
            an_execution(
                timestamp_us=chance.choice((at_us, at_us // HOUR_US * HOUR_US, now_us)) if count % 7 else at_us,
                agent_name=chance.choice("aab"),
                model=chance.choice(list(MODELS)),
                project=chance.choice((None, "/p", "/q")),
                source=chance.choice(("tracker", "jsonl")),
                success=success,
                duration_us=chance.choice((None, chance.randrange(10**7), chance.randrange(10**8))),
                input_tokens=chance.randrange(5000) if metered else None,
                output_tokens=chance.randrange(5000) if metered else None,
                cache_read_tokens=chance.randrange(5000) if metered else 0,
                cost_nanousd=chance.choice((None, chance.randrange(10**9))),
            )
        )
    return found


def midnight(day: datetime, zone: tzinfo) -> int:
    """The first instant of a local day, in microseconds."""
    naive = day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return round(naive.replace(tzinfo=zone).timestamp()) * 1_000_000


def period_of(window: str, now_us: int, zone: tzinfo) -> tuple[int, int]:
    """The start and the end of a window; for a day or month, the end of the calendar period."""
    now = datetime.fromtimestamp(now_us // 1_000_000, zone)
    if window == "day":
        return midnight(now, zone), midnight(now.replace(tzinfo=None) + timedelta(days=1), zone)
    if window == "month":
        following = now.replace(tzinfo=None, year=now.year + now.month // 12, month=now.month % 12 + 1, day=1)
        return midnight(now.replace(day=1), zone), midnight(following, zone)
    return now_us - parse_span(window), now_us


def between(records: Records, start_us: int, end_us: int) -> Records:
    """Those of [start, end)."""
    return [record for record in records if start_us <= record.timestamp_us < end_us]


def names_of(given: object) -> list[object]:
    """One name or several, as a list."""
    return given if isinstance(given, list) else [given]


def chosen_by(rule: Config, records: Records) -> Records:
    """The executions that a rule is about."""
    fields = {"agent": "agent_name", "model": "model", "project": "project", "source": "source"}
    for key, field in fields.items():
        if key in rule:
            records = [record for record in records if getattr(record, field) in names_of(rule[key])]
    return records


def groups_of(rule: Config, records: Records) -> dict[str | None, Records]:
    """Executions by group; all under None if the rule has no group_by."""
    if "group_by" not in rule:
        return {None: records}
    field = {"agent": "agent_name", "model": "model", "project": "project"}[rule["group_by"]]
    found: dict[str | None, Records] = {}
    for record in records:
        found.setdefault(getattr(record, field), []).append(record)
    return found


def mean(numbers: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    found = list(numbers)
    return sum(found) / len(found) if found else None


def rank(durations: list[int], percent: int) -> float | None:
    """Nearest rank, in milliseconds."""
    return sorted(durations)[math.ceil(percent * len(durations) / 100) - 1] / 1000 if durations else None


def cost(records: Records) -> float | None:
    """US dollars; unknown if there are executions and none has a price."""
    known = [record.cost_nanousd for record in records if record.cost_nanousd is not None]
    return sum(known) / 1e9 if known or not records else None


def success(records: Records) -> float | None:
    """Percent."""
    return mean(100.0 * record.success for record in records)


def durations(records: Records) -> list[int]:
    """The known durations."""
    return [record.duration_us for record in records if record.duration_us is not None]


def metered(records: Records) -> Records:
    """Executions whose usage is known."""
    return [record for record in records if record.input_tokens is not None]


SIMPLE: dict[str, Callable[[Records], float | None]] = {
    "success_rate": success,
    "avg_execution_time_ms": lambda found: mean(duration / 1000 for duration in durations(found)),
    "p50_latency_ms": lambda found: rank(durations(found), 50),
    "p95_latency_ms": lambda found: rank(durations(found), 95),
    "p99_latency_ms": lambda found: rank(durations(found), 99),
    "total_cost": cost,
    "avg_cost_per_execution": lambda found: mean(
        record.cost_nanousd / 1e9 for record in found if record.cost_nanousd is not None
    ),
    "total_executions": len,
    "failed_executions": lambda found: sum(not record.success for record in found),
    "avg_tokens": lambda found: mean(
        (record.input_tokens or 0) + (record.output_tokens or 0) + record.cache_read_tokens for record in metered(found)
    ),
    "avg_input_tokens": lambda found: mean(record.input_tokens or 0 for record in metered(found)),
    "avg_output_tokens": lambda found: mean(record.output_tokens or 0 for record in metered(found)),
}


def values_of(rule: Config, everything: Records, now_us: int, zone: tzinfo) -> dict[str | None, float | None]:
    """The value of a rule, by group."""
    records = chosen_by(rule, everything)
    start_us, end_us = period_of(rule["window"], now_us, zone)
    groups = groups_of(rule, between(records, start_us, now_us))
    metric = rule["metric"]
    if metric in SIMPLE:
        return {name: SIMPLE[metric](found) for name, found in groups.items()}
    if metric == "model_share":
        return {
            name: mean(100.0 * (MODELS[record.model] == rule["family"]) for record in found)
            for name, found in groups.items()
        }
    if metric == "burn_rate":
        allowed = 100 - rule["objective"]
        short = groups_of(rule, between(records, now_us - parse_span(rule["short_window"]), now_us))
        return {name: burn(found, short.get(name, []), allowed) for name, found in groups.items()}
    assert metric == "cost_forecast"
    since_us = max(now_us - 7 * DAY_US, min(record.timestamp_us for record in everything))
    recent = groups_of(rule, between(records, since_us, now_us))
    found: dict[str | None, float | None] = {}
    for name in {**groups, **recent}:
        so_far = cost(groups.get(name, []))
        rate = (cost(recent.get(name, [])) or 0) / (now_us - since_us)
        found[name] = None if so_far is None else so_far + rate * (end_us - now_us)
    return found


def burn(long: Records, short: Records, allowed: float) -> float | None:
    """How many times the budget: the lower of both windows; a short window without executions counts as 0."""
    whole = success(long)
    now = success(short)
    return None if whole is None else min((100 - whole) / allowed, 0 if now is None else (100 - now) / allowed)


def load(config: Config) -> Rule:
    """A valid rule."""
    given = {"operator": ">", "threshold": 1, "min_samples": 0} | config
    (rule,), problems = load_rules({"mine": given})
    assert problems == {}
    return rule


def measured(database: Database, config: Config, now_us: int, zone: tzinfo = UTC) -> dict[str | None, Measurement]:
    """What the package measures."""
    with database.read() as connection:
        return measure(connection, load(config), now_us, zone)


def answers(found: dict[str | None, Measurement]) -> dict[str | None, Answer]:
    """Values and limits."""
    return {name: (group.value, group.limit) for name, group in found.items()}


def assert_alike(found: dict[str | None, Answer], wanted: dict[str | None, Answer], what: object, rel: float) -> None:
    """The same groups with the same values, up to the precision of floats."""
    assert found.keys() == wanted.keys(), what
    for name, answer in wanted.items():
        for given, right in zip(found[name], answer, strict=True):
            assert given == (None if right is None else pytest.approx(right, rel=rel, abs=1e-9)), (what, name)


@pytest.mark.parametrize("moment", ["a day of 25 hours", *thorough(*list(MOMENTS)[1:])])
@sqlite_when_quick
def test_every_metric_agrees_with_the_executions(moment: str, database: Database) -> None:
    """Each metric, grouped and not, with filters and over every kind of window, agrees with the second
    implementation."""
    at, zone_name = MOMENTS[moment]
    now_us, zone = utc(at), ZoneInfo(zone_name)
    history = a_history(len(moment), now_us)
    refill(database, history)
    for metric in METRICS:
        for scope in SCOPES:
            config = metric | scope
            wanted = values_of(config, history, now_us, zone)
            right = {name: (value, None if value is None else 1.0) for name, value in wanted.items()}
            assert_alike(answers(measured(database, config, now_us, zone)), right, config, 1e-9)


@pytest.mark.parametrize("earlier", ["1d", "7d", "30d"])
def test_an_earlier_window(earlier: str, database: Database) -> None:
    """A comparison is to the same rule over the window that ended earlier. A group that had nothing or 0 then is
    unknown."""
    now_us = utc("2025-11-15T10:00:00")
    history = a_history(5, now_us, 400)
    refill(database, history)
    for metric in ("success_rate", "total_cost", "avg_tokens", "p95_latency_ms", "total_executions", "model_share"):
        for scope in SCOPES:
            config = {"metric": metric, "window": "2d"} | scope | ({"family": "haiku"} if "share" in metric else {})
            values = values_of(config, history, now_us, UTC)
            before = values_of(config, history, now_us - parse_span(earlier), UTC)
            right: dict[str | None, Answer] = {}
            for name, value in values.items():
                reference = before.get(name)
                right[name] = (value, None if value is None or not reference else reference * 1.5)
            found = measured(database, config | {"threshold": "+50%", "compared_to": earlier}, now_us)
            assert_alike(answers(found), right, (config, earlier), 1e-9)


BASELINE_KEYS = (
    "success_rate",
    "avg_execution_time_ms",
    "p95_latency_ms",
    "avg_cost_per_execution",
    "avg_input_tokens",
)


@pytest.mark.parametrize(
    ("scope", "chosen"),
    [
        ({}, Filter()),
        ({"agent": "a"}, Filter(agents=("a",))),
        ({"model": "gpt-4o"}, Filter(models=("gpt-4o",))),
        ({"agent": "a", "model": "gpt-4o"}, Filter(agents=("a",), models=("gpt-4o",))),
        ({"project": "/p"}, Filter(projects=("/p",))),
        ({"agent": ["a", "b"]}, Filter(agents=("a", "b"))),
        ({"group_by": "agent"}, Filter(agents=("a",))),
        ({"group_by": "model", "agent": "a"}, Filter(agents=("a",), models=("gpt-4o",))),
        ({"group_by": "project"}, Filter(projects=("/q",))),
    ],
    ids=str,
)
@sqlite_when_quick
def test_a_baseline(scope: Config, chosen: Filter, database: Database) -> None:
    """A rule is compared to the baseline of exactly its executions, and to no other."""
    now_us = utc("2025-11-15T10:00:00")
    history = a_history(6, now_us, 400)
    refill(database, history)
    start_us, end_us = now_us - 20 * DAY_US, now_us - 2 * DAY_US
    window = Window(start_us, end_us)
    only = {"agent_name": chosen.agents, "model": chosen.models, "project": chosen.projects}
    made_of = [
        record
        for record in between(history, start_us, end_us)
        if all(not wanted or getattr(record, name) in wanted for name, wanted in only.items())
    ]
    wanted = Filter(window, chosen.agents, chosen.models, (), chosen.projects)
    baselines.create(database, "b", wanted, now_us, UTC)
    for other in (Filter(window, ("b",)), Filter(window, (), ("claude-haiku-4-5",))):
        baselines.create(database, "b", other, now_us, UTC)
    for metric in BASELINE_KEYS:
        config = {"metric": metric, "window": "1d", "threshold": "+50%", "compared_to": "baseline:b"} | scope
        found = measured(database, config, now_us)
        references = {name: group.reference for name, group in found.items()}
        right = SIMPLE[metric](made_of)
        assert right in [None if number is None else pytest.approx(number) for number in references.values()], config
        known = [number for number in references.values() if number is not None]
        assert len(known) == (2 if scope == {"group_by": "agent"} else 1), config


def test_a_share_against_a_baseline(database: Database) -> None:
    """A family that is not in the baseline has nothing to compare with."""
    now_us = utc("2025-11-15T10:00:00")
    history = a_history(7, now_us)
    refill(database, history)
    window = Window(now_us - 20 * DAY_US, now_us - DAY_US)
    baselines.create(database, "b", Filter(window), now_us, UTC)
    config = {
        "metric": "model_share",
        "family": "Haiku",
        "window": "1d",
        "threshold": "-20%",
        "compared_to": "baseline",
    }
    share = mean(
        100.0 * (MODELS[record.model] == "haiku") for record in between(history, now_us - 20 * DAY_US, now_us - DAY_US)
    )
    assert measured(database, config, now_us)[None].reference == pytest.approx(share)
    nothing = measured(database, config | {"family": "opus"}, now_us)[None]
    assert (nothing.limit, nothing.lack) == (None, Reason.NO_REFERENCE)


def test_a_missing_baseline(database: Database) -> None:
    """There is nothing to compare with."""
    now_us = utc("2025-11-15T10:00:00")
    refill(database, a_history(8, now_us))
    config = {"metric": "success_rate", "window": "1d", "threshold": "+50%", "compared_to": "baseline:none"}
    found = measured(database, config, now_us)[None]
    assert (found.value is None, found.limit, found.lack) == (False, None, Reason.NO_REFERENCE)


@pytest.mark.parametrize("scope", SCOPES[:6], ids=str)
def test_silence(scope: Config, database: Database) -> None:
    """The hours since the last execution of the rule, however long ago, ignoring future ones."""
    now_us = utc("2025-11-15T10:00:00")
    history = [record for record in a_history(9, now_us, 60) if not now_us - DAY_US <= record.timestamp_us < now_us]
    refill(database, history)
    (found,) = measured(database, {"metric": "silence_hours", "window": "1h"} | scope, now_us).values()
    times = [record.timestamp_us for record in chosen_by(scope, history) if record.timestamp_us < now_us]
    assert found.value == (pytest.approx((now_us - max(times)) / HOUR_US) if times else None)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_no_executions(metric: Config, database: Database) -> None:
    """A sum of nothing is 0; a rate of nothing is unknown, not ok. No group is measured."""
    (found,) = measured(database, metric, utc("2025-11-15T10:00:00")).values()
    is_sum = metric["metric"] in ("total_cost", "total_executions", "failed_executions", "cost_forecast")
    assert found.value == (0 if is_sum else None)
    assert found.lack == (None if is_sum else Reason.TOO_FEW)
    assert measured_nothing(load(metric)) == found
    assert measured(database, metric | {"group_by": "agent"}, utc("2025-11-15T10:00:00")) == {}


def test_unknown_costs(database: Database) -> None:
    """If no execution has a price, a cost is unknown, not 0; if some have one, it is theirs."""
    now_us = utc("2025-11-15T10:00:00")
    costs = ("total_cost", "avg_cost_per_execution", "cost_forecast")
    Store(database).add([an_execution(timestamp_us=now_us - 1, cost_nanousd=None)])
    for metric in costs:
        found = measured(database, {"metric": metric, "window": "day"}, now_us)[None]
        assert (found.value, found.lack) == (None, Reason.NO_PRICE)
    Store(database).add([an_execution(timestamp_us=now_us - 2, cost_nanousd=3 * 10**9)])
    for metric in costs[:2]:
        assert measured(database, {"metric": metric, "window": "day"}, now_us)[None].value == 3


def test_too_few_samples(database: Database) -> None:
    """A rate of fewer than `min_samples` executions is unknown; a sum is always known."""
    now_us = utc("2025-11-15T10:00:00")
    Store(database).add([an_execution(timestamp_us=now_us - 1) for _ in range(4)])
    for metric, least, known in (("success_rate", 4, True), ("success_rate", 5, False), ("total_cost", 5, True)):
        config = {"metric": metric, "window": "day", "min_samples": least}
        found = measured(database, config, now_us)[None]
        assert ((found.value is not None), found.samples) == (known, 4)
        assert found.lack is (None if known else Reason.TOO_FEW)


@sqlite_when_quick
def test_archived_executions_still_count(database: Database, tmp_path: Path) -> None:
    """Archived executions are in every sum and average, to the last digit; percentiles are at most 1 % away."""
    now_us = utc("2025-11-15T00:00:00")
    history = a_history(10, now_us, 300)
    refill(database, history)
    for age_us in (30 * DAY_US, 3 * DAY_US):
        assert archive_once(database, tmp_path / "archive", now_us, age_us).executions
        for metric in METRICS:
            for scope in SCOPES:
                config = metric | scope | ({} if metric["window"] in ("day", "month") else {"window": "40d"})
                wanted = values_of(config, history, now_us, UTC)
                right = {name: (value, None if value is None else 1.0) for name, value in wanted.items()}
                is_rank = metric["metric"].endswith("latency_ms")
                found = answers(measured(database, config, now_us))
                assert_alike(found, right, config, 0.011 if is_rank else 1e-9)


@sqlite_when_quick
def test_silence_after_everything_was_archived(database: Database, tmp_path: Path) -> None:
    """The last execution is read from the archives, to its hour: a long silence is not a lack of data."""
    now_us = utc("2025-11-15T10:00:00")
    Store(database).add([an_execution(timestamp_us=now_us - 40 * DAY_US, agent_name=name) for name in "ab"])
    Store(database).add([an_execution(timestamp_us=now_us - 50 * DAY_US, agent_name="c")])
    archive_once(database, tmp_path / "archive", now_us, 30 * DAY_US)
    for scope, days in (({}, 40), ({"agent": "c"}, 50), ({"agent": ["b", "c"]}, 40)):
        found = measured(database, {"metric": "silence_hours", "window": "1h"} | scope, now_us)[None]
        assert found.value == pytest.approx(24 * days, abs=1)


@pytest.mark.parametrize("scope", SCOPES[:6], ids=str)
@sqlite_when_quick
def test_an_alert_agrees_with_the_summary(scope: Config, database: Database) -> None:
    """Over one period, an alert and `analytics summary --json` have the same figures under the same names."""
    now_us = utc("2025-11-15T10:07:00")
    refill(database, a_history(11, now_us))
    names = {key: tuple(map(str, names_of(given))) for key, given in scope.items()}
    window = Window(now_us - 3 * DAY_US, now_us)
    chosen = Filter(
        window, names.get("agent", ()), names.get("model", ()), (), names.get("project", ()), names.get("source", ())
    )
    if scope == {"agent": "nobody"}:
        summary = analytics.summary(database, Filter(Window(0, 1))).to_dict()
    else:
        summary = analytics.summary(database, chosen).to_dict()
    for metric in SIMPLE:
        found = measured(database, {"metric": metric, "window": "3d"} | scope, now_us)[None]
        if metric in summary:
            assert summary[metric] == (None if found.value is None else pytest.approx(found.value)), metric
    assert {"success_rate", "p95_latency_ms", "total_cost", "avg_cost_per_execution"} <= summary.keys()


@sqlite_when_quick
def test_many_groups(database: Database) -> None:
    """Beyond the limit of groups, those with the most executions are measured, and their comparisons are complete."""
    now_us = utc("2025-11-15T10:00:00")
    many = [an_execution(timestamp_us=now_us - 1, agent_name=f"{number:04}") for number in range(600)]
    more = [an_execution(timestamp_us=now_us - 1, agent_name="0599") for _ in range(3)]
    then = [an_execution(timestamp_us=now_us - DAY_US - 1, agent_name=f"{number:04}") for number in range(600)]
    other = [an_execution(timestamp_us=now_us - DAY_US - 1, agent_name=f"{number:04}") for number in range(510)]
    Store(database).add([*many, *more, *then, *other])
    config = {"metric": "total_executions", "window": "1h", "threshold": "+50%", "compared_to": "1d"}
    found = measured(database, config | {"group_by": "agent"}, now_us)
    assert (len(found), next(iter(found))) == (500, "0599")
    assert found["0599"].limit == 1.5
