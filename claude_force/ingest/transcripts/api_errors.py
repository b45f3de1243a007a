"""The kind of an API error in a transcript: `rate_limit`, `overloaded_error`, `http_529`."""

from __future__ import annotations

import re

from claude_force.executions.record import UNKNOWN
from claude_force.ingest.transcripts.entries import Entry, Message, blocks_of, plain_text, text_of

_WORD = re.compile(r"[\w.:-]{1,100}")
_STATUS = re.compile(r"API Error: (\d{3})")
_KIND = re.compile(r'"type"\s*:\s*"(\w{1,60}_error)"')
_PHRASES = (("timed out", "timeout"), ("limit reached", "rate_limit"), ("hit your", "rate_limit"))


def error_type_of(entry: Entry, message: Message) -> str:
    """The `error_type` of a failed response: the entry's own word if it has one, else what its message says. The
    message itself is not kept."""
    named = plain_text(entry.error)
    if named and named != UNKNOWN and _WORD.fullmatch(named):
        return named
    text = text_of(blocks_of(message.content))
    if kind := _KIND.search(text):
        return kind.group(1)
    if status := _STATUS.search(text):
        return f"http_{status.group(1)}"
    return next((name for phrase, name in _PHRASES if phrase in text.lower()), "api_error")
