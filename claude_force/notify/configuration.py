"""`performance.channels` of claude.json, and the channels that the environment alone makes.

A secret stands in the environment (`"${NAME}"`) or in a file of its owner's alone (`"..._file"`), never in claude.json.
A channel that cannot be used is a line that names the channel, the field and the remedy; the others are not touched.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from claude_force.notify.base import Channel
from claude_force.notify.email import Email, Security
from claude_force.notify.network import Refused, is_loopback, refuse_link_local, tls_context
from claude_force.notify.pagerduty import EVENTS_URL, INCIDENTS_URL, PagerDutyEvents, PagerDutyIncidents
from claude_force.notify.program import Apprise, Command, Desktop
from claude_force.notify.secret import HIDDEN, Secret, redact_urls
from claude_force.notify.slack import Slack
from claude_force.notify.webhook import Webhook
from claude_force.notify.wording import plain
from claude_force.record import kind_of

SECRET_FILE_LIMIT = 16 * 1024

INSTALL_APPRISE = "pip install 'claude-force[apprise]'"

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
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
"""The fields of each type; of a secret, the variable that a remedy names. A secret may also stand as `FIELD_file`."""


def load_channels(
    configured: Mapping[str, Any], environment: Mapping[str, str], folder: Path
) -> tuple[dict[str, Channel], list[str]]:
    """Channels by name, and the problems of those that cannot be used: one line each, with channel, field and remedy.

    `slack`, `pagerduty` and `email` are there by the environment alone where it is set for them and claude.json says
    nothing of them. A relative `..._file` is relative to `folder`.
    """
    channels: dict[str, Channel] = {}
    problems: list[str] = []
    for name, given in {**_from_environment(environment), **configured}.items():
        fields = _Fields(name, given, environment, folder)
        channel = _build(fields)
        if fields.problems or channel is None:
            problems.extend(f"{plain(name)}: {problem}" for problem in fields.problems)
        else:
            channels[name] = channel
    return channels, problems


def shown(configured: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as it may be printed: a secret, and whatever might be one, is ***; "${NAME}" stays."""
    return {name: _shown_channel(given) for name, given in configured.items()}


def _shown_channel(given: object) -> object:
    if not isinstance(given, dict):
        return HIDDEN
    kind = given.get("type")
    fields = _FIELDS.get(kind, {}) if isinstance(kind, str) else {}
    public = {*(field for field, variable in fields.items() if variable is None), *_file_fields(fields)}
    if isinstance(kind, str):
        public.add("type")
    return {field: _shown_value(field, value, field in public) for field, value in given.items()}


def _shown_value(field: str, value: object, is_public: bool) -> object:
    if value is None or (isinstance(value, (bool, int, float)) and is_public):
        return value
    if isinstance(value, str):
        if _REFERENCE.fullmatch(value):
            return value
        return redact_urls(value) if is_public else HIDDEN
    if isinstance(value, list) and is_public:
        # Of a command the program alone: an argument may be anything.
        told = value[:1] if field == "command" else value
        return [_shown_value(field, item, True) for item in told] + [HIDDEN] * (len(value) - len(told))
    return HIDDEN


def _file_fields(fields: Mapping[str, str | None]) -> Iterable[str]:
    return (f"{field}_file" for field, variable in fields.items() if variable is not None)


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What claude.json would say for the channels that the environment makes. A variable that other programs use too
    (SMTP_HOST, PAGERDUTY_API_KEY) makes none by itself."""
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


class _Fields:
    """The fields of one channel as they are read. What is wrong is noted, and an empty value stands in for it, so that
    all that is wrong is found at once."""

    def __init__(self, name: str, given: object, environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.environment = environment
        self.folder = folder
        self.problems: list[str] = []
        self.given: dict[str, Any] = given if isinstance(given, dict) else {}
        if not isinstance(given, dict):
            self.problems.append(f"must be an object with a type, not {kind_of(given)}")

    def problem(self, field: str, what: str) -> None:
        """Note what is wrong with a field."""
        self.problems.append(f"{field} {what}")

    def has(self, field: str) -> bool:
        """Whether a field is there, or for a secret the file of it."""
        return any(self.given.get(name) is not None for name in (field, f"{field}_file"))

    def kind(self) -> str | None:
        """The type of the channel; None where it has none that is known. Fields that it does not have are noted."""
        kind = self.given.get("type")
        if kind is None:
            self.problem("type", f"is missing; there are: {', '.join(_FIELDS)}")
        elif not isinstance(kind, str) or kind not in _FIELDS:
            self.problem("type", f"{_quoted(kind)} does not exist{_nearest(kind, _FIELDS)}")
        else:
            known = ["type", *_FIELDS[kind], *_file_fields(_FIELDS[kind])]
            for field in self.given:
                if field not in known:
                    self.problems.append(f"there is no field {plain(field)}{_nearest(field, known)}")
            return kind
        return None

    def text(self, field: str, default: str | None = None) -> str:
        """A text, with the variables in it; the default, or a problem, where there is none."""
        value = self.given.get(field, default)
        if value is None:
            self.problem(field, "is missing")
            return ""
        if not isinstance(value, str):
            self.problem(field, f"must be text, not {kind_of(value)}")
            return ""
        return self._expanded(field, value)

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of texts, or one text with commas between them."""
        value = self.given.get(field)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            found = [self._expanded(field, item) for item in value]
        else:
            found = self.text(field).split(",")
        kept = tuple(item.strip() for item in found if item.strip())
        if not kept and not self._has_problem(field):
            self.problem(field, "is empty")
        return kept

    def secret(self, field: str) -> Secret:
        """A secret, from the environment or its file; in claude.json itself it is a problem."""
        file = f"{field}_file"
        if self.given.get(file) is not None:
            if self.given.get(field) is not None:
                self.problem(field, f"and {file} say the same; remove one of them")
            return Secret(self._plain_ascii(file, self._secret_file(file)))
        value = self.given.get(field)
        if isinstance(value, str) and not _REFERENCE.search(value):
            variable = _FIELDS[str(self.given["type"])][field]
            self.problem(field, f'must not stand in claude.json; set {variable} and write "${{{variable}}}"')
            return Secret("")
        return Secret(self._plain_ascii(field, self.text(field)))

    def file(self, field: str) -> Path | None:
        """The path of a file, or None."""
        return self.folder / os.path.expanduser(self.text(field)) if self.has(field) else None  # noqa: PTH111

    def _expanded(self, field: str, value: str) -> str:
        for name in _REFERENCE.findall(value):
            if not self.environment.get(name):
                self.problem(field, f"needs the variable {name}, which is not set; export {name}=...")
        found = _REFERENCE.sub(lambda reference: self.environment.get(reference[1], ""), value)
        if not found.isprintable():
            self.problem(field, "holds a line break or another character that cannot be seen; remove it")
            return ""
        return found

    def _plain_ascii(self, field: str, value: str) -> str:
        if not value.isascii():
            self.problem(field, "holds a character that is not ASCII, which no service takes in a secret")
        return value

    def _secret_file(self, field: str) -> str:
        path = self.file(field)
        assert path is not None
        try:
            # Opened first, so that what is checked is what is read. Not waiting for a writer, should it be a pipe.
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    self.problem(field, f"{path} is not a file")
                    return ""
                if mode & 0o077:
                    self.problem(field, f"{path} can be read by others; chmod 600 {path}")
                    return ""
                content = file.read(SECRET_FILE_LIMIT + 1)
        except (OSError, ValueError) as error:
            self.problem(field, f"{path}: {getattr(error, 'strerror', None) or 'cannot be opened'}")
            return ""
        found = content.decode("ascii", "replace").strip()
        if not found or len(content) > SECRET_FILE_LIMIT or not found.isprintable():
            self.problem(field, f"{path} must hold the secret alone, on one line")
            return ""
        return found

    def _has_problem(self, field: str) -> bool:
        return any(problem.startswith(f"{field} ") for problem in self.problems)


def _build(fields: _Fields) -> Channel | None:
    if fields.problems:
        return None
    kind = fields.kind()
    return None if kind is None else _BUILDERS[kind](fields)


def _slack(fields: _Fields) -> Channel:
    url = fields.secret("webhook_url")
    _check_url(fields, "webhook_url", url.reveal(), is_private=True)
    return Slack(fields.name, url)


def _pagerduty(fields: _Fields) -> Channel:
    if fields.has("service_id") or fields.has("api_key"):
        if fields.has("routing_key"):
            fields.problem("routing_key", "is for events, api_key and service_id are for incidents; remove one of them")
        address = fields.text("from")
        _check_address(fields, "from", address, _BARE_ADDRESS)
        service, url = fields.text("service_id"), fields.text("url", INCIDENTS_URL)
        _check_url(fields, "url", url, is_private=True)
        return PagerDutyIncidents(fields.name, fields.secret("api_key"), service, address, url)
    url = fields.text("url", EVENTS_URL)
    _check_url(fields, "url", url, is_private=True)
    return PagerDutyEvents(fields.name, fields.secret("routing_key"), url)


def _email(fields: _Fields) -> Channel:
    port = _port(fields)
    security = fields.text("security", "ssl" if port == _PORTS["ssl"] else "starttls")
    if security not in _PORTS:
        fields.problem("security", f"{_quoted(security)} does not exist{_nearest(security, _PORTS)}")
    host = fields.text("host")
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}|", host):
        fields.problem("host", "must be the name of a mail server alone, like smtp.example.com")
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
        _authority(fields),
    )


def _webhook(fields: _Fields) -> Channel:
    url = fields.text("url")
    _check_url(fields, "url", url, is_private=False)
    login = _LOGIN.match(str(fields.given.get("url")))
    if login and not _REFERENCE.search(login[1]):
        fields.problem(
            "url", 'must not hold a login in claude.json; set HOOK_LOGIN and write "https://${HOOK_LOGIN}@..."'
        )
    secret = fields.secret("secret") if fields.has("secret") else None
    return Webhook(fields.name, Secret(url), secret, _authority(fields))


def _command(fields: _Fields) -> Channel | None:
    command = fields.given.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        fields.problem(
            "command", 'must be a list of a program and its arguments, like ["/usr/bin/logger", "-t", "alerts"]'
        )
        return None
    if any(_REFERENCE.search(part) for part in command):
        fields.problem("command", "takes no ${...}: every user sees arguments; the program has the variables itself")
    if any("\0" in part or not _is_encodable(part) for part in command):
        fields.problem("command", "holds a character that no argument can have")
    elif shutil.which(command[0], path=fields.environment.get("PATH", os.defpath)) is None:
        fields.problem("command", f"{_quoted(command[0])} is not a program that can be run; write its full path")
    return Command(fields.name, tuple(command), fields.environment)


def _desktop(fields: _Fields) -> Channel:
    program, remedy = (
        ("osascript", "it is part of macOS, in /usr/bin")
        if sys.platform == "darwin"
        else ("notify-send", "sudo apt install libnotify-bin")
    )
    if shutil.which(program, path=fields.environment.get("PATH", os.defpath)) is None:
        fields.problem("type", f'"desktop" needs {program}, which is not installed; {remedy}')
    return Desktop(fields.name, fields.environment)


def _apprise(fields: _Fields) -> Channel:
    url = fields.secret("url")
    if find_spec("apprise") is None:
        fields.problem("type", f'"apprise" needs a package that is not installed; {INSTALL_APPRISE}')
    return Apprise(fields.name, url, fields.environment)


_BUILDERS: dict[str, Callable[[_Fields], Channel | None]] = {
    "apprise": _apprise,
    "command": _command,
    "desktop": _desktop,
    "email": _email,
    "pagerduty": _pagerduty,
    "slack": _slack,
    "webhook": _webhook,
}


def _port(fields: _Fields) -> int | None:
    value = fields.given.get("port")
    if value is None:
        return None
    if isinstance(value, str):
        value = fields.text("port")
        value = int(value) if value.isascii() and value.isdecimal() and len(value) <= 5 else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65_536:
        fields.problem("port", "must be a whole number from 1 to 65535")
        return None
    return value


def _check_url(fields: _Fields, field: str, url: str, *, is_private: bool) -> None:
    """Note what is wrong with a URL; one that carries a credential is encrypted, but on this machine."""
    if not url:
        return
    try:
        parts = urlsplit(url)
        host, scheme, _ = parts.hostname or "", parts.scheme, parts.port
        refuse_link_local(host)
    except ValueError:
        host, scheme = "", ""
    except Refused as error:
        fields.problem(field, f"must not be used: {error}")
        return
    if scheme not in ("http", "https") or not host or not url.isascii() or " " in url:
        fields.problem(field, "must be a URL that begins with https://")
    elif is_private and scheme == "http" and not is_loopback(host):
        fields.problem(field, "must begin with https://: what it carries is secret")


def _check_address(fields: _Fields, field: str, address: str, form: re.Pattern[str]) -> None:
    if address and not form.fullmatch(address):
        fields.problem(field, f"{_quoted(address)} is not a mail address")


def _authority(fields: _Fields) -> Path | None:
    """The `ca_file`, which holds certificates."""
    path = fields.file("ca_file")
    if path is None:
        return None
    try:
        tls_context(path)
    except (OSError, ValueError) as error:
        # ssl.SSLError is an OSError, whose words are those of its library.
        is_missing = isinstance(error, (FileNotFoundError, PermissionError))
        reason = error.strerror if is_missing and isinstance(error, OSError) else "holds no certificate in PEM form"
        fields.problem("ca_file", f"{path}: {reason}")
    return path


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _quoted(value: object) -> str:
    return f'"{plain(value, 60)}"' if isinstance(value, str) else f"({kind_of(value)})"


def _nearest(given: object, known: Iterable[str]) -> str:
    """What is said after a name that does not exist: the nearest that does, or all."""
    near = get_close_matches(given, list(known), n=1) if isinstance(given, str) else []
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"
