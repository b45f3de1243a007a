"""From signals to the labels of runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.errors import InvalidRecord
from claude_force.executions.clean_names import clean_name
from claude_force.executions.run_labels import RunLabel, check_label
from claude_force.executions.signals import Call, Labelled, Signal


def run_labels(signals: Iterable[Signal]) -> Iterator[RunLabel]:
    """The labels that signals say. One that is not valid is left out, as if it was not said."""
    for signal in signals:
        if isinstance(signal, Labelled):
            row = RunLabel(signal.session, signal.run, signal.label, signal.since_us, signal.until_us)
        elif isinstance(signal, Call) and signal.label and signal.session_id:
            session, began_us = signal.session_id, signal.at_us - (signal.duration_us or 0)
            row = RunLabel(session, session, signal.label, began_us, signal.at_us)
        else:
            continue
        with suppress(InvalidRecord):
            yield from _storable(row)


def _storable(row: RunLabel) -> Iterator[RunLabel]:
    """A row that both databases can store; nothing if it has no session or an impossible time."""
    session, label = clean_name(row.session), check_label(row.label)
    since_us, until_us = max(row.since_us, EARLIEST_US), min(row.until_us, LATEST_US - 1)
    if session and since_us <= until_us:
        yield RunLabel(session, clean_name(row.run) or "", label, since_us, until_us)
