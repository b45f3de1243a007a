"""Sanitizes text for the place that shows it: a terminal, JSON, CSV, Markdown, HTML, GitHub Actions.

Names come from files that anyone may have written. They are stored unchanged and sanitized on output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TEXT_LIMIT = 1_000
"""The longest title, summary, name or value in a message, in characters."""

_BLANK = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that nobody sees: the fillers of Hangul, the empty Braille pattern, the grapheme joiner."""

_CUT = "…"
_NO_BREAK = "\u00a0"
"""Not printable, so that no text for a terminal has it already."""

_COMMAND = re.compile(r"claude-force(?: [a-z]+(?:-[a-z]+)*){0,3}(?: --?[a-z-]+(?: [A-Z\d]\w*)?)*")
_NO_MARKUP = re.compile(r"[ !#-%(-;=?-~]*")
"""Visible ASCII but for & < > and quotes: most cells of a page, of which there are thousands."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def for_terminal(text: str) -> str:
    """One line of visible characters. Control characters, escape sequences, direction overrides and other invisible
    characters are replaced by their Python escapes."""
    if text.isprintable() and (text.isascii() or _BLANK.isdisjoint(text)):
        return text
    return "".join(char if char.isprintable() and char not in _BLANK else ascii(char)[1:-1] for char in text)


def join_commands(text: str, width: int) -> str:
    """The text for a terminal with no-break spaces within each command that fits in a line of `width` characters, so
    that it stays in one line. `part_commands` takes them out."""
    return _COMMAND.sub(lambda found: found[0].replace(" ", _NO_BREAK) if len(found[0]) < width else found[0], text)


def part_commands(text: str) -> str:
    """A line with spaces where `join_commands` made no-break spaces."""
    return text.replace(_NO_BREAK, " ")


def truncate_pieces(pieces: Iterable[str], limit: int) -> str:
    """Join as many whole pieces as fit in `limit` characters; an ellipsis marks what is left out."""
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
    """One line of visible characters, at most `limit` long. No escape is cut in half."""
    return truncate_pieces(map(for_terminal, text), limit)


def for_json(text: str) -> str:
    """The same JSON, with control characters and other invisible characters as JSON escapes."""
    return re.sub(r"[^\n\x20-\x7e]", lambda found: found[0] if found[0].isprintable() else _json_escape(found[0]), text)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))


def for_csv(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: it gets a leading apostrophe if it starts like one (OWASP's
    list)."""
    return f"'{text}" if text.lstrip(" \u00a0").startswith(_FORMULA) else text


def for_markdown(text: str) -> str:
    """A cell of a Markdown table: no character ends the cell or starts markup."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", for_terminal(text))


def for_workflow_command(text: str) -> str:
    """The message of a GitHub Actions command (`::error title=PROPERTY::MESSAGE`): no character ends the line."""
    return for_terminal(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def for_workflow_property(text: str) -> str:
    """A property of a GitHub Actions command: no character ends the property."""
    return for_workflow_command(text).replace(":", "%3A").replace(",", "%2C")


def for_html(text: str) -> str:
    """Text in a page, or the value of a quoted attribute: no character is markup."""
    if _NO_MARKUP.fullmatch(text):
        return text
    # Imported here because it takes a millisecond and most commands write no page.
    from html import escape

    return escape(for_terminal(text))


def kind_of(value: object) -> str:
    """The JSON name of a value: null, true, false, a number, text, an array, an object."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names: dict[type, str] = {int: "a number", float: "a number", str: "text", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)
