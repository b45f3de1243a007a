"""Where Claude Code's transcripts are, and which there are.

A session is `projects/<folder>/<session>.jsonl`; its sub-agents stand below `<session>/subagents/`, those of a workflow
in `workflows/<run>/` there. Older versions put `agent-<id>.jsonl` beside the sessions. What cannot be looked into is
said, and the rest is found; links are followed, and nothing is found twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from claude_force.ingest.find_files import Say, find_files
from claude_force.ingest.tail import FoundFile
from claude_force.ingest.transcripts.agent_types import Agents
from claude_force.ingest.transcripts.responses import TranscriptContext

_AGENT = re.compile(r"agent-(.+)")
_NAME = re.compile(r"[\w.-]{1,100}")
_OTHERS = ("journal.jsonl",)
"""Files below `subagents` that hold no conversation."""


def roots(environment: Mapping[str, str], home: Path, say: Say) -> list[Path]:
    """The `projects` folders of this user: those of CLAUDE_CONFIG_DIR (several, with commas between them), else both
    places that Claude Code uses by itself. A folder that the variable names and that is not there is said."""
    named = [part.strip() for part in environment.get("CLAUDE_CONFIG_DIR", "").split(",") if part.strip()]
    if named:
        folders = [Path(os.path.expanduser(part)) for part in named]  # noqa: PTH111  (which raises for some users)
        folders = [folder if folder.name == "projects" else folder / "projects" for folder in folders]
        for folder in folders:
            if not folder.is_dir():
                say(folder, "not there, though CLAUDE_CONFIG_DIR names it")
    else:
        config = environment.get("XDG_CONFIG_HOME") or str(home / ".config")
        folders = [home / ".claude" / "projects", Path(config) / "claude" / "projects"]
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112  (which raises for some folders)


def find(folders: Iterable[Path], say: Say) -> list[FoundFile]:
    """Every transcript in some folders (or the files themselves), in the order in which to read them: sessions by the
    time of their oldest file, so that an original comes before its copies, and in each the main conversation before its
    sub-agents. Of sub-agents that stand beside the sessions only their lines tell whose they are, so they come last."""
    found = find_files(folders, _is_transcript, say)
    oldest: dict[str, int] = {}
    for file in found:
        key = session_key(file.path)
        oldest[key] = min(file.mtime_ns, oldest.get(key, file.mtime_ns))

    def place(file: FoundFile) -> tuple[bool, int, str, bool, str]:
        key, is_agents = session_key(file.path), _is_agents(file)
        return is_agents and "subagents" not in file.path.parts, oldest[key], key, is_agents, file.name

    return sorted(found, key=place)


def _is_transcript(name: str) -> bool:
    return name.endswith(".jsonl") and name not in _OTHERS


def agent_ids(files: Iterable[FoundFile]) -> set[str]:
    """The sub-agents whose own transcripts are among some files."""
    return {match[1] for file in files if (match := _AGENT.fullmatch(file.path.stem))}


def _is_agents(file: FoundFile) -> bool:
    return _AGENT.fullmatch(file.path.stem) is not None


def session_key(path: Path) -> str:
    """What the files of one session have in common: the path of its own, without the suffix."""
    parts = path.parts
    if "subagents" in parts:
        return os.path.join(*parts[: len(parts) - 1 - parts[::-1].index("subagents")])  # noqa: PTH118
    return os.fspath(path.with_suffix(""))


def place_of(path: Path, agents: Agents) -> TranscriptContext:
    """What the path of a transcript says of what is in it."""
    named = _AGENT.fullmatch(path.stem)
    if named is None:
        return TranscriptContext(
            path.stem, agent_of=lambda agent_id, prompt, _session: agents.of_session(path, agent_id, prompt)
        )
    session = session_key(path)
    if "subagents" not in path.parts:
        # Its lines name the session, whose file stands beside.
        return TranscriptContext(
            None,
            named[1],
            None,
            lambda agent_id, prompt, session_id: agents.of_file(path, _beside(path, session_id), agent_id, prompt),
        )
    session_file = Path(f"{session}.jsonl")
    below = path.parts[len(Path(session).parts) + 1 : -1]
    workflow = below[1] if len(below) >= 2 and below[0] == "workflows" else None
    return TranscriptContext(
        Path(session).name,
        named[1],
        workflow,
        lambda agent_id, prompt, _session: agents.of_file(path, session_file, agent_id, prompt),
    )


def _beside(path: Path, session_id: str | None) -> Path | None:
    """The file of a session beside another one; None for what is no name of a file."""
    return path.with_name(f"{session_id}.jsonl") if session_id and _NAME.fullmatch(session_id) else None
