"""The requests of Elasticsearch's REST API that a push needs. Every failure is a PushError: one line without secrets.

Each request is one `network.http.exchange`: certificates are verified, a redirect is not followed, nothing is retried
that the caller did not ask for, and a slow answer ends after the patience of the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from claude_force.exporters.base import PushError
from claude_force.exporters.elasticsearch.server import Server
from claude_force.network.http import Answer, Request, exchange
from claude_force.network.outcome import conclude
from claude_force.network.redaction import Secret

ANSWER_LIMIT = 16 * 1024 * 1024
"""The longest answer, in bytes: that to a bulk request has an entry for each document."""

_BULK_FIELDS = "errors,items.*._id,items.*.status,items.*.error"
_TOO_LARGE = 413
_BUSY = (429, 503)
_REFUSED_LOGIN = {401: "did not take the login", 403: "does not allow it"}
_LOGIN_REMEDY = (
    "check api_key, or username and password; it needs view_index_metadata, create_index, index and create_doc"
)


class Response(NamedTuple):
    """An answer of the server: the status, and the JSON of the body (None if it has none)."""

    status: int
    content: Any

    @property
    def error_kind(self) -> str:
        """The type of the error, such as `resource_already_exists_exception`; "" for none."""
        return _error_of(self.content)[0]


def call(server: Server, method: str, path: str, body: Mapping[str, Any] | bytes = b"") -> Response:
    """Send a request; `body` is an object, or lines of JSON. Raises PushError if there is no answer, or if a successful
    one is not from Elasticsearch. The caller judges the status."""
    is_object = isinstance(body, Mapping)
    headers = {"Accept": "application/json", **server.login.headers}
    if body:
        headers["Content-Type"] = "application/json" if is_object else "application/x-ndjson"
    content = json.dumps(body).encode() if is_object else body
    assert isinstance(content, bytes)
    request = Request(method, Secret(server.url + path), content, headers, server.login.secrets, server.ca_file)
    answer = exchange(request, server.patience, ANSWER_LIMIT)
    if answer.status is None:
        raise PushError(f"Elasticsearch: {answer.outcome.problem}")
    return Response(answer.status, _content(server, answer))


def _content(server: Server, answer: Answer) -> Any:
    """The JSON of an answer. A successful one must name the product, which Elasticsearch does since 7.14."""
    content = answer.json()
    if answer.outcome.status == "delivered":
        if answer.headers.get("X-Elastic-Product") != "Elasticsearch":
            raise failure(server, "is not Elasticsearch: its answer has no X-Elastic-Product header")
        if content is None and answer.body:
            raise failure(server, "gave an answer that is not JSON")
    return content


def refusal(server: Server, response: Response) -> PushError:
    """The error for an answer whose status the caller does not accept, with a remedy where there is one."""
    status = response.status
    if status in _REFUSED_LOGIN:
        return failure(server, f"{_REFUSED_LOGIN[status]} ({status}); {_LOGIN_REMEDY}")
    if 300 <= status < 400:
        return failure(server, f"answered {status}, a redirect, which is not followed; use the address it leads to")
    reason = _error_of(response.content)[1]
    return failure(server, f"answered {status}: {reason}" if reason else f"answered {status}")


def failure(server: Server, problem: str) -> PushError:
    """A PushError that names the server, with secrets removed."""
    return PushError(str(conclude("failed", f"Elasticsearch at {server.url} {problem}", server.login.secrets).problem))


def _error_of(content: object) -> tuple[str, str]:
    """The type and the reason of the error in an answer or in an item of one; "" where they are missing."""
    found = content.get("error") if isinstance(content, Mapping) else None
    if not isinstance(found, Mapping):
        return "", found if isinstance(found, str) else ""
    return str(found.get("type", "")), str(found.get("reason", ""))


class Operation(NamedTuple):
    """An operation of a bulk request: `create`, or `index`, which replaces; the id of the document; the document."""

    action: str
    uid: str
    document: Mapping[str, Any]


class Result(NamedTuple):
    """The result of one operation: an HTTP status, and the type and reason of the error if there was one."""

    status: int
    kind: str = ""
    reason: str = ""


def bulk(server: Server, index: str, operations: Sequence[Operation]) -> list[Result]:
    """Send documents, in as few requests as the server accepts. Returns one result for each, in order.

    A request that is too large is split; if the server is busy, every result has its status. Raises PushError if a
    request fails as a whole in any other way.
    """
    lines = [line for action, uid, document in operations for line in ({action: {"_id": uid}}, document)]
    body = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    response = call(server, "POST", f"/{index}/_bulk?filter_path={_BULK_FIELDS}", body)
    if response.status == _TOO_LARGE and len(operations) > 1:
        # A proxy often accepts less than the server: nginx 1 MB by default.
        half = len(operations) // 2
        return [result for part in (operations[:half], operations[half:]) for result in bulk(server, index, part)]
    if response.status in (*_BUSY, _TOO_LARGE):
        return [Result(response.status, *_error_of(response.content))] * len(operations)
    if response.status >= 300:
        raise refusal(server, response)
    return _results(server, response.content, operations)


def _results(server: Server, content: object, operations: Sequence[Operation]) -> list[Result]:
    """The results in the answer to a bulk request, which must be about the documents that were sent."""
    items = content.get("items") if isinstance(content, Mapping) else None
    found = [_result(item) for item in items] if isinstance(items, list) else []
    if [uid for uid, _ in found] != [operation.uid for operation in operations]:
        raise failure(server, "gave an answer that does not match the documents sent")
    return [result for _, result in found]


def _result(item: object) -> tuple[str | None, Result]:
    """An item of the answer, {action: {_id, status, error}}, as the id and the result."""
    details = next(iter(item.values()), None) if isinstance(item, Mapping) else None
    if not isinstance(details, Mapping) or not isinstance(details.get("status"), int):
        return None, Result(0)
    return details.get("_id"), Result(details["status"], *_error_of(details))
