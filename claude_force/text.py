"""Text from outside, made harmless for the place it is shown in.

Names come from files that anyone may have written. They are stored as they are and made inert where they leave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TEXT_LIMIT = 1_000
"""A title, summary, name or value is no longer than this where it is sent to somebody."""

_CUT = "…"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def for_terminal(text: str) -> str:
    """One line of what can be seen: control characters, escape sequences, direction overrides and whatever else has no
    shape of its own are spelled out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def truncate_pieces(pieces: Iterable[str], limit: int) -> str:
    """The pieces in a row, as many as there is room for, whole; what is left out is marked by an ellipsis."""
    kept: list[str] = []
    length = 0
    room = 0
    for piece in pieces:
        length += len(piece)
        if length > limit:
            return "".join(kept[:room]) + _CUT
        kept.append(piece)
        if length <= limit - len(_CUT):
            room = len(kept)
    return "".join(kept)


def sanitize(text: str, limit: int = TEXT_LIMIT) -> str:
    """One line of what can be seen, of at most `limit` characters. No escape is cut in half."""
    return truncate_pieces(map(for_terminal, text), limit)


def for_json(text: str) -> str:
    """JSON text as it is, but that characters which a terminal would obey, or that cannot be seen, are escapes: the
    same JSON."""
    return re.sub(r"[^\n\x20-\x7e]", lambda found: found[0] if found[0].isprintable() else _json_escape(found[0]), text)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def for_csv(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: a leading apostrophe where one would (OWASP's list)."""
    return f"'{text}" if text.lstrip(" \u00a0").startswith(_FORMULA) else text


def for_markdown(text: str) -> str:
    """A cell of a Markdown table: nothing in it ends the cell or starts markup."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", for_terminal(text))


def for_workflow_command(text: str) -> str:
    """The message of a command of GitHub Actions (`::error title=PROPERTY::MESSAGE`): nothing in it ends the line."""
    return for_terminal(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def for_workflow_property(text: str) -> str:
    """A property of such a command: nothing in it ends the property either."""
    return for_workflow_command(text).replace(":", "%3A").replace(",", "%2C")


def for_html(text: str) -> str:
    """Text in a page, or the value of an attribute in quotes: nothing in it is markup."""
    # Here, since it takes a millisecond and most commands write no page.
    from html import escape

    return escape(for_terminal(text))


def kind_of(value: object) -> str:
    """What a value is called in JSON: null, true, false, a number, text, an array, an object."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names: dict[type, str] = {int: "a number", float: "a number", str: "text", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)
