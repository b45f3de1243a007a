"""Find the transcripts of Claude Code.

| file below `projects/<folder>/`                        | what it is                       |
|--------------------------------------------------------|----------------------------------|
| `<session>.jsonl`                                      | a session: the main conversation |
| `<session>/subagents/agent-<id>.jsonl`                 | a sub-agent of it                |
| `<session>/subagents/workflows/<run>/agent-<id>.jsonl` | a sub-agent of a workflow        |
| `agent-<id>.jsonl`                                     | a sub-agent, by older versions   |
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from claude_force.ingest.find_files import FoundFile, OnProblem, find_files
from claude_force.ingest.transcripts.agent_types import AgentTypes
from claude_force.ingest.transcripts.responses import TranscriptContext

_AGENT = re.compile(r"agent-(.+)")
_NAME = re.compile(r"[\w.-]{1,100}")
_NOT_TRANSCRIPTS = ("journal.jsonl",)
"""Files below `subagents` without a conversation."""


def roots(environment: Mapping[str, str], home: Path, on_problem: OnProblem) -> list[Path]:
    """The `projects` folders of this user: those in CLAUDE_CONFIG_DIR (separated by commas), else the two defaults of
    Claude Code. A missing folder is a problem only if CLAUDE_CONFIG_DIR names it."""
    named = [part.strip() for part in environment.get("CLAUDE_CONFIG_DIR", "").split(",") if part.strip()]
    if named:
        folders = [Path(os.path.expanduser(part)) for part in named]  # noqa: PTH111  (Path.expanduser raises for an unknown user)
        folders = [folder if folder.name == "projects" else folder / "projects" for folder in folders]
        for folder in folders:
            if not folder.is_dir():
                on_problem(folder, "not there, though CLAUDE_CONFIG_DIR names it")
    else:
        config = environment.get("XDG_CONFIG_HOME") or str(home / ".config")
        folders = [home / ".claude" / "projects", Path(config) / "claude" / "projects"]
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112  (Path.is_dir raises for some paths)


def find(folders: Iterable[Path], on_problem: OnProblem) -> list[FoundFile]:
    """The transcripts in some folders, or at some paths, in the order in which to read them.

    Sessions come by the time of their oldest file, so an original comes before its copies; within a session, the main
    conversation comes before its sub-agents. Sub-agents by older versions come last: only their lines name the session.
    """
    found = find_files(folders, _is_transcript, on_problem)
    oldest: dict[str, int] = {}
    for file in found:
        key = session_key(file.path)
        oldest[key] = min(file.mtime_ns, oldest.get(key, file.mtime_ns))

    def reading_order(file: FoundFile) -> tuple[bool, int, str, bool, str]:
        key, is_agent = session_key(file.path), _is_agent(file)
        return is_agent and "subagents" not in file.path.parts, oldest[key], key, is_agent, file.name

    return sorted(found, key=reading_order)


def _is_transcript(name: str) -> bool:
    return name.endswith(".jsonl") and name not in _NOT_TRANSCRIPTS


def agent_ids(files: Iterable[FoundFile]) -> set[str]:
    """The ids of the sub-agents whose own transcripts are among some files."""
    return {match[1] for file in files if (match := _AGENT.fullmatch(file.path.stem))}


def _is_agent(file: FoundFile) -> bool:
    return _AGENT.fullmatch(file.path.stem) is not None


def session_key(path: Path) -> str:
    """What all files of a session have in common: the path of its main conversation, without the suffix."""
    parts = path.parts
    if "subagents" in parts:
        return os.path.join(*parts[: len(parts) - 1 - parts[::-1].index("subagents")])  # noqa: PTH118
    return os.fspath(path.with_suffix(""))


def context_of(path: Path, agent_types: AgentTypes) -> TranscriptContext:
    """What the path of a transcript says about it."""
    agent = _AGENT.fullmatch(path.stem)
    if agent is None:
        return TranscriptContext(
            session_id=path.stem,
            agent_type_of=lambda agent_id, prompt, _session: agent_types.of_session(path, agent_id, prompt),
        )
    if "subagents" not in path.parts:
        # Its lines name the session, whose file is in the same folder.
        return TranscriptContext(
            agent_id=agent[1],
            agent_type_of=lambda agent_id, prompt, session_id: agent_types.of_file(
                path, _beside(path, session_id), agent_id, prompt
            ),
        )
    session = session_key(path)
    session_file = Path(f"{session}.jsonl")
    below = path.parts[len(Path(session).parts) + 1 : -1]
    return TranscriptContext(
        session_id=Path(session).name,
        agent_id=agent[1],
        workflow_id=below[1] if len(below) >= 2 and below[0] == "workflows" else None,
        agent_type_of=lambda agent_id, prompt, _session: agent_types.of_file(path, session_file, agent_id, prompt),
    )


def _beside(path: Path, session_id: str | None) -> Path | None:
    """The file of a session in the same folder; None if the id cannot be a file name."""
    return path.with_name(f"{session_id}.jsonl") if session_id and _NAME.fullmatch(session_id) else None
