"""A second implementation of what alerts measure: plain Python over the executions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

from claude_force.alerts.decision import Measurement
from claude_force.alerts.measure import measure
from claude_force.alerts.rules import Rule, load_rules
from claude_force.clock import DAY_US, HOUR_US, parse_span
from claude_force.database.contract import Database
from claude_force.executions.record import ExecutionMetrics
from tests.builders import an_execution

Config = dict[str, Any]


Records = list[ExecutionMetrics]


Answer = tuple[float | None, float | None]
"""A value and its limit."""


MODELS = {
    "claude-3-5-haiku-20241022": "haiku", "claude-haiku-4-5": "haiku", "claude-sonnet-4-5": "sonnet",
    "gpt-4o": "gpt-4o",
}  # fmt: skip


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
    {"metric": "total_cost", "window": "week"},
    {"metric": "cost_forecast", "window": "week"},
)  # fmt: skip


SCOPES: tuple[Config, ...] = (
    {}, {"agent": "a"}, {"agent": ["a", "b"], "model": "gpt-4o"}, {"project": "/p"}, {"source": "tracker"},
    {"agent": "nobody"}, {"group_by": "agent"}, {"group_by": "model", "agent": "a"}, {"group_by": "project"},
    {"branch": "main"},
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
                git_branch=chance.choice((None, "main", "topic")),
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
    """The start and the end of a window; for a day, week or month, the end of the calendar period."""
    now = datetime.fromtimestamp(now_us // 1_000_000, zone)
    if window == "day":
        return midnight(now, zone), midnight(now.replace(tzinfo=None) + timedelta(days=1), zone)
    if window == "week":
        monday = now.replace(tzinfo=None) - timedelta(days=now.weekday())
        return midnight(monday, zone), midnight(monday + timedelta(days=7), zone)
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
    fields = {"agent": "agent_name", "model": "model", "project": "project", "source": "source", "branch": "git_branch"}
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
