"""What claude-force writes, and where: in the user's `.claude`, and in the files that were named; nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_force.performance_tracker import PerformanceTracker
from tests.builders import a_line
from tests.conftest import Run
from tests.profiles import thorough
from tests.transcripts import Talk, jsonl

_WATCHED = """
import json, os, sys

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
written = set()

def watch(event, details):
    if event == "open" and not isinstance(details[0], int):
        path, mode, flags = details
        is_writing = bool(flags & WRITING) if mode is None else any(letter in mode for letter in "wax+")
    elif event in ("os.mkdir", "os.remove", "os.rmdir"):
        # A name relative to an open folder: the tree of a folder that was made here is removed.
        path, is_writing = details[0], details[-1] == -1
    elif event in ("os.rename", "os.link", "os.symlink"):
        path, is_writing = details[1], True
    elif event == "sqlite3.connect":
        path, is_writing = details[0], "mode=ro" not in str(details[0])
        path = str(path).partition("?")[0].removeprefix("file://")
    else:
        return
    if is_writing and path != ":memory:":
        written.add(os.path.realpath(os.fsdecode(path)))

sys.addaudithook(watch)
from claude_force.cli.root import main
from claude_force.performance_tracker import PerformanceTracker

codes = []
for command in json.loads(sys.argv[1]):
    if command == ["record"]:
        with PerformanceTracker() as tracker:
            tracker.record_execution("a", "task", True, 5)
        continue
    sys.argv = ["claude-force", *command]
    try:
        main()
    except SystemExit as end:
        codes.append([command, end.code or 0])
print("\\n" + json.dumps([codes, sorted(written)]))
"""
"""Runs commands, and prints their exit codes and the paths that were opened to be written, made or removed."""

COMMANDS = [
    ["record"],
    ["ingest"],
    ["summary"],
    ["summary", "--json"],
    ["analytics", "by-agent"],
    ["blocks"],
    ["statusline"],
    ["import", "named.jsonl"],
    ["report", "--output", "named.html"],
    ["analytics", "export", "--output", "named.csv"],
    ["archive", "--older-than", "1d", "--yes"],
    ["archive", "restore"],
    ["db", "backup"],
    ["db", "backup", "named.db"],
    ["db", "merge", "named.db", "--yes"],
    ["db", "check"],
    ["db", "rebuild"],
    ["db", "upgrade"],
    ["db", "path"],
    ["db", "current"],
    ["baseline", "create", "first"],
    ["baseline", "list"],
    ["config", "list"],
    ["config", "path"],
    ["alerts", "list"],
    ["alerts", "check"],
    ["alerts", "silence", "success-rate", "--for", "1h"],
    ["scheduler", "status"],
    ["scheduler", "run", "ingest"],
    ["scheduler", "run", "maintenance"],
    ["scheduler", "run", "alerts"],
    ["scheduler", "run", "archive"],
    ["dashboard", "--once"],
    ["doctor"],
    ["doctor", "--bundle", "named.zip"],
]
CONFIGURING = [["config", "set", "performance.backups_kept", "3"], ["config", "unset", "performance.backups_kept"]]
NAMED = {"named.html", "named.csv", "named.db", "named.zip"}


def git(*arguments: str, cwd: Path) -> str:
    """What git prints."""
    own = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *own, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def repository(folder: Path) -> Path:
    """A git project with a `.claude` folder and a file to import, of which one line is broken."""
    (folder / ".claude").mkdir(parents=True, exist_ok=True)
    (folder / ".claude" / "settings.json").write_text("{}\n")
    (folder / "named.jsonl").write_bytes(a_line() + b"{broken\n")
    git("init", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "-m", "first", cwd=folder)
    return folder


def watched(run_code: Run, cwd: Path, commands: list[list[str]]) -> tuple[dict[str, int], set[Path]]:
    """The exit codes of commands that run in a folder, and the paths that they wrote."""
    done = run_code(
        _WATCHED, json.dumps(commands), cwd=cwd, input="", env={"PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}
    )
    assert done.returncode == 0, done.stderr
    codes, written = json.loads(done.stdout.splitlines()[-1])
    return {" ".join(command): code for command, code in codes}, set(map(Path, written))


def files_below(folder: Path) -> Iterator[Path]:
    """Every file, except those of git."""
    return (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)


def is_ours(path: Path, home: Path, project: Path) -> bool:
    """Whether a path may be written: below `~/.claude`, or named. Files beside a named one belong to it."""
    if path.is_relative_to(home / ".claude") or str(path).startswith(("/dev/", "/proc/")):
        return True
    return path.parent == project and any(name in path.name for name in NAMED)


@pytest.mark.parametrize("where", ["shop", *thorough("work/deep/shop")])
def test_nothing_is_written_elsewhere(where: str, home: Path, tmp_path: Path, run_code: Run) -> None:
    """In an empty home and a git project: only the user's `.claude` and what was named; `git status` shows what was
    named alone."""
    project = repository(home / where)
    projects = home / ".claude" / "projects" / "-shop"
    projects.mkdir(parents=True)
    talk = Talk()
    talk.respond("msg_1")
    (projects / f"{talk.session}.jsonl").write_bytes(jsonl(talk.lines))
    before = set(files_below(tmp_path))
    codes, written = watched(run_code, project, [*COMMANDS, *CONFIGURING])
    # A wrong command writes nothing. Some fail: no scheduler runs, and one line cannot be imported.
    assert {command: code for command, code in codes.items() if code not in (0, 1)} == {}
    assert sorted(path for path in written if not is_ours(path, home, project)) == []
    made = set(files_below(tmp_path)) - before
    assert sorted(path for path in made if not is_ours(path, home, project)) == []
    assert {path.name for path in made if path.parent == project} == NAMED
    status = git("status", "--porcelain", "--untracked-files=all", cwd=project).splitlines()
    assert sorted(status) == sorted(f"?? {name}" for name in NAMED)


def test_a_home_that_is_a_repository_shows_nothing(home: Path, run_code: Run) -> None:
    """Where the home folder itself is under git, the metrics folder with all that is in it is ignored, itself
    included."""
    repository(home)
    watched(run_code, home, [command for command in COMMANDS if not any("named" in word for word in command)])
    assert (home / ".claude" / "metrics" / "metrics.db").exists()
    assert git("status", "--porcelain", "--untracked-files=all", cwd=home) == ""


def test_a_store_from_an_earlier_version_shows_nothing(home: Path, run_code: Run) -> None:
    """Its folder had no `.gitignore`; the first command that uses it writes one."""
    project = repository(home / "shop")
    with PerformanceTracker(project / ".claude") as tracker:
        tracker.record_execution("a")
    (project / ".claude" / "metrics" / ".gitignore").unlink()
    assert ".claude/metrics/metrics.db" in git("status", "--porcelain", "--untracked-files=all", cwd=project)
    watched(run_code, project, [["summary"]])
    assert git("status", "--porcelain", "--untracked-files=all", cwd=project) == ""


def test_a_store_that_a_project_names_shows_nothing(home: Path, run_code: Run) -> None:
    """Not even where the settings of the project ask for the store in its `.claude`."""
    section = {"database": ".claude/metrics/metrics.db"}
    project = repository(home / "shop")
    (project / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    git("add", ".", cwd=project)
    watched(run_code, project, [["record"], ["summary"], ["db", "backup"], ["db", "check"]])
    assert (project / section["database"]).exists()
    assert git("status", "--porcelain", "--untracked-files=all", cwd=project) == "A  .claude/claude.json\n"
    assert os.stat(project / section["database"]).st_mode & 0o077 == 0
