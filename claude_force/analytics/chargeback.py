"""Costs by team, for the people who pay them, by interval, model, kind of token and price. A team is a group of
projects in `performance.projects`.

Every nano-dollar of the period is in one row. Cents are rounded by the largest remainder, so that the rows add up to
the rounded total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import tzinfo
from decimal import Decimal
from typing import Any, NamedTuple

from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.json_fields import totals_dict
from claude_force.analytics.names import known_names
from claude_force.analytics.unpriced import unpriced_of
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries.bills import Bill, bills
from claude_force.executions.bill_lines import KINDS, OTHER, SEARCHES, UNPRICED, apportion, bill_lines
from claude_force.executions.billed_steps import decode_steps
from claude_force.executions.costs import Billed
from claude_force.executions.intervals import Interval
from claude_force.executions.pricing import PriceTable, Usage, modifiers_of
from claude_force.executions.projects import ProjectNames
from claude_force.executions.record import NANOUSD, UNKNOWN
from claude_force.executions.totals import Archived, Bucket, Totals
from claude_force.time_windows import Window

NO_TEAM = "no team"
"""The row of what belongs to no group."""

CENT = NANOUSD // 100


class _Key(NamedTuple):
    """What a row is of."""

    interval: str
    team: str | None
    model: str
    kind: str
    price: int | Decimal | None


class ChargedRow(NamedTuple):
    """One row. `price` is nano-dollars for each token, and for each web search where `tokens` counts these; None if
    there is none. Its cost is in nano-dollars, and in cents that add up; None for tokens without a known price."""

    interval: str
    team: str | None
    model: str
    kind: str
    price: int | Decimal | None
    tokens: int
    cost_nanousd: int | None
    cents: int | None

    def to_dict(self) -> dict[str, Any]:
        """The row for JSON and CSV."""
        return {
            "date": self.interval,
            "team": self.team,
            "model": self.model,
            "kind": self.kind,
            "tokens": self.tokens,
            "usd_per_million": None if self.price is None else float(self.price / Decimal(1000)),
            "cost_usd": None if self.cents is None else self.cents / 100,
            "cost_nanousd": self.cost_nanousd,
        }


class TeamUsage(NamedTuple):
    """A team in an interval. `cents` is the sum of those of its rows."""

    interval: str
    team: str | None
    totals: Totals
    cents: int


@dataclass(frozen=True, slots=True)
class Chargeback:
    """The teams of each interval, oldest first, and their rows. Both may be cut to a limit of teams; `count` is the
    number of all, and `totals` are those of all."""

    period: str
    interval: Interval
    totals: Totals
    teams: list[TeamUsage]
    rows: list[ChargedRow]
    count: int
    has_teams: bool
    unpriced_models: list[str]
    archived: Archived

    @property
    def cents(self) -> int:
        """The cost of all in whole cents."""
        return _cents(self.totals.cost_nanousd)

    def to_dict(self) -> dict[str, Any]:
        """The teams of each interval, then the rows."""
        return {
            "period": self.period,
            "interval": self.interval,
            "archived_executions": self.archived.executions,
            "unpriced_models": self.unpriced_models,
            "total_teams": self.count,
            "teams": [
                {"date": each.interval, "team": each.team, "cost_usd": each.cents / 100, **totals_dict(each.totals)}
                for each in self.teams
            ],
            "rows": [row.to_dict() for row in self.rows],
            "cost_usd": self.cents / 100,
            "cost_nanousd": self.totals.cost_nanousd,
            "totals": totals_dict(self.totals),
        }


def chargeback(
    database: Readable,
    chosen: Filter,
    interval: Interval,
    zone: tzinfo,
    prices: PriceTable,
    rows: RowChoice = ALL_ROWS,
) -> Chargeback:
    """The chosen executions by interval and team: the chosen teams."""
    with database.read() as connection:
        chosen = queries.with_projects(connection, known_names(connection, chosen))
        total = queries.totals(connection, chosen)
        teams = _Teams(chosen.project_names)
        sums: dict[_Key, list[int]] = {}
        by_team: dict[tuple[str, str | None], Totals] = {}
        for bucket in queries.trend(connection, chosen, interval, zone):
            _charge(connection, chosen, bucket, teams, prices, sums, by_team)
        unpriced = unpriced_of(connection, chosen, total)
        archived = queries.archived(connection, chosen)
    every = _rounded(sums, _cents(total.cost_nanousd))
    cents = dict.fromkeys(by_team, 0)
    for row in every:
        cents[row[:2]] = cents.get(row[:2], 0) + (row.cents or 0)
    usages = [TeamUsage(*key, by_team.get(key, Totals()), found) for key, found in cents.items()]
    shown = rows.in_time(usages)
    names = {usage[:2] for usage in shown}
    lines = [row for row in every if row[:2] in names]
    return Chargeback(
        chosen.window.label, interval, total, shown, lines, len(usages), teams.has_any, unpriced, archived
    )  # fmt: skip


class _Teams:
    """The team of each project: the name of a group in the settings."""

    def __init__(self, names: ProjectNames) -> None:
        self._names = names
        self._teams = {name for name, _ in names.globs}
        self.has_any = bool(self._teams)

    def of(self, folder: str | None) -> str | None:
        """The team of a folder or a project; None if it has none."""
        project = self._names.of(folder)
        return project if project in self._teams else None


def _charge(
    connection: Connection,
    chosen: Filter,
    bucket: Bucket,
    teams: _Teams,
    prices: PriceTable,
    sums: dict[_Key, list[int]],
    by_team: dict[tuple[str, str | None], Totals],
) -> None:
    """Add the executions of an interval, as far as it lies in the period."""
    start_us = max(bucket.start_us, chosen.window.start_us or bucket.start_us)
    end_us = min(bucket.end_us, chosen.window.end_us or bucket.end_us)
    part = replace(chosen, window=Window(start_us, end_us))
    own: dict[_Key, list[int]] = {}
    for key, tokens, cost in _lines(connection, part, bucket.label, teams, prices):
        found = own.setdefault(key, [0, 0])
        found[0] += tokens
        found[1] += cost
    wanted: dict[tuple[str | None, str], Totals] = {}
    for (project, model), totals in queries.totals_by(connection, part, "project", "model").items():
        name = (teams.of(project), model or UNKNOWN)
        wanted[name] = wanted.get(name, Totals()) + totals
    for (team, _), totals in sorted(wanted.items(), key=lambda item: (item[0][0] is None, item[0][0] or "")):
        by_team[bucket.label, team] = by_team.get((bucket.label, team), Totals()) + totals
    _add_archived(own, bucket, wanted)
    sums.update((key, own[key]) for key in sorted(own, key=_place))


def _place(key: _Key) -> tuple[Any, ...]:
    """The order of the rows of an interval: what has no team comes last."""
    return key.team is None, key.team or "", key.model, KINDS.index(key.kind), key.price or 0


def _lines(
    connection: Connection, part: Filter, label: str, teams: _Teams, prices: PriceTable
) -> Iterator[tuple[_Key, int, int]]:
    """The bill of each execution that is a row: tokens and nano-dollars of each line. A chosen model may be that of a
    step only."""
    for bill in bills(connection, replace(part, models=())):
        team = teams.of(bill.project)
        for line in bill_lines(prices, _billed(bill), bill.cost_nanousd, bill.price_version):
            if not part.models or line.model in part.models:
                yield _Key(label, team, line.model, line.kind, line.price), line.quantity, line.cost or 0


def _billed(bill: Bill) -> Billed:
    usage = Usage(bill.input_tokens or 0, bill.output_tokens or 0, *bill[-3:])
    modifiers = modifiers_of(bill.service_tier, bill.inference_geo, bill.provider)
    return Billed(bill.model, bill.timestamp_us, usage, modifiers, bill.web_searches, decode_steps(bill.steps))


def _add_archived(own: dict[_Key, list[int]], bucket: Bucket, wanted: dict[tuple[str | None, str], Totals]) -> None:
    """Add what only the roll-ups know, of archived executions: their costs are not divided by kind."""
    left = {name: [_tokens(totals), totals.cost_nanousd] for name, totals in wanted.items()}
    for key, (tokens, cost) in own.items():
        rest = left.setdefault((key.team, key.model), [0, 0])
        rest[0] -= 0 if key.kind == SEARCHES else tokens
        rest[1] -= cost
    # What is archived of an hour that two intervals share is in one of them.
    left[None, UNKNOWN] = [0, bucket.totals.cost_nanousd - sum(found.cost_nanousd for found in wanted.values())]
    for (team, model), (tokens, cost) in left.items():
        if tokens or cost:
            found = own.setdefault(_Key(bucket.label, team, model, OTHER if cost else UNPRICED, None), [0, 0])
            found[0] += tokens
            found[1] += cost


def _tokens(totals: Totals) -> int:
    """All tokens, those of steps of executions without a usage of their own as well."""
    cached = totals.cache_read_tokens + totals.cache_write_5m_tokens + totals.cache_write_1h_tokens
    return totals.input_tokens + totals.output_tokens + cached


def _rounded(sums: dict[_Key, list[int]], total: int) -> list[ChargedRow]:
    """The rows with their cents, which add up to the total."""
    priced = [key for key in sums if key.kind != UNPRICED]
    cents = dict(zip(priced, apportion([sums[key][1] for key in priced], CENT, total), strict=True))
    return [
        ChargedRow(*key, tokens, cost if key in cents else None, cents.get(key)) for key, (tokens, cost) in sums.items()
    ]


def _cents(nanousd: int) -> int:
    """Nano-dollars in cents, rounded half to even."""
    return round(Decimal(nanousd) / CENT)
