"""`claude-force alerts`, run by a person and by cron."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from claude_force import clock
from claude_force.alerts.rules import DEFAULTS
from claude_force.database.open import open_database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import WAITING, Delivery
from claude_force.database.writes import Store
from claude_force.database.writes import alerts as alert_writes
from claude_force.executions.record import fresh_uid
from tests.builders import a_notification, an_execution
from tests.conftest import Run
from tests.counterparts import ScriptedServer, scripted, unused_port

HOSTILE = (
    "<!channel>", "a\r\nBcc: b@c.d", "\x1b[31mred", "=HYPERLINK(1)", "x" * 200, "\u202eabc", "宽" * 90, "a\tb\x07",
)  # fmt: skip

FAILURES = {"metric": "failed_executions", "operator": ">", "threshold": 0, "window": "1h"}
SLOW = {"metric": "avg_execution_time_ms", "operator": ">", "threshold": 1, "window": "1h"}


def configure(home: Path, alerts: object, channels: Mapping[str, Any] = {}) -> None:
    """Write claude.json."""
    content = {"performance": {"alerts": alerts, "channels": channels}}
    (home / ".claude" / "claude.json").write_text(json.dumps(content))


def fill(home: Path, *agents: str, success: bool = False, count: int = 1) -> None:
    """Record executions one minute old in the home's database."""
    at_us = clock.now_us() - 60 * clock.SECOND_US
    with closing(open_database(str(home / ".claude" / "metrics" / "metrics.db"))) as database:
        Store(database).add(
            [
                an_execution(timestamp_us=at_us, agent_name=agent, success=success)
                for agent in agents or ("x",)
                for _ in range(count)
            ]
        )


def tables(home: Path) -> list[list[tuple[Any, ...]]]:
    """All rows of all alert tables."""
    with (
        closing(open_database(str(home / ".claude" / "metrics" / "metrics.db"))) as database,
        database.read() as connection,
    ):
        names = ("alert_states", "alert_events", "deliveries", "silences")
        return [sorted(connection.fetch(f"SELECT * FROM {name}"), key=repr) for name in names]


def slack(server: ScriptedServer) -> dict[str, str]:
    """The environment that makes the server the Slack channel."""
    return {"SLACK_WEBHOOK_URL": server.url}


def assert_error(done: Any, *parts: str, code: int = 1) -> None:
    """The command failed with one line that contains these parts."""
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert [part for part in parts if part not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr


def test_a_new_home_lists_the_default_rules(run: Run) -> None:
    """With nothing configured, the list names the default rules and how to switch one on; nothing fires."""
    done = run("alerts", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "No alert rule is on" in done.stdout
    assert "Success rate < 95.0% (last 1 hour)" in done.stdout
    assert "claude-force alerts edit daily-budget --threshold 20\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert all(f"\n  {name} " in done.stdout for name in DEFAULTS)
    nothing: dict[str, Any] = {"alerts": [], "channels": [], "silences": [], "off": [], "problems": []}
    assert json.loads(run("alerts", "list", "--json").stdout) == nothing
    checked = run("alerts", "check")
    assert (checked.returncode, checked.stdout) == (0, "No alert rule is on: claude-force alerts list\n")
    assert run("alerts", "history").stdout == "No alert changed (Last 7 days)\n"


def test_the_example_of_the_empty_list_works(run: Run, home: Path) -> None:
    """The example of the empty list switches a rule on."""
    (line,) = [line for line in run("alerts", "list").stdout.splitlines() if line.startswith("To switch one on")]
    assert run(*line.removeprefix("To switch one on: claude-force ").split()).returncode == 0
    assert "success-rate  " in run("alerts", "list").stdout


def test_a_list_of_rules(run: Run, home: Path) -> None:
    """Each alert has its state, value and threshold. Firing alerts come first, and the page says that nobody is
    notified."""
    configure(home, {"slow": SLOW, "mine": FAILURES, "quiet": False, "p95-latency": True})
    fill(home)
    done = run("alerts", "list")
    rows = [line.split() for line in done.stdout.splitlines() if line[:1].islower()]
    assert [(row[0], row[1]) for row in rows] == [("slow", "FIRING"), ("mine", "FIRING"), ("p95-latency", "no")]
    assert "> 1ms" in done.stdout
    assert done.stdout.splitlines()[-2] == "No channel: nobody is notified. On this desktop:"
    assert done.stdout.splitlines()[-1].startswith("  claude-force config set performance.channels.desk ")
    shown = json.loads(run("alerts", "list", "--json").stdout)
    assert [(found["rule"], found["state"], found["value"]) for found in shown["alerts"]] == [
        ("slow", "firing", 3456.0), ("mine", "firing", 1), ("p95-latency", "no data", None),
    ]  # fmt: skip
    assert tables(home) == [[], [], [], []]


def test_the_history_shows_the_unit_of_a_rule_limited_to_one_channel(run: Run, home: Path) -> None:
    """An alert that exists for one channel only belongs to the same rule, so a percentage is shown as a percentage."""
    configure(home, {"rate": {"metric": "success_rate", "operator": "<", "threshold": 95, "window": "1h"}})
    fill(home)
    with scripted() as server:
        run("alerts", "check", "--rule", "rate", "--channel", "slack", env=slack(server))
    (line,) = [line for line in run("alerts", "history").stdout.splitlines() if "rate@slack" in line]
    assert " 0.0% " in line


def test_a_check_notifies_once_and_exits_1_while_an_alert_fires(run: Run, home: Path) -> None:
    """A breach is notified once, no matter how often the check runs. The exit code is 1 while the alert fires."""
    configure(home, {"mine": FAILURES})
    fill(home, success=True)
    with scripted() as server:
        assert run("alerts", "check", env=slack(server)).returncode == 0
        fill(home)
        first = run("alerts", "check", env=slack(server))
        again = run("alerts", "check", env=slack(server))
        assert (first.returncode, again.returncode) == (1, 1)
        assert first.stdout == "mine: firing (was ok), 1; beyond its threshold\nslack: delivered\n"
        assert again.stdout == "mine: firing, 1; still breached, already notified\n"
        assert len(server.requests) == 1
        configure(home, {})
        ended = run("alerts", "check", env=slack(server))
        assert (ended.returncode, len(server.requests)) == (0, 2)
        assert "slack: delivered" in ended.stdout


def test_a_dry_run_saves_and_sends_nothing(run: Run, home: Path) -> None:
    """--dry-run shows the result, with the exit code of the check."""
    configure(home, {"mine": FAILURES})
    fill(home)
    with scripted() as server:
        done = run("alerts", "check", "--dry-run", "--json", env=slack(server))
        shown = json.loads(done.stdout)
        assert (done.returncode, shown["dry_run"], shown["firing"], shown["sent"]) == (1, True, 1, [])
        assert shown["alerts"][0]["would"] == "trigger"
        assert (server.requests, tables(home)) == ([], [[], [], [], []])


def test_a_check_of_some_rules_does_not_touch_the_others(run: Run, home: Path) -> None:
    """--rule checks only the named rules, even a default rule that is off. Other alerts are neither evaluated nor
    resolved, with or without --dry-run."""
    configure(home, {"mine": FAILURES, "slow": SLOW})
    fill(home)
    assert run("alerts", "check").returncode == 1
    configure(home, {"mine": FAILURES})
    before = tables(home)
    for flag in (["--dry-run"], []):
        done = run("alerts", "check", "--rule", "mine", *flag)
        assert (done.returncode, done.stdout.count("\n"), "slow" in done.stdout) == (1, 1, False)
    assert run("alerts", "check", "--rule", "cost-per-hour").stdout.startswith("cost-per-hour: ok, $0.0033")
    assert tables(home) == before


def test_a_check_for_one_channel_notifies_only_that_channel(run: Run, home: Path) -> None:
    """--channel notifies that channel with alerts of its own. Problems of other rules are still shown."""
    with scripted() as server, scripted() as other:
        configure(
            home, {"mine": FAILURES, "broken": 5}, {"other": {"type": "webhook", "url": other.url}}
        )  # fmt: skip
        fill(home)
        done = run("alerts", "check", "--channel", "slack", env=slack(server))
        assert (done.returncode, len(server.requests), len(other.requests)) == (1, 1, 0)
        assert "mine@slack: firing" in done.stdout
        assert "performance.alerts: broken: must be true, false or an object" in done.stderr
        assert run("alerts", "check", env=slack(server)).returncode == 1
        assert (len(server.requests), len(other.requests)) == (2, 1)
        states = {row[1]: row[4] for row in tables(home)[0]}
        assert states == {"mine": "firing", "mine@slack": "firing"}


def put_delivery(home: Path, channel: str) -> Delivery:
    """Put a delivery that is due now into the outbox."""
    notification, now_us = a_notification(), clock.now_us()
    waiting = Delivery(
        fresh_uid(now_us), "batch", channel, notification.episode, "trigger", notification.to_json(), WAITING, 0,
        now_us, now_us,
    )  # fmt: skip
    with (
        closing(open_database(str(home / ".claude" / "metrics" / "metrics.db"))) as database,
        database.write() as connection,
    ):
        alert_writes.add_deliveries(connection, [waiting])
    return waiting


def test_a_check_for_one_channel_leaves_deliveries_of_others_waiting(run: Run, home: Path) -> None:
    """A delivery that waits for another channel is neither sent nor delayed."""
    with scripted() as server, scripted() as other:
        configure(home, {"mine": FAILURES}, {"other": {"type": "webhook", "url": other.url}})
        fill(home, success=True)
        waiting = put_delivery(home, "other")
        done = run("alerts", "check", "--channel", "slack", env=slack(server))
        with (
            closing(open_database(str(home / ".claude" / "metrics" / "metrics.db"))) as database,
            database.read() as connection,
        ):
            (found,) = alert_queries.of_episode(connection, waiting.episode)
        assert (done.returncode, found, other.requests) == (0, waiting, [])


def test_a_delivery_to_a_removed_channel_names_the_command_that_explains_it(run: Run, home: Path) -> None:
    """This includes a channel that was defined by an environment variable which is no longer set."""
    put_delivery(home, "slack")
    (line,) = [line for line in run("alerts", "check").stdout.splitlines() if line.startswith("slack: ")]
    assert line.startswith("slack: will be retried: there is no usable channel slack; to see why: claude-force ")
    command = line.rpartition("claude-force ")[2].split()
    assert_error(run(*command), "no channel slack: set SLACK_WEBHOOK_URL, or performance.channels in claude.json")


def test_a_refused_delivery_is_shown_and_kept(run: Run, home: Path) -> None:
    """A permanent failure is shown by the check, kept, and listed by history and explain."""
    configure(home, {"mine": FAILURES})
    fill(home)
    with scripted([404]) as server:
        done = run("alerts", "check", env=slack(server))
    assert done.returncode == 1
    assert "slack: FAILED: " in done.stdout
    for command in (("history",), ("explain", "mine")):
        shown = run("alerts", *command)
        assert (shown.returncode, "404" in shown.stdout) == (0, True)
    history = json.loads(run("alerts", "history", "--json").stdout)
    assert [event["rule"] for event in history["events"]] == ["mine"]
    assert [failed["status"] for failed in history["failed_deliveries"]] == ["failed"]


def test_a_delivery_to_a_service_that_is_down_is_retried(run: Run, home: Path) -> None:
    """A temporary failure stays in the outbox as waiting."""
    configure(home, {"mine": FAILURES})
    fill(home)
    done = run("alerts", "check", env={"SLACK_WEBHOOK_URL": f"http://127.0.0.1:{unused_port()}/"})
    assert done.returncode == 1
    assert "slack: will be retried: " in done.stdout
    assert "slack, trigger: waiting" in run("alerts", "explain", "mine").stdout


def test_silence_and_unsilence(run: Run, home: Path) -> None:
    """A silenced rule fires without notifying anybody, and the list shows the silence. Once unsilenced, it notifies."""
    configure(home, {"mine": FAILURES})
    fill(home)
    with scripted() as server:
        done = run("alerts", "silence", "mine", "--for", "2h", "--comment", "release\x1b[2J")
        assert (done.returncode, done.stdout.startswith("mine is silenced until ")) == (0, True)
        quiet = run("alerts", "check", env=slack(server))
        assert (quiet.returncode, server.requests) == (1, [])
        assert "breached, silenced" in quiet.stdout
        for command in (("explain", "mine"), ("list",)):
            shown = run("alerts", *command).stdout
            assert "Silenced" in shown
            assert "(release\\x1b[2J)" in shown
        (listed,) = json.loads(run("alerts", "list", "--json").stdout)["silences"]
        assert (listed["rule"], listed["comment"]) == ("mine", "release\x1b[2J")
        assert json.loads(run("alerts", "explain", "mine", "--json").stdout)["silenced_until"]
        assert run("alerts", "unsilence", "mine").stdout == "mine is no longer silenced\n"
        assert run("alerts", "unsilence", "mine").stdout == "mine is not silenced\n"
        assert run("alerts", "check", env=slack(server)).returncode == 1
        assert len(server.requests) == 1


@pytest.mark.parametrize("span", ["0s", "soon", "-1h", "1y", "999999w", ""])
def test_an_invalid_duration_of_a_silence_is_refused(span: str, run: Run) -> None:
    """It is a usage error of one line."""
    assert_error(run("alerts", "silence", "success-rate", "--for", span), "--for", "such as 30", code=2)


def test_an_unknown_name_suggests_the_nearest(run: Run, home: Path) -> None:
    """An unknown rule or channel gives one line with the nearest known name."""
    configure(home, {"mine": FAILURES})
    for command in ("silence succes-rate --for 1h", "unsilence succes-rate"):
        assert_error(run("alerts", *command.split()), "no alert rule succes-rate; did you mean success-rate?")
    for command in ("explain minne", "check --rule minne", "check --rule minne --dry-run"):
        assert_error(run("alerts", *command.split()), "no alert rule minne; did you mean mine?")
    for command in ("test slak", "check --channel slak"):
        assert_error(
            run("alerts", *command.split()), "no channel slak; there are: none (performance.channels in claude.json)"
        )
    assert_error(run("alerts", "explain", "daily-budget"), "daily-budget: needs a threshold")
    assert_error(run("alerts", "explain", "\x1b[2J"), "\\x1b[2J")
    assert_error(run("alerts", "silence", "\udcff", "--for", "1h"), "\\udcff", code=1)
    assert_error(run("alerts", "silence", "mine", "--for", "1h", "--comment", "\udcff"), "UTF-8", code=2)


def test_an_invalid_rule_or_channel_is_an_error_when_it_is_named(run: Run, home: Path) -> None:
    """A default rule with a typo is not replaced by the default. The problem of a channel is shown when that channel is
    named."""
    configure(home, {"success-rate": {"treshold": 90}, "mine": FAILURES}, {"ops": {"type": "webhook"}})
    for command in (("explain", "success-rate"), ("check", "--rule", "success-rate")):
        assert_error(run("alerts", *command), "performance.alerts: success-rate: ", "did you mean threshold?")
    assert_error(run("alerts", "test", "ops"), "ops: url is missing")
    assert_error(run("alerts", "test", "op"), "no channel op; ")
    done = run("alerts", "list")
    assert done.returncode == 0
    assert [line.split(": ")[:3] for line in done.stderr.splitlines()] == [
        ["warning", "performance.alerts", "success-rate"], ["warning", "ops", "url is missing"],
    ]  # fmt: skip


def test_a_rule_with_an_unknown_channel_is_a_warning(run: Run, home: Path) -> None:
    """Every command shows the warning."""
    configure(home, {"mine": FAILURES | {"channels": "ops"}})
    warning = "warning: performance.alerts: mine: channels: there is no ops; there are: none\n"
    assert run("alerts", "list").stderr == warning
    assert run("alerts", "check", "--dry-run").stderr == warning


def test_explain_shows_how_a_rule_was_evaluated(run: Run, home: Path) -> None:
    """It shows measurement, threshold, state, reason and deliveries."""
    configure(home, {"mine": FAILURES | {"agent": "x", "group_by": "agent"}})
    fill(home, "x", "y")
    with scripted() as server:
        run("alerts", "check", env=slack(server))
        done = run("alerts", "explain", "mine", env=slack(server))
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "mine: Failed executions > 0 (last 1 hour)", "Severity warning; at least 1 sample; channels: all",
        "Fires at once; resolves after 10 minutes; repeats after 4 hours", "Only x", "One alert for each agent",
        "mine x:", "  Measured: 1, threshold 0", "  Samples: 1", "  Why: still breached, already notified",
        "  At the next check: nothing",
    ):  # fmt: skip
        assert line in done.stdout.splitlines(), line
    assert " slack, trigger: delivered\n" in done.stdout
    assert "mine y" not in done.stdout


def test_explain_shows_what_a_disabled_rule_would_do(run: Run, home: Path) -> None:
    """A default rule that is off is explained as if it were on, even after it was checked by name."""
    fill(home, count=30)
    for _ in range(2):
        done = run("alerts", "explain", "success-rate")
        assert (done.returncode, done.stderr) == (0, "")
        assert "This rule is off. This is what it would do:" in done.stdout
        assert "Measured: 0.0%, threshold 95.0%" in done.stdout
        assert run("alerts", "check", "--rule", "success-rate").returncode == 1
    assert json.loads(run("alerts", "explain", "success-rate", "--json").stdout)["is_on"] is False


def test_a_channel_test_shows_its_result(run: Run) -> None:
    """It prints "delivered" or the reason of the failure, and sets the exit code."""
    with scripted([200]) as server:
        done = run("alerts", "test", "slack", env=slack(server))
        assert (done.returncode, done.stdout, len(server.requests)) == (0, "slack: delivered\n", 1)
    for reply in (403, 500):
        with scripted([reply]) as server:
            done = run("alerts", "test", "slack", env=slack(server))
        assert done.returncode == 1
        assert done.stdout.startswith("slack: not delivered: ")
        assert done.stdout.count("\n") == 1
        assert server.url not in done.stdout


@pytest.mark.parametrize("command", [("list",), ("check",), ("history",), ("explain", "success-rate"), ("test", "a")])
@pytest.mark.parametrize("content", ["{", '{"performance": {"alerts": []}}', '{"performance": 5}'])
def test_an_unreadable_claude_json_is_one_line(content: str, command: tuple[str, ...], run: Run, home: Path) -> None:
    """Every command reports it in one line."""
    (home / ".claude" / "claude.json").write_text(content)
    assert_error(run("alerts", *command), "claude.json")


def test_hostile_names_are_inert(run: Run, home: Path) -> None:
    """With any agent name, every page fits 80 columns and contains no control character."""
    configure(home, {"mine": FAILURES | {"group_by": "agent"}, "a\x1b[31m": 5, "n" * 90: FAILURES})
    fill(home, *HOSTILE)
    with scripted([404]) as server:
        checked = run("alerts", "check", env=slack(server))
    assert checked.returncode == 1
    pages = [run("alerts", *command) for command in (("list",), ("history",), ("explain", "mine"))]
    for done in (checked, *pages):
        assert "Traceback" not in done.stderr
        for line in (done.stdout + done.stderr).split("\n"):
            assert line.isprintable(), line
    for done in pages:
        assert done.returncode == 0
        assert [line for line in done.stdout.splitlines() if cell_len(line) > 80] == []
    shown = json.loads(run("alerts", "list", "--json").stdout)
    names = [found["labels"]["agent"] for found in shown["alerts"] if found["rule"] == "mine"]
    assert sorted(names) == sorted(HOSTILE)
