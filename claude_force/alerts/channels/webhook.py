"""A webhook of your own: the notices as JSON, signed, under an id that stays the same in every attempt.

The signature is an HMAC-SHA256 over `timestamp.body`, so that neither can be changed, and an old message not sent again
for a new one. The body of a message is the same bytes in every attempt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from claude_force.alerts.channels import wording
from claude_force.alerts.notification import Notification
from claude_force.clock import SECOND_US, now_us
from claude_force.network.connection import PATIENCE, Patience
from claude_force.network.http import Request, exchange
from claude_force.network.outcome import Outcome
from claude_force.network.secret import Secret
from claude_force.text import sanitize

NOTICES_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Webhook:
    """A program of your own behind a URL; signed where there is a secret."""

    kind: ClassVar[str] = "webhook"
    groups: ClassVar[bool] = True

    name: str
    url: Secret
    secret: Secret | None = None
    ca_file: Path | None = None
    patience: Patience = PATIENCE
    clock: Callable[[], int] = now_us

    def send(self, notices: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Post them as one message."""
        body = encode(notices, key)
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
    """The key as a header can hold it: as it is, or a digest of one that is long or not plain."""
    from hashlib import sha256

    if 0 < len(key) <= 128 and key.isascii() and key.isprintable() and " " not in key:
        return key
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def encode(notices: Sequence[Notification], key: str) -> bytes:
    """The message as JSON: its id, its words, and every notice with its fields."""
    return json.dumps(message(notices, key), ensure_ascii=False, allow_nan=False).encode()


def message(notices: Sequence[Notification], key: str) -> dict[str, Any]:
    """What a program gets: the fields of the notices, with instants as ISO 8601 and texts as one line each."""
    return {
        "version": 1,
        "id": message_id(key),
        "text": f"{wording.ALERT} - {wording.subject(notices)}",
        "count": len(notices),
        "notices": [_fields(notification) for notification in notices[:NOTICES_LIMIT]],
    }


def _fields(notification: Notification) -> dict[str, Any]:
    named = ("rule", "title", "summary", "period", "severity", "action", "episode", "store", "host")
    return {
        **{name: sanitize(getattr(notification, name)) for name in named},
        "labels": wording.values(notification.labels),
        "details": wording.values(notification.details),
        "began_at": wording.iso(notification.began_us),
        "at": wording.iso(notification.at_us),
    }
