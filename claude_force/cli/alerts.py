"""`claude-force alerts`: what is watched, where it stands, and who is told."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace
from claude_force.errors import ClaudeForceError, SettingsError
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.alerts.check import AlertSetup
    from claude_force.alerts.evaluation import Evaluation
    from claude_force.alerts.outbox import Sent
    from claude_force.database.workspace import Workspace

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


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
    """Watch rates, times and costs, and tell who should know.

    They are told by mail, Slack, PagerDuty and others.

    The rules are in performance.alerts of claude.json, the channels in performance.channels; `claude-force scheduler
    start` evaluates them every minute.

    \b
    Example:
      claude-force alerts list
    """


@alerts.command("list")
@json_option
@database_option
def list_(as_json: bool, location: str | None) -> None:
    """List the rules that are switched on, and where each stands now.

    \b
    Example:
      claude-force alerts list
    """
    from claude_force.alerts.check import load_alert_setup, look_at
    from claude_force.reports.layouts.alerts import alert_dict, list_page
    from claude_force.reports.render import write_page

    workspace = find_workspace(location)
    setup = load_alert_setup(workspace)
    found = look_at(workspace, setup, clock.now_us())
    if as_json:
        shown = {
            "alerts": [alert_dict(alert) for alert in found.alerts],
            "channels": list(setup.channels),
            "problems": list(setup.problems),
        }
        click.echo(json.dumps(shown, indent=2))
    elif not setup.rules and not found.alerts:
        click.echo(_nothing_watched())
    else:
        write_page(list_page(found, setup), sys.stdout)
    _say_problems(setup)


def _nothing_watched() -> str:
    from claude_force.alerts.rules import DEFAULTS

    names = "\n".join(f"  {name}" for name in DEFAULTS)
    return (
        "No alert rule is switched on. Ours, to be switched on by name:\n"
        f"{names}\n"
        "For example: claude-force config set performance.alerts '{\"success-rate\": true}'\n"
        "What each means, and rules of your own: docs/reference/alert-rules.md"
    )


def _say_problems(setup: AlertSetup) -> None:
    for problem in setup.problems:
        click.echo(f"warning: {for_terminal(problem)}", err=True)


@alerts.command()
@click.option(
    "--rule",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=_complete_rules,
    help="Only this rule, also one of ours that is not switched on. Repeatable.",
)
@click.option(
    "--channel",
    metavar="NAME",
    shell_complete=_complete_channels,
    help="Tell this channel alone, apart from what others are told.",
)
@click.option("--dry-run", is_flag=True, help="Say what would follow; change and send nothing.")
@json_option
@database_option
def check(
    names: tuple[str, ...], channel: str | None, dry_run: bool, as_json: bool, location: str | None
) -> None:  # fmt: skip
    """Evaluate the rules once, and send what is due. Exit 1 if an alert fires.

    What the scheduler does every minute, for who uses cron. What fires is told once, again after its repeat interval,
    and once when it is over, however often this runs.

    \b
    Example:
      claude-force alerts check --dry-run
    """
    from claude_force.alerts.check import evaluate_at, for_channel, load_alert_setup, look_at, part_of
    from claude_force.alerts.outbox import deliver

    workspace = find_workspace(location)
    setup = load_alert_setup(workspace)
    if channel is not None:
        setup = for_channel(setup, names, channel)
    elif names:
        setup = part_of(setup, names)
    _say_problems(setup)
    sent: list[Sent] = []
    if dry_run:
        found = look_at(workspace, setup, clock.now_us())
    else:
        found = evaluate_at(workspace, setup, clock.now_us())
        sent = deliver(workspace.database, setup.channels, clock.now_us, None if channel is None else (channel,))
    _say_check(found, sent, setup, dry_run=dry_run, as_json=as_json)
    if found.firing:
        sys.exit(1)


def _say_check(found: Evaluation, sent: list[Sent], setup: AlertSetup, *, dry_run: bool, as_json: bool) -> None:
    from claude_force.reports.layouts.alerts import alert_dict, alert_line

    if as_json:
        messages = [{"channel": item.channel, "alerts": item.notices, **item.outcome._asdict()} for item in sent]
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
        click.echo("No alert rule is switched on: claude-force alerts list")
    for alert in found.alerts:
        click.echo(for_terminal(alert_line(alert)))
    for item in sent:
        problem = f": {item.outcome.problem}" if item.outcome.problem else ""
        outcome = {"delivered": "told", "retry": "to be tried again", "failed": "FAILED"}[item.outcome.status]
        click.echo(for_terminal(f"{item.channel}: {outcome}{problem}"))


@alerts.command()
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, metavar="N", help="So many days.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@json_option
@database_option
def history(days: int, limit: int, as_json: bool, location: str | None) -> None:
    """List what became of alerts, the newest first. Below it stands what could not be delivered.

    \b
    Example:
      claude-force alerts history --days 30
    """
    from claude_force.alerts.check import load_alert_setup
    from claude_force.database.queries import alerts as alert_queries
    from claude_force.database.rows.alerts import FAILED
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
        click.echo(f"Nothing became of any alert in {days} days")
    else:
        write_page(history_page(events, failed, days, load_alert_setup(workspace).rules), sys.stdout)


@alerts.command()
@rule_argument
@click.option("--for", "span", required=True, metavar="TIME", help="How long: 30m, 2h, 1d.")
@click.option("--comment", metavar="TEXT", help="Why, for others.")
@database_option
def silence(name: str, span: str, comment: str | None, location: str | None) -> None:
    """Tell nobody of a rule for a while. It is evaluated all the same; what still fires afterwards is told then.

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
    click.echo(for_terminal(f"{name} is silent until {until:%Y-%m-%d %H:%M}"))


def _refuse_unknown(workspace: Workspace, name: str) -> None:
    from claude_force.alerts.rules import DEFAULTS, nearest

    known = dict.fromkeys([*workspace.settings.alerts, *DEFAULTS])
    if name not in known:
        raise SettingsError(f"no alert rule {name}; {nearest(name, known)}")


@alerts.command()
@rule_argument
@database_option
def unsilence(name: str, location: str | None) -> None:
    """End a silence before its time.

    \b
    Example:
      claude-force alerts unsilence success-rate
    """
    from claude_force.database.writes import alerts as alert_writes

    workspace = find_workspace(location)
    with workspace.database.write() as connection:
        was_silent = alert_writes.unsilence(connection, name)
    if not was_silent:
        _refuse_unknown(workspace, name)
    click.echo(for_terminal(f"{name} is {'heard again' if was_silent else 'not silenced'}"))


@alerts.command("test")
@click.argument("channel", metavar="CHANNEL", shell_complete=_complete_channels)
@database_option
def test(channel: str, location: str | None) -> None:
    """Send a test message on a channel, and say what came of it.

    Exit 1 if it was not delivered. On PagerDuty it opens an incident and resolves it.

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
    """Say what a rule measures now, and why it fires or does not.

    \b
    Example:
      claude-force alerts explain success-rate
    """
    from claude_force.alerts.check import load_alert_setup, look_at, part_of
    from claude_force.database.queries import alerts as alert_queries
    from claude_force.reports.layouts.alerts import alert_dict, delivery_dict, explain_page
    from claude_force.reports.render import write_page

    workspace, now_us = find_workspace(location), clock.now_us()
    whole = load_alert_setup(workspace)
    setup = part_of(whole, (name,))
    found = look_at(workspace, setup, now_us).alerts
    with workspace.database.read() as connection:
        silenced = alert_queries.silences(connection, now_us).get(name)
        episodes = [alert.status.episode for alert in found if alert.status.episode]
        said = [delivery for episode in episodes for delivery in alert_queries.of_episode(connection, episode)]
    is_on = name in {rule.name for rule in whole.rules}
    if as_json:
        shown: dict[str, Any] = {
            "rule": name,
            "is_on": is_on,
            "silenced_until": silenced and clock.format_instant(silenced.until_us, clock.local_zone()),
            "alerts": [alert_dict(alert) for alert in found],
            "deliveries": [*map(delivery_dict, said)],
        }
        click.echo(json.dumps(shown, indent=2))
    else:
        write_page(explain_page(setup.rules[0], found, silenced, said, is_on=is_on), sys.stdout)
