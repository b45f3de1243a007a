"""`claude-force dashboard`: one frame for scripts, and the live one in a real terminal, with real keys and signals."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
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

ENDINGS = {"q": "q", "Q": "Q", "Esc": "\x1b", "Ctrl-C": "\x03"}
RATES = ("total_executions", "success_rate", "avg_execution_time_ms", "p95_latency_ms", "total_cost", "total_tokens")


def store(location: str | Path, *executions: ExecutionMetrics) -> None:
    """Put executions into a database."""
    with closing(open_database(str(location))) as database:
        Store(database).add(executions)


def a_history() -> list[ExecutionMetrics]:
    """Executions of a minute, of two hours and of three days ago, of two agents, some of which failed."""
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
    """The home's database, with a history."""
    found = home / ".claude" / "metrics" / "metrics.db"
    store(found, *a_history())
    return found


@contextmanager
def dashboard(home: Path, *options: str, size: tuple[int, int] = (80, 24), **environment: str) -> Iterator[Terminal]:
    """The live dashboard, once it shows something."""
    with terminal([PROGRAM, "dashboard", "--refresh", "0.5", *options], home, size, **environment) as found:
        eventually(lambda: found.shows("quit") and not found.shows("Reading ..."))
        yield found


def assert_left(found: Terminal) -> None:
    """The terminal is as it was: first screen, a cursor, lines and echo."""
    assert not found.is_second_screen
    assert found.text.rfind("\x1b[?25h") > found.text.rfind("\x1b[?25l")
    assert found.text.rfind("\x1b[?7h") > found.text.rfind("\x1b[?7l")
    assert found.attributes == found.attributes_before


def row_of(lines: list[str], title: str) -> list[str]:
    """The figures of a period in a frame."""
    return next(line for line in lines if line.startswith(title)).removeprefix(title).split()


def test_one_frame_has_the_figures_of_the_reports(location: str, run: Run) -> None:
    """Of `analytics summary` over the same periods, on both engines."""
    store(location, *a_history())
    lines = run("dashboard", "--once", "--db", location).stdout.splitlines()
    for title, period in (("1 hour", ("--hours", "1")), ("24 hours", ("--hours", "24")), ("7 days", ("--days", "7"))):
        summary = json.loads(run("analytics", "summary", *period, "--json", "--db", location).stdout)
        count, rate, average, p95, cost, tokens = (summary[name] for name in RATES)
        assert row_of(lines, title) == [
            f"{count:,}", f"{rate:.1f}%", f"{average / 1000:.1f}s", f"{p95 / 1000:.1f}s", f"${cost:.2f}", f"{tokens:,}",
        ]  # fmt: skip


def test_one_frame_fits_and_is_text_alone(path: Path, run: Run) -> None:
    """Where the output is no terminal, also without being asked: no control codes, nothing to end it by."""
    for options in ((), ("--once",)):
        done = run("dashboard", *options, env={"FORCE_COLOR": "1"})
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert len(lines) <= 24
        assert [line for line in lines if len(line) > 80 or not line.isprintable() or line != line.rstrip()] == []
        assert "quit" not in done.stdout


def test_the_window_and_the_order_are_options(path: Path, run: Run) -> None:
    """And what is none of them is refused with those that there are."""
    assert "Last 7 days, by 3 hours" in run("dashboard", "--window", "7d").stdout
    assert "Last 1 hour, by minute" in run("dashboard", "--window", "1h").stdout
    assert "Agents by time" in run("dashboard", "--sort", "time").stdout
    for options in (("--window", "2h"), ("--sort", "name"), ("--refresh", "0.1"), ("--refresh", "x")):
        assert run("dashboard", *options).returncode == 2


def test_times_are_those_of_the_zone(path: Path, run: Run) -> None:
    """An hour's difference is one."""
    shown = [run("dashboard", "--timezone", zone).stdout.splitlines()[-1] for zone in ("+01:00", "+02:00")]
    assert shown[0] != shown[1]


def test_an_empty_store_is_no_failure(home: Path, run: Run) -> None:
    """It says what to do, and does not create a database."""
    done = run("dashboard", "--once")
    assert (done.returncode, "claude-force ingest" in done.stdout) == (0, True)
    assert list((home / ".claude").iterdir()) == []


def test_a_database_that_cannot_be_read_is_a_line(home: Path, run: Run) -> None:
    """For one frame it is an error as anywhere else."""
    (home / "no.db").write_text("this is no database, and long enough to be one" * 100)
    done = run("dashboard", "--once", "--db", "no.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_terminal_without_blocks_and_hostile_names(home: Path, run: Run) -> None:
    """Substitutes in as many cells, and what is in a name moves nothing."""
    agent = "\x1b]0;owned\x07\r\n[red]宽"
    store(home / "m.db", an_execution(timestamp_us=clock.now_us() - SECOND_US, agent_name=agent))
    plain = run("dashboard", "--db", "m.db", env={"PYTHONIOENCODING": "ascii"}).stdout
    assert plain.isascii()
    assert "#" in plain
    full = run("dashboard", "--db", "m.db", env={"COLUMNS": "160"}).stdout
    assert r"\x1b]0;owned\x07\r\n[red]宽" in full
    assert "\x1b" not in full


def test_the_script_of_the_guide(path: Path, home: Path) -> None:
    """scripts/dashboard.py takes the options of the command and answers --help."""
    script = [sys.executable, str(ROOT / "scripts" / "dashboard.py")]
    helped = subprocess.run([*script, "--help"], capture_output=True, text=True, check=True)
    assert "--refresh" in helped.stdout
    shown = subprocess.run([*script, "--once"], cwd=home, capture_output=True, text=True, check=True)
    assert row_of(shown.stdout.splitlines(), "7 days")[0] == "60"


@pytest.mark.parametrize("key", ENDINGS)
def test_a_key_ends_it_and_the_terminal_is_as_it_was(key: str, path: Path, home: Path) -> None:
    """The second screen is left, and keys are read by lines and echoed again."""
    with dashboard(home) as found:
        assert found.is_second_screen
        assert found.attributes != found.attributes_before
        found.press(ENDINGS[key])
        assert found.wait() == 0
        assert_left(found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(number: signal.Signals, path: Path, home: Path) -> None:
    """With the exit code that shells give it."""
    with dashboard(home) as found:
        found.process.send_signal(number)
        assert found.wait() == 128 + number
        assert_left(found)


def test_keys_change_the_window_and_the_order(path: Path, home: Path) -> None:
    """w goes round, 1 to 3 choose, s goes round; ? explains them; keys that have a name do nothing."""
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


def test_what_comes_in_is_shown(path: Path, home: Path) -> None:
    """The last executions, and the figures, without a key."""
    with dashboard(home) as found:
        before = row_of(found.lines, "1 hour")[0]
        store(path, an_execution(timestamp_us=clock.now_us(), agent_name="newcomer"))
        eventually(lambda: found.shows("newcomer"))
        assert int(row_of(found.lines, "1 hour")[0]) == int(before) + 1


def test_a_resize_is_followed(path: Path, home: Path) -> None:
    """Larger shows more, smaller less, too small says so; COLUMNS of the shell is not believed."""
    with dashboard(home, COLUMNS="70", LINES="20") as found:
        assert {len(line) for line in found.lines} == {80}
        found.resize(120, 40)
        eventually(lambda: found.shows("Failures"))
        assert (len(found.lines), {len(line) for line in found.lines}) == (40, {120})
        found.resize(30, 6)
        eventually(lambda: found.shows("Make the window larger"))
        found.resize(80, 24)
        eventually(lambda: found.shows("Last 24 hours"))


def test_it_is_suspended_and_brought_back(path: Path, home: Path) -> None:
    """Ctrl-Z gives the shell its screen and its lines; fg draws the dashboard again."""
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


def test_in_the_background_it_waits_to_be_brought_forward(path: Path, home: Path) -> None:
    """As every program that wants the terminal for itself."""
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


def test_colour_is_left_out_where_no_color_is_set(path: Path, home: Path) -> None:
    """Colours, that is; bold and underlined stay."""
    colours = re.compile(r"\x1b\[(?:\d+;)*3\d(?:;\d+)*m")
    with dashboard(home) as found:
        assert colours.search(found.text)
    with dashboard(home, NO_COLOR="1") as found:
        assert not colours.search(found.text)


def test_a_terminal_that_is_a_printer_gets_one_frame(path: Path, home: Path) -> None:
    """TERM=dumb: no control codes at all."""
    with terminal([PROGRAM, "dashboard"], home, TERM="dumb") as found:
        assert found.wait() == 0
        eventually(lambda: "7 days" in found.text)
        assert "\x1b[?" not in found.text


def test_a_store_that_is_made_while_it_runs(home: Path) -> None:
    """From the words for an empty store to its figures."""
    with dashboard(home) as found:
        assert found.shows("claude-force ingest")
        store(home / ".claude" / "metrics" / "metrics.db", *a_history())
        eventually(lambda: found.shows("code-reviewer"))


def test_a_database_that_goes_and_comes_back(path: Path, home: Path) -> None:
    """The last figures stay, under a line that says what is wrong; with the database the line goes."""
    with dashboard(home) as found:
        kept = path.rename(path.with_name("kept"))
        eventually(lambda: found.shows("Not read since"))
        assert row_of(found.lines, "7 days")[0] == "60"
        kept.rename(path)
        eventually(lambda: not found.shows("Not read since"))
        assert row_of(found.lines, "7 days")[0] == "60"


def test_a_server_that_goes_and_comes_back(postgres_server: str, postgres_url: str, home: Path) -> None:
    """Connections that are cut, and no new ones for a while: a line, and then the figures again."""
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


def test_a_database_of_another_schema_is_a_line_until_it_is_upgraded(path: Path, home: Path) -> None:
    """With the command to run."""
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
    """A frame is known to be whole when the next one begins, and any key draws one."""
    found.press("x")
    return found.shows(text)


def test_keys_are_answered_while_the_database_is_not(path: Path, home: Path) -> None:
    """Somebody holds the file exclusively, and a key asks for figures: the keys after it are answered, and the
    dashboard ends, before the reading gives up."""
    patience_s = BUSY_TIMEOUT_S / 2
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
        with dashboard(home) as found:
            raw.execute("BEGIN EXCLUSIVE")
            found.press("w?")
            eventually(partial(_shows_after_a_key, found, "the next window"), patience_s)
            assert not found.shows("Not read since")
            found.press("q")
            assert found.wait(patience_s) == 0
            assert_left(found)


def test_keys_come_from_the_terminal_where_input_does_not(path: Path, home: Path) -> None:
    """As in `something | claude-force dashboard`."""
    with terminal(["/bin/sh", "-c", f"exec {PROGRAM} dashboard --refresh 0.5 </dev/null"], home) as found:
        eventually(lambda: found.shows("quit"))
        found.press("q")
        assert found.wait() == 0
        assert_left(found)
