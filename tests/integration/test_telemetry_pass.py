"""What waits in the spool of signals is stored by a pass, once, and before the transcripts."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.queries.telemetry import outcomes
from claude_force.executions.record import TELEMETRY
from claude_force.executions.signals import Heard, ModelRequest, Outcome, Signal
from claude_force.ingest.plan import IngestInputs, IngestOptions
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.run import run_pass
from claude_force.ingest.telemetry.spool import TelemetrySpool, claimed, sealed_segments
from claude_force.ingest.telemetry.telemetry_pass import AT_ONCE, store_signals
from tests.builders import NOON_US
from tests.sighted import PRICES, request, rows_of, value_of

OUTCOME = Outcome(key="0" * 32, at_us=NOON_US, name="commit", value=1)
HEARD = Heard(service="claude-code", name="api_request", at_us=NOON_US, records=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a spool."""
    return tmp_path / "telemetry"


def options(tmp_path: Path, *, is_dry_run: bool = False) -> IngestOptions:
    """How a pass reads."""
    rejects = None if is_dry_run else RejectLog(tmp_path / "rejected.jsonl")
    return IngestOptions(PRICES, UTC, "here", rejects, NOON_US)


def spooled(folder: Path, *signals: Signal) -> None:
    """Signals that wait in a spool."""
    spool = TelemetrySpool(folder)
    spool.append(signals)
    spool.seal()


def passed(database: Database, folder: Path, **kind: Any) -> SourceReport:
    """What a pass does with a spool."""
    inputs = IngestInputs((), (), (), SourceReport(), telemetry=[folder])
    return run_pass(database, inputs, options(folder.parent, **kind)).get(TELEMETRY, SourceReport())


def requests(count: int) -> list[ModelRequest]:
    """Requests of one session."""
    return [request(request_id=f"req_{number}", at_us=NOON_US + number) for number in range(count)]


def test_what_waits_is_stored_once(database: Database, folder: Path) -> None:
    """Its segment is deleted then. The same records again, which clients send, add nothing."""
    spooled(folder, *requests(3), OUTCOME, HEARD)
    report = passed(database, folder)
    assert (report.files, report.lines, report.added, report.problems) == (1, 5, 3, [])
    assert list(folder.iterdir()) == []
    spooled(folder, *requests(4), OUTCOME)
    report = passed(database, folder)
    assert (report.added, report.known) == (1, 3)
    assert len(rows_of(database)) == 4
    with database.read() as connection:
        assert [row.value for row in outcomes(connection, Filter())] == [1]


def test_who_sent_a_request_is_its_user(database: Database, folder: Path, tmp_path: Path) -> None:
    """Where the request does not say it, the user of the machine that stores it."""
    signals = [request(request_id="req_1", user="ada"), request(request_id="req_2", at_us=NOON_US + 1)]
    store_signals(database, signals, options(tmp_path)._replace(user="grace"))
    assert sorted(value_of(row, "user_name") for row in rows_of(database)) == ["ada", "grace"]


def test_a_segment_that_was_stored_in_part_adds_the_rest(database: Database, folder: Path, tmp_path: Path) -> None:
    """As after a kill between two transactions, or before the segment was deleted."""
    store_signals(database, requests(2), options(tmp_path))
    spooled(folder, *requests(5))
    assert passed(database, folder).added == 3
    assert len(rows_of(database)) == 5


def test_a_segment_that_another_process_stores_is_left_to_it(database: Database, folder: Path) -> None:
    """It is stored by the next pass, if the other one is killed."""
    spooled(folder, *requests(1))
    with claimed(sealed_segments(folder)[0]) as segment:
        assert segment is not None
        assert passed(database, folder).added == 0
    assert passed(database, folder).added == 1


def test_damaged_lines_and_impossible_figures_are_named(database: Database, folder: Path, tmp_path: Path) -> None:
    """The rest is stored."""
    spooled(folder, request(input_tokens=-1), *requests(1))
    (segment,) = sealed_segments(folder)
    with segment.open("ab") as file:
        file.write(b'{"type": "request"}\n{"type"')
    report = passed(database, folder)
    assert (report.added, report.rejected) == (1, 1)
    assert [problem for _, problem in report.problems] == [
        "line 1: input_tokens: is negative", "1 damaged line was left out",
    ]  # fmt: skip
    assert b"input_tokens" in (tmp_path / "rejected.jsonl").read_bytes()


def test_a_rejected_signal_is_named_by_its_line(database: Database, folder: Path) -> None:
    """Also behind those of an earlier transaction."""
    spooled(folder, *([HEARD] * AT_ONCE), request(input_tokens=-1))
    assert passed(database, folder).problems[0][1].startswith(f"line {AT_ONCE + 1:,}: ")


def test_a_dry_run_leaves_everything(database: Database, folder: Path) -> None:
    """The signals and the database."""
    spooled(folder, *requests(1))
    assert passed(database, folder, is_dry_run=True) == SourceReport()
    assert len(sealed_segments(folder)) == 1
    assert rows_of(database) == []


def test_many_signals_are_stored_in_several_transactions(database: Database, folder: Path) -> None:
    """And their sums are those of the rows."""
    first, *rest = requests(200)
    spooled(folder, first, *([HEARD] * AT_ONCE), *rest)
    assert passed(database, folder).added == 200
    assert {value_of(row, "source") for row in rows_of(database)} == {TELEMETRY}
