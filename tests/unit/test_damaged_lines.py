"""Damaged lines: every record that is whole, and at the boundary of a record, is read; nothing else is."""

from __future__ import annotations

import io
import itertools
import json
import time
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from claude_force.database.rows.cursor import Cursor
from claude_force.executions.jsonl.codec import RECORD
from claude_force.executions.jsonl.damaged_lines import RecordKind, split_damaged
from claude_force.executions.record import CLAUDE_CODE, ExecutionRow, column
from claude_force.ingest.find_files import found_file
from claude_force.ingest.jsonl_source import JsonlSource, holds_executions, holds_objects
from claude_force.ingest.tail import resume
from claude_force.ingest.transcripts.agent_types import AgentTypes
from claude_force.ingest.transcripts.context import TranscriptContext, context_of
from claude_force.ingest.transcripts.entries import ENTRY
from claude_force.ingest.transcripts.source import TranscriptSource
from tests.builders import a_line
from tests.profiles import sparse
from tests.transcripts import AGENT, SESSION, Line, Talk, Tokens, jsonl, text_block, tool_block

_OUTPUT = column("output_tokens")


def an_entry(number: int = 1, **changes: Any) -> Line:
    """A response with texts that look like JSON, and a tool call with an object in it."""
    blocks = [
        text_block('He said {"a": "b{"}, then {'),
        tool_block(content={"type": "x{", "usage": {"input_tokens": 5}}),
    ]
    (line,) = Talk().respond(f"msg_{number}", Tokens(output_tokens=number), blocks=[blocks[0]], **changes)
    line["message"]["content"] += [blocks[1], {}]
    return line | {"uuid": f"9d2e6b7c-{number}"}


FIRST, SECOND = jsonl([an_entry(1)]).strip(), jsonl([an_entry(2)], spaces=True).strip()
EXECUTION, OTHER = a_line(agent_name="first {").strip(), a_line(agent_name='"{"', output_tokens=2).strip()
PAIRS = {"entries": (FIRST, SECOND, ENTRY), "executions": (EXECUTION, OTHER, RECORD)}


def whole(line: bytes, kind: RecordKind) -> list[bytes]:
    """The records on a line."""
    return [line[part.start : part.end] for part in split_damaged(line, kind) if part.is_whole]


def lost(line: bytes, kind: RecordKind) -> list[bytes]:
    """What is lost of a line."""
    return [line[part.start : part.end] for part in split_damaged(line, kind) if not part.is_whole]


NEIGHBOURS = {
    "two records": (FIRST + SECOND, [FIRST, SECOND], []),
    "three records with blanks": (FIRST + b" " + SECOND + b"\t\r" + FIRST, [FIRST, SECOND, FIRST], []),
    "NULs alone": (b"\0" * 5000, [], []),
    "NULs and blanks": (b"\0 \t\0\r", [], []),
    "behind NULs": (b"\0" * 300 + FIRST, [FIRST], []),
    "before NULs": (FIRST + b"\0" * 300, [FIRST], []),
    "NULs between": (FIRST + b"\0" * 300 + SECOND, [FIRST, SECOND], []),
    "a byte order mark between": (FIRST + b"\xef\xbb\xbf" + SECOND, [FIRST, SECOND], []),
    "a record of another kind behind NULs": (b'\0\0{"type":"summary"}', [b'{"type":"summary"}'], []),
    "a record of another kind, then one": (b'{"type":"summary"}' + FIRST, [b'{"type":"summary"}', FIRST], []),
    "behind one that was cut off": (FIRST[:99] + SECOND, [SECOND], [FIRST[:99]]),
    "behind two that were cut off": (FIRST[:99] + FIRST[:400] + SECOND, [SECOND], [FIRST[:99] + FIRST[:400]]),
    "behind one that was cut off, and NULs": (FIRST[:99] + b"\0\0" + SECOND, [SECOND], [FIRST[:99] + b"\0\0"]),
    "between two that were cut off": (FIRST[:99] + SECOND + FIRST[:99], [SECOND], [FIRST[:99], FIRST[:99]]),
    "before junk": (FIRST + b"junk", [FIRST], [b"junk"]),
    "before a brace": (FIRST + b"}", [FIRST], [b"}"]),
    "before the end of another": (FIRST + SECOND[-30:], [FIRST], [SECOND[-30:]]),
    "behind junk": (b"npm warn: " + FIRST, [FIRST], [b"npm warn: "]),
    "behind a cut character": (FIRST[:60] + "é".encode()[:1] + SECOND, [SECOND], [FIRST[:60] + b"\xc3"]),
    "behind a cut escape": (b'{"a":"\\' + SECOND, [SECOND], [b'{"a":"\\']),
    "behind half an escape": (b'{"a":"\\u00' + SECOND, [SECOND], [b'{"a":"\\u00']),
    "in the middle of another": (FIRST[:200] + SECOND + FIRST[200:], [SECOND], [FIRST[:200], FIRST[200:]]),
    "junk alone": (b"no JSON here", [], [b"no JSON here"]),
    "an array": (b"[" + FIRST + b"," + SECOND + b"]x", [], [b"[" + FIRST + b"," + SECOND + b"]x"]),
    "one in single quotes": (FIRST.replace(b'"', b"'"), [], [FIRST.replace(b'"', b"'")]),
}


@pytest.mark.parametrize(("line", "records", "remains"), NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_what_is_whole_on_a_damaged_line_is_found(line: bytes, records: list[bytes], remains: list[bytes]) -> None:
    """Each record that is whole and each part that is lost, in order. NULs, blanks and byte order marks are neither."""
    assert (whole(line, ENTRY), lost(line, ENTRY)) == (records, remains)


def may_hold_anything(head: bytes) -> bool:
    """Whether a cut-off entry may go on with any object: in what a tool is given or returns, or in the progress of an
    agent. An entry there, and then nothing more, could be a part of it."""
    is_within = any(name in head for name in (b'"input":', b'"toolUseResult":', b'"data":', b'"tool_result"'))
    return is_within and head.rstrip().endswith((b":", b"[", b","))


def _line_with(**fields: Any) -> bytes:
    return jsonl([{**A_SHORT_ENTRY, "uuid": "9d2e6b7c-3", "cwd": "/srv"} | fields]).strip()


A_SHORT_ENTRY: Line = {
    "type": "assistant",
    "sessionId": SESSION,
    "timestamp": "2026-03-02T09:00:01.000Z",
    "message": {"id": "msg_1", "model": "m", "content": [], "usage": {"input_tokens": 1, "output_tokens": 2}},
}
INNER = A_SHORT_ENTRY | {"uuid": "9d2e6b7c-7"}
WITHIN = {
    "in the result of a tool": _line_with(toolUseResult={"entries": [INNER], "last": INNER}),
    "in the call of a tool": _line_with(message={"id": "m", "content": [tool_block(entry=INNER)], "usage": {}}),
    "in a block of a result": _line_with(message={"content": [{"type": "tool_result", "content": [INNER]}]}),
    "in the progress of an agent": _line_with(type="progress", data={"type": "agent_progress", "message": INNER}),
    "as text": _line_with(toolUseResult=json.dumps(INNER)),
    "as text within text": _line_with(toolUseResult=json.dumps(json.dumps(INNER))),
}


@pytest.mark.parametrize("line", WITHIN.values(), ids=WITHIN)
@pytest.mark.parametrize("tail", [b"", SECOND, b"\0\0" + SECOND, b"junk"], ids=["nothing", "a record", "NULs", "junk"])
def test_an_entry_within_another_is_never_one(line: bytes, tail: bytes) -> None:
    """Wherever the outer one is cut off, even directly behind the inner one, and whatever follows. A record is found
    unless it stands where the inner one may."""
    for cut in sparse(range(1, len(line))):
        found = whole(line[:cut] + tail, ENTRY)
        assert found == ([SECOND] if SECOND in tail else []) or may_hold_anything(line[:cut]), line[:cut][-60:]
        assert found in ([], [SECOND])


@pytest.mark.parametrize("line", WITHIN.values(), ids=WITHIN)
def test_an_entry_within_the_end_of_another_is_never_one(line: bytes) -> None:
    """The beginning was lost, or is a hole of NULs: wherever the rest begins but at the inner entry itself."""
    inner = json.dumps(INNER, separators=(",", ":"), ensure_ascii=False).encode()
    at_inner = {cut for cut in range(len(line)) if line.startswith(inner, cut)}
    for cut in set(range(1, len(line))) - at_inner:
        assert whole(line[cut:] + SECOND, ENTRY) == [SECOND], line[cut : cut + 60]
        assert whole(b"\0" * cut + line[cut:] + b"x", ENTRY) == [], line[cut : cut + 60]


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("pair", PAIRS)
def test_a_record_is_found_wherever_the_one_before_it_was_cut_off(pair: str) -> None:
    """Behind each beginning of a record, before each end, in the middle, and behind a hole in front of each end."""
    first, second, kind = PAIRS[pair]
    for one, other in ((first, second), (second, first)):
        for cut in sparse(range(1, len(one))):
            head, tail = one[:cut], one[cut:]
            assert whole(head + other, kind) == [other] or may_hold_anything(head), head[-60:]
            assert whole(tail + other, kind) == [other], tail[:60]
            assert whole(other + tail, kind) == [other], tail[:60]
            assert whole(other + head, kind) == [other], head[-60:]
            assert whole(b"\0" * cut + tail + other, kind) == [other], tail[:60]
            if not (_is_json(head + other + tail) or may_hold_anything(head)):
                assert whole(head + other + tail, kind) == [other], head[-60:]


JUNK = st.one_of(
    st.binary(max_size=20),
    st.text(alphabet='{}[]",:\\ \tu0a1.-\0é', max_size=20).map(str.encode),
    st.sampled_from((b'{"', b'{"a":', b"[", b'{"type":"x","sessionId":', b"{}", b'"}]}', b"\0" * 8)),
    st.just(b'{"usage":{"input_tokens":1,"output_tokens":1}}'),
)


def _pieces(pair: str) -> st.SearchStrategy[list[tuple[str, bytes]]]:
    records = st.sampled_from(PAIRS[pair][:2])
    heads = st.tuples(records, st.integers(1, 60)).map(lambda cut: cut[0][: cut[1] * len(cut[0]) // 61])
    heads = heads.filter(lambda head: not may_hold_anything(head))
    tails = st.tuples(records, st.integers(1, 60)).map(lambda cut: cut[0][cut[1] * len(cut[0]) // 61 :])
    kinds = st.one_of(
        st.tuples(st.just("record"), records),
        st.tuples(st.just("head"), heads),
        st.tuples(st.just("tail"), tails),
        st.tuples(st.just("junk"), JUNK),
    )
    return st.lists(kinds, max_size=6)


@pytest.mark.parametrize("pair", PAIRS)
@given(data=st.data())
def test_nothing_but_what_was_whole_is_ever_found(pair: str, data: st.DataObject) -> None:
    """For any sequence of records, beginnings, ends and junk: what is found of the kind are records that are whole; and
    all of them, unless junk or an end may have made one a part of something."""
    pieces = data.draw(_pieces(pair))
    kind = PAIRS[pair][2]
    line = b"".join(piece for _, piece in pieces)
    names = [name for name, piece in pieces if piece]
    # A beginning and an end may make a record again.
    without_junk = [name for name in names if name != "junk"]
    assume(b"\n" not in line and ("head", "tail") not in itertools.pairwise(without_junk))
    records = [piece for name, piece in pieces if name == "record"]
    found = [record for record in whole(line, kind) if kind.is_record(record)]
    assert all(found.count(record) <= line.count(record) for record in found)
    # Junk such as "} may end a beginning: the line holds another whole record then.
    assert set(found) <= set(PAIRS[pair][:2]) or ("head", "junk") in itertools.pairwise(names)
    if set(names) <= {"record", "head"}:
        assert found == records
    parts = split_damaged(line, kind)
    assert all(before.end <= after.start for before, after in itertools.pairwise(parts))
    between = [line[before.end : after.start] for before, after in itertools.pairwise(parts)]
    assert not b"".join(between).replace(b"\xef\xbb\xbf", b"").strip(b"\0 \t\r")


HOSTILE = {
    "openings": b'{"' * 4_000_000,
    "openings with a name": b'{"a":' * 1_500_000,
    "arrays": b'{"a":' + b"[" * 8_000_000,
    "objects without an end": b'{"a":[' + b'{"b":1},' * 1_000_000,
    "texts without an end": b'{"a":"x' * 1_000_000,
    "one text": b'{"a":"' + b"x" * 8_000_000,
    "escapes": b'{"a":"' + b'\\{\\"' * 2_000_000,
    "blanks": b"{ " * 4_000_000,
    "one number": b'{"a":' + b"1" * 8_000_000,
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_line_takes_bounded_time(line: bytes) -> None:
    """Eight megabytes of anything take seconds, not hours; there is no record, and all of it is lost."""
    started_s = time.process_time()
    assert [part.is_whole for part in split_damaged(line, ENTRY)] == [False]
    assert time.process_time() - started_s < 10


def test_a_file_without_newlines_is_read() -> None:
    """Whole records on one line are all found, however many."""
    assert whole(EXECUTION * 5000, RECORD) == [EXECUTION] * 5000


# From files


def rows_of(content: bytes) -> tuple[list[ExecutionRow], list[tuple[int, int, str]]]:
    """The executions of a JSONL file, and the place and reason of what is rejected."""
    (batch,) = JsonlSource(UTC).read(io.BytesIO(content))
    return list(batch.rows), [(item.line, item.offset, item.reason) for item in batch.rejected]


def test_executions_of_a_damaged_line_have_the_uids_of_lines_of_their_own() -> None:
    """Also where equal lines are told apart by their ordinals; what is lost is rejected with its bytes."""
    plain, _ = rows_of(b"\n".join([EXECUTION, EXECUTION, OTHER, EXECUTION, EXECUTION]) + b"\n")
    content = EXECUTION + b"\n" + b"\xef\xbb\xbf  " + EXECUTION + OTHER[:40] + OTHER + b"\n" + EXECUTION * 2 + b"\n"
    rows, rejected = rows_of(content)
    assert sorted(rows) == sorted(plain)
    begins = 5 + len(EXECUTION)
    reason = f"not valid JSON: bytes {begins} to {begins + 39} of the line are not a whole record"
    assert rejected == [(2, len(EXECUTION) + 1 + begins, reason)]


def test_a_last_line_that_is_cut_off_gives_what_is_before_it() -> None:
    """The record before it is an execution; the reason says that the line is cut off."""
    rows, ((line, offset, reason),) = rows_of(EXECUTION + OTHER[:50])
    assert (len(rows), line, offset) == (1, 1, len(EXECUTION))
    assert reason.startswith("the last line is cut off: ")


def test_a_record_behind_damage_may_be_invalid() -> None:
    """It is rejected with its own reason, and the others are executions."""
    rows, rejected = rows_of(EXECUTION + a_line(output_tokens=-1).strip() + OTHER + b"\n")
    assert (len(rows), rejected) == (2, [(1, len(EXECUTION), "output_tokens: is negative")])


@pytest.mark.parametrize("content", [EXECUTION * 2, b"\0\0" + EXECUTION, EXECUTION[:9] + EXECUTION, EXECUTION + b"x"])
def test_a_file_of_one_damaged_line_is_known(content: bytes, tmp_path: Path) -> None:
    """As a file of executions; with entries in their place, as a transcript."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    assert holds_executions(path)
    path.write_bytes(content.replace(EXECUTION, FIRST))
    assert holds_objects(path)
    assert not holds_executions(path)


def responses_of(path: Path, known: Cursor | None = None) -> tuple[list[tuple[bytes, int | None]], list[Any], Cursor]:
    """The identity and output of each response that is new in a transcript, what is rejected, and the cursor."""
    found: list[tuple[bytes, int | None]] = []
    rejected: list[Any] = []
    with resume(found_file(path), known, host="here", source=CLAUDE_CODE) as tail:
        for batch in TranscriptSource(None, "here").read(tail, TranscriptContext(session_id=SESSION)):
            found += [(item.identities[0], item.row[_OUTPUT]) for item in batch.observations]
            rejected += [(item.line, item.offset, item.reason) for item in batch.rejected]
            known = batch.cursor
    assert known is not None
    return found, rejected, known


def test_responses_of_a_damaged_line_have_the_identities_of_lines_of_their_own(tmp_path: Path) -> None:
    """With and without request ids; what is lost is rejected with its line and bytes."""
    entries = [jsonl([an_entry(number, requestId=...)]).strip() for number in (1, 2, 3)] + [FIRST, SECOND]
    path = tmp_path / f"{SESSION}.jsonl"
    path.write_bytes(b"\n".join(entries) + b"\n")
    plain, nothing, _ = responses_of(path)
    damaged = entries[0] + entries[1] + b"\n\0\0\0\n" + SECOND[:70] + entries[2] + entries[3] + b"\n" + SECOND + b"}\n"
    path.write_bytes(damaged)
    found, rejected, _ = responses_of(path)
    assert (found, nothing) == (plain, [])
    lost_at = len(entries[0] + entries[1]) + 5
    reason = "not valid JSON: bytes 0 to 69 of the line are not a whole record"
    assert rejected[0] == (3, lost_at, reason)
    assert [(line, reason) for line, _, reason in rejected[1:]] == [
        (4, f"not valid JSON: bytes {len(SECOND):,} to {len(SECOND):,} of the line are not a whole record")
    ]


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_file_that_grows_gives_what_it_gives_at_once(name: str, tmp_path: Path) -> None:
    """Wherever it ended when it was read before: the same responses, each as often."""
    content = jsonl([an_entry(5)]) + NEIGHBOURS[name][0] + b"\n" + jsonl([an_entry(6)])
    path = tmp_path / f"{SESSION}.jsonl"
    path.write_bytes(content)
    at_once, _, _ = responses_of(path)
    for cut in range(len(content) - 800, 0, -37):
        path.write_bytes(content[:cut])
        before, _, cursor = responses_of(path)
        path.write_bytes(content)
        after, _, _ = responses_of(path, cursor)
        assert before + after == at_once, content[:cut][-60:]


def test_a_sub_agent_is_named_by_a_call_on_a_damaged_line(tmp_path: Path) -> None:
    """Two records of its session on one line: the one that started it says its type."""
    parent, agent = Talk(), Talk(agent_id=AGENT)
    parent.prompt()
    block = tool_block("toolu_1", "Task", description="d", prompt="Look into it", subagent_type="reviewer")
    parent.respond("msg_call", blocks=[block])
    agent.prompt("Look into it")
    agent.respond("msg_agent", attributionAgent=...)
    session = tmp_path / f"{SESSION}.jsonl"
    session.write_bytes(jsonl(parent.lines[:1]).strip() + jsonl(parent.lines[1:]))
    path = session.with_suffix("") / "subagents" / f"agent-{AGENT}.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(agent.data())
    context = context_of(path, AgentTypes(lambda _path, problem: pytest.fail(problem)))
    with resume(found_file(path), None, host="here", source=CLAUDE_CODE) as tail:
        (batch, _) = TranscriptSource(None, "here").read(tail, context)
    assert [item.row[column("agent_name")] for item in batch.observations] == ["reviewer"]
