"""The routes: views as HTML and as JSON, events, forms, and the files of a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import StringIO
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from claude_force.errors import ClaudeForceError, DatabaseError, UnknownName
from claude_force.reports.html import elements
from claude_force.web import pages
from claude_force.web.answers import Ask, BadQuestion, Query
from claude_force.web.live import Live
from claude_force.web.safety import Safety, Token
from claude_force.web.shell import Shell, message_of, problem_page
from claude_force.web.view import Action, View, refuse_other_words
from claude_force.web.views import ACTIONS, VIEWS

FORMAT = "format"
"""The word of a query string that is for the page and not for its command."""

_MOST_FORM_BYTES = 16_384
_MOST_QUERY_BYTES, _MOST_WORDS = 8_192, 100
"""Each link of a page has all words."""

_EVENTS = "text/event-stream"
_FOR_EVER = "private, max-age=31536000, immutable"
_MOST_KEPT = 64
"""Answers that are kept until something is new."""

_THREADS = 2
"""Questions that are answered at the same time. Each thread has a connection to the database."""


class Drawn(NamedTuple):
    """An answer as it is sent."""

    status: int
    body: bytes
    content_type: str
    tag: str


class LivePage:
    """The application. `ask` runs the commands, `live` tells when something is new."""

    def __init__(self, ask: Ask, live: Live) -> None:
        self._ask, self._live = ask, live
        self._token = Token()
        self._threads = ThreadPoolExecutor(_THREADS, "page")
        self._drawn: dict[tuple[str, Query, str], asyncio.Future[Drawn]] = {}
        self._generation = 0

    def app(self) -> Starlette:
        """The routes, behind the checks of `safety`."""
        routes = [
            *(Route(view.path, self._visit(view)) for view in VIEWS),
            *(Route(action.path, self._change(action), methods=["POST"]) for action in ACTIONS),
            Route("/events", self._events),
            Route(f"/assets/{pages.CHARTS}", _file(elements.chart_library(), "text/javascript")),
            Route("/assets/icon.svg", _file(pages.own_asset("icon.svg"), "image/svg+xml")),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(Safety)],
            exception_handlers={404: self._not_found, Exception: self._failed},
        )

    def join(self) -> None:
        """Wait for the questions and the look that are under way."""
        self._threads.shutdown(cancel_futures=True)
        self._live.join()

    def _visit(self, view: View) -> Callable[[Request], object]:
        async def visit(request: Request) -> Response:
            try:
                asked = _words_of(request)
            except BadQuestion as error:
                return Response(problem_page(view.path, error), 414, media_type="text/html")
            await self._live.freshen()
            form = _form_of(request, dict(asked))
            query = tuple(pair for pair in asked if pair[0] != FORMAT and pair[1])
            drawn = await self._draw(view, query, form)
            if request.headers.get("if-none-match") == drawn.tag:
                return Response(status_code=304, headers={"ETag": drawn.tag})
            return Response(drawn.body, drawn.status, {"ETag": drawn.tag}, drawn.content_type)

        return visit

    async def _draw(self, view: View, query: Query, form: str) -> Drawn:
        """The answer for this generation. Pages that ask the same share one answer."""
        generation = self._live.generation
        if generation != self._generation or len(self._drawn) >= _MOST_KEPT:
            self._drawn.clear()
            self._generation = generation
        key = (view.path, query, form)
        if key not in self._drawn:
            loop = asyncio.get_running_loop()
            make = self._draw_json if form == "json" else self._draw_page
            self._drawn[key] = loop.run_in_executor(self._threads, make, view, query, generation)
        drawn = await asyncio.shield(self._drawn[key])
        if drawn.status >= 500:
            # A store that cannot be asked now can be asked a moment later.
            self._drawn.pop(key, None)
        return drawn

    def _draw_page(self, view: View, query: Query, generation: int) -> Drawn:
        shell = Shell(view, query, generation, self._token.value)
        try:
            text = shell.draw(self._ask)
        except Exception as error:  # the server goes on, and the page says it
            return _drawn(shell.draw_problem(error), _status_of(error))
        # The number of the generation is no difference.
        return _drawn(text)._replace(tag=_tag(text.replace(shell.generation_mark, "", 1)))

    def _draw_json(self, view: View, query: Query, _: int) -> Drawn:
        shell = Shell(view, query, 0, "")
        file = StringIO()
        try:
            self._ask(*shell.json_question(), "json").write_json(file)
        except Exception as error:  # as above
            return _drawn(f"{message_of(error)}\n", _status_of(error), "text/plain; charset=utf-8")
        return _drawn(file.getvalue(), content_type="application/json")

    def _change(self, action: Action) -> Callable[[Request], object]:
        async def change(request: Request) -> Response:
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST_FORM_BYTES:
                    return PlainTextResponse("the form is too large\n", 413)
            given = tuple(parse_qsl(body.decode(errors="replace")))
            if not self._token.is_given(dict(given).get("token", "")):
                return PlainTextResponse("the page is of an earlier run of the server: load it again\n", 403)
            query = tuple(pair for pair in given if pair[0] != "token")
            loop = asyncio.get_running_loop()
            try:
                refuse_other_words(query, action.words)
                await loop.run_in_executor(self._threads, self._ask.change, action.command, query)
            except Exception as error:  # as above
                return Response(problem_page(action.back, error), _status_of(error), media_type="text/html")
            self._drawn.clear()
            return RedirectResponse(action.back, 303)

        return change

    async def _events(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type=_EVENTS)
        return StreamingResponse(self._live.events(), media_type=_EVENTS)

    async def _not_found(self, request: Request, _: Exception) -> Response:
        error = UnknownName(f"There is no page {request.url.path[:60]}. The views are named above.")
        return Response(problem_page("/", error), 404, media_type="text/html")

    async def _failed(self, _: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{message_of(error)}\n", 500)


def _words_of(request: Request) -> Query:
    """The query string. Raises BadQuestion if it is longer than any that a page makes."""
    text = request.url.query
    if len(text) > _MOST_QUERY_BYTES or text.count("&") >= _MOST_WORDS:
        raise BadQuestion(f"the address is too long: at most {_MOST_WORDS} filters, {_MOST_QUERY_BYTES:,} characters")
    return tuple(parse_qsl(text))


def _form_of(request: Request, asked: Mapping[str, str]) -> str:
    """JSON if the address or the Accept header asks for it, else a page."""
    wanted = asked.get(FORMAT)
    if wanted is None and "text/html" not in (accepted := request.headers.get("accept", "")):
        wanted = "json" if "application/json" in accepted else None
    return "json" if wanted == "json" else "table"


def _status_of(error: Exception) -> int:
    if not isinstance(error, ClaudeForceError):
        return 500
    if isinstance(error, LookupError):
        return 404
    return 503 if isinstance(error, DatabaseError) else 400


def _drawn(text: str, status: int = 200, content_type: str = "text/html; charset=utf-8") -> Drawn:
    body = text.encode("utf-8", "backslashreplace")
    return Drawn(status, body, content_type, _tag(text))


def _tag(text: str) -> str:
    return f'"{sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]}"'


def _file(text: str, content_type: str) -> Callable[[Request], Response]:
    body = text.encode()

    async def send(_: Request) -> Response:
        return Response(body, headers={"Cache-Control": _FOR_EVER}, media_type=content_type)

    return send  # type: ignore[return-value]
