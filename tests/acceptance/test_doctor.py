"""Messages and exit codes of `claude-force doctor` and `claude-force ingest`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.builders import a_line
from tests.conftest import EXAMPLES, Run

SAMPLE = EXAMPLES / "claude-code" / "projects"


@pytest.fixture
def projects(home: Path) -> Path:
    """The sample transcripts in the folder where Claude Code writes them."""
    folder = home / ".claude" / "projects"
    shutil.copytree(SAMPLE, folder)
    return folder


def on_one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a command without line breaks."""
    return " ".join(done.stdout.split())


def transcripts_in(shown: dict[str, Any]) -> Any:
    """What `doctor --json` shows about transcripts."""
    return next(state for state in shown["sources"] if state["source"] == "claude-code")


def test_an_empty_home_names_the_next_step(run: Run) -> None:
    """It is no failure."""
    done = run("ingest")
    assert done.returncode == 0
    assert "Nothing to read" in done.stdout
    assert "claude-force ingest PATH" in done.stdout
    doctor = run("doctor")
    assert doctor.returncode == 0
    assert "Folder:      none found" in doctor.stdout


def test_ingest_without_a_path_finds_the_transcripts(run: Run, projects: Path) -> None:
    """The sample has 47 executions. A second ingest adds none."""
    first = json.loads(run("ingest", "--json").stdout)
    assert (first["added"], first["known"], first["changed"]) == (47, 8, 4)
    second = json.loads(run("ingest", "--json").stdout)
    assert (second["added"], second["known"], second["unchanged"]) == (0, 0, 8)
    assert run("db", "check").returncode == 0


def test_a_dry_run_reports_the_same_and_changes_nothing(run: Run, projects: Path, home: Path) -> None:
    """No database is created, and the next ingest still finds everything new."""
    dry = json.loads(run("ingest", "--dry-run", "--json").stdout)
    assert (dry["dry_run"], dry["added"], dry["known"]) == (True, 47, 8)
    assert not (home / ".claude" / "metrics").exists()
    assert json.loads(run("ingest", "--json").stdout)["added"] == 47
    again = json.loads(run("ingest", "--dry-run", "--json").stdout)
    assert (again["added"], again["unchanged"]) == (0, 8)


def test_a_quiet_ingest_prints_only_problems(run: Run, projects: Path) -> None:
    """Without problems it prints nothing. A problem is printed with its path and reason, and the exit code is 1."""
    good = run("ingest", "--quiet")
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    bad = projects / "-home-dev-shop" / "broken.jsonl"
    bad.write_text("not json\n")
    done = run("ingest", "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert "broken.jsonl: line 1: not valid JSON" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_doctor_reports_read_and_new_files(run: Run, projects: Path) -> None:
    """It shows files, lines and the time of the last ingest; later a deleted file and one with an incomplete line."""
    before = transcripts_in(json.loads(run("doctor", "--json").stdout))
    assert (before["files"], before["unread_files"], before["last_read_us"]) == (0, 8, None)
    run("ingest")
    read = transcripts_in(json.loads(run("doctor", "--json").stdout))
    assert (read["files"], read["lines"], read["executions"], read["unread_files"]) == (8, 136, 55, 0)
    assert read["last_read_us"] > 1_700_000_000_000_000
    some, other = sorted(projects.glob("*/*.jsonl"))[:2]
    some.unlink()
    with other.open("a") as file:
        file.write('{"type": "user", "mess')
    run("ingest")
    after = run("doctor")
    assert after.returncode == 0
    assert "Gone:        1 file no longer there; what was read is kept" in after.stdout
    assert "Unfinished:  the last line of 1 file" in after.stdout


def test_the_doctor_names_rejected_and_skipped_lines(run: Run, projects: Path) -> None:
    """Each is shown with its reason. The text of the lines is shown nowhere."""
    file = projects / "-home-dev-docs" / "odd.jsonl"
    synthetic = {
        "type": "assistant",
        "uuid": "u",
        "timestamp": "2026-11-21T10:00:00Z",
        "message": {"id": "m", "model": "<synthetic>", "content": [{"type": "text", "text": "SECRET"}]},
    }
    negative = json.loads(json.dumps(synthetic))
    negative["message"] |= {"model": "claude-opus-5-5", "usage": {"input_tokens": -1, "output_tokens": 1}}
    file.write_text(f"{json.dumps(synthetic)}\n{json.dumps(negative)}\nSECRET garbage\n")
    done = run("ingest")
    assert done.returncode == 1
    assert "odd.jsonl: line 2: input_tokens: is negative" in done.stderr
    doctor = run("doctor")
    assert "1 line: not a model's response (synthetic)" in doctor.stdout
    assert "Rejected:    2 lines" in doctor.stdout
    assert "-> nothing to do if they are cut off; else report them" in doctor.stdout
    rejected = (projects.parent / "metrics" / "rejected.jsonl").read_text()
    assert "SECRET" not in rejected
    assert len(rejected.splitlines()) == 2


def test_the_doctor_names_a_last_line_that_is_not_whole(run: Run, tmp_path: Path) -> None:
    """Of a file anywhere: a session that broke off leaves a line that nobody ends."""
    file = tmp_path / "elsewhere" / "broken-off.jsonl"
    file.parent.mkdir()
    file.write_text('{"type": "user"}\n{"type": "assist')
    assert run("ingest", file.parent).returncode == 0
    assert "1 of them up to a last line that is not whole yet" in " ".join(run("doctor").stdout.split())


def test_the_doctor_names_a_missing_folder_in_claude_config_dir(run: Run, tmp_path: Path) -> None:
    """It is a problem, because the folder is expected to be read."""
    done = run("doctor", env={"CLAUDE_CONFIG_DIR": str(tmp_path / "nowhere")})
    assert done.returncode == 1
    assert "nowhere/projects: not there, though CLAUDE_CONFIG_DIR names it" in on_one_line(done)


def test_spooled_executions_are_reported_and_ingested(run: Run, home: Path) -> None:
    """The doctor names the spool file, and an ingest stores its executions."""
    run("import", EXAMPLES / "executions-guide.jsonl", "--db", "other.db")
    run("analytics", "export", "--format", "jsonl", "--output", "all.jsonl", "--db", "other.db")
    metrics = home / ".claude" / "metrics"
    metrics.mkdir(exist_ok=True)
    lines = (home / "all.jsonl").read_text().splitlines(keepends=True)
    (metrics / "metrics.db.spool.jsonl").write_text("".join(lines[:3]))
    waiting = on_one_line(run("doctor"))
    assert "3 executions wait in" in waiting
    assert "metrics.db.spool.jsonl, the first from 20" in waiting
    assert "-> claude-force ingest" in waiting
    shown = json.loads(run("ingest", "--json").stdout)
    assert shown["sources"]["spool"]["added"] == 3
    assert "no execution waits to be stored" in on_one_line(run("doctor"))


def test_a_file_of_another_kind_is_reported_and_skipped(run: Run, home: Path) -> None:
    """It gets one line. An empty file is no problem."""
    (home / "notes.txt").write_text("Buy milk\nCall home\n" * 50)
    (home / "empty.jsonl").touch()
    done = run("ingest", home / "notes.txt", home / "empty.jsonl")
    assert done.returncode == 1
    assert "notes.txt: neither a transcript nor a file of executions" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (home / ".claude" / "metrics" / "rejected.jsonl").exists()


def test_many_bad_lines_are_summarized(run: Run, projects: Path) -> None:
    """The first three are shown, and the number of the others. All are in rejected.jsonl."""
    (projects / "bad.jsonl").write_text('{"type": "user"}\n' + "bad\n" * 100)
    done = run("ingest", "--json")
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["rejected"]) == (1, 100)
    assert [problem["problem"] for problem in shown["sources"]["claude-code"]["problems"]][-1] == (
        "and 97 more lines from line 5 on"
    )
    assert len((projects.parent / "metrics" / "rejected.jsonl").read_text().splitlines()) == 100


def test_a_dry_run_counts_executions_too(run: Run, home: Path) -> None:
    """It prints the same notes as the ingest; here, that the costs were written by claude-force 1.3."""
    dry = run("ingest", EXAMPLES / "executions-1.3.jsonl", "--dry-run")
    done = run("ingest", EXAMPLES / "executions-1.3.jsonl")
    for output in (dry.stdout, done.stdout):
        assert "3,000 lines; 3,000 read: 3,000 added, 0 duplicates, 0 rejected" in output
        assert "3,000 costs are known to be far too low" in output


def test_undelivered_messages_and_failed_jobs_are_problems(run: Run, home: Path) -> None:
    """A refused notification, an invalid rule and a failed job are shown with their reasons. The exit code is 1."""
    section = {
        "alerts": {"no-data": {"threshold": 1}, "typo": True},
        "channels": {"hook": {"type": "command", "command": ["/bin/sh", "-c", "echo refused; exit 64"]}},
        "archive_after_days": 1,
    }
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    (home / ".claude" / "metrics").mkdir()
    (home / ".claude" / "metrics" / "archive").write_text("in the way")
    line = a_line(timestamp="2025-11-14T10:30:45Z").decode()
    assert run("import", "-", input=line).returncode == 0
    assert run("alerts", "check").returncode == 1
    assert run("scheduler", "run", "archive").returncode == 1
    done = run("doctor")
    assert done.returncode == 1
    for part in ("typo", "refused", "no-data on hook", "the job archive failed", "no scheduler runs"):
        assert part in on_one_line(done), part
    found = json.loads(run("doctor", "--json").stdout)["watching"]
    assert len(found["problems"]) == 3


def test_a_failed_push_of_a_removed_exporter_is_no_problem(run: Run, home: Path) -> None:
    """The push failed before the exporter was removed from claude.json."""
    settings = home / ".claude" / "claude.json"
    settings.write_text(json.dumps({"performance": {"exporters": {"datadog": {"port": 0}}}}))
    run("scheduler", "run", "push-datadog")
    assert "the job push-datadog failed" in run("doctor").stdout
    settings.unlink()
    assert "push-datadog" not in run("doctor").stdout


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_report_has_the_width_of_the_terminal(width: int, run: Run) -> None:
    """A sentence wraps and is never cut; only a command or a path stays in one line."""
    narrow, wide = (run("doctor", env={"COLUMNS": str(columns)}).stdout for columns in (width, 1000))
    # Other programs fill the disk meanwhile.
    words, wanted = (re.sub(r"[\d.]+ GB", "GB", " ".join(text.split())) for text in (narrow, wide))
    assert words == wanted
    long = [line for line in narrow.splitlines() if len(line) > width]
    assert all(line.strip().startswith("->") or " " not in line.strip() or "/" in line for line in long), long
