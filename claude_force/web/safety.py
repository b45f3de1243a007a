"""Who may ask, and what a page may do.

| a request | is answered |
|---|---|
| of another user of this machine, root apart, where the system tells | 403 |
| whose Host names another machine (DNS rebinding) | 403 |
| that a page of another origin makes, except a link that is followed | 403 |
| that changes something, without the token of this server | 403 |
| with another method than GET, HEAD and POST | 405 |

A page may run its own scripts and ask its own server, nothing else.
"""

from __future__ import annotations

import hmac
import os
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from claude_force.network.connection import names_this_machine
from claude_force.network.peers import owner_of
from claude_force.web.pages import content_policy

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer, with which a browser sends the Origin null with a form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_METHODS = frozenset(("GET", "HEAD", "POST"))


class Token:
    """A secret of one run of the server. Only its own pages know it."""

    def __init__(self) -> None:
        self.value = secrets.token_urlsafe(32)

    def is_given(self, text: str) -> bool:
        """Whether a text is the token, in a time that does not depend on the text."""
        return hmac.compare_digest(text.encode(), self.value.encode())


class Safety:
    """Refuses what does not come from a page of this server, and adds the headers that restrict its pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = f"http://{headers.get('host', '')}"

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    found[name] = value
                found["Content-Security-Policy"] = content_policy(origin)
                found.setdefault("Cache-Control", "no-store")
            await send(message)

        problem = _problem(scope["method"], headers, origin) or _problem_of_user(scope)
        if problem is None:
            await self._app(scope, receive, send_safely)
            return
        status, text = problem
        answer = PlainTextResponse(f"{text}\n", status, {"Allow": "GET, HEAD, POST"} if status == 405 else None)
        found = MutableHeaders(raw=answer.raw_headers)
        for name, value in _HEADERS.items():
            found[name] = value
        await answer(scope, receive, send)


def _problem(method: str, headers: Headers, origin: str) -> tuple[int, str] | None:
    """Why a request is refused; None if it is not. The policy of a page names the host, so it is checked first."""
    if len(headers.getlist("host")) != 1 or not names_this_machine(headers["host"]):
        return 403, "only for this machine: use 127.0.0.1 or localhost"
    if method not in _METHODS:
        return 405, "only GET, HEAD and POST"
    if any(each != origin for each in headers.getlist("origin")):
        return 403, "only for the pages of this server"
    is_whole = headers.get("sec-fetch-dest", "document") == "document"
    is_followed = method != "POST" and headers.get("sec-fetch-mode") == "navigate" and is_whole
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not is_followed:
        return 403, "only for the pages of this server"
    return None


def _problem_of_user(scope: Scope) -> tuple[int, str] | None:
    """Why the other end may not ask, going by its user: 127.0.0.1 is open to all of them."""
    client, server = scope.get("client"), scope.get("server")
    owner = owner_of(client[1], server[1]) if client and server else None
    if owner in (None, 0, os.getuid()):
        return None
    return 403, "only for the user who started this server"
