"""`claude-force analytics reconcile`: what Claude Code's own ledger has more than the transcripts."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.transcripts import MODEL, SESSION, Line, Talk, Tokens, cost_state, main_file, model_usage, put

HAIKU = "claude-haiku-4-5-20251001"
LEDGER = cost_state(0.031, {MODEL: model_usage(0.022, 1000, 1000, 50_000), HAIKU: model_usage(0.009, 4000, 1000)})


def put_session(home: Path, *lines: Line) -> Path:
    """A session with one response that costs $0.018 at list price, and more lines; its transcript."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1", Tokens(1000, 1000, 0, 0, 0))
    return put(main_file(home / ".claude" / "projects"), [*talk.lines, *lines])


def test_the_difference_is_shown_by_session_and_by_model(run: Run, home: Path) -> None:
    """In text with four decimals, since it is often less than a cent; the sums are below."""
    put_session(home, LEDGER)
    assert run("ingest", "--quiet").returncode == 0
    shown = run("analytics", "reconcile", "--by-model").stdout
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    assert "2026-03-02 09:00 1f4c5a0e engine $0.0310 $0.0180 $0.0130" in rows
    assert f"{HAIKU} $0.0090 – $0.0090" in rows
    assert f"{MODEL} $0.0220 $0.0180 $0.0040" in rows
    assert "1 session compared: ledgers $0.0310, transcripts $0.0180, outside $0.0130" in shown
    assert HAIKU not in run("analytics", "reconcile").stdout


def test_json_and_csv_have_the_same_figures(run: Run, home: Path) -> None:
    """JSON has the models of each session, too."""
    put_session(home, LEDGER)
    run("ingest", "--quiet")
    found = json.loads(run("analytics", "reconcile", "--json").stdout)
    sums = ("total_sessions", "compared_sessions", "ledger_cost", "transcript_cost", "difference")
    assert [found[name] for name in sums] == [1, 1, 0.031, 0.018, 0.013]
    (session,) = found["sessions"]
    assert (session["session"], session["difference"], session["unknown_reason"]) == (SESSION, 0.013, None)
    assert [(each["model"], each["difference"]) for each in session["models"]] == [(HAIKU, 0.009), (MODEL, 0.004)]
    (row,) = csv.DictReader(io.StringIO(run("analytics", "reconcile", "--format", "csv").stdout))
    assert {name: row[name] for name in ("session", "ledger_cost", "transcript_cost", "difference")} == {
        "session": SESSION, "ledger_cost": "0.031", "transcript_cost": "0.018", "difference": "0.013",
    }  # fmt: skip


def test_without_a_ledger_the_report_says_who_writes_one(run: Run, home: Path) -> None:
    """Nothing is shown as zero: in an empty store, and with a session that has none."""
    assert "claude-force ingest" in run("analytics", "reconcile").stdout
    put_session(home)
    run("ingest", "--quiet")
    shown = run("analytics", "reconcile").stdout
    assert "No session of the period has a ledger; 1 session without one." in shown
    assert "since version 2.1.258" in shown
    found = json.loads(run("analytics", "reconcile", "--json").stdout)
    assert (found["sessions"], found["difference"], found["sessions_without_ledger"]) == ([], None, 1)


@pytest.mark.parametrize("cost", [-1, "free", None])
def test_an_impossible_ledger_is_rejected_with_its_line(run: Run, home: Path, cost: object) -> None:
    """The responses of its session count all the same."""
    path = put_session(home, cost_state(cost))
    done = run("ingest", "--json")
    assert (done.returncode, json.loads(done.stdout)["added"], json.loads(done.stdout)["rejected"]) == (1, 1, 1)
    assert f"{path}: line 3: totalCostUSD: " in done.stderr
    assert "Traceback" not in done.stderr
