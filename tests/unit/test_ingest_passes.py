"""One pass over files: what is handed to the store, in which portions, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

import pytest

from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import IngestResult
from claude_force.executions.columns import Rows
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.ledgers import Ledger
from claude_force.executions.record import ExecutionRow
from claude_force.executions.rollups import Sums
from claude_force.executions.run_parents import RunParent
from claude_force.executions.totals import Added
from claude_force.ingest.find_files import FoundFile, found_file
from claude_force.ingest.jsonl_pass import JsonlPass
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.rejects import Rejected, RejectLog
from claude_force.ingest.report import NAMED_PER_BATCH, PROBLEMS_LIMIT, SourceReport
from claude_force.ingest.transcripts import transcript_pass
from claude_force.ingest.transcripts.responses import NO_REQUEST, SYNTHETIC
from claude_force.ingest.transcripts.transcript_pass import TranscriptPass
from tests.builders import NOON_US, a_line
from tests.transcripts import Talk, Tokens, agent_file, main_file, notification, put


@dataclass
class Kept:
    """A target that keeps what it is given, and how far files were read: each call is a transaction."""

    observations: list[Observation] = field(default_factory=list)
    rows: list[ExecutionRow] = field(default_factory=list)
    reported: list[ReportedUsage] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    portions: list[int] = field(default_factory=list)

    def ingest(
        self,
        observations: Sequence[Observation],
        cursors: Iterable[Cursor],
        reports: Iterable[ReportedUsage] = (),
        ledgers: Sequence[Ledger] = (),
        _parents: Sequence[RunParent] = (),
    ) -> IngestResult:
        self.observations += observations
        self.portions.append(len(observations))
        self.cursors |= {cursor.path: cursor for cursor in cursors}
        self.reported += reports
        self.ledgers += ledgers
        return IngestResult(len(observations), 0)

    def add_rows(self, rows: Rows, sums: Sums | None = None, cursor: Cursor | None = None) -> Added:
        self.rows += rows
        assert cursor is not None
        self.cursors[cursor.path] = cursor
        return Added(len(rows), 0)

    def restore(self, _rows: Rows) -> int:
        return 0

    def reprice(self, _rows: Rows) -> int:
        return 0


@pytest.fixture
def kept() -> Kept:
    """Where everything goes."""
    return Kept()


@pytest.fixture
def rejects(tmp_path: Path) -> RejectLog:
    """The file of rejected lines."""
    return RejectLog(tmp_path / "rejected.jsonl")


def options(rejects: RejectLog | None = None) -> IngestOptions:
    """How every pass reads here: without prices, at noon."""
    return IngestOptions(None, UTC, "here", rejects, NOON_US)


def over_files(kept: Kept, files: Sequence[FoundFile], rejects: RejectLog | None = None) -> SourceReport:
    """One pass over transcripts that were found."""
    return TranscriptPass(kept, options(rejects), kept.cursors).run(files)


def over(kept: Kept, *paths: Path, rejects: RejectLog | None = None) -> SourceReport:
    """One pass over transcripts."""
    return over_files(kept, [found_file(path) for path in paths], rejects)


def following(kept: Kept, path: Path, rejects: RejectLog | None = None) -> SourceReport:
    """One pass over a file of executions."""
    return JsonlPass(kept, options(rejects), kept.cursors).run(path)


def a_talk(path: Path, *message_ids: str) -> Talk:
    """A transcript with these responses."""
    talk = Talk()
    for message_id in message_ids:
        talk.respond(message_id)
    put(path, talk.lines)
    return talk


def test_a_pass_counts_what_it_did(tmp_path: Path, kept: Kept) -> None:
    """Files, lines, executions, and what was left out by its reason; the cursor has the time of the pass."""
    talk = a_talk(main_file(tmp_path), "msg_1", "msg_2")
    talk.respond("msg_3", message={"model": SYNTHETIC})
    path = put(main_file(tmp_path), talk.lines)
    report = over(kept, path)
    assert (report.files, report.unchanged, report.lines, report.added, report.rejected) == (1, 0, 3, 2, 0)
    assert (report.skipped, report.problems) == ({NO_REQUEST: 1}, [])
    assert (kept.cursors[str(path)].last_read_us, kept.cursors[str(path)].responses) == (NOON_US, 2)


def test_what_was_read_is_not_opened_again(tmp_path: Path, kept: Kept) -> None:
    """And of what grew only the rest is read."""
    path = main_file(tmp_path)
    talk = a_talk(path, "msg_1")
    over(kept, path)
    report = over(kept, path)
    assert (report.files, report.unchanged, report.lines, report.added) == (1, 1, 0, 0)
    talk.respond("msg_2")
    put(path, talk.lines)
    report = over(kept, path)
    assert (report.unchanged, report.lines, report.added) == (0, 1, 1)


def test_what_is_rejected_is_written_down_and_named(tmp_path: Path, kept: Kept, rejects: RejectLog) -> None:
    """The first lines by their reason, the others by their number; all of them are in the file."""
    path = put(main_file(tmp_path), b"{bad\n" * (NAMED_PER_BATCH + 2) + Talk().data())
    report = over(kept, path, rejects=rejects)
    assert report.rejected == NAMED_PER_BATCH + 2
    said = [problem for _, problem in report.problems]
    assert [problem.split(":")[0] for problem in said[:-1]] == [f"line {number}" for number in (1, 2, 3)]
    assert said[-1] == "and 2 more lines from line 4 on"
    assert len((tmp_path / "rejected.jsonl").read_text().splitlines()) == NAMED_PER_BATCH + 2
    assert kept.cursors[str(path)].rejected == NAMED_PER_BATCH + 2


def test_reports_have_the_time_of_the_pass(tmp_path: Path, kept: Kept) -> None:
    """By which a later pass tells what was read first."""
    talk = Talk()
    talk.prompt(notification("a1", 500))
    over(kept, put(main_file(tmp_path), talk.lines))
    assert [(report.run_id, report.read_us) for report in kept.reported] == [("a1", NOON_US)]


@pytest.mark.parametrize("may_stop", [False, True])
def test_much_is_stored_in_portions(
    tmp_path: Path, kept: Kept, may_stop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole files together, until there is enough for a transaction; all of it in the end. A pass that may be stopped
    stores smaller portions."""
    monkeypatch.setattr(transcript_pass, "OBSERVATIONS_PER_TRANSACTION", 8)
    paths = []
    for number in range(3):
        talk = Talk(session=f"s{number}")
        for turn in range(4):
            talk.respond(f"msg_{number}_{turn}")
        paths.append(put(main_file(tmp_path, talk.session), talk.lines))
    one_pass = TranscriptPass(kept, options(), kept.cursors)
    if may_stop:
        one_pass.should_stop = lambda: False
    assert one_pass.run([found_file(path) for path in paths]).added == 12
    assert [portion for portion in kept.portions if portion] == ([4, 4, 4] if may_stop else [8, 4])


def test_a_file_that_cannot_be_read_stops_no_other(tmp_path: Path, kept: Kept) -> None:
    """It is said, and looked at again in the next pass; one that is gone leaves nothing behind."""
    gone, folder, good = (main_file(tmp_path, name) for name in ("gone", "folder", "good"))
    for path in (gone, folder, good):
        a_talk(path, "msg_1")
    files = [found_file(path) for path in (gone, folder, good)]
    gone.unlink()
    folder.unlink()
    folder.mkdir()
    report = over_files(kept, files)
    assert dict(report.problems) == {str(gone): "vanished before it was read", str(folder): "Is a directory"}
    assert report.added == 1
    assert kept.cursors.keys() == {str(folder), str(good)}
    assert kept.cursors[str(folder)].problem == "Is a directory"


def test_the_type_of_an_agent_is_looked_up(tmp_path: Path, kept: Kept) -> None:
    """Beside its file; what is wrong there is said with the pass."""
    agent = Talk(agent_id="a1")
    agent.prompt("Dig")
    agent.respond("msg_1", Tokens(), attributionAgent=...)
    path = put(agent_file(tmp_path, "a1"), agent.lines)
    path.with_name("agent-a1.meta.json").write_text("{")
    report = over(kept, path)
    assert report.added == 1
    assert [Path(name).name for name, _ in report.problems] == ["agent-a1.meta.json"]


def test_a_file_that_was_renamed_is_read_to_its_end(tmp_path: Path, kept: Kept) -> None:
    """Before the one that took its name."""
    path = main_file(tmp_path)
    talk = a_talk(path, "msg_1")
    over(kept, path)
    talk.respond("msg_2")
    put(path, talk.lines)
    path.rename(path.with_name("old.jsonl"))
    a_talk(path, "msg_3", "msg_4", "msg_5")
    assert over(kept, path).added == 4
    assert len(kept.observations) == 5


def test_progress_is_told_by_files(tmp_path: Path, kept: Kept) -> None:
    """The bytes of each that was read."""
    told: list[int] = []
    files = [found_file(put(main_file(tmp_path, name), Talk().lines or b"{}\n")) for name in ("a", "b")]
    TranscriptPass(kept, options(), {}, told.append).run(files)
    assert told == [3, 3]


# Files of executions


def test_a_file_of_executions_is_followed(tmp_path: Path, kept: Kept) -> None:
    """Read on where it was left, and not opened where nothing is new."""
    path = put(tmp_path / "executions.jsonl", a_line(uid="0192f0c1-2a3b-7c4d-8e5f-0123456789ab"))
    first = following(kept, path)
    assert (first.files, first.lines, first.added) == (1, 1, 1)
    assert following(kept, path).unchanged == 1
    with path.open("ab") as file:
        file.write(a_line(uid="0192f0c1-2a3b-7c4d-8e5f-0123456789ac"))
    assert (following(kept, path).lines, len(kept.rows)) == (1, 2)


def test_equal_lines_are_told_apart_by_reading_all(tmp_path: Path, kept: Kept) -> None:
    """A line without a uid may be equal to one before the place that was read to: so all are read again, and the
    second of two equal lines keeps its identity."""
    path = put(tmp_path / "executions.jsonl", a_line())
    following(kept, path)
    with path.open("ab") as file:
        file.write(a_line())
    following(kept, path)
    assert [row[0] for row in kept.rows[1:]] != [kept.rows[0][0]] * 2
    assert kept.rows[1][0] == kept.rows[0][0]


def test_what_is_rejected_of_executions_is_said(tmp_path: Path, kept: Kept, rejects: RejectLog) -> None:
    """With its line; the rest is added."""
    path = put(tmp_path / "executions.jsonl", a_line() + b"{bad\n" + a_line(agent_name="b"))
    report = following(kept, path, rejects)
    assert (report.added, report.rejected) == (2, 1)
    assert report.problems[0][1].startswith("line 2: ")
    assert len((tmp_path / "rejected.jsonl").read_text().splitlines()) == 1


def test_a_file_of_executions_that_is_not_there_is_said(tmp_path: Path, kept: Kept) -> None:
    """It is no failure of the pass."""
    report = following(kept, tmp_path / "executions.jsonl")
    assert [problem for _, problem in report.problems] == ["No such file or directory"]
    assert kept.cursors == {}


# What is said


def test_a_problem_is_said_once_and_of_very_many_the_number() -> None:
    """So that a report can be read."""
    report = SourceReport()
    for number in range(PROBLEMS_LIMIT + 7):
        for _ in range(1 if number >= PROBLEMS_LIMIT else 2):
            report.add_problem(Path(f"/p/{number}"), "gone")
    assert (len(report.problems), report.more_problems) == (PROBLEMS_LIMIT, 7 + 1)


def test_a_rejected_line_is_named_with_its_number() -> None:
    """With commas, as every number that is read by people."""
    report = SourceReport()
    report.reject("/p", [Rejected(1234, 0, "agent_name: is missing", b"")])
    assert (report.rejected, report.problems) == (1, [("/p", "line 1,234: agent_name: is missing")])
