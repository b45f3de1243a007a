"""Text in the cells of a terminal: how wide it is, wrapped, shortened in the middle, and in one direction.

rich is imported only for text that is not ASCII: the HTML page usually needs none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from claude_force.text import for_terminal

ELLIPSIS = "…"
_SEPARATORS = "-_/.:,"
"""A word that is longer than a line breaks behind one of them, if one is near."""

LEFT_TO_RIGHT_MARK = "\u200e"
_RIGHT_TO_LEFT = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]"
RIGHT_TO_LEFT_RUN = re.compile(rf"{_RIGHT_TO_LEFT}(?:\W*{_RIGHT_TO_LEFT})*")
"""Hebrew or Arabic words in a row."""


def cell_width(text: str) -> int:
    """The terminal cells that text takes. A wide character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def keep_direction(text: str) -> str:
    """A line that does not change the order of what follows it: without a mark, a terminal that shows Hebrew or Arabic
    from right to left would show the numbers behind it in reverse order, too.

    Unicode Standard Annex #9, "Unicode Bidirectional Algorithm", rules W2 and N1."""
    if text.isascii():
        return text
    return RIGHT_TO_LEFT_RUN.sub(lambda found: f"{LEFT_TO_RIGHT_MARK}{found[0]}{LEFT_TO_RIGHT_MARK}", text)


def spelled(text: str) -> str:
    """Text whose spaces, backslashes and invisible characters are spelled out: no two texts are spelled alike."""
    return for_terminal(text.replace("\\", "\\\\")).replace(" ", r"\x20")


def visible(texts: Iterable[str]) -> dict[str, str]:
    """Each text as a terminal may show it. Two different texts never look alike: if their difference is invisible, all
    texts are spelled out, and so is a text of nothing but spaces."""
    shown = {text: spelled(text) if text.isspace() else for_terminal(text) for text in texts}
    if len({text.rstrip(" ") for text in shown.values()}) == len(shown):
        return shown
    return {text: spelled(text) for text in shown}


def wrap(text: str, width: int, hang: int = 0) -> list[str]:
    """The text in lines of at most `width` cells (12 at least), the later ones indented by `hang` cells.

    A line breaks at a space, and none is blank: in a table that would end a row. Only a word that is longer than a line
    is broken."""
    lines: list[str] = []
    line: str | None = None
    for word in text.rstrip(" ").split(" "):
        room = width - (hang if lines else 0)
        extended = word if line is None else f"{line} {word}"
        if cell_width(extended) <= room:
            line = extended
            continue
        if line and not line.isspace():
            lines.append(line)
        *whole, line = _pieces(word, width - hang)
        lines += whole
    lines.append(line or "")
    return [lines[0], *(" " * hang + line for line in lines[1:])]


def _pieces(word: str, width: int) -> list[str]:
    """A word in pieces of at most `width` cells."""
    pieces = []
    while cell_width(word) > width:
        end = max(len(_head(word, width)), 1)
        near = max(word.rfind(mark, end // 2, end) for mark in _SEPARATORS) + 1
        pieces.append(word[: near or end])
        word = word[near or end :]
    return [*pieces, word]


def _head(text: str, width: int) -> str:
    """As many characters as fit in `width` cells. A mark that combines stays with its letter."""
    if text.isascii():
        return text[:width]
    taken = 0
    for at, char in enumerate(text):
        taken += cell_width(char)
        if taken > width:
            return text[:at]
    return text


def wrap_all(texts: Iterable[str], width: int, hang: int = 0) -> dict[str, list[str]]:
    """Each text of a column in lines of at most `width` cells (see `wrap`). Two different texts never look alike."""
    shown = {text: wrap(text, width, hang) for text in texts}
    if len({tuple(line.rstrip(" ") for line in lines) for lines in shown.values()}) == len(shown):
        return shown
    return {text: wrap(spelled(text), width, hang) for text in shown}


def cut(text: str, width: int) -> str:
    """Text in at most `width` cells. It ends with an ellipsis if it was cut."""
    return text if cell_width(text) <= width else _head(text, width - 1).rstrip() + ELLIPSIS


def shorten(text: str, width: int, head: int | None = None) -> str:
    """Text in at most `width` cells. Its middle is an ellipsis if it was shortened; `head` cells are kept before it
    (None: half)."""
    if cell_width(text) <= width:
        return text
    start = _head(text, (width - 1) // 2 if head is None else head)
    return start + ELLIPSIS + _tail(text, width - 1 - cell_width(start))


def _tail(text: str, width: int) -> str:
    return text[len(text) - len(_head(text[::-1], width)) :]


def shorten_all(texts: Iterable[str], width: int) -> dict[str, str]:
    """Each text of a column in at most `width` cells. Two different texts never look alike: where start and end do not
    tell them apart, the ellipsis moves; else the place where they differ is shown; in the end they are numbered."""
    shown = {text: shorten(text, width) for text in texts}
    heads = sorted(range(width - 1), key=lambda head: abs(2 * head - width))
    forms = [partial(shorten, width=width, head=head) for head in heads]
    for shorten_one in forms:
        if not (alike := _alike(shown)):
            return shown
        shown |= _if_apart(shown, alike, shorten_one)
    alike = _alike(shown)
    shown |= _if_apart(shown, alike, partial(_shorten_around, at=_shared_length(alike), width=width))
    return shown | _numbered(_alike(shown), width)


def _shared_length(texts: Sequence[str]) -> int:
    """How many characters all texts begin with."""
    if not texts:
        return 0
    first, last = min(texts), max(texts)
    return next((at for at, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1), len(first))


def _shorten_around(text: str, at: int, width: int) -> str:
    """The start of a text, and what begins at the character `at`."""
    start = _head(text, width // 3) + ELLIPSIS
    return cut(start + text[at:], width)


def _alike(shown: Mapping[str, str]) -> list[str]:
    """The texts that look like another one."""
    uses = Counter(shown.values())
    return [text for text, short in shown.items() if uses[short] > 1]


def _if_apart(shown: Mapping[str, str], alike: Sequence[str], shorten_one: Callable[[str], str]) -> dict[str, str]:
    """Another short form for texts that look alike, where it is the only one of its kind."""
    tried = {text: shorten_one(text) for text in alike}
    uses = Counter([*tried.values(), *(short for text, short in shown.items() if text not in tried)])
    return {text: short for text, short in tried.items() if uses[short] == 1}


def _numbered(alike: Sequence[str], width: int) -> dict[str, str]:
    ends = {text: f"{ELLIPSIS}{number}" for number, text in enumerate(alike, 1)}
    return {text: _head(text, max(width - cell_width(end), 0)) + end for text, end in ends.items()}
