"""From bytes to lines, and from lines to executions or rejected lines. Nothing is lost or raised for any bytes."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
from collections import Counter
from datetime import UTC
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from claude_force.executions.jsonl.codec import ALL_COLUMNS
from claude_force.executions.jsonl.lines import LINE_LIMIT_BYTES, Line, read_chunks
from claude_force.executions.jsonl.usual_lines import UsualLines
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import ExecutionMetrics, from_row
from claude_force.ingest import equal_lines
from claude_force.ingest.equal_lines import REMEMBERED, OccurrenceCounter
from claude_force.ingest.jsonl_source import EXCERPT_BYTES, JsonlSource
from claude_force.ingest.rejects import Rejected
from tests.builders import a_line
from tests.profiles import scaled
from tests.properties.strategies import ZONES, lines

GOOD = a_line(agent_name="good")
PRICES = PriceTable("claude-sonnet-4-5")


def lines_of(content: bytes, limit: int = LINE_LIMIT_BYTES) -> list[Line]:
    """The lines of a file with this content."""
    chunks = read_chunks(io.BytesIO(content), 3, limit)
    return [line for chunk in chunks for _, line in chunk.lines(range(len(chunk.raw))) if line is not None]


def parse(content: bytes | BinaryIO) -> tuple[list[ExecutionMetrics], list[Rejected]]:
    """The executions and the rejected lines of a file."""
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    batches = list(JsonlSource(UTC).read(stream))
    rows = [row for batch in batches for row in batch.rows]
    return list(map(from_row, rows)), [item for batch in batches for item in batch.rejected]


def uids_of(content: bytes) -> list[str]:
    """The uids of the executions."""
    return [execution.uid for execution in parse(content)[0]]


def test_a_line_has_its_number_and_offset() -> None:
    """And its end, and whether it is complete; blank lines count. Its data has no line end."""
    content = b"one\n\n  two \r\nthree"
    assert [(line.number, line.offset, line.end, line.data, line.complete) for line in lines_of(content)] == [
        (1, 0, 4, b"one", True),
        (3, 5, 13, b"two", True),
        (4, 13, 18, b"three", False),
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\r\n", b" \t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_an_empty_file_has_no_lines(content: bytes) -> None:
    """Nor do blank lines, or a byte order mark alone."""
    assert lines_of(content) == []


def test_only_the_first_byte_order_mark_is_removed() -> None:
    """At the start of the file it is no content; anywhere else it is."""
    assert [line.data for line in lines_of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")] == [b"a", b"\xef\xbb\xbfb"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"])
def test_only_a_newline_ends_a_line(separator: str) -> None:
    """Other line ends of str.splitlines are content."""
    content = f"a{separator}b\n".encode()
    assert [line.data for line in lines_of(content)] == [content.strip(b"\n")]


@pytest.mark.parametrize(
    ("size", "too_long"), [(14, False), (15, False), (17, True), (31, True), (32, True), (160, True)]
)
@pytest.mark.parametrize("first", [b"", b"first\n"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\nlast\n"])
def test_a_line_over_the_limit_is_skipped_to_its_end(size: int, too_long: bool, first: bytes, last: bytes) -> None:
    """With a limit of 16 bytes, line end included: its beginning is kept, and the next line has the right offset."""
    content = first + b"x" * size + last
    found = next(line for line in lines_of(content, 16) if line.data.startswith(b"x"))
    assert found.too_long == too_long
    assert found.offset == len(first)
    assert found.end == len(first) + size + (1 if last else 0)
    assert found.data == b"x" * min(size, 16)
    if last == b"\nlast\n":
        assert lines_of(content, 16)[-1].data == b"last"
        assert lines_of(content, 16)[-1].offset == found.end


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"  ", b"\0", b"\xff", b"xxxxxxxx"])), st.integers(1, 9))
def test_every_line_that_is_not_blank_is_found(parts: list[bytes], limit: int) -> None:
    """For any bytes and any limit, the lines and offsets are those of a split at newlines."""
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
    "single quotes": (a_line().replace(b'"', b"'"), "not valid JSON"),
    "text": (b"hello, world\n", "not valid JSON"),
    "a number": (b"5\n", "object"),
    "null": (b"null\n", "object"),
    "an empty object": (b"{}\n", "is missing"),
    "one kind of tokens unknown": (a_line(input_tokens=None), "known both or neither"),
    "an object for tokens": (a_line(cache_read_tokens={"a": 1}), "cache_read_tokens: expected a whole number"),
    "a list for tokens": (a_line(output_tokens=[1]), "output_tokens: expected a whole number"),
    "true for tokens": (a_line(input_tokens=True), "input_tokens: expected a whole number"),
    "a user that is no text": (a_line(user={"id": 1}), "user: expected a plain value, got an object"),
    "a user of 201 characters": (a_line(user="x" * 201), "user: is longer than 200 characters"),
    "a name of 201 characters": (a_line(agent_name="x" * 201), "agent_name: is longer than 200 characters"),
    "a name of 300 arrays": (a_line(agent_name="N").replace(b'"N"', b"[" * 300 + b"]" * 300), ""),
    "a foreign uid": (a_line(uid="42"), "uid: expected a UUID"),
    "an escaped NUL": (a_line(error_type="a\0"), "error_type: contains a NUL"),
    "a cost beyond belief": (a_line(estimated_cost=1e9), "estimated_cost: is too large"),
    "a time beyond belief": (a_line(execution_time_ms=10**13), "execution_time_ms: is too large"),
    "a negative time": (a_line(execution_time_ms=-0.001), "execution_time_ms: is negative"),
    "half a usage": (a_line(input_tokens=None), "known both or neither"),
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_rejected_line_has_a_reason_and_an_offset(line: bytes, reason: str) -> None:
    """A line that is not an execution is one Rejected; the lines before and after it are executions."""
    taken, (refused,) = parse(GOOD + line + GOOD)
    assert [execution.agent_name for execution in taken] == ["good", "good"]
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


@given(
    st.dictionaries(st.sampled_from([*ALL_COLUMNS, "workflow_name", "duration_ms", "extra"]), JSON_VALUES, max_size=4)
)
def test_any_values_are_accepted_or_rejected(changes: dict[str, Any]) -> None:
    """Whatever a field holds, its line is an execution or rejected. Nothing is raised, and no other line is lost."""
    taken, refused = parse(GOOD + a_line(**changes) + GOOD)
    assert len(taken) + len(refused) == 3
    assert (taken[0].agent_name, taken[-1].agent_name) == ("good", "good")


@given(st.binary().filter(lambda content: b"\n" not in content))
@example(b"\xef\xbb\xbf{}x{}\0")
def test_any_bytes_are_accepted_or_rejected(content: bytes) -> None:
    """Whatever bytes a line holds, the lines before and after it are executions."""
    assume(content.replace(b"\xef\xbb\xbf", b"").strip(b" \t\r\n\0"))
    taken, refused = parse(GOOD + content + b"\n" + GOOD)
    assert len(taken) == 2
    assert refused
    assert (taken[0].agent_name, taken[-1].agent_name) == ("good", "good")


def test_two_equal_lines_are_two_executions() -> None:
    """The same file read again gives the same uids, in any order of its lines."""
    other = a_line(agent_name="other")
    first = uids_of(GOOD + GOOD + other)
    assert len(set(first)) == 3
    assert uids_of(GOOD + GOOD + other) == first
    assert set(uids_of(other + GOOD + GOOD)) == set(first)
    assert uids_of(GOOD) == first[:1]


def test_a_source_counts_equal_lines_anew_for_each_file() -> None:
    """The second file that it reads has the same uids as on its own."""
    source = JsonlSource(UTC)
    read = [[row[0] for batch in source.read(io.BytesIO(GOOD)) for row in batch.rows] for _ in range(2)]
    assert read[0] == read[1]


def test_a_rejected_line_does_not_change_other_uids() -> None:
    """A bad line between equal lines does not count."""
    assert uids_of(GOOD + b"bad\n" + GOOD) == uids_of(GOOD + GOOD)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_truncated_gzip_ends_in_one_rejected_line(cut: int) -> None:
    """Wherever it is truncated, the lines before that are executions."""
    lines = [
        json.dumps({**json.loads(a_line()), "run_id": f"{number * 7919:x}"}).encode() + b"\n" for number in range(50)
    ]
    zipped = io.BytesIO(gzip.compress(b"".join(lines))[:-cut])
    before, (last,) = parse(gzip.GzipFile(fileobj=zipped))  # type: ignore[arg-type]
    assert last.reason.startswith("the rest of the file cannot be read")
    assert last.line == len(before) + 1
    assert last.offset == sum(map(len, lines[: len(before)]))


def test_lines_before_a_read_error_are_read() -> None:
    """Also if it comes within a line over the limit; the rejected line has the right number and offset."""

    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            if self.tell() > LINE_LIMIT_BYTES:
                raise OSError(5, "broken")
            return super().readline(size)

    taken, (last,) = parse(Broken(GOOD * 100 + b"x" * (2 * LINE_LIMIT_BYTES)))
    assert len(taken) == 100
    assert (last.line, last.offset) == (101, 100 * len(GOOD))


def test_a_line_over_the_limit_is_rejected() -> None:
    """Also if it begins with a whole object, followed by spaces."""
    long = GOOD.rstrip() + b" " * LINE_LIMIT_BYTES + a_line()
    taken, (refused,) = parse(GOOD + long + GOOD)
    assert [len(taken), refused.line, refused.offset] == [2, 2, len(GOOD)]
    assert "longer than 8 MiB" in refused.reason
    assert uids_of(GOOD + long + GOOD) == uids_of(GOOD + GOOD)


# The fast path


def on_the_slow_path(line: bytes) -> bytes:
    """The same line with an unknown null field, which the fast path leaves to the slow path."""
    return line.rstrip()[:-1] + b', "nothing": null}\n'


USUAL = {
    "the guide's": a_line(),
    "nothing known": a_line(
        execution_time_ms=None, input_tokens=None, output_tokens=None, total_tokens=None, estimated_cost=None
    ),
    "every field": a_line(
        uid="0193267f-3b2a-7c55-8f02-3a1f0d9c4b11", source="elsewhere", host="box", project="/srv/app", run_id="r",
        workflow_id="w", workflow_position=3, cache_read_tokens=5, cache_write_5m_tokens=6, cache_write_1h_tokens=7,
        reference_cost=0.5, price_version="1", total_tokens=1819, error_type="TimeoutError", success=False,
    ),
    "a microsecond": a_line(execution_time_ms=3.0005, timestamp="2025-11-14T10:30:45+05:30"),
    "a nano-dollar": a_line(estimated_cost=1.5e-9),
    "no cost": a_line(estimated_cost=None),
    "other letters": a_line(agent_name="агент \u2028 \x7f 🦊", model="é/<>&"),
    "an unknown model": a_line(model="gpt-4o", estimated_cost=None),
    "a long prompt": a_line(model="claude-sonnet-4-5", input_tokens=250_000, total_tokens=250_567, estimated_cost=None),
    "a batch": a_line(model="claude-opus-4-8", service_tier="batch", estimated_cost=None),
    "data residency": a_line(model="claude-opus-4-8", inference_geo="us", estimated_cost=None),
    "a seller without a region": a_line(model="claude-opus-4-8", provider="bedrock", estimated_cost=None),
    "a session and a branch": a_line(session_id="s", git_branch="main"),
    "a user": a_line(user="ada"),
    "zeros": a_line(execution_time_ms=0, estimated_cost=0, cache_read_tokens=0),
}  # fmt: skip


@pytest.mark.parametrize("reprice", [False, True])
@pytest.mark.parametrize("line", USUAL.values(), ids=USUAL)
def test_the_fast_path_gives_the_row_of_the_slow_path(line: bytes, reprice: bool) -> None:
    """A usual line takes the fast path, with the same row to the last bit, costs and uid included."""
    assert not UsualLines(UTC, PRICES, OccurrenceCounter().increment_all, reprice=reprice).read([line]).others
    (batch,) = JsonlSource(UTC, PRICES, reprice).read(io.BytesIO(line + on_the_slow_path(line)))
    fast, slow = batch.rows
    assert (batch.rejected, batch.notes) == ([], {})
    assert fast[1:] == slow[1:]
    (alone,) = JsonlSource(UTC, PRICES, reprice).read(io.BytesIO(on_the_slow_path(line)))
    assert [row[0] for row in alone.rows] == [fast[0]]


@given(
    line=lines(),
    changes=st.dictionaries(st.sampled_from([*ALL_COLUMNS, "workflow_name", "duration_ms"]), JSON_VALUES, max_size=2),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
def test_the_fast_path_gives_the_row_of_the_slow_path_for_any_values(
    line: dict[str, Any], changes: dict[str, Any], zone: ZoneInfo
) -> None:
    """Whatever the fields hold: if the fast path accepts a line, the slow path does too, with the same row."""
    content = json.dumps(line | changes).encode() + b"\n"
    fast = UsualLines(zone, PRICES, OccurrenceCounter().increment_all, reprice=False).read([content])
    (slow,) = JsonlSource(zone, PRICES).read(io.BytesIO(on_the_slow_path(content)))
    if not fast.others:
        assert (list(slow.rows), slow.rejected, slow.notes, slow.cost_too_low) == (list(fast.rows), [], {}, 0)


# OccurrenceCounter


@pytest.mark.parametrize("order", ["of time", "shuffled", "twice over", "of time, with a late one"])
def test_occurrences_are_counted_however_far_apart(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if there are more identities than are kept in memory. Each gets the ordinals 0, 1, 2 ... in any order of
    lines, and memory is bounded."""
    remembered = scaled(REMEMBERED)
    monkeypatch.setattr(equal_lines, "REMEMBERED", remembered)
    chance = random.Random(3)
    identities = [(number // 3 * 3 if number % 9 == 0 else number).to_bytes(16) for number in range(4 * remembered)]
    identities += (
        [number.to_bytes(16) for number in range(0, remembered, 7)] if order == "of time, with a late one" else []
    )
    if order == "shuffled":
        identities += identities[: remembered // 2]
        chance.shuffle(identities)
    if order == "twice over":
        identities += identities
    counter, seen = OccurrenceCounter(), Counter[bytes]()
    for identity in identities:
        assert counter.increment(identity) == seen[identity]
        seen[identity] += 1
    assert len(counter._recent) <= 2 * remembered + 1
    counter.clear()
    assert counter.increment(identities[0]) == 0
    counter.clear()


def test_a_disk_that_is_full_when_all_is_read_is_no_error() -> None:
    """What was not written to the temporary file yet is not needed any more."""
    counter = OccurrenceCounter()
    for number in range(2 * REMEMBERED + 1):
        counter.increment(number.to_bytes(16))
    assert counter._written is not None
    counter._written.write(b"not written yet")
    os.dup2(os.open("/dev/full", os.O_WRONLY), counter._written.fileno())
    counter.clear()
