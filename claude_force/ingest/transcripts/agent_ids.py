"""What the id of a sub-agent says about it.

| id                                | agent                                                         |
|-----------------------------------|---------------------------------------------------------------|
| `a6047be`, `aeb3897ee3267e12c`    | a sub-agent that was started by the Task tool: not known here |
| `acompact-83efcb`                 | Claude Code's own: it compacts the conversation               |
| `aside_question-c5e5c961a7749e08` | Claude Code's own: it answers a question that the user asks aside |
| `areviewer-4787973a0b12cd34`      | a named sub-agent: `reviewer`                                 |
"""

from __future__ import annotations

import re
from functools import lru_cache

_INTERNAL = {
    "compact": "compaction",
    "side_question": "aside_question",
    "prompt_suggestion": "prompt_suggestion",
    "session_memory": "session_memory",
    "extract_memories": "extract_memories",
    "auto_dream": "auto_dream",
    "agent_summary": "agent_summary",
    "away_summary": "away_summary",
}
"""The agents that Claude Code starts by itself: the label in their ids, and their name."""

_INTERNAL_ID = re.compile(rf"a({'|'.join(_INTERNAL)})(?:[-_].*)?")
_LABELLED_ID = re.compile(r"a([A-Za-z][\w.-]*)-[0-9a-f]{6,32}")


@lru_cache(maxsize=1024)
def internal_agent(agent_id: str | None) -> str | None:
    """The name of an agent that Claude Code starts by itself; None for any other id.

    It counts before everything else that is known of the agent. The transcript of such an agent begins with a copy of
    the conversation that it is about, so the prompt and the types in it are those of another agent."""
    found = _INTERNAL_ID.fullmatch(agent_id or "")
    return _INTERNAL[found[1]] if found else None


def label_of(agent_id: str | None) -> str | None:
    """The label in the id of a sub-agent; None if it is a number alone."""
    found = _LABELLED_ID.fullmatch(agent_id or "")
    return found[1] if found else None
