"""Checks of where the database is stored: schema, engine, file system, space, permissions and WAL."""

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
from claude_force.database.sqlite.open_files import processes_with_file_open
from claude_force.database.workspace import Workspace
from claude_force.doctor.backups import restore_command
from claude_force.doctor.findings import Finding, note, ok, problem
from claude_force.errors import DatabaseCorrupt, DatabaseError, NotADatabase
from claude_force.formatting import size

MEBIBYTE = 1024 * 1024
LARGE_WAL_BYTES = 64 * MEBIBYTE
LOW_SPACE_BYTES = 64 * MEBIBYTE

_VERSION = re.compile(r"SQLite (\d+)\.(\d+)\.(\d+)")
_FIXED = ((3, 51, 3), {44: 6, 50: 7})
"""The first SQLite version without the WAL-reset bug, and the first fixed patch of two older minor versions
(https://sqlite.org/wal.html, "The WAL-Reset Bug")."""

_NETWORK = (
    *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"),
    *("smb3", "smbfs", "vboxsf", "webdav"),
    *("fuse.ceph", "fuse.davfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
)
"""Network file systems. The WAL needs memory that all its users share, which these do not have."""

_MOUNT_LINE = re.compile(r".* on (/.*) \(([\w.]+)")
_OCTAL = re.compile(r"\\([0-7]{3})")


def check_schema(workspace: Workspace) -> Iterator[Finding]:
    """Whether the schema is the one that this program needs. Raises DatabaseError if a server cannot be reached."""
    database = workspace.database
    try:
        found = database.revision()
    except (DatabaseCorrupt, NotADatabase) as error:
        yield problem("schema", str(error), restore_command(workspace))
        return
    if found == HEAD:
        yield ok("schema", f"schema {found}, up to date")
    elif database.dialect == "sqlite" and not database.exists():
        yield ok("schema", "there is no database yet; the first recorded execution creates it")
    elif found is None or found in REVISIONS:
        yield problem("schema", f"schema {found or 'none'}, this program needs {HEAD}", "claude-force db upgrade")
    else:
        yield problem("schema", f"schema {found} was made by a newer claude-force", "upgrade claude-force")


def check_version(database: Database) -> Iterator[Finding]:
    """The version of the engine, and its known defects."""
    version = database.version()
    text = version
    if database.dialect == "sqlite" and not has_wal_reset_fix(version):
        text = (
            f"{version} can lose commits when two connections checkpoint at once (fixed in 3.51.3). claude-force "
            "avoids this: it checkpoints under the write lock. Another program that writes to the file may not"
        )
    yield ok(f"{database.dialect}-version", text)


def is_readable(database: Database) -> bool:
    """Whether all servers that have some of the executions answer."""
    try:
        with database.read():
            return True
    except DatabaseError:
        return False


def check_cluster(database: Database) -> Iterator[Finding]:
    """The servers of a distributed database. No finding about another."""
    cluster = database.cluster()
    if cluster is None:
        return
    defects = cluster.defects()
    for found in defects:
        yield (problem if found.is_urgent else note)("cluster", found.text, found.remedy)
    if not defects:
        yield ok("cluster", str(cluster))


def has_wal_reset_fix(version: str) -> bool:
    """Whether a version such as "SQLite 3.51.3" is free of the WAL-reset bug."""
    match = _VERSION.match(version)
    if match is None:
        return False
    major, minor, patch = map(int, match.groups())
    first, patches = _FIXED
    return (major, minor, patch) >= first or (major == 3 and minor in patches and patch >= patches[minor])


def check_file_system(path: Path) -> Iterator[Finding]:
    """Whether the file is on a local disk. No finding if the file system is unknown."""
    kind = file_system_of(path.resolve(), _mounts())
    if kind in _NETWORK:
        yield problem(
            "file-system",
            f"the database is on a network file system ({kind}), where the WAL of SQLite does not work: commits can "
            "be lost",
            "move it to a local disk, or use PostgreSQL: claude-force config set performance.database URL",
        )
    elif kind:
        yield ok("file-system", f"a local file system ({kind})")


def _mounts() -> list[tuple[str, str]]:
    """Mount points and their kinds, in the order of mounting; empty if the system does not list them."""
    if sys.platform == "darwin":
        done = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False)
        return parse_mount_output(done.stdout)
    try:
        return parse_mountinfo(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    except OSError:
        return []


def parse_mountinfo(mountinfo: str) -> list[tuple[str, str]]:
    """The mount points and kinds of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after and len(before.split()) > 4:
            point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), before.split()[4])
            found.append((point, after.split()[0]))
    return found


def parse_mount_output(output: str) -> list[tuple[str, str]]:
    """The mount points and kinds in the output of mount(8) on macOS."""
    return [(match[1], match[2]) for match in map(_MOUNT_LINE.match, output.splitlines()) if match]


def file_system_of(path: Path, mounts: list[tuple[str, str]]) -> str | None:
    """The kind of file system of a path; None if it is unknown. A later mount on a point hides an earlier one."""
    kinds = dict(mounts)
    return next((kinds[str(folder)] for folder in (path, *path.parents) if str(folder) in kinds), None)


def check_free_space(path: Path) -> Iterator[Finding]:
    """Whether the disk has room for the database to grow, and for a copy of it."""
    folder = next(folder for folder in path.parents if folder.is_dir())
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    copy = path.stat().st_size if path.exists() else 0
    if free < LOW_SPACE_BYTES:
        yield problem("free-space", f"only {size(free)} are free on the disk of the database", "free some space")
    elif free < copy:
        text = f"{size(free)} are free, but a backup or an upgrade needs {size(copy)}"
        yield note("free-space", text, "free some space")
    else:
        yield ok("free-space", f"{size(free)} are free")


def check_permissions(path: Path, *, is_own_folder: bool) -> Iterator[Finding]:
    """Whether only the owner can open the database. A folder that is not ours may be readable, but not writable."""
    targets = [(path, 0o077, "600")] if path.exists() else []
    if path.parent.is_dir():
        targets.append((path.parent, 0o077, "700") if is_own_folder else (path.parent, 0o022, "go-w"))
    found = [finding for target, refused, change in targets for finding in _too_open(target, refused, change)]
    yield from found or [ok("permissions", "only the owner can open the database")]


def _too_open(path: Path, refused: int, change: str) -> Iterator[Finding]:
    mode = path.stat().st_mode
    # With the sticky bit, as in /tmp, nobody can replace the file of another user.
    others = mode & (refused & 0o055 if mode & stat.S_ISVTX else refused)
    if not others:
        return
    action = "write" if others & 0o022 else "read"
    who = "everybody" if others & 0o007 else "its group"
    finding = problem if others & 0o002 else note
    yield finding("permissions", f"{who} can {action} {path}", f"chmod {change} {shlex.quote(str(path))}")


def check_wal_size(path: Path) -> Iterator[Finding]:
    """Whether a reader that never ends keeps the WAL from being shortened."""
    wal = Path(f"{path}-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    stored_bytes = path.stat().st_size
    sizes = f"the WAL has {size(wal_bytes)}, the database {size(stored_bytes)}"
    if wal_bytes <= LARGE_WAL_BYTES and (wal_bytes <= 2 * CHECKPOINT_BYTES or wal_bytes <= 4 * stored_bytes):
        yield ok("wal-size", sizes)
        return
    holders = processes_with_file_open(wal)
    open_in = f"; it is open in {', '.join(holders)}" if holders else ""
    yield problem(
        "wal-size",
        f"{sizes}: a reader does not end, or much is being written{open_in}",
        "end the reader; then: claude-force scheduler run maintenance",
    )
