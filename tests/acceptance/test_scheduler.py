"""The scheduler process: one for each database, each job at its times, and failures of a job or of the scheduler."""

from __future__ import annotations

import configparser
import json
import os
import plistlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_force.clock import DAY_US, HOUR_US, now_us
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import jobs as job_queries
from claude_force.database.rows.jobs import JobRun
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.database.writes import Store
from claude_force.database.writes import jobs as job_writes
from claude_force.errors import SchedulerError
from claude_force.scheduler.jobs import JOBS
from claude_force.scheduler.unit_files import unit_file_for
from claude_force.settings.home import find_home
from tests.builders import an_execution
from tests.conftest import Run
from tests.daemons import PATIENCE_S, eventually, is_up, last, scheduler

OWN_JOBS = [name for name, job in JOBS.items() if job.exporter is None]
"""The jobs that need no settings."""


def configure(home: Path, **section: object) -> None:
    """Write the settings."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))


def a_run(job: str, started_us: int, **changes: object) -> JobRun:
    """A successful run."""
    values = {
        "host": "elsewhere", "pid": 1, "finished_us": started_us + 1, "outcome": "ok", "counts": "{}", "problem": None,
    } | changes  # fmt: skip
    return JobRun(f"{job}-{started_us}", job, started_us=started_us, **values)  # type: ignore[arg-type]


def record_runs(database: Database, *runs: JobRun) -> None:
    """Record past runs."""
    with database.write() as connection:
        for run in runs:
            job_writes.begin(connection, run)


def all_ran(database: Database) -> bool:
    """Whether each job has run."""
    return all(last(database, job) for job in OWN_JOBS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_every_job_runs_and_a_signal_stops_it(database: Database, location: str, home: Path, number: int) -> None:
    """On a new database each job runs at once. SIGTERM and Ctrl-C stop the scheduler with exit code 0 and no error."""
    with scheduler(location, home) as process:
        eventually(lambda: all_ran(database))
        process.send_signal(number)
        _, log = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert "stopped" in log
    assert "Traceback" not in log
    found = {job: last(database, job) for job in (*OWN_JOBS, "scheduler")}
    assert {job: run and run.outcome for job, run in found.items()} == dict.fromkeys(found, "ok")


def test_a_second_scheduler_names_the_first(database: Database, location: str, home: Path) -> None:
    """It ends at once with exit code 1 and one line with the pid of the first."""
    with scheduler(location, home) as first:
        eventually(lambda: is_up(database, first))
        with scheduler(location, home) as second:
            _, log = second.communicate(timeout=PATIENCE_S)
            assert second.returncode == 1
        assert str(first.pid) in log.strip().splitlines()[-1]
        assert "Traceback" not in log
        assert first.poll() is None


def test_each_database_has_its_own_scheduler(home: Path, tmp_path: Path) -> None:
    """Two databases have two schedulers."""
    paths = [tmp_path / "one.db", tmp_path / "two.db"]
    databases = [open_database(str(path)) for path in paths]
    with scheduler(paths[0], home) as one, scheduler(paths[1], home) as two:
        eventually(lambda: is_up(databases[0], one))
        eventually(lambda: is_up(databases[1], two))


def test_after_a_kill_another_scheduler_starts(database: Database, location: str, home: Path) -> None:
    """The next scheduler marks the running job as interrupted."""
    with scheduler(location, home) as first:
        eventually(lambda: is_up(database, first))
        first.kill()
        first.wait()
    from claude_force.executions.origin import host_name

    record_runs(database, a_run("ingest", now_us(), host=host_name(), outcome="running", finished_us=None))
    with scheduler(location, home) as second:
        eventually(lambda: is_up(database, second))
        with database.read() as connection:
            outcomes = [run.outcome for run in job_queries.runs(connection, "scheduler", 0)]
            assert outcomes == ["running", "interrupted"]
            assert "running" not in [run.outcome for run in job_queries.runs(connection, "ingest", 0)[1:]]


def test_a_job_that_was_due_runs_once_at_the_start(sqlite_database: Database, home: Path) -> None:
    """After days without a scheduler a daily job runs once. A job that ran an hour ago does not run."""
    at_us = now_us()
    record_runs(
        sqlite_database, a_run("maintenance", at_us - 9 * DAY_US), a_run("baseline", at_us - HOUR_US),
        a_run("archive", at_us + 99 * DAY_US),
    )  # fmt: skip
    with scheduler(sqlite_database.name, home) as process:
        eventually(lambda: is_up(sqlite_database, process))
        eventually(lambda: last(sqlite_database, "alerts") and last(sqlite_database, "ingest"))
        eventually(lambda: (run := last(sqlite_database, "maintenance")) and run.started_us >= at_us)
        with sqlite_database.read() as connection:
            runs = {job: len(job_queries.runs(connection, job, 0)) for job in ("maintenance", "baseline")}
            # A run that a wrong clock dated into the future does not delay the job.
            eventually(lambda: len(job_queries.runs(connection, "archive", at_us - DAY_US)) == 2 or None)
    assert runs == {"maintenance": 2, "baseline": 1}


@pytest.fixture
def sqlite_database(home: Path) -> Iterator[Database]:
    """The SQLite database of the home."""
    found = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    yield found
    found.close()


def test_a_job_that_fails_does_not_stop_the_others(sqlite_database: Database, home: Path) -> None:
    """It is recorded with its reason and runs again. The others continue."""
    configure(home, archive_after_days=1, schedule={"archive": "1s"})
    Store(sqlite_database).add([an_execution()])
    (home / ".claude" / "metrics" / "archive").write_text("in the way")
    with scheduler(sqlite_database.name, home) as process:
        eventually(lambda: all_ran(sqlite_database))
        eventually(lambda: len(failures(sqlite_database, "archive")) >= 2)
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert "archive" in (failures(sqlite_database, "archive")[0].problem or "")
    assert "Traceback" not in log
    # A lasting problem is logged once, not at every run.
    assert log.count("ERROR") == 1
    assert {job: run.outcome for job in ("ingest", "alerts") if (run := last(sqlite_database, job))} == {
        "ingest": "ok", "alerts": "ok",
    }  # fmt: skip


def failures(database: Database, job: str) -> list[JobRun]:
    """The failed runs of the job."""
    with database.read() as connection:
        return [run for run in job_queries.runs(connection, job, 0) if run.outcome == "failed"]


def test_settings_are_read_at_every_run(sqlite_database: Database, home: Path) -> None:
    """Runs fail while claude.json is broken, and succeed once it is fixed, without a restart."""
    configure(home, schedule={"alerts": "1s"})
    with scheduler(sqlite_database.name, home) as process:
        eventually(lambda: last(sqlite_database, "alerts"))
        (home / ".claude" / "claude.json").write_text("{")
        eventually(lambda: failures(sqlite_database, "alerts"))
        configure(home)
        eventually(lambda: (run := last(sqlite_database, "alerts")) and run.outcome == "ok")
        assert process.poll() is None
    assert "claude.json" in (failures(sqlite_database, "alerts")[0].problem or "")


def test_a_hanging_job_blocks_neither_the_others_nor_the_stop(
    sqlite_database: Database, home: Path, tmp_path: Path
) -> None:
    """While a job hangs, the others run, and SIGTERM stops the scheduler with exit code 0."""
    started = tmp_path / "started"
    command = ["/bin/sh", "-c", f"touch {started}; exec sleep 300"]
    configure(
        home,
        alerts={"no-data": {"threshold": 1}},
        channels={"hook": {"type": "command", "command": command}},
        schedule={"ingest": "1s"},
    )
    Store(sqlite_database).add([an_execution(timestamp_us=now_us() - DAY_US)])
    with scheduler(sqlite_database.name, home) as process:
        eventually(started.exists)
        before = now_us()
        eventually(lambda: (run := last(sqlite_database, "ingest")) and run.started_us > before)
        assert last(sqlite_database, "alerts") is None
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert "not waiting for alerts" in log


def test_a_running_job_is_finished_before_the_stop(sqlite_database: Database, home: Path, tmp_path: Path) -> None:
    """After SIGTERM a running job finishes, and its run is recorded."""
    started, go_on = tmp_path / "started", tmp_path / "go-on"
    os.mkfifo(go_on)
    command = ["/bin/sh", "-c", f"touch {started}; cat {go_on}"]
    configure(home, alerts={"no-data": {"threshold": 1}}, channels={"hook": {"type": "command", "command": command}})
    Store(sqlite_database).add([an_execution(timestamp_us=now_us() - DAY_US)])
    with scheduler(sqlite_database.name, home) as process:
        eventually(started.exists)
        process.terminate()
        go_on.write_text("go on")
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    done = last(sqlite_database, "alerts")
    assert done is not None
    assert (done.outcome, json.loads(done.counts)["delivered"]) == ("ok", 1)


def test_it_runs_detached(sqlite_database: Database, home: Path, run: Run) -> None:
    """`start --detach` prints the pid and returns when the scheduler runs. `status` and `stop` find it. Only the owner
    can read the log."""
    started = run("scheduler", "start", "--detach")
    assert (started.returncode, started.stderr) == (0, "")
    try:
        eventually(lambda: all_ran(sqlite_database))
        status = json.loads(run("scheduler", "status", "--json").stdout)
        assert status["running"]
        assert f"pid {status['pid']}" in started.stdout
        again = run("scheduler", "start", "--detach")
        assert again.returncode == 1
        assert again.stderr.startswith("error: ")
        assert str(status["pid"]) in again.stderr
    finally:
        stopped = run("scheduler", "stop")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    log = home / ".claude" / "metrics" / "scheduler.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert "stopped" in log.read_text()
    after = run("scheduler", "status", "--json")
    assert (after.returncode, json.loads(after.stdout)["running"]) == (1, False)
    assert run("scheduler", "stop").stdout.startswith("No scheduler runs")


def test_status_shows_the_last_and_next_run_of_each_job(sqlite_database: Database, run: Run) -> None:
    """With its outcome, the failures of the last day, and how late the job is."""
    at_us = now_us()
    record_runs(
        sqlite_database, a_run("ingest", at_us - 60_000_000, counts='{"added": 3}'),
        a_run("alerts", at_us - HOUR_US, outcome="failed", problem="no\x1b[31mgood"),
    )  # fmt: skip
    done = run("scheduler", "status")
    assert done.returncode == 1
    assert "added 3" in done.stdout
    assert "no\\x1b[31mgood" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    jobs = {job["job"]: job for job in json.loads(run("scheduler", "status", "--json").stdout)["jobs"]}
    assert jobs["alerts"]["failures_last_day"] == 1
    assert jobs["ingest"]["last_counts"] == {"added": 3}
    assert jobs["baseline"]["last_started"] is None


@pytest.mark.parametrize("job", OWN_JOBS)
def test_each_job_can_be_run_by_hand(job: str, run: Run, home: Path) -> None:
    """`run JOB` runs it once, prints the result and records it, even on an empty database."""
    done = run("scheduler", "run", job)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{job}: ok")
    (listed,) = [item for item in json.loads(run("scheduler", "status", "--json").stdout)["jobs"] if item["job"] == job]
    assert listed["last_outcome"] == "ok"


def test_archiving_is_off_by_default(run: Run) -> None:
    """Without an age to archive at, the job archives nothing and does not warn."""
    done = run("scheduler", "run", "archive")
    assert (done.stdout, done.stderr) == ("archive: ok (archived 0, months 0)\n", "")
    assert "Problems" not in run("scheduler", "status").stdout


def test_a_long_problem_is_not_truncated(sqlite_database: Database, run: Run) -> None:
    """It continues on the next line, with its remedy."""
    problem = f"the Pushgateway {'did not take it ' * 5}; claude-force push prometheus --gateway http://127.0.0.1:9091"
    record_runs(sqlite_database, a_run("ingest", now_us(), outcome="failed", problem=problem))
    shown = run("scheduler", "status").stdout
    lines = shown.partition("Problems:\n")[2].splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("  ingest: the Pushgateway")
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == f"ingest: {' '.join(problem.split())}"


def test_a_problem_of_a_run_is_printed_once(run: Run, home: Path) -> None:
    """`run JOB` prints a problem as one line, without a log line."""
    configure(home, channels={"ops": {"type": "nothing"}})
    done = run("scheduler", "run", "alerts")
    (line,) = done.stderr.splitlines()
    assert line.startswith('ops: type "nothing" does not exist')


def test_backups_are_made_once_a_day_and_the_oldest_removed(sqlite_database: Database, run: Run, home: Path) -> None:
    """The daily backup is valid. Only the scheduler's own backups are counted and removed."""
    configure(home, backups_kept=2)
    Store(sqlite_database).add([an_execution()])
    folder = home / ".claude" / "metrics" / "backups"
    folder.mkdir(parents=True)
    for name in ("metrics-daily-2020-01-01.db", "metrics-daily-2020-01-02.db", "metrics-20200101-000000.db"):
        (folder / name).write_bytes(b"old")
    for hour in (9, 21):
        assert run("scheduler", "run", "maintenance", at=f"2026-06-15T{hour:02}:00:00+00:00").returncode == 0
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["metrics-20200101-000000.db", "metrics-daily-2020-01-02.db", "metrics-daily-2026-06-15.db"]
    assert run("db", "check", "--db", folder / left[2]).returncode == 0


def test_a_damaged_database_replaces_no_good_backup(sqlite_database: Database, run: Run, home: Path) -> None:
    """If a copy fails its check, the job fails and every backup stays."""
    configure(home, backups_kept=1)
    Store(sqlite_database).add([an_execution() for _ in range(2000)])
    sqlite_database.optimize()
    sqlite_database.close()
    folder = home / ".claude" / "metrics" / "backups"
    folder.mkdir(parents=True)
    (folder / "metrics-daily-2020-01-01.db").write_bytes(b"good")
    path = Path(sqlite_database.name)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(content)
    assert run("scheduler", "run", "maintenance").returncode == 1
    assert [found.name for found in folder.iterdir()] == ["metrics-daily-2020-01-01.db"]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"ingset": "1m"}, "no job ingset"),
        ({"ingest": "often"}, "ingest must be a length of time"),
        ({"ingest": 30}, "ingest must be a length of time"),
        ({"ingest": "0s"}, "ingest must be a length of time"),
    ],
)
def test_an_invalid_schedule_is_one_line(run: Run, home: Path, schedule: dict[str, object], message: str) -> None:
    """The error names the mistake, and the scheduler does not start."""
    configure(home, schedule=schedule)
    for arguments in (("start",), ("start", "--detach"), ("jobs",), ("status",)):
        done = run("scheduler", *arguments)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert message in done.stderr


def test_a_job_can_be_switched_off(run: Run, home: Path) -> None:
    """`jobs` shows a job that is "off" in the schedule as off."""
    configure(home, schedule={"archive": "off", "ingest": "5m"})
    found = {job["job"]: job["every"] for job in json.loads(run("scheduler", "jobs", "--json").stdout)}
    assert (found["archive"], found["ingest"], found["alerts"]) == ("off", "5 minutes", "1 minute")


def test_an_unknown_job_is_a_usage_error(run: Run) -> None:
    """The error names the jobs that exist."""
    done = run("scheduler", "run", "nothing")
    assert done.returncode == 2
    assert "maintenance" in done.stderr


def the_workspace(home: Path) -> Workspace:
    return workspace_at(find_home(home), None)[0]


def test_the_systemd_unit_starts_this_program(run: Run, home: Path) -> None:
    """`install --write` writes a unit file whose command starts the scheduler of this home. Without --write nothing is
    written."""
    path = home / ".config" / "systemd" / "user" / "claude-force.service"
    shown = run("scheduler", "install")
    assert not path.exists()
    written = run("scheduler", "install", "--write")
    assert written.returncode == 0
    assert "systemctl --user" in written.stdout
    assert path.read_text() == shown.stdout
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(shown.stdout)
    assert unit["Service"]["ExecStart"].endswith("-m claude_force scheduler start --foreground")
    assert unit["Service"]["WorkingDirectory"] == str(home)


def test_a_unit_file_quotes_special_characters(home: Path) -> None:
    """A path with spaces, percent and dollar signs is one literal word of the command."""
    text = unit_file_for(the_workspace(home), 'postgresql://host/50% $HOME "x"', "linux").text
    assert '--db "postgresql://host/50%% $$HOME \\"x\\""' in text


def test_the_launchd_agent_is_a_property_list(home: Path) -> None:
    """On macOS the command is a list."""
    unit = unit_file_for(the_workspace(home), None, "darwin")
    content = plistlib.loads(unit.text.encode())
    assert content["ProgramArguments"][1:] == ["-m", "claude_force", "scheduler", "start", "--foreground"]
    assert content["WorkingDirectory"] == str(home)


def test_a_unit_file_shows_no_password(home: Path) -> None:
    """A URL with a password is refused, with the remedy."""
    with pytest.raises(SchedulerError, match=r"pgpass"):
        unit_file_for(the_workspace(home), "postgresql://me:secret@host/db", "linux")


def test_no_unit_file_for_other_systems(home: Path) -> None:
    """The error shows what to run at login."""
    with pytest.raises(SchedulerError, match=r"scheduler start"):
        unit_file_for(the_workspace(home), None, "win32")


_RUNS = """
import sys
from claude_force.clock import now_us
from claude_force.scheduler.jobs import JOBS, import_modules
from claude_force.database.workspace import workspace_at
from claude_force.settings.home import find_home
from claude_force.database.writes import jobs

workspace, _ = workspace_at(find_home(), None)
names = [name for name, job in JOBS.items() if job.exporter in (None, "prometheus")]
for name in names:
    import_modules(JOBS[name])
loaded = set(sys.modules)
for name in names:
    JOBS[name].run(workspace, now_us)
print(*sorted(name for name in set(sys.modules) - loaded if name.startswith("claude_force")))
"""


def test_a_run_imports_no_new_module(home: Path) -> None:
    """Jobs run in parallel threads, where two imports of the same modules in different order could deadlock."""
    configure(home, exporters={"prometheus": {"textfile": "figures.prom"}}, archive_after_days=30)
    Store(open_database(str(home / ".claude" / "metrics" / "metrics.db"))).add([an_execution()])
    done = subprocess.run(
        [sys.executable, "-c", _RUNS], cwd=home, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == []
