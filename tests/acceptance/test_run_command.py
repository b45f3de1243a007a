"""`claude-force run` as a user runs it: what its program sees and returns, and what is kept of the run.

The program is a script of Python that writes the transcript and the result that Claude Code would write.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from claude_force.database.open import open_database
from claude_force.database.queries.telemetry import headless_runs
from claude_force.database.rows.telemetry import HeadlessRun
from tests.conftest import PROGRAM, Run
from tests.results import SESSION, SONNET, a_result, used
from tests.transcripts import exported

NOW = """
import json, os, re, sys, time
from datetime import datetime, timezone
from pathlib import Path

def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

def respond(session, number, cwd=None):
    cwd = cwd or os.getcwd()
    folder = Path.home() / ".claude" / "projects" / re.sub("[^A-Za-z0-9]", "-", cwd)
    folder.mkdir(parents=True, exist_ok=True)
    usage = {"input_tokens": 10 + number, "output_tokens": 100, "cache_read_input_tokens": 0,
             "cache_creation_input_tokens": 0}
    message = {"id": f"msg_{session}_{number}", "role": "assistant", "type": "message", "model": "claude-sonnet-4-5",
               "content": [{"type": "text", "text": "Done."}], "stop_reason": "end_turn", "usage": usage}
    line = {"type": "assistant", "sessionId": session, "uuid": f"u{number}", "timestamp": now(), "cwd": cwd,
            "requestId": f"req_{session}_{number}", "version": "2.1.332", "message": message}
    with open(folder / f"{session}.jsonl", "a") as file:
        file.write(json.dumps(line) + "\\n")
"""
"""What the scripts begin with: `respond` writes a response into the transcript of a session."""

COST = 0.0015 + 0.000033
"""Of the first response: 100 tokens of output, 11 of input."""


def script(code: str) -> list[str]:
    """The command that runs a piece of Python."""
    return [sys.executable, "-c", NOW + dedent(code)]


def run_program(
    code: str, *arguments: str, options: tuple[str, ...] = (), **others: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a script by `claude-force run`."""
    command = [str(PROGRAM), "run", *options, "--", *script(code), *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **others)


def stored_runs(home: Path) -> list[HeadlessRun]:
    """The runs in the store of the user."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    try:
        with database.read() as connection:
            return headless_runs(connection, 100)
    finally:
        database.close()


JSON_OUTPUT = ("-p", "--output-format", "json")


@pytest.mark.parametrize("arguments", [(), JSON_OUTPUT], ids=["inherited", "passed through"])
def test_input_output_and_exit_code_are_those_of_the_program(arguments: tuple[str, ...]) -> None:
    """Byte for byte, whatever the bytes are, whether the output is inherited or passed through."""
    data = bytes(range(256)) * 10_000
    code = "sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.stderr.write('said\\n'); sys.exit(37)"
    done = run_program(code, *arguments, input=data)
    assert done.returncode == 37
    assert done.stdout == data
    assert done.stderr.startswith(b"said\nclaude-force: ")


def test_a_program_that_a_signal_ends_gives_128_and_its_number() -> None:
    """As in a shell."""
    assert run_program("os.kill(os.getpid(), 9)").returncode == 137


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_sent_on(number: signal.Signals) -> None:
    """The program decides what a signal means: here it says that it came, once, and ends with a code of its own."""
    code = f"""
    import signal
    came = []
    signal.signal({int(number)}, lambda *_: came.append(1))
    print("ready", flush=True)
    while not came:
        signal.pause()
    print("came", len(came), flush=True)
    sys.exit(7)
    """
    command = [str(PROGRAM), "run", "--", *script(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("came 1\n", 7)


def test_who_stops_reading_stops_the_program() -> None:
    """As with a pipe from the program itself: it is not read on for nothing."""
    code = "while True: sys.stdout.write('x' * 1000 + '\\n')"
    command = [str(PROGRAM), "run", "--", *script(code), *JSON_OUTPUT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert len(process.stdout.readline()) == 1001
        process.stdout.close()
        assert process.wait(60) != 0


def test_a_program_that_cannot_be_started(home: Path, run: Run) -> None:
    """One line, and the exit code of a shell."""
    (home / "plain.txt").write_text("no program")
    for name, code in (("no-such-program", 127), ("", 127), ("./plain.txt", 126)):
        done = run("run", "--", name)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(f"claude-force: {shlex.quote(name)} cannot be started: ")
        assert done.stderr.count("\n") == 1


def test_the_transcript_of_the_run_is_read(home: Path, run: Run) -> None:
    """Without a result, the session is the one whose transcript changed."""
    done = run_program(f"respond('{SESSION}', 1)", options=("--agent", "nightly", "--project", "shop"), text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("claude-force: $0.0015, 1 request, 111 tokens; exit code 0, ")
    assert done.stderr.count("\n") <= 3
    (stored,) = stored_runs(home)
    assert (stored.session_id, stored.agent_name, stored.project) == (SESSION, "nightly", "shop")
    assert (stored.exit_code, stored.success, stored.outcome, stored.turns) == (0, 1, None, None)
    assert [round(row["estimated_cost"], 9) for row in exported(run)] == [COST]


def test_a_session_of_another_folder_is_not_that_of_the_run(home: Path) -> None:
    """Somebody else goes on with it at the same time."""
    done = run_program(f"respond('{SESSION}', 1, '/srv/other')", text=True)
    assert done.stderr.startswith("claude-force: no session of an agent was found; exit code 0, ")
    assert [run.session_id for run in stored_runs(home)] == [None]


def test_ctrl_c_at_a_terminal_comes_once(home: Path) -> None:
    """The terminal sends it to all processes in front: it is not sent on as well."""
    code = """
    import signal
    came = []
    signal.signal(signal.SIGINT, lambda *_: came.append(1))
    print("ready", flush=True)
    while not came:
        signal.pause()
    # What was sent on would be here by now: this signal is sent by the same process, after it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(10 + len(came)))
    print("came", flush=True)
    while True:
        signal.pause()
    """
    keyboard, terminal = os.openpty()
    command = [sys.executable, "-c", IN_FRONT, str(PROGRAM), "run", "--", *script(code)]
    with subprocess.Popen(
        command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        os.close(terminal)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.write(keyboard, b"\x03")
        assert process.stdout.readline() == "came\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    os.close(keyboard)
    assert process.returncode == 11


IN_FRONT = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the standard input the terminal of this session, and becomes a program."""

RESULTS = {
    "success": ({}, True, "success"),
    "an error of its own": ({"subtype": "error_max_turns", "is_error": True}, False, "error_max_turns"),
    "an error called success": (
        {"is_error": True, "api_error_status": 529, "result": "Overloaded"},
        False,
        "overloaded",
    ),
}


@pytest.mark.parametrize(("changes", "succeeds", "outcome"), RESULTS.values(), ids=RESULTS)
def test_the_result_says_how_the_run_ended(home: Path, changes: dict[str, Any], succeeds: bool, outcome: str) -> None:
    """It succeeded if it is no error and its subtype is "success"; the transcript says what it cost."""
    text = json.dumps(a_result(num_turns=3, total_cost_usd=9.5, **changes))
    code = f"respond('{SESSION}', 1); print({text!r})"
    done = run_program(code, *JSON_OUTPUT, text=True)
    assert done.stdout == text + "\n"
    assert done.stderr.startswith(f"claude-force: $0.0015, 1 request, 111 tokens; {outcome}")
    (stored,) = stored_runs(home)
    assert (stored.success, stored.turns, stored.reported_cost_nanousd) == (int(succeeds), 3, 9_500_000_000)
    assert stored.outcome is not None
    assert stored.outcome.startswith(outcome)


def result_of(session: str, cost: float) -> str:
    """A script that writes a result and no transcript. As the cost, the tokens are those of the whole session."""
    models = {SONNET: used(written=round(cost * 1000), cost=cost)}
    result = a_result(session_id=session, total_cost_usd=cost, modelUsage=models, uuid=f"{session}-{cost}")
    return f"print({json.dumps(result)!r})"


def test_money_of_a_result_counts_where_nothing_else_knows_the_session(home: Path, run: Run) -> None:
    """As the difference to the last known total: of a resumed session, and of a fork, which begins with the total of
    its original."""
    fork, last = "f" * 8, "0" * 8
    run_program(result_of(SESSION, 1.0), *JSON_OUTPUT)
    run_program(result_of(SESSION, 1.5), *JSON_OUTPUT, "--resume", SESSION)
    run_program(result_of(fork, 2.0), *JSON_OUTPUT, "--resume", SESSION, "--fork-session")
    done = run_program(result_of(fork, 2.25), *JSON_OUTPUT, "--resume", fork, text=True)
    assert done.returncode == 0
    costs = [(row["workflow_id"], row["estimated_cost"]) for row in exported(run)]
    assert sorted(costs) == [(SESSION, 1.5), (fork, 0.25), (fork, 0.5)]
    run_program(f"respond('{last}', 1); {result_of(last, 7.0)}", *JSON_OUTPUT)
    assert round(sum(row["estimated_cost"] for row in exported(run)), 9) == round(2.25 + COST, 9)
    assert len(stored_runs(home)) == 5


def test_broken_settings_break_no_run(home: Path) -> None:
    """The program runs, and one line says that the run is not recorded."""
    (home / ".claude" / "claude.json").write_text("{")
    done = run_program("print('out'); sys.exit(3)", text=True)
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert "this run is not recorded: " in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_database_that_takes_nothing_breaks_no_run(home: Path) -> None:
    """One line names the database and what is wrong."""
    (home / "no-database").write_text("text")
    done = run_program("print('out'); sys.exit(3)", options=("--db", "no-database"), text=True)
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert "this run is not recorded: " in done.stderr


def test_quiet_says_only_what_is_wrong(home: Path) -> None:
    """Nothing of a run that was recorded."""
    assert run_program(f"respond('{SESSION}', 1)", options=("--quiet",)).stderr == b""
    (home / ".claude" / "claude.json").write_text("{")
    assert run_program("pass", options=("--quiet",)).stderr != b""


TELEMETRY = (
    "print(json.dumps({name: value for name, value in os.environ.items() if name.startswith(('OTEL_', 'CLAUDE_'))}))"
)


def test_the_program_gets_the_address_of_a_receiver(home: Path) -> None:
    """With the names of the run as attributes, beside those that are set already."""
    done = run_program(
        TELEMETRY,
        options=("--agent", "nightly, on main", "--project", "shop"),
        text=True,
        env=os.environ | {"OTEL_RESOURCE_ATTRIBUTES": "team=a,agent=other"},
    )
    found = json.loads(done.stdout)
    (stored,) = stored_runs(home)
    assert found["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"].startswith("http://127.0.0.1:")
    assert found["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/json"
    assert found["OTEL_RESOURCE_ATTRIBUTES"] == (
        f"team=a,claude_force.run={stored.run_id},project=shop,agent=nightly%2C%20on%20main"
    )


OTHER = "http://collector.example.com:4318"


@pytest.mark.parametrize("place", ["environment", "settings"])
def test_another_endpoint_stays(home: Path, place: str) -> None:
    """Telemetry that the user has sent elsewhere goes there, which a line says."""
    environment = dict(os.environ)
    if place == "environment":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = OTHER
    else:
        (home / ".claude" / "settings.json").write_text(json.dumps({"env": {"OTEL_EXPORTER_OTLP_ENDPOINT": OTHER}}))
    done = run_program(f"respond('{SESSION}', 1); {TELEMETRY}", text=True, env=environment)
    assert json.loads(done.stdout).get("OTEL_EXPORTER_OTLP_ENDPOINT") == (OTHER if place == "environment" else None)
    assert f"claude-force: its telemetry goes to {OTHER}\n" in done.stderr
