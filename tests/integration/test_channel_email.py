"""Email with a real server: it is encrypted or not sent, and every answer has its outcome."""

from __future__ import annotations

import ssl
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

import pytest

from claude_force.alerts.channels.email import Email, compose
from claude_force.network.connection import Patience
from claude_force.network.redaction import Secret
from tests.builders import NOON_US, a_notification
from tests.counterparts import Authority, dripping_port, mail_server, unused_port

ME, YOU, THEM = "alerts@example.com", "you@example.com", "them@example.com"


def a_channel(port: int, authority: Authority | None = None, **changes: Any) -> Email:
    """A channel to the server of a test."""
    values: dict[str, Any] = {
        "name": "mail",
        "host": "localhost",
        "port": port,
        "security": "starttls",
        "from_address": ME,
        "to_addresses": (YOU,),
        "ca_file": authority.ca_file if authority else None,
    } | changes
    return Email(**values)


def body_of(message: EmailMessage, kind: str) -> str:
    """The text or the HTML of a message."""
    part = message.get_body((kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_a_message_arrives_encrypted(authority: Authority, security: str) -> None:
    """As text and as HTML, with the title of the alert in its subject."""
    with mail_server(authority.context("localhost"), is_implicit=security == "ssl") as server:
        channel = a_channel(server.port, authority, security=security, to_addresses=(YOU, THEM))
        assert channel.send([a_notification()], "key", None) == ("delivered", None, None, None)
        ((message, addresses),) = server.messages
    assert addresses == [YOU, THEM]
    assert message["Subject"] == "Claude Force Performance Alert - Low Success Rate"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() == NOON_US // 1_000_000 + 60
    assert body_of(message, "plain").splitlines() == [
        "Performance issues detected:",
        "",
        "⚠️ Low Success Rate: Success rate dropped to 87.5% (Last 1 hour)",
        "   agent: python-expert",
        "   success_rate: 87.5",
        "   executions: 1,234",
        "   threshold: –",
        "   began 2025-11-01 12:26 UTC, metrics.db on build-7",
        "",
    ]
    html = body_of(message, "html")
    assert "<td>agent</td><td>python-expert</td>" in html


def test_without_starttls_nothing_is_sent(authority: Authority) -> None:
    """Not even the login."""
    with mail_server() as server:
        channel = a_channel(server.port, authority, username="u", password=Secret("p"))
        outcome = channel.send([a_notification()], "key", None)
        assert server.messages == []
    assert outcome.status == "failed"
    assert "STARTTLS" in str(outcome.problem)


@pytest.mark.parametrize("security", ["starttls", "ssl"])
@pytest.mark.parametrize("names", [("localhost",), ("elsewhere.example",)], ids=["unknown authority", "another name"])
def test_an_untrusted_certificate_fails(authority: Authority, security: str, names: tuple[str]) -> None:
    """Of an unknown authority, or for another host."""
    known = None if names == ("localhost",) else authority
    with mail_server(authority.context(*names), is_implicit=security == "ssl") as server:
        outcome = a_channel(server.port, known, security=security).send([a_notification()], "key", None)
        assert server.messages == []
    assert outcome.status == "failed"
    assert "the certificate of localhost is not trusted" in str(outcome.problem)


def test_a_correct_login_is_accepted(authority: Authority) -> None:
    """After STARTTLS."""
    with mail_server(authority.context("localhost"), login=("me", "s3cret")) as server:
        channel = a_channel(server.port, authority, username="me", password=Secret("s3cret"))
        assert channel.send([a_notification()], "key", None).status == "delivered"
        assert len(server.messages) == 1


def test_a_wrong_login_fails(authority: Authority) -> None:
    """Retrying would lock the account."""
    with mail_server(authority.context("localhost"), login=("me", "s3cret")) as server:
        channel = a_channel(server.port, authority, username="me", password=Secret("wr0ng"))
        outcome = channel.send([a_notification()], "key", None)
        assert server.messages == []
    assert outcome.status == "failed"
    assert "localhost refused the login with 535" in str(outcome.problem)
    assert "wr0ng" not in repr(outcome)


ANSWERS = {
    "data later": ({"DATA": "451 try later"}, "retry", "localhost answered 451: try later"),
    "data never": ({"DATA": "554 no \x1b[31mspam"}, "failed", "localhost answered 554: no \\x1b[31mspam"),
    "address later": ({YOU: "450 busy"}, "retry", f"localhost refused {YOU} (450 busy)"),
    "address never": ({YOU: "550 nobody"}, "failed", f"localhost refused {YOU} (550 nobody)"),
}


@pytest.mark.parametrize(("answers", "status", "problem"), ANSWERS.values(), ids=ANSWERS)
def test_the_reply_code_decides_the_outcome(answers: dict[str, str], status: str, problem: str) -> None:
    """4xx is temporary, 5xx permanent, as in SMTP."""
    with mail_server(answers=answers) as server:
        outcome = a_channel(server.port, security="none").send([a_notification()], "key", None)
    assert (outcome.status, outcome.problem) == (status, problem)


def test_a_refused_address_among_others_is_reported(authority: Authority) -> None:
    """The message is delivered: a retry would duplicate it for the others."""
    with mail_server(answers={THEM: "550 nobody"}) as server:
        outcome = a_channel(server.port, security="none", to_addresses=(YOU, THEM)).send(
            [a_notification()], "key", None
        )
        assert [addresses for _, addresses in server.messages] == [[YOU]]
    assert outcome == ("delivered", f"localhost refused {THEM} (550 nobody)", None, None)


def test_a_missing_server_is_retried() -> None:
    """It may come back."""
    outcome = a_channel(unused_port(), security="none").send([a_notification()], "key", None)
    assert outcome.status == "retry"
    assert "the connection to localhost failed" in str(outcome.problem)


@pytest.mark.parametrize("security", ["none", "ssl"])
def test_a_slow_server_is_abandoned(security: str) -> None:
    """A byte now and then keeps every read alive, but not the conversation."""
    with dripping_port() as port:
        channel = replace(a_channel(port, security=security), patience=Patience(20, 0.3))
        outcome = channel.send([a_notification()], "key", None)
    assert outcome.status == "retry"


def test_a_retry_is_the_same_message_and_a_resolve_refers_to_its_trigger() -> None:
    """The same bytes, so a duplicate is recognised; and one conversation from trigger to resolve."""
    begun, over = a_notification(), a_notification(action="resolve", at_us=NOON_US + 10**9)
    first, again, last = (
        compose([begun], "1", ME, [YOU]),
        compose([begun], "1", ME, [YOU]),
        compose([over], "2", ME, [YOU]),
    )
    assert first.as_bytes() == again.as_bytes()
    assert first["Message-ID"] != last["Message-ID"]
    assert first["References"] == last["References"]
    assert last["Subject"] == "Claude Force Performance Alert - Resolved: Low Success Rate"
    assert body_of(last, "plain").startswith("Resolved:\n")


def test_several_alerts_are_counted_in_the_subject() -> None:
    """The firing and the resolved ones."""
    notifications = [a_notification(), a_notification(episode="2"), a_notification(episode="3", action="resolve")]
    assert compose(notifications, "k", ME, [YOU])["Subject"] == "Claude Force Performance Alert - 2 issues, 1 resolved"
    assert compose(notifications[2:] * 2, "k", ME, [YOU])["Subject"] == "Claude Force Performance Alert - 2 resolved"


def test_no_context_verifies_nothing() -> None:
    """Why a context is passed: without one, smtplib checks no certificate."""
    context = ssl._create_stdlib_context()  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
