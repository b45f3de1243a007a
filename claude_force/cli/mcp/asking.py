"""Asks this program itself: a command with `--json`, in a process of its own.

So the answer is that of the command, to the byte. The server never forks with threads, and an answer that takes too
long, or too much memory, ends without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from claude_force.errors import ClaudeForceError
from claude_force.settings.location import DATABASE_VARIABLE

TIME_LIMIT_S = 120
"""How long a command may take. The first one may read gigabytes of transcripts, and goes on where it was stopped."""

Value = str | int | bool | Sequence[str] | None


class NoAnswer(ClaudeForceError):
    """A command failed; its message is that of the command."""


async def ask(
    location: str | None, command: str, options: Mapping[str, Value], argument: str | None = None
) -> dict[str, Any]:
    """The JSON that a command prints. An exit code that says something about the figures, such as a regression, is an
    answer. Raises NoAnswer."""
    program = [sys.executable, "-m", "claude_force", *words_of(command, options, argument)]
    # Every user of the machine sees the words of a process: a URL may hold a password.
    environment = os.environ | ({DATABASE_VARIABLE: location} if location else {})
    try:
        with anyio.fail_after(TIME_LIMIT_S):
            done = await anyio.run_process(program, check=False, stdin=subprocess.DEVNULL, env=environment)
    except TimeoutError:
        raise NoAnswer(
            f"claude-force {command} did not end within {TIME_LIMIT_S} s; ask for a shorter period"
        ) from None
    except OSError as error:
        # The system takes 128 KB for one word, and a few MB for all of them.
        raise NoAnswer(f"claude-force {command} cannot be started: {error.strerror}") from None
    try:
        found = json.loads(done.stdout)
    except ValueError:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.startswith("error: ")]
        raise NoAnswer(said[-1].removeprefix("error: ") if said else f"exit code {done.returncode}") from None
    return found if isinstance(found, dict) else {"rows": found}


def words_of(command: str, options: Mapping[str, Value], argument: str | None = None) -> list[str]:
    """A command that prints JSON, as words. None and False are not given, and "_" is "-". The value of an option is in
    the same word: one that begins with - is no option, and neither is the argument, after "--"."""
    words = command.split()
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, (str, int)) and value is not False:
            words.append(f"{option}={value}")
        elif value:
            words += [f"{option}={each}" for each in value]
    return [*words, "--json", *([] if argument is None else ["--", argument])]
