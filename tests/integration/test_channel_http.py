"""One exchange over HTTP with a real server: what each answer and each fault means, and where nothing is sent."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from claude_force.network.connection import PATIENCE, Patience
from claude_force.network.http import ANSWER_LIMIT, RETRY_AFTER_LIMIT_S, Request, exchange
from claude_force.network.secret import Secret
from tests.counterparts import DRIP, HANG, HUGE, RESET, Authority, Reply, scripted, unused_port

ANSWERS = {
    "200": (Reply(200), "delivered", None),
    "202": (Reply(202, b'{"status": "success"}'), "delivered", None),
    "204": (Reply(204, b""), "delivered", None),
    "400 with words": (Reply(400, b"invalid_payload"), "failed", "127.0.0.1 answered 400: invalid_payload"),
    "401": (Reply(401, b""), "failed", "127.0.0.1 answered 401"),
    "403 with a page": (Reply(403, b"<html>a page</html>"), "failed", "127.0.0.1 answered 403"),
    "404": (Reply(404, b"channel_not_found\nmore"), "failed", "127.0.0.1 answered 404: channel_not_found"),
    "410": (Reply(410, b"channel_is_archived"), "failed", "127.0.0.1 answered 410: channel_is_archived"),
    "400 as JSON": (
        Reply(400, b'{"error": {"message": "Invalid Input", "errors": ["From is missing", "no service"]}}'),
        "failed",
        "127.0.0.1 answered 400: Invalid Input; From is missing; no service",
    ),
    "408": (Reply(408, b""), "retry", "127.0.0.1 answered 408"),
    "425": (Reply(425, b""), "retry", "127.0.0.1 answered 425"),
    "429": (Reply(429, b"ratelimited"), "retry", "127.0.0.1 answered 429: ratelimited"),
    "500": (Reply(500, b"rollup_error"), "retry", "127.0.0.1 answered 500: rollup_error"),
    "503": (Reply(503, b"\x1b[31m\x00busy"), "retry", "127.0.0.1 answered 503: \\x1b[31m\\x00busy"),
    "not UTF-8": (Reply(400, b"\xff\xfe"), "failed", "127.0.0.1 answered 400: \ufffd\ufffd"),
}


@pytest.mark.parametrize(("reply", "status", "problem"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_judged_by_its_status(reply: Reply, status: str, problem: str | None) -> None:
    """2xx is delivered; 408, 425, 429 and 5xx may pass; all else stays. The service's own words are told, harmless."""
    with scripted([reply]) as server:
        outcome = exchange(Request("POST", Secret(server.url), b"{}"), PATIENCE).outcome
    assert (outcome.status, outcome.problem) == (status, problem)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """It could lead anywhere. Nothing arrives there, and the problem says what to do."""
    with scripted() as elsewhere, scripted([Reply(status, b"", {"Location": elsewhere.url})]) as server:
        outcome = exchange(Request("POST", Secret(server.url), b"{}"), PATIENCE).outcome
        assert elsewhere.requests == []
    assert outcome.status == "failed"
    assert f"answered {status}, a redirect, which is not followed" in str(outcome.problem)


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
WAITS = {
    "seconds": ({"Retry-After": "30"}, 30.0),
    "a date": ({"Retry-After": "Wed, 21 Oct 2026 07:30:00 GMT", "Date": DATE}, 120.0),
    "a date that is over": ({"Retry-After": "Wed, 21 Oct 2026 07:00:00 GMT", "Date": DATE}, 0.0),
    "too long": ({"Retry-After": "9999999999"}, RETRY_AFTER_LIMIT_S),
    "a date of another century": ({"Retry-After": "Wed, 21 Oct 2126 07:30:00 GMT"}, RETRY_AFTER_LIMIT_S),
    "nonsense": ({"Retry-After": "soon"}, None),
    "negative": ({"Retry-After": "-5"}, None),
    "none": ({}, None),
}


@pytest.mark.parametrize(("headers", "seconds"), WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("status", [429, 503])
def test_what_the_service_asks_for_is_told(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After in seconds or as a date by the clock of the service, at most an hour."""
    with scripted([Reply(status, b"", headers)]) as server:
        outcome = exchange(Request("POST", Secret(server.url)), PATIENCE).outcome
    assert (outcome.status, outcome.retry_after_s) == ("retry", seconds)


@pytest.mark.parametrize(
    ("fault", "patience", "words"),
    [
        (HANG, Patience(0.2, 30), "did not answer in time"),
        (HANG, Patience(30, 0.2), "gave no complete answer within 0.2 seconds"),
        (DRIP, Patience(30, 0.3), "gave no complete answer within 0.3 seconds"),
        (RESET, PATIENCE, "the connection to 127.0.0.1 failed"),
    ],
)
def test_a_server_that_fails_is_tried_again(fault: str, patience: Patience, words: str) -> None:
    """Silence, a byte now and then, a connection that is cut: none of it holds us up or says that it would stay so."""
    with scripted([fault]) as server:
        outcome = exchange(Request("POST", Secret(server.url), b"{}"), patience).outcome
    assert outcome.status == "retry"
    assert words in str(outcome.problem)


def test_the_deadline_holds_under_tls_too(authority: Authority) -> None:
    """The connection is taken away below the encryption."""
    with scripted([DRIP], authority.context()) as server:
        request = Request("POST", Secret(server.url), b"{}", ca_file=authority.ca_file)
        outcome = exchange(request, Patience(30, 0.5)).outcome
    assert outcome == ("retry", "127.0.0.1 gave no complete answer within 0.5 seconds", None, None)


def test_an_answer_that_breaks_off_is_delivered_by_its_status() -> None:
    """The service had the message when it said so; to send it again would tell it twice."""
    with scripted([Reply(200, b"half", {"Content-Length": "100"})]) as server:
        answer = exchange(Request("POST", Secret(server.url)), PATIENCE)
    assert (answer.outcome.status, answer.body) == ("delivered", b"half")


def test_a_port_where_nobody_listens_is_tried_again() -> None:
    """A service that restarts."""
    outcome = exchange(Request("POST", Secret(f"http://127.0.0.1:{unused_port()}/")), PATIENCE).outcome
    assert outcome.status == "retry"
    assert "the connection to 127.0.0.1 failed" in str(outcome.problem)


def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    """A laptop without a network."""
    outcome = exchange(Request("POST", Secret("http://nowhere.invalid/")), PATIENCE).outcome
    assert outcome == ("retry", "the name nowhere.invalid could not be resolved", None, None)


def test_an_answer_without_an_end_is_read_to_its_limit() -> None:
    """The verdict is in its first line."""
    with scripted([Reply(200, b"x" * 1000, fault=HUGE)]) as server:
        answer = exchange(Request("POST", Secret(server.url)), PATIENCE)
    assert answer.outcome.status == "delivered"
    assert len(answer.body) == ANSWER_LIMIT


def test_a_certificate_of_a_known_authority_is_taken(authority: Authority) -> None:
    """The `ca_file` of a team with an authority of its own."""
    with scripted(context=authority.context()) as server:
        request = Request("POST", Secret(server.url), b"{}", ca_file=authority.ca_file)
        assert exchange(request, PATIENCE).outcome.status == "delivered"
        assert [received.body for received in server.requests] == [b"{}"]


@pytest.mark.parametrize("names", [(), ("elsewhere.example",)], ids=["unknown authority", "another name"])
def test_a_certificate_that_is_not_trusted_ends_it(authority: Authority, names: tuple[str, ...]) -> None:
    """Nothing is sent, and it would be no different the next time."""
    with scripted(context=authority.context(*names)) as server:
        request = Request("POST", Secret(server.url), ca_file=authority.ca_file if names else None)
        outcome = exchange(request, PATIENCE).outcome
        assert server.requests == []
    assert outcome.status == "failed"
    assert "the certificate of 127.0.0.1 is not trusted" in str(outcome.problem)


def test_tls_to_a_server_that_speaks_none_is_tried_again() -> None:
    """It may be a proxy that is just starting."""
    with scripted() as server:
        outcome = exchange(Request("POST", Secret(server.url.replace("http:", "https:"))), PATIENCE).outcome
    assert outcome.status == "retry"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_link_local_addresses_get_nothing(host: str) -> None:
    """That is where clouds serve the credentials of a machine."""
    outcome = exchange(Request("POST", Secret(f"http://{host}/latest/meta-data")), PATIENCE).outcome
    assert outcome.status == "failed"
    assert "link-local" in str(outcome.problem)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://" + "a" * 300 + "/", "nothing"])
def test_what_is_no_address_fails(url: str) -> None:
    """As a permanent failure, not as an exception."""
    assert exchange(Request("POST", Secret(url)), PATIENCE).outcome.status == "failed"


def test_nothing_of_the_environment_changes_the_way(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy is told the address, and no login of a .netrc file is sent."""
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password hunter2\n")
    netrc.chmod(0o600)
    with scripted() as proxy, scripted() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert exchange(Request("POST", Secret(server.url)), PATIENCE).outcome.status == "delivered"
        assert proxy.requests == []
        assert "authorization" not in server.requests[0].headers


def test_a_login_in_the_url_is_sent_as_one() -> None:
    """As a browser would (RFC 7617)."""
    with scripted() as server:
        url = server.url.replace("//", "//me:p%40ss@")
        assert exchange(Request("POST", Secret(url)), PATIENCE).outcome.status == "delivered"
        assert server.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="


def test_a_secret_that_comes_back_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """A service that quotes the request, in words and in headers, does not get it into a problem or a log."""
    caplog.set_level(logging.DEBUG)
    echo = b"no hook at /services/T0/B0/verysecrettoken for key r0uting"
    headers = {"Location": "https://127.0.0.1/services/T0/B0/verysecrettoken"}
    with scripted([Reply(404, echo, headers), Reply(302, b"", headers)]) as server:
        url = f"{server.url}services/T0/B0/verysecrettoken"
        for _ in range(2):
            request = Request("POST", Secret(url), secrets=(Secret("r0uting"),))
            said = f"{exchange(request, PATIENCE).outcome!r} {request!r} {caplog.text}"
            assert "verysecrettoken" not in said
            assert "r0uting" not in said
    assert exchange(Request("POST", Secret(f"{url}?x")), PATIENCE).outcome.status == "retry"


def test_logs_of_others_are_not_held_back(caplog: pytest.LogCaptureFixture) -> None:
    """The library's loggers are as they were after an exchange."""
    caplog.set_level(logging.DEBUG)
    with scripted() as server:
        exchange(Request("POST", Secret(server.url)), PATIENCE)
    logging.getLogger("httpcore2.http11").debug("somebody else's")
    assert "somebody else's" in caplog.text
