"""Texts for somebody else, without names and secrets.

What is known to be a name gets another one. Of the rest only what stands in the program itself is shown: a word that
this program does not know may be anybody's, so nothing has to be recognised as a secret to stay one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from claude_force.settings.claude_json import KEYS

HIDDEN = "<hidden>"

_AROUND = " \t()[]{}<>\"'`,;:.!?=…→-"
_LEAST = 3
"""A name of fewer characters says nothing, and would be found in every text."""

_WORD = re.compile(r"[A-Za-z]+")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(
    r"\d{1,6}|\d{1,3}(,\d{3})+|\d{1,3}(\.\d{1,6}){1,2}%?"  # counts, sizes, versions: an address has three dots
    r"|\d{4}-\d\d-\d\d|\d\d:\d\d(:\d\d([.,]\d{3})?)?|(\d{1,3}[wdhms]s?){1,3}"  # dates, times, lengths of time
)
_PUBLIC_MODEL = re.compile(r"claude(-\d{1,2}){0,2}-(opus|sonnet|haiku)(-\d{1,2}){0,2}(-\d{8}|-latest)?")
"""The models of Claude, of whatever version; another may be somebody's own."""


def is_public_model(name: str) -> bool:
    """Whether a model is one of Claude's."""
    return _PUBLIC_MODEL.fullmatch(name) is not None


class Disguise:
    """Other names for names: agent-1 for the first agent, and the same one wherever that agent is named."""

    def __init__(self, public: Iterable[str] = ()) -> None:
        """`public` are words that are shown too."""
        self._public = frozenset(public)
        self._given: dict[tuple[str, str], str] = {}
        self._numbers: dict[str, int] = {}
        self._pattern: re.Pattern[str] | None = None

    def name(self, kind: str, name: str) -> str:
        """The other name of something of a kind."""
        if (kind, name) not in self._given:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            self._given[kind, name] = f"{kind}-{self._numbers[kind]}"
            self._pattern = None
        return self._given[kind, name]

    def model(self, name: str) -> str:
        """A model: its name, if it is one of Claude's."""
        return name if is_public_model(name) else self.name("model", name)

    def learn(self, kind: str, names: Iterable[str]) -> None:
        """Give other names to these, so that a text is shown without them."""
        for name in names:
            self.name(kind, name)

    def text(self, text: str) -> str:
        """A text of which no more is left than words of this program, numbers and other names."""
        other = {name: given for (_, name), given in self._given.items() if len(name) >= _LEAST}
        if self._pattern is None:
            # A name that is part of a longer one comes after it.
            names = "|".join(re.escape(name) for name in sorted(other, key=len, reverse=True))
            self._pattern = re.compile(rf"(?<!\w)(?:{names})(?!\w)" if other else "(?!)")
        text = self._pattern.sub(lambda match: other[match[0]], text)
        shown = self._public.union(other.values())
        return re.sub(r"\S+", lambda match: _disguised(match[0], shown), text)

    def value(self, value: object) -> object:
        """A value of JSON, the names of fields and its texts without names, and no number that may be one."""
        match value:
            case dict():
                return dict(self._field(name, part) for name, part in value.items())
            case list():
                return [self.value(part) for part in value]
            case bool() | None:
                return value
            case int() | float():
                return value if abs(value) < 1e6 else HIDDEN
            case _:
                return self.text(str(value))

    def _field(self, name: str, part: object) -> tuple[str, object]:
        shown = self.text(name)
        return (self.name("field", name) if HIDDEN in shown else shown), self.value(part)


def definition(sql: str) -> str:
    """A statement of SQL with the identifiers that are this program's."""
    known = _words() | _tokens()
    return _IDENTIFIER.sub(lambda match: match[0] if match[0].lower() in known else HIDDEN, sql)


def _disguised(token: str, shown: frozenset[str]) -> str:
    core = token.strip(_AROUND)
    if not core or core in shown or _is_public(core):
        return token
    return token.replace(core, HIDDEN)


def _is_public(core: str) -> bool:
    core = core.removesuffix("'s")
    if _NUMBER.fullmatch(core) or is_public_model(core) or core.lower() in _tokens() or core in KEYS:
        return True
    return _WORD.fullmatch(core) is not None and core.lower() in _words()


@cache
def _words() -> frozenset[str]:
    return frozenset(word.lower() for text in _program() for word in _WORD.findall(text))


@cache
def _tokens() -> frozenset[str]:
    """Whatever stands between two spaces in the program: names of fields, of settings and of commands."""
    found = (token.strip(_AROUND).lower() for text in _program() for token in re.split(r"[\s\"'`|()]+", text))
    return frozenset(found)


def _program() -> Iterator[str]:
    folder = Path(__file__).parent.parent
    for suffix in ("*.py", "*.sql"):
        for file in folder.rglob(suffix):
            yield file.read_text(encoding="utf-8")
