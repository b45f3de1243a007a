"""The terminal: its keys one by one, its second screen, and everything as it was before when it is left.

Signals, keys and news from other threads come to one place: whoever waits for them is woken by a byte in a pipe. What a
signal asks for is done there, in the ordinary course of things, not in a handler.
"""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCHED = (*ENDING, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)

_NEWS = 0
"""The byte of another thread; the others are numbers of signals."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
"""The second screen, without a cursor and without wrapping; and back. As xterm's control sequences have it."""

_SEQUENCE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O.|[^\x1b])", re.DOTALL)
"""What a key with a name sends, or one together with Alt."""

_SEQUENCE_WAIT_S = 0.05
"""The rest of such a key comes within so long; Esc comes alone."""


class Happened(NamedTuple):
    """What woke a wait: a key by its character, a signal by its number, news of another thread; or a keyboard that is
    there no more."""

    kind: Literal["key", "signal", "news", "hangup"]
    key: str = ""
    signal: int = 0


class Terminal:
    """A terminal that is watched. Without a keyboard there are no keys, and everything else."""

    def __init__(self) -> None:
        self._keyboard = _keyboard()
        self._before: list[Any] = []
        # Never closed: another thread may still write when we are done, and must not hit what is opened then.
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block signals wake a wait, and the terminal shows its second screen. Afterwards, however it ends,
        all is as it was."""
        wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, _ignore) for number in _WATCHED}
        try:
            self._enter()
            yield
        finally:
            with suppress(OSError, termios.error):
                # A terminal that hung up takes nothing back.
                self._leave()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)

    def wake(self) -> None:
        """Tell who waits that there is news. For another thread."""
        with suppress(BlockingIOError):
            os.write(self._writer, bytes([_NEWS]))

    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    def wait(self) -> list[Happened]:
        """What happens next."""
        watched = [self._reader, *([] if self._keyboard is None else [self._keyboard])]
        ready, _, _ = select.select(watched, [], [])
        found: list[Happened] = []
        if self._reader in ready:
            found += [
                Happened("news") if number == _NEWS else Happened("signal", signal=number)
                for number in dict.fromkeys(os.read(self._reader, 4096))
            ]
        if self._keyboard in ready:
            found += self._keys()
        return found

    def suspend(self) -> None:
        """Stop, as Ctrl-Z does, with the terminal as it was; go on where somebody brings us back."""
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, _ignore)
        self._enter()

    def take_back(self) -> None:
        """Have the keys one by one again, after others had the terminal while we could not know it (SIGSTOP)."""
        if self._keyboard is not None:
            _uninterrupted(tty.setcbreak, self._keyboard)

    def _keys(self) -> list[Happened]:
        assert self._keyboard is not None
        try:
            typed = os.read(self._keyboard, 1024)
            if typed.endswith(b"\x1b") and select.select([self._keyboard], [], [], _SEQUENCE_WAIT_S)[0]:
                typed += os.read(self._keyboard, 1024)
        except OSError:
            typed = b""
        if not typed:
            return [Happened("hangup")]
        return [Happened("key", key=key) for key in _SEQUENCE.sub(b"", typed).decode("utf-8", "replace")]

    def _enter(self) -> None:
        if self._keyboard is not None:
            self._before = termios.tcgetattr(self._keyboard)
            _uninterrupted(tty.setcbreak, self._keyboard)
        _say(_ENTER)

    def _leave(self) -> None:
        try:
            _say(_LEAVE)
        finally:
            if self._keyboard is not None and self._before:
                _uninterrupted(termios.tcsetattr, self._keyboard, termios.TCSADRAIN, self._before)


def _keyboard() -> int | None:
    if sys.stdin is not None and sys.stdin.isatty():
        return sys.stdin.fileno()
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return None


def _uninterrupted(change: Callable[..., object], *arguments: Any) -> None:
    """Change the terminal. Who does so in the background is stopped, and finds the call interrupted when brought back;
    unlike other calls (PEP 475) Python does not repeat these."""
    while True:
        try:
            change(*arguments)
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise
        else:
            return


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _ignore(*_: object) -> None:
    """A signal that has a handler writes its number into the pipe; that is all we want."""
