"""What every span has, whichever program made it: an identity and a length."""

from __future__ import annotations

from claude_force.executions.record import DURATION_LIMIT_US, NAME_LIMIT
from claude_force.receiver.records import Span
from claude_force.receiver.values import Unusable


def span_id(span: Span) -> str | None:
    """What identifies a span wherever it is seen: its trace and its own id; None if it has none."""
    if not span.span_id:
        return None
    ids = f"{span.trace_id}{span.span_id}"
    if len(ids) > NAME_LIMIT or not ids.isascii() or not ids.isalnum():
        raise Unusable("its ids are impossible")
    return ids


def duration(span: Span) -> int | None:
    """How long a span took, in microseconds; None if it does not say. Raises Unusable for an impossible length."""
    if span.start_ns <= 0:
        return None
    length_us = (span.end_ns - span.start_ns) // 1000
    if not 0 <= length_us <= DURATION_LIMIT_US:
        raise Unusable("its length is impossible")
    return length_us
