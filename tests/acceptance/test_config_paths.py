"""`config` with paths into objects, its refusals, and `config edit`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from claude_force.settings.claude_json import KEYS
from tests.conftest import PROGRAM, Run
from tests.daemons import eventually
from tests.terminals import terminal

PRICE = {"input": 1.5, "output": 7.5}


def settings_file(home: Path) -> Path:
    """claude.json."""
    return home / ".claude" / "claude.json"


def section(home: Path) -> Any:
    """Our section of claude.json."""
    return json.loads(settings_file(home).read_text())["performance"]


def write(home: Path, **settings: object) -> str:
    """Write our section; returns the text."""
    settings_file(home).write_text(json.dumps({"performance": settings}, indent=2))
    return settings_file(home).read_text()


SET = {
    "a number": ("alerts.success-rate.threshold", "98", {"alerts": {"success-rate": {"threshold": 98}}}),
    "a change": ("alerts.token-growth.threshold", "+50%", {"alerts": {"token-growth": {"threshold": "+50%"}}}),
    "a text": ("schedule.ingest", "5m", {"schedule": {"ingest": "5m"}}),
    "a text in quotes": ("alerts.no-data.title", '"2026"', {"alerts": {"no-data": {"title": "2026"}}}),
    "a switch": ("alerts.no-data", "true", {"alerts": {"no-data": True}}),
    "null": ("alerts.success-rate.min_samples", "null", {"alerts": {"success-rate": {"min_samples": None}}}),
    "a list": ("projects.shop", '["~/shop"]', {"projects": {"shop": ["~/shop"]}}),
    "an object": ("prices.house", json.dumps(PRICE), {"prices": {"house": PRICE}}),
    "a name with dots": ('prices."gpt-4.1"', json.dumps(PRICE), {"prices": {"gpt-4.1": PRICE}}),
    "a variable": ("channels.team", '{"type": "slack", "webhook_url": "${HOOK}"}',
                   {"channels": {"team": {"type": "slack", "webhook_url": "${HOOK}"}}}),
    "a whole object": ("alerts", '{"no-data": true}', {"alerts": {"no-data": True}}),
}  # fmt: skip


@pytest.mark.parametrize("case", SET)
def test_a_path_leads_into_an_object(case: str, home: Path, run: Run) -> None:
    """Objects on the way are made. `get` reads it back, `unset` takes away that alone."""
    key, value, expected = SET[case]
    done = run("config", "set", f"performance.{key}", value)
    assert (done.returncode, "db reprice" in done.stderr) == (0, "prices" in key)
    assert section(home) == expected
    assert run("config", "get", f"performance.{key}").stdout.strip().strip('"') in done.stdout
    assert run("config", "unset", f"performance.{key}").returncode == 0
    assert json.dumps(section(home)).count("{}") == 1


def test_a_default_rule_has_its_fields(home: Path, run: Run) -> None:
    """`get` prints what holds: the field of claude.json, else that of the default rule; a default rule is off."""
    for key, expected in {
        "success-rate": "false", "success-rate.threshold": "95", "success-rate.window": "1h",
    }.items():  # fmt: skip
        assert run("config", "get", f"performance.alerts.{key}").stdout == f"{expected}\n"
    run("config", "set", "performance.alerts.success-rate.threshold", "98")
    assert run("config", "get", "performance.alerts.success-rate.threshold").stdout == "98\n"
    assert run("config", "get", "performance.alerts.success-rate.window").stdout == "1h\n"
    for key in ("alerts.mine", "alerts.success-rate.title", "channels.team.type", "projects.shop"):
        done = run("config", "get", f"performance.{key}")
        assert (done.returncode, done.stderr) == (2, f"error: performance.{key} is not set\n")


@pytest.mark.parametrize("value", [True, {}, {"for": "5m"}, False, {"enabled": False, "for": "5m"}])
def test_a_field_switches_no_rule_on_or_off(value: Any, home: Path, run: Run) -> None:
    """A rule keeps its other fields, and stays on or off."""
    write(home, alerts={"success-rate": value})
    assert run("config", "set", "performance.alerts.success-rate.threshold", "98").returncode == 0
    before = value if isinstance(value, dict) else {} if value else {"enabled": False}
    assert section(home)["alerts"]["success-rate"] == {**before, "threshold": 98}


def test_a_secret_inside_of_an_object_is_refused_and_not_shown(home: Path, run: Run) -> None:
    """As in the whole object."""
    write(home, channels={"team": {"type": "slack", "webhook_url": "${HOOK}"}})
    done = run("config", "set", "performance.channels.team.webhook_url", "https://hooks.slack.com/services/s3cr3t")
    assert (done.returncode, "s3cr3t" in done.stderr, "SLACK_WEBHOOK_URL" in done.stderr) == (2, False, True)
    write(home, channels={"team": {"type": "slack", "webhook_url": "https://hooks.slack.com/services/s3cr3t"}})
    for key in ("channels", "channels.team", "channels.team.webhook_url"):
        assert "s3cr3t" not in run("config", "get", f"performance.{key}").stdout
    assert run("config", "get", "performance.channels.team.type").stdout == "slack\n"


WRONG = {
    ("tracking_enabled", "maybe"): "must be true or false",
    ("cost_tracking", "2"): "must be true or false",
    ("detailed_logging", "maybe"): "must be true or false",
    ("metrics_file", ""): "must not be empty",
    ("metrics_file", ".claude"): ".claude is a folder; name a file",
    ("database", ""): "must not be empty",
    ("database", "/"): "/ is a folder; name a file",
    ("database", ":memory:"): "a database in memory is lost",
    ("database", "postgresql:me@h/d"): "two slashes",
    ("database", "mysql://me@h/d"): "must be a file or a postgresql:// URL",
    ("database", "postgresql://me@h:port/d"): "the port a number",
    ("database", "postgresql://me@h:99999/d"): "the port a number",
    ("database", "postgresql://me:s3cr3t@h/d"): "must not hold a password; set PGURL",
    ("database", "postgresql://h/d?password=s3cr3t"): "must not hold a password; set PGURL",
    ("database.x", "5"): "performance.database must be text, not an object",
    ("database_password_file", "pw"): "is only for a postgresql:// URL in performance.database",
    ("reference_model", "claude-nonsense"): "claude-nonsense has no known price; to give one: claude-force config set",
    ("prices", "[]"): "must be an object, not an array",
    ("prices", "{"): "must be a JSON object",
    ("prices.house", '{"input": 1}'): "output is missing",
    ("prices.house.input", "-1"): "house",
    ("projects.shop", '"shop"'): "must be a list of texts",
    ("budgets", '{"usd": 5}'): "performance.budgets must be a list, not an object",
    ("budgets", '[{"usd": -5, "per": "day"}]'): "performance.budgets: budget 1: usd must be from 0.01",
    (
        "budgets",
        '[{"usd": 5, "per": "day"}, {"usd": 6, "per": "day"}]',
    ): "there is one of all per day already; keep one",
    ("alerts.success-rate.treshold", "5"): "there is no 'treshold'; did you mean threshold?",
    ("alerts.success-rate.threshold", "high"): "threshold must be a number",
    ("alerts.success-rate.enabled", "perhaps"): "enabled must be true or false, not text",
    ("alerts.success-rate", "on"): "must be true, false or an object, not text",
    ("alerts.success-rate", '{"threshold":'): "performance.alerts.success-rate is not JSON: Expecting value",
    ("alerts.succes-rate", "true"): "is not a default rule; did you mean success-rate?",
    ("alerts.success-rate.channels", "ops"): "channels: there is no ops; there are none",
    ("channels.team.type", "slak"): 'type "slak" does not exist; did you mean slack?',
    ("channels.team", "5"): "must be an object",
    ("schedule.ingset", "5m"): "there is no job ingset",
    ("schedule.ingest", "often"): "must be a length of time",
    ("archive_after_days", "-1"): "must be a whole number",
    ("archive_after_days", "99999"): "from 0 to 36500",
    ("backups_kept", "1.5"): "must be a whole number",
    ("exporters.datdog", "{}"): "there is no datdog; did you mean datadog?",
    ("exporters.prometheus.gateway", "ftp://h"): "exporters: prometheus: gateway must be a URL",
    ("admin_api_key", "s3cr3t"): "must not be in claude.json; set ANTHROPIC_ADMIN_KEY",
    ("admin_api_key_file", "missing"): "missing: No such file",
    ("admin_api_url", "http://gateway.test"): "must begin with https://",
    ("metrics_port", "70000"): "from 0 to 65535",
    ("otlp_port", "70000"): "from 0 to 65535",
    ("otlp_token", "s3cr3t"): "must not be in claude.json; set CLAUDE_FORCE_OTLP_TOKEN",
    ("otlp_token_file", "missing"): "missing: No such file",
    ("user", ""): "must not be empty",
    ("otlp_user", "email"): "must be one of: user.email, user.name",
    ("metrics_prt", "1"): "no setting performance.metrics_prt; did you mean performance.metrics_port?",
    ("alerts..x", "1"): "is no key; write performance.alerts.NAME",
}


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_what_is_wrong_is_refused(key: str, value: str, home: Path, run: Run) -> None:
    """One line with the remedy, exit 2, and no byte of the file changes."""
    before = write(home, backups_kept=5)
    done = run("config", "set", f"performance.{key}", value)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")
    assert WRONG[key, value] in done.stderr
    assert "s3cr3t" not in done.stderr
    assert settings_file(home).read_text() == before


def test_every_key_is_tried() -> None:
    """A key that is added needs a wrong value here."""
    tried = {f"performance.{key.partition('.')[0]}" for key, _ in WRONG}
    assert set(KEYS) <= tried


def test_what_is_needed_is_not_unset(home: Path, run: Run) -> None:
    """A channel that a rule names, a field without which a rule is wrong, a path that is not there."""
    before = write(
        home, channels={"ops": {"type": "slack", "webhook_url": "${HOOK}"}},
        alerts={"mine": {"metric": "total_cost", "operator": ">", "threshold": 5, "window": "1h", "channels": "ops"}},
    )  # fmt: skip
    for key, complaint in {
        "channels.ops": "performance.alerts: mine: channels: there is no ops",
        "channels": "performance.alerts: mine: channels: there is no ops",
        "alerts.mine.metric": "performance.alerts: mine: needs a metric",
        "alerts.mine.windows": "performance.alerts.mine.windows is not set",
    }.items():
        done = run("config", "unset", f"performance.{key}")
        assert (done.returncode, done.stderr.count("\n"), complaint in done.stderr) == (2, 1, True)
    assert settings_file(home).read_text() == before


def test_what_was_wrong_forbids_nothing_else(home: Path, run: Run) -> None:
    """Broken parts of an old file stay until they are set or unset themselves."""
    write(home, alerts={"broken": 5, "other": {"metric": "x"}}, unknown=1, prices={"a": PRICE})
    for command in ("set performance.backups_kept 3", "set performance.alerts.no-data true",
                    "unset performance.alerts.broken", "unset performance.unknown"):  # fmt: skip
        assert run("config", *command.split()).returncode == 0
    assert section(home) == {
        "alerts": {"other": {"metric": "x"}, "no-data": True}, "prices": {"a": PRICE}, "backups_kept": 3,
    }  # fmt: skip


def test_keys_are_completed(home: Path, run: Run) -> None:
    """Also those inside of the objects of the file."""
    write(home, alerts={"mine": {"metric": "x"}}, prices={"gpt-4.1": PRICE})
    words = {"COMP_WORDS": "claude-force config get performance.alerts", "COMP_CWORD": "3"}
    done = run(env={"_CLAUDE_FORCE_COMPLETE": "bash_complete", **words})
    assert done.stdout.split() == [
        "plain,performance.alerts", "plain,performance.alerts.mine", "plain,performance.alerts.mine.metric",
    ]  # fmt: skip


# A pipe


@pytest.mark.parametrize("command", [("summary",), ("statusline",), ("config", "set", "performance.backups_kept", "3")])
def test_a_pipe_in_place_of_the_file_is_not_waited_for(command: tuple[str, ...], home: Path, run: Run) -> None:
    """One line names it: reading a pipe that nobody writes to would never end."""
    os.mkfifo(settings_file(home))
    done = run(*command, input="{}")
    assert "claude.json: a pipe; it must be a file\n" in done.stderr
    assert (done.returncode == 0) == (command == ("statusline",))


# The editor

ADD = "sed -i s/3/4/"


@pytest.mark.parametrize("variables", [{"EDITOR": ADD}, {"VISUAL": ADD, "EDITOR": "false"}])
def test_an_edited_copy_replaces_the_file(variables: dict[str, str], home: Path, run: Run) -> None:
    """As the editor saved it, to the byte; the permissions stay, and no copy is left."""
    settings_file(home).write_text('{"x": [ 1,2 ],\r\n\t"performance": {"backups_kept": 3}}')
    settings_file(home).chmod(0o640)
    done = run("config", "edit", env=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{settings_file(home)} is changed\n", "")
    assert settings_file(home).read_bytes() == b'{"x": [ 1,2 ],\r\n\t"performance": {"backups_kept": 4}}'
    assert settings_file(home).stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (home / ".claude").iterdir()] == ["claude.json"]


def test_a_new_file_is_private(home: Path, run: Run) -> None:
    """Without a claude.json the editor gets an empty section."""
    done = run("config", "edit", env={"EDITOR": "sed -i 's/{}/{\"backups_kept\": 3}/'"})
    assert done.returncode == 0
    assert section(home) == {"backups_kept": 3}
    assert settings_file(home).stat().st_mode & 0o777 == 0o600


EDITS = {
    "nothing changed": ("true", 0, "is unchanged"),
    "broken JSON": ("sed -i s/:/=/", 2, "claude.json: line 2 column"),
    "a list": ("sed -i -n 1!G;h;$p", 2, "claude.json: line 1"),
    "an unknown key": ("sed -i s/backups_kept/backups_ketp/", 2, "did you mean performance.backups_kept?"),
    "a wrong value": ("sed -i s/3/-3/", 2, "performance.backups_kept must be a whole number"),
    "an editor that fails": ("false", 1, "the editor ended with exit code 1; nothing was changed"),
    "an editor that is not there": ("no-such-editor", 2, "the editor no-such-editor cannot be run: No such file"),
    "an editor that removes the copy": ("rm", 1, "the editor left an empty file; nothing was changed"),
    "an editor that leaves nothing": ("truncate -s 0", 1, "the editor left an empty file"),
    "an editor that leaves empty lines": ("sed -i s/.*//", 1, "the editor left an empty file"),
    "no editor": ("", 2, "set VISUAL or EDITOR"),
}


@pytest.mark.parametrize("case", EDITS)
def test_a_wrong_copy_does_not_replace_the_file(case: str, home: Path, run: Run) -> None:
    """One line with the reason; the file is as it was. Where nobody can answer, nobody is asked."""
    before = write(home, backups_kept=3)
    editor, code, words = EDITS[case]
    done = run("config", "edit", env={"EDITOR": editor} if editor else {"EDITOR": "", "VISUAL": ""}, input="")
    assert done.returncode == code
    assert words in (done.stdout if code == 0 else done.stderr)
    assert (done.stdout + done.stderr).count("\n") == 1
    assert settings_file(home).read_text() == before


def test_problems_that_were_there_are_warnings(home: Path, run: Run) -> None:
    """An old problem forbids no other edit, also if the file is repaired by it."""
    write(home, backups_kept=3, alerts={"broken": 5})
    done = run("config", "edit", env={"EDITOR": ADD})
    assert (done.returncode, section(home)["backups_kept"]) == (0, 4)
    assert done.stderr.startswith("warning: performance.alerts: broken: must be true")
    settings_file(home).write_text('{"performance": {"backups_kept": 3')
    assert run("config", "edit", env={"EDITOR": "sed -i 's/3/4}}/'"}).returncode == 0
    assert section(home) == {"backups_kept": 4}


def test_a_change_of_another_program_is_not_overwritten(home: Path, run: Run) -> None:
    """What was written while the editor was open stays."""
    write(home, backups_kept=3)
    script = home / "editor"
    script.write_text(f'#!/bin/sh\nsed -i s/3/4/ "$1"\necho \'{{"performance": {{}}}}\' > "{settings_file(home)}"\n')
    script.chmod(0o700)
    done = run("config", "edit", env={"EDITOR": str(script)})
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "changed by another program meanwhile" in done.stderr
    assert section(home) == {}


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_a_wrong_copy_can_be_edited_again(answer: str, home: Path) -> None:
    """The second edit goes on from the first. Without it, nothing changes."""
    before = write(home, backups_kept=3)
    with terminal(
        [PROGRAM, "config", "edit"], home, HOME=str(home), EDITOR="sed -i -e s/-3/5/ -e t -e s/3/-3/"
    ) as shown:
        eventually(lambda: "Edit again? [Y/n]" in shown.text or None)
        shown.press(f"{answer}\n")
        code = shown.wait()
    assert "performance.backups_kept must be a whole number" in shown.text
    if answer == "y":
        assert (code, section(home)) == (0, {"backups_kept": 5})
    else:
        assert (code, settings_file(home).read_text()) == (2, before)
