"""The port: bound before anything else, and given back at Ctrl-C."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from threading import Thread

import uvicorn

from claude_force.errors import ServeError
from claude_force.web.answers import Ask
from claude_force.web.app import LivePage
from claude_force.web.live import Live, Look

ADDRESS = "127.0.0.1"


_ENDS = signal.SIGINT, signal.SIGTERM
_PATIENCE_S = 1.0
"""How long questions that are under way may take after the end."""


def bind(port: int) -> socket.socket:
    """The socket of a port, which listens from now on; 0 is a free one. Raises ServeError if it cannot be had."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((ADDRESS, port))
        found.listen()
    except OSError as error:
        found.close()
        reason = (error.strerror or str(error)).lower()
        raise ServeError(f"port {port} of {ADDRESS}: {reason}; choose another --port, 0 is a free one") from None
    return found


def serve(found: socket.socket, ask: Ask, look: Look) -> bool:
    """Serve until SIGINT or SIGTERM. Returns whether everything has ended: a question or a look that takes long goes on
    in a thread, which keeps the process alive."""
    live = Live(look)
    page = LivePage(ask, live)
    config = uvicorn.Config(
        page.app(),
        log_config=None,
        # Errors are answers, and what the end interrupts is none: its log has tracebacks only.
        log_level="critical",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    for number in _ENDS:
        # The server raises the signal again when it has closed: it is an end, and no failure.
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _Server(config, live).run(sockets=[found])
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    waiting = Thread(target=page.join, daemon=True)
    waiting.start()
    waiting.join(_PATIENCE_S)
    return not waiting.is_alive()


class _Server(uvicorn.Server):
    """Ends the events of the pages first: they would keep their connections open."""

    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections."""
        await self._live.close()
        await super().shutdown(sockets)
