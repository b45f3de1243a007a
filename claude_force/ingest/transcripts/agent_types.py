"""The types of sub-agents that their own lines do not tell: from the file beside theirs, else from the call that
started them, in the transcript of their session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from claude_force.errors import InvalidRecord
from claude_force.executions.jsonl.lines import READ_ERRORS, read_chunks
from claude_force.executions.record import task_hash
from claude_force.ingest.find_files import find_files
from claude_force.ingest.tail import found_file
from claude_force.ingest.transcripts.entries import blocks_of, decode_entry, task_calls_of, task_result_of

_META_LIMIT_BYTES = 1024 * 1024
_CHUNK_LINES = 1000
_CALL, _ENDED = b'"subagent_type"', b'"agentId"'


class _Meta(msgspec.Struct, rename="camel"):
    """`agent-<id>.meta.json`."""

    agent_type: str | None = None


class Agents:
    """Looks up types of sub-agents; transcripts of sessions are read once. `say` is told, with the path, what is wrong
    with a file beside a transcript."""

    def __init__(self, say: Callable[[Path, str], None]) -> None:
        self._say = say
        self._calls: dict[Path, dict[str, str]] = {}

    def of_file(
        self, transcript: Path, session_file: Path | None, agent_id: str | None, prompt: str | None
    ) -> str | None:
        """The type of the sub-agent whose own transcript this is; None where nothing tells."""
        return self._beside(transcript) or self.of_session(session_file, agent_id, prompt)

    def of_session(self, session_file: Path | None, agent_id: str | None, prompt: str | None) -> str | None:
        """The type of a sub-agent by its id, or the hash of its prompt, in the transcript of its session."""
        if session_file is None:
            return None
        own = self._calls_in(session_file, [session_file])
        if not (found := own.get(agent_id or "") or own.get(prompt or "")):
            # An agent may have started it.
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

    def _beside(self, transcript: Path) -> str | None:
        path = transcript.with_name(f"{transcript.stem}.meta.json")
        try:
            found_file(path)
            with path.open("rb") as file:
                data = file.read(_META_LIMIT_BYTES)
            return msgspec.json.decode(data, type=_Meta).agent_type
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say(path, error.strerror or str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._say(path, f"not what it should be: {error}; the type of its sub-agent is looked up elsewhere")
        return None


def _agents_in(folder: Path) -> Iterator[Path]:
    """The transcripts of sub-agents in a folder. Their own reading says what is wrong with it."""
    if folder.is_dir():
        for file in find_files([folder], _is_of_agent, lambda _path, _problem: None):
            yield file.path


def _is_of_agent(name: str) -> bool:
    return name.startswith("agent-") and name.endswith(".jsonl")


def _calls_in(transcript: Path) -> dict[str, str]:
    """The types of sub-agents by the hash of their prompt, and by their id where their result is there."""
    calls: dict[str, str] = {}
    try:
        found_file(transcript)
        with transcript.open("rb") as stream:
            for chunk in read_chunks(stream, _CHUNK_LINES):
                for line in chunk.raw:
                    if _CALL in line or (_ENDED in line and b'"toolUseResult"' in line):
                        _note_calls(line, calls)
    except READ_ERRORS:
        # Its own reading says what is wrong with it.
        pass
    return calls


def _note_calls(line: bytes, calls: dict[str, str]) -> None:
    try:
        entry = decode_entry(line)
    except InvalidRecord:
        return
    for call in task_calls_of(blocks_of(entry.message.content) if entry.message is not None else []):
        calls[task_hash(call.prompt or "")] = call.subagent_type or ""
    result = task_result_of(entry.tool_use_result)
    if result is not None and result.agent_id:
        named = result.agent_type or calls.get(task_hash(result.prompt or ""))
        if named:
            calls[result.agent_id] = named
