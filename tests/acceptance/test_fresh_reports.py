"""Every report reads what is new before it answers, and says how old it is and what it does not contain."""

from __future__ import annotations

import csv
import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from claude_force import clock
from claude_force.cli.progress import explained_interrupt
from claude_force.cli.root import _describe, cli
from claude_force.database.open import open_database
from claude_force.ingest.sources import INGESTING
from tests.builders import an_execution
from tests.commands import walk
from tests.conftest import Run
from tests.transcripts import Talk, main_file, put

REPORTS = (
    "summary", "by-agent", "by-model", "by-workflow", "by-session", "by-branch", "by-project", "by-host", "by-user",
    "costs", "trends",
    "errors", "blocks", "sessions", "daily", "weekly", "monthly", "reconcile", "backfill", "outcomes",
)  # fmt: skip
WITH_FIGURES = tuple(name for name in REPORTS if name not in ("reconcile", "backfill", "outcomes"))
KEYS = ["as_of", "last_ingest", "age_seconds", "unread_files", "unread_bytes", "problems"]


@pytest.fixture
def projects(home: Path) -> Path:
    """Where Claude Code keeps the transcripts of the user."""
    return home / ".claude" / "projects"


def talk(projects: Path, number: int = 1) -> Path:
    """The transcript of a session that has one response, from a minute ago."""
    found = Talk(session=f"0000000{number}-0000-4000-8000-000000000000")
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found.constants = {"timestamp": now}
    found.prompt()
    found.respond(f"msg_{number}")
    return put(main_file(projects, found.session), found.lines)


@contextmanager
def another_pass(home: Path) -> Iterator[None]:
    """Another process reads the usual sources."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    with database.try_exclusive(INGESTING):
        yield
    database.close()


def as_json(run: Run, *arguments: str) -> dict[str, Any]:
    """A report as JSON."""
    done = run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_reads_what_is_new(report: str, run: Run, projects: Path) -> None:
    """Without a word before it, and says when."""
    talk(projects)
    data = as_json(run, report)["data"]
    assert list(data) == KEYS
    assert {name: data[name] for name in KEYS[2:]} == {
        "age_seconds": 0, "unread_files": 0, "unread_bytes": 0, "problems": [],
    }  # fmt: skip
    assert data["as_of"] == data["last_ingest"]
    assert as_json(run, "summary", "--no-ingest")["total_executions"] == 1


@pytest.mark.parametrize("report", REPORTS)
def test_the_foot_is_the_last_line(report: str, run: Run, projects: Path) -> None:
    """Of a table and of Markdown; CSV has rows alone."""
    talk(projects)
    for form in ("table", "markdown"):
        lines = run(report, "--format", form).stdout.splitlines()
        assert re.fullmatch(r"Read (just now|\d+ s ago)\.", lines[-1])
        assert lines[-2] == ""
    assert "Read" not in run(report, "--format", "csv").stdout


def test_no_ingest_reads_nothing(run: Run, projects: Path) -> None:
    """The age is that of the last pass, and what is unread is unknown."""
    talk(projects)
    assert as_json(run, "summary", "--no-ingest")["data"]["last_ingest"] is None
    assert "Read just now" not in run("summary", "--no-ingest").stdout
    as_json(run, "summary")
    talk(projects, 2)
    found = as_json(run, "summary", "--no-ingest")
    assert found["total_executions"] == 1
    assert (found["data"]["unread_files"], found["data"]["unread_bytes"]) == (None, None)
    assert re.search(r"\nRead (just now|\d+ s ago)\.\n$", run("summary", "--no-ingest").stdout)


@pytest.mark.parametrize("report", WITH_FIGURES)
def test_what_is_not_read_is_unknown_and_not_zero(report: str, run: Run, home: Path, projects: Path) -> None:
    """In text, CSV and JSON: a period without executions, while a file waits that may have some."""
    path = talk(projects)
    with another_pass(home):
        text = run(report).stdout
        rows = list(csv.reader(io.StringIO(run(report, "--format", "csv").stdout)))
        found = as_json(run, report)
    assert text.startswith("Unknown: no execution of this period is read yet.\n")
    assert f"1 file ({path.stat().st_size / 1000:.1f} KB) is not read yet: claude-force ingest" in text
    assert "$0.00" not in text
    data = found.pop("data")
    assert (data["unread_files"], data["unread_bytes"], data["last_ingest"]) == (1, path.stat().st_size, None)
    assert "another process is reading now" in data["problems"][0]
    assert not [value for value in numbers(found) if value == 0]
    assert not [cell for row in rows for cell in row if cell in ("0", "0.0")]


def numbers(figures: Any) -> Iterator[float]:
    """Every number in a JSON document."""
    for value in figures.values() if isinstance(figures, dict) else figures if isinstance(figures, list) else [figures]:
        if isinstance(value, (dict, list)):
            yield from numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield value


def test_the_figures_of_what_is_read_stay(run: Run, home: Path, projects: Path) -> None:
    """They are what is known; the foot says what is missing."""
    talk(projects)
    assert run("ingest").returncode == 0
    talk(projects, 2)
    backdate(home)
    with another_pass(home):
        found = as_json(run, "summary")
        text = run("summary").stdout
    assert (found["total_executions"], found["failed_executions"]) == (1, 0)
    assert found["data"]["unread_files"] == 1
    assert "Total Executions: 1" in text
    assert "is not read yet: claude-force ingest" in text


def test_a_name_that_is_not_read_yet_says_so(run: Run, home: Path, projects: Path) -> None:
    """The store does not know it, and a file that waits may have it."""
    talk(projects)
    assert run("ingest").returncode == 0
    talk(projects, 2)
    backdate(home)
    with another_pass(home):
        done = run("summary", "--agent", "newcomer")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no agent newcomer in the store; ")
    assert done.stderr.endswith("is not read yet: claude-force ingest\n")
    assert "not read yet" not in run("summary", "--agent", "newcomer").stderr


def backdate(home: Path) -> None:
    """Let the last pass be an hour ago."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    with database.write() as connection:
        connection.execute("UPDATE ingest_passes SET began_us = began_us - :hour", {"hour": clock.HOUR_US})
    database.close()


def test_an_export_stays_pure(run: Run, home: Path, projects: Path) -> None:
    """What is missing is said on stderr."""
    talk(projects)
    done = run("export", "--format", "csv")
    assert (len(done.stdout.splitlines()), done.stderr) == (2, "")
    talk(projects, 2)
    backdate(home)
    with another_pass(home):
        done = run("export", "--format", "csv")
    assert len(done.stdout.splitlines()) == 2
    assert "warning: 1 file (" in done.stderr


def test_a_named_sample_stays_a_sample(run: Run, home: Path, projects: Path) -> None:
    """Its reports read nothing and say nothing of an age."""
    talk(projects)
    database = open_database(str(home / "sample.db"))
    from claude_force.database.writes import Store

    Store(database).add([an_execution()])
    database.close()
    assert as_json(run, "summary", "--db", "sample.db")["total_executions"] == 1
    assert as_json(run, "summary", "--db", "sample.db")["data"]["last_ingest"] is None
    assert "Read" not in run("summary", "--db", "sample.db").stdout
    assert not (home / ".claude" / "metrics").exists()
    assert run("ingest", "--db", "sample.db").returncode == 0
    talk(projects, 2)
    assert as_json(run, "summary", "--db", "sample.db", "--no-ingest")["total_executions"] == 2


def test_a_page_says_when_the_transcripts_were_read(run: Run, home: Path, projects: Path) -> None:
    """With the instant, since nobody knows when it is looked at; and what is not in it."""
    talk(projects)
    assert run("report").returncode == 0
    page = Path("report.html").read_text()
    assert re.search(r"Made \d{4}-\d\d-\d\d \d\d:\d\d, transcripts read \d{4}-\d\d-\d\d \d\d:\d\d, time zone", page)
    talk(projects, 2)
    backdate(home)
    with another_pass(home):
        done = run("report")
    assert "is not read yet: claude-force ingest" in Path("report.html").read_text()
    assert "is not read yet: claude-force ingest" in done.stderr


def test_an_empty_page_does_not_say_that_there_is_nothing(run: Run, home: Path, projects: Path) -> None:
    """While a file waits that may have executions."""
    talk(projects)
    with another_pass(home):
        assert run("report").returncode == 0
    assert "Unknown: no execution of this period is read yet." in Path("report.html").read_text()


def test_the_dashboard_shows_the_age_and_no_zeros(run: Run, home: Path, projects: Path) -> None:
    """One frame reads what is new as a report does."""
    talk(projects)
    with another_pass(home):
        lines = run("dashboard", "--once").stdout.splitlines()
    assert "is not read yet: claude-force ingest" in lines[1]
    lines = run("dashboard", "--once").stdout.splitlines()
    assert re.search(r"read (just now|\d+ s ago)  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", lines[0])
    (hour,) = [line for line in lines if line.startswith("1 hour")]
    assert hour.split()[2] == "1"


def test_periods_of_the_dashboard_are_unknown_and_not_zero(run: Run, home: Path, projects: Path) -> None:
    """The store has older executions, and a file waits."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    from claude_force.database.writes import Store

    Store(database).add([an_execution()])
    database.close()
    talk(projects)
    with another_pass(home):
        lines = run("dashboard", "--once").stdout.splitlines()
    (hour,) = [line for line in lines if line.startswith("1 hour")]
    assert set(hour.split()[2:]) == {"–"}


def test_the_status_line_has_the_session_so_far(run: Run, projects: Path) -> None:
    """Each answer, also within 30 seconds, where Claude Code does not send the cost; no database is needed before."""
    path = talk(projects)
    given = {"session_id": path.stem, "transcript_path": str(path)}
    first = run("statusline", input=json.dumps(given))
    cost = re.fullmatch(r"Claude \| \$([\d.]+) session / .*\n", first.stdout)
    assert cost is not None
    more = Talk(session=path.stem, constants={"timestamp": datetime.now(UTC).isoformat()})
    more.respond("msg_more")
    with path.open("ab") as file:
        file.write(more.data())
    again = run("statusline", input=json.dumps(given))
    more_cost = re.fullmatch(r"Claude \| \$([\d.]+) session / .*\n", again.stdout)
    assert more_cost is not None
    assert float(more_cost[1]) == pytest.approx(2 * float(cost[1]), abs=0.011)
    assert (first.stderr, again.stderr) == ("", "")


def test_the_status_line_leaves_out_what_is_not_read(run: Run, home: Path, projects: Path) -> None:
    """Never $0.00 for it."""
    talk(projects)
    with another_pass(home):
        assert run("statusline", input="").stdout == "Claude\n"
    assert run("statusline", input="").stdout.startswith("Claude | $")


def test_a_baseline_is_of_what_is_new(run: Run, projects: Path) -> None:
    """It is made and compared after reading."""
    talk(projects)
    assert "1 execution" in run("baseline", "create", "now").stdout
    done = run("baseline", "check", "--baseline", "now", "--json", "--days", "1")
    assert json.loads(done.stdout)["data"]["unread_files"] == 0
    assert re.search(r"\n\nRead .*\.\n$", run("baseline", "check", "--baseline", "now").stdout)


def test_an_interrupt_says_what_was_kept() -> None:
    """As one line, with the usual exit code."""
    with pytest.raises(KeyboardInterrupt) as caught, explained_interrupt("all of it"):
        raise KeyboardInterrupt
    assert _describe(caught.value) == ("interrupted: all of it", 130)
    assert _describe(KeyboardInterrupt()) == ("interrupted", 130)


def test_an_interrupt_that_click_translates_says_it_too() -> None:
    """click makes an Abort of Ctrl-C."""

    @click.command()
    def read() -> None:
        with explained_interrupt("all of it"):
            raise KeyboardInterrupt

    with pytest.raises(click.Abort) as caught:
        read.main([], standalone_mode=False)
    assert _describe(caught.value) == ("interrupted: all of it", 130)


def test_every_report_takes_no_ingest() -> None:
    """What filters executions reads them, so it reads what is new before."""
    options = {" ".join(path): {option.name for option in command.params} for path, command in walk(cli)}
    reports = {name for name, found in options.items() if "agents" in found}
    assert {"summary", "analytics summary", "report", "baseline check"} <= reports
    assert {name for name, found in options.items() if "no_ingest" in found} == {
        *reports,
        "",
        "analytics budgets",
        "budgets",
        "dashboard",
        "db sql",
        "run show",
        "serve",
        "statusline",
    }


def test_what_was_read_before_an_interrupt_stays(run: Run, home: Path, projects: Path) -> None:
    """The next report goes on from there."""
    from claude_force.database.workspace import workspace_at
    from claude_force.ingest.freshness import bring_up_to_date
    from claude_force.settings.home import find_home

    for number in (1, 2):
        talk(projects, number)
    workspace, _ = workspace_at(find_home(), None)
    asked: list[bool] = []

    def interrupt() -> bool:
        asked.append(True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_up_to_date(workspace, clock.now_us(), interrupt)
    workspace.database.close()
    assert asked == [True]
    assert as_json(run, "summary")["total_executions"] == 2


@pytest.mark.parametrize("options", [(), ("--no-ingest",)], ids=" ".join)
def test_a_server_that_cannot_be_reached_is_waited_for_once(options: tuple[str, ...], run: Run) -> None:
    """Not once to see what is new, and again for the report."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        calls: list[int] = []

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()
                    calls.append(1)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        done = run(
            "summary",
            "--db",
            f"postgresql://user@127.0.0.1:{port}/no_such_metrics?sslmode=disable&gssencmode=disable",
            *options,
        )
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert (done.returncode, "cannot reach" in done.stderr) == (1, True)
    assert len(calls) == 1
