"""One store for each user: what a project with a `.claude` folder of its own has of its own, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claude_force.executions.record import ExecutionMetrics, fresh_uid
from claude_force.ingest import spool
from claude_force.ingest.spool_files import former_files, spool_files
from claude_force.performance_tracker import PerformanceTracker
from claude_force.settings.home import Home, find_home, home_at
from tests.conftest import Run

URL = "postgresql://me@127.0.0.1:1/none"


@pytest.fixture
def project(home: Path) -> Path:
    """A project with a `.claude` folder of Claude Code."""
    (home / "shop" / ".claude").mkdir(parents=True)
    return home / "shop"


@pytest.fixture
def own_store(project: Path) -> Path:
    """A store in the project, from a time when each project had one, with one execution."""
    with PerformanceTracker(project / ".claude") as tracker:
        tracker.record_execution("of the project")
    return project / ".claude" / "metrics" / "metrics.db"


def counted(run: Run, cwd: Path, *arguments: str, **options: str) -> int:
    """The executions of a summary in a folder."""
    done = run("analytics", "summary", "--json", *arguments, cwd=cwd, **options)
    found: int = json.loads(done.stdout)["total_executions"]
    return found


def an_execution(agent: str) -> ExecutionMetrics:
    """An execution of now."""
    return ExecutionMetrics(uid=fresh_uid(1_772_442_000_000_000), timestamp_us=1_772_442_000_000_000, agent_name=agent,
                            success=True, model="unknown")  # fmt: skip


QUIET = {
    "with --db": (["analytics", "summary", "--db", "DB"], {}),
    "with the variable": (["analytics", "summary"], {"CLAUDE_FORCE_DB": "DB"}),
}


NAMING = [
    [],
    ["analytics", "summary"],
    ["summary", "--json"],
    ["blocks"],
    ["statusline"],
    ["report", "--output", "page.html"],
    ["dashboard", "--once"],
    ["ingest"],
    ["alerts", "list"],
    ["db", "path"],
]


def test_a_store_that_is_found_is_named_once(own_store: Path, project: Path, home: Path, run: Run) -> None:
    """On one line of stderr, with what to do; nothing of it is on stdout."""
    remedy = f"to join it with yours: claude-force db merge {own_store}"
    line = f"note: this project has a store of its own, {own_store}; {remedy}\n"
    for command in NAMING:
        done = run(*command, cwd=project)
        assert (done.returncode, done.stderr.count(line), "note:" in done.stdout) == (0, 1, False), command
    assert run("doctor", cwd=project).stderr == line
    assert counted(run, project) == 1
    assert counted(run, home) == 0


@pytest.mark.parametrize("case", QUIET)
def test_a_store_that_is_named_is_not_named_again(case: str, own_store: Path, project: Path, run: Run) -> None:
    """By --db, by the variable, or by the settings of the project."""
    arguments, env = QUIET[case]
    named = [str(own_store) if word == "DB" else word for word in arguments]
    done = run(*named, cwd=project, env={name: str(own_store) for name in env})
    assert (done.returncode, done.stderr) == (0, "")
    (project / ".claude" / "claude.json").write_text('{"performance": {"database": ".claude/metrics/metrics.db"}}')
    done = run("analytics", "summary", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")


def test_config_path_says_what_is_used_and_why(project: Path, home: Path, run: Run) -> None:
    """The settings, the store, and the reason, as text and as JSON."""
    user, store = home / ".claude" / "claude.json", home / ".claude" / "metrics" / "metrics.db"
    assert run("config", "path", cwd=project).stdout.splitlines() == [
        f"Settings: {user}  (not there; the defaults apply)",
        f"Store:    {store}",
        "Reason:   the store of this user, for all projects",
    ]
    own = project / ".claude" / "claude.json"
    reasons = {
        "{}": (user, "the store of this user, for all projects"),
        '{"performance": {}}': (own, "the store of this user, for all projects"),
        '{"performance": {"database": "x.db"}}': (own, f"performance.database in {own} names it"),
        '{"performance": {"metrics_file": ".claude/settings.json"}}': (
            own,
            f"performance.metrics_file in {own} names a file beside it",
        ),
    }
    (project / ".claude" / "settings.json").touch()
    for content, (settings, reason) in reasons.items():
        own.write_text(content)
        found = json.loads(run("config", "path", "--json", cwd=project).stdout)
        assert (found["settings"], found["reason"]) == (str(settings), reason)
    user.write_text(json.dumps({"performance": {"database": "postgresql://me:secret@db.example.com/metrics"}}))
    own.write_text('{"performance": {}}')
    found = json.loads(run("config", "path", "--json", cwd=project).stdout)
    assert (found["store"], found["reason"]) == (
        "postgresql://me:***@db.example.com/metrics",
        f"performance.database in {user} names it",
    )


def test_config_set_changes_the_settings_that_apply(project: Path, home: Path, run: Run) -> None:
    """The user's, and says so; those of the project if it has some."""
    done = run("config", "set", "performance.backups_kept", "3", cwd=project)
    assert done.stdout == f"performance.backups_kept = 3  ({home}/.claude/claude.json)\n"
    (project / ".claude" / "claude.json").write_text('{"performance": {}}')
    done = run("config", "set", "performance.backups_kept", "5", cwd=project)
    assert done.stdout == f"performance.backups_kept = 5  ({project}/.claude/claude.json)\n"
    assert run("config", "get", "performance.backups_kept", cwd=home).stdout == "3\n"
    assert run("config", "get", "performance.backups_kept", cwd=project).stdout == "5\n"


def test_what_waited_for_a_project_is_found(project: Path, home: Path, run: Run) -> None:
    """Executions in the spool files that a project had for a store of its own, which was never made, and for settings
    that could not be read: the next ingestion or tracker there stores them. A store that was named leaves them."""
    metrics, state = project / ".claude" / "metrics", home / ".local" / "state" / "claude-force"
    waiting = {
        *spool_files(str(metrics / "metrics.db"), metrics),
        metrics / "spool-unsettled.jsonl",
    }
    assert state in {path.parent for path in waiting}
    for number, path in enumerate(sorted(waiting)):
        spool.append([an_execution(f"waiting {number}")], [path])
    assert run("ingest", "--db", home / "named.db", cwd=project).returncode == 0
    assert all(path.exists() for path in waiting)
    assert run("ingest", cwd=project).returncode == 0
    assert [path for path in waiting if path.exists()] == []
    assert counted(run, home) == len(waiting)


def test_a_server_keeps_what_waits_for_it_in_a_project(project: Path) -> None:
    """The spool file of a URL lay in the metrics folder of the project; it is still one of those that are read."""
    metrics = project / ".claude" / "metrics"
    assert spool_files(URL, metrics)[0] in former_files(URL, find_home(project))


@pytest.mark.parametrize("section", ['{"performance": {}}', '{"performance": {"database": "x.db"}}'])
def test_executions_wait_while_the_settings_of_a_project_are_broken(
    section: str, project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until they say where the project's store is; no other project takes them."""
    settings = project / ".claude" / "claude.json"
    settings.write_text("{")
    monkeypatch.chdir(project)
    with PerformanceTracker() as tracker, pytest.warns(RuntimeWarning, match="line 1 column 2"):
        tracker.record_execution("waiting")
    assert not (project / ".claude" / "metrics").exists()
    monkeypatch.chdir(home)
    with PerformanceTracker() as tracker:
        tracker.record_execution("of another project")
        assert len(tracker.get_all_metrics()) == 1
    settings.write_text(section)
    monkeypatch.chdir(project)
    with PerformanceTracker() as tracker:
        tracker.record_execution("later")
        assert {"waiting", "later"} <= {metrics.agent_name for metrics in tracker.get_all_metrics()}


def test_a_scheduler_at_login_has_the_store_of_its_folder(own_store: Path, project: Path, home: Path, run: Run) -> None:
    """The unit file runs it where it finds the same store."""
    unit = run("scheduler", "install", cwd=project).stdout
    assert f"WorkingDirectory={project}\n" in unit
    assert f"WorkingDirectory={home}\n" in run("scheduler", "install", cwd=home).stdout
    assert find_home(project) == Home(home / ".claude", own_store.parent, is_found=True)
    assert home_at(project / ".claude").database_file == own_store
