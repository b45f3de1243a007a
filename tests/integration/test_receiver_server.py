"""The receiver's HTTP server over real sockets: what it accepts and keeps, what it refuses and how, and whom it lets
in."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

import pytest

from claude_force.errors import ReceiverError
from claude_force.network.redaction import Secret
from claude_force.receiver.answers import Refusal
from claude_force.receiver.bodies import MAX_BODY_BYTES, ROOM_BYTES, Lease, Room
from claude_force.receiver.receiving import Receiver, receiving
from claude_force.receiver.server import MAX_CONNECTIONS, Endpoint, Patience, ReceiverServer
from tests.counterparts import Authority
from tests.daemons import eventually
from tests.receivers import (
    JSON,
    LOGS,
    PROTOBUF,
    Answered,
    answered,
    ask,
    export_of,
    kept_ids,
    post,
    read_answer,
    request_head,
    send_raw,
)  # fmt: skip

EXPORT = export_of(["req_1"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the spool."""
    return tmp_path / "telemetry"


@pytest.fixture
def receiver(folder: Path) -> Iterator[Receiver]:
    """A receiver on a free port that stores nothing: what it keeps stays in the spool."""
    with receiving(Endpoint(), [folder], lambda: None) as started:
        yield started


@pytest.fixture
def port(receiver: Receiver) -> int:
    """The port of the receiver."""
    return receiver.server.server_port


@contextmanager
def serving(folder: Path, endpoint: Endpoint) -> Iterator[int]:
    """The port of a receiver as the test wants it."""
    with receiving(endpoint, [folder], lambda: None) as started:
        yield started.server.server_port


def connect(port: int) -> socket.socket:
    """A connection that has sent nothing."""
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def connected(port: int) -> AbstractContextManager[socket.socket]:
    """Such a connection, closed at the end of the block."""
    return closing(connect(port))


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def chunks(body: bytes, size: int = 100) -> bytes:
    """A body in chunks."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHUNKED = request_head(None, "Transfer-Encoding: chunked")

# --- what is accepted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        request_head(len(EXPORT)) + EXPORT,
        CHUNKED + chunks(EXPORT),
        CHUNKED + chunks(EXPORT, 1),
        CHUNKED + b"%X ;name=value\r\n%s\r\n0\r\nTrailer: 1\r\n\r\n" % (len(EXPORT), EXPORT),
        request_head(len(gzip.compress(EXPORT)), "Content-Encoding: gzip") + gzip.compress(EXPORT),
        request_head(None, "Transfer-Encoding: chunked", "Content-Encoding: GZIP") + chunks(gzip.compress(EXPORT), 7),
        request_head(None, "Transfer-Encoding: chunked", "Content-Encoding: gzip")
        + chunks(gzip.compress(EXPORT[:50]) + gzip.compress(EXPORT[50:])),
        request_head(len(EXPORT), "Content-Encoding: identity") + EXPORT,
    ],
    ids=["length", "chunks", "small-chunks", "extension", "gzip", "gzip-chunks", "gzip-members", "identity"],
)  # fmt: skip
def test_a_body_is_read_as_it_is_sent(port: int, receiver: Receiver, folder: Path, sent: bytes) -> None:
    """By its length or in chunks, plain or gzip: 200, and its records are in the spool."""
    found = send_raw(port, sent)
    assert (found.status, found.body, found.headers["content-type"]) == (200, b"{}", JSON)
    receiver.seal()
    assert kept_ids(folder) == ["req_1"]


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/traces", "/v1/metrics"])
@pytest.mark.parametrize(
    ("content_type", "body", "empty"),
    [
        (JSON, b"{}", b"{}"),
        ("application/json; charset=utf-8", b"{}", b"{}"),
        (PROTOBUF, b"", b""),
        ("application/protobuf", b"", b""),
    ],
)
def test_each_signal_is_answered_in_its_type(
    port: int, path: str, content_type: str, body: bytes, empty: bytes
) -> None:
    """Logs, traces and metrics, JSON and protobuf: an empty message of the same type."""
    found = post(port, body, content_type, path)
    assert (found.status, found.body) == (200, empty)
    assert found.headers["content-type"] == content_type.partition(";")[0]


def test_a_connection_takes_many_requests(port: int) -> None:
    """Also after an answer that refuses a body which was read."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        statuses = []
        for body in (EXPORT, b"no json", EXPORT, EXPORT):
            connection.request("POST", LOGS, body, {"Content-Type": JSON})
            local = connection.sock.getsockname()
            found = answered(connection.getresponse())
            statuses.append(found.status)
            assert connection.sock is not None, "the connection stays"
            assert connection.sock.getsockname() == local
    assert statuses == [200, 400, 200, 200]


def test_requests_in_one_piece_are_answered_in_order(port: int) -> None:
    """Two requests that come at once, as a pipeline."""
    first, last = (request_head(len(EXPORT), *lines) + EXPORT for lines in ((), ("Connection: close",)))
    with connected(port) as connection, connection.makefile("rb") as answers:
        connection.sendall(first + last)
        assert answers.read().count(b"HTTP/1.1 200 ") == 2


# --- what is refused ----------------------------------------------------------------------------------------------

BOMB = gzip.compress(bytes(MAX_BODY_BYTES + 1))
_BAD_CHUNKS = {
    "no-size": b"xyz\r\n",
    "negative": b"-5\r\nhello\r\n",
    "endless-size": b"f" * 2000,
    "too-long": b"3\r\nhello\r\n0\r\n\r\n",
    "cut": b"ff\r\nhello",
    "no-end": b"5\r\nhello\r\n",
    "trailers": b"0\r\n" + b"a: b\r\n" * 100 + b"\r\n",
}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request_head(5) + b"hello", 400),
        (request_head(len(EXPORT)) + EXPORT[:-1], 400),
        (request_head(len(EXPORT) - 1) + EXPORT, 400),
        (request_head(None), 411),
        (request_head(None, "Content-Length: -1"), 400),
        (request_head(None, "Content-Length: 1e3"), 400),
        (request_head(3, "Content-Length: 4"), 400),
        (request_head(3, "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (request_head(None, "Transfer-Encoding: gzip, chunked"), 400),
        (request_head(MAX_BODY_BYTES + 1), 413),
        (request_head(10**17), 413),
        (CHUNKED + b"%x\r\n" % (MAX_BODY_BYTES + 1), 413),
        (request_head(len(BOMB), "Content-Encoding: gzip") + BOMB, 413),
        (request_head(5, "Content-Encoding: gzip") + b"hello", 400),
        (request_head(0, "Content-Encoding: gzip"), 400),
        (request_head(20, "Content-Encoding: gzip") + gzip.compress(EXPORT)[:20], 400),
        (request_head(20 * 100, "Content-Encoding: gzip") + gzip.compress(b"", mtime=0) * 100, 400),
        (request_head(9, "Content-Encoding: br") + b"something", 415),
        (b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", 415),
        (b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415),
        (b"GET /v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"PUT /v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"POST /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"POST /v1/profiles HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"BREW /v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"POST /v1/logs HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
        (b"POST /v1/logs HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"POST /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        *((CHUNKED + bad, 400) for bad in _BAD_CHUNKS.values()),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(port: int, receiver: Receiver, folder: Path, sent: bytes, status: int) -> None:
    """Each with its own status and a reason, the next request is accepted, and nothing is kept."""
    found = send_raw(port, sent)
    assert found.status == status, found.body
    assert json.loads(found.body)["message"]
    assert post(port, b"{}").status == 200
    receiver.seal()
    assert kept_ids(folder) == []


def test_a_refusal_in_protobuf_is_a_status(port: int) -> None:
    """Field 1 is the code, field 2 the message; a long message has a length of two bytes."""
    found = post(port, b"\xff\xff\xff", PROTOBUF)
    assert (found.status, found.headers["content-type"]) == (400, PROTOBUF)
    assert found.body[:3] == b"\x08\x03\x12"
    length, start = found.body[3], 4
    if length & 0x80:
        length, start = (length & 0x7F) | found.body[4] << 7, 5
    assert len(found.body) == start + length
    found.body[start:].decode()


def test_a_message_of_any_length_is_framed(port: int) -> None:
    """A path that quotes itself is not in the answer; a message over 127 bytes still has its length."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: F401

    from claude_force.receiver.answers import refused

    answer = refused(Refusal(400, "x" * 300), PROTOBUF)  # type: ignore[arg-type]
    assert answer.body == b"\x08\x03\x12\xac\x02" + b"x" * 300


def test_a_gzip_bomb_takes_no_more_room_than_a_body_may(port: int) -> None:
    """A thousand times its size: it stops at the limit, and gives its room back."""
    bomb = zlib.compressobj(9, wbits=31)
    sent = b"".join(bomb.compress(bytes(2**24)) for _ in range(16)) + bomb.flush()
    for _ in range(3):
        assert post(port, sent, Content_Encoding="gzip").status == 413
    assert post(port, EXPORT).status == 200


def test_bodies_share_one_room(port: int, receiver: Receiver) -> None:
    """What does not fit beside the bodies that are read now is asked to come again, and fits when they are done."""
    with Lease(receiver.server.room) as lease, Lease(receiver.server.room) as other:
        lease.take(MAX_BODY_BYTES)
        other.take(MAX_BODY_BYTES - len(EXPORT) + 1)
        found = post(port, EXPORT)
        assert (found.status, found.headers["retry-after"]) == (503, "1")
    assert post(port, EXPORT).status == 200


def test_a_room_gives_what_it_has() -> None:
    """All of it, and no byte more."""
    room = Room(10)
    assert room.take(10)
    assert not room.take(1)
    room.give_back(1)
    assert room.take(1)
    assert ROOM_BYTES >= MAX_BODY_BYTES


# --- slow and many clients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "is_answered"),
    [(b"", False), (b"POST /v1/lo", False), (request_head(5), True), (CHUNKED + b"5\r\nhe", True)],
    ids=["nothing", "half-a-head", "no-body", "half-a-chunk"],
)
def test_a_slow_client_is_cut_off(folder: Path, sent: bytes, is_answered: bool) -> None:
    """A client that stops sending gets 408 if its head was whole, and its connection ends."""
    # Only who sends nothing is idle: this client may be slow to begin.
    endpoint = Endpoint(patience=Patience(idle_s=60 if sent else 0.1, request_s=0.1))
    with serving(folder, endpoint) as port, connected(port) as connection:
        connection.sendall(sent)
        if is_answered:
            assert read_answer(connection).status == 408
        assert connection.recv(1) == b""


def test_a_client_that_trickles_is_cut_off(folder: Path) -> None:
    """The time is for the whole request, not for each byte."""
    with serving(folder, Endpoint(patience=Patience(request_s=0.5))) as port, connected(port) as connection:
        connection.sendall(request_head(10**6))
        connection.settimeout(0.05)

        def is_cut_off() -> Answered | None:
            # It may have ended already, and then its answer is there.
            with suppress(OSError):
                connection.sendall(b" ")
            try:
                return read_answer(connection)
            except TimeoutError:
                return None

        assert eventually(is_cut_off).status == 408


def test_slow_clients_hold_nobody(port: int) -> None:
    """Half a request on each of a hundred connections: another client is answered."""
    with closing_all([connect(port) for _ in range(100)]) as slow:
        for connection in slow:
            connection.sendall(request_head(5) + b"he")
        assert post(port, EXPORT).status == 200


def test_an_idle_connection_gives_way(port: int) -> None:
    """All connections are taken by clients that send nothing: one more is served, and one of them ends."""
    with closing_all([connect(port) for _ in range(MAX_CONNECTIONS)]) as idle, DefaultSelector() as selector:
        for connection in idle:
            selector.register(connection, EVENT_READ, connection)
        assert post(port, EXPORT).status == 200
        # Which is the oldest is for the threads of the server to say, each of which has one.
        ((found, _),) = selector.select(60)
        assert found.data.recv(1) == b""


def test_too_many_connections_are_asked_to_come_again(port: int) -> None:
    """All connections are taken by clients that are sending: one more gets 503 at once; when one ends, the next is
    served."""
    with closing_all([connect(port) for _ in range(MAX_CONNECTIONS)]) as busy:
        for connection in busy:
            # Whoever is asked to continue is not idle any more.
            connection.sendall(request_head(5, "Expect: 100-continue"))
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        with connected(port) as one_more:
            found = read_answer(one_more)
            assert (found.status, found.headers["retry-after"]) == (503, "1")
        busy.pop().close()

        def is_served() -> bool:
            try:
                return post(port, EXPORT).status == 200
            except OSError:
                return False

        assert eventually(is_served)


@contextmanager
def closing_all(connections: list[socket.socket]) -> Iterator[list[socket.socket]]:
    """Close what is left of the connections at the end."""
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


# --- whom it lets in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "127.0.0.1:4319"}, 200),
        ({"Host": "[::1]:4319"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost", "Origin": "https://evil.example"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost:4319"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
    ],
)
def test_a_web_page_cannot_write(
    port: int, receiver: Receiver, folder: Path, headers: dict[str, str], status: int
) -> None:
    """Another Host, or any Origin: 403 without a header that lets a page read or write."""
    found = ask(port, "POST", LOGS, EXPORT, {"Content-Type": JSON, **headers})
    assert found.status == status
    assert not [name for name in found.headers if name.startswith("access-control")]
    receiver.seal()
    assert kept_ids(folder) == (["req_1"] if status == 200 else [])


@pytest.mark.parametrize("path", [LOGS, "/healthz", "/"])
def test_a_preflight_is_refused(port: int, path: str) -> None:
    """What a browser asks before it sends JSON from a page."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    found = ask(port, "OPTIONS", path, None, headers)
    assert found.status == 403
    assert not [name for name in found.headers if name.startswith("access-control")]


def test_a_request_without_a_host_is_refused(port: int) -> None:
    """As HTTP/1.0 allows it."""
    assert send_raw(port, b"POST /v1/logs HTTP/1.0\r\nContent-Length: 0\r\n\r\n").status == 403


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer right", 200),
        ("bearer  right ", 200),
        (None, 401),
        ("Bearer wrong", 401),
        ("Bearer righ", 401),
        ("Bearer", 401),
        ("Basic right", 401),
        ("right", 401),
        ("Bearer r\xefght", 401),
    ],
)
def test_a_token_is_asked_for(folder: Path, authorization: str | None, status: int) -> None:
    """With it, requests that name another host are let in: a proxy passes them on. A web page is not."""
    headers = {"Content-Type": JSON, "Host": "team.example"}
    headers |= {} if authorization is None else {"Authorization": authorization}
    with serving(folder, Endpoint(token=Secret("right"))) as port:
        found = ask(port, "POST", LOGS, EXPORT, headers)
        assert found.status == status
        assert ("www-authenticate" in found.headers) == (status == 401)
        assert ask(port, "POST", LOGS, EXPORT, headers | {"Origin": "https://team.example"}).status == 403
        assert ask(port, "GET", "/healthz").status == 200


def test_it_speaks_tls(folder: Path, authority: Authority) -> None:
    """With a certificate: https is served, plain HTTP is not, and a client that says nothing holds nobody."""
    patience = Patience(idle_s=60, request_s=5)
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    with serving(folder, Endpoint(tls=authority.context(), patience=patience)) as port:
        client = HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        with connected(port), closing(client) as connection:
            for _ in range(2):
                connection.request("POST", LOGS, EXPORT, {"Content-Type": JSON})
                assert answered(connection.getresponse()).status == 200
            with pytest.raises(OSError, match=r"."):
                post(port, EXPORT)


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no loopback of IPv6")
def test_it_listens_on_ipv6(folder: Path) -> None:
    """The loopback of IPv6, with its URL in brackets."""
    with receiving(Endpoint(address="::1"), [folder], lambda: None) as receiver:
        assert receiver.server.url == f"http://[::1]:{receiver.server.server_port}"
        with closing(HTTPConnection("::1", receiver.server.server_port, timeout=60)) as connection:
            connection.request("POST", LOGS, EXPORT, {"Content-Type": JSON})
            assert answered(connection.getresponse()).status == 200


def test_a_port_that_is_taken_is_one_error(folder: Path, port: int) -> None:
    """It names the port."""
    with pytest.raises(ReceiverError, match=f"port {port} of 127.0.0.1: Address already in use"):
        Receiver(Endpoint(port=port), [folder], lambda: None)


# --- when nothing can be kept -------------------------------------------------------------------------------------


def test_what_cannot_be_kept_is_asked_for_again(
    port: int, receiver: Receiver, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """503 with Retry-After in place of an error that makes clients drop their records; the connection stays, health
    says so, it is logged once; and it heals."""
    caplog.set_level(logging.INFO, "claude_force")
    folder.write_text("a file where the folder should be")
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for _ in range(2):
            connection.request("POST", LOGS, EXPORT, {"Content-Type": JSON})
            found = answered(connection.getresponse())
            assert (found.status, found.headers["retry-after"]) == (503, "1")
            assert json.loads(found.body)["code"] == 14
        assert ask(port, "GET", "/healthz").status == 503
        folder.unlink()
        connection.request("POST", LOGS, EXPORT, {"Content-Type": JSON})
        assert answered(connection.getresponse()).status == 200
    assert ask(port, "GET", "/healthz").status == 200
    receiver.seal()
    assert kept_ids(folder) == ["req_1"]
    said = [record.getMessage() for record in caplog.records if record.name == "claude_force.receiver"]
    assert [line.partition(":")[0] for line in said] == ["nothing can be kept", "records are kept again"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_unavailable(port: int, folder: Path) -> None:
    """A read-only folder: 503."""
    folder.mkdir()
    folder.chmod(0o500)
    assert post(port, EXPORT).status == 503
    folder.chmod(0o700)


def test_a_bug_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody expected is 500, and the server goes on. It is logged once with its place, and without its
    message, which may quote what was sent."""
    bodies: list[bytes] = []

    def take(_: str, __: str, body: bytes) -> None:
        bodies.append(body)
        if body == b"bug":
            raise ZeroDivisionError(f"personal: {body!r}")

    server = ReceiverServer(Endpoint(), take)
    server.start()
    try:
        assert [post(server.server_port, b"bug").status for _ in range(3)] == [500] * 3
        assert post(server.server_port, b"well").status == 200
    finally:
        server.close()
    assert bodies == [b"bug"] * 3 + [b"well"]
    (record,) = caplog.records
    assert "ZeroDivisionError" in record.getMessage()
    assert ", in take\n" in record.getMessage()
    assert "b'bug'" not in caplog.text


def test_the_end_answers_who_is_being_stored(folder: Path) -> None:
    """A request that is in hand is finished, one that is half sent is not, and an idle connection does not delay it."""
    entered, may_go = threading.Event(), threading.Event()

    def take(_: str, __: str, ___: bytes) -> None:
        entered.set()
        may_go.wait(60)

    server = ReceiverServer(Endpoint(), take)
    server.start()
    idle = connect(server.server_port)
    half = connect(server.server_port)
    busy = connect(server.server_port)
    with closing(idle), closing(half), closing(busy):
        half.sendall(request_head(5) + b"he")
        busy.sendall(request_head(2) + b"{}")
        assert entered.wait(60)
        closer = threading.Thread(target=server.close)
        closer.start()
        assert idle.recv(1) == b""
        assert read_answer(half).status == 400
        may_go.set()
        assert read_answer(busy).status == 200
        closer.join(60)
        assert not closer.is_alive()
