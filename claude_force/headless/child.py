"""Runs a program as if it had been started without us: its input and output, its signals and its exit code are its own.

| what                  | how                                                                                       |
|-----------------------|-------------------------------------------------------------------------------------------|
| input, errors         | inherited                                                                                 |
| output                | inherited; where a copy is wanted, passed through byte for byte                           |
| SIGINT, SIGTERM, ...  | sent on to it; Ctrl-C at a terminal reaches it by itself, and is not sent a second time   |
| exit code             | its own; 128 and the number of the signal that ended it                                   |

A copy never stops the program: when it cannot be written it ends, and the program goes on.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""The exit codes of a shell for a program that does not exist, and for one that may not be run."""

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_BY_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_SENT_BY_KERNEL = 128
"""SI_KERNEL: the code of a signal that the kernel itself sent, as a terminal does to all processes in front."""

_CHUNK_BYTES = 1 << 16
_LOOK_EVERY_S = 0.05


class SignalsHeld:
    """Signals wait for the block, so that none ends this process before the program has its place. At the end those
    that the program was sent are forgotten."""

    def __enter__(self) -> SignalsHeld:
        self.before = signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
        # macOS forgets a blocked signal that is ignored by default, and a parent may have left it ignored.
        self._handler = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for held in signal.sigpending() & {*FORWARDED, signal.SIGCHLD}:
            signal.sigwait({held})
        signal.signal(signal.SIGCHLD, self._handler or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)


def run_child(
    command: Sequence[str], environment: Mapping[str, str], held: SignalsHeld, copy: IO[bytes] | None = None
) -> int:
    """Run a program to its end; returns its exit code. What it writes to its output also goes into `copy`.

    Within the block of `held`, by the main thread. Raises OSError if it cannot be started.
    """
    if copy is None:
        return _wait(_spawn(command, environment, held.before))
    source, sink = os.pipe()
    try:
        child = _spawn(command, environment, held.before, sink)
    except OSError:
        os.close(source)
        raise
    finally:
        os.close(sink)
    copier = threading.Thread(target=_pass_through, args=(source, copy), daemon=True)
    copier.start()
    code = _wait(child)
    # What the program left running may still write, and is not cut off; a signal ends the waiting.
    while copier.is_alive() and not signal.sigpending() & set(FORWARDED):
        copier.join(_LOOK_EVERY_S)
    return code


def _spawn(
    command: Sequence[str], environment: Mapping[str, str], mask: Iterable[int], output: int | None = None
) -> int:
    if not command[0]:  # as a shell says it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    actions = () if output is None else [(os.POSIX_SPAWN_DUP2, output, 1)]
    return os.posix_spawnp(
        command[0], tuple(command), environment, file_actions=actions, setsigmask=mask, setsigdef=_IGNORED_BY_PYTHON
    )


def _wait(child: int) -> int:
    """Send signals on until the program has ended; returns its exit code."""
    while True:
        _send_on(child)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _send_on(child: int) -> None:
    """Wait for one signal, and send it on if the program does not have it already."""
    awaited = {*FORWARDED, signal.SIGCHLD}
    if hasattr(signal, "sigwaitinfo"):
        found = signal.sigwaitinfo(awaited)
        number, is_known = found.si_signo, found.si_code == _SENT_BY_KERNEL
    else:  # macOS does not say who sent a signal
        number = signal.sigwait(awaited)
        is_known = number in _BY_TERMINAL and os.isatty(0)
    if number != signal.SIGCHLD and not is_known:
        with suppress(ProcessLookupError):
            os.kill(child, number)


def _pass_through(source: int, copy: IO[bytes]) -> None:
    """Copy what comes to our output, and then to `copy`. When nobody reads our output any more, the source is closed,
    as it would be for the program itself."""
    keeps = True
    with open(source, "rb", buffering=0) as stream, suppress(OSError):
        while data := stream.read(_CHUNK_BYTES):
            _write_all(1, data)
            if keeps:
                try:
                    copy.write(data)
                except (OSError, ValueError):
                    keeps = False


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            # Another program switched our output to not waiting.
            select.select([], [descriptor], [])
