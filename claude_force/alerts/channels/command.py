"""Channels that run a program: the user's own command, desktop notifications, and apprise.

A program is started from a list of arguments, never through a shell, and in its own session, so that a timeout kills
everything it started. Its output is read up to 64 KiB.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from typing import IO, ClassVar, NamedTuple

from claude_force.alerts.channels import message_parts
from claude_force.alerts.channels.webhook import encode, message_id
from claude_force.alerts.notification import Notification
from claude_force.network.outcome import Outcome, conclude
from claude_force.network.redaction import Secret
from claude_force.text import sanitize, truncate_pieces

PROGRAM_TIMEOUT_S = 20.0
OUTPUT_LIMIT = 64 * 1024
"""How many bytes of the output of a program are read."""

_PERMANENT = (os.EX_USAGE, os.EX_CONFIG, 126, 127)
"""Exit codes that a retry would not change: usage, configuration, not executable, not found (sysexits.h, POSIX)."""

_SECRET_NAME = re.compile("KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_SECRET_LENGTH = 6
"""A shorter value is taken for a word or a number, not for a secret."""

BODY_LIMIT = 1_000
TITLE_LIMIT = 200


class Finished(NamedTuple):
    """How a program ended: its exit code (None: it was killed by the timeout) and the last line of its output."""

    code: int | None
    last_line: str


def run(command: Sequence[str], stdin: bytes, environment: Mapping[str, str], timeout_s: float) -> Finished:
    """Run a program with bytes on its standard input. Raises OSError if it cannot be started."""
    process = _start(command, stdin, environment)
    assert process.stdout is not None
    output = bytearray()
    reader = threading.Thread(target=_drain, args=(process.stdout, output), daemon=True)
    reader.start()
    try:
        code: int | None = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # Do not wait long: a background process that it left may hold its output open.
    reader.join(1)
    lines = bytes(output).decode("utf-8", "replace").strip().splitlines()
    return Finished(code, lines[-1] if lines else "")


def _start(command: Sequence[str], stdin: bytes, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with tempfile.TemporaryFile() as stdin_file:
        # A file, not a pipe: a program that does not read its input must not block this one.
        stdin_file.write(stdin)
        stdin_file.seek(0)
        return subprocess.Popen(  # noqa: S603  (a list of arguments that the user wrote, and no shell)
            command,
            stdin=stdin_file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )


def _drain(stream: IO[bytes], output: bytearray) -> None:
    with stream:
        while part := os.read(stream.fileno(), OUTPUT_LIMIT):
            output += part[: OUTPUT_LIMIT - len(output)]


@dataclass(frozen=True, slots=True)
class Command:
    """The user's own program. It gets the JSON of a webhook on its standard input."""

    kind: ClassVar[str] = "command"
    groups: ClassVar[bool] = True

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    timeout_s: float = PROGRAM_TIMEOUT_S

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Run it. Exit code 0 means delivered; 64, 78, 126 and 127 failed; anything else is retried."""
        environment = {**self.environment, **_variables(notifications, key)}
        return _run_to_outcome(self.command, encode(notifications, key), environment, self.timeout_s)


def _variables(notifications: Sequence[Notification], key: str) -> dict[str, str]:
    """The message as environment variables, for a program that reads no JSON."""
    texts = {
        "ID": message_id(key),
        "TEXT": f"{message_parts.ALERT} - {message_parts.subject(notifications)}",
        "COUNT": str(len(notifications)),
        "TITLE": message_parts.title(notifications[0]),
        "SUMMARY": message_parts.summary(notifications[0]),
        "PERIOD": sanitize(notifications[0].period),
        "SEVERITY": notifications[0].severity,
        "ACTION": notifications[0].action,
    }
    return {f"CLAUDE_FORCE_ALERT_{name}": value for name, value in texts.items()}


@dataclass(frozen=True, slots=True)
class Desktop:
    """Desktop notifications by `notify-send`, or by `osascript` on macOS."""

    kind: ClassVar[str] = "desktop"
    groups: ClassVar[bool] = True

    name: str
    environment: Mapping[str, str] = field(repr=False)
    platform: str = sys.platform
    timeout_s: float = PROGRAM_TIMEOUT_S

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Show them as one desktop notification."""
        command = desktop_command(notifications, self.platform)
        return _run_to_outcome(command, b"", self.environment, self.timeout_s)


_APPLESCRIPT = (
    "on run argv",
    "display notification (item 3 of argv) with title (item 2 of argv)",
    "end run",
)
"""Texts are arguments of the script, not part of it, so nothing in them can end a string."""


def desktop_command(notifications: Sequence[Notification], platform: str) -> list[str]:
    """The command of the platform."""
    lines = [
        f"{message_parts.title(notification)}: {message_parts.summary(notification)}" for notification in notifications
    ]
    title, body = message_parts.heading(notifications), "\n".join(lines)
    if platform == "darwin":
        script = [part for line in _APPLESCRIPT for part in ("-e", line)]
        # The first argument is not an option, so osascript reads the next ones as arguments too.
        return ["osascript", *script, "claude-force", title, truncate_pieces(body, BODY_LIMIT)]
    urgency = "critical" if any(_is_urgent(notification) for notification in notifications) else "normal"
    # notify-send interprets backslashes, and the desktop interprets markup.
    marked = truncate_pieces((escape(char, quote=False).replace("\\", "\\\\") for char in body), BODY_LIMIT)
    return ["notify-send", "--app-name=Claude Force", f"--urgency={urgency}", "--", title, marked]


def _is_urgent(notification: Notification) -> bool:
    return notification.severity in ("critical", "error") and notification.action != "resolve"


_APPRISE = """
import json, sys
import apprise

message = json.load(sys.stdin)
with apprise.LogCapture(level=30, fmt="%(message)s") as log:
    service = apprise.Apprise()
    is_known = service.add(message["url"])
    is_sent = is_known and service.notify(title=message["title"], body=message["body"], notify_type=message["type"],
        body_format=apprise.NotifyFormat.TEXT, interpret_escapes=False)
    lines = log.getvalue().strip().splitlines()
print(lines[-1] if lines else "apprise gave no reason")
sys.exit(0 if is_sent else 1 if is_known else 78)
"""


@dataclass(frozen=True, slots=True)
class Apprise:
    """Any service of apprise, by its URL.

    It runs in its own process, because apprise has no reliable timeout and logs the URLs that it calls. The process
    does not import from the working folder (-P).
    """

    kind: ClassVar[str] = "apprise"
    groups: ClassVar[bool] = True

    name: str
    url: Secret
    environment: Mapping[str, str] = field(repr=False)
    timeout_s: float = PROGRAM_TIMEOUT_S

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Send them as one text. A URL that apprise does not know fails; any other problem is retried."""
        worst = "success" if message_parts.are_resolved(notifications) else "warning"
        if any(_is_urgent(notification) for notification in notifications):
            worst = "failure"
        message = {
            "url": self.url.reveal(),
            "title": f"{message_parts.ALERT} - {message_parts.subject(notifications)}",
            "body": "\n".join(_body_lines(notifications)),
            "type": worst,
        }
        command = (sys.executable, "-P", "-c", _APPRISE)
        return _run_to_outcome(command, json.dumps(message).encode(), self.environment, self.timeout_s, (self.url,))


def _body_lines(notifications: Sequence[Notification]) -> list[str]:
    return [
        line
        for notification in notifications
        for line in (
            f"{message_parts.title(notification)}: {message_parts.summary(notification)}",
            *message_parts.fact_lines(notification),
        )
    ]


def _secrets_of(environment: Mapping[str, str]) -> tuple[Secret, ...]:
    """The secrets in the environment of a program, found by the names of the variables: its output may hold them."""
    return tuple(
        Secret(value)
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_LENGTH
    )


def _run_to_outcome(
    command: Sequence[str],
    stdin: bytes,
    environment: Mapping[str, str],
    timeout_s: float,
    secrets: tuple[Secret, ...] = (),
) -> Outcome:
    try:
        code, last_line = run(command, stdin, environment, timeout_s)
    except OSError as error:
        return conclude("failed", f"{command[0]} cannot be run: {error.strerror}", secrets)
    if code == 0:
        return Outcome("delivered")
    if code is None:
        return conclude("retry", f"{command[0]} did not end within {timeout_s:g} seconds and was killed", secrets)
    secrets += _secrets_of(environment)
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    problem = f"{command[0]}: {how}" + (f": {last_line}" if last_line else "")
    return conclude("failed" if code in _PERMANENT else "retry", problem, secrets)
