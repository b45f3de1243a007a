"""The report that compares everything that knows what sessions cost: transcripts, telemetry, results, and the sums that
Claude Code itself made.

A session is in the period if any source saw it there, and is compared as a whole, since controls count from its
beginning. See `analytics.compared_sessions` for what is compared with what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import partial
from typing import Any, NamedTuple

from claude_force import clock
from claude_force.analytics.compared_sessions import (
    ONE_SOURCE,
    ModelComparison,
    SessionComparison,
    is_side_request,
    model_difference,
)
from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.names import known_names
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter, ledgers
from claude_force.database.queries import reconciliation as sources
from claude_force.database.queries.reconciliation import NO_METRICS, NOTHING, Figures, Kind, SessionSums
from claude_force.executions.record import dollars
from claude_force.executions.totals import Archived, WorkflowStart
from claude_force.time_windows import ALL_TIME, Window

_SESSIONS_AT_ONCE = 500


class ReasonSum(NamedTuple):
    """One reason why sources differ, over all sessions: in how many, by how much, in how many requests."""

    sessions: int = 0
    cost_nanousd: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Sessions that more than one source knows, the largest difference first. `sessions` may be cut to a limit; the
    sums are over all sessions that can be compared. `alone` are the sessions that one source alone knows."""

    period: str
    sessions: list[SessionComparison]
    count: int
    compared: int
    control_nanousd: int
    stored_nanousd: int
    apart_nanousd: int
    reasons: dict[str, ReasonSum]
    unknown: dict[str, int]
    alone: list[str]
    ledger_nanousd: int
    transcript_nanousd: int
    without_ledger: int
    provisional: int
    starts: dict[str, WorkflowStart]
    zone: tzinfo
    archived: Archived

    def exceeds(self, share: float, least_nanousd: int) -> bool:
        """Whether the differences of sessions, each without its sign, are together more than a share of what Claude
        Code counted, and more than an amount."""
        return self.apart_nanousd > max(share * self.control_nanousd, least_nanousd)

    def to_dict(self) -> dict[str, Any]:
        """The sums, then the sessions with their sources, differences, models and groups. Costs are in US dollars."""
        stored = dollars(self.stored_nanousd) if self.compared else None
        return {
            "period": self.period,
            "total_sessions": self.count,
            "compared_sessions": self.compared,
            "claude_code_cost": dollars(self.control_nanousd) if self.compared else None,
            "stored_cost": stored,
            "ledger_cost": dollars(self.ledger_nanousd) if self.compared else None,
            "transcript_cost": dollars(self.transcript_nanousd) if self.compared else None,
            "difference": dollars(self.control_nanousd - self.stored_nanousd) if self.compared else None,
            "absolute_difference": dollars(self.apart_nanousd) if self.compared else None,
            "reasons": [
                {"reason": reason, "sessions": found.sessions, "cost": dollars(found.cost_nanousd),
                 "requests": found.requests}
                for reason, found in self.reasons.items()
            ],
            "not_compared": self.unknown,
            "sessions_of_one_source": self.alone,
            "sessions_without_ledger": self.without_ledger,
            "provisional_executions": self.provisional,
            "archived_executions": self.archived.executions,
            "sessions": [
                row | _details(session) for session, row in zip(self.sessions, self.rows(), strict=True)
            ],
        }  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """The sessions for CSV."""
        return [self._row(session) for session in self.sessions]

    def _row(self, session: SessionComparison) -> dict[str, Any]:
        entry, control, found = session.entry, session.control, self.starts.get(session.session_id)
        stored = session.stored
        return {
            "session": session.session_id,
            "started": found and clock.format_instant(found.first_us, self.zone),
            "project": found and found.project,
            "transcript_cost": _dollars(session.transcript.known_cost_nanousd),
            "telemetry_cost": _dollars(session.telemetry.known_cost_nanousd),
            "sdk_cost": _dollars(session.sdk.known_cost_nanousd),
            "reported_cost": _dollars(session.telemetry.reported_nanousd if session.telemetry.reported else None),
            "metrics_cost": _dollars(session.metrics.cost_nanousd),
            "run_cost": _dollars(session.run.cost_nanousd if session.run else None),
            "ledger_cost": _dollars(entry.cost_nanousd if entry else None),
            "ledger_at": entry and clock.format_instant(entry.at_us, self.zone),
            "compared_with": control and control.name,
            "claude_code_cost": _dollars(control.cost_nanousd if control else None),
            "stored_cost": _dollars(session.compared.known_cost_nanousd),
            "difference": _dollars(session.missing_nanousd),
            "unknown_reason": session.unknown_reason,
            "original_session": session.original_id,
            "executions": stored.executions,
            "unpriced_executions": stored.executions - stored.priced,
            "provisional_executions": stored.provisional,
        }


def _details(session: SessionComparison) -> dict[str, Any]:
    return {
        "differences": [
            {"reason": each.reason, "cost": _dollars(each.cost_nanousd), "requests": each.requests}
            for each in session.differences
        ],
        "tokens": _tokens(session),
        "models": [_model_dict(session, model) for model in session.models],
        "groups": [_group_dict(group) for group in request_groups(session)],
    }


def _tokens(session: SessionComparison) -> dict[str, int | None]:
    """The tokens of all kinds that each source knows; None if it does not know the session."""
    entry = session.entry
    seen = {"transcript": session.transcript, "telemetry": session.telemetry, "sdk": session.sdk}
    return {
        **{name: figures.tokens if figures.executions else None for name, figures in seen.items()},
        "metrics": session.metrics.tokens,
        "ledger": entry
        and entry.input_tokens + entry.output_tokens + entry.cache_read_tokens + entry.cache_write_tokens,
    }


class RequestGroup(NamedTuple):
    """The requests of a session that the same sources saw, of one agent and model. A side request has the name that
    Claude Code gives it."""

    seen_by: str
    agent: str
    model: str
    figures: Figures


def request_groups(session: SessionComparison) -> list[RequestGroup]:
    """The requests of a session in groups, those that only one source saw first, then by cost."""
    found: dict[tuple[str, str, str], Figures] = {}
    for kind, figures in session.sums.items():
        is_side = is_side_request(kind.query_source) and not kind.in_transcript
        key = (_seen_by(kind), f"{kind.query_source} (side request)" if is_side else kind.agent_name, kind.model)
        found[key] = found.get(key, NOTHING).plus(figures)
    groups = [RequestGroup(*key, figures) for key, figures in found.items()]
    return sorted(groups, key=lambda group: ("," in group.seen_by, -group.figures.cost_nanousd, group[:3]))


def _seen_by(kind: Kind) -> str:
    names = {"transcript": kind.in_transcript, "telemetry": kind.by_telemetry, "sdk": kind.by_sdk}
    seen = [name for name, is_seen in names.items() if is_seen]
    return ", ".join(seen) or "result"


def _group_dict(group: RequestGroup) -> dict[str, Any]:
    figures = group.figures
    return {
        "seen_by": group.seen_by.split(", "),
        "agent": group.agent,
        "model": group.model,
        "requests": figures.executions,
        "tokens": figures.tokens,
        "cost": _dollars(figures.known_cost_nanousd),
        "reported_cost": _dollars(figures.reported_nanousd if figures.reported else None),
    }


def _model_dict(session: SessionComparison, found: ModelComparison) -> dict[str, Any]:
    entry = found.entry
    return {
        "model": found.model,
        "ledger_cost": dollars(entry.cost_nanousd) if entry else None,
        "stored_cost": _dollars(found.spent_nanousd),
        "difference": _dollars(model_difference(session, found)),
        "executions": found.executions,
        "ledger_input_tokens": entry.input_tokens if entry else None,
        "ledger_output_tokens": entry.output_tokens if entry else None,
        "ledger_cache_read_tokens": entry.cache_read_tokens if entry else None,
        "ledger_cache_write_tokens": entry.cache_write_tokens if entry else None,
        "ledger_web_searches": entry.web_searches if entry else None,
    }


def _dollars(nanousd: int | None) -> float | None:
    return None if nanousd is None else dollars(nanousd)


def reconciliation(database: Readable, chosen: Filter, zone: tzinfo, rows: RowChoice = ALL_ROWS) -> Reconciliation:
    """The sessions that any source saw in the period, and of which any execution there matches the names."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        every = comparisons(connection, chosen)
        found = [session for session in every if session.unknown_reason != ONE_SOURCE or chosen.sessions]
        found.sort(key=partial(_by_difference, 1 if rows.is_ascending else -1))
        shown = found[: rows.limit]
        starts = _starts(connection, shown)
        archived = queries.archived(connection, chosen)
    compared = [session for session in found if session.missing_nanousd is not None]
    controls = [session.control.cost_nanousd if session.control else 0 for session in compared]
    missing = [session.missing_nanousd or 0 for session in compared]
    return Reconciliation(
        period=chosen.window.label,
        sessions=shown,
        count=len(found),
        compared=len(compared),
        control_nanousd=sum(controls),
        stored_nanousd=sum(controls) - sum(missing),
        apart_nanousd=sum(map(abs, missing)),
        reasons=_reasons(found),
        unknown=dict(sorted(Counter(each.unknown_reason for each in found if each.unknown_reason).items())),
        alone=sorted(session.session_id for session in every if session.unknown_reason == ONE_SOURCE),
        ledger_nanousd=sum(session.entry.cost_nanousd for session in compared if session.entry),
        transcript_nanousd=sum(session.transcript.cost_nanousd for session in compared),
        without_ledger=sum(session.ledger is None for session in every),
        provisional=sum(session.compared.provisional for session in compared),
        starts=starts,
        zone=zone,
        archived=archived,
    )


def _reasons(sessions: Iterable[SessionComparison]) -> dict[str, ReasonSum]:
    found: dict[str, ReasonSum] = {}
    for session in sessions:
        for reason, cost, requests in session.differences:
            known = found.get(reason, ReasonSum())
            found[reason] = ReasonSum(
                known.sessions + 1, known.cost_nanousd + (cost or 0), known.requests + (requests or 0)
            )
    return found


def _by_difference(sign: int, session: SessionComparison) -> tuple[bool, int, str]:
    missing = session.missing_nanousd
    return missing is None, sign * abs(missing or 0), session.session_id


def comparisons(connection: Connection, chosen: Filter) -> list[SessionComparison]:
    """The sessions of the period as every source knows them, by name. Their executions are read, and those of the
    period; no others are."""
    names = sources.sessions_seen(connection, chosen) | set(ledgers.sessions_with_ledger(connection, chosen))
    sums = sources.sums_of_sessions(connection, chosen.window, names)
    around = _hull(sums.values())
    runs, metrics = sources.run_totals(connection), sources.control_sums_of_sessions(connection)
    own_ledgers = ledgers.ledgers(connection, sorted(names))
    originals, archived_us = ledgers.original_sessions(connection), ledgers.last_archived(connection)
    unheard, moved = _unheard(connection, sums), ledgers.moved_by_model(connection, around)
    return [
        _with_archive(
            SessionComparison(
                sums.get(name, {}),
                session_id=name,
                ledger=own_ledgers.get(name),
                run=runs.get(name),
                metrics=metrics.get(name, NO_METRICS),
                unheard=unheard.get(name, NOTHING),
                moved=moved.get(name),
                original_id=originals.get(name),
            ),
            archived_us,
        )
        for name in sorted(names)
    ]


def _with_archive(session: SessionComparison, archived_us: int | None) -> SessionComparison:
    """The session with the answer whether executions of it may be archived: if any of it is older than the youngest
    archived execution."""
    control, first_us = session.control, session.stored.first_us
    instants = [at_us for at_us in (first_us, control and control.at_us) if at_us is not None]
    is_archived = archived_us is not None and min(instants, default=archived_us + 1) <= archived_us
    return replace(session, is_archived=is_archived)


def _unheard(connection: Connection, sums: SessionSums) -> dict[str, Figures]:
    """Of the sessions from which telemetry came: the responses that it did not see after it had begun to come."""
    since: dict[str, int] = {}
    for name, kinds in sums.items():
        firsts = [each.first_us for kind, each in kinds.items() if kind.by_telemetry and each.first_us is not None]
        if firsts and any(kind.in_transcript and not kind.by_telemetry for kind in kinds):
            since[name] = min(firsts)
    found: dict[str, Figures] = {}
    # Sessions of one time together: each part reads their time alone.
    ordered = sorted(since, key=since.__getitem__)
    for start in range(0, len(ordered), _SESSIONS_AT_ONCE):
        part = {name: since[name] for name in ordered[start : start + _SESSIONS_AT_ONCE]}
        found |= sources.not_in_telemetry(connection, _hull(sums[name] for name in part), part)
    return found


def _hull(sums: Iterable[dict[Kind, Figures]]) -> Window:
    """The interval from the first to the last execution; an empty one if there are none."""
    figures = [each for kinds in sums for each in kinds.values()]
    firsts = [each.first_us for each in figures if each.first_us is not None]
    lasts = [each.last_us for each in figures if each.last_us is not None]
    return Window(min(firsts), max(lasts) + 1) if firsts and lasts else Window(0, 0)


def _starts(connection: Connection, shown: Sequence[SessionComparison]) -> dict[str, WorkflowStart]:
    around = _hull([dict(session.sums) for session in shown])
    names = [session.session_id for session in shown if session.sums]
    chosen = Filter(window=around) if names else Filter(ALL_TIME)
    return queries.workflow_starts(connection, chosen, names, "session_id")
