"""Text from elsewhere as the names of an execution."""

from __future__ import annotations

from functools import lru_cache

from claude_force.executions.record import NAME_LIMIT


@lru_cache(maxsize=4096)
def clean_name(text: str | None, limit: int = NAME_LIMIT) -> str | None:
    """Text as a record takes it: cut to the limit, without NUL and lone surrogates; None where nothing is left."""
    if not text:
        return None
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode() or None
