"""Text from outside, made harmless for the place it is shown in.

Names come from files that anyone may have written. They are stored as they are and made inert where they leave.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def for_terminal(text: str) -> str:
    """Control characters, escape sequences and direction overrides as visible escapes; one line."""
    return _UNSAFE.sub(lambda match: ascii(match.group())[1:-1], text)


def for_csv(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: a leading apostrophe where one would (OWASP's list)."""
    return f"'{text}" if text.lstrip(" \u00a0").startswith(_FORMULA) else text


def for_markdown(text: str) -> str:
    """A cell of a Markdown table: nothing in it ends the cell or starts markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", for_terminal(text))
