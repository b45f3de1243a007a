"""Budgets: what is spent and will be, the messages of a period, and the budget of the status line."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from claude_force.alerts.budget_rules import configured_rules
from claude_force.alerts.configured import ConfiguredRules
from claude_force.alerts.decision import State
from claude_force.alerts.evaluation import evaluate
from claude_force.alerts.rules import load_rules
from claude_force.analytics.budgets import Spending, spendings
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.projects import NO_PROJECTS
from claude_force.ingest.freshness import Freshness
from claude_force.reports.budget_line import budget_part
from claude_force.settings.budgets import Budget, load_budgets
from tests.alerting import Harness
from tests.builders import an_execution
from tests.conftest import Run
from tests.measurements import a_history, measured, values_of
from tests.properties.strategies import refill, utc

DOLLAR = 10**9
NOW_US = utc("2025-11-13T18:00:00")
SCOPES: tuple[dict[str, str], ...] = (
    {},
    {"project": "p"},
    {"branch": "main"},
    {"project": "/q", "agent": "a", "branch": "topic"},
)


def spent(database: Database, budget: Budget, now_us: int = NOW_US, zone: Any = UTC) -> Spending:
    """What of a budget is spent."""
    with database.read() as connection:
        (found,) = spendings(connection, [budget], NO_PROJECTS, zone, now_us)
    return found


def a_cost(at_us: int, dollars: float | None, **changes: Any) -> Any:
    """An execution that costs so much."""
    return an_execution(
        timestamp_us=at_us, cost_nanousd=None if dollars is None else round(dollars * DOLLAR), **changes
    )


def test_figures_agree_with_the_executions_and_the_alerts(database: Database) -> None:
    """What is spent and its forecast are those of a second implementation, and those that the rules measure, to the
    nano-dollar, in a zone whose clocks change in the month."""
    now_us, zone = utc("2025-11-03T22:17:05.000123"), ZoneInfo("America/New_York")
    history = a_history(5, now_us)
    refill(database, history)
    for scope in SCOPES:
        for per in ("day", "week", "month"):
            found = spent(database, Budget(1, per, **scope), now_us, zone)
            own = scope | ({"project": "/p"} if scope == {"project": "p"} else {})
            for metric, value in (("total_cost", found.totals.cost), ("cost_forecast", found.forecast)):
                config = {"metric": metric, "window": per, **own}
                assert value == pytest.approx(values_of(config, history, now_us, zone)[None], abs=2e-9), config
                assert value == pytest.approx(measured(database, config, now_us, zone)[None].value, abs=2e-9)


def test_when_it_is_used_up(database: Database) -> None:
    """The rate of the last seven days goes on; a budget that lasts until the end of its period has no such time."""
    Store(database).add([a_cost(NOW_US - day * DAY_US + MINUTE_US, 24) for day in range(1, 15)])
    found = spent(database, Budget(25, "day"))
    assert (found.totals.cost, found.percent) == (0, 0)
    # A dollar an hour, and six hours are left.
    assert (found.forecast, found.used_up_us, found.is_used_up) == (6, None, False)
    assert spent(database, Budget(5, "day")).used_up_us == NOW_US + 5 * HOUR_US
    week = spent(database, Budget(72, "week"))
    assert (week.totals.cost, week.used_up_us, week.is_used_up) == (72, None, True)


def test_unknown_costs_and_names(database: Database) -> None:
    """A cost that is not known at all is None; where some are, it is a lower bound that counts the others. Names that
    the store does not have are said."""
    Store(database).add([a_cost(NOW_US - 1, None, agent_name="x"), a_cost(NOW_US - 1, None, agent_name="y")])
    unknown = spent(database, Budget(5, "day"))
    assert (unknown.totals.cost, unknown.percent, unknown.forecast, unknown.is_used_up) == (None, None, None, False)
    Store(database).add([a_cost(NOW_US - 1, 2, agent_name="x")])
    found = spent(database, Budget(5, "day", agent="x"))
    assert (found.totals.cost, found.totals.unpriced, found.unknown) == (2, 1, ())
    other = spent(database, Budget(5, "day", project="p", agent="z", branch="main"))
    assert (other.totals.cost, other.unknown) == (0, ("project p", "agent z", "branch main"))


BUDGETS = [{"agent": "x", "usd": 10, "per": "day"}]
NAME = "budget-agent-x-day"


def evaluated(harness: Harness, now_us: int, budgets: list[Any] = BUDGETS) -> list[tuple[str, str]]:
    """The alerts that transition when the budgets are evaluated, and their states. Messages wait in the outbox."""
    configured = configured_rules({}, budgets)
    rules, _ = load_rules(configured)
    names = ConfiguredRules.of(configured, channel="", has_faulty_budget=bool(load_budgets(budgets).problems))
    found = evaluate(harness.database, rules, harness.context, now_us, UTC, names)
    return [(alert.name.removeprefix(f"{NAME}-"), str(alert.status.state)) for alert in found.transitioned]


def test_each_threshold_has_one_message_in_a_period(database: Database) -> None:
    """At 80 %, at 100 %, and when the forecast stays above 100 %; none of them again until the next day."""
    harness, midnight_us = Harness(database), NOW_US - 18 * HOUR_US
    Store(database).add([a_cost(NOW_US - HOUR_US, 8, agent_name="x")])
    assert evaluated(harness, NOW_US) == [("80", "firing"), ("ahead", "pending")]
    Store(database).add([a_cost(NOW_US, 2, agent_name="x")])
    assert evaluated(harness, NOW_US + 31 * MINUTE_US) == [("100", "firing"), ("ahead", "firing")]
    for hours in (1, 3, 5):
        assert evaluated(harness, NOW_US + hours * HOUR_US) == []
    triggers = [delivery for delivery in harness.waiting if delivery.channel == "a"]
    assert [delivery.action for delivery in triggers] == ["trigger"] * 3
    titles = {json.loads(delivery.notice)["title"].partition(": ")[2] for delivery in triggers}
    assert titles == {"80% spent", "100% spent", "forecast"}
    tomorrow_us = midnight_us + DAY_US
    assert evaluated(harness, tomorrow_us + MINUTE_US) == [("80", "resolved"), ("100", "resolved")]
    Store(database).add([a_cost(tomorrow_us + MINUTE_US, 9, agent_name="x")])
    assert ("80", "firing") in evaluated(harness, tomorrow_us + 2 * MINUTE_US)


def test_a_faulty_budget_ends_no_alert(database: Database) -> None:
    """A typing error in claude.json must not say that all is well; a budget that is removed ends its alerts."""
    harness = Harness(database)
    Store(database).add([a_cost(NOW_US - 1, 9, agent_name="x")])
    evaluated(harness, NOW_US)
    assert evaluated(harness, NOW_US, [BUDGETS[0] | {"usd": "10"}]) == []
    assert [row.rule for row in harness.rows if row.state == State.FIRING] == [f"{NAME}-80"]
    assert ("80", "resolved") in evaluated(harness, NOW_US, [])


def test_the_budget_of_the_status_line(database: Database, tmp_path: Path) -> None:
    """That of the project and branch in which Claude Code works, whatever other budgets are nearer to their limit; else
    the one nearest to its limit. What is unknown is left out."""
    shop, site = tmp_path / "shop", tmp_path / "site"
    for folder, head in ((shop, "ref: refs/heads/main"), (site, "0123456789abcdef")):
        (folder / ".git").mkdir(parents=True)
        (folder / "src").mkdir()
        (folder / ".git" / "HEAD").write_text(f"{head}\n")
    Store(database).add([
        a_cost(NOW_US - 2, 4, project=str(shop), git_branch="main"),
        a_cost(NOW_US - 1, 90, project=str(site), git_branch="HEAD"),
        a_cost(NOW_US - 1, None, project=str(site), git_branch="HEAD"),
    ])  # fmt: skip
    every = [
        Budget(10, "month", project="shop"),
        Budget(5, "day", project="shop", branch="main"),
        Budget(1, "day", project="shop", branch="topic"),
        Budget(100, "week"),
        Budget(99, "week", project="new"),
    ]

    def part(folder: Path | None, budgets: list[Budget] = every, *, unread: int = 0) -> str:
        freshness = Freshness(NOW_US, NOW_US, unread_files=unread)
        return budget_part(database, budgets, NO_PROJECTS, None if folder is None else str(folder), UTC, freshness)

    assert part(shop / "src") == "budget shop main 80% of $5.00/day"
    assert part(shop, every[:1]) == "budget shop 40% of $10.00/month"
    assert part(site) == "budget at least 94% of $100.00/week"
    assert part(None) == "budget at least 94% of $100.00/week"
    assert part(site, [Budget(45, "week", branch="HEAD")]) == "budget HEAD at least 200% of $45.00/week"
    assert part(tmp_path, [every[4]]) == "budget new 0% of $99.00/week"
    assert part(tmp_path, [every[4]], unread=1) == ""


def test_the_status_line_and_the_report_show_budgets(run: Run, home: Path) -> None:
    """Both warn of a faulty budget; JSON and CSV have the same rows."""
    assert "There is no budget. To set one:\n  claude-force config set" in run("budgets").stdout
    configured = {"performance": {"budgets": [{"usd": 20, "per": "month"}, {"usd": -1}]}}
    (home / ".claude" / "claude.json").write_text(json.dumps(configured))
    warning, now = "performance.budgets: budget 2: needs per, such as", "2025-11-13T18:00:00"
    with closing(open_database(str(home / ".claude/metrics/metrics.db"))) as database:
        Store(database).add([a_cost(NOW_US - 1, 5)])
    done = run("budgets", "--json", at=now)
    assert warning in done.stderr
    (row,) = json.loads(done.stdout)["budgets"]
    assert (row["budget"], row["total_cost"], row["spent_percent"]) == ("budget-all-month", 5, 25)
    rows = run("analytics", "budgets", "--format", "csv", at=now).stdout.splitlines()
    assert rows[1].startswith("budget-all-month,,,,month,20,5.0,25.0,")
    line = run("statusline", input="{}", at=now)
    assert "| budget 25% of $20.00/month" in line.stdout
    assert warning in line.stderr
    assert "performance.budgets: budget 2" in run("doctor").stdout
    assert "Fires at once; resolves at once; once a month" in run("alerts", "explain", "budget-all-month-80").stdout
