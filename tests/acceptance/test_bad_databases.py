"""Databases that cannot be used: a command says why in one line, a recorded execution waits until it can be stored."""

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
told = {}
for place, sound in json.loads(sys.argv[1]):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tracker = PerformanceTracker(database=place)
            for name in ("first", "second"):
                tracker.record_execution(name, "task", True, 5)
            if sound:
                os.rename(place, place + ".broken")
                os.rename(sound, place)
                tracker.record_execution("third", "task", True, 5)
        except Exception as error:
            told[place] = f"raised {type(error).__name__}: {error}"
        else:
            told[place] = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
print(json.dumps(told))
"""


def record(*places: tuple[Path | str | None, Path | None], script: str = RECORD, **options: Any) -> dict[str, Any]:
    """Record two executions at each place in a program of its own, then a third where a sound file takes its place.

    Gives the warnings of each place, or the exception that should not have been.
    """
    given = [[place and str(place), sound and str(sound)] for place, sound in places]
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(given)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def warnings_at(place: Path | str, **options: Any) -> Any:
    """The warnings that recording at one place gives."""
    return record((place, None), **options)[str(place)]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a sound database of many pages."""
    path = tmp_path_factory.mktemp("sound") / "metrics.db"
    database = open_database(str(path))
    Store(database).add([an_execution(agent_name="stored", timestamp_us=NOON_US + step) for step in range(STORED)])
    database.close()
    return path.read_bytes()


@pytest.fixture
def place(home: Path) -> Path:
    """Where the database of the home is, in a folder that exists, beside a history to import. Prices are not needed."""
    (home / ".claude" / "metrics").mkdir()
    (home / ".claude" / "claude.json").write_text('{"performance": {"cost_tracking": false}}')
    (home / "history.jsonl").write_bytes(a_line())
    return home / ".claude" / "metrics" / "metrics.db"


def changed(path: Path, content: bytes, *statements: str) -> None:
    """A database after some SQL."""
    path.write_bytes(content)
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def garbage(path: Path, content: bytes) -> None:
    """A database whose pages, but the first, are overwritten from the middle of the second on."""
    noise = bytes(range(1, 256)) * (len(content) // 255 + 1)
    path.write_bytes(content[: PAGE_BYTES + 100] + noise[PAGE_BYTES + 100 : len(content)])


Damage = Callable[[Path, bytes], Any]

DAMAGES: dict[str, tuple[Damage, str]] = {
    "a text file": (lambda path, _: path.write_text("hello, world\n" * 100), "is not a SQLite database"),
    "a word": (lambda path, _: path.write_text("hi"), "is not a SQLite database"),
    "an empty file": (lambda path, _: path.touch(), "is empty"),
    "cut off": (lambda path, content: path.write_bytes(content[: 2 * PAGE_BYTES]), "is damaged"),
    "cut off in its header": (lambda path, content: path.write_bytes(content[:60]), "is damaged"),
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


def assert_refused(done: subprocess.CompletedProcess[str], complaint: str) -> None:
    """The command failed with one line of our own words on stderr, and nothing on stdout."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert "error: unexpected" not in done.stderr


def agents(place: Path | str) -> Counter[str]:
    """How many executions of each agent are stored."""
    database = open_database(str(place))
    found = Counter(record.agent_name for record in queries.iterate(database, Filter()))
    database.close()
    return found


@damaged
def test_a_command_says_what_is_wrong_with_a_database(
    damage: Damage, complaint: str, sound: bytes, place: Path, run: Run
) -> None:
    """Reading and importing end with one line that names the file and the remedy; no file is changed or left behind."""
    damage(place, sound)
    before = {path: path.read_bytes() for path in place.parent.iterdir() if path.is_file()}
    for command in (("analytics", "summary"), ("import", "history.jsonl")):
        done = run(*command)
        assert_refused(done, complaint)
        assert str(place) in done.stderr
    assert {path: path.read_bytes() for path in place.parent.iterdir() if path.is_file()} == before


@pytest.fixture(scope="module")
def recorded(sound: bytes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a database for each damage, repaired while one program recorded in all of them; what it told."""
    folder = tmp_path_factory.mktemp("recorded")
    places: list[tuple[Path, Path]] = []
    for name, (damage, _) in DAMAGES.items():
        places.append((folder / name / "metrics.db", folder / name / "sound.db"))
        (folder / name).mkdir()
        damage(folder / name / "metrics.db", sound)
        (folder / name / "sound.db").write_bytes(sound)
    return folder, record(*places, env=os.environ | {"HOME": str(folder)}, cwd=folder)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_recorded_execution_waits_for_a_sound_database(name: str, recorded: tuple[Path, dict[str, Any]]) -> None:
    """The host is warned once and not failed; the next execution that is stored brings in those that waited, once."""
    folder, told = recorded
    place = folder / name / "metrics.db"
    warned = told[str(place)]
    assert isinstance(warned, list), warned
    assert len(warned) == 1
    assert DAMAGES[name][1] in warned[0]
    assert agents(place) == {"stored": STORED, "first": 1, "second": 1, "third": 1}
    assert [path.name for path in place.parent.iterdir() if "spool" in path.name] == []


def test_a_warning_points_at_the_program_that_records(place: Path) -> None:
    """Python shows the line of the host beside a warning, not a line of ours."""
    place.write_text("no database")
    shown = record((place, None), script=RECORD.replace("str(warning.message)", "warning.filename"))
    assert shown == {str(place): ["<string>"]}


def test_db_check_finds_what_is_damaged(sound: bytes, place: Path, run: Run) -> None:
    """A sound database is ok; one with garbage in the middle exits 1 and says so."""
    place.write_bytes(sound)
    assert (run("db", "check").returncode, run("db", "check").stdout) == (0, f"{place}: ok\n")
    middle = len(sound) // 2
    place.write_bytes(sound[:middle] + b"\xaa" * PAGE_BYTES + sound[middle + PAGE_BYTES :])
    done = run("db", "check")
    assert done.returncode == 1
    assert "ok" not in done.stdout


def test_a_damaged_database_is_not_backed_up(sound: bytes, place: Path, home: Path, run: Run) -> None:
    """A copy that does not pass its check never stands where a good backup should."""
    middle = len(sound) // 2
    place.write_bytes(sound[:middle] + b"\xaa" * PAGE_BYTES + sound[middle + PAGE_BYTES :])
    assert_refused(run("db", "backup", "copy.db"), "damaged")
    assert sorted(path.name for path in home.iterdir()) == [".claude", "history.jsonl"]


@pytest.mark.parametrize("statement", ["DROP TABLE claude_force_version", "DELETE FROM claude_force_version"])
def test_an_upgrade_that_cannot_be_says_so_in_a_line(statement: str, sound: bytes, place: Path, run: Run) -> None:
    """A schema whose version is lost is either upgraded with all of its rows, or refused in one line without SQL."""
    changed(place, sound, statement)
    done = run("db", "upgrade")
    if done.returncode:
        assert_refused(done, str(place))
        assert "CREATE TABLE" not in done.stderr
        assert "sqlalche.me" not in done.stderr
    connection = sqlite3.connect(place)
    assert connection.execute("SELECT COUNT(*) FROM executions").fetchone() == (STORED,)
    connection.close()


def test_a_row_that_no_program_of_ours_wrote_is_an_error_with_its_file(sound: bytes, place: Path, run: Run) -> None:
    """An instant beyond all years, put there by other hands, is one line that names the database."""
    changed(place, sound, f"UPDATE executions SET timestamp_us = {2**62} WHERE timestamp_us = {NOON_US}")
    assert_refused(run("analytics", "export", "--output", "out.csv"), str(place))


# Permissions


def obey_permissions() -> None:
    """Make the process about to start obey file modes, also as root: without CAP_DAC_OVERRIDE and its like."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None)
        for capability in (1, 2, 3):
            if library.prctl(24, capability, 0, 0, 0) != 0:
                os._exit(77)


@pytest.fixture
def locked(place: Path, sound: bytes) -> Iterator[Path]:
    """A sound database whose modes a test may change; they are opened again for the clean-up."""
    if os.geteuid() == 0 and sys.platform != "linux":
        pytest.skip("only Linux can take its rights from root")
    place.write_bytes(sound)
    place.chmod(0o600)
    yield place
    for path in (place.parent.parent, place.parent, place):
        if path.exists():
            path.chmod(0o700)


def test_a_read_only_file_is_read_but_not_written(locked: Path, run: Run) -> None:
    """Reports of a read-only file work; importing into it is refused with what to change."""
    locked.chmod(0o444)
    report = run("analytics", "summary", preexec_fn=obey_permissions)
    assert (report.returncode, "Total Executions: 2,000" in report.stdout) == (0, True)
    assert_refused(run("import", "history.jsonl", preexec_fn=obey_permissions), "cannot be written by this user")


@pytest.mark.parametrize("mode", [0o444, 0o644], ids=["read-only file", "writable file"])
def test_a_database_in_a_read_only_folder_is_read_but_not_written(mode: int, locked: Path, run: Run) -> None:
    """Reading changes nothing, so it needs no right to write: a copy on a read-only medium gives its reports."""
    locked.chmod(mode)
    locked.parent.chmod(0o555)
    report = run("analytics", "summary", preexec_fn=obey_permissions)
    assert (report.stderr, "Total Executions: 2,000" in report.stdout) == ("", True)
    assert_refused(run("import", "history.jsonl", preexec_fn=obey_permissions), "cannot be written by this user")


UNREACHABLE = {"the file": "metrics/metrics.db", "its folder": "metrics", "the home": "."}


@pytest.mark.parametrize("closed", UNREACHABLE.values(), ids=UNREACHABLE)
def test_what_may_not_be_opened_is_named(closed: str, locked: Path, run: Run) -> None:
    """A file or folder without any rights is one line with its path, for every command."""
    (locked.parent.parent / closed).chmod(0)
    for command in (("analytics", "summary"), ("import", "history.jsonl"), ("db", "check"), ("db", "current")):
        assert_refused(run(*command, preexec_fn=obey_permissions), str(locked.parent.parent))


@pytest.mark.parametrize("closed", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_recorded_execution_waits_for_its_rights(closed: str, locked: Path, home: Path) -> None:
    """What may not be written is recorded once it may be."""
    (locked.parent.parent / closed).chmod(0)
    warned = warnings_at(locked, preexec_fn=obey_permissions)
    assert str(locked) in warned[-1]
    for path in (locked.parent.parent, locked.parent, locked):
        path.chmod(0o700)
    assert warnings_at(locked) == []
    assert agents(locked) == {"stored": STORED, "first": 2, "second": 2}


def test_a_folder_above_that_may_not_be_searched_is_no_home(locked: Path, home: Path, run: Run) -> None:
    """In a working folder below one that is closed, as after `sudo -u`, commands use the home and trackers record."""
    inner = home / "closed" / "inner"
    inner.mkdir(parents=True)

    def close_behind() -> None:
        os.chdir(inner)
        inner.parent.chmod(0)
        obey_permissions()

    try:
        report = run("analytics", "summary", preexec_fn=close_behind, cwd=None)
        assert (report.stderr, "Total Executions: 2,000" in report.stdout) == ("", True)
        inner.parent.chmod(0o700)
        assert warnings_at(locked, preexec_fn=close_behind) == []
    finally:
        inner.parent.chmod(0o700)
    assert agents(locked)["first"] == 1


def test_a_user_without_a_home_records(place: Path, home: Path) -> None:
    """An account that has no entry and no HOME, as in some containers, records where the database is."""
    command = ["unshare", "--user", "--map-user=54321", "--map-group=54321", sys.executable, "-c"]
    if not shutil.which("unshare") or subprocess.run([*command, ""], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace can be made here (unshare --user)")
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    script = RECORD.replace("PerformanceTracker(database=place)", "PerformanceTracker()")
    arguments = [*command, script, json.dumps([[str(place), None]])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, json.loads(done.stdout or "null")) == (0, {str(place): []}), done.stderr
    assert agents(place) == {"first": 1, "second": 1}


def test_a_working_folder_that_is_gone_is_no_crash(place: Path, home: Path, run: Run) -> None:
    """In a deleted folder, absolute paths and the home still work, and a relative one is refused in its own words."""
    gone = home / "gone"
    gone.mkdir()

    def leave_nothing() -> None:
        os.chdir(gone)
        gone.rmdir()

    assert run("analytics", "summary", preexec_fn=leave_nothing).returncode == 0
    gone.mkdir()
    done = run("analytics", "summary", "--db", "relative.db", preexec_fn=leave_nothing)
    assert_refused(done, "relative.db")


# A full disk


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A disk of one megabyte at the metrics folder; where it cannot be mounted the test is skipped."""
    if not (sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount")):
        pytest.skip("only root on Linux can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place.parent)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield place.parent
    subprocess.run(["umount", str(place.parent)], check=True)


def fill_disk(folder: Path) -> Path:
    """A file that takes all the space that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return filler


def test_a_full_disk_is_said_and_an_import_can_be_run_again(small_disk: Path, home: Path, run: Run) -> None:
    """An import that fills the disk ends with the remedy; run again with space, it stores every line once."""
    lines = [a_line(agent_name=f"agent {number % 7}", run_id=f"run {number}") for number in range(12_000)]
    (home / "history.jsonl").write_bytes(b"".join(lines))
    assert_refused(run("import", "history.jsonl"), "is full")
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    done = run("import", "history.jsonl")
    assert done.returncode == 0, done.stderr
    assert agents(small_disk / "metrics.db").total() == 12_000


def test_an_export_to_a_full_disk_leaves_no_half_file(small_disk: Path, sound: bytes, home: Path, run: Run) -> None:
    """What cannot be written whole is one line, and neither a half file nor a temporary one stays."""
    (home / "sound.db").write_bytes(sound)
    fill_disk(small_disk)
    done = run("analytics", "export", "--db", "sound.db", "--output", str(small_disk / "out.csv"))
    assert_refused(done, "No space left on device")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("arguments", [("analytics", "export"), ("analytics", "summary"), ("db", "path")])
def test_a_full_disk_behind_stdout_is_one_line(arguments: tuple[str, ...], sound: bytes, place: Path, run: Run) -> None:
    """Redirected to a disk that is full, a command exits 1 and says that in its own words."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    place.write_bytes(sound)
    with Path("/dev/full").open("w") as full:
        done = run(*arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "error: unexpected" not in done.stderr


@pytest.mark.parametrize("everywhere", [False, True], ids=["metrics folder full", "state folder full too"])
@pytest.mark.parametrize("existing", [False, True], ids=["no database", "a database"])
def test_a_recorded_execution_waits_for_space(
    everywhere: bool, existing: bool, small_disk: Path, sound: bytes, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the record waits in a file, or in memory where none can be written, and comes in with space,
    at the latest at the end of the program."""
    if existing:
        (small_disk / "metrics.db").write_bytes(sound)
    if everywhere:
        monkeypatch.setenv("XDG_STATE_HOME", str(small_disk / "state"))
    filler = fill_disk(small_disk)
    script = f"{RECORD}\nos.remove({str(filler)!r})\n"
    (warned,) = record((small_disk / "metrics.db", None), script=script).values()
    assert len(warned) == 1
    assert "full" in warned[0]
    assert warnings_at(small_disk / "metrics.db") == []
    assert agents(small_disk / "metrics.db") == Counter(first=2, second=2, **({"stored": STORED} if existing else {}))


def test_a_spool_that_ends_in_half_a_line_loses_no_other(sound: bytes, place: Path) -> None:
    """A line cut off by a crash does not take the next one with it."""
    place.write_text("no database")
    warnings_at(place)
    spool = next(path for path in place.parent.iterdir() if "spool" in path.name)
    spool.write_bytes(spool.read_bytes()[:-40])
    warnings_at(place)
    place.write_bytes(sound)
    warnings_at(place)
    assert agents(place) == {"stored": STORED, "first": 3, "second": 2}


# Places that cannot be


NOWHERE = {
    "mysql": ("mysql://user:s3cr3t@host/name", "no support for mysql"),
    "a password with a slash": ("postgresql://user:s3/cr3t@127.0.0.1:1/slash", ""),
    "a port that is no number": ("postgresql://user:s3cr3t@127.0.0.1:port/name", "postgresql://"),
    "a port that cannot be": ("postgresql://user:s3cr3t@127.0.0.1:99999999/name", "port"),
    "a host that is too long": (f"postgresql://user:s3cr3t@{'h' * 70}/name", "cannot reach"),
    "nobody listens": ("postgresql://user:s3cr3t@127.0.0.1:1/name", "cannot reach"),
    "a password behind the question mark": ("postgresql://127.0.0.1:1/name?user=user&password=s3cr3t", "cannot reach"),
    "an at sign in the password": ("postgresql://user:pw@s3cr3t@127.0.0.1:1/at", ""),
    "an unknown option": ("postgresql://user:s3cr3t@127.0.0.1:1/name?bogus=1", "bogus"),
    "a folder that cannot be made": ("/dev/null/metrics.db", "/dev/null"),
    "a name of 300 letters": ("x" * 300, "File name too long"),
    "a user who is not": ("~nobody-of-this-name/metrics.db", "~nobody-of-this-name"),
}
nowhere = pytest.mark.parametrize(("location", "complaint"), NOWHERE.values(), ids=NOWHERE)


@nowhere
def test_a_place_that_cannot_be_is_one_line_without_its_password(location: str, complaint: str, run: Run) -> None:
    """A command on a database that is nowhere says why; a password appears in no output."""
    done = run("analytics", "summary", env={"CLAUDE_FORCE_DB": location})
    assert_refused(done, complaint)
    assert_secret_kept(done.stderr)


@pytest.mark.parametrize("location", [place for place, _ in NOWHERE.values() if "name?" in place or "@s3" in place])
def test_the_path_of_a_database_hides_its_password(location: str, run: Run) -> None:
    """`db path` shows a URL without its password, wherever in it the password stands."""
    done = run("db", "path", "--db", location)
    assert_secret_kept(done.stdout + done.stderr)


@pytest.fixture(scope="module")
def recorded_nowhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A home in which one program recorded at every place that cannot be; what it told."""
    folder = tmp_path_factory.mktemp("nowhere")
    places = [(place, None) for place, _ in NOWHERE.values()]
    return folder, record(*places, env=os.environ | {"HOME": str(folder)}, cwd=folder)


@nowhere
def test_recording_to_a_place_that_cannot_be_fails_no_host(
    location: str, complaint: str, recorded_nowhere: tuple[Path, dict[str, Any]]
) -> None:
    """The record waits in a file, whatever is wrong with the location; the host is warned once, without a password."""
    folder, told = recorded_nowhere
    warned = told[location]
    assert isinstance(warned, list), warned
    assert len(warned) == 1
    assert complaint in warned[0]
    assert_secret_kept(warned[0])
    spool = Path(warned[0].partition("wait in ")[2].partition(" and are stored")[0])
    assert spool.is_relative_to(folder), spool
    assert spool.read_bytes().count(b"\n") == 2


def assert_secret_kept(text: str) -> None:
    """No part of the passwords of NOWHERE."""
    assert [part for part in ("s3cr3t", ":s3/", "cr3t", "pw@") if part in text] == []


@pytest.mark.parametrize("location", ["a\\u0000b.db", "\\ud800.db"], ids=["NUL", "lone surrogate"])
def test_a_path_that_no_system_takes_fails_no_host(location: str, home: Path, run: Run) -> None:
    """A path in claude.json with a NUL or half a surrogate pair is one line for a command, a warning for a host."""
    (home / ".claude" / "claude.json").write_text(f'{{"performance": {{"database": "{location}"}}}}')
    assert_refused(run("analytics", "summary"), "error: ")
    (warned,) = record((None, None)).values()
    assert isinstance(warned, list), warned
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("DROP TABLE executions; DROP TABLE claude_force_version", "run `claude-force db upgrade`"),
        ("UPDATE claude_force_version SET version_num = 'zz99'", "upgrade claude-force"),
        ("DROP TABLE executions", "executions"),
    ],
    ids=["empty", "newer", "a table is gone"],
)
def test_a_server_without_our_schema_is_refused(
    statement: str, complaint: str, postgres_url: str, home: Path, run: Run
) -> None:
    """On PostgreSQL, too, another schema is one line with the remedy, and a recorded execution waits."""
    execute_sql(postgres_url, statement)
    secret_url = postgres_url.replace("postgres@", "postgres:s3cr3t@").replace("postgres:@", "postgres:s3cr3t@")
    (home / "history.jsonl").write_bytes(a_line())
    for command in (("analytics", "summary"), ("import", "history.jsonl")):
        done = run(*command, "--db", secret_url)
        assert_refused(done, complaint)
        assert "s3cr3t" not in done.stderr
    warned = warnings_at(secret_url)
    assert len(warned) == 1
    assert complaint in warned[0]
    assert "s3cr3t" not in warned[0]


def test_a_read_only_server_is_said(postgres_url: str, home: Path, run: Run) -> None:
    """A server that takes no writes (a standby) gives its reports; importing is one line that says read-only."""
    (home / "history.jsonl").write_bytes(a_line())
    url = f"{postgres_url}&options=-c%20default_transaction_read_only%3Don"
    assert run("analytics", "summary", "--db", url).returncode == 0
    assert_refused(run("import", "history.jsonl", "--db", url), "read-only")
