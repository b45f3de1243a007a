"""Many transcripts are read by a second process, with the same result. It does not outlive the pass."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.errors import InputError
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.prefetch import from_second_process
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.run import known_cursors
from claude_force.ingest.transcripts import transcript_pass
from claude_force.ingest.transcripts.locate import find
from claude_force.ingest.transcripts.reading import TranscriptFiles
from claude_force.ingest.transcripts.transcript_pass import TranscriptPass
from tests.builders import NOON_US, a_line
from tests.transcripts import Ingester, Talk, jsonl, main_file, put, tool_block

DAMAGES = (
    lambda line: line,
    lambda line: line[: len(line) // 2],
    lambda line: line + line,
    lambda line: bytes(5) + line,
    lambda line: line.replace(b"}", b"", 1),
    lambda line: line.replace(b'output_tokens":', b'output_tokens":-'),
    lambda line: line.replace(b'Z"', b'"'),
    lambda line: line.replace(b"requestId", b"requestOf"),
    lambda line: b"[" + line + b"]",
    lambda _line: b"",
)
"""What may have become of a line."""


def a_talk(session: str) -> list[bytes]:
    """A conversation: prompts, tools, responses of several lines."""
    talk = Talk(session)
    for number in range(4):
        talk.prompt(f"Look at {number}")
        talk.respond(f"msg_{session}_{number}", blocks=[tool_block("a"), tool_block("b")])
        talk.result()
        talk.respond(f"msg_{session}_{number}b")
    return jsonl(talk.lines).splitlines()


@settings(max_examples=15, deadline=None)
@given(damages=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 99), st.sampled_from(DAMAGES)), max_size=8))
def test_both_processes_read_the_same(damages: Sequence[tuple[int, int, object]]) -> None:
    """The same observations, reports, cursors, rejected and skipped lines, in the same order, whatever the lines."""
    with TemporaryDirectory() as folder:
        for number in range(2):
            lines = a_talk(f"session{number}")
            for of_file, place, damage in damages:
                if of_file == number:
                    lines[place % len(lines)] = damage(lines[place % len(lines)])  # type: ignore[operator]
            put(main_file(Path(folder), f"session{number}"), b"\n".join(lines) + b"\n")
        put(Path(folder, "executions.jsonl"), a_line())
        found, options = found_in(Path(folder)), IngestOptions(None, UTC, "here", None, NOON_US)
        here = list(TranscriptFiles(options, {}).read(found))
        assert list(from_second_process(TranscriptFiles(options, {}).read(found), "transcripts")) == here
        assert multiprocessing.active_children() == []


def found_in(folder: Path) -> list[FoundFile]:
    """The transcripts in a folder, in the order in which they are read."""
    return find([folder], lambda _path, _problem: None)


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little is new, a second process is of use."""
    monkeypatch.setattr(transcript_pass, "SHORT_BYTES", 0)


@pytest.fixture
def always_two(any_size: None, no_other_threads: None) -> None:
    """Whatever is new is read by a second process."""


@pytest.fixture
def passes(tmp_path: Path) -> Iterator[Ingester]:
    """Passes over the transcripts of two sessions, into a database of their own."""
    for name in ("one", "two"):
        put(main_file(tmp_path / "projects", name), b"\n".join(a_talk(name)) + b"\n")
    with closing(open_database(str(tmp_path / "metrics.db"))) as database:
        yield Ingester(Store(database), tmp_path / "rejected.jsonl")


def a_pass(passes: Ingester) -> TranscriptPass:
    """The next pass."""
    options = IngestOptions(None, UTC, "here", RejectLog(passes.rejected_file), NOON_US)
    return TranscriptPass(passes.store, options, known_cursors(passes.store.database, "here", "claude-code"))


@pytest.mark.usefixtures("always_two")
def test_a_pass_that_stops_ends_the_second_process(passes: Ingester, tmp_path: Path) -> None:
    """What was taken in is stored, and the next pass takes in the rest, once."""
    found = found_in(tmp_path / "projects")
    first = a_pass(passes)
    first.should_stop = lambda: True
    assert (first.run(found).added, first.is_stopped, first.report.files) == (8, True, 1)
    assert multiprocessing.active_children() == []
    second = a_pass(passes).run(found)
    assert (second.added, second.unchanged, second.files) == (8, 1, 2)


@pytest.mark.usefixtures("always_two")
def test_a_killed_reader_of_transcripts_is_an_error(passes: Ingester, tmp_path: Path) -> None:
    """In one line, and the next pass stores everything once."""

    def killing(size: int) -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)

    found = found_in(tmp_path / "projects")
    broken = a_pass(passes)
    broken.progress = killing
    more = [put(main_file(tmp_path / "projects", f"more{n}"), b"\n".join(a_talk(f"more{n}") * 40)) for n in range(20)]
    # Far more than the pipe holds, so that the reader cannot be done when it is killed.
    with pytest.raises(InputError, match="ended unexpectedly"):
        broken.run([*found, *found_in(tmp_path / "projects")] * 400)
    assert a_pass(passes).run(found_in(tmp_path / "projects")).files == len(found) + len(more)
    assert len(passes.rows()) == 8 * (len(found) + len(more))


def test_a_process_with_threads_reads_alone(
    passes: Ingester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, any_size: None
) -> None:
    """A fork would copy locks that another thread holds."""
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    report: list[SourceReport] = []
    found = found_in(tmp_path / "projects")
    thread = threading.Thread(target=lambda: report.append(a_pass(passes).run(found)))
    thread.start()
    thread.join()
    assert report[0].added == 16
