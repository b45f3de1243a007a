"""Email: one message to all addresses, as text and HTML, over a verified connection only.

`smtplib` verifies certificates only if it is given a context, and continues in plain text if STARTTLS is missing. Here
both end the attempt. A message has the same Message-ID in every attempt and refers to its episodes, so a mail program
shows an alert and its resolve as one conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from claude_force.alerts.channels import message_parts
from claude_force.alerts.notification import Notification
from claude_force.network.connection import PATIENCE, Deadline, Patience, explain, tls_context
from claude_force.network.outcome import Outcome, Status, conclude
from claude_force.network.redaction import Secret
from claude_force.text import sanitize

if TYPE_CHECKING:
    import smtplib
    import ssl
    from email.message import EmailMessage

Security = Literal["starttls", "ssl", "none"]

SUBJECT_LIMIT = 200
NOTIFICATIONS_LIMIT = 100
REFERENCES_LIMIT = 20

_COLOURS = {"critical": "#b3261e", "error": "#b3261e", "warning": "#8a5a00", "info": "#2e6b34"}


@dataclass(frozen=True, slots=True)
class Email:
    """A mail server and the addresses to notify. `security` "none" is for a server on this machine."""

    kind: ClassVar[str] = "email"
    groups: ClassVar[bool] = True

    name: str
    host: str
    port: int
    security: Security
    from_address: str
    to_addresses: tuple[str, ...]
    username: str | None = None
    password: Secret | None = None
    ca_file: Path | None = None
    patience: Patience = PATIENCE

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Send them as one message. Delivered means that the server accepted it for at least one address; `problem`
        names the others."""
        import smtplib

        message = compose(notifications, key, self.from_address, self.to_addresses)
        with Deadline(self.patience.overall_s) as deadline:
            try:
                refused = self._converse(message, deadline)
            except smtplib.SMTPServerDisconnected as error:
                return explain(error, self.host, self.port, deadline, self._hidden)
            except smtplib.SMTPException as error:
                return self._verdict(error)
            except OSError as error:
                return explain(error, self.host, self.port, deadline, self._hidden)
            except UnicodeError:
                return conclude("failed", f"{self.host} is not a valid host name", self._hidden)
        return self._partly(refused) if refused else Outcome("delivered")

    @property
    def _hidden(self) -> tuple[Secret, ...]:
        return () if self.password is None else (self.password,)

    def _converse(self, message: EmailMessage, deadline: Deadline) -> Mapping[str, tuple[int, bytes]]:
        """Send a message. Returns the addresses that the server refused although it accepted others."""
        import smtplib

        context = None if self.security == "none" else tls_context(self.ca_file)
        server = self._server(context)
        deadline.connection = lambda: server.sock
        try:
            code, reply = server.connect(self.host, self.port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, reply)
            if self.security == "starttls":
                server.starttls(context=context)
            if self.username is not None and self.password is not None:
                server.login(self.username, self.password.reveal())
            refused = server.send_message(message)
            # The server has the message: an error after that changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
            return refused
        finally:
            server.close()

    def _server(self, context: ssl.SSLContext | None) -> smtplib.SMTP:
        import smtplib

        timeout = self.patience.step_s
        is_ssl = self.security == "ssl"
        server = smtplib.SMTP_SSL(timeout=timeout, context=context) if is_ssl else smtplib.SMTP(timeout=timeout)
        # smtplib checks the certificate against an attribute that only its constructor sets.
        server._host = self.host  # type: ignore[attr-defined]
        return server

    def _verdict(self, error: smtplib.SMTPException) -> Outcome:
        import smtplib

        if isinstance(error, smtplib.SMTPRecipientsRefused):
            statuses = [_status(code) for code, _ in error.recipients.values()]
            status: Status = "retry" if "retry" in statuses else "failed"
            return conclude(status, f"{self.host} refused {_refusals(error.recipients)}", self._hidden)
        if isinstance(error, smtplib.SMTPResponseException):
            is_login = isinstance(error, smtplib.SMTPAuthenticationError)
            what = "refused the login with" if is_login else "answered"
            problem = f"{self.host} {what} {error.smtp_code}: {_text(error.smtp_error)}"
            return conclude(_status(error.smtp_code), problem, self._hidden)
        return conclude("failed", f"{self.host}: {error}", self._hidden)

    def _partly(self, refused: Mapping[str, tuple[int, bytes]]) -> Outcome:
        return conclude("delivered", f"{self.host} refused {_refusals(refused)}", self._hidden)


def _status(code: int) -> Status:
    """RFC 5321, 4.2.1: 5yz is permanent, 4yz temporary. Any other code is a confused server, which is retried."""
    return "failed" if 500 <= code <= 599 else "retry"


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address} ({code} {_text(reply)})" for address, (code, reply) in refused.items())


def _text(reply: bytes | str) -> str:
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    return " ".join(text.split())


def compose(
    notifications: Sequence[Notification], key: str, from_address: str, to_addresses: Sequence[str]
) -> EmailMessage:
    """The message. It is the same in every attempt: its date is that of the newest notification."""
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import formatdate

    message = EmailMessage(policy=SMTP)
    message["From"] = from_address
    message["To"] = ", ".join(to_addresses)
    message["Subject"] = sanitize(f"{message_parts.ALERT} - {message_parts.subject(notifications)}", SUBJECT_LIMIT)
    message["Date"] = formatdate(max(notification.at_us for notification in notifications) / 1e6, usegmt=True)
    message["Message-ID"] = _identity(key, from_address)
    episodes = dict.fromkeys(notification.episode for notification in notifications[:REFERENCES_LIMIT])
    message["References"] = " ".join(_identity(episode, from_address) for episode in episodes)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(_text_lines(notifications)) + "\n", cte="quoted-printable")
    message.add_alternative("\n".join(_html_lines(notifications)) + "\n", subtype="html", cte="quoted-printable")
    message.set_boundary(f"claude-force-{_digest(key)}")
    return message


def _digest(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _identity(name: str, from_address: str) -> str:
    domain = from_address.rpartition("@")[2].rstrip("> ")
    host = domain if domain.isascii() and domain.replace(".", "").replace("-", "").isalnum() else "claude-force"
    return f"<{_digest(name)}@{host}>"


def _groups(notifications: Sequence[Notification]) -> Iterator[tuple[str, list[Notification]]]:
    """The firing ones, then the resolved ones, each group with its heading."""
    shown = notifications[:NOTIFICATIONS_LIMIT]
    for line, is_resolved in (("Performance issues detected:", False), ("Resolved:", True)):
        found = [notification for notification in shown if (notification.action == "resolve") == is_resolved]
        if found:
            yield line, found


def _text_lines(notifications: Sequence[Notification]) -> Iterator[str]:
    for line, group in _groups(notifications):
        yield from (line, "")
        for notification in group:
            mark = "✅" if notification.action == "resolve" else "⚠️"
            title, summary = message_parts.title(notification), message_parts.summary(notification)
            yield f"{mark} {title}: {summary} ({sanitize(notification.period)})"
            yield from (f"   {fact}" for fact in message_parts.fact_lines(notification))
            yield from (
                f"   began {message_parts.moment(notification.began_us)}, {message_parts.origin(notification)}",
                "",
            )
    if len(notifications) > NOTIFICATIONS_LIMIT:
        yield f"and {len(notifications) - NOTIFICATIONS_LIMIT:,} more"


def _html_lines(notifications: Sequence[Notification]) -> Iterator[str]:
    yield '<!DOCTYPE html><html><head><meta charset="utf-8"></head><body style="font-family: sans-serif">'
    for line, group in _groups(notifications):
        yield f"<h2>{line}</h2>"
        for notification in group:
            yield from _html_notification(notification)
    if len(notifications) > NOTIFICATIONS_LIMIT:
        yield f"<p>and {len(notifications) - NOTIFICATIONS_LIMIT:,} more</p>"
    yield "</body></html>"


def _html_notification(notification: Notification) -> Iterator[str]:
    colour = _COLOURS["info"] if notification.action == "resolve" else _COLOURS[notification.severity]
    yield f'<h3 style="color: {colour}">{escape(message_parts.title(notification))}</h3>'
    yield f"<p>{escape(message_parts.summary(notification))} ({escape(sanitize(notification.period))})</p>"
    if facts := message_parts.facts(notification):
        rows = (f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts)
        yield f'<table cellpadding="4">{"".join(rows)}</table>'
    yield f"<p>began {message_parts.moment(notification.began_us)}, {escape(message_parts.origin(notification))}</p>"
