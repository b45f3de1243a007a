"""The terminal of the dashboard: reads single keys, uses the alternate screen, and restores everything at the end.

Keys, signals and wake-ups from other threads all become events of `wait`. A signal only writes its number into a pipe
(`signal.set_wakeup_fd`), so that no work is done in a signal handler.
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

TERMINATION_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SIGNALS = (*TERMINATION_SIGNALS, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)

_WAKEUP = 0
"""The byte that another thread writes. Other bytes are signal numbers."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
"""Switch to the alternate screen without a cursor and without wrapping, and back (xterm control sequences)."""

_ESCAPE_SEQUENCE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O.|[^\x1b])", re.DOTALL)
"""What arrow keys, function keys and Alt combinations send."""

_ESCAPE_WAIT_S = 0.05
"""The rest of an escape sequence arrives within this time. The Esc key sends one byte only."""


class Event(NamedTuple):
    """What ended a wait: a key, a signal, a wake-up from another thread, or the loss of the keyboard (hangup)."""

    kind: Literal["key", "signal", "wakeup", "hangup"]
    key: str = ""
    signal: int = 0


class Terminal:
    """The terminal of the process. Works without a keyboard, too; there are no key events then."""

    def __init__(self) -> None:
        self._keyboard = _open_keyboard()
        self._saved_attributes: list[Any] = []
        # Never closed: a thread that still writes must not hit a file that reuses the number.
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)

    @contextmanager
    def full_screen(self) -> Iterator[None]:
        """Show the alternate screen and turn signals into events. Restores both, however the block ends."""
        wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, _ignore) for number in _SIGNALS}
        try:
            self._enter()
            yield
        finally:
            with suppress(OSError, termios.error):
                # A terminal that hung up cannot be restored.
                self._leave()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)

    def wake(self) -> None:
        """End the current wait. Other threads call this."""
        with suppress(BlockingIOError):
            os.write(self._writer, bytes([_WAKEUP]))

    def size(self) -> tuple[int, int]:
        """The current columns and lines; 80 x 24 if they are unknown."""
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    def wait(self) -> list[Event]:
        """Block until something happens, and return it."""
        sources = [self._reader, *([] if self._keyboard is None else [self._keyboard])]
        ready, _, _ = select.select(sources, [], [])
        found: list[Event] = []
        if self._reader in ready:
            found += [
                Event("wakeup") if number == _WAKEUP else Event("signal", signal=number)
                for number in dict.fromkeys(os.read(self._reader, 4096))
            ]
        if self._keyboard in ready:
            found += self._read_keys()
        return found

    def suspend(self) -> None:
        """Restore the terminal and stop the process, as Ctrl-Z does. Returns when the user continues it."""
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, _ignore)
        self._enter()

    def resume(self) -> None:
        """Read single keys again, after SIGSTOP gave the terminal to another program."""
        if self._keyboard is not None:
            _retry(tty.setcbreak, self._keyboard)

    def _read_keys(self) -> list[Event]:
        assert self._keyboard is not None
        try:
            typed = os.read(self._keyboard, 1024)
            if typed.endswith(b"\x1b") and select.select([self._keyboard], [], [], _ESCAPE_WAIT_S)[0]:
                typed += os.read(self._keyboard, 1024)
        except OSError:
            typed = b""
        if not typed:
            return [Event("hangup")]
        return [Event("key", key=key) for key in _ESCAPE_SEQUENCE.sub(b"", typed).decode("utf-8", "replace")]

    def _enter(self) -> None:
        if self._keyboard is not None:
            self._saved_attributes = termios.tcgetattr(self._keyboard)
            _retry(tty.setcbreak, self._keyboard)
        _write(_ENTER)

    def _leave(self) -> None:
        try:
            _write(_LEAVE)
        finally:
            if self._keyboard is not None and self._saved_attributes:
                _retry(termios.tcsetattr, self._keyboard, termios.TCSADRAIN, self._saved_attributes)


def _open_keyboard() -> int | None:
    if sys.stdin is not None and sys.stdin.isatty():
        return sys.stdin.fileno()
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return None


def _retry(change: Callable[..., object], *arguments: Any) -> None:
    """Change the terminal, and repeat the call if a signal interrupts it.

    A background process is stopped by such a call, and sees EINTR when it continues. PEP 475 does not cover termios.
    """
    while True:
        try:
            change(*arguments)
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise
        else:
            return


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _ignore(*_: object) -> None:
    """A handler that does nothing: only signals that have a handler write to the wake-up pipe."""
