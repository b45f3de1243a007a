"""The words for alerts: conditions, summaries and reasons, written for a person who was woken by one."""

from __future__ import annotations

import json
from collections.abc import Mapping

from claude_force import formatting
from claude_force.alerts.decision import Measurement, Outlook, Reason
from claude_force.alerts.notification import Action
from claude_force.alerts.rules import DEFAULTS, Rule, default_rule
from claude_force.clock import span_name
from claude_force.database.rows.alerts import EventRow
from claude_force.executions.record import UNKNOWN
from claude_force.executions.totals import Totals

_CALENDAR = {"day": "Today", "week": "This week", "month": "This month"}


def period(rule: Rule) -> str:
    """The window of a rule: "Last 1 hour". A silence and the limit of a plan have none."""
    if rule.metric == "silence_hours":
        return "Until now"
    if rule.metric_info.plan_limit is not None:
        return "Now"
    return f"Last {span_name(rule.window)}" if isinstance(rule.window, int) else _CALENDAR[rule.window]


def condition(rule: Rule) -> str:
    """When a rule is breached: "Success rate < 95.0% (last 1 hour)"."""
    has_window = rule.metric != "silence_hours" and rule.metric_info.plan_limit is None
    when = f" ({period(rule).lower()})" if has_window else ""
    return f"{_noun(rule)} {threshold(rule)}{when}"


def default_condition(name: str) -> str:
    """When a default rule fires. A default budget has no threshold before somebody sets one."""
    rule = default_rule(name)
    return condition(rule) if rule else f"{DEFAULTS[name]['title']} > the dollars that you set"


def threshold(rule: Rule) -> str:
    """The operator and threshold of a rule: "< 95.0%", "> +50% of the baseline"."""
    return f"{rule.operator} {_limit(rule)}"


def reason(reason: str, rule: Rule | None) -> str:
    """A reason, without "for long enough" if the rule has no `for` or `keep_firing_for`."""
    if rule and not rule.for_us and reason == Reason.BEGAN:
        return "beyond its threshold"
    if rule and not rule.keep_firing_us and reason == Reason.ENDED:
        return "within its threshold again"
    return reason


def name(rule: str, labels: Mapping[str, str | None] | str) -> str:
    """The name of an alert: its rule and its labels."""
    found: Mapping[str, str | None] = json.loads(labels) if isinstance(labels, str) else labels
    return " ".join([rule, *(UNKNOWN if label is None else label for label in found.values())])


def kept_reason(kept: str) -> str:
    """The words of a reason from its stored name. A name of a later version is shown as it is."""
    return Reason[kept].value if kept in Reason.__members__ else kept


def transition(event: EventRow, rule: Rule | None) -> tuple[str, str, str, str]:
    """A transition as four texts: alert, new state, value, reason. The value has no unit if the rule is gone."""
    show = rule.metric_info.show if rule else "{:,.4g}".format
    value = formatting.NONE if event.value is None else show(event.value)
    return name(event.rule, event.labels), event.after, value, reason(kept_reason(event.reason), rule)


def rule_of(name: str) -> str:
    """The name of a rule, without the channel of an alert for one channel: success-rate of success-rate@slack."""
    return name.partition("@")[0]


def value(measured: Measurement, rule: Rule | None) -> str:
    """The measured value with its unit; a dash if it is unknown."""
    return formatting.NONE if measured.value is None or rule is None else rule.metric_info.show(measured.value)


def _noun(rule: Rule) -> str:
    return f"{rule.metric_info.noun} {rule.family}" if rule.family else rule.metric_info.noun


def _limit(rule: Rule) -> str:
    if rule.compared_to is None:
        return rule.metric_info.show(rule.threshold)
    change = f"{rule.threshold:+zg}%"
    if isinstance(rule.compared_to, int):
        return f"{change} of {span_name(rule.compared_to)} before"
    name = rule.compared_to.partition(":")[2]
    return f"{change} of the baseline {name}".rstrip()


def summary(rule: Rule, measured: Measurement, labels: Mapping[str, str], action: Action) -> str:
    """One sentence with the value and the threshold: "Success rate dropped to 87.5% (threshold 95.0%)"."""
    of = "".join(f" of {title} {name}" for title, name in labels.items())
    if measured.value is None:
        return f"{_noun(rule)}{of} is no longer measured"
    value = rule.metric_info.show(measured.value)
    limit = None if measured.limit is None else rule.metric_info.show(measured.limit)
    against = "" if limit is None else f" (threshold {limit})"
    if action == "resolve":
        return f"{_noun(rule)}{of} is back at {value}{against}"
    if rule.metric == "silence_hours":
        return f"No executions for {value}{against}"
    is_low, after = rule.operator.startswith("<"), _outlook(measured.outlook)
    if value == limit and measured.value != measured.limit:
        # The breach is smaller than the digits shown.
        return f"{_noun(rule)}{of} is just {'below' if is_low else 'above'} {value}{after}"
    return f"{_noun(rule)}{of} {'dropped' if is_low else 'rose'} to {value}{against}{after}"


def _outlook(outlook: Outlook | None) -> str:
    """When the limit of a plan runs out and is reset: "; at this rate it runs out at 2025-11-14 13:40"."""
    if outlook is None:
        return ""
    resets = f"; it is reset at {outlook.resets_at:%Y-%m-%d %H:%M}" if outlook.resets_at else ""
    runs_out = f"; at this rate it runs out at {outlook.runs_out_at:%Y-%m-%d %H:%M}" if outlook.runs_out_at else ""
    return f"{'; it is used up' if outlook.is_used_up else runs_out}{resets}"


def details(rule: Rule, measured: Measurement) -> dict[str, str | int | float | None]:
    """Further figures of a notification, under the names of the guide."""
    shown = {"value": measured.value, "threshold": measured.limit, "reference": measured.reference}
    return {
        "rule": rule.name,
        "condition": condition(rule),
        **{name: rule.metric_info.show(value) for name, value in shown.items() if value is not None},
        **(_sums(measured.totals) if measured.outlook is None else instants(measured.outlook)),
        "time_window": period(rule).removeprefix("Last ").lower(),
    }


def instants(outlook: Outlook) -> dict[str, str | None]:
    """The outlook of a limit for JSON: ISO 8601 to the minute."""
    times = {"runs_out_at": outlook.runs_out_at, "resets_at": outlook.resets_at}
    found = {name: None if at is None else at.isoformat(timespec="minutes") for name, at in times.items()}
    return {**found, "host": outlook.host}


def _sums(totals: Totals) -> dict[str, str | int | float | None]:
    return {
        "success_rate": UNKNOWN if totals.success_rate is None else formatting.percent(totals.success_rate),
        "total_executions": totals.executions,
        "failed_executions": totals.failures,
        "total_cost": UNKNOWN if totals.cost is None else formatting.money(totals.cost),
    }
