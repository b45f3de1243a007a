"""One HTTP exchange, and its verdict: delivered, retry or failed. Used for every request that claude-force sends.

Certificates are verified, redirects are not followed, and an answer is read up to a limit. The environment changes
nothing: no proxy, which would see the address, and no login from a .netrc file.

Requests use httpx2's transport, not its client: the client logs every URL, and the URL of a Slack webhook is its
credential.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from claude_force.clock import SECOND_US, now_us
from claude_force.network.connection import Deadline, Patience, Refused, explain, refuse_link_local, tls_context
from claude_force.network.outcome import Outcome, conclude
from claude_force.network.quiet_logging import quiet_loggers
from claude_force.network.redaction import Secret
from claude_force.text import sanitize

if TYPE_CHECKING:
    import httpx2

ANSWER_LIMIT = 64 * 1024
REASON_LIMIT = 200
RETRY_AFTER_LIMIT_S = 3600.0
"""The longest wait before the next attempt, whatever the service asks for."""

_LOGGERS = ("httpcore2.connection", "httpcore2.http11")
"""These loggers log the headers of answers, which may quote the request."""

_TEMPORARY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True, slots=True)
class Request:
    """A request. The URL is a secret unless `is_public`; `secrets` are the others in the request."""

    method: str
    url: Secret
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[Secret, ...] = ()
    ca_file: Path | None = None
    is_public: bool = False

    @property
    def host(self) -> str:
        """The host of the URL."""
        return urlsplit(self.url.reveal()).hostname or ""

    @property
    def port(self) -> int | None:
        """The port of the URL, or the default port of its scheme."""
        parts = urlsplit(self.url.reveal())
        return parts.port or {"http": 80, "https": 443}.get(parts.scheme)

    @property
    def hidden(self) -> tuple[Secret, ...]:
        """Everything that no message may show."""
        return self.secrets if self.is_public else (self.url, *self.secrets)


class Answer(NamedTuple):
    """The verdict; and the status (None without an answer), the start of the body, and the headers, whose names ignore
    case."""

    outcome: Outcome
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = {}

    def json(self) -> Any:
        """The body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def exchange(request: Request, patience: Patience, answer_limit: int = ANSWER_LIMIT) -> Answer:
    """Send a request and judge the answer, of which at most `answer_limit` bytes are read. Network errors are part of
    the verdict; they are not raised."""
    import httpx2

    with Deadline(patience.overall_s) as deadline:
        try:
            status, headers, body = _send(request, patience, deadline, answer_limit)
        except Refused as error:
            return Answer(conclude("failed", str(error), request.hidden))
        except (httpx2.InvalidURL, httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, UnicodeError):
            return Answer(conclude("failed", f"{request.host} cannot be called as it is configured", request.hidden))
        except (httpx2.HTTPError, OSError) as error:
            return Answer(explain(error, request.host, request.port, deadline, request.hidden))
    return Answer(_verdict(request, status, headers, body), status, body, headers)


def _send(
    request: Request, patience: Patience, deadline: Deadline, answer_limit: int
) -> tuple[int, httpx2.Headers, bytes]:
    import httpx2

    timeout = httpx2.Timeout(patience.step_s).as_dict()
    url = request.url.reveal()
    refuse_link_local(request.host)
    message = httpx2.Request(
        request.method,
        url,
        headers={"User-Agent": "claude-force", "Accept-Encoding": "identity", **_login(url), **request.headers},
        content=request.body,
        extensions={"timeout": timeout, "trace": _observer(deadline)},
    )
    with quiet_loggers(*_LOGGERS), httpx2.HTTPTransport(verify=_context(request)) as transport:
        response = transport.handle_request(message)
        try:
            return response.status_code, response.headers, _read(response, answer_limit)
        finally:
            response.close()


def _observer(deadline: Deadline) -> Callable[[str, Mapping[str, Any]], None]:
    """A trace function that checks each new connection, and gives its socket to the deadline."""

    def observe(event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            stream = info["return_value"]
            deadline.connection = lambda: stream.get_extra_info("socket")
            try:
                # Check the resolved address before anything is sent.
                refuse_link_local(stream.get_extra_info("server_addr")[0])
            except (Refused, OSError):
                stream.close()
                raise

    return observe


def _context(request: Request) -> ssl.SSLContext:
    """A context that verifies certificates. For http:// it is empty, because loading certificates takes a while."""
    is_encrypted = urlsplit(request.url.reveal()).scheme == "https"
    return tls_context(request.ca_file) if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _read(response: httpx2.Response, limit: int) -> bytes:
    """The start of the body. The status decides the verdict, so an incomplete body is no error."""
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
    answered = f"{request.host} answered {status}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        remedy = "a redirect, which is not followed; use the address it leads to"
        return conclude("failed", f"{answered}, {remedy}", request.hidden)
    reason = _reason(body)
    problem = f"{answered}: {reason}" if reason else answered
    if status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return conclude("retry", problem, request.hidden, _retry_after_s(headers))
    return conclude("failed", problem, request.hidden)


def _reason(body: bytes) -> str:
    """The reason in an error answer: the messages of a JSON body, else the first line of a text; "" for HTML."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        line, _, rest = text.partition("\n")
        if line.endswith(":"):
            # A list follows; its first line has the reason.
            line = f"{line} {rest.partition(chr(10))[0]}"
        return "" if line.startswith("<") else sanitize(line, REASON_LIMIT * 4)
    return sanitize("; ".join(_messages(found)), REASON_LIMIT * 4)


def _messages(found: object) -> Iterator[str]:
    """The texts under "message", "error", "errors" and "detail", at any depth."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, list):
        for item in found[:5]:
            yield from _messages(item)
    elif isinstance(found, dict):
        for name in ("message", "error", "errors", "detail"):
            yield from _messages(found.get(name))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After (RFC 9110, 10.2.3): seconds, or a date, which is compared with the service's own Date header."""
    from email.utils import parsedate_to_datetime

    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return min(float(value), RETRY_AFTER_LIMIT_S)
    try:
        until_s = parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
    try:
        here_s = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except ValueError:
        here_s = now_us() / SECOND_US
    return min(max(until_s - here_s, 0.0), RETRY_AFTER_LIMIT_S)
