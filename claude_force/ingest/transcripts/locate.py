"""Find the transcripts of Claude Code and of Claude Desktop.

| file below `projects/<folder>/`                        | what it is                       |
|--------------------------------------------------------|----------------------------------|
| `<session>.jsonl`                                      | a session: the main conversation |
| `<session>/subagents/agent-<id>.jsonl`                 | a sub-agent of it                |
| `<session>/subagents/workflows/<run>/agent-<id>.jsonl` | a sub-agent of a workflow        |
| `agent-<id>.jsonl`                                     | a sub-agent, by older versions   |

Claude Desktop (Cowork, local agent mode) has a folder for each of its sessions, with a `.claude/projects` of its own:
`local-agent-mode-sessions/<account>/<organisation>/local_<id>/.claude/projects/`. Beside it are an audit log of the
same responses, and files of the user (uploads, outputs), which may be anything and are never opened.
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

STATISTICS_FILE = "stats-cache.json"

AUDIT_LOG = "audit.jsonl"
"""Claude Desktop's copy of a session: the same responses, with the usage at which each began."""

_DESKTOP, _DESKTOP_SESSION = "local-agent-mode-sessions", "local_"
_DESKTOP_TRANSCRIPTS = (".claude", "projects")


def roots(environment: Mapping[str, str], home: Path, on_problem: OnProblem) -> list[Path]:
    """The folders with transcripts of this user: the `projects` folders in CLAUDE_CONFIG_DIR (separated by commas),
    else the two defaults of Claude Code; and the sessions of Claude Desktop, which does not know that variable. A
    missing folder is a problem only if CLAUDE_CONFIG_DIR names it."""
    named = [part.strip() for part in environment.get("CLAUDE_CONFIG_DIR", "").split(",") if part.strip()]
    if named:
        folders = [Path(os.path.expanduser(part)) for part in named]  # noqa: PTH111  (Path.expanduser raises for an unknown user)
        folders = [folder if folder.name == "projects" else folder / "projects" for folder in folders]
        for folder in folders:
            if not folder.is_dir():
                on_problem(folder, "not there, though CLAUDE_CONFIG_DIR names it")
    else:
        folders = [home / ".claude" / "projects", _user_config(environment, home) / "claude" / "projects"]
    folders += [folder / _DESKTOP for folder in _desktop_folders(environment, home)]
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112  (Path.is_dir raises for some paths)


def statistics_files(folders: Iterable[Path]) -> list[Path]:
    """Where Claude Code keeps its statistics: beside each of some `projects` folders."""
    return [folder.with_name(STATISTICS_FILE) for folder in folders if folder.name == "projects"]


def _desktop_folders(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Where Claude Desktop keeps its data, on macOS, Linux and Windows."""
    folders = [home / "Library" / "Application Support" / "Claude", _user_config(environment, home) / "Claude"]
    roaming = environment.get("APPDATA")
    return [*folders, Path(roaming) / "Claude"] if roaming else folders


def _user_config(environment: Mapping[str, str], home: Path) -> Path:
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config")


def find(folders: Iterable[Path], on_problem: OnProblem) -> list[FoundFile]:
    """The transcripts in some folders, or at some paths, in the order in which to read them.

    Sessions come by the time of their oldest file, so an original comes before its copies; within a session, the main
    conversation comes before its sub-agents. Sub-agents by older versions come last: only their lines name the session.
    """
    found = find_files(folders, _is_transcript, on_problem, is_entered)
    oldest: dict[str, int] = {}
    for file in found:
        key = session_key(file.path)
        oldest[key] = min(file.mtime_ns, oldest.get(key, file.mtime_ns))

    def reading_order(file: FoundFile) -> tuple[bool, int, str, bool, str]:
        key, is_agent = session_key(file.path), _is_agent(file)
        return is_agent and "subagents" not in file.path.parts, oldest[key], key, is_agent, file.name

    return sorted(found, key=reading_order)


def _is_transcript(folder: Path, name: str) -> bool:
    if not name.endswith(".jsonl") or name in _NOT_TRANSCRIPTS:
        return False
    within = _within_desktop_session(folder)
    return within is None or name == AUDIT_LOG or within[:2] == _DESKTOP_TRANSCRIPTS


def is_entered(folder: Path, name: str) -> bool:
    """Whether a search looks into this folder: of a session of Claude Desktop, only where its transcripts are."""
    within = _within_desktop_session(folder)
    return within is None or len(within) >= 2 or name == _DESKTOP_TRANSCRIPTS[len(within)]


def _within_desktop_session(folder: Path) -> tuple[str, ...] | None:
    """The folders that lead from a session of Claude Desktop to this one; None if it is in no such session."""
    parts = folder.parts
    if _DESKTOP not in parts:
        return None
    below = parts[parts.index(_DESKTOP) + 1 :]
    session = next((index for index, part in enumerate(below) if part.startswith(_DESKTOP_SESSION)), None)
    return None if session is None else below[session + 1 :]


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
    if path.name == AUDIT_LOG:
        return TranscriptContext(is_audit_log=True)
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
