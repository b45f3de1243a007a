"""alembic's own command line in a checkout."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from claude_force.database.open import open_database
from claude_force.database.revisions import HEAD, REVISIONS
from claude_force.settings.location import DATABASE_VARIABLE
from tests.conftest import ROOT, Run
from tests.histories import an_old_file, connected

NEXT_NUMBER = f"{len(REVISIONS) + 1:04d}"


Alembic = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_alembic(run_code: Run) -> Alembic:
    """Runs alembic in a checkout. Gives its exit code, stdout and stderr; no traceback is ever printed."""

    def call(*arguments: str, folder: Path = ROOT, env: dict[str, str] | None = None) -> tuple[int, str, str]:
        done = run_code("from alembic.config import main; main(prog='alembic')", *arguments, cwd=folder, env=env)
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of alembic.ini and of the migrations, to write into."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "migrations", folder / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", folder)
    return folder


def test_a_revision_gets_the_next_number(checkout: Path, tmp_path: Path, home: Path, run_alembic: Alembic) -> None:
    """`alembic revision` needs no database, writes NNNN_words.py from our template, and an upgrade runs it."""
    code, _, problem = run_alembic("revision", "-m", "Add grades", folder=checkout)
    assert (code, problem) == (0, "")
    file = checkout / "migrations" / "versions" / f"{NEXT_NUMBER}_add_grades.py"
    written = file.read_text()
    assert f'\nrevision = "{NEXT_NUMBER}"\ndown_revision = "{HEAD}"\n' in written
    assert written.startswith('"""Add grades\n')
    assert "downgrade(" not in written
    assert list((home / ".claude").iterdir()) == []

    path = tmp_path / "metrics.db"
    code, out, _ = run_alembic("-x", f"db={path}", "upgrade", "head", folder=checkout)
    assert (code, out.splitlines()[-1]) == (0, f"{path} is at {NEXT_NUMBER}")


def test_a_named_revision_keeps_its_name(checkout: Path, run_alembic: Alembic) -> None:
    """`--rev-id` goes before the next number."""
    assert run_alembic("revision", "-m", "x", "--rev-id", "mine", folder=checkout)[0] == 0
    assert (checkout / "migrations" / "versions" / "mine_x.py").exists()


@pytest.mark.parametrize("arguments", [("-1",), ("base",), (f"{HEAD}:0001", "--sql")])
def test_a_downgrade_is_refused(arguments: tuple[str, ...], location: str, run_alembic: Alembic) -> None:
    """One line that names the way back, and nothing is changed."""
    open_database(location).close()
    code, out, problem = run_alembic("-x", f"db={location}", "downgrade", *arguments)
    (line,) = (out + problem).splitlines()
    assert code != 0
    assert "cannot be downgraded" in line
    assert "claude-force db restore" in line


@pytest.mark.parametrize("command", ["history", "heads", "branches"])
def test_the_revisions_are_listed_without_a_database(command: str, home: Path, run_alembic: Alembic) -> None:
    """What only reads the files of the revisions neither needs nor creates a database."""
    assert run_alembic(command)[0] == 0
    assert list((home / ".claude").iterdir()) == []


def test_alembic_names_the_state(location: str, run_alembic: Alembic) -> None:
    """`current`, `heads`, `history` and `check` agree that a database at head is up to date."""
    with closing(open_database(location)) as database, database.write():
        pass
    assert run_alembic("-x", f"db={location}", "current")[:2] == (0, f"{HEAD} (head)\n")
    assert run_alembic("heads")[:2] == (0, f"{HEAD} (head)\n")
    code, history, _ = run_alembic("-x", f"db={location}", "history", "--indicate-current")
    assert code == 0
    assert re.findall(r"-> (\d{4})", history) == list(REVISIONS)[::-1]
    assert [line for line in history.splitlines() if f"{HEAD} (head) (current)" in line]
    assert run_alembic("-x", f"db={location}", "check")[:2] == (0, "No new upgrade operations detected.\n")


def test_check_finds_what_differs(location: str, run_alembic: Alembic) -> None:
    """A column that the schema does not have is reported; a table of another program is not."""
    with closing(open_database(location)) as database, database.write() as connection:
        connection.execute("CREATE TABLE theirs (word TEXT)")
    assert run_alembic("-x", f"db={location}", "check")[0] == 0
    with closing(open_database(location)) as database, connected(database) as raw:
        raw.execute(text("ALTER TABLE silences ADD COLUMN grade INTEGER"))
        raw.commit()
    code, out, problem = run_alembic("-x", f"db={location}", "check")
    assert code != 0
    assert "grade" in out + problem


def test_an_upgrade_names_its_backup(tmp_path: Path, run_alembic: Alembic) -> None:
    """`alembic upgrade head` backs up an old file and prints the path of the copy."""
    path = an_old_file(tmp_path / "metrics.db")
    code, out, _ = run_alembic("-x", f"db={path}", "upgrade", "head")
    (backup,) = tmp_path.glob("metrics.db.pre-*")
    assert (code, out.splitlines()) == (0, [f"backup: {backup}", f"{path} is at {HEAD}"])


def test_alembic_finds_the_users_database(home: Path, tmp_path: Path, run_alembic: Alembic) -> None:
    """Without -x it is the database that the program uses: of the home, or of the environment."""
    default = home / ".claude" / "metrics" / "metrics.db"
    code, out, problem = run_alembic("current")
    assert (code, len((out + problem).splitlines())) == (255, 1)
    assert f"there is no database at {default}" in out + problem
    assert not default.parent.exists()
    assert run_alembic("upgrade", "head")[:2] == (0, f"{default} is at {HEAD}\n")
    assert run_alembic("current")[:2] == (0, f"{HEAD} (head)\n")
    other = tmp_path / "other.db"
    env = {DATABASE_VARIABLE: str(other)}
    assert run_alembic("upgrade", "head", env=env)[:2] == (0, f"{other} is at {HEAD}\n")
