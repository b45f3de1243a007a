"""Options for the Claude Agent SDK: what its agents do comes to the receiver under the names of your program, and their
transcripts are read as soon as a turn ends.

Light at import: the SDK is imported only when the options are made, and only where it is installed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from claude_force.clock import now_us
from claude_force.errors import InvalidRecord
from claude_force.executions.run_labels import check_label
from claude_force.settings.telemetry_variables import (
    DEFAULT_PORT,
    JSON,
    LABEL,
    LABEL_VARIABLE,
    RESOURCE_ATTRIBUTES,
    telemetry_variables,
    with_attributes,
)

logger = logging.getLogger("claude_force")

_TURN_ENDS = "Stop"
_READ_ANYWAY = "a later ingest reads them"

Hook = Callable[[Any, str | None, Any], Awaitable[dict[str, Any]]]


def agent_options(
    agent: str | None = None, project: str | None = None, endpoint: str | None = None, *, label: str | None = None
) -> dict[str, Any]:
    """Keyword arguments for `claude_agent_sdk.ClaudeAgentOptions`: `env` and `hooks`.

    `env` sends telemetry to a receiver: at `endpoint`, by default that of this machine (http://127.0.0.1:4319, as
    `claude-force telemetry setup` has it). `agent` names the main conversation, and `project` what it works on. `label`
    marks what it does, to compare it with other labels; by default it is that of CLAUDE_FORCE_LABEL. `hooks` read the
    transcript of the session at the end of each turn, so that nothing is lost with a container; there are none where
    `claude_agent_sdk` is not installed. A problem is logged by the logger `claude_force`, and never raised.
    """
    names = {"project": project, "agent": agent, LABEL: _label(label or os.environ.get(LABEL_VARIABLE))}
    address = endpoint or f"http://127.0.0.1:{DEFAULT_PORT}"
    attributes = with_attributes(os.environ.get(RESOURCE_ATTRIBUTES), names)
    named = {RESOURCE_ATTRIBUTES: attributes} if attributes else {}
    return {"env": {**telemetry_variables(address, JSON), **named}, "hooks": _hooks()}


def _label(given: str | None) -> str | None:
    """A label that is valid; None, with a warning, for one that is not."""
    try:
        return check_label(given) if given else None
    except InvalidRecord as error:
        logger.warning("%s; the agents of the Claude Agent SDK have none", error)
        return None


def _hooks() -> dict[str, Any]:
    try:
        from claude_agent_sdk import HookMatcher
    except ImportError:
        return {}
    return {_TURN_ENDS: [HookMatcher(hooks=[read_session])]}


async def read_session(given: Any, _tool_use_id: str | None, _context: Any) -> dict[str, Any]:
    """Read the transcript of the session that a hook names, and those of its sub-agents. Raises nothing."""
    try:
        await asyncio.to_thread(_read, Path(given["transcript_path"]))
    except Exception as error:  # the agent goes on, whatever happens here
        logger.warning("executions of an agent were not stored: %s; %s", error, _READ_ANYWAY)
    return {}


def _read(transcript: Path) -> None:
    """One ingestion pass over a session."""
    # Imported here: a program that only makes the options needs none of it.
    from claude_force.database.workspace import workspace_at
    from claude_force.ingest.plan import ingest_inputs, ingest_options
    from claude_force.ingest.run import run_pass
    from claude_force.settings.home import find_home

    workspace, _ = workspace_at(find_home(), None)
    try:
        of_agents = transcript.with_suffix("")
        paths = [transcript, *([of_agents] if of_agents.is_dir() else [])]
        run_pass(workspace.database, ingest_inputs(workspace, paths), ingest_options(workspace, now_us()))
    finally:
        workspace.database.close()
