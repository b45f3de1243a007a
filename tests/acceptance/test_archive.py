"""`claude-force archive`: its output, what reports leave out, errors, and concurrent processes."""

from __future__ import annotations

import gzip
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from claude_force import clock
from claude_force.clock import DAY_US, HOUR_US, month_of
from claude_force.database import queries
from claude_force.database.archive import archive_folder, archive_once, read_archive
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import Store
from claude_force.errors import ArchiveError
from claude_force.executions.record import ExecutionMetrics, fresh_uid, to_row
from claude_force.time_windows import Window
from tests.builders import a_line, an_execution
from tests.conftest import EXAMPLES, ROOT, Run

GUIDE = EXAMPLES / "executions-guide.jsonl"
JANUARY_US, FEBRUARY_US = 1_735_689_600_000_000, 1_738_368_000_000_000
"""The starts of these months of 2025."""

LATER_US = FEBRUARY_US + 400 * DAY_US


def a_history(months: tuple[int, ...] = (JANUARY_US, FEBRUARY_US), each: int = 300) -> list[ExecutionMetrics]:
    """Executions five minutes apart from the start of each month. Each has a workflow, and some failed."""
    return [
        an_execution(
            timestamp_us=start + number * 300_000_000,
            agent_name=f"agent-{number % 3}",
            workflow_id=f"flow-{number % 5}",
            source="claude-code",
            success=number % 10 > 0,
            error_type=None if number % 10 else "TimeoutError",
            duration_us=1000 * number,
        )
        for start in months
        for number in range(each)
    ]


@pytest.fixture
def metrics(home: Path) -> Path:
    """The metrics folder of the home."""
    return home / ".claude" / "metrics"


@pytest.fixture
def history(metrics: Path) -> Database:
    """The home's default database with the executions of two months."""
    database = open_database(str(metrics / "metrics.db"))
    Store(database).add(a_history())
    return database


def assert_consistent(database: Database, expected: int) -> None:
    """All roll-ups agree with their rows, and this many executions are counted."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        assert queries.totals(connection, Filter()).executions == expected


def archived(database: Database) -> int:
    """The number of archived executions."""
    with database.read() as connection:
        return queries.archived(connection, Filter()).executions


# Output


def test_a_dry_run_shows_the_result_and_changes_nothing(run: Run, history: Database, metrics: Path) -> None:
    """It lists each month with its number of executions and its file, which does not exist yet."""
    shown = json.loads(run("archive", "--dry-run", "--json").stdout)
    assert [(month["month"], month["executions"], month["bytes"]) for month in shown["months"]] == [
        ("2025-01", 300, None),
        ("2025-02", 300, None),
    ]
    assert (shown["dry_run"], shown["executions"]) == (True, 600)
    page = run("archive", "--dry-run").stdout
    assert "To Be Archived" in page
    assert "2025-02.jsonl.gz" in page
    assert not (metrics / "archive").exists()
    assert (archived(history), query_stored(history)) == (0, 600)


def query_stored(database: Database) -> int:
    """The number of stored executions."""
    with database.read() as connection:
        return queries.stored(connection)


def test_archive_shows_its_result_and_how_to_undo_it(run: Run, history: Database, metrics: Path) -> None:
    """Only the owner can read the files. An import restores a month. A second run finds nothing to archive."""
    done = run("archive", "--older-than", "90d", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Total           600" in done.stdout
    first = metrics / "archive" / "2025-01.jsonl.gz"
    assert "claude-force archive restore" in done.stdout
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in first.parent.iterdir()) == ["2025-01.jsonl.gz", "2025-02.jsonl.gz"]
    assert_consistent(history, 600)
    assert run("archive", "--older-than", "90d", "--yes").stdout.startswith("Nothing is older than ")
    dry = json.loads(run("import", "--dry-run", first, "--json").stdout)
    back = json.loads(run("import", first, "--json").stdout)
    for shown in (dry, back):
        assert (shown["read"], shown["added"], shown["restored"], shown["duplicates"]) == (300, 300, 300, 0)
    again = json.loads(run("import", first, "--json").stdout)
    assert (again["added"], again["duplicates"], "restored" in again) == (0, 300, False)
    assert (archived(history), query_stored(history)) == (300, 300)
    assert_consistent(history, 600)
    assert run("db", "check").returncode == 0


def test_nothing_to_archive_is_reported(run: Run, metrics: Path) -> None:
    """This works without a database too, and creates no folder."""
    done = run("archive", "--older-than", "90d", "--yes")
    assert (done.returncode, done.stdout.startswith("Nothing is older than")) == (0, True)
    assert not metrics.exists()


@pytest.mark.parametrize(
    ("age", "executions"), [("24h", 300), ("1d", 300), ("1", 300), ("1w", 300), ("1000d", 0), ("150w", 0)]
)
def test_an_age_has_a_unit(run: Run, metrics: Path, age: str, executions: int) -> None:
    """Hours, days and weeks; a number without a unit is in days."""
    Store(open_database(str(metrics / "metrics.db"))).add(a_history((FEBRUARY_US + 365 * DAY_US,)))
    done = run("archive", "--older-than", age, "--dry-run", "--json", at="2026-11-01T00:00:00+00:00")
    assert json.loads(done.stdout)["executions"] == executions


@pytest.mark.parametrize("age", ["0", "0d", "0h"])
def test_an_age_of_nothing_is_not_the_default_age(run: Run, metrics: Path, age: str) -> None:
    """What began before this hour is old enough."""
    hours_ago_us = clock.now_us() - 3 * HOUR_US
    Store(open_database(str(metrics / "metrics.db"))).add([an_execution(timestamp_us=hours_ago_us)])
    assert json.loads(run("archive", "--older-than", age, "--dry-run", "--json").stdout)["executions"] == 1


@pytest.mark.parametrize("age", ["", "90x", "-3d", "d", "1.5d", "90 days", "9999999d"])
def test_an_invalid_age_is_refused(run: Run, age: str) -> None:
    """The error is one line that shows how to write an age."""
    done = run("archive", "--older-than", age)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "write 90d (days), 12w (weeks) or 36h (hours)" in done.stderr


def test_the_script_from_the_guide_works_like_the_command(history: Database, home: Path) -> None:
    """scripts/archive_old_metrics.py takes the options of `claude-force archive`, including --help.
    Without an age it takes 90 days."""
    script = [sys.executable, str(ROOT / "scripts" / "archive_old_metrics.py")]
    helped = subprocess.run([*script, "--help"], capture_output=True, text=True, check=True, cwd=home)
    assert "--older-than" in helped.stdout
    done = subprocess.run([*script, "--yes", "--json"], capture_output=True, text=True, check=True, cwd=home)
    assert json.loads(done.stdout)["executions"] == 600
    assert archived(history) == 600


def test_reports_name_archived_executions_they_leave_out(run: Run, history: Database) -> None:
    """Reports by workflow and the export name the months and the import that restores them. Other reports only count
    archived executions."""
    Store(history).add(a_history((clock.now_us() - DAY_US,), 10))
    archive = json.loads(run("archive", "--older-than", "90d", "--yes", "--json").stdout)
    assert archive["executions"] == 600
    note = "600 executions of 2025-01 to 2025-02 are archived and not in this report."
    remedy = "\n  claude-force archive restore\n"
    for arguments in (("by-workflow",), ("summary", "--workflow", "flow-1"), ("by-workflow", "--end", "2025-03-01")):
        shown = run("analytics", *arguments).stdout
        assert note in shown, arguments
        assert remedy in shown
    for report in ("summary", "by-agent", "by-model", "by-project", "costs", "trends", "errors", "blocks"):
        done = run("analytics", report)
        assert note not in done.stdout
        assert json.loads(run("analytics", report, "--json").stdout)["archived_executions"] == 600, report
    assert "Of 600 archived executions only the hour is known." in run("analytics", "blocks").stdout
    february = run("analytics", "by-workflow", "--start", "2025-02-01", "--end", "2025-02-28", "--json").stdout
    assert json.loads(february)["archived_executions"] == 300
    exported = run("analytics", "export", "--format", "jsonl")
    assert len(exported.stdout.splitlines()) == 10
    assert note in exported.stderr
    recent = run("analytics", "export", "--start", "2025-03-01")
    assert recent.stderr == ""
    unknown = run("analytics", "summary", "--workflow", "flow-unknown")
    assert (unknown.returncode, "the workflows of 600 archived executions are not known" in unknown.stderr) == (1, True)


def test_archiving_does_not_change_session_blocks(run: Run, history: Database) -> None:
    """Only the time of the last execution of a block is lost."""
    before = json.loads(run("analytics", "blocks", "--json").stdout)["blocks"]
    assert run("archive", "--older-than", "90d", "--yes").returncode == 0
    after = json.loads(run("analytics", "blocks", "--json").stdout)["blocks"]
    for block in (*before, *after):
        block.pop("actualEndTime")
    assert after == before
    assert run("analytics", "blocks", "--format", "csv").returncode == 0


def test_another_database_imports_an_archive(run: Run, history: Database, tmp_path: Path, metrics: Path) -> None:
    """There, all executions of the archive are new."""
    del history
    assert run("archive", "--older-than", "90d", "--yes").returncode == 0
    elsewhere = tmp_path / "elsewhere.db"
    done = run("import", *sorted((metrics / "archive").iterdir()), "--db", elsewhere)
    assert "Added               600" in done.stdout
    assert_consistent(open_database(str(elsewhere)), 600)


def test_importing_the_original_file_does_not_undo_an_archive(run: Run, metrics: Path) -> None:
    """This holds for an import of the file and for an ingest that reads it again."""
    metrics.mkdir(parents=True)
    history = metrics / "executions.jsonl"
    history.write_bytes(GUIDE.read_bytes())
    assert json.loads(run("ingest", "--json").stdout)["added"] == 2001
    assert json.loads(run("archive", "--older-than", "90d", "--yes", "--json").stdout)["executions"] == 2001
    for arguments in ((), (history,), ("--dry-run", history)):
        imported = json.loads(run("import", *arguments, "--json").stdout)
        assert (imported["added"], imported["duplicates"], "restored" in imported) == (0, 2001, False)
    # The changed file is read again from its start.
    os.utime(history)
    history.write_bytes(a_line(task_hash="0000aaaa") + GUIDE.read_bytes())
    dry = json.loads(run("ingest", "--dry-run", "--json").stdout)
    done = json.loads(run("ingest", "--json").stdout)
    assert dry["added"] == done["added"] == 1
    database = open_database(str(metrics / "metrics.db"))
    assert archived(database) == 2001
    assert_consistent(database, 2002)


def test_each_database_has_its_own_archive_folder(tmp_path: Path) -> None:
    """The folder does not depend on files beside the database or on the password of a server."""
    folders = [
        archive_folder(location, tmp_path / "metrics")
        for location in (
            str(tmp_path / "metrics" / "metrics.db"),
            str(tmp_path / "metrics" / "work.db"),
            str(tmp_path / "metrics" / "work.sqlite"),
            "postgresql://me:one@host/a",
            "postgresql://me:one@host/b",
        )
    ]
    assert len(set(folders)) == len(folders)
    assert folders[0] == tmp_path / "metrics" / "archive"
    assert archive_folder("postgresql://me:two@host/a", tmp_path / "metrics") == folders[3]


# Errors


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 20]) + content[middle + 20 :]


def _lines(content: bytes) -> list[bytes]:
    return gzip.decompress(content).splitlines(keepends=True)


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _flip,
        lambda content: b"",
        lambda content: b"not packed at all",
        lambda content: content + b"garbage",
        lambda content: gzip.compress(b"".join(_lines(content)) + a_line()),
        lambda content: gzip.compress(b"".join(_lines(content)) + b"no execution\n"),
        lambda content: gzip.compress(b"".join(reversed(_lines(content)))),
        lambda content: gzip.compress(_lines(content)[0] + b"".join(_lines(content))),
        lambda content: gzip.compress(b"".join(_lines(content)).replace(b'{"timestamp"', b'{"news":1,"timestamp"')),
    ],
    ids=[
        "truncated",
        "flipped bytes",
        "empty",
        "not gzip",
        "trailing bytes",
        "no uid",
        "not JSON",
        "wrong order",
        "duplicate",
        "unknown field",
    ],
)
def test_a_damaged_archive_file_stops_only_its_month(
    run: Run, history: Database, metrics: Path, damage: Callable[[bytes], bytes]
) -> None:
    """One line names the file and the remedy. The executions of the month stay stored, the file is not changed, and
    other months are archived."""
    run("archive", "--older-than", "90d", "--yes")
    more = [replace(found, uid=fresh_uid(found.timestamp_us)) for found in a_history(each=50)]
    Store(history).add(more)
    january = metrics / "archive" / "2025-01.jsonl.gz"
    damaged = damage(january.read_bytes())
    january.write_bytes(damaged)
    done = run("archive", "--older-than", "90d", "--yes")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert f"error: {january} cannot be used as an archive" in done.stderr
    assert "2025-02.jsonl.gz" in done.stdout
    assert january.read_bytes() == damaged
    assert sorted(path.name for path in january.parent.iterdir()) == ["2025-01.jsonl.gz", "2025-02.jsonl.gz"]
    with history.read() as connection:
        assert queries.totals(connection, Filter(workflows=("flow-1",))).executions == 10
    assert_consistent(history, 700)
    january.unlink()
    assert run("archive", "--older-than", "90d", "--yes").returncode == 0
    assert archived(history) == 700
    assert_consistent(history, 700)


def test_a_full_disk_deletes_nothing(run: Run, metrics: Path) -> None:
    """A file that cannot be written completely is reported in one line and removed."""
    database = open_database(str(metrics / "metrics.db"))
    Store(database).add(a_history(each=4000))
    database.close()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = run("archive", "--older-than", "90d", "--yes", preexec_fn=limit)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert "2025-01.jsonl.gz cannot be written: File too large; nothing of it was deleted" in done.stderr
    assert list((metrics / "archive").iterdir()) == []
    assert (archived(database), query_stored(database)) == (0, 8000)


def test_an_archive_folder_that_cannot_be_created_is_one_line(run: Run, history: Database, metrics: Path) -> None:
    """Here a file already has the name of the folder."""
    (metrics / "archive").write_text("a file")
    done = run("archive", "--older-than", "90d", "--yes")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "nothing was archived" in done.stderr
    assert query_stored(history) == 600


def test_a_new_archive_file_replaces_a_moved_one(run: Run, history: Database, metrics: Path, tmp_path: Path) -> None:
    """Totals do not change. Later executions go to a new file, and both files can be imported in any order."""
    run("archive", "--older-than", "90d", "--yes")
    january, moved = metrics / "archive" / "2025-01.jsonl.gz", tmp_path / "moved.gz"
    january.rename(moved)
    Store(history).add(replace(found, uid=fresh_uid(found.timestamp_us)) for found in a_history((JANUARY_US,), 7))
    assert json.loads(run("archive", "--older-than", "90d", "--yes", "--json").stdout)["executions"] == 7
    assert_consistent(history, 607)
    assert len(list(read_archive(january))) == 7
    assert json.loads(run("import", january, moved, "--json").stdout)["restored"] == 307
    assert_consistent(history, 607)


# Concurrent processes


def test_a_second_run_fails_at_once(database: Database, tmp_path: Path) -> None:
    """While the first run still has executions to archive, the second ends with one line that says so."""
    Store(database).add(a_history())
    errors: list[str] = []

    def archive_again(_: int) -> None:
        if not query_stored(database):
            return
        with pytest.raises(ArchiveError) as caught:
            archive_once(database, tmp_path / "archive", LATER_US, 0)
        errors.append(str(caught.value))

    archive_once(database, tmp_path / "archive", LATER_US, 0, archive_again)
    assert len(errors) == 3
    assert all("another run is archiving into" in line and "\n" not in line for line in errors)
    assert archived(database) == 600


def test_temporary_files_of_a_killed_run_are_removed(database: Database, tmp_path: Path) -> None:
    """Other files in the folder stay."""
    Store(database).add(a_history())
    (tmp_path / "archive").mkdir()
    for name in (".2025-01.jsonl.gz.tmp", ".1999-12.jsonl.gz.tmp", "notes.tmp", ".hidden"):
        (tmp_path / "archive" / name).write_text("half")
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == [
        ".hidden", "2025-01.jsonl.gz", "2025-02.jsonl.gz", "notes.tmp",
    ]  # fmt: skip


def test_executions_changed_during_a_run_stay_consistent(database: Database, tmp_path: Path) -> None:
    """The changes happen after the file was written and before its executions are deleted. A repriced execution stays
    stored until the next run. Sums include a late execution and exclude a deleted one."""
    store, executions = Store(database), a_history((JANUARY_US,))
    store.add(executions)
    late = an_execution(timestamp_us=JANUARY_US + 1)
    steps: list[int] = []

    def change(count: int) -> None:
        steps.append(count)
        if len(steps) == 1:
            store.reprice([to_row(replace(found, cost_nanousd=1)) for found in executions[:5]])
            store.add([late])
            store.delete(Window(executions[10].timestamp_us, executions[20].timestamp_us))

    archive_once(database, tmp_path / "archive", LATER_US, 0, change)
    assert steps == [300, 285]
    assert (archived(database), query_stored(database)) == (285, 6)
    assert_consistent(database, 291)
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    assert (archived(database), query_stored(database)) == (291, 0)
    assert_consistent(database, 291)
    with database.read() as connection:
        assert queries.totals(connection, Filter(Window(None, executions[5].timestamp_us + HOUR_US))).cost_nanousd > 5
    # Executions deleted after the file was written are only in the file, so an import adds them.
    rows = list(read_archive(tmp_path / "archive" / "2025-01.jsonl.gz"))
    assert len(rows) == 301
    assert store.add_rows(rows).added == 10


def test_importing_during_a_run_loses_nothing(database: Database, tmp_path: Path) -> None:
    """The archive is imported after every step of another run."""
    store, executions = Store(database), a_history((JANUARY_US,))
    store.add(executions[:150])
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    rows = list(read_archive(tmp_path / "archive" / "2025-01.jsonl.gz"))
    store.add(executions)

    def restore(_: int) -> None:
        store.restore(rows)

    archive_once(database, tmp_path / "archive", LATER_US, 0, restore)
    assert archived(database) + query_stored(database) == 300
    assert_consistent(database, 300)
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    assert (archived(database), len(list(read_archive(tmp_path / "archive" / "2025-01.jsonl.gz")))) == (300, 300)
    assert_consistent(database, 300)


_RECORDER = """
import sys
from claude_force.performance_tracker.tracker import PerformanceTracker
from datetime import datetime, timedelta, timezone

start = datetime(2025, 1, 20, tzinfo=timezone.utc)
with PerformanceTracker(database=sys.argv[1]) as tracker:
    for number in range(int(sys.argv[2])):
        tracker.record_execution("recorder", model="claude-haiku-4-5", timestamp=start + timedelta(seconds=number))
        print(number, flush=True)
"""


def test_recording_during_runs_loses_nothing(location: str, database: Database, tmp_path: Path, home: Path) -> None:
    """Another process records into the archived month while runs repeat. Nothing is lost or counted twice."""
    Store(database).add(a_history((JANUARY_US,)))
    count = 300
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _RECORDER, location, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
    ) as recorder:
        assert recorder.stdout
        for line in recorder.stdout:
            if int(line) % 20 == 0:
                archive_once(database, tmp_path / "archive", LATER_US, 0)
        assert recorder.wait() == 0
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    assert (archived(database), query_stored(database)) == (300 + count, 0)
    assert len(list(read_archive(tmp_path / "archive" / "2025-01.jsonl.gz"))) == 300 + count
    assert_consistent(database, 300 + count)


def test_an_hour_is_archived_completely(database: Database, tmp_path: Path) -> None:
    """The cutoff is rounded down to a full hour, so each hour of a report comes from one source."""
    Store(database).add(a_history((JANUARY_US,)))
    report = archive_once(database, tmp_path / "archive", JANUARY_US + 2 * DAY_US + HOUR_US // 2, 2 * DAY_US)
    assert (report.executions, report.until_us) == (0, JANUARY_US)
    report = archive_once(database, tmp_path / "archive", JANUARY_US + 2 * DAY_US + 3 * HOUR_US // 2, 2 * DAY_US)
    assert (report.executions, report.until_us) == (12, JANUARY_US + HOUR_US)


def test_months_are_utc_months() -> None:
    """The bounds are right from the first to the last instant, in years with and without a leap day."""
    assert month_of(JANUARY_US) == ("2025-01", JANUARY_US, FEBRUARY_US)
    assert month_of(FEBRUARY_US - 1) == ("2025-01", JANUARY_US, FEBRUARY_US)
    assert month_of(FEBRUARY_US) == ("2025-02", FEBRUARY_US, FEBRUARY_US + 28 * DAY_US)
    assert month_of(0)[0] == "1970-01"


# Asking, and the way back


def test_a_bare_archive_is_help(run: Run, history: Database) -> None:
    """It moves nothing, and neither does an option that does not say how old."""
    done = run("archive")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: claude-force archive [OPTIONS]" in done.stdout
    assert "restore" in done.stdout
    for options in (["--yes"], ["--json"], ["--yes", "--json"]):
        done = run("archive", *options)
        assert (done.returncode, "--older-than 90d" in done.stderr) == (2, True), options
    assert archived(history) == 0


@pytest.mark.parametrize("options", [[], ["--json"]], ids=" ".join)
def test_archiving_without_a_terminal_needs_yes(options: list[str], run: Run, history: Database, metrics: Path) -> None:
    """One line with the count, the months, the size and the option; nothing is moved."""
    done = run("archive", "--older-than", "90d", *options, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "600 executions of 2025-01 to 2025-02, about " in done.stderr
    assert f"would move to {metrics / 'archive'}" in done.stderr
    assert "give --yes, or --dry-run" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (archived(history), (metrics / "archive").exists()) == (0, False)


@pytest.mark.parametrize(("answer", "code", "moved"), [("y", 0, 600), ("n", 1, 0), ("", 1, 0)])
def test_archiving_on_a_terminal_asks(answer: str, code: int, moved: int, run: Run, history: Database) -> None:
    """After it has shown the count. Enter alone is a no."""
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = run("archive", "--older-than", "90d", stdin=theirs)
    os.close(theirs)
    os.close(ours)
    assert (done.returncode, "Archive 600? [y/N]" in done.stderr) == (code, True)
    assert done.stderr.startswith("600 executions of 2025-01 to 2025-02, about ")
    assert ("nothing was changed" in done.stderr) is (moved == 0)
    assert archived(history) == moved


def test_one_command_brings_all_months_back(run: Run, history: Database, metrics: Path) -> None:
    """All executions are stored and counted once. Again, or of months by name, it is safe."""
    run("archive", "--older-than", "90d", "--yes")
    done = run("archive", "restore")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Total         600" in done.stdout
    assert "performance.archive_after_days" not in done.stdout
    assert (archived(history), query_stored(history)) == (0, 600)
    assert_consistent(history, 600)
    assert len(list((metrics / "archive").iterdir())) == 2
    again = json.loads(run("archive", "restore", "--json").stdout)
    assert [(month["month"], month["restored"], month["stored"]) for month in again["months"]] == [
        ("2025-01", 0, 300),
        ("2025-02", 0, 300),
    ]
    assert_consistent(history, 600)


def test_some_months_are_brought_back(run: Run, history: Database) -> None:
    """By name; a month without an archive is refused with the names of those that there are."""
    run("archive", "--older-than", "90d", "--yes")
    done = run("archive", "restore", "2025-03")
    assert (done.returncode, "there are 2025-01, 2025-02" in done.stderr) == (2, True)
    assert json.loads(run("archive", "restore", "2025-02", "--json").stdout)["restored"] == 300
    assert (archived(history), query_stored(history)) == (300, 300)


def test_a_restore_says_that_the_scheduler_archives_again(run: Run, history: Database, home: Path) -> None:
    """If archive_after_days is set, with the command that turns it off."""
    run("archive", "--older-than", "90d", "--yes")
    (home / ".claude" / "claude.json").write_text('{"performance": {"archive_after_days": 90}}')
    done = run("archive", "restore")
    assert "performance.archive_after_days is 90" in done.stdout
    assert "\n  claude-force config set performance.archive_after_days 0\n" in done.stdout


def test_a_restore_without_archives_says_so(run: Run, metrics: Path) -> None:
    """Exit code 0, and nothing is created."""
    done = run("archive", "restore")
    assert (done.returncode, done.stdout) == (0, f"Nothing is archived in {metrics / 'archive'}\n")
    assert not metrics.exists()


def test_a_damaged_archive_does_not_stop_the_other_months(run: Run, history: Database, metrics: Path) -> None:
    """One line about it, exit code 1; what can be read of it is restored, and nothing goes into rejected.jsonl."""
    run("archive", "--older-than", "90d", "--yes")
    january = metrics / "archive" / "2025-01.jsonl.gz"
    january.write_bytes(_cut(january.read_bytes()))
    done = run("archive", "restore")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert f"{january} is damaged" in done.stderr
    assert query_stored(history) >= 300
    assert not (metrics / "rejected.jsonl").exists()


def test_the_options_of_archive_and_of_restore_do_not_mix(run: Run, history: Database, home: Path) -> None:
    """--db before `restore` is for it, any other option there is refused."""
    run("archive", "--older-than", "90d", "--yes")
    done = run("archive", "--older-than", "90d", "restore")
    assert (done.returncode, "--older-than is not for `archive restore`" in done.stderr) == (2, True)
    moved = (home / ".claude" / "metrics").rename(home / "elsewhere")
    done = run("archive", "--db", moved / "metrics.db", "restore", "--json")
    assert json.loads(done.stdout)["restored"] == 600
