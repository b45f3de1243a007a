"""Mail: one message to all addresses, as text and as HTML, over a connection that is verified or not at all.

`smtplib` does not verify a certificate unless it is given a context, and goes on in plain text where STARTTLS is
missing. Here both end the attempt. A message has the same Message-ID in every attempt, and refers to its episodes, so
that a mail program shows an alert and its end as one conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from claude_force.alerts.channels import wording
from claude_force.alerts.notification import Notification
from claude_force.network.connection import PATIENCE, Deadline, Patience, explain, tls_context
from claude_force.network.outcome import Outcome, Status, conclude
from claude_force.network.secret import Secret
from claude_force.text import sanitize

if TYPE_CHECKING:
    import smtplib
    from email.message import EmailMessage

Security = Literal["starttls", "ssl", "none"]

SUBJECT_LIMIT = 200
NOTICES_LIMIT = 100
REFERENCES_LIMIT = 20

_COLOURS = {"critical": "#b3261e", "error": "#b3261e", "warning": "#8a5a00", "info": "#2e6b34"}


@dataclass(frozen=True, slots=True)
class Email:
    """Addresses, and the server that takes mail for them. `security` none is for a server on this machine."""

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

    def send(self, notices: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Hand them to the server as one message. Delivered means that it took it for at least one address; the others
        are the problem."""
        import smtplib

        message = compose(notices, key, self.from_address, self.to_addresses)
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
                return conclude("failed", f"{self.host} cannot be called as it is configured", self._hidden)
        return self._partly(refused) if refused else Outcome("delivered")

    @property
    def _hidden(self) -> tuple[Secret, ...]:
        return () if self.password is None else (self.password,)

    def _converse(self, message: EmailMessage, deadline: Deadline) -> Mapping[str, tuple[int, bytes]]:
        """The addresses that were refused while others were not."""
        import smtplib

        context = None if self.security == "none" else tls_context(self.ca_file)
        timeout = self.patience.step_s
        server = (
            smtplib.SMTP_SSL(timeout=timeout, context=context)
            if self.security == "ssl"
            else smtplib.SMTP(timeout=timeout)
        )
        deadline.connection = lambda: server.sock
        # smtplib reads the name for the certificate from an attribute that only its constructor sets.
        server._host = self.host  # type: ignore[attr-defined]
        try:
            code, said = server.connect(self.host, self.port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, said)
            if self.security == "starttls":
                server.starttls(context=context)
            if self.username is not None and self.password is not None:
                server.login(self.username, self.password.reveal())
            refused = server.send_message(message)
            # It has the message: that it does not say goodbye well changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
            return refused
        finally:
            server.close()

    def _verdict(self, error: smtplib.SMTPException) -> Outcome:
        import smtplib

        if isinstance(error, smtplib.SMTPRecipientsRefused):
            statuses = [_status(code) for code, _ in error.recipients.values()]
            status: Status = "retry" if "retry" in statuses else "failed"
            return conclude(status, f"{self.host} refused {_refusals(error.recipients)}", self._hidden)
        if isinstance(error, smtplib.SMTPResponseException):
            is_login = isinstance(error, smtplib.SMTPAuthenticationError)
            what = "refused the login with" if is_login else "answered"
            said = f"{self.host} {what} {error.smtp_code}: {_text(error.smtp_error)}"
            return conclude(_status(error.smtp_code), said, self._hidden)
        return conclude("failed", f"{self.host}: {error}", self._hidden)

    def _partly(self, refused: Mapping[str, tuple[int, bytes]]) -> Outcome:
        return conclude("delivered", f"{self.host} refused {_refusals(refused)}", self._hidden)


def _status(code: int) -> Status:
    """RFC 5321, 4.2.1: 4yz is temporary; a code that is none is a server out of step."""
    return "failed" if 500 <= code <= 599 else "retry"


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address} ({code} {_text(said)})" for address, (code, said) in refused.items())


def _text(said: bytes | str) -> str:
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    return " ".join(text.split())


def compose(notices: Sequence[Notification], key: str, from_address: str, to_addresses: Sequence[str]) -> EmailMessage:
    """The message, the same in every attempt: its date is that of the newest notice."""
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import formatdate

    message = EmailMessage(policy=SMTP)
    message["From"] = from_address
    message["To"] = ", ".join(to_addresses)
    message["Subject"] = sanitize(f"{wording.ALERT} - {wording.subject(notices)}", SUBJECT_LIMIT)
    message["Date"] = formatdate(max(notification.at_us for notification in notices) / 1e6, usegmt=True)
    message["Message-ID"] = _identity(key, from_address)
    episodes = dict.fromkeys(notification.episode for notification in notices[:REFERENCES_LIMIT])
    message["References"] = " ".join(_identity(episode, from_address) for episode in episodes)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(_text_lines(notices)) + "\n", cte="quoted-printable")
    message.add_alternative("\n".join(_html_lines(notices)) + "\n", subtype="html", cte="quoted-printable")
    message.set_boundary(f"claude-force-{_digest(key)}")
    return message


def _digest(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _identity(name: str, from_address: str) -> str:
    domain = from_address.rpartition("@")[2].rstrip("> ")
    host = domain if domain.isascii() and domain.replace(".", "").replace("-", "").isalnum() else "claude-force"
    return f"<{_digest(name)}@{host}>"


def _groups(notices: Sequence[Notification]) -> Iterator[tuple[str, list[Notification]]]:
    """What goes on, then what is over, each under its heading."""
    shown = notices[:NOTICES_LIMIT]
    for line, over in (("Performance issues detected:", False), ("Resolved:", True)):
        found = [notification for notification in shown if (notification.action == "resolve") == over]
        if found:
            yield line, found


def _text_lines(notices: Sequence[Notification]) -> Iterator[str]:
    for line, group in _groups(notices):
        yield from (line, "")
        for notification in group:
            mark = "✅" if notification.action == "resolve" else "⚠️"
            title, summary = wording.title(notification), wording.summary(notification)
            yield f"{mark} {title}: {summary} ({sanitize(notification.period)})"
            yield from (f"   {fact}" for fact in wording.fact_lines(notification))
            yield from (f"   began {wording.moment(notification.began_us)}, {wording.origin(notification)}", "")
    if len(notices) > NOTICES_LIMIT:
        yield f"and {len(notices) - NOTICES_LIMIT:,} more"


def _html_lines(notices: Sequence[Notification]) -> Iterator[str]:
    yield '<!DOCTYPE html><html><head><meta charset="utf-8"></head><body style="font-family: sans-serif">'
    for line, group in _groups(notices):
        yield f"<h2>{line}</h2>"
        for notification in group:
            yield from _html_notice(notification)
    if len(notices) > NOTICES_LIMIT:
        yield f"<p>and {len(notices) - NOTICES_LIMIT:,} more</p>"
    yield "</body></html>"


def _html_notice(notification: Notification) -> Iterator[str]:
    colour = _COLOURS["info"] if notification.action == "resolve" else _COLOURS[notification.severity]
    yield f'<h3 style="color: {colour}">{escape(wording.title(notification))}</h3>'
    yield f"<p>{escape(wording.summary(notification))} ({escape(sanitize(notification.period))})</p>"
    if told := wording.facts(notification):
        rows = (f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in told)
        yield f'<table cellpadding="4">{"".join(rows)}</table>'
    yield f"<p>began {wording.moment(notification.began_us)}, {escape(wording.origin(notification))}</p>"
