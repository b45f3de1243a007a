"""Takes values out of the attributes of a record. What no execution can have is refused with the reason; a value that
is not there, or is an empty text, is None."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from claude_force.clock import EARLIEST_US, LATEST_US, SECOND_US
from claude_force.executions.record import (
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    NAME_LIMIT,
    NANOUSD,
    TOKENS_LIMIT,
)
from claude_force.receiver.records import Attributes

MILLISECOND_US = 1000
_FLAGS = {"true": True, "false": False}
_PROVIDERS = {
    "bedrock": "bedrock",
    "aws.bedrock": "bedrock",
    "aws_bedrock": "bedrock",
    "vertex": "vertex",
    "gcp.vertex_ai": "vertex",
    "gcp.vertex": "vertex",
    "vertex_ai": "vertex",
}
"""Who sells Claude beside Anthropic, in the words of an execution's `provider`, by the words of telemetry."""

_DIGITS_LIMIT = 30
_INTEGER = re.compile(r"-?[0-9]{1,30}")


class Unusable(Exception):
    """A record that is not used; the message says why, and has nothing of the record's values."""


def instant(time_ns: int) -> int:
    """An instant in microseconds. Raises Unusable for one outside the years 1970 to 2099, or none."""
    at_us = time_ns // 1000
    if not EARLIEST_US < at_us < LATEST_US:
        raise Unusable("its time is missing or impossible")
    return at_us


def text(attributes: Attributes, name: str, limit: int = NAME_LIMIT) -> str | None:
    """A text. Raises Unusable for one that a database does not take, and for another kind of value."""
    value = attributes.get(name)
    if type(value) is not str:
        if value is None:
            return None
        raise Unusable(f"{name} is no text")
    if not value:
        return None
    if len(value) > limit:
        raise Unusable(f"{name} is longer than {limit} characters")
    if not value.isascii() and not _is_unicode(value):
        raise Unusable(f"{name} has half a character")
    if "\0" in value:
        raise Unusable(f"{name} has a NUL character")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def required_text(attributes: Attributes, name: str) -> str:
    """A text that the record cannot do without. Raises Unusable."""
    found = text(attributes, name)
    if found is None:
        raise Unusable(f"it has no {name}")
    return found


def count(attributes: Attributes, name: str, limit: int = TOKENS_LIMIT) -> int | None:
    """A whole number, also one that was sent as text. Raises Unusable for a negative or too large one."""
    value = attributes.get(name)
    if type(value) is not int:
        if value is None or value == "":
            return None
        value = _whole(value, name)
    if not 0 <= value <= limit:
        raise Unusable(f"{name} is {'negative' if value < 0 else 'too large to be true'}")
    return value


def _whole(value: object, name: str) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise Unusable(f"{name} is no whole number")


def scaled(attributes: Attributes, name: str, factor: int, limit: int) -> int | None:
    """A number times `factor`, rounded half to even, also one that was sent as text. Raises Unusable."""
    value = attributes.get(name)
    if type(value) is not int:
        if value is None or value == "":
            return None
        value = _number(value, name)
    product = value * factor
    if not 0 <= product <= limit:
        raise Unusable(f"{name} is {'negative' if product < 0 else 'too large to be true'}")
    return round(product)


def _number(value: object, name: str) -> int | float:
    try:
        number = float(value) if isinstance(value, str) and len(value) <= _DIGITS_LIMIT else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
        raise Unusable(f"{name} is no number")
    return number


def milliseconds(attributes: Attributes, name: str) -> int | None:
    """A length of time in milliseconds, as microseconds. Raises Unusable."""
    return scaled(attributes, name, MILLISECOND_US, DURATION_LIMIT_US)


def seconds(attributes: Attributes, name: str) -> int | None:
    """A length of time in seconds, as microseconds. Raises Unusable."""
    return scaled(attributes, name, SECOND_US, DURATION_LIMIT_US)


def dollars(attributes: Attributes, name: str) -> int | None:
    """An amount in US dollars, as nano-dollars. Raises Unusable."""
    return scaled(attributes, name, NANOUSD, COST_LIMIT_NANOUSD)


def flag(attributes: Attributes, name: str) -> bool | None:
    """A truth value, also one that was sent as the text "true" or "false"."""
    value = attributes.get(name)
    return _FLAGS.get(value.lower()) if isinstance(value, str) else value if isinstance(value, bool) else None


def first(attributes: Attributes, names: Sequence[str]) -> str | None:
    """The first of the names that the record has, None if it has none of them."""
    return next((name for name in names if attributes.get(name) not in (None, "")), None)


def provider_of(said: str | None) -> str | None:
    """The `provider` of an execution: None for the Claude API, and for whoever has no prices of its own for Claude."""
    return _PROVIDERS.get(said or "")
