"""Archiving as a person does it: what is said, what reports leave out, what stops it, what others do meanwhile."""

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
"""The beginnings of these months of 2025."""

LATER_US = FEBRUARY_US + 400 * DAY_US


def a_history(months: tuple[int, ...] = (JANUARY_US, FEBRUARY_US), each: int = 300) -> list[ExecutionMetrics]:
    """Executions a few minutes apart from the beginnings of months on, each with a workflow, some failed."""
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
    """The folder of the data."""
    return home / ".claude" / "metrics"


@pytest.fixture
def own(metrics: Path) -> Database:
    """The database that the program uses, with the executions of two months."""
    database = open_database(str(metrics / "metrics.db"))
    Store(database).add(a_history())
    return database


def assert_sound(database: Database, expected: int) -> None:
    """All sums agree and so many executions are counted."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        assert queries.totals(connection, Filter()).executions == expected


def archived(database: Database) -> int:
    """How many executions are archived."""
    with database.read() as connection:
        return queries.archived(connection, Filter()).executions


# What a person sees


def test_a_dry_run_says_what_would_be_and_changes_nothing(run: Run, own: Database, metrics: Path) -> None:
    """By month: how many executions, the file, that it does not exist."""
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
    assert (archived(own), query_stored(own)) == (0, 600)


def query_stored(database: Database) -> int:
    """How many executions are stored."""
    with database.read() as connection:
        return queries.stored(connection)


def test_archiving_says_what_it_did_and_how_to_undo_it(run: Run, own: Database, metrics: Path) -> None:
    """Files only their owner can read, an import that brings a month back, and nothing to do the second time."""
    done = run("archive")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Total           600" in done.stdout
    first = metrics / "archive" / "2025-01.jsonl.gz"
    assert f"claude-force import {first}" in done.stdout
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in first.parent.iterdir()) == ["2025-01.jsonl.gz", "2025-02.jsonl.gz"]
    assert_sound(own, 600)
    assert run("archive").stdout.startswith("Nothing is older than ")
    dry = json.loads(run("import", "--dry-run", first, "--json").stdout)
    back = json.loads(run("import", first, "--json").stdout)
    for shown in (dry, back):
        assert (shown["added"], shown["restored"], shown["duplicates"]) == (0, 300, 0)
    again = json.loads(run("import", first, "--json").stdout)
    assert (again["added"], again["duplicates"], "restored" in again) == (0, 300, False)
    assert (archived(own), query_stored(own)) == (300, 300)
    assert_sound(own, 600)
    assert run("db", "check").returncode == 0


def test_nothing_to_archive_is_said(run: Run, metrics: Path) -> None:
    """Without a database too, and no folder is made."""
    done = run("archive")
    assert (done.returncode, done.stdout.startswith("Nothing is older than")) == (0, True)
    assert not metrics.exists()


@pytest.mark.parametrize(
    ("age", "executions"), [("24h", 300), ("1d", 300), ("1", 300), ("1w", 300), ("1000d", 0), ("150w", 0)]
)
def test_ages(run: Run, metrics: Path, age: str, executions: int) -> None:
    """Hours, days, weeks, and a number of days."""
    Store(open_database(str(metrics / "metrics.db"))).add(a_history((FEBRUARY_US + 365 * DAY_US,)))
    shown = json.loads(run("archive", "--older-than", age, "--dry-run", "--json").stdout)
    assert shown["executions"] == executions


@pytest.mark.parametrize("age", ["", "90x", "-3d", "d", "1.5d", "90 days", "9999999d"])
def test_an_age_that_is_none_is_refused(run: Run, age: str) -> None:
    """In one line that says how ages are written."""
    done = run("archive", "--older-than", age)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "write 90d (days), 12w (weeks) or 36h (hours)" in done.stderr


def test_the_script_of_the_guide_is_the_command(own: Database, home: Path) -> None:
    """scripts/archive_old_metrics.py takes the options of `claude-force archive` and answers --help."""
    script = [sys.executable, str(ROOT / "scripts" / "archive_old_metrics.py")]
    helped = subprocess.run([*script, "--help"], capture_output=True, text=True, check=True, cwd=home)
    assert "--older-than" in helped.stdout
    done = subprocess.run([*script, "--json"], capture_output=True, text=True, check=True, cwd=home)
    assert json.loads(done.stdout)["executions"] == 600
    assert archived(own) == 600


def test_reports_say_what_is_not_in_them(run: Run, own: Database) -> None:
    """Reports by workflow and the export name the months and the import; the others only count what is archived."""
    Store(own).add(a_history((FEBRUARY_US + 600 * DAY_US,), 10))
    archive = json.loads(run("archive", "--json").stdout)
    assert archive["executions"] == 600
    note = "600 executions of 2025-01 to 2025-02 are archived and not in this report."
    remedy = "claude-force import .claude/metrics/archive/2025-01.jsonl.gz"
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


def test_blocks_of_archived_executions_are_the_same_blocks(run: Run, own: Database) -> None:
    """But for when the last execution of a block was."""
    before = json.loads(run("analytics", "blocks", "--json").stdout)["blocks"]
    assert run("archive").returncode == 0
    after = json.loads(run("analytics", "blocks", "--json").stdout)["blocks"]
    for block in (*before, *after):
        block.pop("actualEndTime")
    assert after == before
    assert run("analytics", "blocks", "--format", "csv").returncode == 0


def test_an_archive_is_a_history_elsewhere(run: Run, own: Database, tmp_path: Path, metrics: Path) -> None:
    """Another database takes an archive as new executions."""
    del own
    assert run("archive").returncode == 0
    elsewhere = tmp_path / "elsewhere.db"
    done = run("import", *sorted((metrics / "archive").iterdir()), "--db", elsewhere)
    assert "Added               600" in done.stdout
    assert_sound(open_database(str(elsewhere)), 600)


def test_reading_a_history_again_does_not_bring_it_back(run: Run, metrics: Path) -> None:
    """Neither an import of the file that it is from, nor what `ingest` follows, undoes an archive."""
    metrics.mkdir(parents=True)
    history = metrics / "executions.jsonl"
    history.write_bytes(GUIDE.read_bytes())
    assert json.loads(run("ingest", "--json").stdout)["added"] == 2001
    assert json.loads(run("archive", "--json").stdout)["executions"] == 2001
    for arguments in ((), (history,), ("--dry-run", history)):
        imported = json.loads(run("import", *arguments, "--json").stdout)
        assert (imported["added"], imported["duplicates"], "restored" in imported) == (0, 2001, False)
    # Read again from its beginning.
    os.utime(history)
    history.write_bytes(a_line(task_hash="0000aaaa") + GUIDE.read_bytes())
    dry = json.loads(run("ingest", "--dry-run", "--json").stdout)
    done = json.loads(run("ingest", "--json").stdout)
    assert dry["added"] == done["added"] == 1
    database = open_database(str(metrics / "metrics.db"))
    assert archived(database) == 2001
    assert_sound(database, 2002)


def test_each_database_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Whatever lies beside it, and whatever the password of a server is."""
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


# What stops it


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
    ids=["cut", "flipped", "empty", "plain", "more", "no uid", "no JSON", "order", "twice", "newer"],
)
def test_a_damaged_archive_stops_its_month_alone(
    run: Run, own: Database, metrics: Path, damage: Callable[[bytes], bytes]
) -> None:
    """One line says which file and what to do; nothing of the month is deleted and the file is not touched; other
    months are archived."""
    run("archive")
    more = [replace(found, uid=fresh_uid(found.timestamp_us)) for found in a_history(each=50)]
    Store(own).add(more)
    january = metrics / "archive" / "2025-01.jsonl.gz"
    damaged = damage(january.read_bytes())
    january.write_bytes(damaged)
    done = run("archive")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert f"error: {january} cannot be used as an archive" in done.stderr
    assert "2025-02.jsonl.gz" in done.stdout
    assert january.read_bytes() == damaged
    assert sorted(path.name for path in january.parent.iterdir()) == ["2025-01.jsonl.gz", "2025-02.jsonl.gz"]
    with own.read() as connection:
        assert queries.totals(connection, Filter(workflows=("flow-1",))).executions == 10
    assert_sound(own, 700)
    january.unlink()
    assert run("archive").returncode == 0
    assert archived(own) == 700
    assert_sound(own, 700)


def test_a_full_disk_deletes_nothing(run: Run, metrics: Path) -> None:
    """A file that cannot be written to its end is one line, and leaves nothing behind."""
    database = open_database(str(metrics / "metrics.db"))
    Store(database).add(a_history(each=4000))
    database.close()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = run("archive", preexec_fn=limit)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert "2025-01.jsonl.gz cannot be written: File too large; nothing of it was deleted" in done.stderr
    assert list((metrics / "archive").iterdir()) == []
    assert (archived(database), query_stored(database)) == (0, 8000)


def test_a_folder_that_cannot_be_made_is_one_line(run: Run, own: Database, metrics: Path) -> None:
    """Such as where a file has its name."""
    (metrics / "archive").write_text("a file")
    done = run("archive")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "nothing was archived" in done.stderr
    assert query_stored(own) == 600


def test_an_archive_that_was_moved_away_is_begun_anew(run: Run, own: Database, metrics: Path, tmp_path: Path) -> None:
    """Totals stay; what is archived later goes to a new file, and both can be brought back, in any order."""
    run("archive")
    january, moved = metrics / "archive" / "2025-01.jsonl.gz", tmp_path / "moved.gz"
    january.rename(moved)
    Store(own).add(replace(found, uid=fresh_uid(found.timestamp_us)) for found in a_history((JANUARY_US,), 7))
    assert json.loads(run("archive", "--json").stdout)["executions"] == 7
    assert_sound(own, 607)
    assert len(list(read_archive(january))) == 7
    assert json.loads(run("import", january, moved, "--json").stdout)["restored"] == 307
    assert_sound(own, 607)


# What others do meanwhile


def test_a_second_run_waits_for_nobody(database: Database, tmp_path: Path) -> None:
    """While there is something to archive, it says in one line that another is at work."""
    Store(database).add(a_history())
    said: list[str] = []

    def meanwhile(_: int) -> None:
        if not query_stored(database):
            return
        with pytest.raises(ArchiveError) as caught:
            archive_once(database, tmp_path / "archive", LATER_US, 0)
        said.append(str(caught.value))

    archive_once(database, tmp_path / "archive", LATER_US, 0, meanwhile)
    assert len(said) == 3
    assert all("another run is archiving into" in line and "\n" not in line for line in said)
    assert archived(database) == 600


def test_leftovers_of_a_killed_run_are_removed(database: Database, tmp_path: Path) -> None:
    """Its temporary file, and nothing else that lies there."""
    Store(database).add(a_history())
    (tmp_path / "archive").mkdir()
    for name in (".2025-01.jsonl.gz.tmp", ".1999-12.jsonl.gz.tmp", "notes.tmp", ".hidden"):
        (tmp_path / "archive" / name).write_text("half")
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == [
        ".hidden", "2025-01.jsonl.gz", "2025-02.jsonl.gz", "notes.tmp",
    ]  # fmt: skip


def test_what_changes_while_it_is_archived_stays(database: Database, tmp_path: Path) -> None:
    """Between writing a file and deleting what it holds: an execution that is repriced stays for the next run; one that
    is added behind the place reached, and one that is deleted, are right in every sum."""
    store, executions = Store(database), a_history((JANUARY_US,))
    store.add(executions)
    late = an_execution(timestamp_us=JANUARY_US + 1)
    steps: list[int] = []

    def meanwhile(count: int) -> None:
        steps.append(count)
        if len(steps) == 1:
            store.reprice([to_row(replace(found, cost_nanousd=1)) for found in executions[:5]])
            store.add([late])
            store.delete(Window(executions[10].timestamp_us, executions[20].timestamp_us))

    archive_once(database, tmp_path / "archive", LATER_US, 0, meanwhile)
    assert steps == [300, 285]
    assert (archived(database), query_stored(database)) == (285, 6)
    assert_sound(database, 291)
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    assert (archived(database), query_stored(database)) == (291, 0)
    assert_sound(database, 291)
    with database.read() as connection:
        assert queries.totals(connection, Filter(Window(None, executions[5].timestamp_us + HOUR_US))).cost_nanousd > 5
    # What was deleted after it was written is in the file, and nobody knows it here.
    rows = list(read_archive(tmp_path / "archive" / "2025-01.jsonl.gz"))
    assert len(rows) == 301
    assert store.add_rows(rows).added == 10


def test_bringing_back_while_archiving_loses_nothing(database: Database, tmp_path: Path) -> None:
    """An import of the archive at any step of another run."""
    store, executions = Store(database), a_history((JANUARY_US,))
    store.add(executions[:150])
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    rows = list(read_archive(tmp_path / "archive" / "2025-01.jsonl.gz"))
    store.add(executions)

    def meanwhile(_: int) -> None:
        store.restore(rows)

    archive_once(database, tmp_path / "archive", LATER_US, 0, meanwhile)
    assert archived(database) + query_stored(database) == 300
    assert_sound(database, 300)
    archive_once(database, tmp_path / "archive", LATER_US, 0)
    assert (archived(database), len(list(read_archive(tmp_path / "archive" / "2025-01.jsonl.gz")))) == (300, 300)
    assert_sound(database, 300)


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


def test_a_recorder_goes_on_meanwhile(location: str, database: Database, tmp_path: Path, home: Path) -> None:
    """Another process records into the month that is archived, again and again; nothing is lost or counted twice."""
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
    assert_sound(database, 300 + count)


def test_an_hour_is_archived_whole(database: Database, tmp_path: Path) -> None:
    """An age ends at a full hour, so that what reports say of an hour comes from one place."""
    Store(database).add(a_history((JANUARY_US,)))
    report = archive_once(database, tmp_path / "archive", JANUARY_US + 2 * DAY_US + HOUR_US // 2, 2 * DAY_US)
    assert (report.executions, report.until_us) == (0, JANUARY_US)
    report = archive_once(database, tmp_path / "archive", JANUARY_US + 2 * DAY_US + 3 * HOUR_US // 2, 2 * DAY_US)
    assert (report.executions, report.until_us) == (12, JANUARY_US + HOUR_US)


def test_months_are_those_of_utc() -> None:
    """From the first instant to the last, in the years with and without a leap day."""
    assert month_of(JANUARY_US) == ("2025-01", JANUARY_US, FEBRUARY_US)
    assert month_of(FEBRUARY_US - 1) == ("2025-01", JANUARY_US, FEBRUARY_US)
    assert month_of(FEBRUARY_US) == ("2025-02", FEBRUARY_US, FEBRUARY_US + 28 * DAY_US)
    assert month_of(0)[0] == "1970-01"
