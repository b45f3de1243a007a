"""Where a file is read on: growth, cuts, replacements, and lines that are not whole."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from claude_force.database.rows.cursor import Cursor
from claude_force.ingest.tail import (
    begin,
    found_file,
    is_unchanged,
    read_to,
    read_whole,
    renamed,
    storable,
    whole_lines,
)


def read_all(path: Path, known: Cursor | None) -> tuple[bytes, Cursor, bool]:
    """What is new in a file, its cursor afterwards, and whether it is another file than before."""
    file = found_file(path)
    with path.open("rb") as stream:
        cursor, is_other = begin(stream, file, known, host="h", source="s")
        lines = whole_lines(stream, cursor.position, file.size)
        data = b"".join(iter(lambda: lines.readline(10), b""))
        cursor = read_to(lines, cursor, cursor.position + len(data))
        return data, read_whole(cursor, file), is_other


def test_a_file_that_grew_is_read_on(tmp_path: Path) -> None:
    """What was read before is not read again."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    data, cursor, is_other = read_all(path, None)
    assert (data, is_other) == (b"one\ntwo\n", False)
    with path.open("ab") as file:
        file.write(b"three\n")
    assert read_all(path, cursor)[::2] == (b"three\n", False)


def test_a_line_that_is_not_whole_waits(tmp_path: Path) -> None:
    """What stands after the last newline is read when its rest is there, and a whole object at once."""
    path = tmp_path / "log"
    path.write_bytes(b'{"a": 1}\n{"b": ')
    data, cursor, _ = read_all(path, None)
    assert data == b'{"a": 1}\n'
    path.write_bytes(b'{"a": 1}\n{"b": 2}')
    data, cursor, is_other = read_all(path, cursor)
    assert (data, is_other) == (b'{"b": 2}', False)
    path.write_bytes(b'{"a": 1}\n{"b": 2}\n')
    assert read_all(path, cursor)[0] == b"\n"


def test_a_long_unfinished_line_is_no_end(tmp_path: Path) -> None:
    """The last newline is found however far back it is."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n" + b"x" * 300_000)
    assert read_all(path, None)[0] == b"one\n"


@pytest.mark.parametrize(
    "content", [b"one\n", b"", b"ONE\ntwo\n", b"one\nTWO\n", b"one\nTWO\nthree\n", b"completely different and longer\n"]
)
def test_a_file_that_was_cut_off_or_rewritten_is_another_one(tmp_path: Path, content: bytes) -> None:
    """It is read from its beginning, whatever its inode says."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    _, cursor, _ = read_all(path, None)
    path.write_bytes(content)
    data, _, is_other = read_all(path, cursor)
    assert (data, is_other) == (content, True)


def test_a_file_of_the_same_size_time_and_inode_is_not_opened(tmp_path: Path) -> None:
    """A change of any of these, or a problem the last time, makes it worth a look."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    _, cursor, _ = read_all(path, None)
    file = found_file(path)
    assert is_unchanged(cursor, file)
    assert not is_unchanged(None, file)
    assert not is_unchanged(replace(cursor, problem="Permission denied"), file)
    assert not is_unchanged(cursor, replace(file, mtime_ns=1))
    assert not is_unchanged(cursor, replace(file, inode=1))


def test_a_file_that_was_read_in_part_does_not_look_unchanged(tmp_path: Path) -> None:
    """A pass that ended in the middle of a file goes on with it, though nothing about the file has changed."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    file = found_file(path)
    with path.open("rb") as stream:
        cursor, _ = begin(stream, file, None, host="h", source="s")
        partly = read_to(whole_lines(stream, 0, file.size), cursor, 4)
    assert not is_unchanged(partly, file)
    assert read_all(path, partly)[::2] == (b"two\n", False)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """It would be waited for without end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        found_file(tmp_path / "pipe")


def test_a_file_that_was_renamed_in_its_folder_is_found_again(tmp_path: Path) -> None:
    """As long as it goes on where it was read to, and something in it is new."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    _, cursor, _ = read_all(path, None)
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"new\n")
    assert list(renamed(found_file(path), cursor)) == []
    with (tmp_path / "log.1").open("ab") as file:
        file.write(b"two\n")
    assert [found.path.name for found in renamed(found_file(path), cursor)] == ["log.1"]
    (tmp_path / "log.1").write_bytes(b"another one that is long enough\n")
    assert list(renamed(found_file(path), cursor)) == []


def test_a_path_that_is_no_text_can_be_stored(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are spelled out."""
    assert storable(Path(os.fsdecode(b"/caf\xe9.jsonl"))) == "/caf\\xe9.jsonl"
