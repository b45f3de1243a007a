"""Rows of `exporters`."""

from __future__ import annotations

from typing import NamedTuple


class ExporterState(NamedTuple):
    """How far a target has got that gets each execution once.

    `destination` is where it is, as it may be shown. While `has_history`, the executions that there were when it began
    are walked through in the order of time; `walked_us` and `walked_uid` are those of the last one that was sent (None
    before the first). `pushed_us` is when a push last did all that was due; `sent` counts what was sent.
    """

    kind: str
    destination: str
    has_history: int
    walked_us: int | None
    walked_uid: bytes | None
    began_us: int
    pushed_us: int | None
    sent: int
