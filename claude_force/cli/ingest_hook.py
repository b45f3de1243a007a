"""`claude-force ingest --hook`: read the transcripts that a hook of Claude Code names.

A hook must never stop or disturb a session. It starts a process that reads, and returns at once: Claude Code ends its
hooks when it ends. Nothing is printed on standard output, and the exit code is 0. What could not be read is read by the
next pass, and `claude-force doctor` names it if that fails as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from claude_force.cli.say import say
from claude_force.cli.statusline import read_session
from claude_force.settings.location import DATABASE_VARIABLE

_PATHS = ("transcript_path", "agent_transcript_path")
"""The fields of a hook's input that name a transcript: of the session, and of the sub-agent that has ended."""


def ingest_for_hook(location: str | None) -> None:
    """Let a process of its own read the transcripts that the input of a hook names. Raises nothing."""
    try:
        files = [path for path in _named(read_session(_warn)) if path.is_file()]
        if files:
            _read(location, files)
        else:
            _warn("the input names no transcript that there is")
    except Exception as error:  # the session goes on
        _warn(str(error) or type(error).__name__)


def _named(told: Any) -> list[Path]:
    found = [told.get(name) for name in _PATHS] if isinstance(told, dict) else []
    return [Path(name).absolute() for name in found if isinstance(name, str) and name]


def _read(location: str | None, files: list[Path]) -> None:
    subprocess.Popen(  # noqa: S603  (this program itself)
        [sys.executable, "-m", "claude_force", "ingest", "--quiet", "--", *map(str, files)],
        # Every user of the machine sees the words of a process: a URL may hold a password.
        env=os.environ | ({DATABASE_VARIABLE: location} if location else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _warn(problem: str) -> None:
    say(f"claude-force ingest: {problem}", err=True)
