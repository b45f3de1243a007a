"""Entries of one transcript to responses: which lines are one response, whose it is, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from claude_force.clock import DAY_US, HOUR_US, SECOND_US
from claude_force.errors import InvalidRecord
from claude_force.executions.deduplication import ReportedUsage
from claude_force.executions.record import MAIN, SUBAGENT, UNKNOWN, task_hash
from claude_force.ingest.transcripts.context import TranscriptContext
from claude_force.ingest.transcripts.entries import decode_entry
from claude_force.ingest.transcripts.identity import REMEMBERED, side_identities
from claude_force.ingest.transcripts.reader_state import ReaderState
from claude_force.ingest.transcripts.responses import (
    NO_ENTRY,
    NO_MESSAGE,
    NO_REQUEST,
    SYNTHETIC,
    Response,
    ResponseReader,
)
from tests.transcripts import (
    AGENT,
    CWD,
    MODEL,
    SESSION,
    START,
    Line,
    Talk,
    Tokens,
    agent_talk,
    changed,
    copied,
    notification,
    parent_of_agent,
    task_block,
    task_result,
    text_block,
    tool_block,
)

START_US = int(START.timestamp()) * SECOND_US
OWN_FILE = TranscriptContext(SESSION, AGENT)


def read(
    lines: Iterable[Line], place: TranscriptContext | None = None, state: ReaderState | None = None
) -> ResponseReader:
    """A reader that has read these lines."""
    reader = ResponseReader(place or TranscriptContext(SESSION), state or ReaderState())
    for number, line in enumerate(lines, 1):
        reader.read(decode_entry(json.dumps(line).encode()), number)
    return reader


def responses(lines: Iterable[Line], place: TranscriptContext | None = None) -> list[Response]:
    """The responses of these lines."""
    return read(lines, place).emit()


def tokens(response: Response) -> tuple[int | None, int | None]:
    """Input and output tokens, as the response knows them."""
    return response.usage.input_tokens, response.usage.output_tokens


def after(seconds: float) -> int:
    """An instant so long after the beginning of a conversation."""
    return START_US + int(seconds * SECOND_US)


def test_a_response_of_several_lines_is_one() -> None:
    """From its first line to its last, with what it answers, its run and its place."""
    talk = Talk()
    asked = talk.prompt("Look")
    talk.respond("msg_1", blocks=[text_block(), tool_block(), tool_block()])
    (found,) = responses(talk.lines)
    assert (found.first_us, found.last_us, found.asked_us) == (after(2), after(4), after(1))
    assert (found.model, found.session_id, found.project, found.line) == (MODEL, SESSION, CWD, 2)
    assert (found.agent_name, found.run.run_id, found.run.task_hash) == (MAIN, asked["promptId"], task_hash("Look"))
    assert (found.is_sidechain, found.error_type, found.from_us, found.is_final) == (False, None, None, True)


LINES = {
    "the larger output": ([Tokens(3, 1), Tokens(3, 120)], [], (3, 120)),
    "also where it comes first": ([Tokens(3, 120), Tokens(3, 1)], [], (3, 120)),
    "the final one, though it is smaller": ([Tokens(3, 500), Tokens(3, 120)], [None], (3, 120)),
    "the larger prompt of equal outputs": ([Tokens(3, 9), Tokens(8, 9)], [], (8, 9)),
}


@pytest.mark.parametrize("case", LINES)
def test_a_response_counts_with_its_best_usage(case: str) -> None:
    """Final before not final, then large before small, whatever the order of its lines."""
    each, stops, expected = LINES[case]
    talk = Talk()
    talk.respond("msg_1", each, blocks=[text_block()] * len(each))
    for line, stop in zip(talk.lines, stops, strict=False):
        line["message"]["stop_reason"] = stop
    (found,) = responses(talk.lines)
    assert tokens(found) == expected


def test_a_usage_that_is_not_known_gives_way() -> None:
    """To one that is, even where only the other line is final."""
    talk = Talk()
    talk.respond("msg_1", [Tokens(3, 900), Tokens(3, 7)], blocks=[text_block(), text_block()])
    talk.lines[0]["message"]["usage"] = {"output_tokens": 900}
    talk.lines[1]["message"]["stop_reason"] = None
    assert [tokens(found) for found in responses(talk.lines)] == [(3, 7)]


@pytest.mark.parametrize(("pause_us", "end_us"), [(HOUR_US, HOUR_US), (HOUR_US + SECOND_US, 0)])
def test_a_line_that_is_hours_late_does_not_move_the_end(pause_us: int, end_us: int) -> None:
    """The clock was set, or a line was copied."""
    talk = Talk()
    talk.respond("msg_1")
    talk.seconds += pause_us / SECOND_US - 1
    talk.respond("msg_1")
    (found,) = responses(talk.lines)
    assert found.last_us - found.first_us == end_us


def test_responses_without_request_ids_are_told_apart() -> None:
    """Behind a gateway that repeats a message id: lines that follow each other with one prompt are one response."""
    talk = Talk()
    talk.respond("msg_1", Tokens(3, 5), request=None, blocks=[text_block(), tool_block()])
    talk.result()
    talk.respond("msg_1", Tokens(900, 6), request=None, blocks=[text_block(), text_block()])
    found = responses(talk.lines)
    assert [tokens(response) for response in found] == [(3, 5), (900, 6)]
    assert len({response.identity for response in found}) == 2


@pytest.mark.parametrize("request_id", ["", None])
def test_a_copy_has_the_identity_of_its_original(request_id: str | None) -> None:
    """In another session, with other uuids."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1", request=request_id, blocks=[text_block(), tool_block()])
    copy = copied(talk.lines, new_uuids=True, sessionId="another")
    assert [found.identity for found in responses(copy)] == [found.identity for found in responses(talk.lines)]


def test_identities_never_change() -> None:
    """They are stored: another way to make them would count every response again. These are by version 2.2."""
    talk = Talk()
    talk.respond("msg_1", Tokens(3, 5, 7, 0, 11))
    talk.respond("msg_2", Tokens(3, 5, 7, 0, 11), request=None)
    with_request, without = responses(talk.lines)
    _, (side, _) = side_identities(SESSION, "msg_1", with_request.content, 21, is_sidechain=False)
    assert (with_request.identity.hex(), without.identity.hex(), side.hex()) == (
        "bcfe4cfea76c65c90db78bab94f97d67",
        "a9a6f18529c55630da884b4940c77f70",
        "be6e299750ef9ecf9c3e526726eb50de",
    )


# Runs


def test_a_prompt_begins_a_run() -> None:
    """Each response is part of the run of the prompt that it goes back to. Other lines of a user begin none."""
    talk = Talk()
    talk.prompt("one")
    talk.respond("msg_1", blocks=[tool_block()])
    talk.result()
    talk.prompt("meta", isMeta=True)
    talk.prompt("summary", isCompactSummary=True)
    talk.respond("msg_2")
    talk.prompt("two")
    talk.respond("msg_3")
    talk.add("assistant", {}, requestId="r", message=talk.lines[-1]["message"] | {"id": "msg_4"}, parentUuid="nobody")
    hashes = [found.run.task_hash for found in responses(talk.lines)]
    assert hashes == [task_hash(text) for text in ("one", "one", "two", "two")]


def test_a_prompt_without_an_id_is_known_by_its_uuid() -> None:
    """As older versions wrote it."""
    talk = Talk()
    line = talk.prompt("Look", promptId=...)
    talk.respond("msg_1")
    assert responses(talk.lines)[0].run.run_id == line["uuid"]


def test_a_response_before_any_prompt() -> None:
    """Is of the main conversation, or of a sub-agent, without a run."""
    talk = Talk()
    talk.respond("msg_1")
    talk.respond("msg_2", isSidechain=True)
    main, side = responses(talk.lines)
    assert (main.agent_name, main.run.run_id) == (MAIN, None)
    assert (side.agent_name, side.run.run_id, side.is_sidechain) == (SUBAGENT, None, True)


NAMES: dict[str, tuple[TranscriptContext, Any, str]] = {
    "nothing tells": (OWN_FILE, ..., SUBAGENT),
    "its lines": (OWN_FILE, "Plan", "Plan"),
    "where it stands": (TranscriptContext(SESSION, AGENT, agent_type_of=lambda *_: "Explore"), ..., "Explore"),
    "its lines before where it stands": (
        TranscriptContext(SESSION, AGENT, agent_type_of=lambda *_: "Explore"),
        "Plan",
        "Plan",
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_the_name_of_a_sub_agent(case: str) -> None:
    """By what its own lines say, else by what is told of its file."""
    place, attribution, expected = NAMES[case]
    found = responses(agent_talk(attribution=attribution).lines, place)
    assert {response.agent_name for response in found} == {expected}
    assert {(response.run.run_id, response.is_sidechain) for response in found} == {(AGENT, True)}
    assert {response.run.task_hash for response in found} == {task_hash("Look at the valves.")}


def test_the_name_of_a_sub_agent_in_the_file_of_its_session() -> None:
    """Is that of the call with its prompt; two agents of one file are told apart."""
    parent = Talk()
    parent.prompt()
    parent.respond("msg_P", blocks=[task_block("Dig", "Explore"), task_block("Think", "Plan")])
    lines = [*parent.lines]
    for number, prompt in enumerate(("Dig", "Think")):
        agent = Talk(agent_id=f"agent-{number}", seconds=10)
        agent.prompt(prompt)
        agent.respond(f"msg_{number}", attributionAgent=...)
        lines += agent.lines
    assert [found.agent_name for found in responses(lines)] == [MAIN, "Explore", "Plan"]


def test_a_side_chain_without_an_id_is_a_run_of_its_own() -> None:
    """As versions before sub-agents had ids wrote it; the main conversation goes on beside it."""
    talk = Talk()
    talk.prompt("main")
    talk.respond("msg_1", blocks=[task_block("Dig", "Explore")])
    side = Talk(seconds=5, constants={"isSidechain": True})
    side.prompt("Dig")
    side.respond("msg_2")
    talk.seconds = 20
    talk.respond("msg_3")
    found = responses([*talk.lines[:2], *side.lines, *talk.lines[2:]])
    assert [response.agent_name for response in found] == [MAIN, "Explore", MAIN]
    assert [response.run.task_hash for response in found] == [task_hash(text) for text in ("main", "Dig", "main")]


def test_the_progress_of_an_agent_is_its_response() -> None:
    """As older versions also wrote it into the file of its parent."""
    parent = Talk()
    parent.prompt("main")
    agent = Talk(agent_id=AGENT, seconds=5)
    agent.prompt("Dig")
    (line,) = agent.respond("msg_1", attributionAgent="Explore")
    parent.add("progress", {}, data={"type": "agent_progress", "agentId": AGENT, "message": line})
    parent.add("progress", {}, data={"type": "hook_progress"})
    (found,) = responses(parent.lines)
    (own,) = responses(agent.lines, OWN_FILE)
    assert (found.identity, found.agent_name, found.is_sidechain) == (own.identity, "Explore", True)


# What is no response, and what cannot be one


def test_what_is_left_out_is_counted_by_its_reason() -> None:
    """Lines of Claude Code itself, responses without a message, and lines that are no entries."""
    talk = Talk()
    talk.respond("msg_1", message={"model": SYNTHETIC})
    talk.add("assistant", {})
    talk.add("assistant", {})
    lines = [*talk.lines, {"foo": 1}, {"type": "summary", "summary": "x"}]
    reader = read(lines)
    assert reader.emit() == []
    assert reader.skipped == {NO_REQUEST: 1, NO_MESSAGE: 2, NO_ENTRY: 1}


IDS = {
    "acompact-9f": "compaction",
    "acompact-83efcb": "compaction",
    "acompact-767ece576f2b74e8": "compaction",
    "acompact": "compaction",
    "aside_question-4c": "aside_question",
    "aside_question-c5e5c961a7749e08": "aside_question",
    "aprompt_suggestion-33a4cf": "prompt_suggestion",
    "aprompt_suggestion_a": "prompt_suggestion",
    "asession_memory-0123456789abcdef": "session_memory",
    "areviewer-0123456789abcdef": "reviewer",
    "acode-reviewer-0123ab": "code-reviewer",
    "acompactor-0123ab": "compactor",
    "a6047be": SUBAGENT,
    "aeb3897ee3267e12c": SUBAGENT,
    "abc1": SUBAGENT,
    "agent-1": SUBAGENT,
    "compact-83efcb": SUBAGENT,
    "aeb38-": SUBAGENT,
}


@pytest.mark.parametrize("agent_id", IDS)
def test_the_id_of_a_sub_agent_says_what_it_is(agent_id: str) -> None:
    """If it has a label: for those of Claude Code itself before all else, for others if their type is not recorded."""
    expected = IDS[agent_id]
    talk = Talk(agent_id=agent_id)
    talk.respond("msg_1", attributionAgent=...)
    (found,) = responses(talk.lines, TranscriptContext(SESSION, agent_id))
    assert (found.agent_name, found.run.run_id) == (expected, agent_id)
    typed = TranscriptContext(SESSION, agent_id, agent_type_of=lambda *_: "Explore")
    is_internal = expected in ("compaction", "aside_question", "prompt_suggestion", "session_memory")
    assert responses(talk.lines, typed)[0].agent_name == (expected if is_internal else "Explore")


def test_an_agent_of_claude_code_itself_is_not_called_like_the_one_that_it_is_about() -> None:
    """Its transcript copies the lines of another agent, with the prompt and the type of that one."""
    copy = agent_talk(attribution="Plan")
    own = TranscriptContext(SESSION, "acompact-83efcb", agent_type_of=lambda *_: "Plan")
    assert {response.agent_name for response in responses(copy.lines, own)} == {"compaction"}


@pytest.mark.parametrize("timestamp", [..., "yesterday", 5])
def test_a_response_without_a_time_is_refused(timestamp: object) -> None:
    """No record can be made of it."""
    talk = Talk()
    talk.respond("msg_1", timestamp=timestamp)
    with pytest.raises(InvalidRecord, match="timestamp"):
        read(talk.lines)


ERRORS: dict[str, tuple[str, dict[str, Any], str]] = {
    "its own word": ("API Error: 500", {"error": "rate_limit"}, "rate_limit"),
    "its own word says nothing": ("API Error: 500", {"error": UNKNOWN}, "http_500"),
    "its own word is a sentence": ("API Error: 500", {"error": "it went wrong"}, "http_500"),
    "the kind in the message": ('API Error: 529 {"type": "overloaded_error"}', {}, "overloaded_error"),
    "its status": ("API Error: 403 Forbidden", {}, "http_403"),
    "a phrase": ("Request timed out.", {}, "timeout"),
    "a limit": ("You've hit your limit", {}, "rate_limit"),
    "none of these": ("Something happened", {}, "api_error"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_the_kind_of_an_error(case: str) -> None:
    """In its own words where it has some, else by what the message says; of the message nothing is kept."""
    text, changes, expected = ERRORS[case]
    talk = Talk()
    talk.fail(text, **changes)
    (found,) = responses(talk.lines)
    assert (found.error_type, found.model, found.is_final) == (expected, UNKNOWN, True)
    assert text not in repr(found)


# What parents are told of their agents


def reported(lines: Iterable[Line]) -> list[ReportedUsage]:
    """What the lines report."""
    return read(lines).reports


def test_the_result_of_a_task_is_a_report() -> None:
    """With the sum of all its tokens, and those of its last response; from a little before it can have begun."""
    talk = parent_of_agent("Dig", "Explore", result=task_result(AGENT, Tokens(3, 40, 500, 0, 7), "Dig"))
    (found,) = reported(talk.lines)
    until = after(talk.seconds)
    assert found == ReportedUsage(AGENT, "task_result", until, until - 660 * SECOND_US, 550, 510, 40)


@pytest.mark.parametrize(
    "changes",
    [
        {"totalTokens": 0},
        {"totalTokens": -1},
        {"totalTokens": 10**16},
        {"agentId": "a b"},
        {"usage": {"output_tokens": 0}},
    ],
    ids=str,
)
def test_a_report_that_cannot_be_is_none(changes: dict[str, Any]) -> None:
    """Numbers that are no sum of tokens, and names that are none of an agent."""
    result = changed(task_result(AGENT, Tokens(), "Dig"), changes)
    assert reported(parent_of_agent("Dig", "Explore", result=result).lines) == []


@pytest.mark.parametrize(("milliseconds", "spent_us"), [(60_000, 60 * SECOND_US), (-5, DAY_US), (10**15, DAY_US)])
def test_a_duration_that_cannot_be_is_a_day(milliseconds: int, spent_us: int) -> None:
    """So long before the report the agent may have begun."""
    result = task_result(AGENT, Tokens(), "Dig", totalDurationMs=milliseconds)
    (found,) = reported(parent_of_agent("Dig", "Explore", result=result).lines)
    assert found.until_us - found.since_us == spent_us + 600 * SECOND_US


@pytest.mark.parametrize("element", ["total_tokens", "subagent_tokens"])
@pytest.mark.parametrize("is_queued", [True, False], ids=["queued", "as a prompt"])
def test_a_notification_is_a_report(element: str, *, is_queued: bool) -> None:
    """In a prompt, or in the queue of prompts; what the agent said before cannot change it."""
    text = notification(AGENT, 5000, element=element)
    talk = Talk()
    if is_queued:
        talk.add("queue-operation", {}, content=text)
    else:
        talk.prompt(f"<{element}>7</{element}>{text}")
    (found,) = reported(talk.lines)
    assert (found.run_id, found.basis, found.total_tokens) == (AGENT, "task_notification", 5000)
    assert found.since_us == after(1) - 660 * SECOND_US


@pytest.mark.parametrize(
    "text", ["<task-notification>", "all is well", notification("a b", 5), notification(AGENT, 10**9)]
)
def test_a_text_that_is_no_notification(text: str) -> None:
    """Without an agent, or without a number that can be."""
    talk = Talk()
    talk.prompt(text)
    assert reported(talk.lines) == []


# Reading on


def a_long_talk() -> list[Line]:
    """A conversation with everything in it that must be remembered: runs, agents, calls, chains and open responses."""
    talk = Talk()
    talk.prompt("one")
    talk.respond("msg_1", [Tokens(3, 1), Tokens(3, 90)], blocks=[text_block(), task_block("Dig", "Explore")])
    agent = Talk(agent_id=AGENT, seconds=4)
    agent.prompt("Dig")
    agent.respond("msg_2", blocks=[tool_block(), text_block()], attributionAgent=...)
    talk.seconds = 9
    talk.result("done", task_result(AGENT, Tokens(), "Dig"), call="toolu_01Task")
    talk.respond("msg_3", Tokens(4, 8), request=None, blocks=[text_block(), tool_block()])
    talk.prompt("two")
    talk.respond("msg_4")
    return [*talk.lines[:3], *agent.lines, *talk.lines[3:]]


LONG_TALK = a_long_talk()


@pytest.mark.parametrize("at", range(1, len(LONG_TALK)))
def test_reading_on_finds_what_reading_at_once_finds(at: int) -> None:
    """Wherever it ended: the same responses with the same names, runs and usages. Lines of one that was handed over
    before say where it ended then."""
    whole = {found.identity: found for found in responses(LONG_TALK)}
    reader = read(LONG_TALK[:at])
    first = reader.emit()
    state = msgspec.json.decode(msgspec.json.encode(reader.saved_state()), type=ReaderState)
    second = read(LONG_TALK[at:], state=state).emit()
    ends = {found.identity: found.last_us for found in first}
    best: dict[bytes, Response] = {}
    for found in [*first, *second]:
        known = whole[found.identity]
        assert (found.agent_name, found.run) == (known.agent_name, known.run)
        best[found.identity] = max(best.get(found.identity, found), found, key=lambda one: one.usage.output_tokens or 0)
    for found in second:
        assert found.from_us == ends.get(found.identity)
    assert {key: tokens(found) for key, found in best.items()} == {key: tokens(found) for key, found in whole.items()}


def test_what_is_remembered_fits_on_a_page() -> None:
    """However long a conversation is."""
    talk = Talk()
    sizes = []
    for number in range(8):
        for turn in range(REMEMBERED):
            talk.prompt("Look")
            talk.respond(f"msg_{number}_{turn}", request=None, blocks=[task_block(f"Dig {number} {turn}", "Explore")])
        reader = read(talk.lines)
        reader.emit()
        sizes.append(len(msgspec.json.encode(reader.saved_state())))
    assert sizes[-1] <= sizes[0] * 1.1
    assert sizes[-1] < 16_000


def test_a_line_is_given_to_one_request_whatever_comes_between() -> None:
    """Lines of two responses that are mixed are told apart by their requests."""
    talk = Talk()
    for message_id in ("msg_1", "msg_2", "msg_1", "msg_2"):
        talk.respond(message_id, Tokens(3, len(talk.lines) + 1))
    assert [tokens(found) for found in responses(talk.lines)] == [(3, 3), (3, 4)]


def test_the_names_of_a_record_are_made_storable() -> None:
    """Cut to what a record takes, without what no engine stores."""
    talk = Talk()
    talk.respond("msg_1", message={"model": "m\0" + "x" * 5000}, cwd="")
    (found,) = responses(talk.lines)
    assert found.model.startswith("mx")
    assert "\0" not in found.model
    assert len(found.model) < 1000
    assert found.project is None
