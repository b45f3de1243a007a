"""`performance.database` and its password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_force.database.archive import archive_folder
from claude_force.errors import SettingsError
from claude_force.ingest.spool_files import spool_files
from claude_force.settings.claude_json import Settings
from claude_force.settings.database_url import configured_database, database_problems, holds_password

HARD = "p@ss:w/o?rd #1%"
ENCODED = "p%40ss%3Aw%2Fo%3Frd%20%231%25"


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("data/metrics.db", False),
        ("postgresql://me@h/d", False),
        ("postgresql://h:5432/d", False),
        ("postgresql://me:@h/d", False),
        ("${PGURL}", False),
        ("postgresql://me:${PW}@h/d", False),
        ("postgresql://${LOGIN}@h/d", False),
        ("postgresql://h/d?user=me&password=${PW}", False),
        ("postgresql://me:secret@h/d", True),
        ("postgresql://me:se@cret@h/d", True),
        ("postgresql://h/d?password=secret", True),
        ("postgresql://h/d?sslmode=require&sslPassword=secret", True),
        ("postgres+psycopg://me:secret@h/d", True),
    ],
)
def test_a_password_in_the_url_is_found(database: str, expected: bool) -> None:
    """In the login and in the parameters; a reference to a variable is none."""
    assert holds_password(database) is expected


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """A private file with a password that a URL has to spell otherwise."""
    path = tmp_path / "pw"
    path.write_text(f"{HARD}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"database": "metrics.db"}, "metrics.db"),
        ({"database": "${WHOLE}"}, "postgresql://me:p%40ss@h/d"),
        ({"database": "postgresql://me:${PW}@h/d"}, f"postgresql://me:{ENCODED}@h/d"),
        ({"database": "postgresql://${LOGIN}@${HOST}/d"}, "postgresql://me:x@db.example.com/d"),
        ({"database": "${FOLDER}/metrics.db"}, "/data/metrics.db"),
        ({"database": "postgresql://me@h/d", "database_password_file": "pw"}, f"postgresql://me:{ENCODED}@h/d"),
        ({"database": "${PLAIN}", "database_password_file": "pw"}, f"postgresql://me:{ENCODED}@h:5/d?sslmode=require"),
    ],
)
def test_the_database_is_put_together(
    settings: dict[str, Any], expected: str | None, password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables are replaced, and the password of the file is in the URL, spelled as a URL needs it. A variable that is
    the whole password holds it as it is; one that holds more is a part of a URL already."""
    variables = {
        "WHOLE": "postgresql://me:p%40ss@h/d", "PW": HARD, "LOGIN": "me:x", "HOST": "db.example.com",
        "FOLDER": "/data", "PLAIN": "postgresql://me@h:5/d?sslmode=require",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert configured_database(Settings(**settings), password_file.parent / "claude.json") == expected


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unset variable": (
        {"database": "${PGURL}"}, "performance.database needs the variable PGURL, which is not set; export PGURL=...",
    ),
    "a file of SQLite": (
        {"database": "metrics.db", "database_password_file": "pw"},
        "performance.database_password_file is only for a postgresql:// URL in performance.database",
    ),
    "no database": (
        {"database_password_file": "pw"},
        "performance.database_password_file is only for a postgresql:// URL in performance.database",
    ),
    "no user": (
        {"database": "postgresql://h/d", "database_password_file": "pw"},
        "performance.database needs a user beside database_password_file: postgresql://user@host/name",
    ),
    "two passwords": (
        {"database": "postgresql://me:x@h/d", "database_password_file": "pw"},
        "performance.database_password_file and the password in database exclude each other; remove one of them",
    ),
    "an open file": (
        {"database": "postgresql://me@h/d", "database_password_file": "open"}, "is readable by others; chmod 600 ",
    ),
    "no file": ({"database": "postgresql://me@h/d", "database_password_file": "gone"}, "gone: No such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_password_that_cannot_be_used_is_one_line(case: str, password_file: Path) -> None:
    """It names the setting and the remedy, and not the secret. A variable that is not set here may be set elsewhere."""
    settings, expected = WRONG[case]
    (password_file.parent / "open").write_text("x")
    (password_file.parent / "open").chmod(0o644)
    with pytest.raises(SettingsError) as error:
        configured_database(Settings(**settings), password_file.parent / "claude.json")
    assert expected in str(error.value)
    assert str(error.value).startswith(f"{password_file.parent / 'claude.json'}: performance.database")
    assert "\n" not in str(error.value)
    assert HARD not in str(error.value)
    assert bool(database_problems(Settings(**settings), password_file.parent)) is ("variable" not in case)


def test_where_the_password_comes_from_moves_no_file(tmp_path: Path) -> None:
    """The archives and the waiting executions of a server are found again when its password leaves the URL, and when
    one comes into it."""
    locations = ("postgresql://me:one@h/d", "postgresql://me@h/d", "postgresql://me:two@h/d")
    for location in locations:
        folder = archive_folder(location, tmp_path)
        folder.mkdir()
        assert [archive_folder(other, tmp_path) for other in locations] == [folder] * 3
        folder.rmdir()
    assert len({frozenset(spool_files(location, tmp_path)) for location in locations}) == 1
    assert archive_folder("postgresql://you@h/d", tmp_path) != archive_folder(locations[0], tmp_path)
