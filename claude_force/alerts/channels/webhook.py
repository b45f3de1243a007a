"""Webhook: the notifications as JSON, signed, with an id that is the same in every attempt.

The signature is an HMAC-SHA256 over `timestamp.body`, so neither can be changed, and an old message cannot be replayed
as a new one. The body has the same bytes in every attempt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from claude_force.alerts.channels import message_parts
from claude_force.alerts.notification import Notification
from claude_force.clock import SECOND_US, now_us
from claude_force.network.connection import PATIENCE, Patience
from claude_force.network.http import Request, exchange
from claude_force.network.outcome import Outcome
from claude_force.network.redaction import Secret
from claude_force.text import sanitize

NOTIFICATIONS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Webhook:
    """The user's own service behind a URL. Messages are signed if there is a secret."""

    kind: ClassVar[str] = "webhook"
    groups: ClassVar[bool] = True

    name: str
    url: Secret
    secret: Secret | None = None
    ca_file: Path | None = None
    patience: Patience = PATIENCE
    clock: Callable[[], int] = now_us

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Post them as one message."""
        body = encode(notifications, key)
        timestamp = str(self.clock() // SECOND_US)
        headers = {
            "Content-Type": "application/json",
            "Claude-Force-Id": message_id(key),
            "Claude-Force-Timestamp": timestamp,
        }
        if self.secret is not None:
            headers["Claude-Force-Signature"] = f"sha256={sign(self.secret, timestamp, body)}"
        hidden = () if self.secret is None else (self.secret,)
        return exchange(Request("POST", self.url, body, headers, hidden, self.ca_file), self.patience).outcome


def sign(secret: Secret, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) of `timestamp.body`, in hex."""
    import hmac

    return hmac.new(secret.reveal().encode(), timestamp.encode() + b"." + body, "sha256").hexdigest()


def message_id(key: str) -> str:
    """The key, or a digest of it if a header could not hold it."""
    from hashlib import sha256

    if 0 < len(key) <= 128 and key.isascii() and key.isprintable() and " " not in key:
        return key
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def encode(notifications: Sequence[Notification], key: str) -> bytes:
    """The message as JSON."""
    return json.dumps(message(notifications, key), ensure_ascii=False, allow_nan=False).encode()


def message(notifications: Sequence[Notification], key: str) -> dict[str, Any]:
    """The message of a webhook or command. Instants are ISO 8601, texts are sanitized to one line."""
    return {
        "version": 1,
        "id": message_id(key),
        "text": f"{message_parts.ALERT} - {message_parts.subject(notifications)}",
        "count": len(notifications),
        "notices": [_fields(notification) for notification in notifications[:NOTIFICATIONS_LIMIT]],
    }


def _fields(notification: Notification) -> dict[str, Any]:
    named = ("rule", "title", "summary", "period", "severity", "action", "episode", "store", "host")
    return {
        **{name: sanitize(getattr(notification, name)) for name in named},
        "labels": message_parts.values(notification.labels),
        "details": message_parts.values(notification.details),
        "began_at": message_parts.iso(notification.began_us),
        "at": message_parts.iso(notification.at_us),
    }
