"""What alerts are compared with: an earlier window or a baseline."""

from __future__ import annotations

from datetime import UTC

import pytest

from claude_force.alerts.decision import Reason
from claude_force.analytics import baselines
from claude_force.clock import DAY_US, parse_span
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.time_windows import Window
from tests.measurements import (
    MODELS,
    SCOPES,
    SIMPLE,
    Answer,
    Config,
    a_history,
    answers,
    assert_alike,
    between,
    mean,
    measured,
    values_of,
)
from tests.profiles import sqlite_when_quick
from tests.properties.strategies import refill, utc


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
