"""Bytes to lines, and lines to records or reasons: nothing is lost, nothing is raised, whatever the bytes are."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_force.bridge import ALL_COLUMNS
from claude_force.sources.jsonl import EXCERPT_BYTES, JsonlSource, Parsed, Rejected
from claude_force.sources.lines import LINE_LIMIT_BYTES, Line, read_lines
from tests.builders import a_line

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
GOOD = a_line(agent_name="good")


def lines_of(content: bytes, limit: int = LINE_LIMIT_BYTES) -> list[Line]:
    """The lines of a file with this content."""
    return list(read_lines(io.BytesIO(content), limit))


def parse(content: bytes | BinaryIO) -> list[Parsed | Rejected]:
    """What becomes of each line."""
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    return list(JsonlSource(UTC).parse(stream))


def uids_of(content: bytes) -> list[str]:
    """The identities of the lines that are taken."""
    return [item.record.uid for item in parse(content) if isinstance(item, Parsed)]


def test_a_line_knows_where_it_stands() -> None:
    """Number, offset, end and completeness, counted over blank lines; the content has no line end."""
    content = b"one\n\n  two \r\nthree"
    assert [(line.number, line.offset, line.end, line.data, line.complete) for line in lines_of(content)] == [
        (1, 0, 4, b"one", True),
        (3, 5, 13, b"two", True),
        (4, 13, 18, b"three", False),
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\r\n", b" \t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_nothing_has_no_lines(content: bytes) -> None:
    """Neither an empty file nor blank lines nor a lone byte order mark is a line."""
    assert lines_of(content) == []


def test_only_the_first_byte_order_mark_is_left_out() -> None:
    """A mark at the start of the file is no content; anywhere else it is."""
    assert [line.data for line in lines_of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")] == [b"a", b"\xef\xbb\xbfb"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    """What text methods take for a line end is content."""
    content = f"a{separator}b\n".encode()
    assert [line.data for line in lines_of(content)] == [content.strip(b"\n")]


@pytest.mark.parametrize(
    ("size", "too_long"), [(14, False), (15, False), (17, True), (31, True), (32, True), (160, True)]
)
@pytest.mark.parametrize("first", [b"", b"first\n"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\nlast\n"])
def test_a_line_over_the_limit_is_skipped_to_its_end(size: int, too_long: bool, first: bytes, last: bytes) -> None:
    """With a limit of 16 bytes, line end included: the beginning is kept, and the next line is found where it is."""
    content = first + b"x" * size + last
    found = next(line for line in lines_of(content, 16) if line.data.startswith(b"x"))
    assert found.too_long == too_long
    assert found.offset == len(first)
    assert found.end == len(first) + size + (1 if last else 0)
    assert found.data == b"x" * min(size, 16)
    if last == b"\nlast\n":
        assert lines_of(content, 16)[-1].data == b"last"
        assert lines_of(content, 16)[-1].offset == found.end


@PATIENT
@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"  ", b"\0", b"\xff", b"xxxxxxxx"])), st.integers(1, 9))
def test_every_line_that_is_not_blank_is_found(parts: list[bytes], limit: int) -> None:
    """Of any bytes, with any limit, the lines are those that a split at newlines gives, at the same offsets."""
    content = b"".join(parts)
    expected, offset = set(), 0
    for number, piece in enumerate(content.split(b"\n"), 1):
        if piece.strip(b" \t\r"):
            expected.add((number, offset))
        offset += len(piece) + 1
    found = lines_of(content, limit)
    places = {(line.number, line.offset) for line in found}
    # Whether a line of blanks over the limit is blank or too long is not known before its end.
    assert places >= expected
    assert all(line.too_long for line in found if (line.number, line.offset) not in expected)
    assert all(content[line.end - 1 : line.end] == b"\n" for line in found if line.complete)


REFUSED = {
    "UTF-8 cut inside a character": (a_line().replace(b"python", "pythö".encode()[:-1]), "UTF-8"),
    "a surrogate in UTF-8": (a_line().replace(b"python", b"\xed\xa0\x80"), "UTF-8"),
    "an overlong NUL": (a_line().replace(b"python", b"\xc0\x80"), "UTF-8"),
    "UTF-16": (a_line().decode().encode("utf-16-be").replace(b"\0\n", b"\n"), "not valid JSON"),
    "minus Infinity": (a_line(input_tokens=float("-inf")), "not valid JSON"),
    "minus 5,000 digits": (a_line(input_tokens="N").replace(b'"N"', b"-" + b"9" * 5000), "infinity"),
    "5,000 decimals": (a_line(input_tokens="N").replace(b'"N"', b"0." + b"3" * 5000), "input_tokens: expected a whole"),
    "an integer of 64 bits": (a_line(input_tokens=2**64 - 1), "input_tokens: is too large to be true"),
    "an integer of 65 bits": (a_line(input_tokens=2**64), "input_tokens: is too large to be true"),
    "a leading zero": (a_line(input_tokens="N").replace(b'"N"', b"007"), "not valid JSON"),
    "hexadecimal": (a_line(input_tokens="N").replace(b'"N"', b"0x10"), "not valid JSON"),
    "100,000 arrays that do not end": (b"[" * 100_000 + b"\n", "depth"),
    "a lone low surrogate": (a_line(model="\udc00"), "surrogate"),
    "a lone surrogate in a key": (a_line(**{"\ud800": 1}), "surrogate"),
    "a page of NULs": (b"\0" * 4096 + b"\n", "not valid JSON"),
    "a byte order mark in the middle": (b"\xef\xbb\xbf" + a_line(), "not valid JSON"),
    "an old Mac's line ends": (a_line().strip() + b"\r" + a_line(), "not valid JSON"),
    "two objects in a line": (a_line().strip() + a_line(), "not valid JSON"),
    "single quotes": (a_line().replace(b'"', b"'"), "not valid JSON"),
    "a trailing comma": (a_line().strip() + b",\n", "not valid JSON"),
    "a comment": (b"// " + a_line(), "not valid JSON"),
    "text": (b"hello, world\n", "not valid JSON"),
    "a number": (b"5\n", "object"),
    "null": (b"null\n", "object"),
    "an empty object": (b"{}\n", "is missing"),
    "one kind of tokens unknown": (a_line(input_tokens=None), "known both or neither"),
    "an object for tokens": (a_line(cache_read_tokens={"a": 1}), "cache_read_tokens: expected a whole number"),
    "a list for tokens": (a_line(output_tokens=[1]), "output_tokens: expected a whole number"),
    "true for tokens": (a_line(input_tokens=True), "input_tokens: expected a whole number"),
    "a name of 201 characters": (a_line(agent_name="x" * 201), "agent_name: is longer than 200 characters"),
    "a name of 300 arrays": (a_line(agent_name="N").replace(b'"N"', b"[" * 300 + b"]" * 300), ""),
    "a foreign uid": (a_line(uid="42"), "uid: expected a UUID"),
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_bad_line_has_a_reason_and_a_place(line: bytes, reason: str) -> None:
    """A line that is no execution is one Rejected, at its offset, between the records of its neighbours."""
    before, refused, after = parse(GOOD + line + GOOD)
    assert isinstance(before, Parsed)
    assert isinstance(after, Parsed)
    assert isinstance(refused, Rejected)
    assert (refused.line, refused.offset) == (2, len(GOOD))
    assert reason in refused.reason
    assert len(refused.reason) < 300
    assert refused.excerpt == line.strip()[:EXCERPT_BYTES]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["2025-11-14T10:30:45Z", "x" * 201, "a\0"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@PATIENT
@given(
    st.dictionaries(st.sampled_from([*ALL_COLUMNS, "workflow_name", "duration_ms", "extra"]), JSON_VALUES, max_size=4)
)
def test_any_values_make_a_record_or_a_reason(changes: dict[str, Any]) -> None:
    """Whatever stands in the fields of a line, it is taken or rejected; nothing is raised and no neighbour is lost."""
    before, _, after = parse(GOOD + a_line(**changes) + GOOD)
    assert isinstance(before, Parsed)
    assert isinstance(after, Parsed)


@PATIENT
@given(st.binary().filter(lambda content: content.strip(b" \t\r\n") != b"" and b"\n" not in content))
def test_any_bytes_make_a_record_or_a_reason(content: bytes) -> None:
    """Whatever bytes stand in a line, its neighbours are taken."""
    before, _, after = parse(GOOD + content + b"\n" + GOOD)
    assert isinstance(before, Parsed)
    assert isinstance(after, Parsed)


def test_equal_lines_are_as_many_executions() -> None:
    """Two equal lines of a file are two; the same file read again gives the same identities, in any order of lines."""
    other = a_line(agent_name="other")
    first = uids_of(GOOD + GOOD + other)
    assert len(set(first)) == 3
    assert uids_of(GOOD + GOOD + other) == first
    assert set(uids_of(other + GOOD + GOOD)) == set(first)
    assert uids_of(GOOD) == first[:1]


def test_one_source_reads_each_file_from_the_start() -> None:
    """The second file that one source reads has the identities that it has on its own."""
    source = JsonlSource(UTC)
    read = [[item.record.uid for item in source.parse(io.BytesIO(GOOD)) if isinstance(item, Parsed)] for _ in range(2)]
    assert read[0] == read[1]


def test_a_rejected_line_does_not_change_the_identity_of_the_others() -> None:
    """Bad lines between equal lines count for nothing."""
    assert uids_of(GOOD + b"bad\n" + GOOD) == uids_of(GOOD + GOOD)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_gzip_that_is_cut_off_ends_in_one_reason(cut: int) -> None:
    """Wherever a compressed file ends too early, the lines before are taken and the last item says so."""
    lines = [
        json.dumps({**json.loads(a_line()), "run_id": f"{number * 7919:x}"}).encode() + b"\n" for number in range(50)
    ]
    zipped = io.BytesIO(gzip.compress(b"".join(lines))[:-cut])
    *before, last = parse(gzip.GzipFile(fileobj=zipped))  # type: ignore[arg-type]
    assert all(isinstance(item, Parsed) for item in before)
    assert isinstance(last, Rejected)
    assert last.reason.startswith("the file cannot be read on from here")
    assert last.line == len(before) + 1
    assert last.offset == sum(map(len, lines[: len(before)]))
