"""Random and damaged requests to the receiver: bytes, body, signals.

Sound exports of all three kinds, in JSON and protobuf, are damaged; some are compressed or sent in chunks, and those
are damaged again. Each must become signals that survive the spool, or be refused: nothing else may be raised. A part
goes through real sockets, where every request must get an answer below 500, and the server must live.
"""

from __future__ import annotations

import gzip
import io
import multiprocessing
import random
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from email.message import Message as Headers
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from claude_force.errors import InvalidBody
from claude_force.executions.signals import decode, encode
from claude_force.receiver.answers import JSON, PROTOBUF, Refusal
from claude_force.receiver.bodies import Lease, Room, read_body
from claude_force.receiver.decode import Kind, decode_export
from claude_force.receiver.receiving import receiving
from claude_force.receiver.server import Endpoint, Patience
from tests.receivers import send_raw
from tests.telemetry import Message, api_request, as_json, kind_of, logs, metrics, spans
from torture.campaign import WORKERS, Effort, Figure, say
from torture.mutations import damaged

BODIES = 1_000_000
BODIES_AT_ONCE = 5_000
THROUGH_SOCKETS = 0.01
"""The share that goes through real sockets as well."""


class _Request(NamedTuple):
    """A request as it is sent: the headers of its body, and the body."""

    kind: Kind
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def raw(self) -> bytes:
        """All bytes of it."""
        head = [f"POST /v1/{self.kind} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines = [*head, *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode() + self.body


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Read bodies on all processors."""
    bodies, found = effort.of(BODIES), Counter[str]()
    firsts = range(0, bodies, BODIES_AT_ONCE)
    sizes = [min(BODIES_AT_ONCE, bodies - first) for first in firsts]
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        for one in pool.map(read_some, [folder] * len(sizes), [effort.seed] * len(sizes), firsts, sizes):
            found += one
            say(f"  {found['bodies']:,} bodies, {found['unexpected']:,} unexpected errors")
    return [
        Figure("bodies", found["bodies"], at_least=BODIES),
        Figure("of these understood", found["understood"], at_least=BODIES // 10),
        Figure("of these refused", found["refused"], at_least=BODIES // 10),
        Figure("signals", found["signals"]),
        Figure("unexpected errors", found["unexpected"], at_most=0),
        Figure("signals that the spool changes", found["changed"], at_most=0),
        Figure("requests through sockets", found["sent"], at_least=BODIES * THROUGH_SOCKETS / 2),
        Figure("of these answered with a server error", found["errors"], at_most=0),
        Figure("of these not answered", found["unanswered"], at_most=0),
    ]


def read_some(folder: Path, seed: int, first: int, size: int) -> Counter[str]:
    """The counts of some bodies, with a receiver of their own."""
    chance, found = random.Random(f"{seed}-{first}"), Counter[str](bodies=size)
    seeds = _seeds()
    patience = Patience(request_s=2)
    with receiving(Endpoint(patience=patience), [folder / f"{first}"], lambda: None) as receiver:
        for _ in range(size):
            request = _request(chance, seeds)
            _read(request, found)
            if chance.random() < THROUGH_SOCKETS:
                _send(receiver.server.server_port, request, found)
    return found


def _seeds() -> list[tuple[Kind, str, bytes]]:
    """Sound exports of each kind in both types."""
    messages: list[Message] = [
        logs(*(api_request(request_id=f"req_{number}") for number in range(3))),
        spans(
            {"gen_ai.system": "anthropic", "gen_ai.usage.input_tokens": 5, "gen_ai.request.model": "claude-opus-4-5"}
        ),
        metrics(("claude_code.cost.usage", 0.5, {"session.id": "s", "model": "claude-opus-4-5"})),
    ]
    found = []
    for message in messages:
        kind = kind_of(message)
        found += [(kind, JSON, as_json(message)), (kind, PROTOBUF[0], message.SerializeToString())]
    return found


def _request(chance: random.Random, seeds: Sequence[tuple[Kind, str, bytes]]) -> _Request:
    kind, content_type, body = chance.choice(seeds)
    step = chance.random()
    if step < 0.8:
        body = damaged(chance, (body,))
    elif step < 0.9:
        body = chance.randbytes(int(chance.expovariate(1 / 200)))
    if chance.random() < 0.05:
        kind, content_type, _ = chance.choice(seeds)
    headers = [("Content-Type", content_type)]
    if chance.random() < 0.2:
        headers.append(("Content-Encoding", "gzip"))
        body = gzip.compress(body, 1)
        body = damaged(chance, (body,)) if chance.random() < 0.5 else body
    if chance.random() < 0.2:
        headers.append(("Transfer-Encoding", "chunked"))
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        body = damaged(chance, (body,)) if chance.random() < 0.5 else body
    else:
        wrong = chance.choice((-1, 1, 1000)) if chance.random() < 0.05 else 0
        headers.append(("Content-Length", f"{len(body) + wrong}"))
    return _Request(kind, tuple(headers), body)


def _read(request: _Request, found: Counter[str]) -> None:
    headers = Headers()
    for name, value in request.headers:
        headers[name] = value
    try:
        with Lease(Room()) as lease:
            body = read_body(headers, io.BytesIO(request.body), lease)
        signals = decode_export(request.kind, headers["Content-Type"], body)
        lines = encode(signals)
        found["changed"] += [decode(line) for line in lines.splitlines()] != list(signals)
        found["signals"] += len(signals)
        found["understood"] += 1
    except (Refusal, InvalidBody):
        found["refused"] += 1
    except Exception:
        found["unexpected"] += 1
        say(f"{request!r}\n{traceback.format_exc()}")


def _send(port: int, request: _Request, found: Counter[str]) -> None:
    found["sent"] += 1
    try:
        status = send_raw(port, request.raw()).status
        found["errors"] += status >= 500
        if status >= 500:
            say(f"{status}: {request!r}")
    except (OSError, HTTPException) as error:
        found["unanswered"] += 1
        say(f"{error!r}: {request!r}")
