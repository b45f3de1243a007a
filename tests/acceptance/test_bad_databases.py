"""Unusable databases: a command gives the reason in one line, and a recorded execution waits in the spool."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from tests.builders import NOON_US, a_line, an_execution
from tests.conftest import Run
from tests.postgres import execute_sql

STORED = 2000
PAGE_BYTES = 4096

RECORD = """
import json, os, sys, warnings
from claude_force.performance_tracker.tracker import PerformanceTracker
found = {}
for path, sound in json.loads(sys.argv[1]):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tracker = PerformanceTracker(database=path)
            for name in ("first", "second"):
                tracker.record_execution(name, "task", True, 5)
            if sound:
                os.rename(path, path + ".broken")
                os.rename(sound, path)
                tracker.record_execution("third", "task", True, 5)
        except Exception as error:
            found[path] = f"raised {type(error).__name__}: {error}"
        else:
            found[path] = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
print(json.dumps(found))
"""


def record(
    run_code: Run, *databases: tuple[Path | str | None, Path | None], script: str = RECORD, **options: Any
) -> dict[str, Any]:
    """Record two executions into each database in one new process, and a third after the sound file, if any, has
    replaced it. Returns the warnings by path, or the exception that should not have been raised."""
    given = [[path and str(path), sound and str(sound)] for path, sound in databases]
    done = run_code(script, json.dumps(given), **options)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def warnings_at(run_code: Run, path: Path | str, **options: Any) -> Any:
    """The warnings when recording into this database."""
    return record(run_code, (path, None), **options)[str(path)]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a sound database with many pages."""
    path = tmp_path_factory.mktemp("sound") / "metrics.db"
    database = open_database(str(path))
    Store(database).add([an_execution(agent_name="stored", timestamp_us=NOON_US + step) for step in range(STORED)])
    database.close()
    return path.read_bytes()


@pytest.fixture
def database_path(home: Path) -> Path:
    """The path of the home's default database. Its folder exists, and there is a file to import. Costs are off, because
    they are not needed."""
    (home / ".claude" / "metrics").mkdir()
    (home / ".claude" / "claude.json").write_text('{"performance": {"cost_tracking": false}}')
    (home / "history.jsonl").write_bytes(a_line())
    return home / ".claude" / "metrics" / "metrics.db"


def changed(path: Path, content: bytes, *statements: str) -> None:
    """Write a database and run SQL in it."""
    path.write_bytes(content)
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def garbage(path: Path, content: bytes) -> None:
    """Write a database with noise from the middle of its second page to its end."""
    noise = bytes(range(1, 256)) * (len(content) // 255 + 1)
    path.write_bytes(content[: PAGE_BYTES + 100] + noise[PAGE_BYTES + 100 : len(content)])


Damage = Callable[[Path, bytes], Any]

DAMAGES: dict[str, tuple[Damage, str]] = {
    "a text file": (lambda path, _: path.write_text("hello, world\n" * 100), "is not a SQLite database"),
    "a short text file": (lambda path, _: path.write_text("hi"), "is not a SQLite database"),
    "an empty file": (lambda path, _: path.touch(), "is empty"),
    "truncated": (lambda path, content: path.write_bytes(content[: 2 * PAGE_BYTES]), "is damaged"),
    "truncated in its header": (lambda path, content: path.write_bytes(content[:60]), "is damaged"),
    "garbage in the middle": (garbage, "is damaged"),
    "newer": (
        lambda path, content: changed(path, content, "UPDATE claude_force_version SET version_num = 'zz99'"),
        "upgrade claude-force",
    ),
    "older": (
        lambda path, content: changed(path, content, "DROP TABLE claude_force_version"),
        "run `claude-force db upgrade`",
    ),
    "without a version": (
        lambda path, content: changed(path, content, "DELETE FROM claude_force_version"),
        "run `claude-force db upgrade`",
    ),
    "another program's": (lambda path, _: changed(path, b"", "CREATE TABLE executions (id)"), "of another program"),
    "another program's, in use": (
        lambda path, _: changed(path, b"", "PRAGMA journal_mode = WAL", "CREATE TABLE executions (id)"),
        "of another program",
    ),
    "a folder": (lambda path, _: path.mkdir(), "is a folder"),
}
damaged = pytest.mark.parametrize(("damage", "complaint"), DAMAGES.values(), ids=DAMAGES)


NOT_OURS = ("is not a SQLite database", "is empty", "of another program", "is a folder")
"""Complaints about what is no database of ours, and so was named by mistake."""


def assert_refused(done: subprocess.CompletedProcess[str], complaint: str, code: int = 1) -> None:
    """The command failed with one line of its own on stderr, and nothing on stdout."""
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert "error: unexpected" not in done.stderr


def agents(path: Path | str) -> Counter[str]:
    """The number of stored executions by agent."""
    database = open_database(str(path))
    found = Counter(record.agent_name for record in queries.iterate(database, Filter()))
    database.close()
    return found


@damaged
def test_a_command_names_what_is_wrong_with_a_database(
    damage: Damage, complaint: str, sound: bytes, database_path: Path, run: Run
) -> None:
    """Reports and imports end with one line that names the file and the remedy. No file is changed or created."""
    damage(database_path, sound)
    before = {path: path.read_bytes() for path in database_path.parent.iterdir() if path.is_file()}
    for command in (("analytics", "summary"), ("import", "history.jsonl")):
        done = run(*command)
        assert_refused(done, complaint, 2 if complaint in NOT_OURS else 1)
        assert str(database_path) in done.stderr
    assert {path: path.read_bytes() for path in database_path.parent.iterdir() if path.is_file()} == before


@pytest.fixture(scope="module")
def recorded(sound: bytes, tmp_path_factory: pytest.TempPathFactory, run_code: Run) -> tuple[Path, dict[str, Any]]:
    """A folder with a database for each damage, each replaced by a sound one while one process records into all of
    them; and the warnings of that process."""
    folder = tmp_path_factory.mktemp("recorded")
    databases: list[tuple[Path, Path]] = []
    for name, (damage, _) in DAMAGES.items():
        databases.append((folder / name / "metrics.db", folder / name / "sound.db"))
        (folder / name).mkdir()
        damage(folder / name / "metrics.db", sound)
        (folder / name / "sound.db").write_bytes(sound)
    return folder, record(run_code, *databases, env={"HOME": str(folder)}, cwd=folder)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_recorded_execution_waits_for_a_sound_database(name: str, recorded: tuple[Path, dict[str, Any]]) -> None:
    """The host program gets one warning and does not fail. The next successful recording stores the waiting executions,
    once."""
    folder, warnings = recorded
    path = folder / name / "metrics.db"
    warned = warnings[str(path)]
    assert isinstance(warned, list), warned
    assert len(warned) == 1
    assert DAMAGES[name][1] in warned[0]
    assert agents(path) == {"stored": STORED, "first": 1, "second": 1, "third": 1}
    assert [item.name for item in path.parent.iterdir() if "spool" in item.name] == []


def test_a_warning_shows_the_line_of_the_host_program(database_path: Path, run_code: Run) -> None:
    """Python prints the host's line with the warning, not a line of the package."""
    database_path.write_text("no database")
    shown = record(run_code, (database_path, None), script=RECORD.replace("str(warning.message)", "warning.filename"))
    assert shown == {str(database_path): ["<string>"]}


def test_db_check_finds_damage(sound: bytes, database_path: Path, run: Run) -> None:
    """A sound database is ok. One with an overwritten page makes the command exit 1."""
    database_path.write_bytes(sound)
    assert (run("db", "check").returncode, run("db", "check").stdout) == (0, f"{database_path}: ok\n")
    middle = len(sound) // 2
    database_path.write_bytes(sound[:middle] + b"\xaa" * PAGE_BYTES + sound[middle + PAGE_BYTES :])
    done = run("db", "check")
    assert done.returncode == 1
    # Not only "ok": damage may be in a column of tokens.
    assert ": ok\n" not in done.stdout


def test_a_damaged_database_is_not_backed_up(sound: bytes, database_path: Path, home: Path, run: Run) -> None:
    """A copy that fails its check is not kept as a backup."""
    middle = len(sound) // 2
    database_path.write_bytes(sound[:middle] + b"\xaa" * PAGE_BYTES + sound[middle + PAGE_BYTES :])
    assert_refused(run("db", "backup", "copy.db"), "damaged")
    assert sorted(path.name for path in home.iterdir()) == [".claude", "history.jsonl"]


@pytest.mark.parametrize("statement", ["DROP TABLE claude_force_version", "DELETE FROM claude_force_version"])
def test_an_impossible_upgrade_is_one_line(statement: str, sound: bytes, database_path: Path, run: Run) -> None:
    """A database without its version is either upgraded with all of its rows, or refused in one line without SQL."""
    changed(database_path, sound, statement)
    done = run("db", "upgrade")
    if done.returncode:
        assert_refused(done, str(database_path))
        assert "CREATE TABLE" not in done.stderr
        assert "sqlalche.me" not in done.stderr
    connection = sqlite3.connect(database_path)
    assert connection.execute("SELECT COUNT(*) FROM executions").fetchone() == (STORED,)
    connection.close()


def test_a_row_with_an_impossible_time_names_its_file(sound: bytes, database_path: Path, run: Run) -> None:
    """Such a row was written by another program. The error is one line that names the database."""
    changed(database_path, sound, f"UPDATE executions SET timestamp_us = {2**62} WHERE timestamp_us = {NOON_US}")
    assert_refused(run("analytics", "export", "--output", "out.csv"), str(database_path))


# Permissions


def obey_permissions() -> None:
    """Make file permissions apply to the process that is about to start, even as root, by dropping CAP_DAC_OVERRIDE and
    similar capabilities."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None)
        for capability in (1, 2, 3):
            if library.prctl(24, capability, 0, 0, 0) != 0:
                os._exit(77)


@pytest.fixture
def locked(database_path: Path, sound: bytes) -> Iterator[Path]:
    """A sound database whose permissions a test may change. They are restored afterwards."""
    if os.geteuid() == 0 and sys.platform != "linux":
        pytest.skip("only Linux can take its rights from root")
    database_path.write_bytes(sound)
    database_path.chmod(0o600)
    yield database_path
    for path in (database_path.parent.parent, database_path.parent, database_path):
        if path.exists():
            path.chmod(0o700)


def test_a_read_only_database_gives_reports(locked: Path, run: Run) -> None:
    """Reports work. An import is refused with the remedy."""
    locked.chmod(0o444)
    report = run("analytics", "summary", preexec_fn=obey_permissions)
    assert (report.returncode, "Total Executions: 2,000" in report.stdout) == (0, True)
    assert_refused(run("import", "history.jsonl", preexec_fn=obey_permissions), "cannot be written by this user")


@pytest.mark.parametrize("mode", [0o444, 0o644], ids=["read-only file", "writable file"])
def test_a_database_in_a_read_only_folder_gives_reports(mode: int, locked: Path, run: Run) -> None:
    """Reading needs no write access, so a copy on a read-only medium gives reports."""
    locked.chmod(mode)
    locked.parent.chmod(0o555)
    report = run("analytics", "summary", preexec_fn=obey_permissions)
    assert (report.stderr, "Total Executions: 2,000" in report.stdout) == ("", True)
    assert_refused(run("import", "history.jsonl", preexec_fn=obey_permissions), "cannot be written by this user")


UNREACHABLE = {"the file": "metrics/metrics.db", "its folder": "metrics", "the home": "."}


@pytest.mark.parametrize("unreadable", UNREACHABLE.values(), ids=UNREACHABLE)
def test_an_unreadable_path_is_named(unreadable: str, locked: Path, run: Run) -> None:
    """Every command prints one line with the path of the unreadable file or folder."""
    (locked.parent.parent / unreadable).chmod(0)
    for command in (("analytics", "summary"), ("import", "history.jsonl"), ("db", "check"), ("db", "current")):
        assert_refused(run(*command, preexec_fn=obey_permissions), str(locked.parent.parent))


@pytest.mark.parametrize("unreadable", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_recorded_execution_waits_for_permission(unreadable: str, locked: Path, home: Path, run_code: Run) -> None:
    """It is stored once the database can be written."""
    (locked.parent.parent / unreadable).chmod(0)
    warned = warnings_at(run_code, locked, preexec_fn=obey_permissions)
    assert str(locked) in warned[-1]
    for path in (locked.parent.parent, locked.parent, locked):
        path.chmod(0o700)
    assert warnings_at(run_code, locked) == []
    assert agents(locked) == {"stored": STORED, "first": 2, "second": 2}


def test_an_unreadable_parent_folder_is_not_the_home(locked: Path, home: Path, run: Run, run_code: Run) -> None:
    """Below an unreadable folder, as after `sudo -u`, commands use the home, and trackers record."""
    inner = home / "unreadable" / "inner"
    inner.mkdir(parents=True)

    def enter_and_lock() -> None:
        os.chdir(inner)
        inner.parent.chmod(0)
        obey_permissions()

    try:
        report = run("analytics", "summary", preexec_fn=enter_and_lock, cwd=None)
        assert (report.stderr, "Total Executions: 2,000" in report.stdout) == ("", True)
        inner.parent.chmod(0o700)
        assert warnings_at(run_code, locked, preexec_fn=enter_and_lock) == []
    finally:
        inner.parent.chmod(0o700)
    assert agents(locked)["first"] == 1


def test_a_user_without_a_home_folder_records(database_path: Path, home: Path) -> None:
    """A user with neither an account nor HOME, as in some containers, records into the database below the working
    folder."""
    command = ["unshare", "--user", "--map-user=54321", "--map-group=54321", sys.executable, "-c"]
    if not shutil.which("unshare") or subprocess.run([*command, ""], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace can be made here (unshare --user)")
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    script = RECORD.replace("PerformanceTracker(database=path)", "PerformanceTracker()")
    arguments = [*command, script, json.dumps([[str(database_path), None]])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, json.loads(done.stdout or "null")) == (0, {str(database_path): []}), done.stderr
    assert agents(database_path) == {"first": 1, "second": 1}


def test_a_deleted_working_folder_does_not_crash(database_path: Path, home: Path, run: Run) -> None:
    """Absolute paths and the home still work. A relative path is refused with a clear line."""
    gone = home / "gone"
    gone.mkdir()

    def delete_working_folder() -> None:
        os.chdir(gone)
        gone.rmdir()

    assert run("analytics", "summary", preexec_fn=delete_working_folder).returncode == 0
    gone.mkdir()
    done = run("analytics", "summary", "--db", "relative.db", preexec_fn=delete_working_folder)
    assert_refused(done, "relative.db")


# A full disk


@pytest.fixture
def small_disk(database_path: Path) -> Iterator[Path]:
    """The metrics folder on a file system of one megabyte. The test is skipped where it cannot be mounted."""
    if not (sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount")):
        pytest.skip("only root on Linux can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(database_path.parent)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield database_path.parent
    subprocess.run(["umount", str(database_path.parent)], check=True)


def fill_disk(folder: Path) -> Path:
    """Create a file that takes all the remaining space."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return filler


def test_an_import_on_a_full_disk_can_be_run_again(small_disk: Path, home: Path, run: Run) -> None:
    """The import ends with the remedy. Run again with enough space, it stores every line once."""
    lines = [a_line(agent_name=f"agent {number % 7}", run_id=f"run {number}") for number in range(12_000)]
    (home / "history.jsonl").write_bytes(b"".join(lines))
    assert_refused(run("import", "history.jsonl"), "is full")
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    done = run("import", "history.jsonl")
    assert done.returncode == 0, done.stderr
    assert agents(small_disk / "metrics.db").total() == 12_000


def test_an_export_to_a_full_disk_leaves_no_partial_file(small_disk: Path, sound: bytes, home: Path, run: Run) -> None:
    """The error is one line, and neither a partial nor a temporary file stays."""
    (home / "sound.db").write_bytes(sound)
    fill_disk(small_disk)
    done = run("analytics", "export", "--db", "sound.db", "--output", str(small_disk / "out.csv"))
    assert_refused(done, "No space left on device")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("arguments", [("analytics", "export"), ("analytics", "summary"), ("db", "path")])
def test_a_full_disk_under_stdout_is_one_line(
    arguments: tuple[str, ...], sound: bytes, database_path: Path, run: Run
) -> None:
    """With its output redirected to a full disk, a command exits 1 with one clear line."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    database_path.write_bytes(sound)
    with Path("/dev/full").open("w") as full:
        done = run(*arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "error: unexpected" not in done.stderr


@pytest.mark.parametrize("everywhere", [False, True], ids=["metrics folder full", "state folder full too"])
@pytest.mark.parametrize("existing", [False, True], ids=["no database", "a database"])
def test_a_recorded_execution_waits_for_space(
    everywhere: bool,
    existing: bool,
    small_disk: Path,
    sound: bytes,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_code: Run,
) -> None:
    """The execution waits in the spool, or in memory if the spool cannot be written. It is stored once there is space,
    at the latest when the program ends."""
    if existing:
        (small_disk / "metrics.db").write_bytes(sound)
    if everywhere:
        monkeypatch.setenv("XDG_STATE_HOME", str(small_disk / "state"))
    filler = fill_disk(small_disk)
    script = f"{RECORD}\nos.remove({str(filler)!r})\n"
    (warned,) = record(run_code, (small_disk / "metrics.db", None), script=script).values()
    assert len(warned) == 1
    assert "full" in warned[0]
    assert warnings_at(run_code, small_disk / "metrics.db") == []
    assert agents(small_disk / "metrics.db") == Counter(first=2, second=2, **({"stored": STORED} if existing else {}))


def test_a_truncated_spool_line_loses_no_other_line(sound: bytes, database_path: Path, run_code: Run) -> None:
    """A line cut off by a crash does not damage the next line."""
    database_path.write_text("no database")
    warnings_at(run_code, database_path)
    spool = next(path for path in database_path.parent.iterdir() if "spool" in path.name)
    spool.write_bytes(spool.read_bytes()[:-40])
    warnings_at(run_code, database_path)
    database_path.write_bytes(sound)
    warnings_at(run_code, database_path)
    assert agents(database_path) == {"stored": STORED, "first": 3, "second": 2}


# Invalid locations


INVALID = {
    "mysql": ("mysql://user:s3cr3t@host/name", "no support for mysql"),
    "a password with a slash": ("postgresql://user:s3/cr3t@127.0.0.1:1/slash", ""),
    "a port with letters": ("postgresql://user:s3cr3t@127.0.0.1:port/name", "postgresql://"),
    "a port that is too large": ("postgresql://user:s3cr3t@127.0.0.1:99999999/name", "port"),
    "a host that is too long": (f"postgresql://user:s3cr3t@{'h' * 70}/name", "cannot reach"),
    "a closed port": ("postgresql://user:s3cr3t@127.0.0.1:1/name", "cannot reach"),
    "a password in the query": ("postgresql://127.0.0.1:1/name?user=user&password=s3cr3t", "cannot reach"),
    "an at sign in the password": ("postgresql://user:pw@s3cr3t@127.0.0.1:1/at", ""),
    "an unknown option": ("postgresql://user:s3cr3t@127.0.0.1:1/name?bogus=1", "bogus"),
    "a folder that cannot be created": ("/dev/null/metrics.db", "/dev/null"),
    "a name of 300 letters": ("x" * 300, "File name too long"),
    "an unknown user": ("~nobody-of-this-name/metrics.db", "~nobody-of-this-name"),
}
invalid = pytest.mark.parametrize(("location", "complaint"), INVALID.values(), ids=INVALID)


@invalid
def test_an_invalid_location_is_one_line_without_its_password(location: str, complaint: str, run: Run) -> None:
    """The line gives the reason. No output contains the password."""
    done = run("analytics", "summary", env={"CLAUDE_FORCE_DB": location})
    assert_refused(done, complaint, 2 if complaint == "/dev/null" else 1)
    assert_secret_kept(done.stderr)


@pytest.mark.parametrize(
    "location",
    [url for url, _ in INVALID.values() if "name?" in url or "@s3" in url],
)
def test_db_path_hides_the_password(location: str, run: Run) -> None:
    """Wherever the password is in the URL."""
    done = run("db", "path", "--db", location)
    assert_secret_kept(done.stdout + done.stderr)


@pytest.fixture(scope="module")
def recorded_at_invalid(tmp_path_factory: pytest.TempPathFactory, run_code: Run) -> tuple[Path, dict[str, Any]]:
    """A home in which one process has recorded at every invalid location; and the warnings of that process."""
    folder = tmp_path_factory.mktemp("invalid")
    databases = [(location, None) for location, _ in INVALID.values()]
    return folder, record(run_code, *databases, env={"HOME": str(folder)}, cwd=folder)


@invalid
def test_recording_at_an_invalid_location_does_not_fail_the_host(
    location: str, complaint: str, recorded_at_invalid: tuple[Path, dict[str, Any]]
) -> None:
    """The execution waits in the spool. The host program gets one warning without a password."""
    folder, warnings = recorded_at_invalid
    warned = warnings[location]
    assert isinstance(warned, list), warned
    assert len(warned) == 1
    assert complaint in warned[0]
    assert_secret_kept(warned[0])
    spool = Path(warned[0].partition("wait in ")[2].partition(" and are stored")[0])
    assert spool.is_relative_to(folder), spool
    assert spool.read_bytes().count(b"\n") == 2


def assert_secret_kept(text: str) -> None:
    """The text contains no part of the passwords in INVALID."""
    assert [part for part in ("s3cr3t", ":s3/", "cr3t", "pw@") if part in text] == []


@pytest.mark.parametrize("location", ["a\\u0000b.db", "\\ud800.db"], ids=["NUL", "lone surrogate"])
def test_an_impossible_path_does_not_fail_the_host(location: str, home: Path, run: Run, run_code: Run) -> None:
    """A path in claude.json with a NUL or a lone surrogate is one error line of a command, and one warning in a host
    program."""
    (home / ".claude" / "claude.json").write_text(f'{{"performance": {{"database": "{location}"}}}}')
    assert_refused(run("analytics", "summary"), "error: ")
    (warned,) = record(run_code, (None, None)).values()
    assert isinstance(warned, list), warned
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("DROP TABLE executions CASCADE; DROP TABLE claude_force_version", "run `claude-force db upgrade`"),
        ("UPDATE claude_force_version SET version_num = 'zz99'", "upgrade claude-force"),
        ("DROP TABLE executions CASCADE", "executions"),
    ],
    ids=["empty", "newer", "without a table"],
)
def test_a_server_with_another_schema_is_refused(
    statement: str, complaint: str, postgres_url: str, home: Path, run: Run, run_code: Run
) -> None:
    """The error is one line with the remedy, and a recorded execution waits in the spool."""
    execute_sql(postgres_url, statement)
    secret_url = postgres_url.replace("postgres@", "postgres:s3cr3t@").replace("postgres:@", "postgres:s3cr3t@")
    (home / "history.jsonl").write_bytes(a_line())
    for command in (("analytics", "summary"), ("import", "history.jsonl")):
        done = run(*command, "--db", secret_url)
        assert_refused(done, complaint, 2 if "claude_force_version" in statement and "DROP" in statement else 1)
        assert "s3cr3t" not in done.stderr
    warned = warnings_at(run_code, secret_url)
    assert len(warned) == 1
    assert complaint in warned[0]
    assert "s3cr3t" not in warned[0]


def test_a_read_only_server_gives_reports(postgres_url: str, home: Path, run: Run) -> None:
    """A server that takes no writes (a standby) gives reports. An import is refused as read-only."""
    (home / "history.jsonl").write_bytes(a_line())
    url = f"{postgres_url}&options=-c%20default_transaction_read_only%3Don"
    assert run("analytics", "summary", "--db", url).returncode == 0
    assert_refused(run("import", "history.jsonl", "--db", url), "only reads")


@contextmanager
def kept_by_another_program(path: Path) -> Iterator[None]:
    """Another program has switched the log off, and keeps everybody out."""
    other = sqlite3.connect(path, isolation_level=None)
    assert other.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.close()


@pytest.mark.parametrize("command", ["daily", "daily --no-ingest", "sessions --json", "ingest"])
def test_a_lock_without_a_log_is_one_line(command: str, locked: Path, run: Run) -> None:
    """A command that reads gives up after a second: such a lock may be held for ever."""
    with kept_by_another_program(locked):
        done = run(*command.split(), "--db", locked)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {locked} was locked by another process for 1 s; try again\n"
    assert run("daily", "--db", locked).returncode == 0


def test_the_status_line_and_the_doctor_stand_such_a_lock(locked: Path, run: Run) -> None:
    """The line has what is known without the database; the doctor has a finding."""
    with kept_by_another_program(locked):
        line = run("statusline", "--db", locked, stdin=subprocess.DEVNULL)
        found = run("doctor", "--db", locked, "--json")
    assert (line.returncode, line.stdout) == (0, "Claude\n")
    assert line.stderr.endswith(f"{locked} was locked by another process for 1 s; try again\n")
    problems = [each["text"] for each in json.loads(found.stdout)["findings"] if each["level"] == "problem"]
    assert problems == [f"{locked} was locked by another process for 1 s; try again"]
