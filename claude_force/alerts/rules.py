"""Alert rules: the `performance.alerts` section of claude.json as typed values.

    "success-rate": true                     a default rule, as it is
    "success-rate": {"threshold": 98}        a default rule with changes
    "mine": {"metric": "total_cost", ...}    a rule of the user's own
    "mine": {"enabled": false, ...}          a rule that is off, with its settings

A rule with an error is reported, and the others run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

from claude_force.alerts.metrics import METRICS, Metric
from claude_force.alerts.notification import Severity
from claude_force.clock import HOUR_US, MINUTE_US, parse_span
from claude_force.database.queries import Dimension
from claude_force.errors import SettingsError
from claude_force.executions.record import model_family
from claude_force.settings.values import nearest, value_problem
from claude_force.text import for_terminal, kind_of

Operator = Literal[">", ">=", "<", "<="]
Period = Literal["day", "week", "month"]

SECTION = "performance.alerts"
ENABLED = "enabled"
BASELINE = "baseline"
NAME_LIMIT = 100
_LONGEST_US = 366 * 24 * HOUR_US
_GREATEST = 1e15

DIMENSIONS: dict[str, Dimension] = {"agent": "agent_name", "model": "model", "project": "project"}
"""What group_by accepts, and the dimension of each."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When an alert fires, and which channels are notified. `_FIELDS` shows how each field is written in claude.json.

    `threshold` is in the unit of the metric. With `compared_to` it is a change in percent: from a baseline ("baseline"
    or "baseline:NAME"), or from the window that ended that many microseconds earlier. `window` is a length in
    microseconds that ends now, or the calendar day, week or month so far. `channels` None means all channels.
    """

    name: str
    metric: str
    operator: Operator
    threshold: float
    window: int | Period
    title: str
    severity: Severity = "warning"
    compared_to: str | int | None = None
    for_us: int = 0
    keep_firing_us: int = 10 * MINUTE_US
    min_samples: int = 1
    repeat_us: int = 4 * HOUR_US
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    group_by: str | None = None
    channels: tuple[str, ...] | None = None
    family: str | None = None
    objective: float | None = None
    short_window_us: int | None = None
    branches: tuple[str, ...] = ()

    @property
    def metric_info(self) -> Metric:
        """The metric that it measures."""
        return METRICS[self.metric]

    def is_breached(self, value: float, limit: float) -> bool:
        """Whether a value is on the wrong side of a limit."""
        match self.operator:
            case ">":
                return value > limit
            case ">=":
                return value >= limit
            case "<":
                return value < limit
            case "<=":
                return value <= limit


class Invalid(Exception):
    """A rule has an error, which the text explains. Never leaves this module."""


def _text(value: object) -> str:
    text: str = _of_kind(value, str)
    if not text:
        raise Invalid("must not be empty")
    # No engine stores these: every evaluation, of all rules, would fail.
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise Invalid(f"{text[:40]!a} holds a character that cannot be stored")
    return text


def _of_kind(value: object, kind: type) -> Any:
    problem = value_problem(value, kind)
    if problem:
        raise Invalid(problem)
    return value


def _span(value: object) -> int:
    try:
        span_us = parse_span(_text(value))
    except ValueError as error:
        raise Invalid(str(error)) from None
    if span_us > _LONGEST_US:
        raise Invalid("is longer than a year")
    return span_us


def _length(value: object) -> int:
    span_us = _span(value)
    if not span_us:
        raise Invalid("must be longer than 0")
    return span_us


def _window(value: object) -> int | Period:
    if value in ("day", "week", "month"):
        return value
    try:
        return _length(value)
    except Invalid as error:
        raise Invalid(f"{error} (or day, week or month)") from None


def _compared_to(value: object) -> str | int:
    if isinstance(value, str) and (value == BASELINE or value.startswith(f"{BASELINE}:")):
        if value == f"{BASELINE}:":
            raise Invalid("names no baseline: baseline:NAME, or baseline for the newest")
        return _text(value)
    try:
        return _length(value)
    except Invalid as error:
        raise Invalid(f"{error} (or baseline, or baseline:NAME)") from None


def _number(value: object) -> float:
    number = _of_kind(value, float)
    # Also refuses NaN.
    if not -_GREATEST < number < _GREATEST:
        raise Invalid(f"must be a number between -{_GREATEST:g} and {_GREATEST:g}")
    return float(number)


def _threshold(value: object) -> float:
    """A number, or a change such as "+50%"."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            change = _number(float(value[:-1]))
        except ValueError:
            raise Invalid(f"{value[:40]!a} is not a change such as +50%") from None
        if change <= -100:
            raise Invalid(f"{value[:40]!a} leaves nothing to compare with; give more than -100%")
        return change
    return _number(value)


def _count(value: object) -> int:
    count: int = _of_kind(value, int)
    if count < 0:
        raise Invalid("must be a whole number, 0 or more")
    return count


def _names(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(map(_text, found)))


def _one_of(*allowed: str) -> Callable[[object], Any]:
    def check(value: object) -> Any:
        if value not in allowed:
            raise Invalid(f"must be one of {', '.join(allowed)}")
        return value

    return check


def _metric(value: object) -> str:
    name = _text(value)
    if name not in METRICS:
        raise Invalid(f"{name[:40]!a} does not exist{nearest(name[:40], METRICS)}")
    return name


def _family(value: object) -> str:
    """The family in lower case. A model name gives its family."""
    return model_family(_text(value)).lower()


def _objective(value: object) -> float:
    found = _number(value)
    if not 0 < found < 100:
        raise Invalid("must be a percentage between 0 and 100")
    return found


class _Field(NamedTuple):
    """A field of claude.json: its name in `Rule`, and the function that reads it."""

    name: str
    read: Callable[[object], Any]


_FIELDS = {
    "metric": _Field("metric", _metric),
    "operator": _Field("operator", _one_of(*get_args(Operator))),
    "threshold": _Field("threshold", _threshold),  # 95, or "+50%" with compared_to
    "window": _Field("window", _window),  # "1h", or "day", "week" or "month" so far
    "compared_to": _Field("compared_to", _compared_to),  # "baseline", "baseline:NAME", or "7d" earlier
    "title": _Field("title", _text),
    "severity": _Field("severity", _one_of(*get_args(Severity))),
    "for": _Field("for_us", _span),
    "keep_firing_for": _Field("keep_firing_us", _span),
    "min_samples": _Field("min_samples", _count),
    "repeat": _Field("repeat_us", _length),
    "agent": _Field("agents", _names),  # a name, or a list of names
    "model": _Field("models", _names),
    "project": _Field("projects", _names),
    "source": _Field("sources", _names),
    "branch": _Field("branches", _names),
    "group_by": _Field("group_by", _one_of(*DIMENSIONS)),
    "channels": _Field("channels", _names),
    "family": _Field("family", _family),  # of model_share
    "objective": _Field("objective", _objective),  # of burn_rate, in percent
    "short_window": _Field("short_window_us", _length),  # of burn_rate
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "success-rate": {"metric": "success_rate", "operator": "<", "threshold": 95, "window": "1h", "min_samples": 10},
    "success-rate-critical": {
        "metric": "success_rate", "operator": "<", "threshold": 90, "window": "15m", "min_samples": 10,
        "severity": "critical", "title": "Critical success rate drop",
    },
    "p95-latency": {
        "metric": "p95_latency_ms", "operator": ">", "threshold": 10_000, "window": "1h", "min_samples": 20,
    },
    "average-time": {
        "metric": "avg_execution_time_ms", "operator": ">", "threshold": 10_000, "window": "1h", "min_samples": 10,
    },
    "cost-per-hour": {"metric": "total_cost", "operator": ">", "threshold": 1, "window": "1h"},
    "cost-per-execution": {
        "metric": "avg_cost_per_execution", "operator": ">", "threshold": "+50%", "compared_to": "baseline",
        "window": "24h", "min_samples": 20,
    },
    "token-growth": {
        "metric": "avg_tokens", "operator": ">", "threshold": "+30%", "compared_to": "7d", "window": "7d",
        "min_samples": 50, "repeat": "24h",
    },
    "haiku-share": {
        "metric": "model_share", "family": "haiku", "operator": "<", "threshold": 50, "window": "24h",
        "min_samples": 50, "repeat": "24h", "severity": "info",
    },
    "daily-budget": {
        "metric": "total_cost", "operator": ">", "window": "day", "title": "Daily Budget", "repeat": "24h",
    },
    "daily-budget-forecast": {
        "metric": "cost_forecast", "operator": ">", "window": "day", "title": "Daily Budget Forecast", "for": "30m",
        "repeat": "24h",
    },
    "monthly-budget": {
        "metric": "total_cost", "operator": ">", "window": "month", "title": "Monthly Budget", "repeat": "7d",
    },
    "monthly-budget-forecast": {
        "metric": "cost_forecast", "operator": ">", "window": "month", "title": "Monthly Budget Forecast", "for": "6h",
        "repeat": "7d",
    },
    "no-data": {"metric": "silence_hours", "operator": ">", "threshold": 24, "window": "1h", "keep_firing_for": "0s"},
    "error-budget-fast": {
        "metric": "burn_rate", "objective": 95, "operator": ">", "threshold": 14.4, "window": "1h",
        "short_window": "5m", "min_samples": 10, "severity": "critical",
    },
    "error-budget-slow": {
        "metric": "burn_rate", "objective": 95, "operator": ">", "threshold": 6, "window": "6h",
        "short_window": "30m", "min_samples": 20,
    },
    "five-hour-limit": {"metric": "five_hour_limit", "operator": ">=", "threshold": 90},
    "weekly-limit": {"metric": "weekly_limit", "operator": ">=", "threshold": 90, "repeat": "24h"},
}  # fmt: skip
"""The default rules: the key performance indicators of the guide, budgets, silence, the burn rates over two windows of
the Site Reliability Workbook (Beyer et al., 2018, chapter 5), and the limits of a Claude plan. All are off until
claude.json switches them on. Budgets have no default threshold."""


def load_rules(configured: Mapping[str, Any]) -> tuple[list[Rule], dict[str, str]]:
    """The rules that are on, in order, and the error of each rule that has one, by name."""
    rules: list[Rule] = []
    problems: dict[str, str] = {}
    for name, value in configured.items():
        try:
            rule = _rule(name, value)
        except Invalid as error:
            problems[name] = f"{problem_of(name)}{error}"
        else:
            rules += [rule] if rule is not None else []
    return rules, problems


def problem_of(name: str) -> str:
    """The start of every error line of a rule."""
    return f"{SECTION}: {for_terminal(name[:NAME_LIMIT])}: "


def default_rule(name: str) -> Rule | None:
    """A default rule as it is; None if there is none of this name, or it needs a threshold."""
    rules, _ = load_rules({name: True})
    return rules[0] if rules else None


def is_off(value: object) -> bool:
    """Whether the value of a rule in claude.json switches it off."""
    return value is False or value is None or (isinstance(value, Mapping) and value.get(ENABLED) is False)


def settings_of(value: object) -> dict[str, Any]:
    """The fields that a rule has in claude.json, without whether it is on."""
    return {key: found for key, found in value.items() if key != ENABLED} if isinstance(value, Mapping) else {}


def rule_as_if_on(configured: Mapping[str, Any], name: str) -> Rule | None:
    """A rule of claude.json or a default rule, on or off; None if it has an error or no settings."""
    rules, _ = load_rules({name: settings_of(configured.get(name)) or name in DEFAULTS})
    return rules[0] if rules else None


def check_rule(name: str, value: object) -> None:
    """Check a rule as it would be if it were on; a default rule that is off may lack what only its owner knows. Raises
    SettingsError with its error line."""
    try:
        _check_name(name)
        if not is_off(value):
            _rule(name, value)
        elif settings_of(value):
            _rule(name, settings_of(value))
    except Invalid as error:
        raise SettingsError(f"{problem_of(name)}{error}") from None


def _check_name(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > NAME_LIMIT or "@" in name:
        raise Invalid(f"a name has 1 to {NAME_LIMIT} printable characters, and no @")


def _rule(name: str, value: object) -> Rule | None:
    """The rule of this name; None if it is off. Raises Invalid."""
    _check_name(name)
    if is_off(value):
        return None
    if value is True and name not in DEFAULTS:
        raise Invalid(f"is not a default rule{nearest(name, DEFAULTS)}")
    if value is not True and not isinstance(value, Mapping):
        raise Invalid(f"must be true, false or an object, not {kind_of(value)}")
    problem = value_problem(value.get(ENABLED, True), bool) if isinstance(value, Mapping) else None
    if problem:
        raise Invalid(f"{ENABLED} {problem}")
    given = DEFAULTS.get(name, {}) | settings_of(value)
    return _checked(name, {key: found for key, found in given.items() if found is not None})


def _checked(name: str, given: Mapping[str, object]) -> Rule:
    values: dict[str, Any] = {}
    for key, value in given.items():
        field = _FIELDS.get(key)
        if field is None:
            raise Invalid(f"there is no {key[:40]!a}{nearest(key[:40], [*_FIELDS, ENABLED])}")
        try:
            values[field.name] = field.read(value)
        except Invalid as error:
            raise Invalid(f"{key} {error}") from None
    if "metric" in values and METRICS[values["metric"]].plan_limit is not None:
        # It is measured now; a window would say nothing.
        values.setdefault("window", HOUR_US)
    for key in ("metric", "operator", "threshold", "window"):
        if key not in values:
            raise Invalid(f"needs a {key}{_hint(name, key, values)}")
    values.setdefault("title", METRICS[values["metric"]].title)
    rule = Rule(name, **values)
    _check_change(rule, is_change=isinstance(given["threshold"], str))
    _check_together(rule)
    return rule


def _hint(name: str, key: str, values: Mapping[str, object]) -> str:
    """What to add after a missing field: its unit, or the default rule that was probably meant."""
    if key == "threshold" and values["metric"] in ("total_cost", "cost_forecast"):
        return " (in US dollars)"
    from difflib import get_close_matches

    near = [] if name in DEFAULTS else get_close_matches(name, DEFAULTS, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _check_change(rule: Rule, *, is_change: bool) -> None:
    """Refuse a change as threshold without `compared_to`, and the reverse."""
    if is_change and rule.compared_to is None:
        raise Invalid("a threshold such as +50% needs compared_to")
    if rule.compared_to is not None and not is_change:
        raise Invalid('with compared_to, threshold is a change such as "+50%"')
    if isinstance(rule.compared_to, str) and rule.metric not in BASELINE_METRICS:
        raise Invalid(f"{rule.metric} is not in baselines; compare to an earlier window, such as 7d")


BASELINE_METRICS = (
    "success_rate", "avg_execution_time_ms", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
    "avg_cost_per_execution", "avg_input_tokens", "avg_output_tokens", "model_share",
)  # fmt: skip
"""The metrics that compare to a baseline. Sums do not: a baseline covers another length of time than the window."""


def _check_together(rule: Rule) -> None:
    """Refuse fields that do not go together."""
    needs = {"model_share": ("family",), "burn_rate": ("objective", "short_window_us")}
    written = {field.name: key for key, field in _FIELDS.items()}
    for metric, names in needs.items():
        for name in names:
            if (getattr(rule, name) is not None) != (rule.metric == metric):
                missing = rule.metric == metric
                raise Invalid(f"{metric} needs {written[name]}" if missing else f"{written[name]} is only for {metric}")
    if rule.group_by and not rule.metric_info.groups:
        raise Invalid(f"{rule.metric} cannot be grouped")
    if rule.metric == "cost_forecast" and not isinstance(rule.window, str):
        raise Invalid("cost_forecast needs the window day, week or month")
    is_of_plan = rule.metric_info.plan_limit is not None
    if is_of_plan and (rule.agents or rule.models or rule.projects or rule.sources or rule.branches):
        raise Invalid(f"{rule.metric} is of the whole plan; it has no agent, model, project, source or branch")
    if rule.compared_to is not None and isinstance(rule.window, str):
        raise Invalid("with compared_to, the window must be a length such as 24h")
    if rule.compared_to is not None and (is_of_plan or rule.metric in ("silence_hours", "burn_rate", "cost_forecast")):
        raise Invalid(f"{rule.metric} cannot be compared")
    if rule.short_window_us and isinstance(rule.window, int) and rule.short_window_us >= rule.window:
        raise Invalid("short_window must be shorter than window")


assert {field.name for field in _FIELDS.values()} | {"name"} == {field.name for field in fields(Rule)}
