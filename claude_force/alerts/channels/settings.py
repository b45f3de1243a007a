"""Channels from `performance.channels` of claude.json, and from environment variables alone.

A problem is one line that names the channel, the field and the remedy. The other channels work all the same.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.channels.command import Apprise, Command, Desktop
from claude_force.alerts.channels.email import Email, Security
from claude_force.alerts.channels.pagerduty import EVENTS_URL, INCIDENTS_URL, PagerDutyEvents, PagerDutyIncidents
from claude_force.alerts.channels.slack import Slack
from claude_force.alerts.channels.webhook import Webhook
from claude_force.network.connection import is_loopback
from claude_force.network.redaction import HIDDEN, Secret
from claude_force.settings.fields import Fields, Known, Problems, quoted, shown_object
from claude_force.settings.values import REFERENCE, nearest
from claude_force.text import sanitize

INSTALL_APPRISE = "pip install 'claude-force[apprise]'"

_PORTS = {"starttls": 587, "ssl": 465, "none": 25}
_LOGIN = re.compile(r"[^/]*//([^/?#]*)@")
_BARE_ADDRESS = re.compile(r"[^@\s<>,]+@[^@\s<>,]+")
_ADDRESS = re.compile(rf"{_BARE_ADDRESS.pattern}|[^@<>,]*<{_BARE_ADDRESS.pattern}>")

_FIELDS: dict[str, dict[str, str | None]] = {
    "apprise": {"url": "APPRISE_URL"},
    "command": {"command": None},
    "desktop": {},
    "email": {
        **dict.fromkeys(("host", "port", "security", "username", "from", "to", "ca_file")),
        "password": "SMTP_PASSWORD",
    },
    "pagerduty": {
        **dict.fromkeys(("url", "service_id", "from")),
        "routing_key": "PAGERDUTY_ROUTING_KEY",
        "api_key": "PAGERDUTY_API_KEY",
    },
    "slack": {"webhook_url": "SLACK_WEBHOOK_URL"},
    "webhook": {"url": None, "secret": "HOOK_SECRET", "ca_file": None},
}
"""The fields of each type. See `Known` for the values."""


def load_channels(
    configured: Mapping[str, Any], environment: Mapping[str, str], folder: Path
) -> tuple[dict[str, Channel], list[str]]:
    """The usable channels by name, and the problems of the others, one line each.

    `slack`, `pagerduty` and `email` need no claude.json if their variables are set; an entry of that name replaces
    them. A relative `..._file` is relative to `folder`.
    """
    channels: dict[str, Channel] = {}
    problems: list[str] = []
    for name, given in {**_from_environment(environment), **configured}.items():
        channel, fields = _read(name, given, environment, folder)
        if fields.problems or channel is None:
            problems.extend(f"{sanitize(name)}: {problem}" for problem in fields.problems)
        else:
            channels[name] = channel
    return channels, problems


def problems_of(configured: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Problems:
    """The problems of channels in claude.json that do not depend on which variables are set."""
    found = Problems([], [])
    for name, given in configured.items():
        _, fields = _read(name, given, environment, folder)
        found.add(sanitize(name), fields.lasting())
    return found


def _read(name: str, given: object, environment: Mapping[str, str], folder: Path) -> tuple[Channel | None, Fields]:
    """The channel, and its fields with their problems. If there are any, the channel must not be used."""
    kind = given.get("type") if isinstance(given, dict) else None
    fields = Fields(name, given, _known_of(kind) or _any_of(given), environment, folder)
    return _build(fields, kind), fields


def shown(configured: Mapping[str, Any]) -> dict[str, Any]:
    """The channels as they may be printed: a secret, and anything that may be one, is ***; "${NAME}" stays."""
    return {name: _shown_channel(given) for name, given in configured.items()}


def _shown_channel(given: object) -> object:
    if not isinstance(given, dict):
        return HIDDEN
    return shown_object(given, _known_of(given.get("type")) or {})


def _known_of(kind: object) -> Known:
    """The fields of a type; none for an unknown type."""
    return {"type": None, **_FIELDS[kind]} if isinstance(kind, str) and kind in _FIELDS else {}


def _any_of(given: object) -> Known:
    """The given fields: without a valid type, no field is a problem."""
    return dict.fromkeys(given) if isinstance(given, dict) else {}


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The channels that the environment defines, as claude.json would. A variable that other programs use too
    (SMTP_HOST, PAGERDUTY_API_KEY) defines none by itself."""
    found: dict[str, dict[str, str]] = {}
    if environment.get("SLACK_WEBHOOK_URL"):
        found["slack"] = {"type": "slack", "webhook_url": "${SLACK_WEBHOOK_URL}"}
    if environment.get("PAGERDUTY_ROUTING_KEY"):
        found["pagerduty"] = {"type": "pagerduty", "routing_key": "${PAGERDUTY_ROUTING_KEY}"}
    elif environment.get("PAGERDUTY_SERVICE_ID") or environment.get("PAGERDUTY_FROM"):
        names = {"api_key": "PAGERDUTY_API_KEY", "service_id": "PAGERDUTY_SERVICE_ID", "from": "PAGERDUTY_FROM"}
        found["pagerduty"] = {"type": "pagerduty", **{field: f"${{{name}}}" for field, name in names.items()}}
    if environment.get("ALERT_TO") or environment.get("ALERT_FROM"):
        needed = {"host": "SMTP_HOST", "from": "ALERT_FROM", "to": "ALERT_TO"}
        optional = {
            "port": "SMTP_PORT",
            "security": "SMTP_SECURITY",
            "username": "SMTP_USERNAME",
            "password": "SMTP_PASSWORD",
        }
        names = needed | {field: name for field, name in optional.items() if environment.get(name)}
        found["email"] = {"type": "email", **{field: f"${{{name}}}" for field, name in names.items()}}
    return found


def _build(fields: Fields, kind: object) -> Channel | None:
    if not _known_of(kind):
        if kind is not None:
            fields.problem("type", f"{quoted(kind)} does not exist{nearest(kind, _FIELDS)}")
        elif not fields.problems:
            fields.problem("type", f"is missing; there are: {', '.join(_FIELDS)}")
        return None
    return _BUILDERS[str(kind)](fields)


def _slack(fields: Fields) -> Channel:
    url = fields.secret("webhook_url")
    fields.check_url("webhook_url", url.reveal(), is_private=True)
    return Slack(fields.name, url)


def _pagerduty(fields: Fields) -> Channel:
    if fields.has("service_id") or fields.has("api_key"):
        if fields.has("routing_key"):
            fields.problem("routing_key", "is for events, api_key and service_id are for incidents; remove one of them")
        address = fields.text("from")
        _check_address(fields, "from", address, _BARE_ADDRESS)
        service, url = fields.text("service_id"), fields.text("url", INCIDENTS_URL)
        fields.check_url("url", url, is_private=True)
        return PagerDutyIncidents(fields.name, fields.secret("api_key"), service, address, url)
    url = fields.text("url", EVENTS_URL)
    fields.check_url("url", url, is_private=True)
    return PagerDutyEvents(fields.name, fields.secret("routing_key"), url)


def _email(fields: Fields) -> Channel:
    port = fields.port()
    security = fields.text("security", "ssl" if port == _PORTS["ssl"] else "starttls")
    if security not in _PORTS:
        fields.problem("security", f"{quoted(security)} does not exist{nearest(security, _PORTS)}")
    host = fields.text("host")
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}|", host):
        fields.problem("host", "must be just the name of a mail server, such as smtp.example.com")
    if security == "none" and not is_loopback(host):
        fields.problem("security", 'none is for a server on this machine; write "starttls" or "ssl"')
    sender, recipients = fields.text("from"), fields.texts("to")
    for field, address in (("from", sender), *(("to", recipient) for recipient in recipients)):
        _check_address(fields, field, address, _ADDRESS)
    username = fields.text("username") if fields.has("username") else None
    password = fields.secret("password") if fields.has("password") else None
    if (username is None) != (password is None):
        fields.problem(*(("password", "is missing") if password is None else ("username", "is missing")))
    return Email(
        fields.name,
        host,
        port or _PORTS.get(security, 0),
        cast("Security", security),
        sender,
        recipients,
        username,
        password,
        fields.authority(),
    )


def _webhook(fields: Fields) -> Channel:
    url = fields.text("url")
    fields.check_url("url", url, is_private=False)
    login = _LOGIN.match(str(fields.given.get("url")))
    if login and not REFERENCE.search(login[1]):
        fields.expose(
            "url", 'must not hold a login in claude.json; set HOOK_LOGIN and write "https://${HOOK_LOGIN}@..."'
        )
    secret = fields.secret("secret") if fields.has("secret") else None
    return Webhook(fields.name, Secret(url), secret, fields.authority())


def _command(fields: Fields) -> Channel | None:
    command = fields.given.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        fields.problem(
            "command", 'must be a list of a program and its arguments, such as ["/usr/bin/logger", "-t", "alerts"]'
        )
        return None
    if any(REFERENCE.search(part) for part in command):
        fields.problem(
            "command", "takes no ${...}, because all users can see arguments; the program can read the variables itself"
        )
    if any("\0" in part or not _is_encodable(part) for part in command):
        fields.problem("command", "holds a character that cannot be in an argument")
    elif shutil.which(command[0], path=fields.environment.get("PATH", os.defpath)) is None:
        fields.problem("command", f"{quoted(command[0])} is not a program that can be run; write its full path")
    return Command(fields.name, tuple(command), fields.environment)


def _desktop(fields: Fields) -> Channel:
    program, remedy = (
        ("osascript", "it is part of macOS, in /usr/bin")
        if sys.platform == "darwin"
        else ("notify-send", "sudo apt install libnotify-bin")
    )
    if shutil.which(program, path=fields.environment.get("PATH", os.defpath)) is None:
        fields.problem("type", f'"desktop" needs {program}, which is not installed; {remedy}')
    return Desktop(fields.name, fields.environment)


def _apprise(fields: Fields) -> Channel:
    url = fields.secret("url")
    if find_spec("apprise") is None:
        fields.problem("type", f'"apprise" needs a package that is not installed; {INSTALL_APPRISE}')
    return Apprise(fields.name, url, fields.environment)


_BUILDERS: dict[str, Callable[[Fields], Channel | None]] = {
    "apprise": _apprise,
    "command": _command,
    "desktop": _desktop,
    "email": _email,
    "pagerduty": _pagerduty,
    "slack": _slack,
    "webhook": _webhook,
}


def _check_address(fields: Fields, field: str, address: str, form: re.Pattern[str]) -> None:
    if address and not form.fullmatch(address):
        fields.problem(field, f"{quoted(address)} is not an email address")


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
