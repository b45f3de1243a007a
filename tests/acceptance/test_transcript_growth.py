"""Transcripts that grow, and usage that was never final."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.record import PROVISIONAL
from tests.conftest import Run
from tests.transcripts import (
    AGENT,
    SESSION,
    Ingester,
    Line,
    Rows,
    Talk,
    Tokens,
    agent_file,
    agent_talk,
    copied,
    exported,
    ingested,
    jsonl,
    main_file,
    moment,
    notification,
    parent_of_agent,
    put,
    task_block,
    task_result,
    text_block,
    thinking_block,
    tokens_of,
    tool_block,
)


def sample(*, request: str | None) -> tuple[Talk, Talk]:
    """A session and its sub-agent with every kind of line, small enough to be split at every byte."""
    talk = Talk()
    talk.prompt("Bitte die Ventile prüfen → ✓.")
    talk.respond(
        "msg_1",
        [Tokens(3, 1, 9, 0, 4), Tokens(3, 1, 9, 0, 4), Tokens(3, 99, 9, 0, 4)],
        request=request,
        blocks=[thinking_block(), text_block("größer\u2028naïve"), task_block("Look", "Plan")],
    )
    talk.result("All is well.", task_result(AGENT, Tokens(1, 77, 90, 7, 0), "Look"), call="toolu_01Task")
    talk.respond("msg_2", Tokens(2, 50, 13, 0, 3), request=request)
    talk.fail("API Error: 529 Overloaded")
    talk.prompt("And the brakes?")
    talk.respond("msg_3", Tokens(2, 8, 16, 5, 3), request=request)
    agent = Talk(agent_id=AGENT, seconds=4.5)
    agent.prompt("Look")
    agent.seconds -= 0.8
    agent.respond("msg_S1", Tokens(3, 2, 0, 90, 0), request=request, blocks=[tool_block()], attributionAgent=...)
    agent.seconds -= 0.8
    agent.result()
    agent.seconds -= 0.8
    agent.respond("msg_S2", Tokens(1, 5, 90, 7, 0), request=request, attributionAgent=...)
    return talk, agent


def comparable(rows: Rows) -> Rows:
    """The rows in an order that does not depend on when they were stored."""
    return sorted(rows, key=lambda row: str(row["uid"]))


def grown(ingester: Ingester, folder: Path, parts: Sequence[tuple[Path, bytes]]) -> Rows:
    """The rows after each part was appended and ingested."""
    for path, part in parts:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(part)
        assert ingester.ingest(folder).problems == []
    return comparable(ingester.rows())


@pytest.mark.parametrize("request_id", ["", None], ids=["request ids", "no request ids"])
def test_a_session_ingested_in_parts_gives_the_same_rows(request_id: str | None, tmp_path: Path) -> None:
    """Split in two at any byte, or ingested after every few bytes: the executions equal those of one ingest."""
    talk, agent = sample(request=request_id)
    main, theirs = main_file(Path(), SESSION), agent_file(Path(), AGENT)

    def rows_of(name: str, parts: Callable[[Path], Sequence[tuple[Path, bytes]]]) -> Rows:
        folder = tmp_path / name
        folder.mkdir()
        database = open_database(str(folder / "metrics.db"))
        try:
            return grown(Ingester(Store(database), folder / "rejected.jsonl"), folder, parts(folder / "projects"))
        finally:
            database.close()

    data = talk.data()
    whole = rows_of("whole", lambda root: [(root / theirs, agent.data()), (root / main, data)])
    assert len(whole) == 6
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    cuts = sorted({place + shift for place in ends for shift in (-1, 0, 1, 37)} & set(range(1, len(data))))
    for cut in cuts:
        found = rows_of(
            f"at-{cut}",
            lambda root, cut=cut: [  # type: ignore[misc]
                (root / theirs, agent.data()),
                (root / main, data[:cut]),
                (root / main, data[cut:]),
            ],
        )
        assert found == whole, f"cut at {cut}"
    for step in (211, 397):
        found = rows_of(
            f"every-{step}",
            lambda root, step=step: [  # type: ignore[misc]
                (root / theirs, agent.data()),
                *((root / main, data[place : place + step]) for place in range(0, len(data), step)),
            ],
        )
        assert found == whole, f"every {step} bytes"


@pytest.mark.parametrize("request_id", ["", None], ids=["request ids", "no request ids"])
def test_a_sub_agent_ingested_in_parts_gives_the_same_rows(
    request_id: str | None, ingester: Ingester, tmp_path: Path
) -> None:
    """In steps of many sizes, with many sessions in one database. On both engines."""
    whole: dict[str, list[Tokens]] = {}
    for step in (61, 127, 450, 1000, 10**6):
        session = f"session-{step}"
        talk, agent = sample(request=None if request_id is None else f"req_{step}_")
        files = [
            (main_file(tmp_path, session), jsonl(with_ids(talk.lines, session))),
            (agent_file(tmp_path, AGENT, session), jsonl(with_ids(agent.lines, session))),
        ]
        for path, data in files:
            grown(ingester, path.parent, [(path, data[at : at + step]) for at in range(0, len(data), step)])
    for row in ingester.rows():
        whole.setdefault(row["workflow_id"], []).append(tokens_of(row))
    assert len(whole) == 5
    assert len({tuple(sorted(tokens)) for tokens in whole.values()}) == 1
    assert {len(tokens) for tokens in whole.values()} == {6}


def with_ids(lines: Sequence[Line], session: str) -> list[Line]:
    """The lines as another session: with other ids and at another time."""
    found = copied(lines, new_uuids=True, sessionId=session)
    for line in found:
        if line["type"] == "assistant":
            line["message"] = line["message"] | {"id": f"{line['message']['id']}_{session}"}
            if "requestId" in line:
                line["requestId"] += line["message"]["id"]
    return found


def test_an_ingest_without_new_lines_changes_nothing(run: Run, projects: Path) -> None:
    """It says so, and the executions are the same."""
    talk, agent = sample(request="")
    put(main_file(projects), talk.lines)
    put(agent_file(projects, AGENT), agent.lines)
    first = ingested(run)
    before = exported(run)
    again = ingested(run)
    assert (first["files"], first["unchanged"], again["files"], again["unchanged"]) == (2, 0, 2, 2)
    assert (again["lines"], again["added"], again["changed"]) == (0, 0, 0)
    assert exported(run) == before


def provisional_agent(
    projects: Path, *, result: Line | None = None, add_report: Callable[[Talk], Any] | None = None
) -> None:
    """A session and a sub-agent whose lines report two and five output tokens."""
    talk = parent_of_agent("Look at the valves.", "Explore", result=result)
    talk.seconds = 60
    if add_report is not None:
        add_report(talk)
    talk.respond("msg_P2", Tokens(2, 50, 16_000, 0, 30))
    put(main_file(projects), talk.lines)
    put(agent_file(projects, AGENT), agent_talk(attribution="Explore").lines)


def bases(rows: Rows) -> list[tuple[str, int, str | None]]:
    """Agent, output tokens and their basis, in order of time."""
    return [(row["agent_name"], row["output_tokens"], row["usage_basis"]) for row in rows]


def test_reports_count_usage_that_was_never_final(run: Run, projects: Path) -> None:
    """Every report says how many executions are not final, and that output tokens and cost are lower bounds."""
    provisional_agent(projects)
    ingested(run)
    assert bases(exported(run)) == [
        ("main", 120, None),
        ("Explore", 2, PROVISIONAL),
        ("Explore", 5, PROVISIONAL),
        ("main", 50, None),
    ]
    summary = json.loads(run("analytics", "summary", "--json").stdout)
    assert summary["provisional_executions"] == 2
    assert {agent["agent"]: agent["provisional_executions"] for agent in summary["agents"]} == {"main": 0, "Explore": 2}
    for report in ("summary", "costs", "by-agent", "by-model", "by-project", "by-workflow"):
        output = " ".join(run("analytics", report).stdout.split())
        assert "2 executions were never finalised: their output tokens and cost may be higher" in " ".join(
            output.split()
        ), report


FINAL = Tokens(1, 812, 9000, 70, 0)
"""The actual usage of the sub-agent's last response."""


def by_result(talk: Talk, **changes: Any) -> None:
    talk.result("All is well.", task_result(AGENT, FINAL, "Look at the valves.", **changes), call="toolu_01Task")


def by_queue(element: str) -> Callable[[Talk], None]:
    def add_report(talk: Talk) -> None:
        fields = {"operation": "enqueue", "content": notification(AGENT, sum(FINAL), element=element)}
        talk.lines.append(
            {"type": "queue-operation", "timestamp": moment(talk.seconds), "sessionId": SESSION, **fields}
        )

    return add_report


def by_user_line(element: str) -> Callable[[Talk], None]:
    def add_report(talk: Talk) -> None:
        talk.prompt(notification(AGENT, sum(FINAL), element=element), origin={"kind": "task-notification"})

    return add_report


FINAL_SOURCES: dict[str, tuple[Callable[[Talk], None], str]] = {
    "the result of the task": (by_result, "task_result"),
    "a queue operation": (by_queue("total_tokens"), "task_notification"),
    "a queue operation, older": (by_queue("subagent_tokens"), "task_notification"),
    "a line of the user": (by_user_line("total_tokens"), "task_notification"),
    "a line of the user, older": (by_user_line("subagent_tokens"), "task_notification"),
}


@pytest.mark.parametrize(("add_report", "basis"), FINAL_SOURCES.values(), ids=FINAL_SOURCES)
@pytest.mark.parametrize("order", ["at once", "the report later", "the report before"])
def test_final_usage_from_another_record_is_used(
    add_report: Callable[[Talk], None], basis: str, order: str, sqlite_ingester: Ingester, tmp_path: Path
) -> None:
    """Another record reports the usage of the last response of a sub-agent's run. It is stored with its source.
    Responses without such a record stay not final."""
    projects, hidden = tmp_path / "projects", tmp_path / "hidden"
    provisional_agent(projects, add_report=add_report)
    held = {"at once": None, "the report later": main_file(projects), "the report before": agent_file(projects, AGENT)}
    path = held[order]
    if path is not None:
        shutil.move(path, hidden)
        sqlite_ingester.ingest(projects)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(hidden, path)
    assert sqlite_ingester.ingest(projects).problems == []
    sqlite_ingester.ingest(projects)
    found = [item for item in bases(sqlite_ingester.rows()) if item[0] != "main"]
    assert found == [("Explore", 2, PROVISIONAL), ("Explore", 812, basis)]


def test_final_usage_changes_cost_and_report(run: Run, projects: Path) -> None:
    """With the installed program: the cost is renewed, and reports count one execution less that is not final."""
    provisional_agent(projects, add_report=by_result)
    ingested(run)
    rows = exported(run)
    assert bases(rows)[2] == ("Explore", 812, "task_result")
    rates = [row["estimated_cost"] for row in rows]
    assert rates[2] == pytest.approx((1 * 3 + 812 * 15 + 9000 * 0.3 + 70 * 3.75) / 1e6)
    assert json.loads(run("analytics", "summary", "--json").stdout)["provisional_executions"] == 1
    assert "1 execution was never finalised" in " ".join(run("analytics", "summary").stdout.split())


def test_the_result_of_another_response_is_ignored(sqlite_ingester: Ingester, tmp_path: Path) -> None:
    """The prompt tokens of the result differ from those of the last response."""
    provisional_agent(tmp_path, add_report=lambda talk: by_result(talk, usage={"cache_read_input_tokens": 1}))
    sqlite_ingester.ingest(tmp_path)
    assert [item[1:] for item in bases(sqlite_ingester.rows()) if item[0] != "main"] == [
        (2, PROVISIONAL),
        (5, PROVISIONAL),
    ]


def test_final_usage_of_a_sub_agent_is_kept(sqlite_ingester: Ingester, tmp_path: Path) -> None:
    """Newer versions end a response with a stop reason. A report does not change such a response."""
    agent = agent_talk(attribution="Explore")
    for line in agent.lines:
        if line["type"] == "assistant":
            line["message"] = line["message"] | {"stop_reason": "end_turn"}
    provisional_agent(tmp_path, add_report=by_result)
    put(agent_file(tmp_path, AGENT), agent.lines)
    sqlite_ingester.ingest(tmp_path)
    assert [item[1:] for item in bases(sqlite_ingester.rows()) if item[0] != "main"] == [(2, None), (5, None)]


def test_a_response_becomes_final_with_its_last_line(ingester: Ingester, tmp_path: Path) -> None:
    """A response ingested while it was written is not final until the line with its stop reason."""
    talk = Talk()
    talk.prompt()
    blocks = [thinking_block(), text_block(), text_block()]
    lines = talk.respond(
        "msg_1", [Tokens(3, 1, 9, 0, 4), Tokens(3, 4, 9, 0, 4), Tokens(3, 320, 9, 0, 4)], blocks=blocks
    )
    for line in lines[:2]:
        line["message"]["stop_reason"] = None
    path = main_file(tmp_path)
    put(path, talk.lines[:3])
    ingester.ingest(tmp_path)
    assert bases(ingester.rows()) == [("main", 4, PROVISIONAL)]
    put(path, talk.lines)
    ingester.ingest(tmp_path)
    assert bases(ingester.rows()) == [("main", 320, None)]
