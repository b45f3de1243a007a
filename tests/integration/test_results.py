"""Output of `claude -p` in the store: counted once, and never beside the transcript of its session."""

from __future__ import annotations

import itertools
import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import Store
from claude_force.executions.record import CLAUDE_CODE, RESULT, from_row
from claude_force.ingest.plan import IngestInputs, IngestOptions
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.results.source import results_at
from claude_force.ingest.run import run_pass
from claude_force.ingest.transcripts import locate
from tests.results import HAIKU, SESSION, SONNET, a_response, a_result, an_init, jsonl, used
from tests.transcripts import Talk, Tokens

NOW_US = 1_790_000_000_000_000
TWO_MODELS = {SONNET: used(), HAIKU: used(5, 6, 0, 0.0001)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for outputs and transcripts."""
    return tmp_path


def ingest(database: Database, folder: Path, *, is_dry_run: bool = False) -> dict[str, SourceReport]:
    """One pass over a folder, as `claude-force ingest FOLDER` makes it."""
    report = SourceReport()
    results = results_at([folder])
    found = [file for file in locate.find([folder], report.add_problem) if file.path not in results]
    rejects = None if is_dry_run else RejectLog(folder / "rejected")
    options = IngestOptions(None, UTC, "here", rejects, NOW_US)
    return run_pass(database, IngestInputs((), (), found, report, results=results), options)


def stored(database: Database) -> list[tuple[str, str, int | None, int | None]]:
    """Source, model, output and cost of each execution; the sums agree with them."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        total = queries.totals(connection, Filter()).executions
    found = list(map(from_row, queries.iterate_rows(database, Filter())))
    assert total == len(found)
    return sorted((item.source, item.model, item.output_tokens, item.cost_nanousd) for item in found)


def put_transcript(folder: Path, session: str = SESSION) -> None:
    """The transcript of the session: two responses."""
    talk = Talk(session)
    talk.prompt()
    for number in (1, 2):
        talk.respond(f"msg_{number}", Tokens(10, 50, 500, 0, 0), model=SONNET)
        talk.lines[-1]["message"]["model"] = SONNET
    (folder / f"{session}.jsonl").write_bytes(talk.data())


def put_output(folder: Path, name: str = "run.json", **changes: Any) -> None:
    """The output of a run."""
    (folder / name).write_bytes(jsonl([an_init(), a_response(), a_result(modelUsage=TWO_MODELS, **changes)]))


RESULTS = [(RESULT, HAIKU, 6, 100_000), (RESULT, SONNET, 100, 1_120_000)]
TRANSCRIPT = [(CLAUDE_CODE, SONNET, 50, None)] * 2


def test_an_output_counts_once(database: Database, folder: Path) -> None:
    """However often it is read: unchanged, under another name, as an array, as the result alone."""
    put_output(folder)
    assert ingest(database, folder)[RESULT].added == 2
    assert ingest(database, folder)[RESULT].unchanged == 1
    (folder / "again.jsonl").write_bytes((folder / "run.json").read_bytes())
    (folder / "array.json").write_text(json.dumps([an_init(), a_result(modelUsage=TWO_MODELS)], indent=1))
    (folder / "alone.json").write_text(json.dumps(a_result(modelUsage=TWO_MODELS)))
    report = ingest(database, folder)[RESULT]
    assert (report.files, report.unchanged, report.added, report.changed) == (4, 1, 0, 0)
    assert stored(database) == RESULTS


def test_a_transcript_is_the_better_source(database: Database, folder: Path) -> None:
    """Whether it is read before the output of its session, after it, or in the same pass."""
    put_transcript(folder)
    assert ingest(database, folder)[CLAUDE_CODE].added == 2
    put_output(folder)
    report = ingest(database, folder)[RESULT]
    assert (report.added, report.known) == (0, 2)
    assert stored(database) == TRANSCRIPT


def test_a_transcript_that_comes_later_replaces_the_output(database: Database, folder: Path) -> None:
    """The executions of the output go, their sums too; reading the output again brings none back."""
    put_output(folder)
    ingest(database, folder)
    assert stored(database) == RESULTS
    put_transcript(folder)
    report = ingest(database, folder)[CLAUDE_CODE]
    assert (report.added, report.changed) == (2, 2)
    assert stored(database) == TRANSCRIPT
    put_output(folder, "copy.json", uuid="u9")
    ingest(database, folder)
    assert stored(database) == TRANSCRIPT


def test_in_one_pass_the_transcript_counts(database: Database, folder: Path) -> None:
    """Also in a dry run."""
    put_output(folder)
    put_transcript(folder)
    reports = ingest(database, folder, is_dry_run=True)
    assert (reports[CLAUDE_CODE].added, reports[RESULT].added) == (2, 0)
    ingest(database, folder)
    assert stored(database) == TRANSCRIPT


def test_another_session_has_nothing_to_do_with_it(database: Database, folder: Path) -> None:
    """A transcript replaces the output of its own session alone."""
    put_output(folder)
    put_transcript(folder, "16000001-0000-4000-8000-00000000000a")
    ingest(database, folder)
    assert stored(database) == sorted([*TRANSCRIPT, *RESULTS])


def test_a_transcript_that_was_read_before_sessions_had_keys_is_found(
    database: Database, store: Store, folder: Path
) -> None:
    """Of an older store, the executions themselves say that there is a transcript."""
    put_transcript(folder)
    ingest(database, folder)
    with database.write() as connection:
        connection.execute("DELETE FROM identities")
    put_output(folder)
    ingest(database, folder)
    assert stored(database) == TRANSCRIPT


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_later_result_contains_the_earlier_ones(database: Database, folder: Path, order: tuple[int, ...]) -> None:
    """A session that was resumed twice: in any order, the largest result counts."""
    for index in order:
        usage = {SONNET: used(10, 100 * (index + 1), 1000, 0.001 * (index + 1))}
        result = a_result(modelUsage=usage, total_cost_usd=0.001 * (index + 1), uuid=f"u{index}")
        (folder / f"{index}.json").write_text(json.dumps(result))
        ingest(database, folder)
    assert stored(database) == [(RESULT, SONNET, 300, 3_000_000)]


def test_an_output_that_grows_gets_its_result(database: Database, folder: Path) -> None:
    """First the lower bound of a run that goes on, then the usage and outcome of its result."""
    events = [an_init(), a_response(), a_result()]
    (folder / "run.jsonl").write_bytes(jsonl(events[:2]))
    report = ingest(database, folder)[RESULT]
    assert "lower bound" in next(iter(report.notes))
    (row,) = map(from_row, queries.iterate_rows(database, Filter()))
    assert (row.usage_basis, row.success, row.error_type) == ("provisional", False, "unfinished")
    (folder / "run.jsonl").write_bytes(jsonl(events))
    report = ingest(database, folder)[RESULT]
    assert (report.added, report.changed) == (0, 1)
    (row,) = map(from_row, queries.iterate_rows(database, Filter()))
    assert (row.usage_basis, row.success, row.error_type, row.output_tokens) == ("result", True, None, 100)
    assert stored(database) == [(RESULT, SONNET, 100, 1_220_000)]


def test_what_is_no_json_is_named(database: Database, folder: Path) -> None:
    """A document that was cut off is a problem; bad lines are rejected, with the reason in the file of rejects."""
    text = json.dumps([an_init(), a_result()], indent=1)
    (folder / "cut.json").write_text(text[:-40])
    (folder / "bad.jsonl").write_bytes(jsonl([an_init(), a_result(total_cost_usd=-1)]))
    report = ingest(database, folder)[RESULT]
    assert {Path(path).name for path, _ in report.problems} == {"cut.json", "bad.jsonl"}
    assert "line 2" in {Path(path).name: problem for path, problem in report.problems}["bad.jsonl"]
    assert (folder / "rejected").read_bytes().count(b"\n") == 1
