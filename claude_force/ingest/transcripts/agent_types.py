"""Look up what the transcript of a sub-agent does not have: its type, and the sub-agent that started it.

1. `agent-<id>.meta.json` beside its transcript.
2. The call of the Task tool that started it, in the transcript of its session, or of another sub-agent of the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from claude_force.executions.jsonl.lines import READ_ERRORS, read_chunks
from claude_force.executions.record import task_hash
from claude_force.ingest.find_files import OnProblem, find_files, found_file
from claude_force.ingest.transcripts.entries import blocks_of, entries_on, task_calls_of, task_result_of

_META_LIMIT_BYTES = 1024 * 1024
_CHUNK_LINES = 1000
_CALL, _RESULT, _AGENT_ID = b'"subagent_type"', b'"toolUseResult"', b'"agentId"'


class _Meta(msgspec.Struct, rename="camel"):
    """`agent-<id>.meta.json`. `parent_agent_id` is None where the main conversation started the sub-agent."""

    agent_type: str | None = None
    parent_agent_id: Any = None


_NO_META = _Meta()


class AgentTypes:
    """Looks up types of sub-agents and reads each session once. `on_problem` is called for unusable meta files."""

    def __init__(self, on_problem: OnProblem) -> None:
        self._on_problem = on_problem
        self._calls: dict[Path, dict[str, str]] = {}
        self._latest: tuple[Path | None, _Meta] = None, _NO_META

    def of_file(
        self, transcript: Path, session_file: Path | None, agent_id: str | None, prompt: str | None
    ) -> str | None:
        """The type of the sub-agent that a transcript is of; None if it is not recorded."""
        return self._meta_of(transcript).agent_type or self.of_session(session_file, agent_id, prompt)

    def parent_of(self, transcript: Path) -> str | None:
        """The sub-agent that started the sub-agent that a transcript is of; None if none did, or it is not recorded."""
        parent = self._meta_of(transcript).parent_agent_id
        return parent if isinstance(parent, str) else None

    def of_session(self, session_file: Path | None, agent_id: str | None, prompt: str | None) -> str | None:
        """The type of a sub-agent by its id, or the hash of its prompt, from its session; None if it is not
        recorded."""
        if session_file is None:
            return None
        own = self._calls_in(session_file, [session_file])
        if not (found := own.get(agent_id or "") or own.get(prompt or "")):
            # Another sub-agent may have started it.
            folder = session_file.with_suffix("") / "subagents"
            others = self._calls_in(folder, _agents_in(folder))
            found = others.get(agent_id or "") or others.get(prompt or "")
        return found or None

    def _calls_in(self, key: Path, transcripts: Iterable[Path]) -> dict[str, str]:
        if key not in self._calls:
            calls: dict[str, str] = {}
            for path in transcripts:
                calls |= _calls_in(path)
            self._calls[key] = calls
        return self._calls[key]

    def _meta_of(self, transcript: Path) -> _Meta:
        """What is in the meta file of a transcript. That of the latest one is remembered."""
        if self._latest[0] != transcript:
            self._latest = transcript, self._read_meta(transcript)
        return self._latest[1]

    def _read_meta(self, transcript: Path) -> _Meta:
        path = transcript.with_name(f"{transcript.stem}.meta.json")
        try:
            found_file(path)
            with path.open("rb") as file:
                data = file.read(_META_LIMIT_BYTES)
            return msgspec.json.decode(data, type=_Meta)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._on_problem(path, error.strerror or str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._on_problem(path, f"unusable: {error}; the type of its sub-agent is looked up in the session")
        return _NO_META


def _agents_in(folder: Path) -> Iterator[Path]:
    """The transcripts of sub-agents in a folder. The pass itself reports the problems of this folder."""
    if folder.is_dir():
        for file in find_files([folder], _is_agent_file, lambda _path, _problem: None):
            yield file.path


def _is_agent_file(_folder: Path, name: str) -> bool:
    return name.startswith("agent-") and name.endswith(".jsonl")


def _calls_in(transcript: Path) -> dict[str, str]:
    """The types of sub-agents by the hash of their prompt and, if they ended, by their id."""
    calls: dict[str, str] = {}
    try:
        found_file(transcript)
        with transcript.open("rb") as stream:
            for chunk in read_chunks(stream, _CHUNK_LINES):
                for line in chunk.raw:
                    if _CALL in line or (_AGENT_ID in line and _RESULT in line):
                        _add_calls(line, calls)
    except READ_ERRORS:
        # The pass itself reports it.
        pass
    return calls


def _add_calls(line: bytes, calls: dict[str, str]) -> None:
    for entry in entries_on(line):
        for call in task_calls_of(blocks_of(entry.message.content) if entry.message is not None else []):
            calls[task_hash(call.prompt or "")] = call.subagent_type or ""
        result = task_result_of(entry.tool_use_result)
        if result is not None and result.agent_id:
            named = result.agent_type or calls.get(task_hash(result.prompt or ""))
            if named:
                calls[result.agent_id] = named
