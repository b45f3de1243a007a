"""Labels of runs: what a user calls a run, to compare it with others. For example `new-prompt`.

An execution has no label of its own. A label is kept with the sessions of its run, and with the time of the run in
them, since a session may be resumed by a run with another label:

| session | run | label | from | to |
|---|---|---|---|---|
| s1 | r1 | old-prompt | 10:00 | 10:05 |
| s1 | r2 | new-prompt | 11:00 | 11:04 |

An execution of s1 at 11:02 is one of new-prompt. Of runs at the same time in one session, the one that began last
counts, so an execution has one label at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.errors import InvalidRecord
from claude_force.executions.record import NAME_LIMIT


class RunLabel(NamedTuple):
    """The label of a run in one of its sessions, from and to an instant (both included). `run` is "" if the run has no
    id: then it lasts from the first to the last request with the label."""

    session: str
    run: str
    label: str
    since_us: int
    until_us: int


def check_label(label: object) -> str:
    """The label, if it is valid. Raises InvalidRecord: it is a text of 1 to NAME_LIMIT printable characters, and no
    option."""
    if not isinstance(label, str):
        raise InvalidRecord("label", "expected text")
    if not label.strip() or label.startswith("-") or not label.isprintable() or len(label) > NAME_LIMIT:
        raise InvalidRecord(
            "label", f"use 1 to {NAME_LIMIT} printable characters, the first of them not a dash, such as new-prompt"
        )
    return label


def of_whole_session(session: str, label: str) -> RunLabel:
    """The label of a session that one program has for itself, so that its time does not matter."""
    return RunLabel(session, session, label, EARLIEST_US, LATEST_US - 1)


def merged(labels: Iterable[RunLabel]) -> list[RunLabel]:
    """One row for each session, run and label, from the first to the last instant, in the order of the keys."""
    found: dict[tuple[str, str, str], RunLabel] = {}
    for row in labels:
        known = found.get(row[:3], row)
        since_us, until_us = min(known.since_us, row.since_us), max(known.until_us, row.until_us)
        found[row[:3]] = row._replace(since_us=since_us, until_us=until_us)
    return [found[key] for key in sorted(found)]
