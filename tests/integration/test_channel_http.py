"""One HTTP exchange with a real server: the outcome of each answer and each fault, and where nothing is sent."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from claude_force.network.connection import PATIENCE, Patience
from claude_force.network.http import ANSWER_LIMIT, RETRY_AFTER_LIMIT_S, Request, exchange
from claude_force.network.redaction import Secret
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
def test_the_status_code_decides_the_outcome(reply: Reply, status: str, problem: str | None) -> None:
    """2xx is delivered; 408, 425, 429 and 5xx are retried; anything else failed. The problem quotes the service,
    sanitized."""
    with scripted([reply]) as server:
        outcome = exchange(Request("POST", Secret(server.url), b"{}"), PATIENCE).outcome
    assert (outcome.status, outcome.problem) == (status, problem)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """It could lead anywhere. Nothing arrives there, and the problem names the remedy."""
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
def test_retry_after_is_returned(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """In seconds, or as a date by the clock of the service; at most an hour."""
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
def test_a_broken_server_is_retried(fault: str, patience: Patience, words: str) -> None:
    """Silence, a slow trickle of bytes, a cut connection: none of it blocks the sender, and none is permanent."""
    with scripted([fault]) as server:
        outcome = exchange(Request("POST", Secret(server.url), b"{}"), patience).outcome
    assert outcome.status == "retry"
    assert words in str(outcome.problem)


def test_the_deadline_holds_under_tls(authority: Authority) -> None:
    """The connection is closed below the encryption."""
    with scripted([DRIP], authority.context()) as server:
        request = Request("POST", Secret(server.url), b"{}", ca_file=authority.ca_file)
        outcome = exchange(request, Patience(30, 0.5)).outcome
    assert outcome == ("retry", "127.0.0.1 gave no complete answer within 0.5 seconds", None, None)


def test_a_truncated_answer_counts_by_its_status() -> None:
    """The service had the message when it answered; sending it again would duplicate it."""
    with scripted([Reply(200, b"half", {"Content-Length": "100"})]) as server:
        answer = exchange(Request("POST", Secret(server.url)), PATIENCE)
    assert (answer.outcome.status, answer.body) == ("delivered", b"half")


def test_a_closed_port_is_retried() -> None:
    """A service that restarts."""
    outcome = exchange(Request("POST", Secret(f"http://127.0.0.1:{unused_port()}/")), PATIENCE).outcome
    assert outcome.status == "retry"
    assert "the connection to 127.0.0.1 failed" in str(outcome.problem)


def test_an_unresolved_name_is_retried() -> None:
    """A laptop without a network."""
    outcome = exchange(Request("POST", Secret("http://nowhere.invalid/")), PATIENCE).outcome
    assert outcome == ("retry", "the name nowhere.invalid could not be resolved", None, None)


def test_an_endless_answer_is_read_up_to_the_limit() -> None:
    """The outcome is in its first line."""
    with scripted([Reply(200, b"x" * 1000, fault=HUGE)]) as server:
        answer = exchange(Request("POST", Secret(server.url)), PATIENCE)
    assert answer.outcome.status == "delivered"
    assert len(answer.body) == ANSWER_LIMIT


def test_a_certificate_of_a_known_authority_is_accepted(authority: Authority) -> None:
    """The `ca_file` of a team with its own authority."""
    with scripted(context=authority.context()) as server:
        request = Request("POST", Secret(server.url), b"{}", ca_file=authority.ca_file)
        assert exchange(request, PATIENCE).outcome.status == "delivered"
        assert [received.body for received in server.requests] == [b"{}"]


@pytest.mark.parametrize("names", [(), ("elsewhere.example",)], ids=["unknown authority", "another name"])
def test_an_untrusted_certificate_fails(authority: Authority, names: tuple[str, ...]) -> None:
    """Nothing is sent, and a retry would not change it."""
    with scripted(context=authority.context(*names)) as server:
        request = Request("POST", Secret(server.url), ca_file=authority.ca_file if names else None)
        outcome = exchange(request, PATIENCE).outcome
        assert server.requests == []
    assert outcome.status == "failed"
    assert "the certificate of 127.0.0.1 is not trusted" in str(outcome.problem)


def test_tls_to_a_plain_server_is_retried() -> None:
    """It may be a proxy that is just starting."""
    with scripted() as server:
        outcome = exchange(Request("POST", Secret(server.url.replace("http:", "https:"))), PATIENCE).outcome
    assert outcome.status == "retry"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_link_local_addresses_get_nothing(host: str) -> None:
    """Clouds serve the credentials of a machine there."""
    outcome = exchange(Request("POST", Secret(f"http://{host}/latest/meta-data")), PATIENCE).outcome
    assert outcome.status == "failed"
    assert "link-local" in str(outcome.problem)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://" + "a" * 300 + "/", "nothing"])
def test_an_invalid_address_fails(url: str) -> None:
    """As a permanent failure, not as an exception."""
    assert exchange(Request("POST", Secret(url)), PATIENCE).outcome.status == "failed"


def test_the_environment_changes_no_route(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy sees the address, and no login of a .netrc file is sent."""
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password hunter2\n")
    netrc.chmod(0o600)
    with scripted() as proxy, scripted() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert exchange(Request("POST", Secret(server.url)), PATIENCE).outcome.status == "delivered"
        assert proxy.requests == []
        assert "authorization" not in server.requests[0].headers


def test_a_login_in_the_url_is_sent() -> None:
    """As a browser would (RFC 7617)."""
    with scripted() as server:
        url = server.url.replace("//", "//me:p%40ss@")
        assert exchange(Request("POST", Secret(url)), PATIENCE).outcome.status == "delivered"
        assert server.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="


def test_a_quoted_secret_is_redacted(caplog: pytest.LogCaptureFixture) -> None:
    """A service that quotes the request, in its text or headers, does not get it into a problem or a log."""
    caplog.set_level(logging.DEBUG)
    echo = b"no hook at /services/T0/B0/verysecrettoken for key r0uting"
    headers = {"Location": "https://127.0.0.1/services/T0/B0/verysecrettoken"}
    with scripted([Reply(404, echo, headers), Reply(302, b"", headers)]) as server:
        url = f"{server.url}services/T0/B0/verysecrettoken"
        for _ in range(2):
            request = Request("POST", Secret(url), secrets=(Secret("r0uting"),))
            text = f"{exchange(request, PATIENCE).outcome!r} {request!r} {caplog.text}"
            assert "verysecrettoken" not in text
            assert "r0uting" not in text
    assert exchange(Request("POST", Secret(f"{url}?x")), PATIENCE).outcome.status == "retry"


def test_other_loggers_are_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    """The loggers of the library are as they were after an exchange."""
    caplog.set_level(logging.DEBUG)
    with scripted() as server:
        exchange(Request("POST", Secret(server.url)), PATIENCE)
    logging.getLogger("httpcore2.http11").debug("somebody else's")
    assert "somebody else's" in caplog.text
