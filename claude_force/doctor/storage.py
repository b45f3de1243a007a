"""Where the database is: its engine, its file and what is around it."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from claude_force.database.contract import Database
from claude_force.database.revisions import HEAD, REVISIONS
from claude_force.database.sqlite.database import CHECKPOINT_BYTES
from claude_force.database.sqlite.open_by import processes_with_file_open
from claude_force.database.workspace import Workspace
from claude_force.doctor.backups import restore_command
from claude_force.doctor.findings import Finding, note, ok, problem
from claude_force.errors import DatabaseCorrupt, NotADatabase
from claude_force.formatting import size

MEBIBYTE = 1024 * 1024
LARGE_LOG_BYTES = 64 * MEBIBYTE
LITTLE_SPACE_BYTES = 64 * MEBIBYTE

_VERSION = re.compile(r"SQLite (\d+)\.(\d+)\.(\d+)")
_MENDED = ((3, 51, 3), {44: 6, 50: 7})
"""The SQLite from which on no commit is lost where a checkpoint and a restart of the log meet, and the patches of older
versions that have it (https://sqlite.org/wal.html, "The WAL-Reset Bug")."""

_NETWORK = (
    *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"),
    *("smb3", "smbfs", "vboxsf", "webdav"),
    *("fuse.ceph", "fuse.davfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
)
"""File systems that share no memory between the machines that have them, which the log of SQLite needs."""

_MOUNT_LINE = re.compile(r".* on (/.*) \(([\w.]+)")
_OCTAL = re.compile(r"\\([0-7]{3})")


def schema(workspace: Workspace) -> Iterator[Finding]:
    """Whether there is a database of the schema that this program needs. Raises DatabaseError where it cannot be
    reached."""
    database = workspace.database
    try:
        found = database.revision()
    except (DatabaseCorrupt, NotADatabase) as error:
        yield problem("schema", str(error), restore_command(workspace))
        return
    if found == HEAD:
        yield ok("schema", f"schema {found}, up to date")
    elif database.dialect == "sqlite" and not database.exists():
        yield ok("schema", "there is no database yet; the first execution that is recorded makes it")
    elif found is None or found in REVISIONS:
        yield problem("schema", f"schema {found or 'none'}, this program needs {HEAD}", "claude-force db upgrade")
    else:
        yield problem("schema", f"schema {found} is that of a newer claude-force", "upgrade claude-force")


def engine(database: Database) -> Iterator[Finding]:
    """The version of the engine, and what is known to be wrong with it."""
    found = database.version()
    name = f"{database.dialect}-version"
    if database.dialect == "sqlite" and not is_mended(found):
        yield ok(
            name,
            f"{found} can lose commits when two connections shorten the log at once (mended in 3.51.3); guarded "
            "checkpoints are on, so claude-force does not. Another program that writes to the file is not guarded",
        )
    else:
        yield ok(name, found)


def is_mended(version: str) -> bool:
    """Whether a SQLite loses nothing where a checkpoint and a restart of the log meet."""
    match = _VERSION.match(version)
    if match is None:
        return False
    major, minor, patch = map(int, match.groups())
    first, patches = _MENDED
    return (major, minor, patch) >= first or (major == 3 and minor in patches and patch >= patches[minor])


def file_system(path: Path) -> Iterator[Finding]:
    """Whether the file is on this machine; nothing where that is not known."""
    found = mounted_at(path.resolve(), _mounts())
    if found in _NETWORK:
        yield problem(
            "file-system",
            f"the database is on a network file system ({found}), where its log does not work: commits can be lost",
            "move it to a local disk, or use PostgreSQL: docs/how-to/database.md",
        )
    elif found:
        yield ok("file-system", f"a local file system ({found})")


def _mounts() -> list[tuple[str, str]]:
    """Where what kind of file system is, in the order of mounting; empty where the system does not say."""
    if sys.platform == "darwin":
        done = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False)
        return mounts_listed(done.stdout)
    try:
        return mounts_in(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    except OSError:
        return []


def mounts_in(mountinfo: str) -> list[tuple[str, str]]:
    """The mount points and kinds of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after and len(before.split()) > 4:
            point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), before.split()[4])
            found.append((point, after.split()[0]))
    return found


def mounts_listed(listed: str) -> list[tuple[str, str]]:
    """The mount points and kinds that mount(8) of macOS lists."""
    return [(match[1], match[2]) for match in map(_MOUNT_LINE.match, listed.splitlines()) if match]


def mounted_at(path: Path, mounts: list[tuple[str, str]]) -> str | None:
    """The kind of the file system that a path is on; of two at one point the later hides the other."""
    kinds = dict(mounts)
    return next((kinds[str(folder)] for folder in (path, *path.parents) if str(folder) in kinds), None)


def free_space(path: Path) -> Iterator[Finding]:
    """Whether there is room to go on."""
    folder = next(folder for folder in path.parents if folder.is_dir())
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    needed = path.stat().st_size if path.exists() else 0
    if free < LITTLE_SPACE_BYTES:
        yield problem("free-space", f"{size(free)} are free on the disk of the database", "free some space")
    elif free < needed:
        text = f"{size(free)} are free, and a copy of the database has {size(needed)}: no backup, no upgrade"
        yield note("free-space", text, "free some space")
    else:
        yield ok("free-space", f"{size(free)} are free")


def permissions(path: Path, *, is_own_folder: bool) -> Iterator[Finding]:
    """Whether the database is its owner's alone. A folder that is not ours to close may be open, but not to write."""
    modes = [(path, 0o077, "600")] if path.exists() else []
    if path.parent.is_dir():
        modes.append((path.parent, 0o077 if is_own_folder else 0o022, "700" if is_own_folder else "go-w"))
    found = [finding for target, refused, change in modes for finding in _too_open(target, refused, change)]
    yield from found or [ok("permissions", "the database is its owner's alone")]


def _too_open(path: Path, refused: int, change: str) -> Iterator[Finding]:
    mode = path.stat().st_mode
    # In a folder such as /tmp nobody can replace the file of another.
    others = mode & (refused & 0o055 if mode & stat.S_ISVTX else refused)
    if not others:
        return
    done = "written" if others & 0o022 else "read"
    who = "everybody" if others & 0o007 else "its group"
    say = problem if others & 0o002 else note
    yield say("permissions", f"{path} can be {done} by {who}", f"chmod {change} {shlex.quote(str(path))}")


def log_size(path: Path) -> Iterator[Finding]:
    """Whether something keeps the log of SQLite from being shortened."""
    log = Path(f"{path}-wal")
    logged = log.stat().st_size if log.exists() else 0
    stored = path.stat().st_size
    if logged <= LARGE_LOG_BYTES and (logged <= 2 * CHECKPOINT_BYTES or logged <= 4 * stored):
        yield ok("wal-size", f"the log has {size(logged)}, the database {size(stored)}")
        return
    holders = processes_with_file_open(log)
    by = f"; it is open in {', '.join(holders)}" if holders else ""
    yield problem(
        "wal-size",
        f"the log has {size(logged)}, the database {size(stored)}: something that reads it does not come to an end, or "
        f"much is being written{by}",
        "end what reads it; then: claude-force scheduler run maintenance",
    )
