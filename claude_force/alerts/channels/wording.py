"""The words of a notice that all channels share, and their length.

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
"""How many labels and details of one notice are told."""


def title(notification: Notification) -> str:
    """The title, with a word before it when it does not begin: "Ongoing: ", "Resolved: "."""
    before = {"trigger": "", "repeat": "Ongoing: ", "resolve": "Resolved: "}[notification.action]
    return sanitize(before + notification.title)


def summary(notification: Notification) -> str:
    """The sentence with the figure; one that is over says so."""
    return sanitize(f"Resolved. {notification.summary}" if notification.action == "resolve" else notification.summary)


def heading(notices: Sequence[Notification]) -> str:
    """What the message is: an alert, or that all in it is over."""
    return f"✅ {ALERT} Resolved" if are_over(notices) else f"🚨 {ALERT}"


def are_over(notices: Sequence[Notification]) -> bool:
    """Whether every one of them is resolved."""
    return all(notification.action == "resolve" for notification in notices)


def subject(notices: Sequence[Notification]) -> str:
    """All notices in a few words: the title of the only one, or how many there are."""
    if len(notices) == 1:
        return title(notices[0])
    over = sum(notification.action == "resolve" for notification in notices)
    if over == len(notices):
        return f"{over:,} resolved"
    return quantity(len(notices) - over, "issue") + (f", {over:,} resolved" if over else "")


def facts(notification: Notification) -> list[tuple[str, str]]:
    """Of what, and the further figures, by name; what is not known is a dash."""
    pairs = [*notification.labels.items(), *notification.details.items()]
    told = [(sanitize(name), _value(value)) for name, value in islice(pairs, FACTS_LIMIT)]
    return [*told, ("", f"and {len(pairs) - FACTS_LIMIT:,} more")] if len(pairs) > FACTS_LIMIT else told


def fact_lines(notification: Notification) -> list[str]:
    """The facts as lines of text."""
    return [f"{name}: {value}" if name else value for name, value in facts(notification)]


def values(pairs: Mapping[str, str | int | float | None]) -> dict[str, str | int | float | None]:
    """Labels or details as JSON has them: numbers stay numbers, and what is no number (NaN) is not known."""
    return {sanitize(name): _json_value(value) for name, value in islice(pairs.items(), FACTS_LIMIT)}


def moment(instant_us: int) -> str:
    """An instant as every reader of a message understands it, wherever they are."""
    return f"{_datetime(instant_us):%Y-%m-%d %H:%M} UTC"


def iso(instant_us: int) -> str:
    """An instant as programs read it."""
    return _datetime(instant_us).isoformat().replace("+00:00", "Z")


def origin(notification: Notification) -> str:
    """Which database, and which machine noticed."""
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
