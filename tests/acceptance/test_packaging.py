"""Two ways to install: from a wheel without the source tree, and in a checkout with alembic's own command line."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from claude_force.__main__ import WRONG_SYSTEM
from claude_force.database.open import open_database
from claude_force.database.revisions import HEAD
from claude_force.database.schema import metadata
from claude_force.database.sqlite.files import APPLICATION_ID
from tests.builders import a_line
from tests.conftest import ROOT, Run
from tests.fork_server import ForkServer

ALEMBIC = Path(sys.executable).with_name("alembic")
_NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a source distribution of a copy of the source tree."""
    folder = tmp_path_factory.mktemp("building")
    shutil.copytree(ROOT, folder / "source", ignore=_NOT_SOURCE)
    # With a new enough setuptools the build needs no environment of its own, so nothing is downloaded.
    is_new_enough = int(version("setuptools").split(".")[0]) >= 77
    command = [
        sys.executable,
        "-m",
        "build",
        "--outdir",
        str(folder / "dist"),
        *(["--no-isolation"] if is_new_enough else []),
    ]
    done = subprocess.run([*command, str(folder / "source")], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(folder / "source")
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that has the wheel, and from this environment only its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--python",
        str(folder / "bin" / "python"),
    ]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", str(wheel)], check=True, timeout=120)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Paths of a .pth file come last, and .pth files in them (as of an editable install) are not read.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return folder / "bin"


def an_old_file(path: Path) -> Path:
    """A SQLite database of claude-force without a revision, with a table of its own."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute("CREATE TABLE keepsake (word TEXT)")
    return path


def call(folder: Path, *command: str | Path, says: str = "") -> str:
    """The output of a command in a folder, without any path to the source tree. Checks that it succeeds, with this on
    stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, says)
    return done.stdout


@pytest.mark.thorough
def test_the_wheel_has_its_data_files(wheel: Path) -> None:
    """These are the migrations, their template, the schema of a new file and py.typed. It has no tests and no docs."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = archive.read(metadata).decode()
    assert {
        "claude_force/py.typed",
        "claude_force/database/sqlite/head.sql",
        "claude_force/database/migrations/env.py",
        "claude_force/database/migrations/script.py.mako",
        "claude_force-2.2.0.data/data/share/man/man1/claude-force.1",
    } <= names
    assets = (ROOT / "claude_force" / "reports" / "html" / "assets").iterdir()
    assert {f"claude_force/reports/html/assets/{path.name}" for path in assets} <= names
    revisions = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    assert {f"claude_force/database/migrations/versions/{name}" for name in revisions} <= names
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "claude_force").rglob("*.py")}
    assert modules <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"claude_force"}
    for line in ("Version: 2.2.0", "Requires-Python: >=3.11", "License-Expression: MIT", "Provides-Extra: postgres"):
        assert line in described.splitlines()


@pytest.mark.thorough
def test_the_installed_program_runs(installed: Path, home: Path) -> None:
    """Module, migrations and command are in the new environment, not in the source tree."""
    code = (
        "import claude_force; from claude_force.database.migrate import configuration\n"
        "print(claude_force.__file__, configuration().get_main_option('script_location'))"
    )
    for found in call(home, installed / "python", "-c", code).split():
        assert Path(found).is_relative_to(installed.parent)
    assert call(home, installed / "claude-force", "--version") == "claude-force, version 2.2.0\n"
    assert call(home, installed / "python", "-m", "claude_force", "--version") == "claude-force, version 2.2.0\n"


@pytest.mark.parametrize(
    "how",
    [
        "import runpy; runpy.run_module('claude_force', run_name='__main__')",
        "from claude_force.__main__ import main; main()",
    ],
)
def test_windows_is_refused_in_one_line(how: str, tmp_path: Path) -> None:
    """Before anything is imported that is not there: file locks, terminal control, process ids."""
    code = (
        "import os, sys\n"
        "sys.platform = 'win32'\n"
        "sys.modules |= dict.fromkeys(('fcntl', 'termios', 'pwd', 'grp', 'resource'))\n"
        "del os.fork, os.getuid, os.uname, os.register_at_fork, os.pread\n"
        f"{how}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{WRONG_SYSTEM}\n"


@pytest.mark.thorough
def test_import_and_report_without_the_source(installed: Path, home: Path) -> None:
    """The import creates the database."""
    (home / "lines.jsonl").write_bytes(a_line())
    call(home, installed / "claude-force", "import", "lines.jsonl")
    assert "Total Executions: 1\n" in call(home, installed / "python", "-m", "claude_force", "analytics", "summary")
    assert (home / ".claude" / "metrics" / "metrics.db").exists()


@pytest.mark.thorough
def test_an_html_report_without_the_source(installed: Path, home: Path) -> None:
    """Style, script and chart library are in the wheel."""
    (home / "lines.jsonl").write_bytes(a_line())
    call(home, installed / "claude-force", "import", "lines.jsonl")
    page = call(home, installed / "claude-force", "report", "--output", "-")
    assert "Chart.js v" in page
    assert "prefers-color-scheme" in page


@pytest.mark.thorough
def test_an_upgrade_without_the_source(installed: Path, home: Path, tmp_path: Path) -> None:
    """A new and an old database: the migrations are in the wheel."""
    old, new = an_old_file(tmp_path / "old.db"), tmp_path / "new.db"
    for path, says in ((old, ""), (new, f"new database {new}\n")):
        call(home, installed / "claude-force", "db", "upgrade", "--db", path, says=says)
        state = json.loads(call(home, installed / "claude-force", "db", "current", "--json", "--db", path))
        assert state["revision"] == HEAD
    with closing(sqlite3.connect(old)) as raw:
        names = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"claude_force_version", "keepsake", *metadata.tables}


@pytest.mark.thorough
def test_recording_without_the_source(installed: Path, home: Path) -> None:
    """The Python API works from the wheel, with costs."""
    code = (
        "from claude_force import PerformanceTracker\n"
        "PerformanceTracker().record_execution('a', 't', True, 5, 'claude-haiku-4-5', 1000, 100)\n"
        "print(PerformanceTracker().get_summary(days=1)['total_cost'])"
    )
    assert float(call(home, installed / "python", "-c", code)) > 0


@pytest.fixture
def checkout(home: Path) -> Path:
    """What alembic reads of a checkout, copied below the home, with its own `.claude`."""
    folder = home / "checkout"
    shutil.copytree(ROOT / "migrations", folder / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", folder)
    (folder / ".claude").mkdir()
    return folder


Alembic = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def alembic(run_code: Run, fork_server: ForkServer | None) -> Alembic:
    """Runs alembic's command line in a folder. A thorough run starts the installed script."""

    def call(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        if fork_server:
            return run_code("from alembic.config import main; main()", *arguments, cwd=folder, env=env)
        return subprocess.run(
            [str(ALEMBIC), *arguments],
            cwd=folder,
            env=os.environ | {"TZ": "UTC"} | (env or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return call


def test_alembic_upgrades_the_database_that_db_path_names(
    checkout: Path, run: Run, home: Path, tmp_path: Path, alembic: Alembic
) -> None:
    """That of the user, by CLAUDE_FORCE_DB or by settings: always the database that the program uses."""
    settings = json.dumps({"performance": {"database": str(tmp_path / "by_settings.db")}})
    cases: list[tuple[dict[str, str], str, Path]] = [
        ({}, "{}", home / ".claude" / "metrics" / "metrics.db"),
        ({"CLAUDE_FORCE_DB": str(tmp_path / "by_name.db")}, "{}", tmp_path / "by_name.db"),
        ({}, settings, tmp_path / "by_settings.db"),
    ]
    for env, content, path in cases:
        (checkout / ".claude" / "claude.json").write_text(content)
        assert run("db", "path", cwd=checkout, env=env).stdout == f"{path}\n"
        done = alembic(checkout, "upgrade", "head", env=env)
        assert done.returncode == 0, done.stderr
        assert open_database(str(path)).revision() == HEAD


def test_alembic_upgrades_an_old_file_after_a_backup(checkout: Path, tmp_path: Path, alembic: Alembic) -> None:
    """`-x db=PATH` names another database. Its contents are kept, in it and in a backup beside it."""
    path = an_old_file(tmp_path / "old.db")
    done = alembic(checkout, "-x", f"db={path}", "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert open_database(str(path)).revision() == HEAD
    (backup,) = tmp_path.glob("old.db.pre-*")
    for copy in (path, backup):
        with closing(sqlite3.connect(copy)) as raw:
            assert raw.execute("SELECT COUNT(*) FROM keepsake").fetchone() == (0,)
    assert list((checkout / ".claude").iterdir()) == []


def test_alembic_upgrades_a_server(checkout: Path, bare_url: str, alembic: Alembic) -> None:
    """`-x db=URL` names a PostgreSQL database. Afterwards alembic finds no difference to the schema."""
    for command in (("upgrade", "head"), ("check",)):
        done = alembic(checkout, "-x", f"db={bare_url}", *command)
        assert done.returncode == 0, done.stderr
    with closing(open_database(bare_url)) as database:
        assert database.revision() == HEAD


def test_alembic_queries_change_nothing(checkout: Path, tmp_path: Path, alembic: Alembic) -> None:
    """Commands that do not upgrade create no database and no backup."""
    missing, old = tmp_path / "missing.db", an_old_file(tmp_path / "old.db")
    for path in (missing, old):
        alembic(checkout, "-x", f"db={path}", "current")
    assert [path.name for path in tmp_path.glob("*.db*")] == ["old.db"]
    assert open_database(str(old)).revision() is None


@pytest.mark.parametrize(
    ("content", "command", "reason"),
    [
        (b"dear diary " * 100, ("upgrade", "head"), "not a SQLite database"),
        (b"", ("upgrade", "head"), "is empty"),
        (None, ("current",), "no database at"),
    ],
)
def test_alembic_refuses_an_unusable_database(
    content: bytes | None, command: tuple[str, ...], reason: str, checkout: Path, tmp_path: Path, alembic: Alembic
) -> None:
    """One line with the remedy and no traceback, as from our own commands. The file is not changed."""
    path = tmp_path / "strange.db"
    if content is not None:
        path.write_bytes(content)
    done = alembic(checkout, "-x", f"db={path}", *command)
    assert done.returncode != 0
    assert reason in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert content == (path.read_bytes() if path.exists() else None)
