"""Channels from claude.json and the environment: what defines one, and the one line for each problem."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.alerts.channels.email import Email
from claude_force.alerts.channels.pagerduty import PagerDutyEvents, PagerDutyIncidents
from claude_force.alerts.channels.settings import load_channels, shown
from claude_force.alerts.channels.slack import Slack
from claude_force.alerts.channels.webhook import Webhook
from tests.conftest import ROOT
from tests.counterparts import Authority

SLACK_URL = "https://hooks.slack.com/services/T0/B0/secret"
ENVIRONMENT = {
    "SLACK_URL": SLACK_URL,
    "KEY": "k3y",
    "EMPTY": "",
    "LINES": "two\nlines",
    "ACCENT": "p\u00e4ss",
    "PLAIN_HTTP": "http://hooks.slack.com/services/x",
    "NO_URL": "hooks.slack.com",
    "LINK_LOCAL": "http://169.254.169.254/",
    "PATH": "/usr/bin:/bin",
}
MAIL = {"type": "email", "host": "smtp.example.com", "from": "a@example.com", "to": ["b@example.com"]}
REST = {"type": "pagerduty", "api_key": "${KEY}", "service_id": "P1", "from": "a@example.com"}

PROBLEMS: dict[str, tuple[Any, list[str]]] = {
    "no object": ("https://x", ["must be an object, not text"]),
    "null": (None, ["must be an object, not null"]),
    "no type": (
        {},
        ["type is missing; there are: apprise, command, desktop, email, pagerduty, slack, webhook"],
    ),
    "a type that is nearly one": ({"type": "slak"}, ['type "slak" does not exist; did you mean slack?']),
    "a type that is none": (
        {"type": "pigeon"},
        ['type "pigeon" does not exist; there are: apprise, command, desktop, email, pagerduty, slack, webhook'],
    ),
    "a type that is no text": (
        {"type": ["slack"]},
        ["type (an array) does not exist; there are: apprise, command, desktop, email, pagerduty, slack, webhook"],
    ),
    "a field that is nearly one": (
        {"type": "slack", "webhok_url": SLACK_URL},
        ["there is no field webhok_url; did you mean webhook_url?", "webhook_url is missing"],
    ),
    "a hostile field": (
        {"type": "slack", "webhook_url": "${SLACK_URL}", "\x1b[31m": 1},
        ["there is no field \\x1b[31m; there are: type, webhook_url, webhook_url_file"],
    ),
    "a literal Slack URL": (
        {"type": "slack", "webhook_url": SLACK_URL},
        ['webhook_url must not be in claude.json; set SLACK_WEBHOOK_URL and write "${SLACK_WEBHOOK_URL}"'],
    ),
    "a literal routing key": (
        {"type": "pagerduty", "routing_key": "literal"},
        ['routing_key must not be in claude.json; set PAGERDUTY_ROUTING_KEY and write "${PAGERDUTY_ROUTING_KEY}"'],
    ),
    "a literal API key": (
        REST | {"api_key": "literal"},
        ['api_key must not be in claude.json; set PAGERDUTY_API_KEY and write "${PAGERDUTY_API_KEY}"'],
    ),
    "a literal password": (
        MAIL | {"username": "me", "password": "literal"},
        ['password must not be in claude.json; set SMTP_PASSWORD and write "${SMTP_PASSWORD}"'],
    ),
    "a literal signing secret": (
        {"type": "webhook", "url": "https://a.example", "secret": "literal"},
        ['secret must not be in claude.json; set HOOK_SECRET and write "${HOOK_SECRET}"'],
    ),
    "a literal apprise URL": (
        {"type": "apprise", "url": "slack://literal"},
        ['url must not be in claude.json; set APPRISE_URL and write "${APPRISE_URL}"'],
    ),
    "a literal login in a URL": (
        {"type": "webhook", "url": "https://me:literal@a.example"},
        ['url must not hold a login in claude.json; set HOOK_LOGIN and write "https://${HOOK_LOGIN}@..."'],
    ),
    "a variable that is not set": (
        {"type": "slack", "webhook_url": "${SLACK_HOOK}"},
        ["webhook_url needs the variable SLACK_HOOK, which is not set; export SLACK_HOOK=..."],
    ),
    "a variable that is empty": (
        {"type": "slack", "webhook_url": "${EMPTY}"},
        ["webhook_url needs the variable EMPTY, which is not set; export EMPTY=..."],
    ),
    "a secret on two lines": (
        {"type": "pagerduty", "routing_key": "${LINES}"},
        ["routing_key holds a line break or another invisible character; remove it"],
    ),
    "a secret that is not ASCII": (
        {"type": "pagerduty", "routing_key": "${ACCENT}"},
        ["routing_key holds a character that is not ASCII; no service accepts one in a secret"],
    ),
    "Slack without encryption": (
        {"type": "slack", "webhook_url": "${PLAIN_HTTP}"},
        ["webhook_url must begin with https://: what it carries is secret"],
    ),
    "a URL without a scheme": (
        {"type": "slack", "webhook_url": "${NO_URL}"},
        ["webhook_url must be a URL that begins with https:// or http://"],
    ),
    "a URL of another scheme": (
        {"type": "webhook", "url": "ftp://a.example/x"},
        ["url must be a URL that begins with https:// or http://"],
    ),
    "a URL that cannot be": (
        {"type": "webhook", "url": "https://[${KEY}/"},
        ["url must be a URL that begins with https:// or http://"],
    ),
    "the metadata of a cloud": (
        {"type": "webhook", "url": "${LINK_LOCAL}"},
        ["url must not be used: 169.254.169.254 is a link-local address, which nothing is sent to"],
    ),
    "both APIs of PagerDuty": (
        REST | {"routing_key": "${KEY}"},
        ["routing_key is for events, api_key and service_id are for incidents; remove one of them"],
    ),
    "incidents in nobody's name": (
        {"type": "pagerduty", "api_key": "${KEY}", "service_id": "P1"},
        ["from is missing"],
    ),
    "incidents without a key": (
        {"type": "pagerduty", "service_id": "P1", "from": "a@example.com"},
        ["api_key is missing"],
    ),
    "a name with the address of a user": (
        REST | {"from": "Me <a@example.com>"},
        ['from "Me <a@example.com>" is not an email address'],
    ),
    "mail without anything": ({"type": "email"}, ["host is missing", "from is missing", "to is missing"]),
    "mail in the clear": (
        MAIL | {"security": "none"},
        ['security none is for a server on this machine; write "starttls" or "ssl"'],
    ),
    "another security": (MAIL | {"security": "tls"}, ['security "tls" does not exist; there are: starttls, ssl, none']),
    "a URL as the host": (
        MAIL | {"host": "smtp://me:secret@smtp.example.com"},
        ["host must be just the name of a mail server, such as smtp.example.com"],
    ),
    "a port out of range": (MAIL | {"port": 70000}, ["port must be a whole number from 1 to 65535, not 70000"]),
    "a port in words": (MAIL | {"port": "smtp"}, ["port must be a whole number from 1 to 65535, not text"]),
    "a port that is a truth": (MAIL | {"port": True}, ["port must be a whole number from 1 to 65535, not true"]),
    "no addresses": (MAIL | {"to": []}, ["to is empty"]),
    "an address that is none": (MAIL | {"to": ["nobody"]}, ['to "nobody" is not an email address']),
    "an address with a header in it": (
        MAIL | {"to": ["a@b.example\r\nBcc: c@d.example"]},
        ["to holds a line break or another invisible character; remove it"],
    ),
    "a login without a password": (MAIL | {"username": "me"}, ["password is missing"]),
    "a password without a login": (MAIL | {"password": "${KEY}"}, ["username is missing"]),
    "a number for a text": (MAIL | {"host": 5}, ["host must be text, not a number"]),
    "a command line": (
        {"type": "command", "command": "logger -t x"},
        ['command must be a list of a program and its arguments, such as ["/usr/bin/logger", "-t", "alerts"]'],
    ),
    "a program that is not there": (
        {"type": "command", "command": ["/nowhere/logger"]},
        ['command "/nowhere/logger" is not a program that can be run; write its full path'],
    ),
    "a secret as an argument": (
        {"type": "command", "command": ["/bin/echo", "${KEY}"]},
        ["command takes no ${...}, because all users can see arguments; the program can read the variables itself"],
    ),
    "half a character as an argument": (
        {"type": "command", "command": ["/bin/echo", "\ud800"]},
        ["command holds a character that cannot be in an argument"],
    ),
}


@pytest.mark.parametrize(("settings", "problems"), PROBLEMS.values(), ids=PROBLEMS)
def test_each_problem_has_its_remedy(settings: Any, problems: list[str], tmp_path: Path) -> None:
    """One line for each, with the channel and the field; the other channel works all the same."""
    configured = {"bad": settings, "good": {"type": "slack", "webhook_url": "${SLACK_URL}"}}
    channels, found = load_channels(configured, ENVIRONMENT, tmp_path)
    assert found == [f"bad: {problem}" for problem in problems]
    assert list(channels) == ["good"]
    text = " ".join(found)
    assert "literal" not in text.replace("literal-", "")
    assert "me:secret" not in text


def test_a_variable_may_be_part_of_a_value(tmp_path: Path) -> None:
    """In every text."""
    settings = {"type": "webhook", "url": "https://${USER}:${KEY}@a.example/${KEY}"}
    channels, problems = load_channels({"hook": settings}, {"USER": "me", "KEY": "k3y"}, tmp_path)
    assert problems == []
    hook = channels["hook"]
    assert isinstance(hook, Webhook)
    assert hook.url.reveal() == "https://me:k3y@a.example/k3y"


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    """Relative to the folder, without a trailing line break."""
    file = tmp_path / "hook"
    file.write_text(f"{SLACK_URL}\n")
    file.chmod(0o600)
    channels, problems = load_channels({"team": {"type": "slack", "webhook_url_file": "hook"}}, {}, tmp_path)
    assert problems == []
    team = channels["team"]
    assert isinstance(team, Slack)
    assert team.webhook_url.reveal() == SLACK_URL


FILES = {
    "read by the group": (b"k3y", 0o640, "is readable by others; chmod 600 {path}"),
    "read by others": (b"k3y", 0o604, "is readable by others; chmod 600 {path}"),
    "empty": (b"\n", 0o600, "must hold only the secret, on one line"),
    "two lines": (b"a\nb", 0o600, "must hold only the secret, on one line"),
    "binary": (b"\xff\x00", 0o600, "must hold only the secret, on one line"),
    "huge": (b"x" * 100_000, 0o600, "must hold only the secret, on one line"),
}


@pytest.mark.parametrize(("content", "mode", "words"), FILES.values(), ids=FILES)
def test_an_unsafe_secret_file_is_refused(content: bytes, mode: int, words: str, tmp_path: Path) -> None:
    """Such as one that others can read; the remedy is a command."""
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(mode)
    _, problems = load_channels({"pager": {"type": "pagerduty", "routing_key_file": "key"}}, {}, tmp_path)
    assert problems == [f"pager: routing_key_file {file} {words.format(path=file)}"]


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    """Not a missing one, a folder, or a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name, words in (
        ("none", ": No such file or directory"),
        ("folder", ": Is a directory"),
        ("pipe", " is not a file"),
    ):
        _, problems = load_channels({"pager": {"type": "pagerduty", "routing_key_file": name}}, {}, tmp_path)
        assert problems == [f"pager: routing_key_file {tmp_path / name}{words}"]


def test_a_ca_file_must_hold_certificates(tmp_path: Path, authority: Authority) -> None:
    """One that is missing, or holds none, is a problem."""
    (tmp_path / "text").write_text("no certificate")
    for name, words in (
        ("none", "No such file or directory"),
        ("text", "holds no certificate in PEM form"),
    ):
        _, problems = load_channels({"mail": MAIL | {"ca_file": name}}, {}, tmp_path)
        assert problems == [f"mail: ca_file {tmp_path / name}: {words}"]
    channels, problems = load_channels({"mail": MAIL | {"ca_file": str(authority.ca_file)}}, {}, tmp_path)
    assert (list(channels), problems) == (["mail"], [])


def test_the_environment_alone_defines_three_channels(tmp_path: Path) -> None:
    """By the variables of the guide's scripts, or the usual ones."""
    environment = {
        "SLACK_WEBHOOK_URL": SLACK_URL,
        "PAGERDUTY_ROUTING_KEY": "k3y",
        "SMTP_HOST": "smtp.example.com",
        "SMTP_PORT": "465",
        "SMTP_USERNAME": "me",
        "SMTP_PASSWORD": "p4ss",
        "ALERT_FROM": "Alerts <a@example.com>",
        "ALERT_TO": "b@example.com, c@example.com",
    }
    channels, problems = load_channels({}, environment, tmp_path)
    assert problems == []
    assert sorted(channels) == ["email", "pagerduty", "slack"]
    mail = channels["email"]
    assert isinstance(mail, Email)
    assert (mail.host, mail.port, mail.security) == ("smtp.example.com", 465, "ssl")
    assert mail.to_addresses == ("b@example.com", "c@example.com")
    assert isinstance(channels["pagerduty"], PagerDutyEvents)


def test_the_environment_defines_the_rest_api(tmp_path: Path) -> None:
    """By its three variables; a missing one is named."""
    environment = {"PAGERDUTY_API_KEY": "k3y", "PAGERDUTY_SERVICE_ID": "P1", "PAGERDUTY_FROM": "a@example.com"}
    channels, problems = load_channels({}, environment, tmp_path)
    assert problems == []
    assert isinstance(channels["pagerduty"], PagerDutyIncidents)
    del environment["PAGERDUTY_FROM"]
    assert load_channels({}, environment, tmp_path)[1] == [
        "pagerduty: from needs the variable PAGERDUTY_FROM, which is not set; export PAGERDUTY_FROM=..."
    ]


def test_variables_of_other_programs_define_no_channel(tmp_path: Path) -> None:
    """A mail server or a PagerDuty key that is set for something else is no problem."""
    environment = {"SMTP_HOST": "smtp.example.com", "SMTP_PASSWORD": "p", "PAGERDUTY_API_KEY": "k3y"}
    assert load_channels({}, environment, tmp_path) == ({}, [])


def test_claude_json_overrides_the_environment(tmp_path: Path) -> None:
    """Also if its channel has an error: the other one would be a surprise."""
    environment = {"SLACK_WEBHOOK_URL": SLACK_URL, "OTHER": SLACK_URL + "-other"}
    channels, _ = load_channels({"slack": {"type": "slack", "webhook_url": "${OTHER}"}}, environment, tmp_path)
    slack = channels["slack"]
    assert isinstance(slack, Slack)
    assert slack.webhook_url.reveal().endswith("-other")
    assert load_channels({"slack": {"type": "slack"}}, environment, tmp_path) == ({}, ["slack: webhook_url is missing"])


def test_the_examples_of_the_page_are_channels(tmp_path: Path) -> None:
    """Every example in docs/how-to/alert-channels.md works once its variables and files exist."""
    page = (ROOT / "docs" / "how-to" / "alert-channels.md").read_text(encoding="utf-8")
    (tmp_path / "smtp-password").write_text("p4ss")
    (tmp_path / "smtp-password").chmod(0o600)
    for name in ("notify-send", "logger"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    blocks = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 10
    for block in blocks:
        found = json.loads(block.replace("/usr/bin/logger", str(tmp_path / "logger")))
        configured = found.get("performance", {}).get("channels", found)
        named = re.findall(r"\$\{([A-Z_]+)\}", block)
        environment = dict.fromkeys(named, "https://a.example/x") | {"PATH": str(tmp_path)}
        channels, problems = load_channels(configured, environment, tmp_path)
        assert problems == []
        assert set(configured) <= set(channels)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SECRET_FIELDS = ("webhook_url", "routing_key", "api_key", "password", "password_file", "secret")
NAMES = st.sampled_from(
    [*SECRET_FIELDS, "service_id", "url", "host", "port", "security", "from", "to", "username", "ca_file", "command"]
)
KINDS = st.sampled_from(["slack", "pagerduty", "email", "webhook", "desktop", "command", "apprise"])
CHANNEL = st.builds(
    lambda kind, fields: fields | {"type": kind}, KINDS | JSON, st.dictionaries(NAMES | st.text(), JSON, max_size=6)
)


@given(st.dictionaries(st.text(), CHANNEL | JSON, max_size=3))
def test_no_settings_raise(configured: dict[str, Any]) -> None:
    """Whatever JSON there is, every name is either a channel or has printable problems."""
    channels, problems = load_channels(configured, {"PATH": "/usr/bin:/bin"}, Path("/nonexistent"))
    assert all(problem.isprintable() for problem in problems)
    assert set(channels) <= set(configured)
    assert (len(channels) == len(configured)) == (problems == [])
    json.dumps(shown(configured))
