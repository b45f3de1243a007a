"""The answers of the receiver, each in the type of its request: what OTLP calls a success, and a `Status` with a
message.

A client sends its records again after 503, and drops them after any other error. So 503 is for what may pass, and 400
for what will never be read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

PROTOBUF, JSON = ("application/x-protobuf", "application/protobuf"), "application/json"

RETRY_AFTER_S = 1
"""When a client shall try again."""

_GRPC_CODES = {
    HTTPStatus.BAD_REQUEST: 3,
    HTTPStatus.UNAUTHORIZED: 16,
    HTTPStatus.FORBIDDEN: 7,
    HTTPStatus.NOT_FOUND: 12,
    HTTPStatus.INTERNAL_SERVER_ERROR: 13,
    HTTPStatus.NOT_IMPLEMENTED: 12,
    HTTPStatus.SERVICE_UNAVAILABLE: 14,
}
"""The code of a `Status` by the code of HTTP; 3, an invalid argument, for the others."""


class Refusal(Exception):
    """A request that is not accepted. `is_body_read` says that the connection can take the next request."""

    def __init__(self, status: HTTPStatus, message: str, *, is_body_read: bool = False, **headers: str) -> None:
        super().__init__(message)
        self.status: Final = status
        self.message: Final = message
        self.is_body_read: Final = is_body_read
        self.headers: Final = {name.replace("_", "-"): value for name, value in headers.items()}


def unavailable(message: str, *, is_body_read: bool = False) -> Refusal:
    """Nothing can be kept now: the client keeps its records and sends them again."""
    headers = {"Retry_After": str(RETRY_AFTER_S)}
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, is_body_read=is_body_read, **headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: the status, the type and bytes of the body, and more headers."""

    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def accepted(content_type: str) -> Answer:
    """Everything in the request is kept: an empty message."""
    return Answer(HTTPStatus.OK, content_type, b"{}" if content_type == JSON else b"")


def refused(refusal: Refusal, content_type: str) -> Answer:
    """Why a request is not accepted, as a `Status`; as JSON if the request is of neither type."""
    code = _GRPC_CODES.get(refusal.status, 3)
    headers = tuple(refusal.headers.items())
    if content_type in PROTOBUF:
        return Answer(refusal.status, content_type, _protobuf_status(code, refusal.message), headers)
    body = json.dumps({"code": code, "message": refusal.message}).encode()
    return Answer(refusal.status, JSON, body, headers)


def _protobuf_status(code: int, message: str) -> bytes:
    """`google.rpc.Status`, written by hand: two fields need no library."""
    text = message.encode("utf-8", "replace")
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first; all but the last have the high bit set."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
