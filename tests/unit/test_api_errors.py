"""The kind of an API error, by the texts that Claude Code writes.

The texts are those of https://code.claude.com/docs/en/errors and of public issues.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from claude_force.ingest.transcripts.api_errors import error_type_of
from claude_force.ingest.transcripts.entries import decode_entry


def kind_of(text: str, **fields: Any) -> str:
    """The kind of an error with this text."""
    message = {"id": "msg_1", "content": [{"type": "text", "text": text}]}
    line = {"type": "assistant", "isApiErrorMessage": True, "message": message, **fields}
    entry = decode_entry(json.dumps(line).encode())
    assert entry.message is not None
    return error_type_of(entry, entry.message)


def body(status: int, kind: str, text: str) -> str:
    """An error of the API as older versions of Claude Code wrote it."""
    return f"API Error: {status} " + json.dumps({"type": "error", "error": {"type": kind, "message": text}})


TEXTS = {
    "rate_limit": (
        "Claude AI usage limit reached|1758598800",
        "Claude usage limit reached. Your limit will reset at 3pm (America/Santiago).",
        "5-hour limit reached ∙ resets 3pm",
        "Weekly limit reached ∙ resets Mon 12am",
        "Opus weekly limit reached ∙ resets Oct 9 at 10am",
        "Session limit reached ∙ resets 6pm",
        "Fable 5 limit reached · continuing on Fable 5 uses usage credits, and the prompt to confirm went unanswered",
        "You've hit your limit · resets 10pm (Europe/Berlin)",
        "You've hit your session limit · resets 3:45pm",
        "You’ve hit your weekly limit · resets Mon 12:00am",
        "You've hit your Opus limit · resets 3:45pm",
        "You've hit your org's monthly usage limit",
        "You've reached your usage limit",
        "You're out of extra usage · resets 9pm (America/Los_Angeles)",
        "spend limit reached (daily; resets 2026-08-09 00:00 UTC)",
        "API Error: Server is temporarily limiting requests (not your usage limit)",
        "API Error: Request rejected (429) · this may be a temporary capacity issue",
        "API Error: 429 Too Many Requests",
        "API Error: Rate limit reached",
    ),
    "authentication_failed": (
        "Invalid API key · Please run /login",
        "Invalid API key · Fix external API key",
        "Not logged in · Please run /login",
        "Login expired · Please run /login",
        "Please run /login · API Error: 401 Invalid authentication credentials",
        "OAuth token revoked · Please run /login",
        "OAuth token has expired. Please obtain a new token or refresh your existing token.",
        "OAuth token does not meet scope requirement: user:profile",
        "Failed to authenticate: OAuth session expired and could not be refreshed",
        "Failed to authenticate. API Error: 401 Invalid bearer token",
        "Invalid auth token · Fix external auth token",
        "Your apiKeyHelper script is failing · This usually means you need to re-authenticate with your provider",
        "Your ANTHROPIC_API_KEY belongs to a disabled organization · Update or unset the environment variable",
        "API Error: 400 This organization has been disabled.",
        "Could not resolve authentication method. Expected one of apiKey, authToken to be set.",
        "AWS credentials expired or invalid · API Error: 403",
        "API Error: 401 Unauthorized",
    ),
    "oauth_org_not_allowed": (
        "Your organization has disabled Claude subscription access for Claude Code · Use an Anthropic API key instead",
        "Your account does not have access to Claude Code. Please run /login.",
    ),
    "overloaded": (
        "API Error: Repeated 529 Overloaded errors. The API is at capacity — this is usually temporary.",
        "API Error: 529 Overloaded",
        "API Error (529 Overloaded)",
        "Opus is experiencing high load, please use /model to switch to Sonnet",
        "Overloaded",
    ),
    "overloaded_error": (body(529, "overloaded_error", "Overloaded"), body(500, "overloaded_error", "Overloaded")),
    "rate_limit_error": (body(429, "rate_limit_error", "This request would exceed your account's rate limit."),),
    "authentication_error": (body(401, "authentication_error", "OAuth token has expired."),),
    "not_found_error": (body(404, "not_found_error", "model: claude-x"),),
    "prompt_too_long": (
        "Prompt is too long",
        "Prompt is too long · automatic compaction failed: Request timed out",
        body(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
        body(
            400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 198000 + 20000 > 200000"
        ),
        "API Error: 400 Input is too long for requested model.",
        "Error during compaction: Conversation too long. Press esc twice to go up a few messages and try again.",
        "Context limit reached · /compact or /clear to continue",
    ),
    "request_too_large": (
        "Request too large (max 32MB). Double press esc to go back and try with a smaller file.",
        "Image was too large. Double press esc to go back and try again with a smaller image.",
        "API Error: 400 messages.3.content.0.image.source.base64.data: image dimensions exceed max allowed size",
        "PDF too large (max 100 pages, 20MB). Try reading the file a different way.",
    ),
    "max_output_tokens": ("API Error: Claude's response exceeded the 32000 output token maximum.",),
    "content_filter": (
        "API Error: Claude Code is unable to respond to this request, which appears to violate our Usage Policy",
        body(400, "invalid_request_error", "Output blocked by content filtering policy"),
        "This request has been flagged for possible cybersecurity risk",
    ),
    "billing_error": (
        "Credit balance is too low",
        body(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        "API Error: Usage credits required for 1M context · run /usage-credits to turn them on",
        "API Error: 429 Extra usage is required for long context requests.",
    ),
    "model_not_found": (
        "There's an issue with the selected model (claude-x). It may not exist or you may not have access to it.",
        "Claude Opus is not available with the Claude Pro plan. Run /logout and /login for the plan to take effect.",
        "Model \"claud-sonnet-5\" is not a recognized model id. Did you mean 'claude-sonnet-5'?",
    ),
    "timeout": ("Request timed out", "Request timed out.", "API Error: The response stalled before it was produced"),
    "connection_error": (
        "API Error: Connection error.",
        "Unable to connect to API. Check your internet connection",
        "API Error: Unable to connect to API (ConnectionRefused)",
        "Unable to connect to API: SSL certificate verification failed. Check your proxy",
        "Connection dropped (ECONNRESET)",
        "Can't reach the API server — check your internet or DNS (ENOTFOUND)",
        "Couldn't connect through your proxy (ERR_PROXY_TUNNEL)",
        "API Error: Connection closed mid-response. The response above may be incomplete.",
        "API Error: Your computer went to sleep mid-response. The response above may be incomplete.",
        "API Error: fetch failed",
        "API Error: The socket connection was closed unexpectedly.",
    ),
    "aborted": ("API Error: Request was aborted.",),
    "server_error": ("API Error: Server error mid-response. The response above may be incomplete.",),
    "http_500": ("API Error: 500 Internal server error. This is a server-side issue, usually temporary.",),
    "http_503": ("API Error: 503 upstream connect error, reset reason: connection timeout",),
    "http_400": ("API Error: 400 due to tool use concurrency issues. Run /rewind to recover the conversation.",),
    "http_403": ("API Error: 403 Forbidden", "API Error (403 Forbidden)"),
    "invalid_request_error": (body(400, "invalid_request_error", "messages.5: `tool_use` ids were found"),),
    "api_error": ("", "Something happened", "No response requested.", body(500, "api_error", "Internal server error")),
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in TEXTS.items() for text in texts])
def test_a_text_has_its_kind(kind: str, text: str) -> None:
    """Texts of all versions of Claude Code; an unknown one has a generic kind."""
    assert kind_of(text) == kind


def test_the_word_of_the_line_comes_first() -> None:
    """Claude Code's own word is more certain than its text; "unknown" and a sentence are no word."""
    assert kind_of("Prompt is too long", error="invalid_request") == "invalid_request"
    assert kind_of("Prompt is too long", error="unknown") == "prompt_too_long"
    assert kind_of("Prompt is too long", error="it went wrong") == "prompt_too_long"
    assert kind_of("Prompt is too long", error={"status": 400}) == "prompt_too_long"


def test_the_kind_is_one_word_without_the_message() -> None:
    """Whatever the text says, nothing of it is kept."""
    assert kind_of("You've hit your limit: " + "secret " * 5000) == "rate_limit"
    assert kind_of("secret " * 5000) == "api_error"
