"""Programs in a terminal of their own: what they show there, keys, and how they leave it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.daemons import PATIENCE_S, eventually

# The terminal becomes the controlling one of the process, so that it gets the signals of keys and of a new size.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
_HOME = "\x1b[H"
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_ENTERED, _LEFT = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """A pseudo-terminal with a program in it. What it writes is collected all the time, as a terminal does."""

    def __init__(self, command: Sequence[str | Path], folder: Path, size: tuple[int, int], **environment: str) -> None:
        self._ours, self.theirs = pty.openpty()
        self._written = bytearray()
        self.resize(*size)
        self.attributes_before = self.attributes
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *map(str, command)],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
            | {"TERM": "xterm-256color", "TZ": "UTC", "PYTHONUTF8": "1"}
            | environment,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()

    def _collect(self) -> None:
        with suppress(OSError):
            while read := os.read(self._ours, 65536):
                self._written += read

    @property
    def text(self) -> str:
        """Everything that was written so far."""
        return self._written.decode("utf-8", "replace")

    @property
    def attributes(self) -> list[Any]:
        """What `stty` would say."""
        return termios.tcgetattr(self.theirs)

    @property
    def is_second_screen(self) -> bool:
        """Whether the second screen shows."""
        return self.text.rfind(_ENTERED) > self.text.rfind(_LEFT)

    @property
    def lines(self) -> list[str]:
        """The lines of the last frame that is known to be whole, since another one has begun; none before that."""
        whole = self.text.split(_HOME)[1:-1] or [""]
        return _STYLES.sub("", whole[-1]).split("\r\n")

    def shows(self, text: str) -> str | None:
        """The line of the last whole frame that has a text in it."""
        return next((line for line in self.lines if text in line), None)

    def press(self, keys: str) -> None:
        """As from a keyboard."""
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """The exit code of the program, once it has ended."""
        code = eventually(lambda: None if self.process.poll() is None else (self.process.returncode,), patience_s)
        return code[0]

    def close(self) -> None:
        """End whatever runs in it, and the terminal."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.theirs)
        self._collector.join(10)
        os.close(self._ours)


@contextmanager
def terminal(
    command: Sequence[str | Path], folder: Path, size: tuple[int, int] = (80, 24), **environment: str
) -> Iterator[Terminal]:
    """A program in a terminal, which is closed in the end whatever happened."""
    found = Terminal(command, folder, size, **environment)
    try:
        yield found
    finally:
        found.close()
