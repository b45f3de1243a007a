"""Which lines without a request id are one response, and the identities by which responses are found again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest

from claude_force.executions.deduplication import AMBIGUOUS, REPLAY, EntityResolver, Observation
from claude_force.executions.record import to_row
from claude_force.ingest.transcripts.context import TranscriptContext
from claude_force.ingest.transcripts.entries import decode_entry
from claude_force.ingest.transcripts.identity import REMEMBERED, request_id_identity, side_identities
from claude_force.ingest.transcripts.reader_state import ReaderState
from claude_force.ingest.transcripts.responses import Response, ResponseReader
from tests.builders import an_execution
from tests.transcripts import SESSION, Line, Talk, Tokens, copied, text_block, tool_block

Step = Callable[[Talk], Any]

ZERO = Tokens(0, 0, 0, 0, 0)


def read(lines: Iterable[Line], state: str = "{}") -> ResponseReader:
    """A reader that goes on from a stored state."""
    reader = ResponseReader(TranscriptContext(SESSION), msgspec.json.decode(state, type=ReaderState))
    for number, line in enumerate(lines, 1):
        reader.read(decode_entry(json.dumps(line).encode()), number)
    return reader


def line(
    tokens: Tokens = Tokens(),  # noqa: B008 - immutable
    *,
    message_id: str | None = "msg_1",
    block: Line | None = None,
    stop: str | None = None,
    **changes: Any,
) -> Step:
    """One line of a response, with a block of its own."""

    def add(talk: Talk) -> None:
        own = tool_block(f"toolu_{talk.seconds}")
        message = {"id": message_id, "stop_reason": stop}
        talk.respond("msg_1", tokens, request=None, blocks=[block or own], message=message, **changes)

    return add


def pause(seconds: float) -> Step:
    """The next line comes so long after the one before."""

    def wait(talk: Talk) -> None:
        talk.seconds += seconds - 1

    return wait


def result(talk: Talk) -> None:
    """The result of a tool."""
    talk.result()


def plain_result(talk: Talk) -> None:
    """The result of a tool in the file of a sub-agent of an older version."""
    talk.result(toolUseResult=...)


def prompt(talk: Talk) -> None:
    """What the user asks for."""
    talk.prompt()


def note(talk: Talk) -> None:
    """What Claude Code writes in the name of the user."""
    talk.prompt("Caveat: not from the user.", isMeta=True)


def progress(talk: Talk) -> None:
    """A line about a running tool."""
    talk.add("progress", {}, data={"type": "bash_progress"})


def error(talk: Talk) -> None:
    """What Claude Code writes in place of a response that failed."""
    talk.fail("API Error: 529 overloaded")


ONE_RESPONSE: dict[str, Sequence[Step]] = {
    "nothing between": [line(), line(), line()],
    "the result of a tool between": [line(), result, line()],
    "results after each line": [line(), result, line(), result, line(), result],
    "a result without what the program kept": [line(), plain_result, line()],
    "two results between": [line(), line(), result, result, line()],
    "a note between": [line(), note, line()],
    "progress between": [line(), progress, result, progress, line()],
    "other blocks after a result": [line(block=text_block("a")), line(), result, line(block=text_block("b"))],
    "the same block without a result": [line(block=text_block("a")), line(block=text_block("a"))],
    "usage on the last line": [line(ZERO), line(ZERO), line()],
    "usage on the last line, results between": [line(ZERO), result, line(ZERO), result, line()],
    "usage on the first line": [line(), line(ZERO), line(ZERO)],
    "usage on the line between": [line(ZERO), line(), line(ZERO)],
    "output that grows": [line(Tokens(3, 1)), result, line(Tokens(3, 90))],
    "just under five minutes": [line(), result, pause(298), line()],
    "cut off at its last line": [line(Tokens(3, 1)), line(Tokens(3, 900), stop="max_tokens")],
    "cut off at each line": [line(stop="max_tokens"), line(stop="max_tokens")],
}

RESPONSES_EACH: dict[str, tuple[Sequence[Step], int]] = {
    "usage comes last in each": ([line(ZERO), line(), result, line(ZERO), line()], 2),
    "a prompt between": ([line(), prompt, line()], 2),
    "a prompt and results between": ([line(), result, prompt, result, line()], 2),
    "another message id": ([line(), result, line(message_id="msg_2")], 2),
    "another response between": ([line(), line(message_id="msg_2"), line()], 3),
    "an error between": ([line(), error, line()], 3),
    "a response with a request id between": ([line(), line(requestId="req_1"), line()], 3),
    "no message id": ([line(message_id=None), line(message_id=None)], 2),
    "a longer prompt": ([line(Tokens(3)), result, line(Tokens(4))], 2),
    "as long a prompt in another cache": ([line(Tokens(3, 1, 7)), result, line(Tokens(3, 1, 8))], 2),
    "five minutes": ([line(), pause(300), line()], 2),
    "the same first block after a result": ([line(block=text_block()), line(), result, line(block=text_block())], 2),
    "the same only block after results": ([line(block=text_block()), result, line(block=text_block()), result] * 2, 4),
    "cut off and tried again": ([line(Tokens(3, 900), stop="max_tokens"), line(Tokens(3, 5)), line(Tokens(3, 70))], 2),
    "cut off twice": ([line(Tokens(3, 900 - count), stop="max_tokens") for count in range(3)], 3),
}


def responses_of(steps: Sequence[Step]) -> list[Response]:
    """The responses of these lines, after a prompt."""
    talk = Talk()
    for step in (prompt, *steps):
        step(talk)
    return read(talk.lines).emit()


@pytest.mark.parametrize("case", ONE_RESPONSE)
def test_lines_of_one_response(case: str) -> None:
    """Without a request id: equal message id, equal prompt or one that is not known yet, and no prompt between."""
    (found,) = responses_of(ONE_RESPONSE[case])
    assert len(set(found.identities)) == sum(step.__name__ == "add" for step in ONE_RESPONSE[case])


@pytest.mark.parametrize("case", RESPONSES_EACH)
def test_lines_of_several_responses(case: str) -> None:
    """Without a request id: a gateway may repeat its message id."""
    steps, expected = RESPONSES_EACH[case]
    assert len(responses_of(steps)) == expected


def test_agents_in_one_file_have_responses_of_their_own() -> None:
    """Their lines are mixed, with one message id and one prompt; a prompt of one ends no response of another."""
    talks = [Talk(), *(Talk(agent_id=f"a{number}", seconds=number / 20) for number in range(1, REMEMBERED - 1))]
    for step in (prompt, line(), result, line()):
        for talk in talks:
            step(talk)
    talks[0].prompt()
    for talk in talks:
        line()(talk)
    mixed = [talk.lines[place] for place in range(4) for talk in talks]
    mixed += [talks[0].lines[4], *(talk.lines[-1] for talk in talks)]
    found = read(mixed).emit()
    assert len(found) == len(talks) + 1
    assert sorted(len(response.moments) for response in found) == [0, 1, *[2] * (len(talks) - 1)]


def test_a_copy_within_the_file_is_the_same_response() -> None:
    """A resumed session may repeat its lines in its own file, after others, with the instants that they had."""
    talk = Talk()
    for step in (prompt, line(), result, line(), prompt, line(message_id="msg_2"), prompt):
        step(talk)
    whole = read(talk.lines).emit()
    again = read([*talk.lines, *copied(talk.lines, new_uuids=True)]).emit()
    assert [found.identity for found in again] == [found.identity for found in whole]


# Stored identities

STATES_OF_2_2 = {
    "one line of two": (
        (
            '{"entries":[["u1",1770625890000000,0],["a1",1770625906093000,0]],"runs":[["u1","main","8c4291f6"]],"main":0,'
            '"side":-1,"chains":[["a1","5f2b33c6bc5ab6cf56b534fcd469e90f","02bcb5f7bb72fa37f21e555b7bf5cd79"]],"called":[],'
            '"agents":[],"taken_out":[["5f2b33c6bc5ab6cf56b534fcd469e90f",1770625906093000]]}'
        ),
        "5f2b33c6bc5ab6cf56b534fcd469e90f",
    ),
    "the result of the first tool": (
        (
            '{"entries":[["u1",1770625890000000,0],["a1",1770625906093000,0],["r1",1770625906107000,0]],"runs":[["u1","main",'
            '"8c4291f6"]],"main":0,"side":-1,"chains":[["a1","5f2b33c6bc5ab6cf56b534fcd469e90f",'
            '"02bcb5f7bb72fa37f21e555b7bf5cd79"]],"called":[],"agents":[],"taken_out":[["5f2b33c6bc5ab6cf56b534fcd469e90f",'
            "1770625906093000]]}"
        ),
        "5f2b33c6bc5ab6cf56b534fcd469e90f",
    ),
    "no entry of the line left": (
        (
            '{"entries":[["x1",1770625906200000,0]],"runs":[["u1","main","8c4291f6"]],"main":0,"side":-1,"chains":[["a1",'
            '"5f2b33c6bc5ab6cf56b534fcd469e90f","02bcb5f7bb72fa37f21e555b7bf5cd79"]],"called":[],"agents":[],'
            '"taken_out":[["5f2b33c6bc5ab6cf56b534fcd469e90f",1770625906093000]]}'
        ),
        "5f2b33c6bc5ab6cf56b534fcd469e90f",
    ),
    "two executions of the response": (
        (
            '{"entries":[["u1",1770625890000000,0],["a1",1770625906093000,0],["r1",1770625906107000,0],["a2",'
            '1770625906690000,0]],"runs":[["u1","main","8c4291f6"]],"main":0,"side":-1,"chains":[["a1",'
            '"5f2b33c6bc5ab6cf56b534fcd469e90f","02bcb5f7bb72fa37f21e555b7bf5cd79"],["a2","c623eabe1421574d42930e9617337416",'
            '"02bcb5f7bb72fa37f21e555b7bf5cd79"]],"called":[],"agents":[],"taken_out":[["5f2b33c6bc5ab6cf56b534fcd469e90f",'
            '1770625906093000],["c623eabe1421574d42930e9617337416",1770625906690000]]}'
        ),
        "c623eabe1421574d42930e9617337416",
    ),
}
"""States that version 2.2 stored when it had read the start of such a response, and the identity that the rest has."""


def gateway_line(seconds: str, **usage: int) -> Line:
    """A further line of the response in `STATES_OF_2_2`."""
    return {
        "type": "assistant", "uuid": f"a{seconds}", "parentUuid": "r9", "timestamp": f"2026-02-09T08:31:{seconds}Z",
        "sessionId": SESSION,
        "message": {
            "id": "msg_1", "model": "claude-opus-4-6", "stop_reason": None, "content": [tool_block(f"t{seconds}")],
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 39439, "output_tokens": 25} | usage,
        },
    }  # fmt: skip


@pytest.mark.parametrize("case", STATES_OF_2_2)
def test_what_2_2_read_half_is_continued(case: str) -> None:
    """The rest of a response belongs to the execution that is stored, from where that ended."""
    state, identity = STATES_OF_2_2[case]
    (found,) = read([gateway_line("46.700"), gateway_line("46.800", output_tokens=90)], state).emit()
    assert found.identity.hex() == identity
    assert found.from_us in (1770625906093000, 1770625906690000)
    assert found.usage.output_tokens == 90


@pytest.mark.parametrize("changes", [{"input_tokens": 900}, {"cache_read_input_tokens": 7}])
def test_the_next_response_after_a_state_of_2_2_is_a_new_one(changes: dict[str, int]) -> None:
    """Its prompt differs."""
    state, identity = STATES_OF_2_2["the result of the first tool"]
    (found,) = read([gateway_line("49.000", **changes)], state).emit()
    assert found.identity.hex() != identity
    assert found.from_us is None


def test_what_2_2_read_before_its_usage_was_known_is_continued() -> None:
    """A gateway says 0 tokens until the last line."""
    state = (
        '{"entries":[["u1",1780308000000000,0],["a1",1780308005000000,0]],"runs":[["u1","main","9dd4e461"]],"main":0,'
        '"side":-1,"chains":[["a1","c3f753850056386483416adab7d821f0","cd14d74f55a7bfa6ced5c68c673e72a5"]],"called":[],'
        '"agents":[],"taken_out":[["c3f753850056386483416adab7d821f0",1780308005000000]]}'
    )
    last = gateway_line("46.700", input_tokens=4982)
    last |= {"timestamp": "2026-06-01T10:00:07.000Z", "message": last["message"] | {"id": "chatcmpl-8f2a"}}
    (found,) = read([last], state).emit()
    assert (found.identity.hex(), found.from_us) == ("c3f753850056386483416adab7d821f0", 1780308005000000)


def test_new_kinds_of_identities_never_change() -> None:
    """They are stored."""
    (content, main), (_, side) = side_identities("s1", "msg_1", b"c" * 16, 39442, is_sidechain=False)
    assert side_identities("s1", "msg_1", b"c" * 16, 39442, is_sidechain=True)[1] == (content, main)
    assert [key.hex() for key in (content, main, side, request_id_identity("req_1"))] == [
        "bdaab3f8ae38d16ad89fb7639cef5b68",
        "0cf8a4391d5b3f2c06ecd578009db400",
        "0cf8a4391d5b3f2c06ecd578009db401",
        "3100000000000000bd1c369c6404310a",
    ]
    assert len(side_identities("s1", "msg_1", b"c" * 16, 0, is_sidechain=False)[0]) == 1


def seen(name: str, shared: Sequence[str] = (), **options: Any) -> Observation:
    """An observation with identities of these names."""
    keys = tuple(key.encode().ljust(16, b".") for key in shared)
    return Observation(to_row(an_execution()), (name.encode().ljust(16, b"."),), keys, **options)


def test_a_request_id_that_two_messages_share_identifies_none() -> None:
    """It matches no observation, and what replays have counts for none."""
    resolver = EntityResolver({})
    for name, shared in (("a", ["one"]), ("b", ["two"]), ("a", ["one"]), ("c", ["two"])):
        resolver.match(seen(name, shared))
    assert len(resolver.new_rows) == 3
    first = resolver.known[b"a".ljust(16, b".")]
    assert resolver.shared == {b"one".ljust(16, b"."): first, b"two".ljust(16, b"."): AMBIGUOUS}
    replay = seen("r", ["three"], other_side=(b"one".ljust(16, b"."),), is_sidechain=True)
    resolver.match(replay)
    assert resolver.known[replay.identities[0]] == REPLAY
    assert b"three".ljust(16, b".") not in resolver.shared


def test_two_executions_of_2_2_keep_their_identities() -> None:
    """A copy with all lines of a response is known, and each line still leads to its own execution."""
    keys = [name.ljust(16, b".") for name in (b"a", b"b", b"c")]
    resolver = EntityResolver({keys[0]: b"A" * 16, keys[1]: b"B" * 16})
    resolver.match(Observation(to_row(an_execution()), tuple(keys)))
    assert (resolver.new_rows, resolver.remembered) == ({}, {keys[2]: b"A" * 16})
