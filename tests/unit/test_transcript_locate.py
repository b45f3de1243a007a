"""Where transcripts are, in which order they are read, and what their paths say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from claude_force.executions.record import task_hash
from claude_force.ingest.find_files import found_file
from claude_force.ingest.transcripts.agent_types import AgentTypes
from claude_force.ingest.transcripts.context import context_of
from claude_force.ingest.transcripts.locate import agent_ids, find, roots, session_key
from tests.transcripts import AGENT, SESSION, Tokens, agent_file, jsonl, main_file, parent_of_agent, put, task_result

Problems = list[tuple[Path, str]]


@pytest.fixture
def problems() -> Problems:
    """What was said."""
    return []


def roots_of(home: Path, problems: Problems, **environment: str) -> list[Path]:
    """The folders of a user with this environment."""
    return roots(environment, home, lambda path, problem: problems.append((path, problem)))


def found_in(folder: Path, problems: Problems) -> list[str]:
    """The names of the transcripts in a folder, in their order."""
    files = find([folder], lambda path, problem: problems.append((path, problem)))
    return [str(file.path.relative_to(folder)) for file in files]


def test_both_places_of_claude_code_are_looked_into(home: Path, problems: Problems) -> None:
    """Those that there are; that there is none is no problem."""
    assert roots_of(home, problems) == []
    places = [home / ".claude" / "projects", home / ".config" / "claude" / "projects"]
    for place in places:
        place.mkdir(parents=True)
    assert roots_of(home, problems) == places
    assert roots_of(home, problems, XDG_CONFIG_HOME=str(home / "xdg")) == places[:1]
    assert problems == []


def test_the_variable_of_claude_code_names_others(home: Path, problems: Problems) -> None:
    """Several, with commas between them, with `projects` or without, from the home or not; one that is not there is
    said."""
    for name in ("a", "b"):
        (home / name / "projects").mkdir(parents=True)
    named = f" {home / 'a'} ,~/b/projects,{home / 'gone'},,"
    assert roots_of(home, problems, CLAUDE_CONFIG_DIR=named) == [home / "a" / "projects", home / "b" / "projects"]
    assert problems == [(home / "gone" / "projects", "not there, though CLAUDE_CONFIG_DIR names it")]


def test_the_sessions_of_claude_desktop_are_looked_into_on_every_system(home: Path, problems: Problems) -> None:
    """Beside those of Claude Code, whose variable does not move them; that there are none is no problem."""
    roaming = home / "AppData" / "Roaming"
    data = [home / "Library" / "Application Support", home / ".config", roaming]
    places = [folder / "Claude" / "local-agent-mode-sessions" for folder in data]
    for place in (*places, home / "a" / "projects"):
        place.mkdir(parents=True)
    assert roots_of(home, problems, APPDATA=str(roaming)) == places
    assert roots_of(home, problems) == places[:2]
    assert roots_of(home, problems, XDG_CONFIG_HOME=str(home / "xdg")) == places[:1]
    assert roots_of(home, problems, CLAUDE_CONFIG_DIR="~/a") == [home / "a" / "projects", *places[:2]]
    assert problems == []


DESKTOP = "local-agent-mode-sessions/account/organisation"
FILES_OF_DESKTOP = {
    f"{DESKTOP}/local_1/.claude/projects/-sessions-calm-fox/s.jsonl": True,
    f"{DESKTOP}/local_1/.claude/projects/-sessions-calm-fox/s/subagents/agent-a1.jsonl": True,
    f"{DESKTOP}/agent/local_ditto_2/.claude/projects/p/s.jsonl": True,
    f"{DESKTOP}/local_1/audit.jsonl": True,
    f"{DESKTOP}/local_1/.claude/history.jsonl": False,
    f"{DESKTOP}/local_1/.claude/plugins/p/data.jsonl": False,
    f"{DESKTOP}/local_1/uploads/data.jsonl": False,
    f"{DESKTOP}/local_1/outputs/.claude/projects/p/s.jsonl": False,
    f"{DESKTOP}/local_1/notes.jsonl": False,
    f"{DESKTOP}/local_1.json": False,
    "local_1/uploads/data.jsonl": True,
}


def test_files_of_the_user_in_a_session_of_claude_desktop_are_not_opened(tmp_path: Path, problems: Problems) -> None:
    """Only its transcripts and its audit log, wherever the folder is; another folder with such a name is any folder."""
    for name in FILES_OF_DESKTOP:
        put(tmp_path / name, b"{}\n")
    assert set(found_in(tmp_path, problems)) == {name for name, is_read in FILES_OF_DESKTOP.items() if is_read}
    assert set(found_in(tmp_path / DESKTOP / "local_1", problems)) == {
        name.removeprefix(f"{DESKTOP}/local_1/")
        for name, is_read in FILES_OF_DESKTOP.items()
        if is_read and name.startswith(f"{DESKTOP}/local_1/")
    }


def test_originals_come_before_copies_and_sessions_before_their_agents(tmp_path: Path, problems: Problems) -> None:
    """Sessions by the time of their oldest file; agents of the old layout last."""
    put(main_file(tmp_path, "young", "p"), b"", age=10)
    put(main_file(tmp_path, "old", "p"), b"", age=20)
    put(agent_file(tmp_path, "x", "touched").parent.parent.parent / "touched.jsonl", b"", age=1)
    put(agent_file(tmp_path, "x", "touched"), b"", age=30)
    put(tmp_path / "p" / "agent-beside.jsonl", b"", age=99)
    folder = "-home-ada-engine"
    assert found_in(tmp_path, problems) == [
        f"{folder}/touched.jsonl",
        f"{folder}/touched/subagents/agent-x.jsonl",
        "p/old.jsonl",
        "p/young.jsonl",
        "p/agent-beside.jsonl",
    ]


def test_only_transcripts_are_found_and_each_once(tmp_path: Path, problems: Problems) -> None:
    """Not other files, nor the journal of agents; a file behind a link is one file, and a loop is said."""
    put(main_file(tmp_path, "s", "p"), b"")
    for name in ("notes.txt", "s.jsonl.bak", "subagents/journal.jsonl"):
        put(tmp_path / "p" / name, b"")
    (tmp_path / "link").symlink_to(tmp_path / "p")
    (tmp_path / "p" / "loop").symlink_to(tmp_path)
    assert found_in(tmp_path, problems) == ["link/s.jsonl"]
    assert ["loop" in problem for _, problem in problems] == [True]


def test_what_cannot_be_looked_into_is_said(tmp_path: Path, problems: Problems) -> None:
    """A link to nothing, and what is no file."""
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.jsonl")
    put(tmp_path / "good.jsonl", b"")
    assert found_in(tmp_path, problems) == ["good.jsonl"]
    assert {path.name: problem for path, problem in problems} == {
        "gone.jsonl": "No such file or directory",
        "pipe.jsonl": "not a regular file",
    }


PATHS = {
    "/p/x/s.jsonl": ("/p/x/s", "s", None, None),
    "/p/x/s/subagents/agent-a1.jsonl": ("/p/x/s", "s", "a1", None),
    "/p/x/s/subagents/workflows/w9/agent-a1.jsonl": ("/p/x/s", "s", "a1", "w9"),
    "/p/subagents/x/s/subagents/agent-a1.jsonl": ("/p/subagents/x/s", "s", "a1", None),
    "/p/x/agent-a1.jsonl": ("/p/x/agent-a1", None, "a1", None),
}


@pytest.mark.parametrize("path", PATHS)
def test_what_a_path_says(path: str) -> None:
    """Session, sub-agent and workflow; beside the sessions, lines alone tell the session."""
    key, session, agent, workflow = PATHS[path]
    place = context_of(Path(path), AgentTypes(lambda _path, _problem: None))
    assert session_key(Path(path)) == key
    assert (place.session_id, place.agent_id, place.workflow_id) == (session, agent, workflow)


def test_the_agents_among_files(tmp_path: Path) -> None:
    """Those that have transcripts of their own."""
    files = [found_file(put(tmp_path / name, b"")) for name in ("agent-a1.jsonl", "agent-b.c.jsonl", "s.jsonl")]
    assert agent_ids(files) == {"a1", "b.c"}


def type_of(
    path: Path, agent_id: str | None, prompt: str, problems: Problems, session: str | None = SESSION
) -> str | None:
    """The type of a sub-agent by the path of a transcript."""
    agents = AgentTypes(lambda path, problem: problems.append((path, problem)))
    return context_of(path, agents).agent_type_of(agent_id, task_hash(prompt), session)


def test_a_type_is_in_the_file_beside(tmp_path: Path, problems: Problems) -> None:
    """Before anything that a transcript says; one that is broken is said, and then the call tells."""
    path = put(agent_file(tmp_path, AGENT), b"")
    put(main_file(tmp_path), parent_of_agent("Dig", "Explore").lines)
    meta = path.with_name(f"{path.stem}.meta.json")
    meta.write_text('{"agentType": "Plan", "other": 1}')
    assert type_of(path, AGENT, "Dig", problems) == "Plan"
    assert problems == []
    for broken in (b"{", b'{"agentType": 5}', b"\xff"):
        meta.write_bytes(broken)
        assert type_of(path, AGENT, "Dig", problems) == "Explore"
    assert len(problems) == 3


def test_a_type_is_in_the_call_of_the_session(tmp_path: Path, problems: Problems) -> None:
    """By the prompt, or by the id where its result is there; an agent may have started it; and nothing may tell."""
    ended = parent_of_agent("Dig", "Explore", result=task_result("a2", Tokens(), "Dig"))
    put(main_file(tmp_path), b"{bad\n" + jsonl(ended.lines))
    path = agent_file(tmp_path, AGENT)
    assert type_of(path, None, "Dig", problems) == "Explore"
    assert type_of(path, "a2", "something else", problems) == "Explore"
    assert type_of(main_file(tmp_path), None, "Dig", problems) == "Explore"
    assert type_of(path, "a3", "Think", problems) is None
    put(agent_file(tmp_path, "other"), parent_of_agent("Think", "Plan").lines)
    assert type_of(path, "a3", "Think", problems) == "Plan"


def test_beside_the_sessions_the_lines_name_the_session(tmp_path: Path, problems: Problems) -> None:
    """And what is no name of a file is none."""
    put(tmp_path / f"{SESSION}.jsonl", parent_of_agent("Dig", "Explore").lines)
    path = put(tmp_path / "agent-a1.jsonl", b"")
    assert type_of(path, "a1", "Dig", problems) == "Explore"
    for session in (None, "", "../other", "gone"):
        assert type_of(path, "a1", "Dig", problems, session) is None
