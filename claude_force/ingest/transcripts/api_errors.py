"""The kind of an API error in a transcript: `rate_limit`, `authentication_failed`, `overloaded_error`, `http_500`.

Newer versions of Claude Code name it in the field `error`. Where they do not, the text of the message says it. The
texts are those of https://code.claude.com/docs/en/errors and of public issues; their kinds have the names that Claude
Code itself uses where it has one, so that the errors of old and new versions are in one group.
"""

from __future__ import annotations

import re

from claude_force.executions.record import UNKNOWN
from claude_force.ingest.transcripts.entries import Entry, Message, blocks_of, plain_text, text_of

API_ERROR = "api_error"
"""The kind of an error whose text is not known."""

_WORD = re.compile(r"[\w.:-]{1,100}")
_STATUS = re.compile(r"API Error:? \(?(\d{3})\b")
_KIND = re.compile(r'"type"\s*:\s*"(\w{1,60}_error)"')

_KIND_OF_STATUS = {"401": "authentication_failed", "429": "rate_limit", "529": "overloaded"}
"""Statuses that mean the same in every API error. Any other one is `http_` and its number."""

_PHRASES = (
    ("max_output_tokens", ("output token maximum", "exceeded the output token")),
    (
        "model_not_found",
        (
            "issue with the selected model",
            "not available with the claude",
            "not a recognized model",
            "model not found",
            "invalid model name",
        ),
    ),
    (
        "prompt_too_long",
        (
            "prompt is too long",
            "input is too long",
            "conversation too long",
            "conversation is too long",
            "context limit",
            "context window",
        ),
    ),
    (
        "request_too_large",
        (
            "request too large",
            "request_too_large",
            "request exceeds the maximum size",
            "image was too large",
            "image exceeds",
            "image dimensions exceed",
            "pdf too large",
            "many-image requests",
        ),
    ),
    (
        "content_filter",
        ("usage policy", "content filter", "safeguards flagged", "flagged for possible", "flagged this message"),
    ),
    (
        "billing_error",
        ("credit balance", "usage credits required", "extra usage is required", "insufficient credits", "payment"),
    ),
    ("oauth_org_not_allowed", ("has disabled claude subscription", "not have access to claude")),
    (
        "authentication_failed",
        (
            "/login",
            "logged in",
            "login expired",
            "api key",
            "apikeyhelper",
            "auth token",
            "bearer token",
            "oauth token",
            "oauth session",
            "failed to authenticate",
            "authentication credentials",
            "authentication method",
            "credentials expired",
            "security token",
            "organization has been disabled",
            "disabled organization",
        ),
    ),
    (
        "rate_limit",
        (
            "limit reached",
            "limit exceeded",
            "hit your",
            "reached your",
            "out of extra usage",
            "usage limit",
            "weekly limit",
            "session limit",
            "spend limit",
            "rate limit",
            "limiting requests",
            "too many requests",
            "request rejected (429)",
        ),
    ),
)
"""What the text of an error says about its kind, in lower case. The first kind with a phrase in the text counts."""

_LESS_CERTAIN = (
    ("aborted", ("request was aborted", "request aborted", "operation was aborted")),
    ("timeout", ("timed out", "etimedout", "timeout", "stalled")),
    (
        "connection_error",
        (
            "connection",
            "unable to connect",
            "connect through your proxy",
            "reach the api server",
            "internet",
            "fetch failed",
            "network error",
            "socket",
            "econn",
            "enotfound",
            "eai_again",
            "ehostunreach",
            "enetunreach",
            "epipe",
            "certificate",
            "went to sleep",
            "stopped arriving",
            "empty or malformed response",
        ),
    ),
    ("overloaded", ("overloaded", "at capacity", "high load", "high demand")),
    ("server_error", ("server error", "internal error", "temporarily unavailable")),
)
"""The same, where neither the body of the response nor its status says more."""

_SAYS_LITTLE = ("invalid_request_error", "api_error")
"""Types of errors that the API uses for anything: what the message says is more exact."""


def error_type_of(entry: Entry, message: Message) -> str:
    """The `error_type` of a failed response: the entry's own word if it has one, else what its message says. The
    message itself is not kept."""
    named = plain_text(entry.error)
    if named and named != UNKNOWN and _WORD.fullmatch(named):
        return named
    return _kind_of_text(text_of(blocks_of(message.content)))


def kind_of_failure(status: int | str | None, text: str) -> str:
    """The kind of a failed request by its HTTP status, if that is known, and what was said about it."""
    kind = _kind_of_text(text)
    is_status = re.fullmatch(r"[45]\d\d", str(status or ""))
    return _KIND_OF_STATUS.get(str(status)) or f"http_{status}" if is_status and kind == API_ERROR else kind


def _kind_of_text(text: str) -> str:
    lower, body = text.lower(), _KIND.search(text)
    if body and body.group(1) not in _SAYS_LITTLE:
        return body.group(1)
    if known := _kind_of_phrase(lower, _PHRASES):
        return known
    if body:
        return body.group(1)
    if status := _STATUS.search(text):
        return _KIND_OF_STATUS.get(status.group(1)) or f"http_{status.group(1)}"
    return _kind_of_phrase(lower, _LESS_CERTAIN) or API_ERROR


def _kind_of_phrase(text: str, phrases: tuple[tuple[str, tuple[str, ...]], ...]) -> str | None:
    return next((kind for kind, known in phrases if any(phrase in text for phrase in known)), None)
