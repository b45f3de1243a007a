"""`claude-force analytics reconcile`: what Claude Code's own ledger has more than the transcripts."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from claude_force.analytics.anthropic_reports import COSTS, USAGE
from claude_force.clock import DAY_US
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import NOON_US, an_execution
from tests.conftest import Run
from tests.sources import a_mixed_history, put_ledger, put_metrics
from tests.sources import put as put_seen
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
    assert "2026-03-02 09:00 $0.0180 – $0.0310 $0.0130 outside of" in rows
    assert "haiku-4-5 – $0.0090 $0.0090" in rows
    assert "sonnet-4-5 $0.0180 $0.0220 $0.0040" in rows
    assert "1 session compared: Claude Code $0.0310, stored $0.0180, missing $0.0130" in shown
    assert "haiku" not in run("analytics", "reconcile").stdout


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


def test_executions_without_a_session_are_not_said_to_be_missing(run: Run, database: Database, location: str) -> None:
    """A recorder knows no sessions: the period has executions, which the report is not about."""
    Store(database).add([an_execution()])
    shown = run("analytics", "reconcile", "--db", location).stdout
    assert "No session of the period is known from two sources; 0 sessions from one." in shown
    shown = run("analytics", "reconcile", "--db", location, "--since", "2001-01-01", "--until", "2001-01-02").stdout
    assert "No executions match. The store has executions from" in shown


def test_without_a_ledger_the_report_says_who_writes_one(run: Run, home: Path) -> None:
    """Nothing is shown as zero: in an empty store, and with a session that has none."""
    assert "claude-force ingest" in run("analytics", "reconcile").stdout
    put_session(home)
    run("ingest", "--quiet")
    shown = run("analytics", "reconcile").stdout
    assert "No session of the period is known from two sources; 1 session from one." in shown
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


def test_the_tolerance_decides_the_exit_code(run: Run, home: Path) -> None:
    """A share of what Claude Code counted, or dollars; the report is shown in both cases."""
    put_session(home, LEDGER)
    run("ingest", "--quiet")
    for tolerance, expected in {"41%": 1, "42%": 0, "0.0129": 1, "$0.0130": 0, "100%": 0}.items():
        done = run("reconcile", "--tolerance", tolerance)
        assert (done.returncode, "1 session compared" in done.stdout) == (expected, True)
        assert done.stderr == (
            "error: $0.0130 of $0.0310 is not reconciled, which is above the tolerance\n" if expected else ""
        )
    usual = run("reconcile")
    assert (usual.returncode, run("reconcile", "--json").returncode) == (1, 1)
    for wrong in ("much", "-1%", "nan", ""):
        assert run("reconcile", f"--tolerance={wrong}").returncode == 2


def test_one_session_is_shown_by_its_requests(run: Run, home: Path) -> None:
    """Who saw them, of which agent and model; and what each source knows."""
    put_session(home, LEDGER)
    run("ingest", "--quiet")
    rows = [" ".join(line.split()) for line in run("reconcile", "--session", SESSION[:8]).stdout.splitlines()]
    assert f"transcript main {MODEL} 1 2,000 $0.0180" in rows
    assert "ledger – 57,000 $0.0310" in rows
    assert "Compared with: ledger. Missing $0.0130." in rows


@pytest.mark.parametrize("form", [(), ("--by-model",), ("--by-day",), ("--session", "session-1")])
def test_every_figure_is_shown_at_every_width(run: Run, home: Path, form: tuple[str, ...]) -> None:
    """Of sessions that several sources saw: what a pipe gets in full, a narrow terminal shows, too."""
    store = Store(open_database(str(home / ".claude" / "metrics" / "metrics.db")))
    put_seen(store, *a_mixed_history(1))
    put_ledger(store, "session-1", 123_456_789, NOON_US + 60 * DAY_US)
    put_metrics(store, "session-2", 77_000)
    store.database.close()
    line = ("reconcile", "--no-ingest", *form)
    whole = set(re.findall(r"-?\$[\d,.]+", run(*line, env={"COLUMNS": ""}).stdout))
    assert len(whole) > 3
    for width in (60, 80, 120, 200):
        shown = run(*line, env={"COLUMNS": str(width)}).stdout
        assert whole <= set(re.findall(r"-?\$[\d,.]+", shown))
        table = shown.split("compared")[0]
        assert max(map(len, table.splitlines()[:-1])) <= width


KEY = "sk-ant-admin01-very-secret-key"


def ask_anthropic(run: Run, httpserver: HTTPServer) -> dict[str, str]:
    """Let the program ask a local server in place of Anthropic's; the environment with its key."""
    run("config", "set", "performance.admin_api_key", "${ADMIN_KEY}")
    run("config", "set", "performance.admin_api_url", httpserver.url_for("").rstrip("/"))
    return {"ADMIN_KEY": KEY}


def test_days_are_compared_with_what_anthropic_bills(run: Run, home: Path, httpserver: HTTPServer) -> None:
    """With a key in the settings, and only for days: the session of the day cost $0.018."""
    put_session(home)
    run("ingest", "--quiet")
    environment = ask_anthropic(run, httpserver)
    costs = {"starting_at": "2026-03-02T00:00:00Z", "ending_at": "2026-03-03T00:00:00Z",
             "results": [{"amount": "2.5", "currency": "USD"}]}  # fmt: skip
    for path, found in ((COSTS, [costs]), (USAGE, [])):
        httpserver.expect_request(path, headers={"x-api-key": KEY}).respond_with_json(
            {"data": found, "has_more": False, "next_page": None}
        )
    line = ("reconcile", "--by-day", "--since", "2026-03-01", "--until", "2026-03-04")
    done = run(*line, "--json", "--tolerance", "0.01", env=environment)
    (day,) = json.loads(done.stdout)["days"]
    assert (done.returncode, day["date"], day["anthropic_cost"], day["difference"]) == (0, "2026-03-02", 0.025, 0.007)
    done = run(*line, "--tolerance", "0.001", env=environment)
    assert "2026-03-02 $0.0180 – $0.0180 – $0.0250 $0.0070 outside of transcripts" in " ".join(done.stdout.split())
    assert done.returncode == 1
    assert len(httpserver.log) == 4
    run("reconcile", env=environment)
    assert len(httpserver.log) == 4


@pytest.mark.parametrize("status", [401, 403, 429])
def test_without_anthropics_answer_the_report_says_so(
    run: Run, home: Path, httpserver: HTTPServer, status: int
) -> None:
    """In text and in JSON, and the command fails; the key is nowhere."""
    put_session(home)
    run("ingest", "--quiet")
    environment = ask_anthropic(run, httpserver)
    error = {"type": "error", "error": {"type": "refused", "message": f"wrong key {KEY}"}}
    httpserver.expect_request(COSTS).respond_with_json(error, status=status)
    for form in ("--json", "--format=table"):
        done = run("reconcile", "--by-day", form, env=environment)
        assert (done.returncode, str(status) in done.stdout, str(status) in done.stderr) == (1, True, True)
        assert KEY not in done.stdout + done.stderr


def test_a_key_in_the_settings_themselves_is_refused_and_not_shown(run: Run, home: Path) -> None:
    """Neither by the command that sets it, nor where somebody wrote it into the file."""
    assert run("config", "set", "performance.admin_api_key", KEY).returncode == 2
    settings = home / ".claude" / "claude.json"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(json.dumps({"performance": {"admin_api_key": KEY}}))
    lines = ("config list", "reconcile --by-day", "doctor", "config get performance.admin_api_key")
    for line in map(str.split, lines):
        done = run(*line)
        assert KEY not in done.stdout + done.stderr
