"""`claude-force alerts`: list, check, silence and explain alert rules, and test channels."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace, json_option
from claude_force.errors import ClaudeForceError, SettingsError
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.alerts.check import AlertSetup
    from claude_force.alerts.evaluation import Evaluation
    from claude_force.alerts.outbox import Sent
    from claude_force.database.workspace import Workspace


def _complete_rules(context: click.Context, _: click.Parameter, typed: str) -> list[str]:
    from claude_force.alerts.rules import DEFAULTS

    try:
        configured = list(find_workspace(context.params.get("location")).settings.alerts)
    except ClaudeForceError:
        configured = []
    return sorted(name for name in {*configured, *DEFAULTS} if name.startswith(typed))


def _complete_channels(context: click.Context, _: click.Parameter, typed: str) -> list[str]:
    try:
        found = find_workspace(context.params.get("location")).settings.channels
    except ClaudeForceError:
        return []
    from claude_force.alerts.check import FROM_ENVIRONMENT

    return sorted(name for name in {*found, *FROM_ENVIRONMENT} if name.startswith(typed))


rule_argument = click.argument("name", metavar="NAME", shell_complete=_complete_rules)


@click.group()
def alerts() -> None:
    """Watch rates, times and costs, and notify people.

    Notifications go by email, Slack, PagerDuty and others.

    Rules are in performance.alerts of claude.json, channels in performance.channels. `claude-force scheduler start`
    checks the rules every minute.

    \b
    Example:
      claude-force alerts list
    """


@alerts.command("list")
@json_option
@database_option
def list_(as_json: bool, location: str | None) -> None:
    """List the rules, the state of each alert, and the silences.

    \b
    Example:
      claude-force alerts list
    """
    from claude_force.alerts.check import load_alert_setup, preview_check
    from claude_force.database.queries import alerts as alert_queries
    from claude_force.reports.layouts.alerts import alert_dict, list_page, silence_dict
    from claude_force.reports.render import write_page

    workspace, now_us = find_workspace(location), clock.now_us()
    setup = load_alert_setup(workspace)
    with workspace.database.read() as connection:
        found = preview_check(connection, workspace, setup, now_us)
        silences = alert_queries.silences(connection, now_us)
    if as_json:
        shown = {
            "alerts": [alert_dict(alert) for alert in found.alerts],
            "channels": list(setup.channels),
            "silences": [*map(silence_dict, silences.values())],
            "problems": list(setup.problems),
        }
        click.echo(json.dumps(shown, indent=2))
    elif not (setup.rules or found.alerts or silences):
        click.echo(_no_rule_on())
    else:
        write_page(list_page(found, list(setup.channels), silences), sys.stdout)
    _warn_of_problems(setup)


def _no_rule_on() -> str:
    from claude_force.alerts.rules import DEFAULTS

    names = "\n".join(f"  {name}" for name in DEFAULTS)
    return (
        "No alert rule is on. The default rules:\n"
        f"{names}\n"
        "To switch one on: claude-force config set performance.alerts '{\"success-rate\": true}'\n"
        "Their meaning, and how to write your own: docs/reference/alert-rules.md"
    )


def _warn_of_problems(setup: AlertSetup) -> None:
    for problem in setup.problems:
        click.echo(f"warning: {for_terminal(problem)}", err=True)


@alerts.command()
@click.option(
    "--rule",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=_complete_rules,
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
        click.echo("No alert rule is on: claude-force alerts list")
    for alert in found.alerts:
        click.echo(for_terminal(alert_line(alert)))
    for item in sent:
        problem = f": {item.outcome.problem}" if item.outcome.problem else ""
        outcome = {"delivered": "delivered", "retry": "will be retried", "failed": "FAILED"}[item.outcome.status]
        click.echo(for_terminal(f"{item.channel}: {outcome}{problem}"))


@alerts.command()
@click.option(
    "--days", type=click.IntRange(1, 90), default=7, show_default=True, metavar="N", help="How far to look back."
)
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="Show at most this many."
)
@json_option
@database_option
def history(days: int, limit: int, as_json: bool, location: str | None) -> None:
    """List the transitions of alerts, and failed deliveries.

    \b
    Example:
      claude-force alerts history --days 30
    """
    from claude_force.alerts.check import load_alert_setup
    from claude_force.database.queries import alerts as alert_queries
    from claude_force.database.rows.alerts import FAILED
    from claude_force.formatting import quantity
    from claude_force.reports.layouts.alerts import delivery_dict, event_dict, history_page
    from claude_force.reports.render import write_page

    workspace = find_workspace(location)
    since_us = clock.now_us() - days * clock.DAY_US
    with workspace.database.read() as connection:
        events = alert_queries.events(connection, since_us, limit)
        failed = alert_queries.by_status(connection, FAILED, since_us)
    if as_json:
        shown = {"events": [*map(event_dict, events)], "failed_deliveries": [*map(delivery_dict, failed)]}
        click.echo(json.dumps(shown, indent=2))
    elif not events and not failed:
        click.echo(f"No alert changed in the last {quantity(days, 'day')}")
    else:
        write_page(history_page(events, failed, days, load_alert_setup(workspace).rules), sys.stdout)


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
    from claude_force.database.rows.alerts import Silence
    from claude_force.database.writes import alerts as alert_writes

    workspace, now_us = find_workspace(location), clock.now_us()
    _refuse_unknown(workspace, name)
    try:
        until_us = now_us + clock.parse_span(span)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from None
    if not now_us < until_us < clock.LATEST_US:
        raise click.UsageError("--for: give a length of time such as 30m, 2h or 1d")
    with workspace.database.write() as connection:
        alert_writes.silence(connection, Silence(name, until_us, now_us, comment))
    until = clock.to_datetime(until_us, clock.local_zone())
    click.echo(for_terminal(f"{name} is silenced until {until:%Y-%m-%d %H:%M}"))


def _refuse_unknown(workspace: Workspace, name: str) -> None:
    from claude_force.alerts.rules import DEFAULTS
    from claude_force.settings.values import nearest

    known = dict.fromkeys([*workspace.settings.alerts, *DEFAULTS])
    if name not in known:
        raise SettingsError(f"no alert rule {name}{nearest(name, known)}")


@alerts.command()
@rule_argument
@database_option
def unsilence(name: str, location: str | None) -> None:
    """End the silence of a rule.

    \b
    Example:
      claude-force alerts unsilence success-rate
    """
    from claude_force.database.writes import alerts as alert_writes

    workspace = find_workspace(location)
    with workspace.database.write() as connection:
        was_silenced = alert_writes.unsilence(connection, name)
    if not was_silenced:
        _refuse_unknown(workspace, name)
    click.echo(for_terminal(f"{name} is {'no longer' if was_silenced else 'not'} silenced"))


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
    click.echo(for_terminal(f"{channel}: {'delivered' if outcome.status == 'delivered' else 'not delivered'}{problem}"))
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
    from claude_force.alerts.check import for_rules, load_alert_setup, preview_check
    from claude_force.database.queries import alerts as alert_queries
    from claude_force.reports.layouts.alerts import alert_dict, delivery_dict, explain_page
    from claude_force.reports.render import write_page

    workspace, now_us = find_workspace(location), clock.now_us()
    whole = load_alert_setup(workspace)
    setup = for_rules(whole, (name,))
    with workspace.database.read() as connection:
        found = preview_check(connection, workspace, setup, now_us).alerts
        silence = alert_queries.silences(connection, now_us).get(name)
        episodes = [alert.status.episode for alert in found if alert.status.episode]
        sent = [delivery for episode in episodes for delivery in alert_queries.of_episode(connection, episode)]
    is_on = name in {rule.name for rule in whole.rules}
    if as_json:
        shown: dict[str, Any] = {
            "rule": name,
            "is_on": is_on,
            "silenced_until": silence and clock.format_instant(silence.until_us, clock.local_zone()),
            "alerts": [alert_dict(alert) for alert in found],
            "deliveries": [*map(delivery_dict, sent)],
        }
        click.echo(json.dumps(shown, indent=2))
    else:
        write_page(explain_page(setup.rules[0], found, silence, sent, is_on=is_on), sys.stdout)
