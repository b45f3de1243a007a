"""Outcomes: what agents did beside their model requests, and the control sums of what these cost. Pure.

The receiver writes the names, the reports read them:

| name             | kind                                | value           |
|------------------|-------------------------------------|-----------------|
| LINES            | "added", "removed"                  | lines           |
| COMMITS          |                                     | commits         |
| PULL_REQUESTS    |                                     | pull requests   |
| SESSIONS         | "fresh", "resume", "continue"       | starts          |
| ACTIVE_TIME      | "user", "cli"                       | microseconds    |
| TOOL_RESULTS     | the tool, or FAILED + the tool      | tool calls      |
| DECISIONS        | "accept", "reject"                  | decisions       |
| TOOL_DECISIONS   | "accept", "reject"                  | decisions       |
| PROMPTS          |                                     | prompts         |
| SUBAGENTS        | the type of the agent               | runs            |
| RETRIES          | the status code, or ""              | repeated tries  |
| REFUSALS         | the category, or ""                 | refusals        |
| COMPACTIONS      | "auto", "manual"; or FAILED + it    | compactions     |
| COST             | the model                           | nano-dollars    |
| TOKENS           | "input", "output", "cacheRead",     | tokens          |
|                  | "cacheCreation"                     |                 |

COST and TOKENS are control sums of the metrics `cost.usage` and `token.usage`: no execution is made of them.
DECISIONS are those about edits of code (a metric), TOOL_DECISIONS those about any tool (an event).
"""

from __future__ import annotations

LINES = "lines_of_code"
COMMITS = "commit"
PULL_REQUESTS = "pull_request"
SESSIONS = "session"
ACTIVE_TIME = "active_time"
TOOL_RESULTS = "tool_result"
DECISIONS = "decision"
TOOL_DECISIONS = "tool_decision"
PROMPTS = "user_prompt"
SUBAGENTS = "subagent"
RETRIES = "retry"
REFUSALS = "refusal"
COMPACTIONS = "compaction"
COST = "cost"
TOKENS = "tokens"

FAILED = "failed:"
"""What the kind of a tool call that failed begins with: "failed:Bash"."""

VALUE_LIMIT = 10**15
"""A larger value of one record (a million dollars, thirty years) is an error, and not counted."""
