"""Days before the first transcript, from Claude Code's own statistics: read by ingest, shown beside the figures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from tests.conftest import Run
from tests.transcripts import Talk, ingested, main_file, put, statistics

DAYS = {
    "2026-02-27": {"claude-opus-4-5": 29_812},
    "2026-02-28": {"claude-opus-4-5": 1_000_000, "claude-haiku-4-5": 188},
}
TODAY = {"2026-03-02": {"claude-opus-4-5": 77_777}}
NOTE = (
    "Before the first transcript: 2 days, 1,030,000 tokens from Claude Code's own statistics (not in the figures "
    "above): claude-force analytics backfill"
)


def put_history(home: Path) -> Path:
    """A transcript of 2026-03-02, and statistics that also know two days before it; the latter's path."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1")
    put(main_file(home / ".claude" / "projects"), talk.lines)
    return put(home / ".claude" / "stats-cache.json", json.dumps(statistics(DAYS | TODAY)).encode())


def test_the_days_are_shown_beside_the_figures_and_are_not_in_them(run: Run, home: Path) -> None:
    """Summary and trends have one execution and a note; the report lists the days, without a cost."""
    put_history(home)
    done = ingested(run)
    assert (done["added"], done["sources"]["claude-code-statistics"]["files"]) == (1, 1)
    for command in ("summary", "trends"):
        assert NOTE in " ".join(run("analytics", command).stdout.split())
    summary = json.loads(run("analytics", "summary", "--json").stdout)
    assert (summary["total_executions"], summary["before_first_transcript"]["days"]) == (1, 2)
    shown = run("analytics", "backfill").stdout
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    assert "2026-02-28 claude-opus-4-5 1,000,000 included" in rows
    assert "2 days, 1,030,000 tokens; no cost: the statistics do not tell the kinds of" in rows
    assert "2026-03-02" not in shown
    found = json.loads(run("analytics", "backfill", "--json").stdout)
    assert (found["total_days"], found["total_tokens"], found["cost"]) == (2, 1_030_000, None)
    assert len(list(csv.DictReader(io.StringIO(run("analytics", "backfill", "--format", "csv").stdout)))) == 3


def test_the_statistics_are_read_when_they_changed(run: Run, home: Path) -> None:
    """By the ingest without a path, or by their name; the doctor shows how many days they have."""
    path = put_history(home)
    assert ingested(run, path)["sources"]["claude-code-statistics"]["unchanged"] == 0
    assert ingested(run)["sources"]["claude-code-statistics"]["unchanged"] == 1
    doctor = run("doctor").stdout
    assert "Claude Code's statistics\n  Read:        1 file, 3 days" in doctor


def test_a_broken_file_is_named_and_stops_nothing(run: Run, home: Path) -> None:
    """The transcripts are read, and every other command works."""
    path = put_history(home)
    path.write_text("{")
    done = run("ingest")
    assert (done.returncode, "1 added" in done.stdout) == (1, True)
    assert f"{path}: not valid JSON" in done.stderr
    assert "Before the first" not in run("analytics", "summary").stdout
    assert "not valid JSON" in run("doctor").stdout


def test_without_such_days_the_report_says_what_they_are(run: Run) -> None:
    """An empty home has none, and that is no failure."""
    shown = run("analytics", "backfill")
    assert shown.returncode == 0
    assert "stats-cache.json" in shown.stdout
    assert "claude-force ingest" in shown.stdout
