"""What users of a release have is read by the present code. The files were made by `released/make.sh` with the code of
that release; the figures are what its reports said."""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.open import open_database
from tests.conftest import Run
from tests.daemons import eventually, is_up

RELEASES = sorted(path for path in (Path(__file__).parent / "released").iterdir() if path.is_dir())
REPORTS = {"summary": ("summary",), "by-agent": ("by-agent",), "costs": ("costs", "--by-model")}
SPOOLED = 3


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest) -> Path:
    """The folder of a release."""
    assert isinstance(request.param, Path)
    return request.param


@pytest.fixture
def metrics(home: Path) -> Path:
    """Where the database of the home is."""
    found = home / ".claude" / "metrics" / "metrics.db"
    found.parent.mkdir()
    return found


def unpack(packed: Path, path: Path) -> Path:
    """A file as the release wrote it."""
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


def figures(run: Run, name: str) -> dict[str, Any]:
    """What a report says now."""
    done = run("analytics", *REPORTS[name], "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_figures_kept(run: Run, release: Path) -> None:
    """Every figure that the release reported is reported now."""
    assert run("db", "check").returncode == 0
    for name in REPORTS:
        expected = json.loads((release / f"{name}.json").read_text())
        found = figures(run, name)
        assert {key: found[key] for key in expected} == expected


def test_a_database_keeps_its_figures(release: Path, metrics: Path, run: Run) -> None:
    """`db upgrade` succeeds, the database passes its check, and every report says what it said."""
    unpack(release / "backup.db.gz", metrics)
    done = run("db", "upgrade")
    assert (done.returncode, done.stderr) == (0, "")
    assert_figures_kept(run, release)


def test_a_backup_is_restored(release: Path, metrics: Path, home: Path, run: Run) -> None:
    """With the figures that it had when it was made."""
    done = run("db", "restore", "--yes", unpack(release / "backup.db.gz", home / "backup.db"))
    assert done.returncode == 0, done.stderr
    run("db", "upgrade")
    assert_figures_kept(run, release)


def test_an_archive_counts_and_comes_back(release: Path, metrics: Path, run: Run) -> None:
    """Archived executions are in the totals; importing the files brings every one of them back."""
    unpack(release / "archived.db.gz", metrics)
    run("db", "upgrade")
    expected = json.loads((release / "summary.json").read_text())
    found = figures(run, "summary")
    for name in ("total_executions", "failed_executions", "total_cost", "total_tokens"):
        assert found[name] == expected[name]
    done = run("import", *sorted(release.glob("*.jsonl.gz")), "--json")
    assert json.loads(done.stdout)["rejected"] == 0, done.stdout
    assert_figures_kept(run, release)


def test_what_waited_is_stored(release: Path, metrics: Path, run: Run) -> None:
    """Records in the spool of a release are added once, and then wait no more."""
    unpack(release / "backup.db.gz", metrics)
    run("db", "upgrade")
    before = figures(run, "summary")["total_executions"]
    spool = metrics.with_name("metrics.db.spool.jsonl")
    shutil.copy(release / spool.name, spool)
    done = run("ingest")
    assert (done.returncode, done.stderr) == (0, "")
    assert figures(run, "summary")["total_executions"] == before + SPOOLED
    assert not spool.exists()


def test_settings_are_kept(release: Path, home: Path, run: Run) -> None:
    """Every setting is read as it was written, and `doctor` finds nothing wrong with any."""
    shutil.copy(release / "claude.json", home / ".claude")
    written = json.loads((release / "claude.json").read_text())["performance"]
    for section, value in written.items():
        done = run("config", "get", f"performance.{section}", env={"PAGER_KEY": "k" * 32})
        assert (done.returncode, json.loads(done.stdout)) == (0, value), done.stderr
    examined = json.loads(run("doctor", "--json", env={"PAGER_KEY": "k" * 32}).stdout)
    levels = {finding["id"]: finding["level"] for finding in examined["findings"]}
    assert levels["settings"] == "ok"


def test_a_scheduler_unit_starts_the_scheduler(release: Path, metrics: Path, home: Path, run: Run) -> None:
    """The command of the systemd unit that the release wrote starts the scheduler of today, after an upgrade of the
    database, and ends it well."""
    unpack(release / "backup.db.gz", metrics)
    run("db", "upgrade")
    (line,) = [
        line.removeprefix("ExecStart=")
        for line in (release / "claude-force.service").read_text().splitlines()
        if line.startswith("ExecStart=")
    ]
    command = [sys.executable, *shlex.split(line)[1:]]
    with (
        closing(open_database(str(metrics))) as database,
        subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        eventually(lambda: is_up(database, process))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
