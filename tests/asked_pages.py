"""The live page without a port: requests are given to the application itself, and what it sends is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from claude_force.cli.page_commands import PageCommands
from claude_force.ingest.freshness import Freshness
from claude_force.web.app import LivePage
from claude_force.web.live import Live

HOST = "127.0.0.1:4320"


class Sent(NamedTuple):
    """An answer. Names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


def ask(
    location: str | None, path: str, headers: Mapping[str, str] = {}, method: str = "GET", body: bytes = b""
) -> Sent:
    """The answer of a live page of a database (None: the home's own), which nothing else changes meanwhile."""
    return asyncio.run(_ask(location, path, {"Host": HOST} | dict(headers), method, body))


async def _ask(location: str | None, path: str, headers: Mapping[str, str], method: str, body: bytes) -> Sent:
    with closing(PageCommands(location, Freshness)) as commands:
        return await ask_page(LivePage(commands, Live(lambda: False)), path, headers, method, body)


async def ask_page(
    page: LivePage, path: str, headers: Mapping[str, str] = {"Host": HOST}, method: str = "GET", body: bytes = b""
) -> Sent:
    """The answer of a page."""
    parts = urlsplit(path)
    scope = {
        "type": "http", "method": method, "path": parts.path, "raw_path": parts.path.encode(), "root_path": "",
        "query_string": parts.query.encode(), "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 4320),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await page.app()(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Sent(sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent[1:]).decode())
