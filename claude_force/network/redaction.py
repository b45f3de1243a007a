"""Secrets: values that are used but never shown, and their removal from texts.

A `Secret` prints as ***. `redact` is for texts of others: an answer that quotes the request, an error with the address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NoReturn
from urllib.parse import quote, urlsplit

HIDDEN = "***"

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^\s/?#@\"'<>]*@)?([^\s/?#\"'<>]*)([/?#][^\s\"'<>]*)?")
_PUBLIC_HOSTS = ("http", "https", "smtp")
"""Schemes whose host is public. In a URL of apprise (slack://token/...) the host may be a token."""

_PART_LENGTH = 8
"""Parts of a URL from this length on are treated as tokens, and hidden by themselves."""


class Secret:
    """A value that prints as ***. Call `reveal` only where the value is used."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def spellings(self) -> set[str]:
        """The forms in which a text may contain it: as it is, percent-encoded, and the parts of a URL."""
        forms = {self._value, *(_parts(self._value) if "://" in self._value else ())}
        return {spelled for form in forms if form for spelled in (form, quote(form, safe=""))}


def _parts(url: str) -> Iterator[str]:
    """The parts of a URL that are secrets: path and query, and the words in them and in the login that may be
    tokens."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    yield from (form for form in (target, parts.path) if form != "/")
    words = [*re.split("[/?&=;]", target), *re.split("[:@]", parts.netloc.rpartition("@")[0])]
    if parts.scheme not in _PUBLIC_HOSTS:
        words.append(parts.netloc.rpartition("@")[2])
    yield from (word for word in words if len(word) >= _PART_LENGTH)


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """A text without the secrets, and without the login, path, query and fragment of URLs in it."""
    for spelled in sorted({form for secret in secrets for form in secret.spellings()}, key=len, reverse=True):
        text = text.replace(spelled, HIDDEN)
    return redact_urls(text)


def redact_urls(text: str) -> str:
    """A text whose URLs are reduced to scheme and host, or to the scheme if the host may be a token."""
    return _URL.sub(_shown_url, text)


def _shown_url(found: re.Match[str]) -> str:
    scheme, host, target = found.groups()
    if scheme.lower().removesuffix("://") not in _PUBLIC_HOSTS:
        return f"{scheme}{HIDDEN}"
    return scheme + host + (f"/{HIDDEN}" if (target or "/") != "/" else "")
