"""`claude-force alerts enable | disable | add | edit`: the rules of claude.json by verbs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.options import json_option
from claude_force.cli.say import say
from claude_force.cli.setting_changes import save_changes
from claude_force.errors import ClaudeForceError
from claude_force.settings.claude_json import load_settings
from claude_force.settings.home import Home, find_home

if TYPE_CHECKING:
    from claude_force.alerts.evaluation import Alert
    from claude_force.alerts.rule_changes import Changes

F = TypeVar("F", bound=Callable[..., Any])


class _Option(NamedTuple):
    """An option that sets the field of the same name."""

    help: str
    metavar: str = "TIME"
    kind: Any = str
    is_list: bool = False


_OPTIONS = {
    "metric": _Option("What is measured, such as success_rate or total_cost.", "NAME"),
    "below": _Option("Fires when the metric is below this.", "NUMBER"),
    "above": _Option("Fires when the metric is above this.", "NUMBER"),
    "threshold": _Option("The number of --operator; with --compared-to a change such as +50%.", "NUMBER"),
    "operator": _Option("On which side of the threshold it fires: >, >=, < or <=.", "SIGN"),
    "window": _Option("The period that is measured: 1h (default), 7d, or day, week or month so far."),
    "for": _Option("Fires when the metric was wrong for so long."),
    "min_samples": _Option("With fewer executions the metric is unknown.", "N", int),
    "severity": _Option("critical, error, warning (default) or info.", "NAME"),
    "compared_to": _Option("Compare with baseline, baseline:NAME, or a time before, such as 7d.", "WHAT"),
    "keep_firing_for": _Option("Ends when the metric was right for so long."),
    "repeat": _Option("Notify again after this time."),
    "agent": _Option("Only this agent. Repeatable.", "NAME", is_list=True),
    "model": _Option("Only this model. Repeatable.", "NAME", is_list=True),
    "project": _Option("Only this project. Repeatable.", "NAME", is_list=True),
    "source": _Option("Only claude-code, tracker or jsonl. Repeatable.", "NAME", is_list=True),
    "branch": _Option("Only this git branch. Repeatable.", "NAME", is_list=True),
    "group_by": _Option("One alert for each agent, model or project.", "NAME"),
    "channel": _Option("Notify only this channel. Repeatable.", "NAME", is_list=True),
    "title": _Option("The title of messages.", "TEXT"),
    "family": _Option("For model_share: haiku, sonnet, opus ...", "NAME"),
    "objective": _Option("For burn_rate: the promised success rate, in percent.", "NUMBER", float),
    "short_window": _Option("For burn_rate: the shorter of its two windows."),
}


def complete_rules(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    """The names of rules that begin with what was typed."""
    from claude_force.alerts.rules import DEFAULTS

    try:
        configured = _configured(find_home())
    except ClaudeForceError:
        configured = {}
    return sorted(name for name in {*configured, *DEFAULTS} if name.startswith(typed))


def _configured(home: Home) -> Mapping[str, Any]:
    """The rules of claude.json, those of the budgets included."""
    from claude_force.alerts.budget_rules import rules_of

    return rules_of(load_settings(home)[0])


names_argument = click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_rules)
name_argument = click.argument("name", metavar="NAME", shell_complete=complete_rules)


def rule_options(function: F) -> F:
    """Add an option for each field of a rule. The command receives them as `options`."""
    for name, option in reversed(_OPTIONS.items()):
        function = click.option(
            f"--{name.replace('_', '-')}", name, metavar=option.metavar, type=option.kind, multiple=option.is_list,
            help=option.help,
        )(function)  # fmt: skip
    return function


@click.command()
@names_argument
@json_option
def enable(names: tuple[str, ...], as_json: bool) -> None:
    """Switch rules on: default rules, or your own.

    \b
    Example:
      claude-force alerts enable success-rate p95-latency
    """
    from claude_force.alerts.rule_changes import enable as enable_rule

    home = find_home()
    configured = _configured(home)
    changes = {name: enable_rule(configured, name) for name in names}
    _save(home, changes, as_json=as_json)


@click.command()
@names_argument
@json_option
@database_option
def disable(names: tuple[str, ...], as_json: bool, location: str | None) -> None:
    """Switch rules off. They keep their settings.

    An alert that fires ends at once; where its beginning was sent, its end is sent at the next check.

    \b
    Example:
      claude-force alerts disable success-rate
    """
    from claude_force.alerts.rule_changes import disable as disable_rule

    if location is not None:
        # The alerts that end are in it: nothing is changed for a misspelt one.
        find_workspace(location)
    home = find_home()
    configured = _configured(home)
    changes = {name: disable_rule(configured, name) for name in names}
    _save(home, changes, location, as_json=as_json)


@click.command()
@click.argument("name", metavar="NAME")
@rule_options
@json_option
def add(name: str, as_json: bool, **options: Any) -> None:
    """Write a rule of your own.

    It needs --metric, and --below or --above.

    \b
    Example:
      claude-force alerts add spree --metric total_cost --above 5 --window 1h
    """
    from claude_force.alerts.rule_changes import add as add_rule

    home, fields = find_home(), _fields(options)
    if "metric" not in fields:
        raise click.UsageError("give --metric, such as success_rate or total_cost")
    if "threshold" not in fields or "operator" not in fields:
        raise click.UsageError("give --below or --above, with the number beyond which it fires")
    _save(home, {name: add_rule(_configured(home), name, fields)}, as_json=as_json)


@click.command()
@name_argument
@rule_options
@json_option
def edit(name: str, as_json: bool, **options: Any) -> None:
    """Change a rule: a default rule, or one of your own.

    What you do not name stays. A default rule that was never switched on or off is switched on.

    \b
    Example:
      claude-force alerts edit success-rate --threshold 98
    """
    from claude_force.alerts.rule_changes import edit as edit_rule

    home = find_home()
    _save(home, {name: edit_rule(_configured(home), name, _fields(options))}, as_json=as_json)


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of claude.json that the options set."""
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    found: dict[str, Any] = {}
    for name, value in given.items():
        match name:
            case "below" | "above":
                found |= {"operator": "<" if name == "below" else ">", "threshold": _number(value)}
            case "threshold":
                found["threshold"] = _number(value)
            case "channel":
                found["channels"] = list(value)
            case _:
                found[name] = _plain(value)
    sides = [name for name in ("below", "above", "threshold") if name in given]
    if len(sides) > 1 or (sides and sides[0] != "threshold" and "operator" in given):
        raise click.UsageError("give one of --below, --above, and --threshold with --operator")
    return found


def _plain(value: Any) -> Any:
    """A list of one name as the name, a whole number without its fraction."""
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(text: str) -> Any:
    """A number; a text that is none, such as +50%, as it is."""
    try:
        return _plain(float(text))
    except ValueError:
        return text


def _save(home: Home, changes: Mapping[str, Changes], location: str | None = None, *, as_json: bool) -> None:
    """Save the changes of rules, and show each rule."""
    from claude_force.alerts.channels.settings import load_channels
    from claude_force.alerts.rules import is_off, rule_as_if_on
    from claude_force.reports.layouts.alerts import changed_rule_dict, changed_rule_lines, ended_line, next_steps

    everything = {path: value for change in changes.values() for path, value in change.items()}
    ended = save_changes(home, everything, location) if everything else []
    alerts = _configured(home)
    states: dict[str, dict[str, Any]] = {
        name: {"rule": rule_as_if_on(alerts, name), "is_on": not is_off(alerts.get(name)), "has_changed": bool(change)}
        for name, change in changes.items()
    }
    if as_json:
        shown = [changed_rule_dict(name, **state) for name, state in states.items()]
        click.echo(json.dumps({"rules": shown, "ended": [_ended_dict(alert) for alert in ended]}, indent=2))
        return
    lines = [line for name, state in states.items() for line in changed_rule_lines(name, **state)]
    if any(state["is_on"] and state["has_changed"] for state in states.values()):
        channels, _ = load_channels(load_settings(home)[0].channels, os.environ, home.folder)
        lines += next_steps(has_channels=bool(channels))
    for line in [*lines, *map(ended_line, ended)]:
        say(line)


def _ended_dict(alert: Alert) -> dict[str, Any]:
    return {"rule": alert.name, "labels": dict(alert.labels), "would": alert.decision.action}
