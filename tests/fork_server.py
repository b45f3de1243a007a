"""Runs the program, or a piece of Python, without starting an interpreter: one process imports everything once, and
forks for each run.

A run is a real process: it has its own working folder, environment, streams and exit code, and signals reach it. Only
what Python does before `main` is left out. Tests use `ForkServer`; `python -m tests.fork_server` is the server.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from freezegun import freeze_time

ROOT = Path(__file__).resolve().parent.parent
_REQUEST_BYTES = 1 << 17
_OPTIONS = {"input", "text", "cwd", "timeout"}

FROZEN = """
import sys
from tests.fork_server import freeze
from claude_force.cli.root import main

freeze(sys.argv.pop(1))
main()
"""
"""The program at another time, where each run starts an interpreter. Its first argument is the time."""


def freeze(at: str) -> None:
    """Set the clock of this process; it goes on from there."""
    freeze_time(at, tick=True).start()


class ForkServer:
    """The side of the tests. The server ends with the process that started it."""

    def __init__(self, folder: Path) -> None:
        self._address = str(folder / "fork-server")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._address)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(listener.fileno())],
                cwd=ROOT,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
            )

    @staticmethod
    def can_run(env: Mapping[str, str], options: Mapping[str, Any]) -> bool:
        """Whether a run is the same in a fork: not where an interpreter is to start in its own way, or where
        something else than pipes is asked for."""
        return not any(name.startswith(("PYTHON", "LC_", "LANG", "LD_")) for name in env) and options.keys() <= _OPTIONS

    def run(
        self,
        arguments: list[str],
        env: dict[str, str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - named as in subprocess
        text: bool = True,
        cwd: str | Path | None = None,
        timeout: float = 120,
        at: str | None = None,
        code: str | None = None,
    ) -> subprocess.CompletedProcess[Any]:
        """As `subprocess.run` with these options, with the output captured. `at` is the time when the program starts;
        None is now. With `code`, that runs in place of the program, as by `python -c`."""
        request = {
            "arguments": arguments, "env": env, "cwd": str(cwd or Path.cwd()), "umask": _umask(), "at": at,
            "code": code,
        }  # fmt: skip
        with ExitStack() as stack:
            given = stack.enter_context(_given(input))
            out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            exit_code = self._ask(request, [given, out.fileno(), err.fileno()], timeout)
            written = []
            for file in (out, err):
                file.seek(0)
                written.append(file.read())
        stdout, stderr = map(_decoded, written) if text else written
        return subprocess.CompletedProcess(["claude-force", *arguments], exit_code, stdout, stderr)

    def _ask(self, request: dict[str, Any], streams: Sequence[int], timeout: float) -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _REQUEST_BYTES)
            connection.connect(self._address)
            socket.send_fds(connection, [json.dumps(request).encode()], streams)
            pid = int(connection.recv(64))
            connection.settimeout(timeout)
            try:
                return int(connection.recv(64))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(request["arguments"], timeout) from None

    def close(self) -> None:
        """End the server."""
        self._process.communicate()


@contextmanager
def _given(text: str | bytes | None) -> Iterator[int]:
    """A pipe that has a text and then ends; without a text, the null device."""
    if text is None:
        with open(os.devnull, "rb") as nothing:
            yield nothing.fileno()
        return
    reading, writing = os.pipe()
    writer = threading.Thread(target=_write, args=(writing, text.encode() if isinstance(text, str) else text))
    writer.start()
    try:
        yield reading
    finally:
        os.close(reading)
        writer.join()


def _write(pipe: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(pipe, "wb") as file:
        file.write(data)


def _decoded(data: bytes) -> str:
    return data.decode().replace("\r\n", "\n").replace("\r", "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _import_everything() -> None:
    import claude_force

    for module in pkgutil.walk_packages(claude_force.__path__, "claude_force."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            import_module(module.name)
    # The program imports the prices when it first needs one, which takes a quarter of a second.
    import_module("genai_prices.data")


def _serve(listener: socket.socket) -> None:
    """Fork for each request, until the standard input ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == 0:
                    return
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    pid = _fork(connection)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _answer(*key.data)


def _fork(connection: socket.socket) -> int:
    data, streams, _, _ = socket.recv_fds(connection, _REQUEST_BYTES, 3)
    pid = os.fork()
    if pid == 0:
        _become(json.loads(data), streams)
    for stream in streams:
        os.close(stream)
    connection.send(str(pid).encode())
    return pid


def _answer(pid: int, connection: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with closing(connection):
        try:
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())
        except OSError:
            # Its time was up, and nobody listens.
            return


def _become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Turn this process into a run of the program or of some code, and end it."""
    from claude_force.cli.root import main

    text = request["code"]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    sys.argv[:] = ["claude-force" if text is None else "-c", *request["arguments"]]
    if request["at"]:
        freeze(request["at"])
    code = 0
    try:
        main() if text is None else exec(text, {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End as an interpreter ends, but for the time it takes to throw away what it has imported."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _import_everything()
    # The first time it looks through all modules; what it finds is kept.
    with freeze_time(tick=True):
        pass
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        _serve(listener)
