"""One session as every source knows it, and what they differ by.

Two kinds of sources are compared. Transcripts, telemetry and results of runs are stored as executions, each of them
once, with a price of ours. A control is a sum that Claude Code made itself, of which the requests are not known:

| control     | counts                                       | is compared with                             |
|-------------|----------------------------------------------|----------------------------------------------|
| `ledger`    | the session until its end (`cost-state`)     | the executions until then                    |
| `run`       | the session until its last headless run      | the executions until then                    |
| `metrics`   | the time when metrics came                   | the executions that telemetry saw, or all    |
| `telemetry` | the requests that telemetry saw, each alone  | our prices of the same requests              |

The first that is known is used; a ledger that is older than the last run gives way to it. What a control has more than
our executions is in no source: `missing`. It is None where a side is not whole, and `unknown_reason` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from claude_force.database.queries.reconciliation import (
    NO_METRICS,
    NOTHING,
    ControlSum,
    Figures,
    Kind,
    RunTotal,
    sum_figures,
)
from claude_force.executions import sightings
from claude_force.executions.ledgers import Ledger, LedgerEntry

COPY = "a copy of another session, whose cost its ledger contains"
ARCHIVED = "some of its executions may be archived"
UNPRICED_BY_US = "executions without a known price"
UNPRICED_BY_CLAUDE_CODE = "Claude Code had no price for a model"
ONE_SOURCE = "known to one source only"
"""Why a difference is unknown."""

SIDE_REQUESTS = "side requests"
ONLY_TELEMETRY = "in no transcript"
TELEMETRY_LOST = "telemetry lost"
BEFORE_TELEMETRY = "before telemetry"
UNKNOWN_PRICE = "unknown price"
PRICES = "other prices"
RESIDENCY = "residency or tier"
UNSEEN = "in no source"
OUTSIDE = "outside of transcripts"
"""What sources differ by."""

_ROUNDING_NANOUSD = 500
"""A figure in micro-dollars is rounded by half of one at most."""


def is_side_request(query_source: str | None) -> bool:
    """Whether Claude Code made a request for itself, such as a web search, and not for the conversation or one of its
    agents. A request of which telemetry does not say is none."""
    return query_source is not None and sightings.is_side_request(query_source)


class Difference(NamedTuple):
    """One reason why sources differ: by how much, where that is known, and in how many requests (None: unknown).
    Positive: telemetry or Claude Code has more than transcripts, or for TELEMETRY_LOST, that transcripts have more."""

    reason: str
    cost_nanousd: int | None
    requests: int | None = None


class Control(NamedTuple):
    """A sum of Claude Code: which one, of when (None: of the whole session), and what it is."""

    name: str
    at_us: int | None
    cost_nanousd: int


class ModelComparison(NamedTuple):
    """One model of a session: its entry in the ledger and what the executions come to; None if it is not there."""

    model: str
    entry: LedgerEntry | None
    spent_nanousd: int | None
    executions: int


@dataclass(frozen=True)
class SeenRequests:
    """The requests of a session or a day: `sums` by kind. What is added up is kept: it is asked for many times."""

    sums: Mapping[Kind, Figures]

    def of(self, condition: Callable[[Kind], bool]) -> Figures:
        """The executions of the kinds that meet a condition."""
        return sum_figures(figures for kind, figures in self.sums.items() if condition(kind))

    @cached_property
    def transcript(self) -> Figures:
        """What transcripts have."""
        return self.of(lambda kind: kind.in_transcript)

    @cached_property
    def telemetry(self) -> Figures:
        """What log events or spans have."""
        return self.of(lambda kind: kind.by_telemetry)

    @cached_property
    def sdk(self) -> Figures:
        """What spans of the Anthropic SDK have."""
        return self.of(lambda kind: kind.by_sdk)

    @cached_property
    def stored(self) -> Figures:
        """All executions, each once."""
        return sum_figures(self.sums.values())

    @property
    def only_heard(self) -> list[Difference]:
        """What telemetry alone saw, with the price of Claude Code where we have none."""
        found = []
        for reason, is_side in ((SIDE_REQUESTS, True), (ONLY_TELEMETRY, False)):
            figures = self.of(partial(_is_only_heard, is_side))
            if figures.executions:
                cost = figures.cost_nanousd + figures.unpriced_reported_nanousd
                found.append(Difference(reason, cost, figures.executions))
        return found

    def of_prices(self, compared: Figures, missing_nanousd: int | None) -> list[Difference]:
        """What Claude Code counts otherwise for requests that we have, and what only a control has."""
        stored = self.stored
        found: list[Difference] = []
        if unpriced := stored.executions - stored.priced + stored.given:
            known_nanousd = stored.unpriced_reported_nanousd + stored.given_nanousd
            found.append(Difference(UNKNOWN_PRICE, known_nanousd or None, unpriced))
        gaps = ((PRICES, compared.price_gap_nanousd), (RESIDENCY, compared.special_gap_nanousd))
        named = [Difference(reason, gap, compared.differing) for reason, gap in gaps if _is_more(gap, compared)]
        if missing_nanousd is not None:
            rest = missing_nanousd - sum(each.cost_nanousd or 0 for each in named)
            if _is_more(rest, compared):
                named.append(Difference(UNSEEN if self.telemetry.executions else OUTSIDE, rest))
        return found + named


def _is_only_heard(is_side: bool, kind: Kind) -> bool:
    return kind.by_telemetry and not kind.in_transcript and is_side_request(kind.query_source) is is_side


@dataclass(frozen=True, kw_only=True)
class SessionComparison(SeenRequests):
    """What every source knows of a session. `unheard` are the responses of transcripts that telemetry did not see
    although it came from this session before; `moved` is what steps of executions move between models."""

    session_id: str
    ledger: Ledger | None = None
    run: RunTotal | None = None
    metrics: ControlSum = NO_METRICS
    unheard: Figures = NOTHING
    moved: Mapping[str, int] | None = None
    original_id: str | None = None
    is_archived: bool = False

    @property
    def entry(self) -> LedgerEntry | None:
        """The ledger of the whole session."""
        return self.ledger[0] if self.ledger else None

    @cached_property
    def control(self) -> Control | None:
        """The sum of Claude Code that the session is compared with; None if there is none."""
        entry, run = self.entry, self.run
        if self.original_id is None:
            if entry is not None and (run is None or entry.at_us >= run.started_us):
                return Control("ledger", entry.at_us, entry.cost_nanousd)
            if run is not None:
                return Control("run", run.at_us, run.cost_nanousd)
        if self.metrics.cost_nanousd is not None:
            return Control("metrics", None, self.metrics.cost_nanousd)
        telemetry = self.telemetry
        return Control("telemetry", None, telemetry.reported_nanousd) if telemetry.reported else None

    @cached_property
    def compared(self) -> Figures:
        """The executions that the control is compared with."""
        control = self.control
        name = control.name if control else ""
        if name == "ledger":
            return self.of(lambda kind: kind.before_ledger and is_of_claude_code(kind))
        if name == "run":
            return self.of(lambda kind: kind.before_run and is_of_claude_code(kind))
        heard = self.telemetry
        return heard if heard.executions and name else self.of(is_of_claude_code)

    @cached_property
    def unknown_reason(self) -> str | None:
        """Why the two sides cannot be compared; None if they can."""
        control = self.control
        if control is None:
            return COPY if self.original_id is not None and (self.entry or self.run) else ONE_SOURCE
        if self.is_archived:
            return ARCHIVED
        if self.compared.priced < self.compared.executions:
            return UNPRICED_BY_US
        is_lower_bound = control.name == "ledger" and self.entry is not None and self.entry.is_lower_bound
        return UNPRICED_BY_CLAUDE_CODE if is_lower_bound else None

    @property
    def missing_nanousd(self) -> int | None:
        """What the control has more than the executions; None if they cannot be compared."""
        return None if self.unknown_reason else missing_from(self.control, self.compared)

    @cached_property
    def differences(self) -> list[Difference]:
        """What the sources differ by, and why. Those of prices and of what is in no source add up to
        `missing_nanousd`."""
        return [*self.only_heard, *self._unheard(), *self.of_prices(self.compared, self.missing_nanousd)]

    def _unheard(self) -> list[Difference]:
        """What telemetry did not see, if it came from this session at all."""
        if not self.telemetry.executions:
            return []
        every, lost = self.of(lambda kind: kind.in_transcript and not kind.by_telemetry), self.unheard
        before = Difference(
            BEFORE_TELEMETRY, every.cost_nanousd - lost.cost_nanousd, every.executions - lost.executions
        )
        found = [Difference(TELEMETRY_LOST, lost.cost_nanousd, lost.executions), before]
        return [difference for difference in found if difference.requests]

    @property
    def models(self) -> list[ModelComparison]:
        """The models of the ledger and of the executions that it is compared with, by name. Without a ledger, those of
        all executions."""
        spent: dict[str, Figures] = {}
        for kind, figures in self.sums.items():
            if is_of_claude_code(kind) and (kind.before_ledger or not self.ledger):
                spent[kind.model] = spent.get(kind.model, NOTHING).plus(figures)
        moved = self.moved or {}
        entries = {entry.model: entry for entry in self.ledger[1:]} if self.ledger else {}
        return [
            _model(model, entries.get(model), spent.get(model), moved.get(model))
            for model in sorted(entries.keys() | spent.keys() | moved.keys())
        ]


def _model(model: str, entry: LedgerEntry | None, spent: Figures | None, moved: int | None) -> ModelComparison:
    found = spent or NOTHING
    is_known = (spent is not None and (spent.priced or not spent.executions)) or moved is not None
    cost = found.cost_nanousd + (moved or 0) if is_known else None
    return ModelComparison(model, entry, cost, found.executions)


def model_difference(session: SessionComparison, found: ModelComparison) -> int | None:
    """What the ledger has more for one model, in nano-dollars; None if the session is not compared with a ledger."""
    control = session.control
    if session.unknown_reason or control is None or control.name != "ledger":
        return None
    return (found.entry.cost_nanousd if found.entry else 0) - (found.spent_nanousd or 0)


def is_of_claude_code(kind: Kind) -> bool:
    """Whether Claude Code made the request: it counts no calls that others make with the SDK."""
    return kind.in_transcript or kind.by_telemetry or kind.is_result


def missing_from(control: Control | None, compared: Figures) -> int | None:
    """What a control has more than the executions that it is compared with; None without a control. Of telemetry that
    is what Claude Code reported more than our prices, for the same requests."""
    if control is None:
        return None
    if control.name == "telemetry":
        return compared.price_gap_nanousd + compared.special_gap_nanousd
    return control.cost_nanousd - compared.cost_nanousd


def _is_more(nanousd: int, compared: Figures) -> bool:
    """Whether a difference is more than the rounding of the requests."""
    return abs(nanousd) > _ROUNDING_NANOUSD * max(compared.executions, 1)
