"""The report on other prices: the same tokens on another model, as a batch, or with another cache policy.

Nearly all executions are at the standard price of their day, and their sums are in the roll-ups. So the sums of the
days between two changes of a price are priced at once, and only the others are read: those with a service tier, data
residency, a seller, web searches, steps, an unknown cost, or a long prompt. What these add to the sums is taken away.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from itertools import pairwise
from typing import Any, NamedTuple

from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.model_success import SuccessPair, named_sums, success_pairs
from claude_force.analytics.names import known_names
from claude_force.analytics.priced_model import check_priced
from claude_force.analytics.unpriced import UnpricedReason
from claude_force.clock import DAY_US, start_of_day
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries.what_if import PriceGroup, Slots, archived_totals, price_groups
from claude_force.executions.billed_steps import Steps, Whole, decode_steps, model_shares
from claude_force.executions.model_rates import STANDARD
from claude_force.executions.pricing import PERIOD_US, PriceTable, Usage, modifiers_of
from claude_force.executions.record import dollars
from claude_force.executions.totals import Archived, TimeRange, Totals
from claude_force.executions.what_if import CachePolicy, Change, Compared, Incomparable, Part, compare, part_rates
from claude_force.time_windows import Window

NOT_KNOWN = "archived: service tier, data residency and steps are not known any more"

_Series = tuple[str, str]
"""An agent and a model."""


class CostPair(NamedTuple):
    """What compared executions cost, and what they would."""

    executions: int = 0
    actual_nanousd: int = 0
    what_if_nanousd: int = 0

    def __add__(self, other: CostPair) -> CostPair:  # type: ignore[override]
        return CostPair(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def difference_nanousd(self) -> int:
        """How much more it would cost; negative: less."""
        return self.what_if_nanousd - self.actual_nanousd

    @property
    def difference_percent(self) -> float | None:
        """The same as percent of the actual cost; None without any."""
        return 100 * self.difference_nanousd / self.actual_nanousd if self.actual_nanousd else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON and CSV; None where nothing is compared."""
        known = self.executions > 0
        return {
            "executions": self.executions,
            "actual_cost": dollars(self.actual_nanousd) if known else None,
            "what_if_cost": dollars(self.what_if_nanousd) if known else None,
            "difference": dollars(self.difference_nanousd) if known else None,
            "difference_percent": self.difference_percent,
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Both costs by agent, the largest difference first. `agents` may be cut to a limit; `count`, `total` and
    `not_compared` are over all."""

    period: str
    change: Change
    for_models: tuple[str, ...]
    assumptions: list[str]
    total: CostPair
    agents: list[tuple[str, CostPair]]
    count: int
    not_compared: list[UnpricedReason]
    success: list[SuccessPair]
    archived: Archived

    @property
    def is_empty(self) -> bool:
        """Whether no execution matches."""
        return not (self.total.executions or self.not_compared)

    def to_dict(self) -> dict[str, Any]:
        """What is assumed first, then the total and the agents."""
        return {
            "period": self.period,
            "what_if": {
                "model": self.change.model,
                "for_models": list(self.for_models),
                "batch": self.change.is_batch,
                "cache": self.change.cache,
            },
            "assumptions": self.assumptions,
            "totals": self.total.to_dict(),
            "total_agents": self.count,
            "by_agent": self.rows(),
            "not_compared_executions": sum(reason.executions for reason in self.not_compared),
            "not_compared_reasons": [reason.to_dict() for reason in self.not_compared],
            "success": [pair.to_dict() for pair in self.success],
        }

    def rows(self) -> list[dict[str, Any]]:
        """The agents, for CSV."""
        return [{"agent": name, **pair.to_dict()} for name, pair in self.agents]


def what_if(
    database: Readable,
    chosen: Filter,
    change: Change,
    prices: PriceTable,
    now_us: int,
    rows: RowChoice = ALL_ROWS,
) -> WhatIf:
    """The comparison of the chosen executions: of all models, or of those that the filter names. Raises UnpricedModel
    for another model that has no price at `now_us`."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        of_any_model = replace(chosen, models=())
        sums = _sums(connection, of_any_model)
        history = queries.time_range(connection)
        compared = _Comparison(change, prices, frozenset(chosen.models))
        if history is not None:
            compared.add_all(connection, chosen, sums, history)
        archived = queries.archived(connection, chosen)
    if change.model is not None:
        check_priced(prices, change.model, now_us)
    agents = sorted(compared.agents, key=lambda name: (compared.agents[name].difference_nanousd, name))
    agents.sort(key=lambda name: -abs(compared.agents[name].difference_nanousd))
    shown = rows.of(agents, is_ascending=False)
    return WhatIf(
        period=chosen.window.label,
        change=change,
        for_models=chosen.models,
        assumptions=_assumptions(change, chosen.models, prices),
        total=sum(compared.agents.values(), CostPair()),
        agents=[(name, compared.agents[name]) for name in shown],
        count=len(agents),
        not_compared=compared.reasons(),
        success=success_pairs(sums, change.model, chosen.models) if change.model else [],
        archived=archived,
    )


def _sums(connection: Connection, chosen: Filter) -> dict[_Series, Totals]:
    return named_sums(queries.totals_by(connection, chosen, "agent_name", "model"))


class _Periods(NamedTuple):
    """The periods in which no price of the models changes. `starts` are instants in each of them, at the begin of a day
    (UTC)."""

    starts: list[int]
    is_within_day: bool

    @classmethod
    def of(cls, prices: PriceTable, models: Iterable[str], window: Window, history: TimeRange) -> _Periods:
        """The periods of a window that have executions."""
        changes = [prices.changes(model) for model in sorted(models)]
        first = max(history.first_us, window.start_us or history.first_us)
        last = min(history.last_us, (window.end_us or history.last_us + 1) - 1)
        days = {start_of_day(day, UTC) for each in changes for day in each.days}
        starts = [first // DAY_US * DAY_US, *sorted(day for day in days if first < day <= last)]
        return cls(starts, any(each.is_within_day for each in changes))

    @property
    def slots(self) -> Slots | None:
        """How executions are grouped; None by the day."""
        return Slots(PERIOD_US, self.starts[1:]) if self.is_within_day else None

    def number(self, day: int) -> int:
        """The number of the period with this day since the epoch."""
        return max(0, bisect_right(self.starts, day * DAY_US) - 1)

    def windows(self, whole: Window) -> list[Window]:
        """The periods of a window."""
        edges = [whole.start_us, *self.starts[1:], whole.end_us]
        return [whole._replace(start_us=start, end_us=end) for start, end in pairwise(edges)]


class _Groups(NamedTuple):
    """Executions that are read, and the periods in which their prices hold."""

    groups: list[PriceGroup]
    periods: _Periods


@dataclass(slots=True)
class _Comparison:
    """Both costs, as they are added up."""

    change: Change
    prices: PriceTable
    models: frozenset[str]
    agents: dict[str, CostPair] = field(default_factory=dict)
    unknown: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def is_chosen(self, model: str) -> bool:
        """Whether a model changes."""
        return not self.models or model in self.models

    def add_all(self, connection: Connection, chosen: Filter, sums: dict[_Series, Totals], history: TimeRange) -> None:
        """Add every execution that matches. `sums` are those of any model."""
        groups, periods = self._groups(connection, replace(chosen, models=()), sums, history)
        for group in groups:
            self._add(group.agent_name, part_of(group, periods))
        if periods.is_within_day:
            self._add_archived(archived_totals(connection, chosen))
            return
        special = _special_sums(groups, periods)
        for number, window in enumerate(periods.windows(chosen.window)):
            within = replace(chosen, window=window)
            is_whole = not self.models and len(periods.starts) == 1
            rest = sums if is_whole else _sums(connection, within)
            archived = archived_totals(connection, within)
            self._add_archived(archived)
            for series, found in rest.items():
                left = found - archived.get(series, Totals()) - special.get((number, series), Totals())
                self._add_standard(series, left, periods.starts[number])

    def _groups(self, connection: Connection, chosen: Filter, sums: Iterable[_Series], history: TimeRange) -> _Groups:
        """The executions that roll-ups do not answer, each group on one side of every limit of its prices."""
        # Read once before anything is priced: prices may still be loading.
        found, limits, slots = price_groups(connection, chosen, ()), frozenset[int](), None
        models = {self.change.model_of(model) for _, model in sums if self.is_chosen(model)}
        periods = _Periods.of(self.prices, models, chosen.searched, history)
        wanted = {limit for model in models for at_us in periods.starts for limit in self._limits(model, at_us)}
        while True:
            wanted |= {limit for group in found for limit in self._group_limits(group, periods)}
            if wanted <= limits and slots == periods.slots:
                return _Groups(found, periods)
            limits, slots = frozenset(wanted), periods.slots
            found = price_groups(connection, chosen, sorted(limits), slots)

    def _limits(self, model: str, at_us: int) -> frozenset[int]:
        rates = self.prices.rates(model, at_us, self.change.modifiers(STANDARD))
        return frozenset() if isinstance(rates, str) else rates.limits

    def _group_limits(self, group: PriceGroup, periods: _Periods) -> frozenset[int]:
        if group.steps is not None or not self.is_chosen(group.model):
            return frozenset()
        rates = part_rates(self.prices, self.change, part_of(group, periods))
        return frozenset() if isinstance(rates, str) else rates.limits

    def _add_standard(self, series: _Series, found: Totals, at_us: int) -> None:
        """Add executions at the standard price with short prompts."""
        if found.executions and self.is_chosen(series[1]):
            usage = Usage(
                found.input_tokens,
                found.output_tokens,
                found.cache_read_tokens,
                found.cache_write_5m_tokens,
                found.cache_write_1h_tokens,
            )
            self._add(series[0], Part(series[1], STANDARD, at_us, found.executions, found.cost_nanousd, usage))

    def _add(self, agent: str, part: Part) -> None:
        found = compare(self.prices, self.change, part, self.is_chosen)
        if isinstance(found, Compared):
            self.agents[agent] = self.agents.get(agent, CostPair()) + CostPair(part.executions, *found)
        elif isinstance(found, Incomparable):
            self.unknown[found.reason][found.model] += part.executions

    def _add_archived(self, archived: dict[_Series, Totals]) -> None:
        count = sum(found.executions for (_, model), found in archived.items() if self.is_chosen(model))
        if count:
            self.unknown[NOT_KNOWN][""] += count

    def reasons(self) -> list[UnpricedReason]:
        """Why executions are not compared, the reason of the most of them first."""
        found = [
            UnpricedReason(reason, counts.total(), sorted(filter(None, counts), key=lambda name: (-counts[name], name)))
            for reason, counts in self.unknown.items()
        ]
        return sorted(found, key=lambda reason: (-reason.executions, reason.reason))


def part_of(group: PriceGroup, periods: _Periods) -> Part:
    """The executions of a group, at an instant at which their prices hold."""
    return Part(
        model=group.model,
        modifiers=modifiers_of(group.service_tier, group.inference_geo, group.provider),
        instant_us=periods.starts[periods.number(group.day)] + group.slot * PERIOD_US,
        executions=group.executions,
        cost=group.cost_nanousd if group.has_cost else None,
        usage=Usage(*group.tokens) if group.has_usage else None,
        searches=group.searches,
        prompt_tokens=group.longest_prompt,
        steps=decode_steps(group.steps),
    )


def _special_sums(groups: Sequence[PriceGroup], periods: _Periods) -> dict[tuple[int, _Series], Totals]:
    """What groups add to the sums of each period, agent and model."""
    sums: dict[tuple[int, _Series], Totals] = {}

    def add(group: PriceGroup, model: str, tokens: Sequence[int], cost_nanousd: int, executions: int) -> None:
        sent, written, read, short, long = tokens
        key = periods.number(group.day), (group.agent_name, model)
        found = Totals(
            executions=executions,
            input_tokens=sent,
            output_tokens=written,
            cache_read_tokens=read,
            cache_write_5m_tokens=short,
            cache_write_1h_tokens=long,
            cost_nanousd=cost_nanousd,
        )
        sums[key] = sums.get(key, Totals()) + found

    for group in groups:
        add(group, group.model, group.tokens, group.cost_nanousd, group.executions)
        for model, tokens, cost in _shares(group, decode_steps(group.steps)):
            add(group, model, tokens, cost, 0)
    return sums


def _shares(group: PriceGroup, steps: Steps | None) -> list[tuple[str, list[int], int]]:
    """What the steps of a group move between models."""
    whole = Whole(group.model, 0 if group.has_cost else None, None, None, False)
    return [
        (model, [group.executions * tokens for tokens in share[:5]], group.executions * share.cost_nanousd)
        for model, share in (model_shares(whole, steps).items() if steps else ())
    ]


def _assumptions(change: Change, for_models: Sequence[str], prices: PriceTable) -> list[str]:
    """What the comparison takes for granted, in plain words."""
    lines = ["The same number of tokens, at the list prices of each execution's own day (UTC)."]
    if change.model:
        lines.append("Tokenizers differ between families of models: another one may count other tokens.")
        lines.append("Another model may fail more or less often, and need more or fewer turns.")
        if for_models:
            lines.append("Only what ran on the named models changes; of an execution with steps, their steps.")
        if change.keeps(change.model):
            lines.append(f"What ran on {change.model} already keeps its cost.")
    if change.is_batch:
        lines.append("Every request as a batch instead of its own service tier, at the seller's batch price.")
        lines.append("A batch may take a day, and may reuse less of the cache; that is not counted.")
    if change.cache:
        lines.append(_CACHE_LINES[change.cache])
    if prices.overridden:
        lines.append("A price of the settings is the same in every tier, also as a batch.")
    lines.append("Actual costs are those of the store, also where they came with the record.")
    return lines


_CACHE_LINES: dict[CachePolicy, str] = {
    "1h": "Cache writes of 5 minutes are priced as writes of 1 hour; the number of reads stays.",
    "5m": "Cache writes of 1 hour are priced as writes of 5 minutes; the number of reads stays.",
    "none": "Cache reads and writes are priced as plain input.",
}
