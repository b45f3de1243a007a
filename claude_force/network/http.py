"""One exchange over HTTP, and one verdict for all services.

Certificates are verified, redirects are not followed, an answer is read to at most 64 KiB, or what who asks allows.
Nothing of the environment changes where a message goes: no proxy of it is used, which would be told the address, and no
login from a .netrc file.

Requests go to httpx2's transport rather than to its client, which logs every URL: that of a Slack webhook is its
credential.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from claude_force.clock import SECOND_US, now_us
from claude_force.network.connection import Deadline, Patience, Refused, explain, refuse_link_local, tls_context
from claude_force.network.outcome import Outcome, conclude
from claude_force.network.quiet_logging import silenced
from claude_force.network.secret import Secret
from claude_force.text import sanitize

if TYPE_CHECKING:
    import httpx2

ANSWER_LIMIT = 64 * 1024
WORDS_LIMIT = 200
RETRY_AFTER_LIMIT_S = 3600.0
"""No service makes us wait longer than this before the next attempt."""

_LOGGERS = ("httpcore2.connection", "httpcore2.http11")
"""They log the headers of answers, which may quote the request."""

_TEMPORARY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `secrets` are those that it holds beside the URL, which is one by itself unless it is public."""

    method: str
    url: Secret
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[Secret, ...] = ()
    ca_file: Path | None = None
    is_public: bool = False

    @property
    def host(self) -> str:
        """The host that is asked."""
        return urlsplit(self.url.reveal()).hostname or ""

    @property
    def port(self) -> int | None:
        """The port of it."""
        parts = urlsplit(self.url.reveal())
        return parts.port or {"http": 80, "https": 443}.get(parts.scheme)

    @property
    def hidden(self) -> tuple[Secret, ...]:
        """All that must not be said."""
        return self.secrets if self.is_public else (self.url, *self.secrets)


class Answer(NamedTuple):
    """The verdict, and for who needs more, the status (None where there was no answer), the beginning of the answer,
    and its headers, by name in any case."""

    outcome: Outcome
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = {}

    def json(self) -> Any:
        """The answer as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def exchange(request: Request, patience: Patience, answer_limit: int = ANSWER_LIMIT) -> Answer:
    """Send a request and judge the answer, of which at most so many bytes are read. Raises nothing for what happens on
    the way."""
    import httpx2

    with Deadline(patience.overall_s) as deadline:
        try:
            status, headers, body = _talk(request, patience, deadline, answer_limit)
        except Refused as error:
            return Answer(conclude("failed", str(error), request.hidden))
        except (httpx2.InvalidURL, httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, UnicodeError):
            return Answer(conclude("failed", f"{request.host} cannot be called as it is configured", request.hidden))
        except (httpx2.HTTPError, OSError) as error:
            return Answer(explain(error, request.host, request.port, deadline, request.hidden))
    return Answer(_verdict(request, status, headers, body), status, body, headers)


def _talk(
    request: Request, patience: Patience, deadline: Deadline, answer_limit: int
) -> tuple[int, httpx2.Headers, bytes]:
    import httpx2

    def observe(event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            stream = info["return_value"]
            deadline.connection = lambda: stream.get_extra_info("socket")
            try:
                # The address itself, whatever name led to it, before anything is said.
                refuse_link_local(stream.get_extra_info("server_addr")[0])
            except (Refused, OSError):
                stream.close()
                raise

    timeout = httpx2.Timeout(patience.step_s).as_dict()
    url = request.url.reveal()
    refuse_link_local(request.host)
    asked = httpx2.Request(
        request.method,
        url,
        headers={"User-Agent": "claude-force", "Accept-Encoding": "identity", **_login(url), **request.headers},
        content=request.body,
        extensions={"timeout": timeout, "trace": observe},
    )
    with silenced(*_LOGGERS), httpx2.HTTPTransport(verify=_context(request)) as transport:
        response = transport.handle_request(asked)
        try:
            return response.status_code, response.headers, _read(response, answer_limit)
        finally:
            response.close()


def _context(request: Request) -> ssl.SSLContext:
    """How certificates are verified. Where nothing is encrypted, none are read, which takes a while: such a context
    trusts nobody."""
    is_encrypted = urlsplit(request.url.reveal()).scheme == "https"
    return tls_context(request.ca_file) if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _read(response: httpx2.Response, limit: int) -> bytes:
    """The beginning of the answer. The verdict is in the status, so what breaks off here breaks nothing."""
    import httpx2

    body = b""
    with suppress(httpx2.HTTPError, OSError):
        for part in response.iter_raw():
            body += part
            if len(body) >= limit:
                break
    return body[:limit]


def _login(url: str) -> dict[str, str]:
    from base64 import b64encode

    parts = urlsplit(url)
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + b64encode(login.encode()).decode()}


def _verdict(request: Request, status: int, headers: httpx2.Headers, body: bytes) -> Outcome:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome("delivered")
    said = f"{request.host} answered {status}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        remedy = "a redirect, which is not followed; write the address that it leads to"
        return conclude("failed", f"{said}, {remedy}", request.hidden)
    words = _words(body)
    problem = f"{said}: {words}" if words else said
    if status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return conclude("retry", problem, request.hidden, _retry_after_s(headers))
    return conclude("failed", problem, request.hidden)


def _words(body: bytes) -> str:
    """What the service says is wrong: the message of a JSON answer, else the first line of a text that is no page."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        line, _, rest = text.partition("\n")
        if line.endswith(":"):
            # A list follows; its first line is the reason.
            line = f"{line} {rest.partition(chr(10))[0]}"
        return "" if line.startswith("<") else sanitize(line, WORDS_LIMIT * 4)
    return sanitize("; ".join(_messages(found)), WORDS_LIMIT * 4)


def _messages(found: object) -> Iterator[str]:
    """The messages of {"message", "error", "errors", "detail"}, one inside the other or beside each other."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, list):
        for item in found[:5]:
            yield from _messages(item)
    elif isinstance(found, dict):
        for name in ("message", "error", "errors", "detail"):
            yield from _messages(found.get(name))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After, in seconds or as a date (RFC 9110, 10.2.3), counted from the clock of the service itself."""
    from email.utils import parsedate_to_datetime

    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return min(float(asked), RETRY_AFTER_LIMIT_S)
    try:
        until_s = parsedate_to_datetime(asked).timestamp()
    except ValueError:
        return None
    try:
        here_s = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except ValueError:
        here_s = now_us() / SECOND_US
    return min(max(until_s - here_s, 0.0), RETRY_AFTER_LIMIT_S)
