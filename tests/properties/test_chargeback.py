"""Costs by team: every nano-dollar and every cent of a filter is in one row, and each row is right."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics.chargeback import Chargeback, chargeback
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import queries
from claude_force.database.archive import archive_once
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.costs import price_record
from claude_force.executions.intervals import Interval
from claude_force.executions.pricing import PriceTable
from claude_force.executions.projects import ProjectNames
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.totals import Totals
from claude_force.settings.claude_json import ModelPrice
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.conftest import Run
from tests.profiles import scaled, sqlite_when_quick
from tests.properties.strategies import on_both_engines, records, refill, utc, zones

INTERVALS: tuple[Interval, ...] = get_args(Interval)
HOUSE = ModelPrice(0.0003, 0.0011)
PRICES = PriceTable("claude-sonnet-4-5", {"house": HOUSE})
TEAMS = ProjectNames((("web", ("/x/shop", "/x/site")), ("ml", ("/x/model*",))))
TEAM_OF = {"/x/shop": "web", "/x/site": "web", "/x/models": "ml", "/y/other": None, None: None}
FIELDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
KINDS = ("input", "output", "cache read", "cache write 5m", "cache write 1h")

PUBLISHED = {
    "claude-sonnet-4-5": ("3", "15", "0.30", "3.75", "6"),
    "claude-sonnet-4-5 above 200,000": ("6", "22.50", "0.60", "7.50", "12"),
    "claude-haiku-4-5": ("1", "5", "0.10", "1.25", "2"),
    "claude-haiku-4-5 batch": ("0.50", "2.50", "0.05", "0.625", "1"),
    "house": ("0.0003", "0.0011", "0.0003", "0.0003", "0.0003"),
}
"""US dollars for a million tokens of each kind, as https://claude.com/pricing has them."""


def report(database: Database, interval: Interval = "monthly", zone: Any = UTC, **names: Any) -> Chargeback:
    """The costs by team, which add up to the total of the same filter."""
    chosen = Filter(project_names=TEAMS, **names)
    found = chargeback(database, chosen, interval, zone, PRICES)
    with database.read() as connection:
        total = queries.totals(connection, queries.with_projects(connection, chosen))
    assert_complete(found, total)
    return found


def assert_complete(found: Chargeback, total: Totals) -> None:
    """Nothing is lost, twice or in no team: nano-dollars, cents, executions and tokens."""
    assert found.totals == total
    assert sum(row.cost_nanousd or 0 for row in found.rows) == total.cost_nanousd
    assert sum(row.cents or 0 for row in found.rows) == round(Fraction(total.cost_nanousd, 10**7)) == found.cents
    assert sum(team.cents for team in found.teams) == found.cents
    assert sum((team.totals for team in found.teams), Totals()) == total
    tokens = sum(row.tokens for row in found.rows if row.kind != "web searches")
    assert tokens == sum(getattr(total, name) for name in FIELDS)
    assert all(abs((row.cents or 0) * 10**7 - (row.cost_nanousd or 0)) < 10**7 for row in found.rows)
    assert len({row[:5] for row in found.rows}) == len(found.rows)


@settings(on_both_engines, max_examples=scaled(20))
@given(history=st.lists(records(), max_size=12), interval=st.sampled_from(INTERVALS), zone=zones)
def test_every_history_adds_up(
    history: list[ExecutionMetrics], interval: Interval, zone: ZoneInfo, database: Database
) -> None:
    """Whatever costs, steps and versions executions have, and for each model alone."""
    history = list({record.uid: record for record in history}.values())
    refill(database, history)
    report(database, interval, zone)
    for model in sorted({record.model for record in history if record.model})[:2]:
        report(database, interval, zone, models=(model,))


def a_history(seed: int, count: int = 300) -> list[ExecutionMetrics]:
    """Executions of two months: priced at every tier, given with their cost, without a price, with web searches."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        model = chance.choice(["claude-sonnet-4-5", "claude-haiku-4-5", "house", "nobody-prices-it"])
        changes: dict[str, Any] = dict.fromkeys(FIELDS, 0)
        for name in chance.sample(FIELDS, chance.randrange(1, 6)):
            changes[name] = chance.choice((1, chance.randrange(90_000)))
        changes["web_searches"] = chance.choice((0, 0, 2)) if model.startswith("claude-") else 0
        changes["service_tier"] = "batch" if model == "claude-haiku-4-5" and chance.random() < 0.5 else None
        record = an_execution(
            timestamp_us=NOON_US + chance.randrange(40 * DAY_US), model=model, project=chance.choice(list(TEAM_OF)),
            agent_name=chance.choice("ab"), cost_nanousd=chance.choice((None, None, 123_456_789)),
            reference_cost_nanousd=None, **changes,
        )  # fmt: skip
        found.append(price_record(PRICES, record))
    return found


def wanted(history: list[ExecutionMetrics]) -> dict[tuple[Any, ...], list[Fraction]]:
    """The tokens and nano-dollars of each row, from the published prices."""
    found: dict[tuple[Any, ...], list[Fraction]] = defaultdict(lambda: [Fraction(), Fraction()])

    def add(record: ExecutionMetrics, kind: str, usd: str | None, tokens: int, cost: Fraction) -> None:
        month = datetime.fromtimestamp(record.timestamp_us // 10**6, UTC).strftime("%Y-%m")
        row = found[month, TEAM_OF[record.project], record.model, kind, usd and Fraction(usd)]
        row[0] += tokens
        row[1] += cost

    for record in history:
        tokens = [getattr(record, name) for name in FIELDS]
        if record.cost_nanousd == 123_456_789 and record.price_version is None:
            add(record, "other", None, sum(tokens), Fraction(123_456_789))
        elif record.model == "nobody-prices-it":
            add(record, "unpriced", None, sum(tokens), Fraction())
        else:
            is_long = record.model == "claude-sonnet-4-5" and sum(tokens) - tokens[1] > 200_000
            tier = " above 200,000" if is_long else " batch" if record.service_tier else ""
            for kind, usd, number in zip(KINDS, PUBLISHED[f"{record.model}{tier}"], tokens, strict=True):
                if number:
                    add(record, kind, usd, number, Fraction(usd) * 1000 * number)
            if record.web_searches:
                add(record, "web searches", "10000", record.web_searches, Fraction(10**7 * record.web_searches))
    return found


def test_rows_agree_with_published_prices(database: Database) -> None:
    """Tokens of each row to the last one, money to the nano-dollar; at prices of broken nano-dollars to one for each
    execution."""
    history = a_history(1)
    assert {record.service_tier for record in history} == {None, "batch"}
    refill(database, history)
    found = {
        (row.interval, row.team, row.model, row.kind, row.price and Fraction(row.price) / 1000): row
        for row in report(database).rows
    }
    right = wanted(history)
    assert found.keys() == right.keys()
    assert any(usd == Fraction("22.50") for *_, usd in right)
    for key, (tokens, cost) in right.items():
        assert found[key].tokens == tokens, key
        slack = 300 if key[2] == "house" else 0
        assert abs((found[key].cost_nanousd or 0) - cost) <= slack, key
        assert (found[key].cents is None) == (key[3] == "unpriced")


@sqlite_when_quick
def test_filters_and_archived_executions(database: Database, tmp_path: Path) -> None:
    """A period that cuts months, agents and models add up, too. Archived executions keep their costs: in rows without
    a price, because the store knows no kinds of them."""
    history = a_history(2)
    refill(database, history)
    window = Window(NOON_US + 3 * HOUR_US // 2, NOON_US + 30 * DAY_US + 7)
    for names in ({"window": window}, {"agents": ("a",)}, {"models": ("claude-haiku-4-5",), "window": window}):
        assert report(database, "weekly", ZoneInfo("Asia/Kolkata"), **names).rows
    before = report(database)
    assert archive_once(database, tmp_path / "archive", NOON_US + 40 * DAY_US, 20 * DAY_US).executions
    after = report(database)
    assert [team[:2] for team in after.teams] == [team[:2] for team in before.teams]
    assert sum(row.cost_nanousd or 0 for row in after.rows if row.kind == "other") > sum(
        row.cost_nanousd or 0 for row in before.rows if row.kind == "other"
    )


def test_finance_can_add_up_the_file(run: Run, home: Path) -> None:
    """Cents have two digits, what belongs to no team says so, and the file adds up to the total that is shown."""
    with closing(open_database(str(home / ".claude/metrics/metrics.db"))) as database:
        Store(database).add([price_record(PRICES, record) for record in a_history(3, 60)])
    for name, globs in (("web", '["/x/shop", "/x/site"]'), ("ml", '["/x/model*"]')):
        assert run("config", "set", f"performance.projects.{name}", globs).returncode == 0
    done = run("costs", "--by", "team", "--output", "november.csv", "--start", "2025-11-14", "--end", "2025-11-30")
    assert done.returncode == 0
    with (home / "november.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["date", "team", "model", "kind", "tokens", "usd_per_million", "cost_usd", "cost_nanousd"]
    assert {row["team"] for row in rows} == {"web", "ml", "no team"}
    assert {row["date"] for row in rows} == {"2025-11"}
    total = sum(Decimal(row["cost_usd"]) for row in rows if row["kind"] != "unpriced")
    assert all(row["cost_usd"][-3:-2] in (".", "") for row in rows)
    shown = run("analytics", "costs", "--by", "team", "--start", "2025-11-14", "--end", "2025-11-30").stdout
    assert f"${total:,.2f}" in next(line for line in shown.splitlines() if line.startswith("Total"))
    refused = run("costs", "--by", "team", "--trends")
    assert (refused.returncode, "--by team cannot be combined with" in refused.stderr) == (2, True)


def test_an_empty_period(database: Database) -> None:
    """Nothing is a total of nothing."""
    assert report(database).rows == []
    Store(database).add([an_execution(timestamp_us=utc("2025-01-01T00:00:00"))])
    assert report(database, window=Window(NOON_US, None)).rows == []
