"""`alerts enable | disable | add | edit`: rules by verbs."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from claude_force.alerts.rules import load_rules
from claude_force.cli.alert_rules import add, edit
from tests.acceptance.test_alert_commands import FAILURES, configure, fill, slack, tables
from tests.conftest import PROGRAM, Run
from tests.counterparts import scripted


def rules(home: Path) -> Any:
    """The rules in claude.json."""
    return json.loads((home / ".claude" / "claude.json").read_text())["performance"]["alerts"]


def alerts(run: Run, words: str) -> tuple[int, str, str]:
    """The exit code and the output of `alerts ...`."""
    done = run("alerts", *shlex.split(words))
    return done.returncode, done.stdout, done.stderr


NEXT_STEPS = [
    "No channel: nobody is notified. On this desktop:",
    """  claude-force config set performance.channels.desk '{"type": "desktop"}'""",
    "Checked by: claude-force scheduler start --detach",
]


def test_default_rules_are_switched_on_and_off(run: Run, home: Path) -> None:
    """Several at once; what changed is in one or two lines, what was so already is said."""
    done = alerts(run, "enable success-rate no-data")
    assert done[1].splitlines() == [
        "success-rate is on: Success rate < 95.0% (last 1 hour)",
        "  severity warning; at least 10 samples; fires at once; channels: all",
        "no-data is on: Time since the last execution > 24.0 hours",
        "  severity warning; at least 1 sample; fires at once; channels: all",
        *NEXT_STEPS,
    ]
    assert done[::2] == (0, "")
    assert rules(home) == {"success-rate": True, "no-data": True}
    assert (home / ".claude" / "claude.json").stat().st_mode & 0o777 == 0o600
    assert alerts(run, "enable success-rate")[1].startswith("success-rate is on already: ")
    assert alerts(run, "disable no-data")[:2] == (0, "no-data is off: Time since the last execution > 24.0 hours\n")
    assert alerts(run, "disable no-data")[1].startswith("no-data is off already")
    assert rules(home) == {"success-rate": True, "no-data": False}
    assert "Off: no-data" in run("alerts", "list").stdout.splitlines()
    assert json.loads(run("alerts", "list", "--json").stdout)["off"] == ["no-data"]


def test_what_a_rule_still_needs_is_said_with_commands_that_work(run: Run) -> None:
    """Without a channel how to get one; whoever typed that is only told what checks the rules. A rule that goes off
    needs nothing."""
    assert alerts(run, "edit daily-budget --threshold 20")[1].splitlines()[2:] == NEXT_STEPS
    channel = [*shlex.split(NEXT_STEPS[1])[1:4], '{"type": "command", "command": ["true"]}']
    assert run(*channel).returncode == 0
    assert alerts(run, "edit daily-budget --threshold 30")[1].splitlines()[2:] == NEXT_STEPS[2:]
    assert len(alerts(run, "disable daily-budget")[1].splitlines()) == 1


@pytest.mark.parametrize("value", [{"threshold": 98, "for": "5m"}, FAILURES, {"threshold": 98, "enabled": True}])
def test_a_rule_that_is_off_keeps_its_settings(value: dict[str, Any], run: Run, home: Path) -> None:
    """Switched off and on again, it is as before; off, it is not evaluated, and `explain` shows what it would do."""
    name = "mine" if "metric" in value else "success-rate"
    configure(home, {"no-data": True, name: value})
    assert alerts(run, f"disable {name}")[0] == 0
    assert rules(home)[name] == {**value, "enabled": False}
    listed = json.loads(run("alerts", "list", "--json").stdout)
    assert ([alert["rule"] for alert in listed["alerts"]], listed["off"]) == (["no-data"], [name])
    assert "This rule is off. This is what it would do:" in run("alerts", "explain", name).stdout
    refused = run("alerts", "check", "--rule", name)
    assert (refused.returncode, refused.stderr) == (
        1, f"error: {name} is off; to switch it on: claude-force alerts enable {name}\n",
    )  # fmt: skip
    assert alerts(run, f"enable {name}")[0] == 0
    assert rules(home) == {"no-data": True, name: {key: found for key, found in value.items() if key != "enabled"}}


def test_a_rule_of_ones_own_is_added_and_edited(run: Run, home: Path) -> None:
    """The window is an hour unless one is given; an edit changes what it names; a rule that is off stays off."""
    line = "add reviews --metric success_rate --below 95 --for 1h --min-samples 20 --severity error --agent reviewer"
    done = alerts(run, line)
    assert done[1].splitlines() == [
        "reviews is on: Success rate < 95.0% (last 1 hour)",
        "  severity error; at least 20 samples; fires after 1 hour; channels: all",
        *NEXT_STEPS,
    ]
    assert done[::2] == (0, "")
    expected = {
        "metric": "success_rate", "operator": "<", "threshold": 95, "window": "1h", "for": "1h", "min_samples": 20,
        "severity": "error", "agent": "reviewer",
    }  # fmt: skip
    assert rules(home) == {"reviews": expected}
    assert list(rules(home)["reviews"])[:4] == ["metric", "operator", "threshold", "window"]
    assert alerts(run, "edit reviews --threshold 97.5 --agent a --agent b --channel slack")[0] == 0
    expected |= {"threshold": 97.5, "agent": ["a", "b"], "channels": ["slack"]}
    assert rules(home) == {"reviews": expected}
    assert alerts(run, "disable reviews")[0] == 0
    assert (
        alerts(run, "edit reviews --above 3 --metric total_cost")[1] == "reviews is off: Cost > $3.00 (last 1 hour)\n"
    )
    shown = json.loads(alerts(run, "enable reviews --json")[1])
    assert shown == {
        "rules": [
            {"rule": "reviews", "is_on": True, "changed": True, "condition": "Cost > $3.00 (last 1 hour)",
             "severity": "error"},
        ],
        "ended": [],
    }  # fmt: skip


FIELDS = {
    "cost_forecast": ("--metric cost_forecast --above 20", {"window": "day"}),
    "change": ("--metric avg_tokens --operator > --threshold +30% --compared-to 7d --window 7d --repeat 24h",
               {"threshold": "+30%", "compared_to": "7d", "window": "7d", "repeat": "24h"}),
    "share": ("--metric model_share --family haiku --below 50.5 --group-by agent --title 'Few haikus'",
              {"family": "haiku", "threshold": 50.5, "group_by": "agent", "title": "Few haikus"}),
    "burn": ("--metric burn_rate --objective 99.9 --short-window 5m --above 14.4 --keep-firing-for 0s",
             {"objective": 99.9, "short_window": "5m", "keep_firing_for": "0s"}),
    "plan": ("--metric weekly_limit --operator >= --threshold 80", {"operator": ">=", "threshold": 80}),
    "only": ("--metric total_cost --above 1e1 --model m --project p --source jsonl --window month",
             {"model": "m", "project": "p", "source": "jsonl", "threshold": 10, "window": "month"}),
}  # fmt: skip


def test_no_field_is_without_an_option() -> None:
    """`add` and `edit` have the fields of the schema, and --below and --above for its usual two."""
    options = {parameter.name for parameter in edit.params} - {"name", "as_json", "below", "above"}
    _, problems = load_rules({"mine": FAILURES | {"zzz": 1}})
    fields = problems["mine"].partition("there are: ")[2].split(", ")
    assert options - {"channel"} | {"channels", "enabled"} == set(fields)
    assert [parameter.name for parameter in add.params] == [parameter.name for parameter in edit.params]


@pytest.mark.parametrize("case", FIELDS)
def test_every_field_of_a_rule_has_an_option(case: str, run: Run, home: Path) -> None:
    """What is added is a valid rule with these fields."""
    line, expected = FIELDS[case]
    assert alerts(run, f"add mine {line}")[::2] == (0, "")
    assert rules(home)["mine"] | expected == rules(home)["mine"]
    assert run("alerts", "list").stderr == ""


REFUSED = {
    "enable succes-rate": "no alert rule succes-rate; did you mean success-rate?",
    "enable no-data succes-rate": "no alert rule succes-rate; did you mean success-rate?",
    "disable mien": "no alert rule mien; did you mean mine?",
    "edit mien --threshold 5": "no alert rule mien; did you mean mine?",
    "enable daily-budget": "daily-budget needs a threshold in US dollars: claude-force alerts edit daily-budget",
    "enable empty": "empty has no settings; to write it: claude-force alerts add empty --metric METRIC ...",
    "add success-rate --metric total_cost --above 1": "to change it: claude-force alerts edit success-rate",
    "add mine --metric total_cost --above 1": "there is a rule mine already; to change it: claude-force alerts edit",
    "add new --above 1": "give --metric",
    "add new --metric total_cost": "give --below or --above",
    "add new --metric total_cost --threshold 5": "give --below or --above",
    "add new --metric total_cost --above 1 --below 2": "give one of --below, --above",
    "add new --metric totl_cost --above 1": "metric 'totl_cost' does not exist; did you mean total_cost?",
    "add new --metric total_cost --above much": "threshold must be a number",
    "add new --metric total_cost --above 1 --window soon": "window",
    "add new --metric total_cost --above 1 --channel ops": "channels: there is no ops; there are none",
    "add new --metric total_cost --above 1 --severity bad": "severity must be one of critical, error, warning, info",
    "add new@ops --metric total_cost --above 1": "a name has 1 to 100 printable characters, and no @",
    "edit mine": "nothing to change in mine: give an option, such as --threshold",
    "edit mine --window never": "performance.alerts: mine: window",
    "edit mine --min-samples few": "--min-samples",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_wrong_is_refused(line: str, run: Run, home: Path) -> None:
    """One line with the remedy, exit 2, and claude.json stays as it was, to the byte."""
    configure(home, {"mine": FAILURES, "empty": False, "broken": 5})
    before = (home / ".claude" / "claude.json").read_bytes()
    code, stdout, stderr = alerts(run, line)
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith("error: ")
    assert REFUSED[line] in stderr
    assert (home / ".claude" / "claude.json").read_bytes() == before


def test_another_rule_with_an_error_forbids_nothing(run: Run, home: Path) -> None:
    """A rule that was wrong before stays, with the warning that every command shows."""
    configure(home, {"broken": 5, "mine": FAILURES})
    assert alerts(run, "enable success-rate")[::2] == (0, "")
    assert rules(home) == {"broken": 5, "mine": FAILURES, "success-rate": True}


def test_a_wrong_rule_can_be_switched_off_and_not_on(run: Run, home: Path) -> None:
    """Its warning is gone while it is off; on, it is refused with its error, and so is another field of it."""
    wrong = FAILURES | {"treshold": 5}
    configure(home, {"mine": wrong})
    error = "error: performance.alerts: mine: there is no 'treshold'; did you mean threshold?\n"
    assert alerts(run, "enable mine")[::2] == (2, error)
    assert alerts(run, "edit mine --threshold 6")[::2] == (2, error)
    assert alerts(run, "disable mine") == (0, "mine is off\n", "")
    assert run("alerts", "list").stderr == ""
    assert alerts(run, "enable mine")[::2] == (2, error)
    assert run("config", "unset", "performance.alerts.mine.treshold").returncode == 0
    assert alerts(run, "enable mine")[0] == 0
    assert rules(home) == {"mine": FAILURES}


def test_the_rest_of_the_file_stays_as_it_was_written(run: Run, home: Path) -> None:
    """Other keys, the order, the indentation and the permissions."""
    path = home / ".claude" / "claude.json"
    text = '{\n\t"mine": [1.50, "\\u00e9"],\n\t"performance": {\n\t\t"alerts": {"no-data": true}\n\t},\n\t"z": {}\n}\n'
    path.write_text(text)
    path.chmod(0o640)
    assert alerts(run, "enable success-rate")[0] == 0
    assert alerts(run, "edit success-rate --threshold 98")[0] == 0
    added = '"no-data": true, "success-rate": {"threshold": 98}'
    assert path.read_text() == text.replace('"no-data": true', added)
    assert path.stat().st_mode & 0o777 == 0o640


def test_changes_at_the_same_time_are_all_kept(home: Path) -> None:
    """Each command changes what the others have written."""
    names = ("success-rate", "p95-latency", "average-time", "no-data", "haiku-share", "token-growth")
    running = [subprocess.Popen([PROGRAM, "alerts", "enable", name], stdout=subprocess.DEVNULL) for name in names]
    assert [process.wait(60) for process in running] == [0] * len(names)
    assert sorted(rules(home)) == sorted(names)


def test_names_are_completed(run: Run, home: Path) -> None:
    """Default rules, and those of claude.json."""
    configure(home, {"success-of-mine": FAILURES})
    for verb in ("enable", "disable", "edit", "silence"):
        words = {"COMP_WORDS": f"claude-force alerts {verb} succ", "COMP_CWORD": "3"}
        done = run(env={"_CLAUDE_FORCE_COMPLETE": "bash_complete", **words})
        assert done.stdout.split() == ["plain,success-of-mine", "plain,success-rate", "plain,success-rate-critical"]


OFF = {
    "alerts disable": ("alerts disable mine", "DISABLED"),
    "config set": ('config set performance.alerts {"no-data":true}', "REMOVED"),
    "config set of a path": ("config set performance.alerts.mine.enabled false", "DISABLED"),
    "config unset": ("config unset performance.alerts.mine", "REMOVED"),
    "config unset of all": ("config unset performance.alerts", "REMOVED"),
    "config edit": ("config edit", "REMOVED"),
}


@pytest.mark.parametrize("verb", OFF)
def test_a_rule_that_is_switched_off_fires_no_more_at_once(verb: str, run: Run, home: Path) -> None:
    """Its alert ends with the command: the history has it with its reason, no list and no dashboard shows it, and its
    end is sent where its beginning was, by the next check."""
    configure(home, {"mine": FAILURES, "no-data": True})
    fill(home)
    command, reason = OFF[verb]
    with scripted() as server:
        assert run("alerts", "check", env=slack(server)).returncode == 1
        assert "mine" in run("dashboard", "--once").stdout
        done = run(*command.split(), env={"EDITOR": 'sed -i \'s/"mine"/"no-data"/\''})
        assert done.returncode == 0
        assert "mine no longer fires; its end is sent at the next check\n" in done.stdout + done.stderr
        newest = json.loads(run("alerts", "history", "--json").stdout)["events"][0]
        words = "its rule was switched off" if reason == "DISABLED" else "its rule was removed"
        assert (newest["rule"], newest["to"], newest["reason"]) == ("mine", "resolved", words)
        assert "No alert is firing" in run("dashboard", "--once").stdout
        states = {
            alert["rule"]: alert["state"] for alert in json.loads(run("alerts", "list", "--json").stdout)["alerts"]
        }
        assert states.get("mine") == "resolved"
        assert run("alerts", "check", env=slack(server)).returncode == 0
        assert len(server.requests) == 2
        sent = server.requests[1].body.decode()
        assert ("switched off" if reason == "DISABLED" else "removed") in sent


def test_a_rule_that_is_taken_out_by_hand_is_not_shown_as_firing(run: Run, home: Path) -> None:
    """The list and the dashboard show it as over before the next check stores its end."""
    configure(home, {"mine": FAILURES})
    fill(home)
    assert run("alerts", "check").returncode == 1
    assert "1 alert fires" in run().stdout
    stored = tables(home)
    configure(home, {"mine": {**FAILURES, "enabled": False}})
    assert "No alert is firing" in run("dashboard", "--once").stdout
    assert "1 alert fires" not in run().stdout
    (listed,) = json.loads(run("alerts", "list", "--json").stdout)["alerts"]
    assert (listed["state"], listed["reason"]) == ("resolved", "its rule was switched off")
    assert tables(home) == stored
    assert "(off)" in run("alerts", "list").stdout
    assert run("alerts", "check").returncode == 0
    assert "its rule was switched off" in " ".join(run("alerts", "history").stdout.split())


def test_nobody_is_told_the_end_of_what_nobody_was_told(run: Run, home: Path) -> None:
    """And the command says so."""
    configure(home, {"mine": FAILURES})
    fill(home)
    run("alerts", "check")
    assert "mine no longer fires; nobody was notified of it, nor of its end\n" in alerts(run, "disable mine")[1]
    assert json.loads(alerts(run, "disable mine --json")[1])["ended"] == []


def test_without_a_database_a_rule_is_switched_off_all_the_same(run: Run, home: Path) -> None:
    """No database is made; one that cannot be used is a warning."""
    configure(home, {"mine": FAILURES})
    assert alerts(run, "disable mine")[::2] == (0, "")
    assert [path.name for path in (home / ".claude").iterdir()] == ["claude.json"]
    configure(home, {"mine": FAILURES})
    (home / "junk.db").write_bytes(b"x" * 5000)
    code, _, stderr = alerts(run, "disable mine --db junk.db")
    assert (code, stderr.count("\n")) == (0, 1)
    assert stderr.startswith("warning: alerts that fire end at the next check: ")
    assert rules(home)["mine"]["enabled"] is False


def test_a_check_for_one_channel_ends_its_alerts_of_removed_rules(run: Run, home: Path) -> None:
    """`check --channel` looks after its own alerts: nobody else evaluates them."""
    configure(home, {"mine": FAILURES, "no-data": True})
    fill(home)
    with scripted() as server:
        assert run("alerts", "check", "--channel", "slack", env=slack(server)).returncode == 1
        configure(home, {"no-data": True})
        assert "No alert is firing" in run("dashboard", "--once").stdout
        assert run("alerts", "check", "--channel", "slack", env=slack(server)).returncode == 0
        assert len(server.requests) == 2
    assert {row[1]: row[4] for row in tables(home)[0]}["mine@slack"] == "resolved"


def test_the_list_shows_which_silence_applies_to_a_rule(run: Run, home: Path) -> None:
    """Until when, in the table and in JSON; a silence of a rule that is off is marked."""
    configure(home, {"mine": FAILURES, "no-data": True})
    for words in ("mine --for 2h --comment release", "success-rate --for 1h"):
        assert alerts(run, f"silence {words}")[0] == 0
    shown = json.loads(run("alerts", "list", "--json").stdout)
    until = {silence["rule"]: (silence["until"], silence["rule_is_on"]) for silence in shown["silences"]}
    assert (until["mine"][1], until["success-rate"][1]) == (True, False)
    found = {alert["rule"]: (alert["silenced_until"], alert["silence_comment"]) for alert in shown["alerts"]}
    assert found == {"mine": (until["mine"][0], "release"), "no-data": (None, None)}
    lines = run("alerts", "list").stdout.splitlines()
    minute = until["mine"][0].replace("T", " ")[:16]
    assert [line for line in lines if line.startswith("mine ") and line.endswith(minute)] != []
    assert any("Silenced until" in line for line in lines)
    assert any("success-rate (the rule is off) until " in line for line in lines)


def test_a_missing_database_is_refused_before_a_rule_is_switched_off(run: Run, home: Path) -> None:
    """The alerts that end are in it: a misspelt name changes nothing."""
    assert alerts(run, "enable success-rate")[0] == 0
    before = rules(home)
    code, stdout, stderr = alerts(run, "disable success-rate --db missing.db")
    assert (code, stdout, rules(home)) == (2, "", before)
    assert stderr.startswith("error: no database at missing.db")
