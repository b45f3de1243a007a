"""Measures a rule: its value and its limit now, for each group.

The figures come from the same queries as the reports, so an alert and a report of the same period agree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import tzinfo
from typing import NamedTuple

from claude_force.alerts.decision import Measurement, Outlook, Reason
from claude_force.alerts.rules import DIMENSIONS, Rule
from claude_force.analytics.baselines.snapshots import key_of, narrowing_of
from claude_force.analytics.forecasts import recent_window, rest_in_windows
from claude_force.analytics.plan_limits import current_limits
from claude_force.analytics.reconciliation import comparisons
from claude_force.clock import HOUR_US, to_datetime
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import Filter
from claude_force.database.queries.baselines import newest
from claude_force.executions.projects import NO_PROJECTS, ProjectNames
from claude_force.executions.record import NANOUSD, model_family
from claude_force.executions.totals import Percentiles, Totals
from claude_force.time_windows import Window, calendar_window

GROUPS_LIMIT = 500
"""Only this many groups of a rule are measured: those with the most executions."""

Label = str | None
"""The name of a group as recorded. None if the rule has no group_by, or the executions have no project."""


class Question(NamedTuple):
    """A rule, the executions that it measures, the time, and the zone of calendar days."""

    rule: Rule
    chosen: Filter
    now_us: int
    zone: tzinfo


class Value(NamedTuple):
    """A value in the unit of its metric, and how many executions it was computed from. If it is None, `lack` says
    why."""

    value: float | None
    samples: int
    lack: Reason = Reason.TOO_FEW


def measure(
    connection: Connection,
    rule: Rule,
    now_us: int,
    zone: tzinfo,
    known: Collection[Label] = (),
    project_names: ProjectNames = NO_PROJECTS,
) -> dict[Label, Measurement]:
    """The measurement of each group that has executions; under None if the rule has no group_by. `known` groups, which
    have an alert already, are measured beyond the limit of groups too: leaving one out would resolve its alert."""
    if rule.metric_info.plan_limit is not None:
        return {None: _plan_limit(connection, rule, rule.metric_info.plan_limit, now_us, zone)}
    chosen = _chosen(connection, rule, window_of(rule, now_us, zone), project_names)
    question = Question(rule, chosen, now_us, zone)
    sums = _largest(_sums(connection, question), _groups_without_sums(connection, question), known)
    values = _values(connection, question, sums)
    limits = _limits(connection, question, list(sums))
    return {name: _measurement(rule, values[name], limits[name], sums[name]) for name in sums}


def _chosen(connection: Connection, rule: Rule, window: Window, project_names: ProjectNames) -> Filter:
    """The executions of a rule. A project is named as in reports; one that the store does not know selects nothing."""
    chosen = Filter(
        window, rule.agents, rule.models, projects=rule.projects, sources=rule.sources, branches=rule.branches,
        project_names=project_names,
    )  # fmt: skip
    chosen = queries.with_reach(connection, chosen)
    if not rule.projects and rule.group_by != "project":
        return chosen
    chosen = queries.with_projects(connection, chosen)
    return replace(chosen, projects=tuple(chosen.project_names.full_name(name) or name for name in rule.projects))


def _plan_limit(connection: Connection, rule: Rule, kind: str, now_us: int, zone: tzinfo) -> Measurement:
    """The limit of a plan: of several machines, which may have plans of their own, the one with the highest value."""
    is_forecast = rule.metric.endswith("_forecast")
    values = {
        state: state.forecast.at_reset_percent if is_forecast else state.limit.used_percent
        for state in current_limits(connection, now_us, (kind,))
    }
    known = [(value, state) for state, value in values.items() if value is not None]
    if not known:
        return Measurement(None, None, 0, Reason.NOT_OBSERVED)
    value, state = max(known, key=lambda found: found[0])
    instants = (state.forecast.runs_out_us, state.limit.resets_us)
    runs_out_at, resets_at = (None if at_us is None else to_datetime(at_us, zone) for at_us in instants)
    outlook = Outlook(runs_out_at, resets_at, state.limit.host, state.limit.used_percent >= 100)
    return Measurement(value, rule.threshold, 0, outlook=outlook)


def measured_nothing(rule: Rule) -> Measurement:
    """The measurement of a group that has no executions in the window."""
    value = Value(0.0, 0) if rule.metric_info.is_sum else Value(None, 0)
    limit = Value(rule.threshold, 0) if rule.compared_to is None else Value(None, 0, Reason.NO_REFERENCE)
    return _measurement(rule, value, limit, Totals())


def window_of(rule: Rule, now_us: int, zone: tzinfo) -> Window:
    """The window of a rule: a length of time that ends now, or the day, week or month so far."""
    if isinstance(rule.window, int):
        return Window(now_us - rule.window, now_us)
    return Window(calendar_window(rule.window, zone, now_us).start_us, now_us)


def _sums(connection: Connection, question: Question) -> dict[Label, Totals]:
    group_by = question.rule.group_by
    if group_by is None:
        return {None: queries.totals(connection, question.chosen)}
    found = queries.totals_by(connection, question.chosen, DIMENSIONS[group_by])
    return {name: totals for (name,), totals in found.items()}


def _largest(sums: Mapping[Label, Totals], others: Collection[Label], known: Collection[Label]) -> dict[Label, Totals]:
    """The known groups, and those with the most executions up to the limit; the others have none."""
    found = {**dict.fromkeys(others, Totals()), **sums}
    ordered = sorted(found.items(), key=lambda item: (-item[1].executions, item[0] or ""))
    return {name: totals for place, (name, totals) in enumerate(ordered) if place < GROUPS_LIMIT or name in known}


def _groups_without_sums(connection: Connection, question: Question) -> Collection[Label]:
    """Groups that have a value without executions in the window: a forecast continues the rate of the days before."""
    if question.rule.metric != "cost_forecast":
        return ()
    recent = recent_window(connection, question.now_us)
    return _sums(connection, question._replace(chosen=replace(question.chosen, window=recent)))


def _values(connection: Connection, question: Question, sums: Mapping[Label, Totals]) -> dict[Label, Value]:
    """The value of the metric for each group."""
    of_totals = _OF_TOTALS.get(question.rule.metric)
    if of_totals is not None:
        return {name: of_totals(totals) for name, totals in sums.items()}
    return _OTHERS[question.rule.metric](connection, question, sums)


def _limits(connection: Connection, question: Question, names: list[Label]) -> dict[Label, Value]:
    """The threshold of each group; for a rule that compares, the reference before its change is applied."""
    rule = question.rule
    if rule.compared_to is None:
        return dict.fromkeys(names, Value(rule.threshold, 0))
    if isinstance(rule.compared_to, str):
        return {name: _of_baseline(connection, question, name) for name in names}
    window = question.chosen.window
    assert window.start_us is not None
    assert window.end_us is not None
    earlier = Window(window.start_us - rule.compared_to, window.end_us - rule.compared_to)
    before = question._replace(chosen=replace(question.chosen, window=earlier))
    sums = _sums(connection, before)
    values = _values(connection, before, sums)
    return {name: values.get(name, Value(None, 0)) for name in names}


def _of_baseline(connection: Connection, question: Question, name: Label) -> Value:
    """The value of a group in the named baseline, or in the newest one that ended before the window."""
    rule = question.rule
    assert isinstance(rule.compared_to, str)
    named = rule.compared_to.partition(":")[2] or None
    chosen = question.chosen if rule.group_by is None else _of_group(question.chosen, rule.group_by, name)
    if chosen is None:
        return Value(None, 0, Reason.NO_REFERENCE)
    found = newest(connection, named, *key_of(chosen), chosen.window.start_us or 0, narrowing_of(chosen))
    if found is None:
        return Value(None, 0, Reason.NO_REFERENCE)
    value = found.snapshot.get(rule.metric)
    if rule.metric == "model_share":
        distribution = found.snapshot["model_distribution"]
        value = sum(share for family, share in distribution.items() if family.lower() == rule.family)
    return Value(value if isinstance(value, (int, float)) else None, found.executions, Reason.NO_REFERENCE)


def _of_group(chosen: Filter, group_by: str, name: Label) -> Filter | None:
    """The filter of one group, by which its baseline is found. None for executions without a project, which have no
    baseline."""
    if name is None:
        return None
    match DIMENSIONS[group_by]:
        case "agent_name":
            return replace(chosen, agents=(name,))
        case "model":
            return replace(chosen, models=(name,))
    return replace(chosen, projects=(name,))


def _measurement(rule: Rule, value: Value, limit: Value, totals: Totals) -> Measurement:
    """The measurement of a value and its limit; unknown if either has too few samples."""
    least = 0 if rule.metric_info.is_sum else rule.min_samples
    if value.value is None or value.samples < least:
        lack = value.lack if value.value is None else Reason.TOO_FEW
        return Measurement(None, None, value.samples, lack, None, totals)
    if rule.compared_to is None:
        return Measurement(value.value, limit.value, value.samples, None, None, totals)
    # A change from zero has no percentage.
    if not limit.value or limit.samples < least:
        return Measurement(value.value, None, value.samples, Reason.NO_REFERENCE, limit.value, totals)
    allowed = limit.value * (1 + rule.threshold / 100)
    return Measurement(value.value, allowed, value.samples, None, limit.value, totals)


def _average_tokens(totals: Totals) -> float | None:
    return totals.total_tokens / totals.metered if totals.metered and totals.total_tokens is not None else None


def _cost_lack(totals: Totals) -> Reason:
    return Reason.NO_PRICE if totals.executions else Reason.TOO_FEW


_OF_TOTALS: dict[str, Callable[[Totals], Value]] = {
    "success_rate": lambda totals: Value(totals.success_rate, totals.executions),
    "avg_execution_time_ms": lambda totals: Value(totals.average_ms, totals.timed),
    "total_cost": lambda totals: Value(totals.cost, totals.priced, Reason.NO_PRICE),
    "avg_cost_per_execution": lambda totals: Value(totals.average_cost, totals.priced, _cost_lack(totals)),
    "total_executions": lambda totals: Value(totals.executions, totals.executions),
    "failed_executions": lambda totals: Value(totals.failures, totals.executions),
    "avg_tokens": lambda totals: Value(_average_tokens(totals), totals.metered),
    "avg_input_tokens": lambda totals: Value(totals.average_input_tokens, totals.metered),
    "avg_output_tokens": lambda totals: Value(totals.average_output_tokens, totals.metered),
}
"""The metrics that need only the sums of the window."""

_PERCENTILES = {"p50_latency_ms": 0, "p95_latency_ms": 1, "p99_latency_ms": 2}


def _latencies(connection: Connection, question: Question, sums: Mapping[Label, Totals]) -> dict[Label, Value]:
    index = _PERCENTILES[question.rule.metric]
    ranked: dict[Label, Percentiles]
    if question.rule.group_by is None:
        ranked = {None: queries.percentiles(connection, question.chosen)[0]}
    else:
        ranked, _ = queries.percentiles_by(connection, question.chosen, DIMENSIONS[question.rule.group_by])
    found: dict[Label, Value] = {}
    for name, totals in sums.items():
        value_us = ranked[name][index] if name in ranked else None
        found[name] = Value(None if value_us is None else value_us / 1000, totals.timed)
    return found


def _shares(connection: Connection, question: Question, sums: Mapping[Label, Totals]) -> dict[Label, Value]:
    """The percentage of executions by models of the family."""
    group_by = question.rule.group_by
    dimensions = ("model",) if group_by is None else ("model", DIMENSIONS[group_by])
    members = dict.fromkeys(sums, 0)
    for (model, *group), totals in queries.totals_by(connection, question.chosen, *dimensions).items():
        name = group[0] if group else None
        if name in members and model_family(model or "").lower() == question.rule.family:
            members[name] += totals.executions
    return {
        name: Value(100 * members[name] / totals.executions if totals.executions else None, totals.executions)
        for name, totals in sums.items()
    }


def _burn_rates(connection: Connection, question: Question, sums: Mapping[Label, Totals]) -> dict[Label, Value]:
    """How many times faster than allowed the error budget is used: the lower rate of the long and the short window.
    The long window shows that it matters, the short one that it continues (Site Reliability Workbook, chapter 5)."""
    rule = question.rule
    assert rule.short_window_us is not None
    short = Window(question.now_us - rule.short_window_us, question.now_us)
    now = _sums(connection, question._replace(chosen=replace(question.chosen, window=short)))
    found: dict[Label, Value] = {}
    for name, totals in sums.items():
        rates = [_burn_rate(rule, totals), _burn_rate(rule, now.get(name, Totals()))]
        # No executions in the short window: the failures have stopped.
        known = [rate or 0.0 for rate in rates]
        found[name] = Value(min(known) if rates[0] is not None else None, totals.executions)
    return found


def _burn_rate(rule: Rule, totals: Totals) -> float | None:
    assert rule.objective is not None
    rate = totals.success_rate
    return None if rate is None else (100 - rate) / (100 - rule.objective)


def _forecasts(connection: Connection, question: Question, sums: Mapping[Label, Totals]) -> dict[Label, Value]:
    """The cost of the day, week or month so far, plus the rest of it: see `analytics.forecasts`."""
    now_us, window = question.now_us, recent_window(connection, question.now_us)
    assert isinstance(question.rule.window, str)
    end_us = calendar_window(question.rule.window, question.zone, now_us).end_us
    assert end_us is not None
    recent = _sums(connection, question._replace(chosen=replace(question.chosen, window=window)))
    rest = rest_in_windows(window, now_us, end_us)
    return {
        name: Value(
            None if totals.cost is None else totals.cost + recent.get(name, Totals()).cost_nanousd / NANOUSD * rest,
            totals.priced,
            Reason.NO_PRICE,
        )
        for name, totals in sums.items()
    }


def _silences(connection: Connection, question: Question, sums: Mapping[Label, Totals]) -> dict[Label, Value]:
    """Hours since the last execution of the rule, whenever that was; None if there never was one. An archived
    execution counts as the start of its hour."""
    ever = replace(question.chosen, window=Window(None, question.now_us))
    (reach,) = queries.time_ranges(connection, ever, [ever.window])
    archived = queries.archived(connection, ever)
    last = [*([reach.last_us] if reach else []), *([archived.last_us] if archived.executions else [])]
    hours = (question.now_us - max(last)) / HOUR_US if last else None
    # The last execution alone is enough, whatever min_samples says.
    return dict.fromkeys(sums, Value(hours, question.rule.min_samples))


def _unreconciled(connection: Connection, question: Question, sums: Mapping[Label, Totals]) -> dict[Label, Value]:
    """What `reconcile` finds missing or too much, of the sessions of the window that can be compared, each without its
    sign."""
    missing = [session.missing_nanousd for session in comparisons(connection, question.chosen)]
    known = [abs(nanousd) for nanousd in missing if nanousd is not None]
    value = sum(known) / NANOUSD if known else None
    # One session is enough, whatever min_samples says: it counts executions.
    return dict.fromkeys(sums, Value(value, question.rule.min_samples, Reason.NO_REFERENCE))


_OTHERS: dict[str, Callable[[Connection, Question, Mapping[Label, Totals]], dict[Label, Value]]] = {
    **dict.fromkeys(_PERCENTILES, _latencies),
    "model_share": _shares,
    "burn_rate": _burn_rates,
    "cost_forecast": _forecasts,
    "silence_hours": _silences,
    "unreconciled_cost": _unreconciled,
}
"""The metrics that need more than the sums of the window."""
