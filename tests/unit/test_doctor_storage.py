"""How the doctor identifies file systems and SQLite versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_force.doctor.storage import file_system_of, has_wal_reset_fix, parse_mount_output, parse_mountinfo

MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/me/local rw - xfs /dev/vdb rw
32 22 0:42 / /mnt/with\\040space rw - cifs //server/share rw
33 22 0:43 / /mnt/twice rw - ext4 /dev/vdc rw
34 22 0:44 / /mnt/twice rw master:3 propagate_from:2 - fuse.sshfs host:/ rw
a line that is something else
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/metrics.db", "ext4"),
        ("/home/me/metrics.db", "nfs4"),
        ("/home/me/local/metrics.db", "xfs"),
        ("/homestead/metrics.db", "ext4"),
        ("/mnt/with space/metrics.db", "cifs"),
        ("/mnt/twice/metrics.db", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    """The nearest mount point at or above the path decides; of two mounts on one point the later."""
    assert file_system_of(Path(path), parse_mountinfo(MOUNTINFO)) == kind


@pytest.mark.parametrize(("path", "kind"), [("/Users/me/metrics.db", "apfs"), ("/Volumes/team on x/m.db", "smbfs")])
def test_the_file_system_of_a_path_on_macos(path: str, kind: str) -> None:
    """It is read from the output of mount(8)."""
    listed = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)\n"
        "//me@server/team on /Volumes/team on x (smbfs, nodev, nosuid, mounted by me)\n"
    )
    assert file_system_of(Path(path), parse_mount_output(listed)) == kind


def test_an_unlisted_file_system_is_unknown() -> None:
    """The system lists no mounts."""
    assert file_system_of(Path("/var/metrics.db"), []) is None


@pytest.mark.parametrize("version", ["3.51.3", "3.52.0", "4.0.0", "3.50.7", "3.50.9", "3.44.6"])
def test_a_fixed_sqlite_is_recognised(version: str) -> None:
    """3.51.3 and later, and the two older minor versions with the fix."""
    assert has_wal_reset_fix(f"SQLite {version}")


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.50.6", "3.44.5", "3.45.9", "3.49.7", "PostgreSQL 18.0"])
def test_a_sqlite_with_the_wal_reset_bug_is_recognised(version: str) -> None:
    """Every other version."""
    assert not has_wal_reset_fix(f"SQLite {version}")
