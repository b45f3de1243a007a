"""The spool of signals: what `append` returned from is there whatever dies, is read once, and adds nothing when a
segment is read again."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_force.clock import SECOND_US
from claude_force.executions.signals import Heard, ModelRequest, Signal, encode
from claude_force.ingest.spool_files import telemetry_folders
from claude_force.ingest.telemetry.spool import MAX_SEGMENT_BYTES, TelemetrySpool, claimed, sealed_segments
from tests.builders import NOON_US


def a_request(number: int = 0) -> ModelRequest:
    """A model request with an id of its own."""
    return ModelRequest(
        origin="event", service="claude-code", at_us=NOON_US, model="claude-opus-5-5", request_id=f"req_{number}"
    )


def read(folder: Path) -> list[Signal]:
    """The signals of all sealed segments; their lines must be whole."""
    found: list[Signal] = []
    for path in sealed_segments(folder):
        with claimed(path) as segment:
            assert segment is not None
            found += segment.signals()
            assert (segment.cut, segment.damaged) == (0, 0)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a spool, which does not exist yet."""
    return tmp_path / "metrics" / "telemetry"


@pytest.fixture
def spool(folder: Path) -> Iterator[TelemetrySpool]:
    """A spool at a time that stands still."""
    made = TelemetrySpool(folder, lambda: NOON_US)
    yield made
    made.seal()


def test_what_is_appended_is_read_once_it_is_sealed(spool: TelemetrySpool, folder: Path) -> None:
    """An open segment is its writer's; a sealed one has all signals in order, and is gone once it is deleted."""
    signals: list[Signal] = [a_request(1), Heard(service="claude-code", name="api_request", at_us=NOON_US, records=1)]
    spool.append(signals)
    spool.append([a_request(2)])
    assert sealed_segments(folder) == []
    spool.seal()
    assert read(folder) == [*signals, a_request(2)]
    (path,) = sealed_segments(folder)
    with claimed(path) as segment:
        assert segment is not None
        segment.delete()
    assert list(folder.iterdir()) == []


def test_only_the_owner_may_read_signals(spool: TelemetrySpool, folder: Path) -> None:
    """The folder is 0700 and a segment 0600, whatever the umask."""
    before = os.umask(0)
    try:
        spool.append([a_request()])
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]


def test_nothing_makes_no_file(spool: TelemetrySpool, folder: Path) -> None:
    """No signals make no folder, and a folder that does not exist has no segments."""
    spool.append([])
    spool.seal()
    assert not folder.exists()
    assert sealed_segments(folder) == []


@pytest.mark.parametrize("later_us", [SECOND_US, -1])
def test_a_segment_is_sealed_when_it_is_old(folder: Path, later_us: int) -> None:
    """The first write a second later seals the segment before it; also if the clock was set back."""
    times = iter([NOON_US, NOON_US + later_us])
    spool = TelemetrySpool(folder, lambda: next(times))
    spool.append([a_request(1)])
    spool.append([a_request(2)])
    assert read(folder) == [a_request(1)]
    spool.seal()
    assert len(read(folder)) == 2


def test_a_segment_is_sealed_when_it_is_large(spool: TelemetrySpool, folder: Path) -> None:
    """The write after the one that reaches the size goes into a new segment."""
    many = [a_request()] * (MAX_SEGMENT_BYTES // len(encode([a_request()])) + 1)
    spool.append(many)
    assert sealed_segments(folder) == []
    spool.append([a_request(1)])
    assert len(read(folder)) == len(many)


def test_threads_share_segments_and_lose_nothing(spool: TelemetrySpool, folder: Path) -> None:
    """Eight threads append at once while another seals: every signal is there once."""

    def write(thread: int) -> None:
        for number in range(40):
            spool.append([a_request(thread * 1000 + number)])

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        spool.seal()
    for thread in threads:
        thread.join()
    spool.seal()
    wanted = sorted(f"req_{thread * 1000 + number}" for thread in range(8) for number in range(40))
    assert sorted(signal.request_id or "" for signal in read(folder) if isinstance(signal, ModelRequest)) == wanted


_WRITER = """
import sys
from pathlib import Path
from claude_force.executions.signals import ModelRequest
from claude_force.ingest.telemetry.spool import TelemetrySpool
spool = TelemetrySpool(Path(sys.argv[1]), lambda: 0)
number = 0
while True:
    spool.append([ModelRequest(origin="event", service="s", at_us=0, model="m", request_id=f"{number}")])
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(folder: Path) -> None:
    """After kill -9, whoever reads next finds everything that `append` returned from."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, folder], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        seen = [int(writer.stdout.readline()) for _ in range(20)]
        assert sealed_segments(folder) == [], "the segment of a living writer is not taken"
        writer.send_signal(signal.SIGKILL)
        seen += [int(line) for line in writer.stdout.read().split()]
    found = [int(request.request_id or "") for request in read(folder) if isinstance(request, ModelRequest)]
    assert set(seen) <= set(found)
    assert len(found) == len(set(found))


def test_a_cut_line_and_a_damaged_line_are_counted(folder: Path) -> None:
    """What is not a whole line was never acknowledged; a line that is no signal is rejected. The rest is read."""
    folder.mkdir(parents=True)
    lines = encode([a_request(1)]) + b'{"type":"request"}\n\xff\n\n' + encode([a_request(2)]) + encode([a_request(3)])
    (folder / "1.open").write_bytes(lines[:-5])
    (path,) = sealed_segments(folder)
    with claimed(path) as segment:
        assert segment is not None
        assert list(segment.signals()) == [a_request(1), a_request(2)]
        assert (segment.cut, segment.damaged) == (1, 3)


def test_a_segment_is_read_by_one_at_a_time(spool: TelemetrySpool, folder: Path) -> None:
    """Whoever comes second gets None, also when the segment is stored and deleted."""
    spool.append([a_request()])
    spool.seal()
    (path,) = sealed_segments(folder)
    with claimed(path) as first, claimed(path) as second:
        assert second is None
        assert first is not None
        first.delete()
    with claimed(path) as third:
        assert third is None


def test_a_folder_that_is_deleted_is_made_again(spool: TelemetrySpool, folder: Path) -> None:
    """Signals do not go into a file that has no name any more."""
    spool.append([a_request(1)])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    spool.append([a_request(2)])
    spool.seal()
    assert read(folder) == [a_request(2)]


def test_a_full_disk_is_an_error_and_keeps_what_was_there(spool: TelemetrySpool, folder: Path) -> None:
    """A write that does not fit raises and leaves no part of a line; the signals before and after it are kept."""
    spool.append([a_request(1)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as failure:
            spool.append([a_request(2)] * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert failure.value.errno == errno.EFBIG
    spool.append([a_request(3)])
    spool.seal()
    # Two segments of the same instant are in no order.
    assert sorted(f"{signal}" for signal in read(folder)) == [f"{a_request(1)}", f"{a_request(3)}"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file where the folder should be: OSError, and the spool works once it is gone."""
    folder = tmp_path / "telemetry"
    folder.write_text("")
    spool = TelemetrySpool(folder)
    with pytest.raises(OSError, match="telemetry"):
        spool.append([a_request()])
    folder.unlink()
    spool.append([a_request()])
    spool.seal()
    assert read(folder) == [a_request()]


@pytest.mark.parametrize(
    ("location", "names"),
    [
        ("/home/u/.claude/metrics/metrics.db", ["/home/u/.claude/metrics/telemetry"]),
        ("/data/team.db", ["/data/team.db.telemetry"]),
    ],
)
def test_each_database_has_a_folder_of_its_own(location: str, names: list[str]) -> None:
    """The user's store has `telemetry` beside it; another file has one with its name."""
    assert [str(path) for path in telemetry_folders(location, Path("/m"))] == names


def test_the_folder_of_a_server_does_not_depend_on_its_password() -> None:
    """With another password the folder is the same; with one that comes from elsewhere, the two are swapped."""
    with_one = telemetry_folders("postgresql://u:one@h/db", Path("/m"))
    assert with_one == telemetry_folders("postgresql://u:two@h/db", Path("/m"))
    assert with_one == tuple(reversed(telemetry_folders("postgresql://u@h/db", Path("/m"))))
    assert {path.parent for path in with_one} == {Path("/m")}
