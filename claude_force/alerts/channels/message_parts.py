"""The texts of a notification that all channels share, and their length.

Every text of a notification passes `sanitize` first: one line of visible characters, without control characters, line
breaks, direction overrides or lone surrogates. What else a channel interprets, that channel escapes itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from math import isfinite

from claude_force.alerts.notification import Notification
from claude_force.formatting import NONE, quantity
from claude_force.text import sanitize

ALERT = "Claude Force Performance Alert"

FACTS_LIMIT = 50
"""How many labels and details of one notification are shown."""


def title(notification: Notification) -> str:
    """The title; that of a repeat begins with "Ongoing: ", that of a resolve with "Resolved: "."""
    before = {"trigger": "", "repeat": "Ongoing: ", "resolve": "Resolved: "}[notification.action]
    return sanitize(before + notification.title)


def summary(notification: Notification) -> str:
    """The sentence with the value; that of a resolve begins with "Resolved. "."""
    return sanitize(f"Resolved. {notification.summary}" if notification.action == "resolve" else notification.summary)


def heading(notifications: Sequence[Notification]) -> str:
    """The heading of a message: an alert, or resolved if all its notifications are."""
    return f"✅ {ALERT} Resolved" if are_resolved(notifications) else f"🚨 {ALERT}"


def are_resolved(notifications: Sequence[Notification]) -> bool:
    """Whether all of them are resolves."""
    return all(notification.action == "resolve" for notification in notifications)


def subject(notifications: Sequence[Notification]) -> str:
    """The notifications in a few words: the title of the only one, or their number."""
    if len(notifications) == 1:
        return title(notifications[0])
    resolved = sum(notification.action == "resolve" for notification in notifications)
    if resolved == len(notifications):
        return f"{resolved:,} resolved"
    return quantity(len(notifications) - resolved, "issue") + (f", {resolved:,} resolved" if resolved else "")


def facts(notification: Notification) -> list[tuple[str, str]]:
    """The labels and details by name; an unknown value is a dash."""
    pairs = [*notification.labels.items(), *notification.details.items()]
    shown = [(sanitize(name), _value(value)) for name, value in islice(pairs, FACTS_LIMIT)]
    return [*shown, ("", f"and {len(pairs) - FACTS_LIMIT:,} more")] if len(pairs) > FACTS_LIMIT else shown


def fact_lines(notification: Notification) -> list[str]:
    """The facts as lines of text."""
    return [f"{name}: {value}" if name else value for name, value in facts(notification)]


def values(pairs: Mapping[str, str | int | float | None]) -> dict[str, str | int | float | None]:
    """Labels or details for JSON: numbers stay numbers; NaN and infinity become null."""
    return {sanitize(name): _json_value(value) for name, value in islice(pairs.items(), FACTS_LIMIT)}


def moment(instant_us: int) -> str:
    """An instant in UTC, because readers may be anywhere."""
    return f"{_datetime(instant_us):%Y-%m-%d %H:%M} UTC"


def iso(instant_us: int) -> str:
    """An instant as ISO 8601."""
    return _datetime(instant_us).isoformat().replace("+00:00", "Z")


def origin(notification: Notification) -> str:
    """The database, and the machine that evaluated."""
    return f"{sanitize(notification.store)} on {sanitize(notification.host)}"


def _json_value(value: str | float | None) -> str | int | float | None:
    if isinstance(value, str):
        return sanitize(value)
    return value if value is not None and isfinite(value) else None


def _value(value: str | float | None) -> str:
    found = _json_value(value)
    if found is None:
        return NONE
    return found if isinstance(found, str) else f"{found:,}"


def _datetime(instant_us: int) -> datetime:
    return datetime.fromtimestamp(instant_us / 1e6, UTC)
