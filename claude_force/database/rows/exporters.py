"""Rows of `exporters`."""

from __future__ import annotations

from typing import NamedTuple


class ExporterState(NamedTuple):
    """How far an exporter that sends each execution once has got.

    `destination` is the receiver's address without secrets. While `is_backfilling`, the executions that were stored
    before the first push are sent in order of time; `backfilled_us` and `backfilled_uid` are the position, None at the
    start. `pushed_us` is when a push last sent all that was due; `sent` counts the executions sent.
    """

    kind: str
    destination: str
    is_backfilling: int
    backfilled_us: int | None
    backfilled_uid: bytes | None
    began_us: int
    pushed_us: int | None
    sent: int


COLUMNS = "kind, destination, has_history, walked_us, walked_uid, began_us, pushed_us, sent"
"""The columns of the table, in the order of the fields."""

TEAM = "team"
"""The exporter that sends executions with their identities, and rows of other tables."""


def rows_kind(kind: str) -> str:
    """The kind under which `export_queue` has the digests of rows of other tables that an exporter has sent."""
    return f"{kind}:rows"
