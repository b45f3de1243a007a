"""What the path of a transcript says about it: see `locate`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from claude_force.ingest.transcripts.agent_types import AgentTypes
from claude_force.ingest.transcripts.locate import AGENT, AUDIT_LOG, session_key

_NAME = re.compile(r"[\w.-]{1,100}")


@dataclass(frozen=True, slots=True)
class TranscriptContext:
    """What the path of a transcript says. `agent_id` is set for a sub-agent's own file, `workflow_id` if it runs in a
    workflow, `is_audit_log` if no line of the file counts. `agent_type_of` looks up the type of a sub-agent by its id,
    the hash of its prompt and its session; None if it is not recorded. `parent_agent` is the same for the sub-agent
    that started the one of the file."""

    session_id: str | None = None
    agent_id: str | None = None
    workflow_id: str | None = None
    is_audit_log: bool = False
    agent_type_of: Callable[[str | None, str | None, str | None], str | None] = lambda _agent, _prompt, _session: None
    parent_agent: Callable[[], str | None] = lambda: None


def context_of(path: Path, agent_types: AgentTypes) -> TranscriptContext:
    """What the path of a transcript says about it."""
    if path.name == AUDIT_LOG:
        return TranscriptContext(is_audit_log=True)
    agent = AGENT.fullmatch(path.stem)
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
            parent_agent=lambda: agent_types.parent_of(path),
        )
    session = session_key(path)
    session_file = Path(f"{session}.jsonl")
    below = path.parts[len(Path(session).parts) + 1 : -1]
    return TranscriptContext(
        session_id=Path(session).name,
        agent_id=agent[1],
        workflow_id=below[1] if len(below) >= 2 and below[0] == "workflows" else None,
        agent_type_of=lambda agent_id, prompt, _session: agent_types.of_file(path, session_file, agent_id, prompt),
        parent_agent=lambda: agent_types.parent_of(path),
    )


def _beside(path: Path, session_id: str | None) -> Path | None:
    """The file of a session in the same folder; None if the id cannot be a file name."""
    return path.with_name(f"{session_id}.jsonl") if session_id and _NAME.fullmatch(session_id) else None
