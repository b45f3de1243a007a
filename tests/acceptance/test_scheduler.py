"""The scheduler as a process: one for a database, each job at its times, whatever happens to it or to a job."""

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
from claude_force.scheduler.unit_files import unit_of
from claude_force.settings.home import find_home
from tests.builders import an_execution
from tests.conftest import Run
from tests.daemons import eventually, is_up, last, scheduler

OWN_JOBS = [name for name, job in JOBS.items() if job.exporter is None]
"""Those that need nothing in claude.json."""


def configure(home: Path, **section: object) -> None:
    """Write the settings."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))


def a_run(job: str, started_us: int, **changes: object) -> JobRun:
    """A run that went well."""
    values = {
        "host": "elsewhere", "pid": 1, "finished_us": started_us + 1, "outcome": "ok", "counts": "{}", "problem": None,
    } | changes  # fmt: skip
    return JobRun(f"{job}-{started_us}", job, started_us=started_us, **values)  # type: ignore[arg-type]


def keep(database: Database, *runs: JobRun) -> None:
    """Have some runs in the past."""
    with database.write() as connection:
        for run in runs:
            job_writes.begin(connection, run)


def all_done(database: Database) -> bool:
    """Whether each job ran once."""
    return all(last(database, job) for job in OWN_JOBS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_every_job_runs_and_a_signal_ends_it_well(database: Database, location: str, home: Path, number: int) -> None:
    """On a new database each job runs at once; SIGTERM and Ctrl-C end the scheduler with exit code 0 and no error."""
    with scheduler(location, home) as process:
        eventually(lambda: all_done(database))
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "stopped" in said
    assert "Traceback" not in said
    found = {job: last(database, job) for job in (*OWN_JOBS, "scheduler")}
    assert {job: run and run.outcome for job, run in found.items()} == dict.fromkeys(found, "ok")


def test_the_second_names_the_first(database: Database, location: str, home: Path) -> None:
    """A second scheduler of a database ends at once with exit code 1 and one line that names the pid of the first."""
    with scheduler(location, home) as first:
        eventually(lambda: is_up(database, first))
        with scheduler(location, home) as second:
            _, said = second.communicate(timeout=60)
            assert second.returncode == 1
        assert str(first.pid) in said.strip().splitlines()[-1]
        assert "Traceback" not in said
        assert first.poll() is None


def test_each_database_has_its_own(home: Path, tmp_path: Path) -> None:
    """Two databases have two schedulers."""
    paths = [tmp_path / "one.db", tmp_path / "two.db"]
    databases = [open_database(str(path)) for path in paths]
    with scheduler(paths[0], home) as one, scheduler(paths[1], home) as two:
        eventually(lambda: is_up(databases[0], one))
        eventually(lambda: is_up(databases[1], two))


def test_after_a_kill_another_takes_over(database: Database, location: str, home: Path) -> None:
    """A scheduler that is killed keeps nobody out, and what it had in hand is called interrupted by the next."""
    with scheduler(location, home) as first:
        eventually(lambda: is_up(database, first))
        first.kill()
        first.wait()
    from claude_force.executions.origin import host_name

    keep(database, a_run("ingest", now_us(), host=host_name(), outcome="running", finished_us=None))
    with scheduler(location, home) as second:
        eventually(lambda: is_up(database, second))
        with database.read() as connection:
            outcomes = [run.outcome for run in job_queries.runs(connection, "scheduler", 0)]
            assert outcomes == ["running", "interrupted"]
            assert "running" not in [run.outcome for run in job_queries.runs(connection, "ingest", 0)[1:]]


def test_a_job_that_was_due_runs_once_at_the_start(lite: Database, home: Path) -> None:
    """After days without a scheduler a daily job runs once; one that ran an hour ago does not run."""
    at_us = now_us()
    keep(
        lite, a_run("maintenance", at_us - 9 * DAY_US), a_run("baseline", at_us - HOUR_US),
        a_run("archive", at_us + 99 * DAY_US),
    )  # fmt: skip
    with scheduler(lite.name, home) as process:
        eventually(lambda: is_up(lite, process))
        eventually(lambda: last(lite, "alerts") and last(lite, "ingest"))
        eventually(lambda: (run := last(lite, "maintenance")) and run.started_us >= at_us)
        with lite.read() as connection:
            runs = {job: len(job_queries.runs(connection, job, 0)) for job in ("maintenance", "baseline")}
            # One that is dated in the future, by a clock that was wrong, does not hold its job back.
            eventually(lambda: len(job_queries.runs(connection, "archive", at_us - DAY_US)) == 2 or None)
    assert runs == {"maintenance": 2, "baseline": 1}


@pytest.fixture
def lite(home: Path) -> Iterator[Database]:
    """The database of the home, on SQLite."""
    found = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    yield found
    found.close()


def test_a_job_that_fails_does_not_stop_the_others(lite: Database, home: Path) -> None:
    """A job that cannot do its work is written down with its reason, and tried again; the others go on."""
    configure(home, archive_after_days=1, schedule={"archive": "1s"})
    Store(lite).add([an_execution()])
    (home / ".claude" / "metrics" / "archive").write_text("in the way")
    with scheduler(lite.name, home) as process:
        eventually(lambda: all_done(lite))
        eventually(lambda: len(failures(lite, "archive")) >= 2)
        process.terminate()
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "archive" in (failures(lite, "archive")[0].problem or "")
    assert "Traceback" not in said
    # What stays wrong is said once, not at every round.
    assert said.count("ERROR") == 1
    assert {job: run.outcome for job in ("ingest", "alerts") if (run := last(lite, job))} == {
        "ingest": "ok", "alerts": "ok",
    }  # fmt: skip


def failures(database: Database, job: str) -> list[JobRun]:
    """The runs of a job that failed."""
    with database.read() as connection:
        return [run for run in job_queries.runs(connection, job, 0) if run.outcome == "failed"]


def test_settings_are_read_at_every_round(lite: Database, home: Path) -> None:
    """A claude.json that is broken fails the rounds while it is; mended, they go well, without a restart."""
    configure(home, schedule={"alerts": "1s"})
    with scheduler(lite.name, home) as process:
        eventually(lambda: last(lite, "alerts"))
        (home / ".claude" / "claude.json").write_text("{")
        eventually(lambda: failures(lite, "alerts"))
        configure(home)
        eventually(lambda: (run := last(lite, "alerts")) and run.outcome == "ok")
        assert process.poll() is None
    assert "claude.json" in (failures(lite, "alerts")[0].problem or "")


def test_a_hanging_job_keeps_neither_the_others_nor_the_end(lite: Database, home: Path, tmp_path: Path) -> None:
    """While a job hangs the others run; SIGTERM ends the scheduler all the same, with exit code 0."""
    started = tmp_path / "started"
    command = ["/bin/sh", "-c", f"touch {started}; exec sleep 300"]
    configure(
        home,
        alerts={"no-data": {"threshold": 1}},
        channels={"hook": {"type": "command", "command": command}},
        schedule={"ingest": "1s"},
    )
    Store(lite).add([an_execution(timestamp_us=now_us() - DAY_US)])
    with scheduler(lite.name, home) as process:
        eventually(started.exists)
        before = now_us()
        eventually(lambda: (run := last(lite, "ingest")) and run.started_us > before)
        assert last(lite, "alerts") is None
        process.terminate()
        _, said = process.communicate(timeout=15)
        assert process.returncode == 0
    assert "not waiting for alerts" in said


def test_a_job_in_hand_is_finished_before_the_end(lite: Database, home: Path, tmp_path: Path) -> None:
    """SIGTERM in the middle of a job lets it finish, and its run is written down."""
    started, go_on = tmp_path / "started", tmp_path / "go-on"
    os.mkfifo(go_on)
    command = ["/bin/sh", "-c", f"touch {started}; cat {go_on}"]
    configure(home, alerts={"no-data": {"threshold": 1}}, channels={"hook": {"type": "command", "command": command}})
    Store(lite).add([an_execution(timestamp_us=now_us() - DAY_US)])
    with scheduler(lite.name, home) as process:
        eventually(started.exists)
        process.terminate()
        go_on.write_text("go on")
        process.communicate(timeout=30)
        assert process.returncode == 0
    done = last(lite, "alerts")
    assert done is not None
    assert (done.outcome, json.loads(done.counts)["delivered"]) == ("ok", 1)


def test_it_goes_on_without_its_terminal(lite: Database, home: Path, run: Run) -> None:
    """`start --detach` comes back when the scheduler runs and says its pid; `status` sees it, `stop` ends it; the log
    is for its owner alone."""
    started = run("scheduler", "start", "--detach")
    assert (started.returncode, started.stderr) == (0, "")
    try:
        eventually(lambda: all_done(lite))
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


def test_status_says_what_each_job_did_and_does_next(lite: Database, run: Run) -> None:
    """Last and next run, what came of it, failures of a day, and how late a job is."""
    at_us = now_us()
    keep(
        lite, a_run("ingest", at_us - 60_000_000, counts='{"added": 3}'),
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
    """`run JOB` does one round, says what it did, and writes it down, on an empty database as well."""
    done = run("scheduler", "run", job)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{job}: ok")
    (listed,) = [item for item in json.loads(run("scheduler", "status", "--json").stdout)["jobs"] if item["job"] == job]
    assert listed["last_outcome"] == "ok"


def test_what_is_off_by_default_is_nothing_to_look_at(run: Run) -> None:
    """Without an age to archive at, the job archives nothing, and warns nobody of that."""
    done = run("scheduler", "run", "archive")
    assert (done.stdout, done.stderr) == ("archive: ok (archived 0, months 0)\n", "")
    assert "To look at" not in run("scheduler", "status").stdout


def test_what_to_look_at_is_not_cut(lite: Database, run: Run) -> None:
    """A problem that is longer than a line goes on in the next one, with its remedy."""
    problem = f"the Pushgateway {'did not take it ' * 5}; claude-force push prometheus --gateway http://127.0.0.1:9091"
    keep(lite, a_run("ingest", now_us(), outcome="failed", problem=problem))
    shown = run("scheduler", "status").stdout
    lines = shown.partition("To look at:\n")[2].splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("  ingest: the Pushgateway")
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == f"ingest: {' '.join(problem.split())}"


def test_a_problem_of_a_round_is_said_once(run: Run, home: Path) -> None:
    """`run JOB` says what to look at in one line, with no log beside it."""
    configure(home, channels={"ops": {"type": "nothing"}})
    done = run("scheduler", "run", "alerts")
    (line,) = done.stderr.splitlines()
    assert line.startswith('ops: type "nothing" does not exist')


def test_backups_are_made_once_a_day_and_the_oldest_removed(lite: Database, run: Run, home: Path) -> None:
    """The daily backup is a sound database; only the scheduler's own backups are counted and removed."""
    configure(home, backups_kept=2)
    Store(lite).add([an_execution()])
    folder = home / ".claude" / "metrics" / "backups"
    folder.mkdir(parents=True)
    for name in ("metrics-daily-2020-01-01.db", "metrics-daily-2020-01-02.db", "metrics-20200101-000000.db"):
        (folder / name).write_bytes(b"old")
    for _ in range(2):
        assert run("scheduler", "run", "maintenance").returncode == 0
    left = sorted(path.name for path in folder.iterdir())
    assert left[:2] == ["metrics-20200101-000000.db", "metrics-daily-2020-01-02.db"]
    assert len(left) == 3
    assert run("db", "check", "--db", folder / left[2]).returncode == 0


def test_a_damaged_database_costs_no_good_backup(lite: Database, run: Run, home: Path) -> None:
    """When the copy does not pass its check the job fails, and every backup stays."""
    configure(home, backups_kept=1)
    Store(lite).add([an_execution() for _ in range(2000)])
    lite.optimize()
    lite.close()
    folder = home / ".claude" / "metrics" / "backups"
    folder.mkdir(parents=True)
    (folder / "metrics-daily-2020-01-01.db").write_bytes(b"good")
    path = Path(lite.name)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(content)
    assert run("scheduler", "run", "maintenance").returncode == 1
    assert [found.name for found in folder.iterdir()] == ["metrics-daily-2020-01-01.db"]


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"ingset": "1m"}, "no job ingset"),
        ({"ingest": "often"}, "ingest must be a length of time"),
        ({"ingest": 30}, "ingest must be a length of time"),
        ({"ingest": "0s"}, "ingest must be a length of time"),
    ],
)
def test_a_schedule_that_cannot_be_is_one_line(run: Run, home: Path, schedule: dict[str, object], said: str) -> None:
    """The mistake is named, and the scheduler does not start."""
    configure(home, schedule=schedule)
    for arguments in (("start",), ("start", "--detach"), ("jobs",), ("status",)):
        done = run("scheduler", *arguments)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert said in done.stderr


def test_a_job_can_be_switched_off(run: Run, home: Path) -> None:
    """ "off" in the schedule is what `jobs` says."""
    configure(home, schedule={"archive": "off", "ingest": "5m"})
    found = {job["job"]: job["every"] for job in json.loads(run("scheduler", "jobs", "--json").stdout)}
    assert (found["archive"], found["ingest"], found["alerts"]) == ("off", "5 minutes", "1 minute")


def test_an_unknown_job_is_wrong_usage(run: Run) -> None:
    """A name that no job has is named together with those that there are."""
    done = run("scheduler", "run", "nothing")
    assert done.returncode == 2
    assert "maintenance" in done.stderr


def a_place(home: Path) -> Workspace:
    return workspace_at(find_home(home), None)[0]


def test_the_systemd_unit_starts_this_program(run: Run, home: Path) -> None:
    """What `install --write` writes is a unit whose command starts the scheduler of this home; without --write nothing
    is written."""
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


def test_a_unit_quotes_what_is_special(home: Path) -> None:
    """A path with spaces, percent and dollar signs is one word of the command, and stands for itself."""
    text = unit_of(a_place(home), 'postgresql://host/50% $HOME "x"', "linux").text
    assert '--db "postgresql://host/50%% $$HOME \\"x\\""' in text


def test_the_launchd_agent_is_a_property_list(home: Path) -> None:
    """On macOS it is a property list with the command as a list."""
    unit = unit_of(a_place(home), None, "darwin")
    content = plistlib.loads(unit.text.encode())
    assert content["ProgramArguments"][1:] == ["-m", "claude_force", "scheduler", "start", "--foreground"]
    assert content["WorkingDirectory"] == str(home)


def test_a_unit_shows_no_password(home: Path) -> None:
    """A URL with a password is refused, with the remedy."""
    with pytest.raises(SchedulerError, match=r"pgpass"):
        unit_of(a_place(home), "postgresql://me:secret@host/db", "linux")


def test_no_unit_for_other_systems(home: Path) -> None:
    """Elsewhere it says what to run at login."""
    with pytest.raises(SchedulerError, match=r"scheduler start"):
        unit_of(a_place(home), None, "win32")


_ROUNDS = """
import sys
from claude_force.clock import now_us
from claude_force.scheduler.jobs import JOBS, load
from claude_force.database.workspace import workspace_at
from claude_force.settings.home import find_home
from claude_force.database.writes import jobs

place, _ = workspace_at(find_home(), None)
names = [name for name, job in JOBS.items() if job.exporter in (None, "prometheus")]
for name in names:
    load(JOBS[name])
loaded = set(sys.modules)
for name in names:
    JOBS[name].run(place, now_us)
print(*sorted(name for name in set(sys.modules) - loaded if name.startswith("claude_force")))
"""


def test_a_round_imports_nothing_that_was_not_loaded_before(home: Path) -> None:
    """The rounds run in threads at once, where two that import the same from two ends would stop each other."""
    configure(home, exporters={"prometheus": {"textfile": "figures.prom"}}, archive_after_days=30)
    Store(open_database(str(home / ".claude" / "metrics" / "metrics.db"))).add([an_execution()])
    done = subprocess.run(
        [sys.executable, "-c", _ROUNDS], cwd=home, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == []
