"""What is read from a file that grew, was truncated, rewritten, renamed or replaced, or ends within a line."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from claude_force.database.rows.cursor import Cursor
from claude_force.ingest.find_files import found_file, path_text
from claude_force.ingest.tail import Tail, is_unchanged, resume


def read_all(path: Path, known: Cursor | None) -> tuple[bytes, Cursor]:
    """What is new in a file, and its cursor afterwards."""
    with resume(found_file(path), known, host="h", source="s") as tail:
        data = b"".join(iter(lambda: tail.readline(10), b""))
        tail.advance(tail.cursor.position + len(data))
        return data, tail.finish()


def renamed_files(path: Path, known: Cursor) -> list[str]:
    """The names of the files to read before a file."""
    with resume(found_file(path), known, host="h", source="s") as tail:
        return [file.path.name for file, _ in tail.renamed]


def test_appended_lines_are_read(tmp_path: Path) -> None:
    """What was read before is not read again."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    data, cursor = read_all(path, None)
    assert data == b"one\ntwo\n"
    with path.open("ab") as file:
        file.write(b"three\n")
    assert read_all(path, cursor)[0] == b"three\n"


def test_an_incomplete_line_is_left_for_the_next_time(tmp_path: Path) -> None:
    """Text after the last newline is read once its rest is there; a whole object is read at once."""
    path = tmp_path / "log"
    path.write_bytes(b'{"a": 1}\n{"b": ')
    data, cursor = read_all(path, None)
    assert data == b'{"a": 1}\n'
    path.write_bytes(b'{"a": 1}\n{"b": 2}')
    data, cursor = read_all(path, cursor)
    assert data == b'{"b": 2}'
    path.write_bytes(b'{"a": 1}\n{"b": 2}\n')
    assert read_all(path, cursor)[0] == b"\n"


def test_the_last_newline_is_found_however_far_back(tmp_path: Path) -> None:
    """An incomplete line of 300 kB does not hide the lines before it."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n" + b"x" * 300_000)
    assert read_all(path, None)[0] == b"one\n"


@pytest.mark.parametrize(
    "content", [b"one\n", b"", b"ONE\ntwo\n", b"one\nTWO\n", b"one\nTWO\nthree\n", b"completely different and longer\n"]
)
def test_a_truncated_or_rewritten_file_is_read_from_its_beginning(tmp_path: Path, content: bytes) -> None:
    """Although it has the same inode."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    _, cursor = read_all(path, None)
    path.write_bytes(content)
    assert read_all(path, cursor)[0] == content


def test_a_file_that_is_rewritten_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """Bytes of two versions never become one line."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    with resume(found_file(path), None, host="h", source="s") as tail:
        assert tail.readline(10) == b"one\n"
        path.write_bytes(b"ONE\nTWO\nTHREE\n")
        with pytest.raises(OSError, match="rewritten while it was read"):
            tail.advance(4)


def test_a_file_of_the_same_size_time_and_inode_is_unchanged(tmp_path: Path) -> None:
    """A different value of any of these, or a problem the last time, makes it worth reading."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    _, cursor = read_all(path, None)
    file = found_file(path)
    assert is_unchanged(cursor, file)
    assert not is_unchanged(None, file)
    assert not is_unchanged(replace(cursor, problem="Permission denied"), file)
    assert not is_unchanged(cursor, file._replace(mtime_ns=1))
    assert not is_unchanged(cursor, file._replace(inode=1))


def test_a_file_that_was_read_in_part_is_not_unchanged(tmp_path: Path) -> None:
    """If a pass ends in the middle of a file, the next one continues there."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    file = found_file(path)
    with resume(file, None, host="h", source="s") as tail:
        cursor = tail.advance(4)
    assert not is_unchanged(cursor, file)
    assert read_all(path, cursor)[0] == b"two\n"


def test_a_tail_can_start_over(tmp_path: Path) -> None:
    """`from_beginning` reads the same file as if nothing had been read."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    _, cursor = read_all(path, None)
    with path.open("ab") as file:
        file.write(b"two\n")
    with resume(found_file(path), cursor, host="h", source="s") as tail:
        again: Tail = tail.from_beginning()
        assert (again.readline(10), again.readline(10), again.cursor.position) == (b"one\n", b"two\n", 0)


def test_a_pipe_is_not_a_file(tmp_path: Path) -> None:
    """Reading it would never end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        found_file(tmp_path / "pipe")


def test_a_renamed_file_is_found_in_its_folder(tmp_path: Path) -> None:
    """If it continues what was read, and has grown."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    _, cursor = read_all(path, None)
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"new\n")
    assert renamed_files(path, cursor) == []
    with (tmp_path / "log.1").open("ab") as file:
        file.write(b"two\n")
    assert renamed_files(path, cursor) == ["log.1"]
    (tmp_path / "log.1").write_bytes(b"another one that is long enough\n")
    assert renamed_files(path, cursor) == []


def test_a_path_that_is_not_utf_8_can_be_stored() -> None:
    """Its other bytes are escaped."""
    assert path_text(Path(os.fsdecode(b"/caf\xe9.jsonl"))) == "/caf\\xe9.jsonl"
