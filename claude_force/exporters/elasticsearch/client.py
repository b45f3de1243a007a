"""The official Elasticsearch client over exchanges of our own, and its errors in a line each.

The client speaks the protocol: versions, paths, what is an error. Each of its requests is one `exchange`, so that what
holds there holds here: an end after some time, certificates verified, no redirect followed, no address of this link, no
retry that nobody asked for. It is imported where it is used, since its library may not be installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from elastic_transport import ApiResponseMeta, BaseNode, HttpHeaders, TransportError
from elastic_transport import ConnectionError as NoAnswer
from elastic_transport.client_utils import DEFAULT, DefaultType, url_to_node_config
from elasticsearch import ApiError, Elasticsearch, ElasticsearchWarning, SerializationError, UnsupportedProductError

from claude_force.exporters.base import PushError
from claude_force.exporters.elasticsearch.server import Server
from claude_force.network.http import Request, exchange
from claude_force.network.outcome import conclude
from claude_force.network.quiet_logging import silenced
from claude_force.network.secret import Secret

ANSWER_LIMIT = 16 * 1024 * 1024
"""Of the answer to a bulk request, which has a word on each of its documents."""

_LOGGERS = tuple(f"elastic_transport.{name}" for name in ("node", "node_pool", "transport"))
_FIELDS_OF_ANSWER = ("errors", "items.*._id", "items.*.status", "items.*.error")
_TOO_LARGE = 413
_KEEP_OUT = {401: "did not take the login", 403: "does not allow it"}
_LOGIN_REMEDY = (
    "check api_key, or username and password; it needs view_index_metadata, create_index, index and create_doc"
)


def connect(server: Server) -> Elasticsearch:
    """A client of a server. Nothing is sent yet."""
    # A server says in a header of each answer what it thinks of its own configuration.
    warnings.filterwarnings("ignore", category=ElasticsearchWarning)
    options: dict[str, Any] = {"max_retries": 0, "retry_on_status": (), "retry_on_timeout": False}
    # The client itself takes no http:// without a port.
    node = url_to_node_config(server.url, use_default_ports_for_scheme=True)
    return Elasticsearch([node], node_class=_node_class(server), **options, **server.login.options)


@contextmanager
def talking_to(server: Server) -> Iterator[None]:
    """What goes wrong within the block is raised as PushError: one line without a secret."""
    with silenced(*_LOGGERS):
        try:
            yield
        except UnsupportedProductError:
            problem = "is not Elasticsearch: it does not say so in its answers"
        except SerializationError:
            problem = "gave an answer that is not one of Elasticsearch"
        except ApiError as error:
            problem = _explain(error)
        except TransportError as error:
            raise PushError(f"Elasticsearch: {error.message}") from None
        else:
            return
    said = conclude("failed", f"Elasticsearch at {server.url} {problem}", server.login.secrets)
    raise PushError(str(said.problem))


Operations = Sequence[tuple[str, str, Mapping[str, Any]]]
"""Documents: what is to be done with each (`create` or `index`), its id, and itself."""


class Answer(NamedTuple):
    """A response of the server to the client."""

    meta: ApiResponseMeta
    body: bytes


def _node_class(server: Server) -> type[BaseNode]:
    """The connection that the client is to use."""

    class Node(BaseNode):
        def perform_request(  # type: ignore[override]  # a tuple of our own, which has the same fields
            self,
            method: str,
            target: str,
            body: bytes | None = None,
            headers: HttpHeaders | None = None,
            request_timeout: DefaultType | float | None = DEFAULT,  # noqa: ARG002  (the library's name)
        ) -> Answer:
            # Under the names that they have elsewhere, so that none is sent twice.
            named = {name.title(): value for name, value in {**self.headers, **(headers or {})}.items()}
            url = Secret(self.base_url + target)
            request = Request(method, url, body or b"", named, server.login.secrets, server.ca_file)
            answer = exchange(request, server.patience, ANSWER_LIMIT)
            if answer.status is None:
                raise NoAnswer(str(answer.outcome.problem))
            answered = HttpHeaders(dict(answer.headers))
            return Answer(ApiResponseMeta(answer.status, "1.1", answered, 0.0, self.config), answer.body)

        def close(self) -> None:
            """Each exchange has closed its own connection."""

    return Node


def _explain(error: ApiError) -> str:
    """What an answer means, and what to do about it."""
    status = error.meta.status
    if status in _KEEP_OUT:
        return f"{_KEEP_OUT[status]} ({status}); {_LOGIN_REMEDY}"
    if 300 <= status < 400:
        return f"answered {status}, a redirect, which is not followed; write the address that it leads to"
    kind, reason = _cause(error.body)
    if kind == "media_type_header_exception":
        return "is older than this client; for Elasticsearch 8: pip install 'elasticsearch<9'"
    return f"answered {status}: {reason}" if reason else f"answered {status}"


def _cause(body: object) -> tuple[str, str]:
    """The type and the reason of an error, as far as it has them."""
    found = body.get("error") if isinstance(body, dict) else None
    if not isinstance(found, dict):
        return "", found if isinstance(found, str) else ""
    return str(found.get("type", "")), str(found.get("reason", ""))


class Item(NamedTuple):
    """What came of one operation of a bulk request: its status as of a request, and what is wrong with it."""

    status: int
    kind: str = ""
    reason: str = ""


def bulk(server: Server, client: Elasticsearch, index: str, operations: Operations) -> list[Item]:
    """Send documents, in as many requests as the server takes them in; what came of each, in the same order. Raises
    PushError where a request failed as a whole."""
    lines = [line for action, uid, document in operations for line in ({action: {"_id": uid}}, document)]
    with talking_to(server):
        try:
            answer = client.bulk(operations=lines, index=index, filter_path=_FIELDS_OF_ANSWER)
        except ApiError as error:
            if error.meta.status == _TOO_LARGE and len(operations) > 1:
                # What stands before a server often takes less than the server: nginx 1 MB unless it is told otherwise.
                half = len(operations) // 2
                return [
                    item
                    for part in (operations[:half], operations[half:])
                    for item in bulk(server, client, index, part)
                ]
            if error.meta.status not in (429, 503, _TOO_LARGE):
                raise
            return [Item(error.meta.status, *_cause(error.body))] * len(operations)
    items = answer.get("items")
    found = [_item(item) for item in items] if isinstance(items, list) else []
    if [uid for uid, _ in found] != [uid for _, uid, _ in operations]:
        raise PushError(f"Elasticsearch at {server.url} gave an answer that is not that to what was sent")
    return [item for _, item in found]


def _item(found: object) -> tuple[str | None, Item]:
    """One entry of the answer, {action: {_id, status, error}}, as the id and what came of it."""
    details = next(iter(found.values()), None) if isinstance(found, Mapping) else None
    if not isinstance(details, Mapping) or not isinstance(details.get("status"), int):
        return None, Item(0)
    return details.get("_id"), Item(details["status"], *_cause(details))
