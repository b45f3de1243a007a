"""Slack: one message to an incoming webhook, with an attachment for each alert.

Names cannot become mentions, links or formatting: & < > are escaped (docs.slack.dev, "Formatting message text"),
formatting is off, and anything that Slack would turn into a link is broken by a zero-width space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

from claude_force.alerts.channels import message_parts
from claude_force.alerts.notification import Notification
from claude_force.network.connection import PATIENCE, Patience
from claude_force.network.http import Request, exchange
from claude_force.network.outcome import Outcome
from claude_force.network.redaction import Secret
from claude_force.text import sanitize, truncate_pieces

ATTACHMENTS_LIMIT = 20
TEXT_LIMIT = 3_000
TITLE_LIMIT = 300

_COLOURS = {"critical": "danger", "error": "danger", "warning": "warning", "info": "good"}
_LINK = re.compile(r"://|www\.|@", re.IGNORECASE)
_INTERRUPTED = "\u200b"


@dataclass(frozen=True, slots=True)
class Slack:
    """A Slack channel, by its incoming webhook."""

    kind: ClassVar[str] = "slack"
    groups: ClassVar[bool] = True

    name: str
    webhook_url: Secret
    patience: Patience = PATIENCE

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Post them as one message. Slack has no key for messages: a message sent twice appears twice."""
        body = json.dumps(message(notifications)).encode()
        request = Request("POST", self.webhook_url, body, {"Content-Type": "application/json"})
        return exchange(request, self.patience).outcome


def message(notifications: Sequence[Notification]) -> dict[str, Any]:
    """The message: a heading, and an attachment for each of the first 20 notifications."""
    more = len(notifications) - ATTACHMENTS_LIMIT
    return {
        "text": message_parts.heading(notifications) + (f"\nand {more:,} more" if more > 0 else ""),
        "attachments": [_attachment(notification) for notification in notifications[:ATTACHMENTS_LIMIT]],
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _attachment(notification: Notification) -> dict[str, Any]:
    return {
        "color": "good" if notification.action == "resolve" else _COLOURS[notification.severity],
        "title": for_slack(message_parts.title(notification), TITLE_LIMIT),
        "text": for_slack(
            "\n".join([message_parts.summary(notification), *message_parts.fact_lines(notification)]), TEXT_LIMIT
        ),
        "footer": for_slack(sanitize(notification.period), TITLE_LIMIT),
        "fallback": for_slack(
            f"{message_parts.title(notification)}: {message_parts.summary(notification)}", TEXT_LIMIT
        ),
        "ts": notification.at_us // 1_000_000,
        "mrkdwn_in": [],
    }


def for_slack(text: str, limit: int) -> str:
    """Text that Slack shows literally, of at most `limit` characters with escapes counted; no escape is cut."""
    inert = _LINK.sub(lambda found: found[0][0] + _INTERRUPTED + found[0][1:], text)
    return truncate_pieces((escape(char, quote=False) for char in inert), limit)
