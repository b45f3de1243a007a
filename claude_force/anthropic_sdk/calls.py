"""One call of the SDK: what it used and how it ended, as the fields of `signals.Call`.

The figures are those that the API sent; nothing is worked out here, where the program waits. Nothing here raises.
"""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from claude_force.anthropic_sdk.streams import Body, tap

logger = logging.getLogger("claude_force")

Fields = dict[str, Any]
Keep = Callable[[Fields], None]
"""Keeps the fields of a call that has ended."""

MESSAGES = "/v1/messages"
CANCELLED = "cancelled"
"""The `error_type` of a call that the program itself stopped."""

_OF_CONNECTION = {"APITimeoutError": "client_timeout_error", "APIConnectionError": "connection_error"}
"""Errors without an answer, in the words that the SDK has for them in its spans."""

_HOLDERS = frozenset(("usage", "stop_details"))
_OWN = frozenset(("at_us", "duration_us", "ttft_us", "status", "provisional", "is_batch"))
"""Fields that are not of the API; all others are texts."""

_SELLERS = {"Bedrock": "bedrock", "Vertex": "vertex"}


_OPEN: set[Call] = set()
"""The calls whose bodies are being read."""


def end_open_calls() -> None:
    """End the calls whose bodies nobody will read any more, since the program ends."""
    for call in list(_OPEN):
        call.ended(None)


def is_messages(options: Any) -> bool:
    """Whether a request is for a response of a model: not one that counts tokens, or is about batches."""
    return bool(options.url.partition("?")[0] == MESSAGES and options.method.lower() == "post")


class Call:
    """A call that has begun."""

    __slots__ = ("_body", "_fields", "_is_over", "_keep", "_started_ns")

    def __init__(self, client: Any, options: Any, fields: Fields, keep: Keep) -> None:
        body = options.json_data if isinstance(options.json_data, dict) else {}
        self._keep = keep
        self._fields = {
            **fields,
            "model": body.get("model"),
            "effort": value_of(body.get("output_config"), "effort"),
            "provider": _provider_of(type(client).__mro__),
        }
        self._body: Body | None = None
        self._is_over = False
        self._started_ns = time.perf_counter_ns()

    def returned(self, result: Any) -> None:
        """Take what the SDK returned: a message ends the call; a body that is not read yet ends it when it is."""
        try:
            response = None if value_of(result, "usage") is not None else _response_of(result)
            if response is None:
                self._end(message_fields(result) | {"request_id": value_of(result, "_request_id")})
                return
            self._fields["request_id"] = _request_id_of(response)
            self._body = Body(response)
            if response.is_closed:
                self._body.feed(response.content)
                self.ended(None)
            else:
                _OPEN.add(self)
                tap(response, self._body, self.ended)
        except Exception as error:
            logger.debug("a call of the Anthropic SDK was not understood: %s", error)

    def failed(self, error: BaseException) -> None:
        """Take what the SDK raised."""
        try:
            self._end(_failure_fields(error))
        except Exception as problem:
            logger.debug("a failure of the Anthropic SDK was not understood: %s", problem)

    def ended(self, error: BaseException | None) -> None:
        """Take that nothing more is read of the body, and what ended it, if that is an error."""
        if self._is_over or self._body is None:
            return
        try:
            fields = self._body.fields(self._started_ns)
            if isinstance(error, Exception):
                fields["error_type"] = _OF_CONNECTION["APIConnectionError"]
            self._end(fields)
        except Exception as problem:
            logger.debug("a response of the Anthropic SDK was not understood: %s", problem)

    def _end(self, found: Fields) -> None:
        if self._is_over:
            return
        self._is_over = True
        _OPEN.discard(self)
        elapsed_us = (time.perf_counter_ns() - self._started_ns) // 1000
        known = {name: value for name, value in found.items() if value is not None}
        self._keep({**self._fields, "at_us": time.time_ns() // 1000, "duration_us": elapsed_us, **known})


def encode_fields(fields: Fields) -> bytes:
    """The line of a call. What the API or a gateway sent as something else than it should be is left out."""
    known = {name: value for name, value in fields.items() if _is_as_expected(name, value)}
    known["model"] = known.get("model") or "unknown"
    return _encode({"type": "call", **known}).encode() + b"\n"


def message_fields(message: Any) -> Fields:
    """What a message of the API says of its call; an object of the SDK or a mapping."""
    return {
        "model": value_of(message, "model"),
        "response_id": value_of(message, "id"),
        "usage": value_of(message, "usage"),
        "stop_reason": value_of(message, "stop_reason"),
        "stop_details": value_of(message, "stop_details"),
    }


def value_of(holder: Any, name: str) -> Any:
    """A key of a mapping or an attribute of an object; None if it has none."""
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


def _is_as_expected(name: str, value: Any) -> bool:
    if name in _HOLDERS:
        return isinstance(value, dict) or hasattr(value, "__dict__")
    return isinstance(value, str) or (name in _OWN and value is not None)


def _plain(value: Any) -> Any:
    """An object of the SDK as a mapping, with the fields that this version of it does not know."""
    return {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}


_encode = json.JSONEncoder(default=_plain, separators=(",", ":"), check_circular=False).encode


def _response_of(result: Any) -> Any:
    """The HTTP response that a result was made of, or is; None if it does not say."""
    found = getattr(result, "http_response", None) or getattr(result, "response", None) or result
    return found if hasattr(found, "is_closed") and hasattr(found, "headers") else None


def _request_id_of(response: Any) -> str | None:
    """The id that the API gave a request; Amazon calls it otherwise."""
    found: str | None = response.headers.get("request-id") or response.headers.get("x-amzn-requestid")
    return found


def _failure_fields(error: BaseException) -> Fields:
    if not isinstance(error, Exception):
        return {"error_type": CANCELLED}
    names = [kind.__name__ for kind in type(error).__mro__]
    word = next((_OF_CONNECTION[name] for name in names if name in _OF_CONNECTION), None)
    response = getattr(error, "response", None)
    if word is not None or response is None:
        return {"error_type": word or names[0]}
    said = value_of(value_of(getattr(error, "body", None), "error"), "type")
    is_answer = response.status_code >= 400
    return {
        "error_type": said if isinstance(said, str) else None if is_answer else names[0],
        "status": response.status_code if is_answer else None,
        "request_id": _request_id_of(response),
    }


@functools.cache
def _provider_of(kinds: tuple[type, ...]) -> str | None:
    """The seller whose client has these classes; None for the Claude API."""
    names = "".join(kind.__name__ for kind in kinds)
    return next((seller for word, seller in _SELLERS.items() if word in names), None)
