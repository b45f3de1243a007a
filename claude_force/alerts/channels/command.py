"""Programs of this machine as channels: a command of your own, the notifications of the desktop, and apprise.

A program is started with a list of arguments, never through a shell, in a session of its own, so that all of it ends
when its time is up. What it prints is read to 64 KiB and thrown away beyond.
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

from claude_force.alerts.channels import wording
from claude_force.alerts.channels.webhook import encode, message_id
from claude_force.alerts.notification import Notification
from claude_force.network.outcome import Outcome, conclude
from claude_force.network.secret import Secret
from claude_force.text import sanitize, truncate_pieces

PROGRAM_TIMEOUT_S = 20.0
OUTPUT_LIMIT = 64 * 1024
"""Bytes of what a program prints that are read."""

_PERMANENT = (os.EX_USAGE, os.EX_CONFIG, 126, 127)
"""Exit codes that would come again: wrong use, wrong configuration, not executable, not found (sysexits.h, POSIX)."""

_SECRET_NAME = re.compile("KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_SECRET_LENGTH = 6
"""A shorter value is a word or a number that happens to be called so."""

BODY_LIMIT = 1_000
TITLE_LIMIT = 200


class Finished(NamedTuple):
    """How a program ended: its exit code, or None where its time was up, and the last line that it printed."""

    code: int | None
    said: str


def run(command: Sequence[str], given: bytes, environment: Mapping[str, str], timeout_s: float) -> Finished:
    """Run a program with bytes on its standard input. Raises OSError where it cannot be started."""
    with tempfile.TemporaryFile() as given_file:
        # A file, not a pipe: a program that does not read its input must not stop us.
        given_file.write(given)
        given_file.seek(0)
        process = subprocess.Popen(  # noqa: S603  (a list of arguments that the user wrote, and no shell)
            command,
            stdin=given_file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
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
    # What it left running may hold its output open: that is not waited for.
    reader.join(1)
    lines = bytes(output).decode("utf-8", "replace").strip().splitlines()
    return Finished(code, lines[-1] if lines else "")


def _drain(stream: IO[bytes], output: bytearray) -> None:
    with stream:
        while part := os.read(stream.fileno(), OUTPUT_LIMIT):
            output += part[: OUTPUT_LIMIT - len(output)]


@dataclass(frozen=True, slots=True)
class Command:
    """A program of your own. It gets the message as JSON on its standard input, the same as a webhook does."""

    kind: ClassVar[str] = "command"
    groups: ClassVar[bool] = True

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    timeout_s: float = PROGRAM_TIMEOUT_S

    def send(self, notices: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Run it. Exit code 0 is delivered, 64, 78, 126 and 127 are failed, and all else is tried again."""
        environment = {**self.environment, **_variables(notices, key)}
        return _run_to_outcome(self.command, encode(notices, key), environment, self.timeout_s)


def _variables(notices: Sequence[Notification], key: str) -> dict[str, str]:
    """The message in a few words, for a program that reads no JSON."""
    told = {
        "ID": message_id(key),
        "TEXT": f"{wording.ALERT} - {wording.subject(notices)}",
        "COUNT": str(len(notices)),
        "TITLE": wording.title(notices[0]),
        "SUMMARY": wording.summary(notices[0]),
        "PERIOD": sanitize(notices[0].period),
        "SEVERITY": notices[0].severity,
        "ACTION": notices[0].action,
    }
    return {f"CLAUDE_FORCE_ALERT_{name}": value for name, value in told.items()}


@dataclass(frozen=True, slots=True)
class Desktop:
    """The notifications of the desktop: `notify-send`, or `osascript` on macOS."""

    kind: ClassVar[str] = "desktop"
    groups: ClassVar[bool] = True

    name: str
    environment: Mapping[str, str] = field(repr=False)
    platform: str = sys.platform
    timeout_s: float = PROGRAM_TIMEOUT_S

    def send(self, notices: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Show them as one notification."""
        command = desktop_command(notices, self.platform)
        return _run_to_outcome(command, b"", self.environment, self.timeout_s)


_APPLESCRIPT = (
    "on run argv",
    "display notification (item 3 of argv) with title (item 2 of argv)",
    "end run",
)
"""The texts are arguments of the script, never part of it: nothing in them can end a string."""


def desktop_command(notices: Sequence[Notification], platform: str) -> list[str]:
    """The program of the platform and its arguments."""
    lines = [f"{wording.title(notification)}: {wording.summary(notification)}" for notification in notices]
    title, body = wording.heading(notices), "\n".join(lines)
    if platform == "darwin":
        script = [part for line in _APPLESCRIPT for part in ("-e", line)]
        # A first argument that is no option, so that the next ones are not read as options either.
        return ["osascript", *script, "claude-force", title, truncate_pieces(body, BODY_LIMIT)]
    urgency = "critical" if any(_is_urgent(notification) for notification in notices) else "normal"
    # notify-send resolves backslashes, and the desktop resolves markup.
    marked = truncate_pieces((escape(char, quote=False).replace("\\", "\\\\") for char in body), BODY_LIMIT)
    return ["notify-send", "--app-name=Claude Force", f"--urgency={urgency}", "--", title, marked]


def _is_urgent(notification: Notification) -> bool:
    return notification.severity in ("critical", "error") and notification.action != "resolve"


_APPRISE = """
import json, sys
import apprise

asked = json.load(sys.stdin)
with apprise.LogCapture(level=30, fmt="%(message)s") as said:
    told = apprise.Apprise()
    is_known = told.add(asked["url"])
    is_sent = is_known and told.notify(title=asked["title"], body=asked["body"], notify_type=asked["type"],
        body_format=apprise.NotifyFormat.TEXT, interpret_escapes=False)
    lines = said.getvalue().strip().splitlines()
print(lines[-1] if lines else "apprise gave no reason")
sys.exit(0 if is_sent else 1 if is_known else 78)
"""


@dataclass(frozen=True, slots=True)
class Apprise:
    """Any of the services of apprise, by its URL.

    It runs in a process of its own: it has no limit of time that holds, and logs the addresses that it calls. Modules
    of the working folder are not seen there (-P).
    """

    kind: ClassVar[str] = "apprise"
    groups: ClassVar[bool] = True

    name: str
    url: Secret
    environment: Mapping[str, str] = field(repr=False)
    timeout_s: float = PROGRAM_TIMEOUT_S

    def send(self, notices: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Hand them to apprise as one text. Its URL that it does not know is failed, all else is tried again."""
        worst = "success" if wording.are_over(notices) else "warning"
        if any(_is_urgent(notification) for notification in notices):
            worst = "failure"
        asked = {
            "url": self.url.reveal(),
            "title": f"{wording.ALERT} - {wording.subject(notices)}",
            "body": "\n".join(_body_lines(notices)),
            "type": worst,
        }
        command = (sys.executable, "-P", "-c", _APPRISE)
        return _run_to_outcome(command, json.dumps(asked).encode(), self.environment, self.timeout_s, (self.url,))


def _body_lines(notices: Sequence[Notification]) -> list[str]:
    return [
        line
        for notification in notices
        for line in (
            f"{wording.title(notification)}: {wording.summary(notification)}",
            *wording.fact_lines(notification),
        )
    ]


def _secrets_of(environment: Mapping[str, str]) -> tuple[Secret, ...]:
    """What a program may know, and say, by the names of its variables."""
    return tuple(
        Secret(value)
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_LENGTH
    )


def _run_to_outcome(
    command: Sequence[str],
    given: bytes,
    environment: Mapping[str, str],
    timeout_s: float,
    secrets: tuple[Secret, ...] = (),
) -> Outcome:
    try:
        code, said = run(command, given, environment, timeout_s)
    except OSError as error:
        return conclude("failed", f"{command[0]} cannot be run: {error.strerror}", secrets)
    if code == 0:
        return Outcome("delivered")
    if code is None:
        return conclude("retry", f"{command[0]} did not end within {timeout_s:g} seconds and was stopped", secrets)
    secrets += _secrets_of(environment)
    how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    problem = f"{command[0]}: {how}" + (f": {said}" if said else "")
    return conclude("failed" if code in _PERMANENT else "retry", problem, secrets)
