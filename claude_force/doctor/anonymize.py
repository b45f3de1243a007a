"""Removes names and secrets from texts, so that they can be shared.

A known name gets an alias (agent-1). Of the rest, only words that appear in the source of this program are shown: any
other word may be private. So a secret does not have to be recognised to be hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from claude_force.settings.claude_json import KEYS

HIDDEN = "<hidden>"

_PUNCTUATION = " \t()[]{}<>\"'`,;:.!?=…→-"
_SHORTEST_NAME = 3
"""Shorter names reveal nothing, and would match in every text."""

_LARGEST_NUMBER = 1e6
"""A larger number may identify something."""

_WORD = re.compile(r"[A-Za-z]+")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(
    r"\d{1,6}|\d{1,3}(,\d{3})+|\d{1,3}(\.\d{1,6}){1,2}%?"  # counts, sizes, versions: an IP address has three dots
    r"|\d{4}-\d\d-\d\d|\d\d:\d\d(:\d\d([.,]\d{3})?)?|(\d{1,3}[wdhms]s?){1,3}"  # dates, times, durations
)
_PUBLIC_MODEL = re.compile(r"claude(-\d{1,2}){0,2}-(opus|sonnet|haiku)(-\d{1,2}){0,2}(-\d{8}|-latest)?")


def is_public_model(name: str) -> bool:
    """Whether a model is one of Anthropic's. Any other name may be private."""
    return _PUBLIC_MODEL.fullmatch(name) is not None


class Anonymizer:
    """Replaces names by aliases. A name has the same alias everywhere; the mapping is not stored."""

    def __init__(self, public_words: Iterable[str] = ()) -> None:
        """`public_words` are shown, in addition to the words of the program."""
        self._public_words = frozenset(public_words)
        self._aliases: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._pattern: re.Pattern[str] | None = None

    def alias(self, kind: str, name: str) -> str:
        """The alias of a name: "agent-1" for the first agent."""
        if (kind, name) not in self._aliases:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._aliases[kind, name] = f"{kind}-{self._counts[kind]}"
            self._pattern = None
        return self._aliases[kind, name]

    def model(self, name: str) -> str:
        """The name of a public model, the alias of any other."""
        return name if is_public_model(name) else self.alias("model", name)

    def add_names(self, kind: str, names: Iterable[str]) -> None:
        """Give aliases to these names, so that `text` replaces them."""
        for name in names:
            self.alias(kind, name)

    def text(self, text: str) -> str:
        """The text with aliases for names, and <hidden> for every other word that is not this program's."""
        aliases = {name: alias for (_, name), alias in self._aliases.items() if len(name) >= _SHORTEST_NAME}
        if self._pattern is None:
            # The longest name first: a shorter one may be part of it.
            names = "|".join(re.escape(name) for name in sorted(aliases, key=len, reverse=True))
            self._pattern = re.compile(rf"(?<!\w)(?:{names})(?!\w)" if aliases else "(?!)")
        text = self._pattern.sub(lambda match: aliases[match[0]], text)
        shown = self._public_words.union(aliases.values())
        return re.sub(r"\S+", lambda match: _hide(match[0], shown), text)

    def value(self, value: object) -> object:
        """A JSON value with anonymized texts and field names. Large numbers are hidden."""
        match value:
            case dict():
                return dict(self._field(name, part) for name, part in value.items())
            case list():
                return [self.value(part) for part in value]
            case bool() | None:
                return value
            case int() | float():
                return value if abs(value) < _LARGEST_NUMBER else HIDDEN
            case _:
                return self.text(str(value))

    def _field(self, name: str, part: object) -> tuple[str, object]:
        shown = self.text(name)
        return (self.alias("field", name) if HIDDEN in shown else shown), self.value(part)


def anonymize_sql(sql: str) -> str:
    """A SQL statement in which foreign identifiers are hidden."""
    known = _program_words() | _program_tokens()
    return _IDENTIFIER.sub(lambda match: match[0] if match[0].lower() in known else HIDDEN, sql)


def _hide(token: str, shown: frozenset[str]) -> str:
    core = token.strip(_PUNCTUATION)
    if not core or core in shown or _is_public(core):
        return token
    return token.replace(core, HIDDEN)


def _is_public(core: str) -> bool:
    core = core.removesuffix("'s")
    if _NUMBER.fullmatch(core) or is_public_model(core) or core.lower() in _program_tokens() or core in KEYS:
        return True
    return _WORD.fullmatch(core) is not None and core.lower() in _program_words()


@cache
def _program_words() -> frozenset[str]:
    return frozenset(word.lower() for text in _program_texts() for word in _WORD.findall(text))


@cache
def _program_tokens() -> frozenset[str]:
    """Everything between two spaces in the source: names of fields, settings and commands."""
    found = (token.strip(_PUNCTUATION) for text in _program_texts() for token in re.split(r"[\s\"'`|()]+", text))
    return frozenset(token.lower() for token in found)


def _program_texts() -> Iterator[str]:
    folder = Path(__file__).parent.parent
    for suffix in ("*.py", "*.sql"):
        for file in folder.rglob(suffix):
            yield file.read_text(encoding="utf-8")
