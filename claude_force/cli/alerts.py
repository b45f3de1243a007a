"""`claude-force alerts`: list, check, silence and explain alert rules, and test channels."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.analytics.groups import RowChoice
from claude_force.cli.alert_rules import add, complete_rules, disable, edit, enable
from claude_force.cli.asked import asked
from claude_force.cli.chosen_database import database_option, group_database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.lazy import CommandGroup
from claude_force.cli.options import json_option
from claude_force.cli.period import period_options, take_period
from claude_force.cli.rows import row_options
from claude_force.cli.say import say
from claude_force.errors import ClaudeForceError
from claude_force.settings.claude_json import load_settings
from claude_force.settings.home import find_home
from claude_force.time_windows import heading_of

if TYPE_CHECKING:
    from claude_force.alerts.check import AlertSetup
    from claude_force.alerts.evaluation import Evaluation
    from claude_force.alerts.outbox import Sent


def _complete_channels(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    try:
        found = load_settings(find_home())[0].channels
    except ClaudeForceError:
        return []
    from claude_force.alerts.check import FROM_ENVIRONMENT

    return sorted(name for name in {*found, *FROM_ENVIRONMENT} if name.startswith(typed))


rule_argument = click.argument("name", metavar="NAME", shell_complete=complete_rules)


@click.group(cls=CommandGroup)
@group_database_option
def alerts() -> None:
    """Watch rates, times and costs, and notify people.

    Notifications go by email, Slack, PagerDuty and others.

    Rules are in performance.alerts of claude.json, channels in performance.channels. `claude-force scheduler start`
    checks the rules every minute.

    \b
    Example:
      claude-force alerts enable success-rate
      claude-force budgets    # each budget brings rules of its own
    """


for command in (enable, disable, add, edit):
    alerts.add_command(command)


@alerts.command("list")
@json_option
@database_option
def list_(as_json: bool, location: str | None) -> None:
    """List the rules, the state of each alert, and the silences.

    \b
    Example:
      claude-force alerts list
    """
    from claude_force.alerts.inspection import list_alerts
    from claude_force.reports.layouts.alerts import list_dict, list_page
    from claude_force.reports.render import write_page

    found = list_alerts(find_workspace(location), clock.now_us())
    if _is_handed_over(found, list_dict(found)):
        pass
    elif as_json:
        click.echo(_as_json(list_dict(found)))
    elif found.is_empty:
        click.echo(_no_rule_on())
    else:
        write_page(list_page(found), sys.stdout)
    _warn_of_problems(found.setup)


def _is_handed_over(found: object, shown: dict[str, Any]) -> bool:
    """Hand the answer to the page that asks; returns whether one does."""
    if page := asked():
        page.take(found, lambda file: print(_as_json(shown), file=file))
        return True
    return False


def _as_json(shown: dict[str, Any]) -> str:
    return json.dumps(shown, indent=2)


def _no_rule_on() -> str:
    from textwrap import fill

    from claude_force.alerts.rules import DEFAULTS
    from claude_force.alerts.wording import default_condition

    width = max(map(len, DEFAULTS))
    indent = " " * (width + 4)
    lines = "\n".join(
        fill(f"  {name:{width}}  {default_condition(name)}", 80, subsequent_indent=indent, break_on_hyphens=False)
        for name in DEFAULTS
    )
    return (
        "No alert rule is on. The default rules:\n"
        f"{lines}\n"
        "To switch one on: claude-force alerts enable success-rate\n"
        "For a budget:     claude-force alerts edit daily-budget --threshold 20\n"
        "For several:      claude-force budgets --help\n"
        "To write your own: claude-force alerts add --help"
    )


def _warn_of_problems(setup: AlertSetup) -> None:
    for problem in setup.problems:
        say(f"warning: {problem}", err=True)


@alerts.command()
@click.option(
    "--rule",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_rules,
    help="Check only this rule; a default rule need not be on. Repeatable.",
)
@click.option(
    "--channel",
    metavar="NAME",
    shell_complete=_complete_channels,
    help="Notify only this channel, with alerts of its own.",
)
@click.option("--dry-run", is_flag=True, help="Show the result; save and send nothing.")
@json_option
@database_option
def check(
    names: tuple[str, ...], channel: str | None, dry_run: bool, as_json: bool, location: str | None
) -> None:  # fmt: skip
    """Check the rules once, and send notifications. Exit 1 if an alert fires.

    Runs one check, as the scheduler does every minute. For cron. However often it runs, an alert is notified once when
    it fires, again after its repeat interval, and once when it is resolved.

    \b
    Example:
      claude-force alerts check --dry-run
    """
    from claude_force.alerts.check import for_channel, for_rules, load_alert_setup, preview_check, run_check
    from claude_force.alerts.outbox import deliver

    workspace = find_workspace(location)
    setup = load_alert_setup(workspace)
    if channel is not None:
        setup = for_channel(setup, names, channel)
    elif names:
        setup = for_rules(setup, names)
    _warn_of_problems(setup)
    sent: list[Sent] = []
    if dry_run:
        with workspace.database.read() as connection:
            found = preview_check(connection, workspace, setup, clock.now_us())
    else:
        found = run_check(workspace, setup, clock.now_us())
        sent = deliver(workspace.database, setup.channels, clock.now_us, None if channel is None else (channel,))
    _print_check(found, sent, setup, dry_run=dry_run, as_json=as_json)
    if found.firing:
        sys.exit(1)


def _print_check(found: Evaluation, sent: list[Sent], setup: AlertSetup, *, dry_run: bool, as_json: bool) -> None:
    from claude_force.reports.layouts.alerts import alert_dict, alert_line

    if as_json:
        messages = [{"channel": item.channel, "alerts": item.notifications, **item.outcome._asdict()} for item in sent]
        shown = {
            "dry_run": dry_run,
            "firing": len(found.firing),
            "alerts": [alert_dict(alert) for alert in found.alerts],
            "sent": messages,
            "problems": list(setup.problems),
        }
        click.echo(json.dumps(shown, indent=2))
        return
    if not found.alerts:
        say("No alert rule is on: claude-force alerts list")
    for alert in found.alerts:
        say(alert_line(alert))
    for item in sent:
        problem = f": {item.outcome.problem}" if item.outcome.problem else ""
        outcome = {"delivered": "delivered", "retry": "will be retried", "failed": "FAILED"}[item.outcome.status]
        say(f"{item.channel}: {outcome}{problem}")


@alerts.command()
@period_options
@row_options
@json_option
@database_option
def history(rows: RowChoice, as_json: bool, location: str | None, **period: Any) -> None:
    """List the transitions of alerts, and failed deliveries.

    The newest stands first. Without a period it shows the last 7 days, without --limit 50 transitions.

    \b
    Example:
      claude-force alerts history --days 30
    """
    from claude_force.alerts.check import load_alert_setup
    from claude_force.alerts.inspection import read_history
    from claude_force.reports.layouts.alerts import history_dict, history_page
    from claude_force.reports.render import write_page

    now_us = clock.now_us()
    window = take_period(period, clock.local_zone(), now_us)
    workspace = find_workspace(location)
    found = read_history(workspace, window, now_us, rows)
    if _is_handed_over(found, history_dict(found)):
        return
    if as_json:
        click.echo(_as_json(history_dict(found)))
    elif not found.events and not found.failed:
        say(f"No alert changed ({heading_of(found.period)})")
    else:
        write_page(history_page(found, load_alert_setup(workspace).rules), sys.stdout)


@alerts.command()
@rule_argument
@click.option("--for", "span", required=True, metavar="TIME", help="How long, such as 30m, 2h, 1d.")
@click.option("--comment", metavar="TEXT", help="The reason, shown to others.")
@database_option
def silence(name: str, span: str, comment: str | None, location: str | None) -> None:
    """Stop notifications of a rule for a while.

    The rule is still checked. What fires when the silence ends is notified then.

    \b
    Example:
      claude-force alerts silence success-rate --for 2h --comment "release"
    """
    from claude_force.alerts.silences import silence_end, silence_rule
    from claude_force.database.rows.alerts import Silence

    now_us = clock.now_us()
    try:
        until_us = silence_end(span, now_us)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from None
    silence_rule(find_workspace(location), Silence(name, until_us, now_us, comment))
    until = clock.to_datetime(until_us, clock.local_zone())
    say(f"{name} is silenced until {until:%Y-%m-%d %H:%M}")


@alerts.command()
@rule_argument
@database_option
def unsilence(name: str, location: str | None) -> None:
    """End the silence of a rule.

    \b
    Example:
      claude-force alerts unsilence success-rate
    """
    from claude_force.alerts.silences import end_silence

    was_silenced = end_silence(find_workspace(location), name)
    say(f"{name} is {'no longer' if was_silenced else 'not'} silenced")


@alerts.command("test")
@click.argument("channel", metavar="CHANNEL", shell_complete=_complete_channels)
@database_option
def test(channel: str, location: str | None) -> None:
    """Send a test message on a channel, and show the result.

    Exit 1 if it was not delivered. On PagerDuty, it opens an incident and resolves it.

    \b
    Example:
      claude-force alerts test slack
    """
    from claude_force.alerts.check import load_alert_setup, send_test

    workspace = find_workspace(location)
    outcome = send_test(workspace, load_alert_setup(workspace), channel, clock.now_us())
    problem = f": {outcome.problem}" if outcome.problem else ""
    say(f"{channel}: {'delivered' if outcome.status == 'delivered' else 'not delivered'}{problem}")
    if outcome.status != "delivered":
        sys.exit(1)


@alerts.command()
@rule_argument
@json_option
@database_option
def explain(name: str, as_json: bool, location: str | None) -> None:
    """Show what a rule measures now, and why it fires or not.

    \b
    Example:
      claude-force alerts explain success-rate
    """
    from claude_force.alerts.inspection import explain as explain_rule
    from claude_force.reports.layouts.alerts import explain_page, explanation_dict
    from claude_force.reports.render import write_page

    found = explain_rule(find_workspace(location), name, clock.now_us())
    if _is_handed_over(found, explanation_dict(found)):
        return
    if as_json:
        click.echo(_as_json(explanation_dict(found)))
    else:
        write_page(explain_page(found), sys.stdout)
