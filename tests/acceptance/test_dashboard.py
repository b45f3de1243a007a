"""`claude-force dashboard`: a single frame for scripts, and the live dashboard in a real terminal with real keys and
signals."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from claude_force import clock
from claude_force.clock import DAY_US, HOUR_US, SECOND_US
from claude_force.database.open import open_database
from claude_force.database.sqlite.errors import BUSY_TIMEOUT_S
from claude_force.database.writes import Store
from claude_force.executions.record import ExecutionMetrics
from tests.builders import an_execution
from tests.conftest import PROGRAM, ROOT, Run
from tests.daemons import eventually
from tests.postgres import execute_sql
from tests.terminals import Terminal, terminal
from tests.transcripts import Talk, main_file, put

QUIT_KEYS = {"q": "q", "Q": "Q", "Esc": "\x1b", "Ctrl-C": "\x03"}
RATES = ("total_executions", "success_rate", "avg_execution_time_ms", "p95_latency_ms", "total_cost", "total_tokens")


def store(location: str | Path, *executions: ExecutionMetrics) -> None:
    """Store executions in a database."""
    with closing(open_database(str(location))) as database:
        Store(database).add(executions)


def a_history() -> list[ExecutionMetrics]:
    """Executions of two agents, one minute, two hours and three days old. Some failed."""
    now_us = clock.now_us()
    return [
        an_execution(
            timestamp_us=now_us - age_us - number,
            agent_name=("python-expert", "code-reviewer")[number % 2],
            success=number % 5 != 0,
            error_type=None if number % 5 else "TimeoutError",
            duration_us=1_000_000 + 10_000 * number,
        )
        for age_us in (60 * SECOND_US, 2 * HOUR_US, 3 * DAY_US)
        for number in range(20)
    ]


@pytest.fixture
def path(home: Path) -> Path:
    """The home's database with a history."""
    found = home / ".claude" / "metrics" / "metrics.db"
    store(found, *a_history())
    return found


@contextmanager
def dashboard(home: Path, *options: str, size: tuple[int, int] = (80, 24), **environment: str) -> Iterator[Terminal]:
    """The live dashboard, once it shows figures."""
    with terminal([PROGRAM, "dashboard", "--refresh", "0.5", *options], home, size, **environment) as found:
        eventually(lambda: found.shows("quit") and not found.shows("Reading ..."))
        yield found


def assert_terminal_restored(found: Terminal) -> None:
    """The terminal is as before: main screen, visible cursor, line mode and echo."""
    assert not found.is_second_screen
    assert found.text.rfind("\x1b[?25h") > found.text.rfind("\x1b[?25l")
    assert found.text.rfind("\x1b[?7h") > found.text.rfind("\x1b[?7l")
    assert found.attributes == found.attributes_before


def row_of(lines: list[str], title: str) -> list[str]:
    """The figures of one period in a frame."""
    return next(line for line in lines if line.startswith(title)).removeprefix(title).split()


def test_a_frame_equals_the_summary(location: str, run: Run) -> None:
    """The figures equal `analytics summary` for the same periods. On both engines."""
    store(location, *a_history())
    lines = run("dashboard", "--once", "--db", location).stdout.splitlines()
    for title, period in (("1 hour", ("--hours", "1")), ("24 hours", ("--hours", "24")), ("7 days", ("--days", "7"))):
        summary = json.loads(run("analytics", "summary", *period, "--json", "--db", location).stdout)
        count, rate, average, p95, cost, tokens = (summary[name] for name in RATES)
        assert row_of(lines, title) == [
            f"{count:,}", f"{rate:.1f}%", f"{average / 1000:.1f}s", f"{p95 / 1000:.1f}s", f"${cost:.2f}", f"{tokens:,}",
        ]  # fmt: skip


def test_a_frame_outside_a_terminal_is_plain_text(path: Path, run: Run) -> None:
    """Without a terminal a single frame is printed, even without --once: no control codes and no hint to quit."""
    for options in ((), ("--once",)):
        done = run("dashboard", *options, env={"FORCE_COLOR": "1"})
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert len(lines) <= 24
        assert [line for line in lines if len(line) > 80 or not line.isprintable() or line != line.rstrip()] == []
        assert "quit" not in done.stdout


def test_window_and_order_are_options(path: Path, run: Run) -> None:
    """An invalid value is a usage error."""
    assert "Last 7 days, by 3 hours" in run("dashboard", "--window", "7d").stdout
    assert "Last 1 hour, by minute" in run("dashboard", "--window", "1h").stdout
    assert "Agents by time" in run("dashboard", "--sort", "time").stdout
    for options in (("--window", "2h"), ("--sort", "name"), ("--refresh", "0.1"), ("--refresh", "x")):
        assert run("dashboard", *options).returncode == 2


def test_times_are_in_the_chosen_time_zone(path: Path, run: Run) -> None:
    """Two zones one hour apart show times one hour apart."""
    shown = [run("dashboard", "--timezone", zone).stdout.splitlines()[-1] for zone in ("+01:00", "+02:00")]
    assert shown[0] != shown[1]


def test_an_empty_store_is_no_error(home: Path, run: Run) -> None:
    """The frame says what to do next, and no database is created."""
    done = run("dashboard", "--once")
    assert (done.returncode, "claude-force ingest" in done.stdout) == (0, True)
    assert list((home / ".claude").iterdir()) == []


def test_an_unreadable_database_is_one_line(home: Path, run: Run) -> None:
    """A single frame fails like any other command."""
    (home / "no.db").write_text("this is no database, and long enough to be one" * 100)
    done = run("dashboard", "--once", "--db", "no.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_ascii_terminal_and_hostile_names_keep_the_layout(home: Path, run: Run) -> None:
    """ASCII substitutes take as many cells, and hostile names move nothing."""
    agent = "\x1b]0;owned\x07\r\n[red]宽"
    store(home / "m.db", an_execution(timestamp_us=clock.now_us() - SECOND_US, agent_name=agent))
    plain = run("dashboard", "--db", "m.db", env={"PYTHONIOENCODING": "ascii"}).stdout
    assert plain.isascii()
    assert "#" in plain
    full = run("dashboard", "--db", "m.db", env={"COLUMNS": "160"}).stdout
    assert r"\x1b]0;owned\x07\r\n[red]宽" in full
    assert "\x1b" not in full


def test_the_script_from_the_guide_shows_the_dashboard(path: Path, home: Path) -> None:
    """scripts/dashboard.py takes the options of the command, including --help."""
    script = [sys.executable, str(ROOT / "scripts" / "dashboard.py")]
    helped = subprocess.run([*script, "--help"], capture_output=True, text=True, check=True)
    assert "--refresh" in helped.stdout
    shown = subprocess.run([*script, "--once"], cwd=home, capture_output=True, text=True, check=True)
    assert row_of(shown.stdout.splitlines(), "7 days")[0] == "60"


@pytest.mark.parametrize("key", QUIT_KEYS)
def test_a_key_quits_and_restores_the_terminal(key: str, path: Path, home: Path) -> None:
    """The dashboard leaves the alternate screen, and the terminal has line mode and echo again."""
    with dashboard(home) as found:
        assert found.is_second_screen
        assert found.attributes != found.attributes_before
        found.press(QUIT_KEYS[key])
        assert found.wait() == 0
        assert_terminal_restored(found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_quits_and_restores_the_terminal(number: signal.Signals, path: Path, home: Path) -> None:
    """The exit code is the one that shells give for the signal."""
    with dashboard(home) as found:
        found.process.send_signal(number)
        assert found.wait() == 128 + number
        assert_terminal_restored(found)


def test_keys_change_the_window_and_the_order(path: Path, home: Path) -> None:
    """w selects the next window, 1 to 3 select one directly, s changes the order, and ? explains the keys. Arrow keys,
    function keys and Alt do nothing."""
    with dashboard(home) as found:
        for key, title in (("w", "Last 7 days"), ("w", "Last 1 hour"), ("3", "Last 7 days"), ("2", "Last 24 hours")):
            found.press(key)
            eventually(partial(found.shows, title))
        for order in ("executions", "time", "success", "tokens", "cost"):
            found.press("s")
            eventually(partial(found.shows, f"sort {order}"))
        found.press("?")
        eventually(lambda: found.shows("the next window"))
        found.press("?")
        eventually(lambda: found.shows("Ended"))
        found.press("\x1b[A\x1bOP\x1bq")
        found.press("w")
        eventually(lambda: found.shows("Last 7 days"))
        assert found.process.poll() is None


def test_new_executions_are_shown(path: Path, home: Path) -> None:
    """The latest executions and the figures are updated without a key."""
    with dashboard(home) as found:
        before = row_of(found.lines, "1 hour")[0]
        store(path, an_execution(timestamp_us=clock.now_us(), agent_name="newcomer"))
        eventually(lambda: found.shows("newcomer"))
        assert int(row_of(found.lines, "1 hour")[0]) == int(before) + 1


def test_a_resize_changes_the_layout(path: Path, home: Path) -> None:
    """A larger terminal shows more, a smaller one less, and one that is too small says so. COLUMNS is ignored."""
    with dashboard(home, COLUMNS="70", LINES="20") as found:
        assert {len(line) for line in found.lines} == {80}
        found.resize(120, 40)
        eventually(lambda: found.shows("Failures"))
        assert (len(found.lines), {len(line) for line in found.lines}) == (40, {120})
        found.resize(30, 6)
        eventually(lambda: found.shows("Make the window larger"))
        found.resize(80, 24)
        eventually(lambda: found.shows("Last 24 hours"))


def test_ctrl_z_suspends_and_fg_resumes(path: Path, home: Path) -> None:
    """Ctrl-Z restores the shell's screen and line mode. fg draws the dashboard again."""
    with terminal(["/bin/bash", "--norc", "--noprofile", "-i"], home, PS1="ready> ") as found:
        eventually(lambda: "ready> " in found.text)
        found.press(f"{PROGRAM} dashboard --refresh 0.5\n")
        eventually(lambda: found.shows("quit"))
        found.press("\x1a")
        eventually(lambda: "Stopped" in found.text)
        assert not found.is_second_screen
        found.press("stty -a\n")
        eventually(lambda: re.search(r"[ ;]icanon .*[ \n]echo ", found.text, re.DOTALL))
        found.press("fg\n")
        eventually(lambda: found.is_second_screen)
        found.press("q")
        eventually(lambda: not found.is_second_screen)
        found.press("echo code $?\n")
        eventually(lambda: "code 0" in found.text)


def test_in_the_background_it_stops_until_fg(path: Path, home: Path) -> None:
    """Like every program that needs the terminal."""
    with terminal(["/bin/bash", "--norc", "--noprofile", "-i"], home, PS1="ready> ") as found:
        eventually(lambda: "ready> " in found.text)
        found.press(f"{PROGRAM} dashboard --refresh 0.5 &\n")
        found.press("until jobs | grep Stopped; do :; done\n")
        eventually(lambda: "Stopped  " in found.text)
        found.press("fg\n")
        eventually(lambda: found.shows("quit"))
        found.press("q")
        eventually(lambda: not found.is_second_screen)
        found.press("echo code $?\n")
        eventually(lambda: "code 0" in found.text)


def test_no_color_removes_colors(path: Path, home: Path) -> None:
    """Bold and underline stay."""
    colors = re.compile(r"\x1b\[(?:\d+;)*3\d(?:;\d+)*m")
    with dashboard(home) as found:
        assert colors.search(found.text)
    with dashboard(home, NO_COLOR="1") as found:
        assert not colors.search(found.text)


def test_a_dumb_terminal_gets_a_single_frame(path: Path, home: Path) -> None:
    """With TERM=dumb there are no control codes."""
    with terminal([PROGRAM, "dashboard"], home, TERM="dumb") as found:
        assert found.wait() == 0
        eventually(lambda: "7 days" in found.text)
        assert "\x1b[?" not in found.text


def test_a_store_created_while_it_runs_is_shown(home: Path) -> None:
    """The hint of an empty store is replaced by figures."""
    with dashboard(home) as found:
        assert found.shows("claude-force ingest")
        store(home / ".claude" / "metrics" / "metrics.db", *a_history())
        eventually(lambda: found.shows("code-reviewer"))


def test_a_missing_database_keeps_the_last_figures(path: Path, home: Path) -> None:
    """A line above the last figures says what is wrong. It disappears when the database is back."""
    with dashboard(home) as found:
        kept = path.rename(path.with_name("kept"))
        eventually(lambda: found.shows("Not read since"))
        assert row_of(found.lines, "7 days")[0] == "60"
        kept.rename(path)
        eventually(lambda: not found.shows("Not read since"))
        assert row_of(found.lines, "7 days")[0] == "60"


def test_an_unreachable_server_keeps_the_last_figures(postgres_server: str, postgres_url: str, home: Path) -> None:
    """Connections are closed and refused for a while. A line says so, until the server is back."""
    name = urlsplit(postgres_url).path.removeprefix("/")
    store(postgres_url, *a_history())
    with dashboard(home, "--db", postgres_url) as found:
        assert row_of(found.lines, "7 days")[0] == "60"
        execute_sql(postgres_server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        execute_sql(postgres_server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        eventually(lambda: found.shows("Not read since"))
        execute_sql(postgres_server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        eventually(lambda: not found.shows("Not read since"))
        assert row_of(found.lines, "7 days")[0] == "60"


def test_another_schema_is_one_line_until_the_upgrade(path: Path, home: Path) -> None:
    """The line names the command to run."""
    with closing(sqlite3.connect(path)) as raw:
        (version,) = raw.execute("SELECT version_num FROM claude_force_version").fetchone()
        raw.execute("UPDATE claude_force_version SET version_num = '0001'")
        raw.commit()
        with dashboard(home) as found:
            assert found.shows("claude-force db upgrade")
            raw.execute("UPDATE claude_force_version SET version_num = ?", (version,))
            raw.commit()
            eventually(lambda: found.shows("7 days"))


def _shows_after_a_key(found: Terminal, text: str) -> str | None:
    """Press a key that only redraws, because a frame is known to be complete when the next one starts. Then look for
    the text."""
    found.press("x")
    return found.shows(text)


def test_keys_are_answered_while_the_database_is_locked(path: Path, home: Path) -> None:
    """A key asks for figures while the file is locked exclusively. Later keys are answered and the dashboard quits
    before the read times out."""
    limit_s = BUSY_TIMEOUT_S / 2
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
        with dashboard(home) as found:
            raw.execute("BEGIN EXCLUSIVE")
            found.press("w?")
            eventually(partial(_shows_after_a_key, found, "the next window"), limit_s)
            assert not found.shows("Not read since")
            found.press("q")
            assert found.wait(limit_s) == 0
            assert_terminal_restored(found)


def test_keys_are_read_from_the_terminal_when_stdin_is_redirected(path: Path, home: Path) -> None:
    """As in `something | claude-force dashboard`."""
    with terminal(["/bin/sh", "-c", f"exec {PROGRAM} dashboard --refresh 0.5 </dev/null"], home) as found:
        eventually(lambda: found.shows("quit"))
        found.press("q")
        assert found.wait() == 0
        assert_terminal_restored(found)


def test_the_live_dashboard_reads_what_is_new(home: Path) -> None:
    """It makes the store where there is none, and shows how long ago it read."""
    talk = Talk(constants={"timestamp": datetime.now(UTC).isoformat()})
    talk.prompt()
    talk.respond("msg_1")
    put(main_file(home / ".claude" / "projects"), talk.lines)
    with dashboard(home) as found:
        eventually(lambda: found.shows("sonnet-4-5"))
        assert row_of(found.lines, "1 hour")[0] == "1"
        assert re.search(r"read (just now|\d+ s ago)", found.lines[0])
