"""Promises to users, one small test each, with the installed program or the tracker."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import subprocess
from datetime import UTC
from pathlib import Path

import pytest

from claude_force.database import migrate
from claude_force.ingest.jsonl_source import JsonlSource
from claude_force.ingest.prefetch import SHORT_BYTES
from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.builders import a_line
from tests.conftest import EXAMPLES, PROGRAM, Run


def test_a_cancellation_loses_no_tracked_call(tmp_path: Path) -> None:
    """Tasks cancelled while they wait to be recorded are recorded."""
    tracker = PerformanceTracker(database=str(tmp_path / "metrics.db"))

    async def work() -> None:
        async with tracker.track("task"):
            await asyncio.sleep(0)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    async def everything() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(work())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        asyncio.run(everything())
    assert len(tracker.get_all_metrics()) == 200
    tracker.close()


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_an_export_never_overwrites_its_database(prefix: str, suffix: str, run: Run, tmp_path: Path) -> None:
    """Whatever the name of the database, neither it nor its WAL is accepted as an output."""
    path = tmp_path / "metrics.db"
    run("import", EXAMPLES / "executions-guide.jsonl", "--db", path)
    before = path.read_bytes()
    done = run("analytics", "export", "--db", f"{prefix}{path}", "--output", f"{path}{suffix}")
    assert (done.returncode, path.read_bytes()) == (2, before)
    assert "is the database" in done.stderr


@pytest.mark.parametrize(
    ("name", "reason"), [("other.db", "is a database of claude-force"), (".claude/claude.json", "has the settings")]
)
def test_a_report_never_overwrites_another_database_or_the_settings(
    name: str, reason: str, run: Run, home: Path
) -> None:
    """A file that was named by mistake is kept. Any other file is replaced, as `>` does."""
    run("db", "upgrade", "--db", "other.db")
    run("config", "set", "performance.backups_kept", "3")
    run("import", EXAMPLES / "executions-guide.jsonl")
    before = (home / name).read_bytes()
    for command in (["summary", "--format", "json"], ["analytics", "export", "--format", "jsonl"], ["report"]):
        done = run(*command, "--output", name)
        assert (done.returncode, (home / name).read_bytes()) == (2, before), command
        assert reason in done.stderr
    (home / "old.json").write_text("old")
    assert run("summary", "--output", "old.json").returncode == 0
    assert json.loads((home / "old.json").read_text())


def test_a_database_in_the_settings_is_the_same_in_every_folder(run: Run, home: Path) -> None:
    """A relative path in claude.json is relative to the folder with `.claude`, in any working folder."""
    run("config", "set", "performance.database", "data/metrics.db")
    (home / "sub").mkdir()
    assert run("db", "path").stdout == run("db", "path", cwd=home / "sub").stdout == f"{home}/data/metrics.db\n"


def test_costs_of_version_1_3_show_no_savings(run: Run) -> None:
    """An imported history of claude-force 1.3 that was not repriced shows no savings, and a note says why."""
    done = run("import", EXAMPLES / "executions-1.3.jsonl")
    assert "3,000 costs are known to be far too low" in done.stderr
    summary = json.loads(run("analytics", "summary", "--json").stdout)
    assert summary["cost_savings"] == {"amount": None, "percent": None}
    assert summary["cost_too_low_executions"] == 3000
    caveat = "3,000 costs are known to be far too low, as claude-force 1.3 wrote them; to correct them: claude-force db"
    assert all(caveat in " ".join(run(report).stdout.split()) for report in ("summary", "costs"))
    run("import", EXAMPLES / "executions-1.3.jsonl", "--reprice")
    summary = json.loads(run("analytics", "summary", "--json").stdout)
    assert summary["cost_savings"]["percent"] == pytest.approx(24.2, abs=0.1)
    assert summary["cost_too_low_executions"] == 0


def test_a_forked_child_does_not_remove_its_parents_private_database(run_code: Run) -> None:
    """Without persistence, executions are removed when the tracker that recorded them is closed, not when a forked
    child ends."""
    code = (
        "import os\nfrom claude_force.performance_tracker.tracker import PerformanceTracker\n"
        "tracker = PerformanceTracker(enable_persistence=False)\ntracker.record_execution('a')\n"
        "child = os.fork()\nif child == 0:\n    raise SystemExit(0)\n"
        "os.waitpid(child, 0)\nprint(len(tracker.get_all_metrics()))"
    )
    done = run_code(code)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_database_may_be_named_before_the_command(run: Run, tmp_path: Path) -> None:
    """The answer is the same wherever --db stands, and twice the same name is no contradiction."""
    database = tmp_path / "other.db"
    run("--db", database, "import", EXAMPLES / "executions-guide.jsonl")
    lines = [
        ("summary", "--json", "--db", database),
        ("--db", database, "summary", "--json"),
        ("--db", database, "analytics", "summary", "-j"),
        ("analytics", "--db", database, "summary", "--json"),
        ("--db", database, "analytics", "--db", database, "summary", "--json", "--db", database),
    ]
    answers = [run(*line) for line in lines]
    assert [(done.returncode, done.stderr) for done in answers] == [(0, "")] * len(lines)
    totals = {json.loads(done.stdout)["total_executions"] for done in answers}
    assert len(totals) == 1
    assert totals != {0}
    assert run("-V").stdout == run("--version").stdout


def test_an_export_of_an_unknown_agent_is_an_error(run: Run) -> None:
    """As in every report. No empty file is written."""
    run("import", EXAMPLES / "executions-guide.jsonl")
    done = run("analytics", "export", "--agent", "agent-0O", "--output", "x.csv")
    assert (done.returncode, Path("x.csv").exists()) == (1, False)
    assert "did you mean agent-" in done.stderr


@pytest.mark.parametrize(
    ("options", "heading"),
    [
        (("--days", "36500"), "Last 36500 days"),
        (("--start", "2025-11-01 09:00", "--end", "2025-11-14"), "2025-11-01 09:00 to 2025-11-14"),
        (("--end", "2025-11-14"), "Until 2025-11-14"),
    ],
)
def test_a_heading_names_the_period(options: tuple[str, ...], heading: str, run: Run) -> None:
    """A rolling period is "Last ...". Dates are shown as given."""
    run("import", EXAMPLES / "executions-guide.jsonl")
    assert run("analytics", "summary", *options).stdout.splitlines()[0] == f"Performance Summary ({heading})"


def test_db_check_finds_a_missing_index(run: Run, home: Path) -> None:
    """`db check` compares every table and index with the schema."""
    run("import", EXAMPLES / "executions-guide.jsonl")
    assert run("db", "check").returncode == 0
    with sqlite3.connect(home / ".claude" / "metrics" / "metrics.db") as raw:
        raw.execute("DROP INDEX ix_executions_timestamp_us_uid_series_id_duration_us")
    raw.close()
    done = run("db", "check")
    assert done.returncode == 1
    assert "index ix_executions_timestamp_us_uid_series_id_duration_us is missing" in done.stdout


def test_an_output_keeps_the_permissions_of_its_file(run: Run, home: Path) -> None:
    """An existing private file stays private. A new file follows the umask."""
    run("import", EXAMPLES / "executions-guide.jsonl")
    private = home / "private.csv"
    private.touch(0o600)
    run("analytics", "export", "--output", private)
    run("analytics", "export", "--output", "new.csv", umask=0o027)
    assert private.read_bytes() == (home / "new.csv").read_bytes() != b""
    assert [path.stat().st_mode & 0o777 for path in (private, home / "new.csv")] == [0o600, 0o640]


def test_a_file_with_a_read_error_is_incomplete() -> None:
    """Lines before the read error are read, and the rest is one rejected line. The source knows it, so a spool is not
    removed."""

    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError(5, os.strerror(5))
            return super().readline(size)

    source = JsonlSource(UTC)
    first, second = source.read(Broken(a_line() * 2))
    assert (len(first.rows), first.rejected) == (1, [])
    assert (len(second.rows), [item.line for item in second.rejected]) == (0, [2])
    assert source.is_broken_off


def test_filters_are_named_in_the_report(run: Run) -> None:
    """A saved report shows what it is about."""
    run("import", EXAMPLES / "executions-guide.jsonl")
    assert "Only agent agent-00" in run("analytics", "by-model", "--agent", "agent-00").stdout
    found = json.loads(run("analytics", "by-model", "--agent", "agent-00", "--timezone", "UTC", "--json").stdout)
    assert (found["filters"], found["timezone"]) == ({"agent": ["agent-00"]}, "UTC")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"SQLite format 3\0 and more", "a SQLite database"),
        (b'[\n{"timestamp": 1}]', "a JSON array"),
        (b"timestamp,agent_name,task_hash\n", "a CSV file"),
    ],
)
def test_a_file_of_another_kind_is_named(content: bytes, kind: str, run: Run, home: Path) -> None:
    """One line names its kind. Its lines are not rejected one by one."""
    (home / "file").write_bytes(content)
    done = run("import", "file")
    assert done.returncode == 1
    assert f"error: file is {kind};" in done.stderr
    assert not (home / ".claude" / "metrics" / "rejected.jsonl").exists()


def test_an_upgraded_file_passes_its_check(run: Run, home: Path) -> None:
    """An upgraded database is as valid as a new one."""
    path = home / "old.db"
    path.touch()
    with migrate.sqlite_connection(path) as connection:
        migrate.upgrade_connection(connection, "0001")
    assert run("db", "upgrade", "--db", path).returncode == 0
    run("import", EXAMPLES / "executions-guide.jsonl", "--db", path)
    done = run("db", "check", "--db", path)
    assert (done.returncode, done.stdout) == (0, f"{path}: ok\n")


def test_an_import_without_stderr_works(run: Run, home: Path) -> None:
    """No progress bar is shown then."""
    path = home / "long.jsonl"
    path.write_bytes(a_line() * (SHORT_BYTES // len(a_line()) + 1))
    shell = f"exec '{PROGRAM}' import '{path}' --json 2>&-"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0
    assert json.loads(done.stdout)["added"] == path.read_bytes().count(b"\n")
