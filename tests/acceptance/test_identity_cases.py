"""Which lines are one response and which are two. Cases A to M are those in which existing tools disagree. Each runs
with the installed program, with and without request ids and parents, in one ingest and in several."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from tests.conftest import Run
from tests.transcripts import (
    GATEWAY_ID,
    Ingester,
    Line,
    Talk,
    Tokens,
    agent_file,
    copied,
    jsonl,
    main_file,
    moment,
    put,
    task_block,
    text_block,
    thinking_block,
    tokens_of,
    tool_block,
)

Files = dict[str, list[Line] | bytes]
"""The contents of files below a `projects` folder, oldest first."""

ROOT = Path()


@dataclass(frozen=True)
class Case:
    """The files before each ingest, and the responses stored in the end."""

    name: str
    states: Sequence[Files]
    responses: Sequence[Tokens]


def of_session(session: str) -> str:
    """The path of a session's file."""
    return str(main_file(ROOT, session))


def of_agent(session: str, agent_id: str, workflow: str | None = None) -> str:
    """The path of a sub-agent's file."""
    return str(agent_file(ROOT, agent_id, session, workflow))


def write(folder: Path, files: Files) -> None:
    """Write the files. The first one is the oldest."""
    for index, (name, lines) in enumerate(files.items()):
        put(folder / name, lines, age=60 * (len(files) - index))


def check(case: Case, run: Run, folder: Path) -> None:
    """Ingest every state, and the last one again. Exactly the responses of the case are stored, with every kind of
    token."""
    for files in [*case.states, case.states[-1]]:
        write(folder, files)
        done = run("ingest", folder, "--json", "--db", "metrics.db")
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if not line.startswith("new database ")] == []
    rows = json.loads(run("analytics", "export", "--json", "--db", "metrics.db").stdout)
    assert Counter(map(tokens_of, rows)) == Counter(case.responses)
    summary = json.loads(run("analytics", "summary", "--json", "--db", "metrics.db").stdout)
    assert summary["total_executions"] == len(case.responses)
    for index, kind in enumerate(Tokens._fields):
        assert summary[f"total_{kind}"] == sum(tokens[index] for tokens in case.responses)
    assert summary["total_tokens"] == sum(map(sum, case.responses))


def check_variants(cases: Sequence[Case], tmp_path: Path) -> None:
    """Check many cases in this process, which is faster."""
    wrong = {}
    for number, case in enumerate(cases):
        folder = tmp_path / str(number)
        database = open_database(str(folder / "metrics.db"))
        ingester = Ingester(Store(database), folder / "rejected.jsonl")
        for files in [*case.states, case.states[-1]]:
            write(folder / "projects", files)
            assert ingester.ingest(folder / "projects").problems == []
        found = Counter(map(tokens_of, ingester.rows()))
        with database.read() as connection:
            assert queries.totals(connection, Filter()).executions == found.total()
        if found != Counter(case.responses):
            missing, more = Counter(case.responses) - found, found - Counter(case.responses)
            wrong[case.name] = f"missing {dict(missing)}, too many {dict(more)}"
        database.close()
    assert not wrong


def orders(name: str, files: Files, responses: Sequence[Tokens]) -> list[Case]:
    """Two files in four variants: either one older, and either one ingested before the other."""
    (first, one), (second, other) = files.items()
    return [
        Case(f"{name}, original older", [{first: one, second: other}], responses),
        Case(f"{name}, copy older", [{second: other, first: one}], responses),
        Case(f"{name}, original read before", [{first: one}, files], responses),
        Case(f"{name}, copy read before", [{second: other}, files], responses),
    ]


BLOCKS = [thinking_block(), text_block(), tool_block("toolu_1"), tool_block("toolu_2")]


def without_parents(lines: Sequence[Line]) -> list[Line]:
    """The lines without parent uuids, as some writers leave them."""
    return copied(lines, parentUuid=...)


# A: one response in several lines


def lines_of_a(*, request: str | None = "", between: bool = False) -> list[Line]:
    """A prompt, a response of four blocks with their results, and a second response."""
    talk = Talk("A")
    talk.prompt()
    if between:
        # A tool result comes between the lines of an unfinished response. The lines have their own chain of parents.
        before = talk.respond("msg_A1", Tokens(), request=request, blocks=BLOCKS[:3])
        talk.result(call="toolu_1")
        talk.parent = before[-1]["uuid"]
        after = talk.respond("msg_A1", Tokens(), request=request, blocks=BLOCKS[3:])
        talk.result(call="toolu_2", parentUuid=after[-1]["uuid"])
    else:
        talk.respond("msg_A1", Tokens(), request=request, blocks=BLOCKS)
        talk.result(call="toolu_1")
        talk.result(call="toolu_2")
    talk.respond("msg_A2", Tokens(2, 50, 16_000, 0, 30), request=request)
    return talk.lines


TWO_OF_A = [Tokens(), Tokens(2, 50, 16_000, 0, 30)]
CASES_A = [
    Case("request id", [{of_session("A"): lines_of_a()}], TWO_OF_A),
    Case("no request id", [{of_session("A"): lines_of_a(request=None)}], TWO_OF_A),
    Case("no parents", [{of_session("A"): without_parents(lines_of_a())}], TWO_OF_A),
    Case("results between", [{of_session("A"): lines_of_a(between=True)}], TWO_OF_A),
    Case("results between, no request id", [{of_session("A"): lines_of_a(request=None, between=True)}], TWO_OF_A),
    *(
        Case(
            f"{cut} lines first, {'a request id' if request is not None else 'none'}",
            [{of_session("A"): lines[:cut]}, {of_session("A"): lines}],
            TWO_OF_A,
        )
        for request in ("", None)
        for lines in [lines_of_a(request=request)]
        for cut in (2, 4)
    ),
]


def test_a_lines_of_one_response_count_once(run: Run, home: Path, tmp_path: Path) -> None:
    """A response has one line for each block, each with the same usage. It is one execution."""
    check(CASES_A[0], run, home / "projects")
    check_variants(CASES_A, tmp_path)


# B: output grows from line to line


def lines_of_b(
    *, request: str | None = "", growing: Sequence[int] = (1, 40, 357), prompt_grows: bool = False
) -> list[Line]:
    """A response whose output grows with each line. The prompt tokens may be in the last line only."""
    talk = Talk("B")
    talk.prompt()
    each = [Tokens(3, output, 15_000, 0, 900) for output in growing]
    if prompt_grows:
        each[0] = Tokens(3, growing[0], 0, 0, 0)
    talk.respond("msg_B1", each, request=request, blocks=BLOCKS[: len(each)])
    talk.result()
    return talk.lines


LARGEST_OF_B = [Tokens(3, 357, 15_000, 0, 900)]
CASES_B = [
    Case("request id", [{of_session("B"): lines_of_b()}], LARGEST_OF_B),
    Case("no request id", [{of_session("B"): lines_of_b(request=None)}], LARGEST_OF_B),
    Case("largest first", [{of_session("B"): lines_of_b(growing=(357, 40, 1))}], LARGEST_OF_B),
    Case("largest between", [{of_session("B"): lines_of_b(growing=(2, 357, 2))}], LARGEST_OF_B),
    Case("prompt comes later", [{of_session("B"): lines_of_b(prompt_grows=True)}], LARGEST_OF_B),
    *(
        Case(
            f"grows after {cut} lines, {'a request id' if request is not None else 'none'}",
            [{of_session("B"): lines[:cut]}, {of_session("B"): lines}],
            LARGEST_OF_B,
        )
        for request in ("", None)
        for lines in [lines_of_b(request=request)]
        for cut in (2, 3)
    ),
    *(
        Case(name, [{of_session("B"): lines[:cut]} for cut in range(1, len(lines) + 1)], LARGEST_OF_B)
        for name, lines in (
            ("grows line by line", lines_of_b()),
            ("grows line by line, no request id", lines_of_b(request=None)),
            ("shrinks after a pass", lines_of_b(growing=(357, 1))),
        )
    ),
]


def test_b_a_response_counts_with_its_largest_usage(run: Run, home: Path, tmp_path: Path) -> None:
    """The largest usage counts, also if lines are added between ingests."""
    check(CASES_B[5], run, home / "projects")
    check_variants(CASES_B, tmp_path)


# C: a fork with the same message and request ids


def forked(
    letter: str, *, request: str | None, new_uuids: bool, same_session: bool = False
) -> tuple[Files, list[Tokens]]:
    """A session of two responses, and a copy that continues with one more."""
    original, fork = f"{letter}-original", f"{letter}-fork"
    talk = Talk(original)
    talk.prompt()
    talk.respond(f"msg_{letter}1", Tokens(), request=request, blocks=BLOCKS[:3])
    talk.result(call="toolu_1")
    talk.respond(f"msg_{letter}2", Tokens(2, 50, 16_000, 0, 30), request=request)
    changes: dict[str, Any] = {} if same_session else {"sessionId": fork}
    copy = Talk(fork, lines=copied(talk.lines, new_uuids=new_uuids, **changes), seconds=600)
    copy.parent = copy.lines[-1]["uuid"]
    copy.prompt("And now the brakes.")
    copy.respond(f"msg_{letter}3", Tokens(5, 77, 16_030, 12, 0), request=request)
    responses = [Tokens(), Tokens(2, 50, 16_000, 0, 30), Tokens(5, 77, 16_030, 12, 0)]
    return {of_session(original): talk.lines, of_session(fork): copy.lines}, responses


def orders_and_growth(name: str, files: Files, responses: Sequence[Tokens]) -> list[Case]:
    """All orders, and a copy that was half written at the first ingest."""
    (first, one), (second, other) = files.items()
    assert isinstance(other, list)
    growing = Case(f"{name}, copy grows", [{first: one}, {first: one, second: other[:3]}, files], responses)
    return [*orders(name, files, responses), growing]


CASES_C = [
    *orders_and_growth("new uuids", *forked("C", request="", new_uuids=True)),
    *orders("same uuids", *forked("C", request="", new_uuids=False)),
]


def test_c_a_fork_with_the_same_ids_counts_once(run: Run, home: Path, tmp_path: Path) -> None:
    """A fork copies the conversation into another session and keeps message and request ids."""
    check(CASES_C[3], run, home / "projects")
    check_variants(CASES_C, tmp_path)


# D and D': a fork without request ids

CASES_D = orders_and_growth("new uuids", *forked("D", request=None, new_uuids=True))


def test_d_a_fork_without_request_ids_counts_once(run: Run, home: Path, tmp_path: Path) -> None:
    """Behind a gateway there are no request ids. The copy has new uuids and a new session."""
    check(CASES_D[3], run, home / "projects")
    check_variants(CASES_D, tmp_path)


CASES_D_VERBATIM = [
    *orders_and_growth("new session", *forked("V", request=None, new_uuids=False)),
    *orders("same session", *forked("V", request=None, new_uuids=False, same_session=True)),
]


def test_d_verbatim_a_copy_with_its_uuids_counts_once(run: Run, home: Path, tmp_path: Path) -> None:
    """As before, but the copy keeps the uuids. Its lines have another session or the same one."""
    check(CASES_D_VERBATIM[3], run, home / "projects")
    check_variants(CASES_D_VERBATIM, tmp_path)


# E: a gateway that gives several sessions the same message id

GATEWAY = [Tokens(10, 100, 0, 0, 0), Tokens(12, 130, 20, 5, 0)]


def one_of_gateway(session: str, tokens: Tokens, *, at: float = 0, request: str | None = None) -> list[Line]:
    """A session behind the gateway with one response of two lines."""
    talk = Talk(session, seconds=at)
    talk.prompt(f"Something for {session}.")
    talk.respond(GATEWAY_ID, tokens, request=request, blocks=BLOCKS[1:3])
    return talk.lines


def cases_of_e(*, equal: bool, request: tuple[str | None, str | None] = (None, None)) -> list[Case]:
    """Two sessions with equal or different usage."""
    one, other = GATEWAY[0], GATEWAY[0] if equal else GATEWAY[1]
    name = f"{'equal' if equal else 'different'} usage, {'request ids' if request[0] else 'no request ids'}"
    files: Files = {
        of_session("E1"): one_of_gateway("E1", one, request=request[0]),
        of_session("E2"): one_of_gateway("E2", other, at=0 if not equal else 0.25, request=request[1]),
    }
    return orders(name, files, [one, other])


CASES_E = [
    *cases_of_e(equal=False),
    *cases_of_e(equal=True),
    *cases_of_e(equal=True, request=("req_E1", "req_E2"))[::3],
]


def test_e_responses_of_sessions_behind_one_message_id_count_each(run: Run, home: Path, tmp_path: Path) -> None:
    """The responses of different sessions have the same message id. Each is an execution."""
    check(CASES_E[0], run, home / "projects")
    check_variants(CASES_E, tmp_path)


# F: a gateway that gives all responses of a session the same message id


def lines_of_f(
    responses: Sequence[Tokens], *, requests: bool = False, parents: bool = True, tools: bool = False
) -> list[Line]:
    """A session in which all responses have the same message id."""
    talk = Talk("F", seconds=0.5)
    talk.prompt("The first question.")
    for number, tokens in enumerate(responses):
        talk.respond(
            GATEWAY_ID,
            tokens,
            request=f"req_F{number}" if requests else None,
            blocks=BLOCKS[1:3] if parents or requests else [text_block()],
        )
        if tools:
            talk.result()
        else:
            talk.prompt(f"Question {number + 2}.")
    return talk.lines if parents else without_parents(talk.lines)


DIFFERENT = [Tokens(10, 100, 0, 0, 0), Tokens(12, 130, 20, 5, 0), Tokens(12, 30, 25, 0, 7)]
EQUAL = [Tokens(10, 100, 0, 0, 0)] * 3


def gateway_in_agent(*, requests: bool) -> tuple[list[Line], list[Line], list[Tokens]]:
    """A session that starts a sub-agent, both behind the gateway."""
    talk = Talk("F")
    talk.prompt()
    talk.respond(
        GATEWAY_ID, DIFFERENT[0], request="req_F1" if requests else None, blocks=[task_block("Look", "Explore")]
    )
    agent = Talk("F", "af01", seconds=talk.seconds)
    agent.prompt("Look")
    theirs = [Tokens(9, 2, 0, 700, 0), Tokens(4, 3, 700, 60, 0)]
    for number, tokens in enumerate(theirs):
        agent.respond(GATEWAY_ID, tokens, request=f"req_FA{number}" if requests else None, blocks=[tool_block()])
        agent.result()
    talk.seconds = agent.seconds
    talk.result(call="toolu_01Task")
    talk.respond(GATEWAY_ID, DIFFERENT[1], request="req_F2" if requests else None)
    return talk.lines, agent.lines, [*DIFFERENT[:2], *theirs]


def cases_of_gateway_in_agent() -> list[Case]:
    """Ingested at once, or first while the sub-agent runs and the session has one response."""
    found = []
    for requests in (False, True):
        mine, theirs, responses = gateway_in_agent(requests=requests)
        name = f"sub-agent, {'request ids' if requests else 'no request ids'}"
        main, agent = of_session("F"), of_agent("F", "af01")
        found += [
            Case(f"{name}, one pass", [{main: mine, agent: theirs}], responses),
            Case(
                f"{name}, read while it runs",
                [{main: mine[:2], agent: theirs[:3]}, {main: mine, agent: theirs}],
                responses,
            ),
        ]
    return found


CASES_F = [
    Case("different usage", [{of_session("F"): lines_of_f(DIFFERENT)}], DIFFERENT),
    Case("equal usage", [{of_session("F"): lines_of_f(EQUAL)}], EQUAL),
    Case("equal usage, tools", [{of_session("F"): lines_of_f(EQUAL, tools=True)}], EQUAL),
    Case("equal usage, request ids", [{of_session("F"): lines_of_f(EQUAL, requests=True)}], EQUAL),
    Case("equal usage, no parents", [{of_session("F"): lines_of_f(EQUAL, parents=False)}], EQUAL),
    Case("different usage, no parents", [{of_session("F"): lines_of_f(DIFFERENT, parents=False)}], DIFFERENT),
    *(
        Case(
            f"{name}, grows",
            [{of_session("F"): lines[:cut]} for cut in (2, 3, 5, 10)],
            tokens,
        )
        for name, tokens in (("different", DIFFERENT), ("equal", EQUAL))
        for lines in [lines_of_f(tokens)]
    ),
    *cases_of_gateway_in_agent(),
]


def test_f_responses_of_a_session_behind_one_message_id_count_each(run: Run, home: Path, tmp_path: Path) -> None:
    """All responses of a session and of its sub-agents have the same message id. Each is an execution."""
    check(CASES_F[1], run, home / "projects")
    check_variants(CASES_F, tmp_path)


# G: a conversation replayed in a sub-agent


def replayed(*, to: str | None, other_usage: bool) -> tuple[list[Line], list[Line], list[Tokens]]:
    """A conversation, and its replay as a side chain with new request ids. In a file of its own, the side chain ends
    with a response of its own."""
    talk = Talk("G")
    talk.prompt()
    talk.respond("msg_G1", Tokens(), blocks=BLOCKS[1:3])
    talk.result()
    talk.respond("msg_G2", Tokens(2, 50, 16_000, 0, 30))
    changes: Line = {"isSidechain": True, "agentId": to if to else ...}
    replay = copied(talk.lines, new_uuids=True, **changes)
    for number, line in enumerate(replay):
        if line["type"] == "assistant":
            line["requestId"] = f"req_replay_{line['message']['id']}"
            if other_usage:
                line["message"] = line["message"] | {
                    "usage": line["message"]["usage"] | {"output_tokens": 1000 + number, "input_tokens": 4000}
                }
    responses = [Tokens(), Tokens(2, 50, 16_000, 0, 30)]
    if to:
        agent = Talk("G", to, seconds=900, lines=replay, parent=replay[-1]["uuid"])
        agent.prompt("Go on from here.")
        agent.respond("msg_G3", Tokens(1, 2, 16_030, 44, 0))
        responses.append(Tokens(1, 2, 16_030, 44, 0))
        replay = agent.lines
    return talk.lines, replay, responses


def cases_of_g() -> list[Case]:
    """The replay is in the same file or in a sub-agent's, before or after the original."""
    found = []
    for other in (False, True):
        name = "other usage" if other else "same usage"
        mine, replay, responses = replayed(to=None, other_usage=other)
        found += [
            Case(f"same file, {name}", [{of_session("G"): [*mine, *replay]}], responses),
            Case(f"same file, replay first, {name}", [{of_session("G"): [*replay, *mine]}], responses),
            Case(
                f"same file, later, {name}", [{of_session("G"): mine}, {of_session("G"): [*mine, *replay]}], responses
            ),
        ]
        mine, replay, responses = replayed(to="ag01", other_usage=other)
        files: Files = {of_session("G"): mine, of_agent("G", "ag01"): replay}
        found += [
            case for case in orders(f"sub-agent, {name}", files, responses) if "copy read before" not in case.name
        ]
    return found


CASES_G = cases_of_g()


def test_g_a_replay_in_a_side_chain_counts_once(run: Run, home: Path, tmp_path: Path) -> None:
    """A side chain repeats the main conversation with new request ids and sometimes another usage. The main
    conversation counts."""
    check(CASES_G[1], run, home / "projects")
    check_variants(CASES_G, tmp_path)


def test_g_a_replay_that_is_ingested_first_counts_once(run: Run, home: Path) -> None:
    """The original, ingested later, adds no execution."""
    mine, replay, responses = replayed(to="ag01", other_usage=True)
    folder = home / "projects"
    states: list[Files] = [{of_agent("G", "ag01"): replay}, {of_agent("G", "ag01"): replay, of_session("G"): mine}]
    for files in states:
        write(folder, files)
        assert run("ingest", folder, "--db", "metrics.db").returncode == 0
    summary = json.loads(run("analytics", "summary", "--json", "--db", "metrics.db").stdout)
    assert summary["total_executions"] == len(responses)


# H and I: files of sub-agents


def agents_of(letter: str, workflow: str | None) -> tuple[Files, list[Tokens]]:
    """A session with two sub-agents whose responses are never final."""
    session = f"{letter}-session"
    talk = Talk(session)
    talk.prompt()
    talk.respond(f"msg_{letter}1", Tokens(), blocks=[task_block("Look", "Explore")])
    files: Files = {of_session(session): talk.lines}
    responses = [Tokens()]
    for number in (1, 2):
        agent = Talk(session, f"a{letter.lower()}{number}", seconds=5 * number)
        agent.prompt("Look")
        agent.respond(f"msg_{letter}{number}1", Tokens(3, number, 0, 9000, 0), blocks=BLOCKS[:3])
        agent.result()
        agent.respond(f"msg_{letter}{number}2", Tokens(1, 5, 9000, 70, 0))
        responses += [Tokens(3, number, 0, 9000, 0), Tokens(1, 5, 9000, 70, 0)]
        files[of_agent(session, str(agent.agent_id), workflow)] = agent.lines
    return files, responses


def cases_of_agents(letter: str, workflow: str | None) -> list[Case]:
    """Ingested at once, sub-agents first, or while they grow."""
    files, responses = agents_of(letter, workflow)
    names = list(files)
    return [
        Case("one pass", [files], responses),
        Case("sub-agents read before", [{name: files[name] for name in names[1:]}, files], responses),
        Case("grows", [{name: lines[:cut] for name, lines in files.items()} for cut in (1, 2, 3, 4, 6)], responses),
    ]


CASES_H = cases_of_agents("H", None)
CASES_I = [*cases_of_agents("I", "wf_7"), *cases_of_agents("I", "wf_7/deeper")[:1]]


def test_h_files_of_sub_agents_are_read(run: Run, home: Path, tmp_path: Path) -> None:
    """`<session>/subagents/agent-<id>.jsonl`."""
    check(CASES_H[0], run, home / "projects")
    check_variants(CASES_H, tmp_path)


def test_i_files_of_sub_agents_of_workflows_are_read(run: Run, home: Path, tmp_path: Path) -> None:
    """`<session>/subagents/workflows/<run>/agent-<id>.jsonl`."""
    check(CASES_I[0], run, home / "projects")
    check_variants(CASES_I, tmp_path)


# J to M: lines that other tools reject


def plain(letter: str, change: Callable[[Line], Line] = lambda line: line) -> list[Line]:
    """A session of two responses with a change to each line."""
    talk = Talk(letter)
    talk.prompt()
    talk.respond(f"msg_{letter}1", Tokens(), blocks=BLOCKS)
    talk.result()
    talk.respond(f"msg_{letter}2", Tokens(2, 50, 16_000, 0, 30))
    return [change(line) for line in talk.lines]


def with_version(letter: str, version: Any) -> list[Line]:
    """A session whose lines have this version; `...` means none."""
    return plain(letter, lambda line: copied([line], version=version)[0])


def test_j_a_null_version_counts(run: Run, home: Path, tmp_path: Path) -> None:
    """Lines with `version: null` or without a version count like others."""
    check(Case("null", [{of_session("J"): with_version("J", None)}], TWO_OF_A), run, home / "projects")
    check_variants([Case("missing", [{of_session("J"): with_version("J", ...)}], TWO_OF_A)], tmp_path)


VERSIONS = ("gateway-build 7", "", "2.1", "v2.1.263-dirty+é", 2.1, {"major": 2})
CASES_K = [Case(repr(version), [{of_session("K"): with_version("K", version)}], TWO_OF_A) for version in VERSIONS]


def test_k_a_version_of_any_form_counts(run: Run, home: Path, tmp_path: Path) -> None:
    """A version need not be three numbers, or even text."""
    check(CASES_K[0], run, home / "projects")
    check_variants(CASES_K, tmp_path)


def with_ending(ending: str) -> Files:
    """A session whose timestamps have this fraction or offset."""
    return {of_session("L"): plain("L", lambda line: line | {"timestamp": f"{line['timestamp'][:-4]}{ending}"})}


ENDINGS = ("123456Z", "123456+00:00", "1Z", "123456789Z", "123456+02:00")
CASES_L = [Case(ending, [with_ending(ending)], TWO_OF_A) for ending in ENDINGS]


def test_l_timestamps_of_any_precision_count(run: Run, home: Path, tmp_path: Path) -> None:
    """Microseconds, other fractions and offsets work like milliseconds."""
    check(CASES_L[0], run, home / "projects")
    check_variants(CASES_L, tmp_path)


def test_m_json_with_spaces_counts(run: Run, home: Path, tmp_path: Path) -> None:
    """Spaces after colons and commas make no difference, even while the file grows."""
    lines = plain("M")
    parts: list[Files] = [{of_session("M"): jsonl(lines[:cut], spaces=True)} for cut in (3, None)]
    check(Case("M", parts[1:], TWO_OF_A), run, home / "projects")
    with_ends = jsonl(lines).replace(b"\n", b"\r\n")
    variants = [
        Case("grows", parts, TWO_OF_A),
        Case("CRLF", [{of_session("M"): with_ends}], TWO_OF_A),
        Case("a byte order mark", [{of_session("M"): b"\xef\xbb\xbf" + jsonl(lines)}], TWO_OF_A),
        Case("no newline at the end", [{of_session("M"): jsonl(lines, spaces=True)[:-1]}], TWO_OF_A),
        Case("blank lines", [{of_session("M"): jsonl(lines).replace(b"\n", b"\n \n\n")}], TWO_OF_A),
    ]
    check_variants(variants, tmp_path)


def test_all_cases_together(store: Store, tmp_path: Path) -> None:
    """Files of all cases are in one folder and ingested twice. No case affects another. On both engines."""
    cases = [CASES_A[1], CASES_B[5], CASES_C[2], CASES_D[3], CASES_D_VERBATIM[3], CASES_E[7], CASES_F[1]]
    cases += [CASES_G[3], CASES_H[1], CASES_I[1]]
    ingester, folder = Ingester(store, tmp_path / "rejected.jsonl"), tmp_path / "projects"
    for number in (0, 1, 1):
        for case in cases:
            write(folder, case.states[min(number, len(case.states) - 1)])
        assert ingester.ingest(folder).problems == []
    responses = [tokens for case in cases for tokens in case.responses]
    assert Counter(map(tokens_of, ingester.rows())) == Counter(responses)


def test_progress_of_a_sub_agent_in_its_parent_counts_once(run: Run, home: Path, tmp_path: Path) -> None:
    """Older versions also copied each line of a sub-agent into the file of its session as progress. It counts if the
    sub-agent has no file."""
    files, responses = agents_of("P", None)
    (session, mine), *theirs = files.items()
    assert isinstance(mine, list)
    progress = []
    for _, lines in theirs:
        assert isinstance(lines, list)
        for line in lines:
            inner = {name: line[name] for name in ("type", "message", "requestId", "uuid", "timestamp") if name in line}
            data = {"type": "agent_progress", "agentId": line["agentId"], "prompt": "Look", "message": inner}
            progress.append({**mine[0], "type": "progress", "uuid": f"p-{line['uuid']}", "data": data, "message": ...})
    parent = [*mine, *copied(progress, message=...)]
    check(Case("both", [{session: parent, **dict(theirs)}], responses), run, home / "projects")
    check_variants(
        [
            Case("in the parent only", [{session: parent}], responses),
            Case("the sub-agents later", [{session: parent}, {session: parent, **dict(theirs)}], responses),
            Case("the parent later", [dict(theirs), {session: parent, **dict(theirs)}], responses),
        ],
        tmp_path,
    )


@pytest.mark.parametrize("case", [CASES_B[5], CASES_C[0], CASES_F[0], CASES_G[0]], ids=["B", "C", "F", "G"])
def test_a_dry_run_counts_like_an_ingest(case: Case, run: Run, home: Path) -> None:
    """It stores nothing."""
    write(home / "projects", case.states[-1])
    preview = json.loads(run("ingest", home / "projects", "--dry-run", "--json").stdout)
    added = json.loads(run("ingest", home / "projects", "--json").stdout)["added"]
    assert (preview["added"], added) == (len(case.responses), len(case.responses))


def test_a_copy_of_a_whole_projects_folder_adds_nothing(run: Run, home: Path) -> None:
    """The copy is a backup or a mounted home folder. All its responses are known."""
    files, responses = forked("C", request=None, new_uuids=True)
    check(Case("original", [files], responses), run, home / "projects")
    write(home / "backup", files)
    done = run("ingest", home / "backup", "--json", "--db", "metrics.db")
    assert (json.loads(done.stdout)["added"], json.loads(done.stdout)["files"]) == (0, 2)


def test_equal_responses_at_different_times_count_each(run: Run, home: Path) -> None:
    """Behind the gateway, two responses with equal usage one millisecond apart are two executions."""
    files: Files = {
        of_session(f"E{number}"): [
            line | {"timestamp": moment(5 + number / 1000)} for line in one_of_gateway(f"E{number}", GATEWAY[0])
        ]
        for number in range(2)
    }
    check(Case("times", [files], [GATEWAY[0]] * 2), run, home / "projects")
