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

AGENT = re.compile(r"agent-(.+)")
"""The name of a sub-agent's file, without the suffix."""

_SUBAGENTS = f"{os.sep}subagents{os.sep}"
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
    """The transcripts in some folders, or at some paths, in the order in which to read them: see `in_reading_order`."""
    return in_reading_order(find_unsorted(folders, on_problem))


def find_unsorted(folders: Iterable[Path], on_problem: OnProblem) -> list[FoundFile]:
    """`find`, for who only looks whether there is something new."""
    return find_files(folders, _is_transcript, on_problem, is_entered)


def in_reading_order(found: Iterable[FoundFile]) -> list[FoundFile]:
    """Sessions come by the time of their oldest file, so an original comes before its copies; within a session, the
    main conversation comes before its sub-agents. Sub-agents by older versions come last: only their lines name the
    session."""
    keyed = [(session_key(file.location), file) for file in found]
    oldest: dict[str, int] = {}
    for key, file in keyed:
        oldest[key] = min(file.mtime_ns, oldest.get(key, file.mtime_ns))

    def reading_order(item: tuple[str, FoundFile]) -> tuple[bool, int, str, bool, str]:
        key, file = item
        is_agent = _agent_id(file) is not None
        return is_agent and _SUBAGENTS not in file.location, oldest[key], key, is_agent, file.name

    return [file for _, file in sorted(keyed, key=reading_order)]


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
    return {agent_id for file in files if (agent_id := _agent_id(file))}


def _agent_id(file: FoundFile) -> str | None:
    """The id of the sub-agent whose transcript this is; None if it is a main conversation."""
    stem = os.path.splitext(file.location.rpartition(os.sep)[2])[0]  # noqa: PTH122  (a Path takes four times as long)
    match = AGENT.fullmatch(stem)
    return match[1] if match else None


def session_key(path: Path | str) -> str:
    """What all files of a session have in common: the path of its main conversation, without the suffix."""
    location = os.fspath(path)
    session, is_within, _ = location.rpartition(_SUBAGENTS)
    return session if is_within else os.path.splitext(location)[0]  # noqa: PTH122
