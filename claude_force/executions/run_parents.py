"""Which run started which.

| what was read                                               | the run           | its parent                      |
|-------------------------------------------------------------|-------------------|---------------------------------|
| a prompt                                                    | the prompt        | the session                     |
| the result of a tool that names a sub-agent or a workflow   | that              | the run that called the tool    |
| the transcript of a sub-agent whose `meta.json` names one   | the sub-agent     | the sub-agent that is named     |
| the transcript of a sub-agent of a workflow                 | the sub-agent     | the workflow                    |
| the transcript of an agent that Claude Code starts itself   | the agent         | the session                     |
| telemetry with `agent_id` and `parent_agent_id`             | the sub-agent     | the sub-agent that is named     |
| an execution with a `run_id`                                | the run           | not known                       |

A run keeps the parent that was seen first: a sub-agent may be continued by others. So what is read twice, or in another
order, gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

RunName = tuple[str, str]
"""The id of a run, and its session: two sessions may have runs with the same id."""


class RunParent(NamedTuple):
    """A run and what started it: another run, a workflow or the session itself, by its id; `seen_us` is when that was
    seen. Both are None if it is not known. The fields are the columns, in their order."""

    run_id: str
    session_id: str
    parent_id: str | None = None
    seen_us: int | None = None


def is_better(mine: RunParent, other: RunParent) -> bool:
    """Whether the first of two parents of one run counts, and the second does not."""
    return _rank(mine) < _rank(other)


def best_parents(found: Iterable[RunParent]) -> dict[RunName, RunParent]:
    """The parent that counts of each run. No run is its own parent."""
    best: dict[RunName, RunParent] = {}
    for parent in found:
        name = parent[:2]
        if parent.parent_id != parent.run_id and (name not in best or is_better(parent, best[name])):
            best[name] = parent
    return best


def _rank(parent: RunParent) -> tuple[bool, int, str]:
    return parent.parent_id is None, parent.seen_us or 0, parent.parent_id or ""
