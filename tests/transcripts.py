"""Lines of Claude Code's transcripts, as version 2.1 writes them, and what a store must make of them.

A line is made as a mapping, so that a test can copy it with changes; `jsonl` makes bytes. A change to `...` removes
the field, and a change that is a mapping changes what is within the field.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from claude_force.clock import instant_formatter
from claude_force.database import queries
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.jsonl.codec import columns_of
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import CLAUDE_CODE
from claude_force.ingest import run as ingest
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.transcripts import locate as transcripts
from claude_force.ingest.transcripts.transcript_pass import TranscriptPass
from tests.conftest import Run

Line = dict[str, Any]
Rows = list[dict[str, Any]]

AGENT = "a1b2c3d4e5f6a7b8"

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""The first moment of every conversation."""

SESSION = "1f4c5a0e-8a53-4d0c-9a3b-52b0d7e1c0a1"
FORK = "9d2e6b7c-1c1f-4a55-b0d3-0f6f6f6f0001"
CWD = "/home/ada/engine"
MODEL = "claude-sonnet-4-5-20250929"
VERSION = "2.1.263"
FIRST_SESSION = "2025-01-19T05:37:24.798Z"
"""When Claude Code was used on this machine for the first time."""

GATEWAY_ID = "msg_gateway"
"""The message id that a gateway gives to each of its responses."""


class Tokens(NamedTuple):
    """Tokens of one response by kind, as an export names them."""

    input_tokens: int = 3
    output_tokens: int = 120
    cache_read_tokens: int = 15_000
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 900

    @property
    def prompt(self) -> int:
        """All but the output."""
        return sum(self) - self.output_tokens


def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Line:
    """A mapping with changes: `...` removes, and a mapping changes what is within."""
    found = dict(values)
    for name, value in changes.items():
        if value is ...:
            found.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(found.get(name), Mapping):
            found[name] = changed(found[name], value)
        else:
            found[name] = value
    return found


def moment(seconds: float) -> str:
    """So many seconds after the beginning, as Claude Code writes it."""
    return (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def jsonl(lines: Iterable[Line], *, spaces: bool = False) -> bytes:
    """Lines as bytes, as Claude Code writes them, or with spaces, as other writers do."""
    separators = (", ", ": ") if spaces else (",", ":")
    return b"".join(json.dumps(line, separators=separators, ensure_ascii=False).encode() + b"\n" for line in lines)


def usage_of(tokens: Tokens, *, is_final: bool = True) -> Line:
    """The usage of a line. A final one tells its iterations; one of a sub-agent does not."""
    found: Line = {
        "input_tokens": tokens.input_tokens,
        "cache_creation_input_tokens": tokens.cache_write_5m_tokens + tokens.cache_write_1h_tokens,
        "cache_read_input_tokens": tokens.cache_read_tokens,
        "output_tokens": tokens.output_tokens,
        "service_tier": "standard",
        "cache_creation": {
            "ephemeral_1h_input_tokens": tokens.cache_write_1h_tokens,
            "ephemeral_5m_input_tokens": tokens.cache_write_5m_tokens,
        },
        "inference_geo": "not_available",
    }
    if is_final:
        found["server_tool_use"] = {"web_search_requests": 0, "web_fetch_requests": 0}
        found["iterations"] = [
            {"input_tokens": tokens.input_tokens, "output_tokens": tokens.output_tokens, "type": "message"}
        ]
        found["speed"] = "standard"
    return found


def text_block(text: str = "Here is what I found.") -> Line:
    """Text of an answer."""
    return {"type": "text", "text": text}


def thinking_block() -> Line:
    """Thoughts: empty, with a signature."""
    return {"type": "thinking", "thinking": "", "signature": "EpUCCkYICRgCKkD" * 8}


def tool_block(call: str = "toolu_01A", name: str = "Bash", **given: Any) -> Line:
    """The call of a tool."""
    return {"type": "tool_use", "id": call, "name": name, "input": given or {"command": "ls", "description": "List"}}


def task_block(prompt: str, agent: str, call: str = "toolu_01Task") -> Line:
    """The call that starts a sub-agent."""
    return tool_block(call, "Task", description="Look into it", prompt=prompt, subagent_type=agent)


def notification(agent_id: str, total: int, *, element: str = "total_tokens", milliseconds: int = 60_000) -> str:
    """What is told when a background agent has ended."""
    return (
        f"<task-notification>\n<task-id>{agent_id}</task-id>\n<tool-use-id>toolu_01Task</tool-use-id>\n"
        "<output-file>/tmp/claude/tasks/output</output-file>\n<status>completed</status>\n"
        '<summary>Agent "Look into it" completed</summary>\n<result>All is well.\nNothing to do.</result>\n'
        f"<usage><{element}>{total}</{element}>\n<tool_uses>3</tool_uses>\n"
        f"<duration_ms>{milliseconds}</duration_ms></usage>\n</task-notification>"
    )


@dataclass
class Talk:
    """A conversation: each line answers the one before, one second later. `agent_id` makes it that of a sub-agent;
    `constants` are changes of every line."""

    session: str = SESSION
    agent_id: str | None = None
    seconds: float = 0
    constants: Line = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    parent: str | None = None

    def add(self, kind: str, changes: Mapping[str, Any], **fields: Any) -> Line:
        """The next line."""
        self.seconds += 1
        line: Line = {
            "parentUuid": self.parent,
            "isSidechain": self.agent_id is not None,
            "userType": "external",
            "cwd": CWD,
            "sessionId": self.session,
            "version": VERSION,
            "gitBranch": "main",
            **({"agentId": self.agent_id, "slug": "calm-river"} if self.agent_id else {}),
            "type": kind,
            **fields,
            "uuid": str(uuid4()),
            "timestamp": moment(self.seconds),
        }
        line = changed(changed(line, self.constants), changes)
        self.lines.append(line)
        self.parent = line.get("uuid", self.parent)
        return line

    def prompt(self, text: str = "Please look at the engine.", **changes: Any) -> Line:
        """What somebody asks for."""
        fields: Line = {"message": {"role": "user", "content": text}}
        if self.agent_id is None:
            fields |= {"promptId": str(uuid4()), "permissionMode": "default"}
        return self.add("user", changes, **fields)

    def result(self, content: str = "a.py", result: Any = None, *, call: str = "toolu_01A", **changes: Any) -> Line:
        """What a tool answered; `result` is what the program keeps of it."""
        kept = result if result is not None else {"stdout": content, "stderr": "", "interrupted": False}
        block = {"tool_use_id": call, "type": "tool_result", "content": content}
        return self.add("user", changes, message={"role": "user", "content": [block]}, toolUseResult=kept)

    def respond(
        self,
        message_id: str,
        tokens: Tokens | Sequence[Tokens] = Tokens(),  # noqa: B008 - immutable
        *,
        request: str | None = "",
        blocks: Sequence[Line] = (),
        **changes: Any,
    ) -> list[Line]:
        """A response: a line for each of its blocks, each with its usage. A request id is made of the message id;
        None leaves it out. In a sub-agent no line is final."""
        is_final = self.agent_id is None
        blocks = blocks or [text_block()]
        each = [tokens] * len(blocks) if isinstance(tokens, Tokens) else tokens
        fields: Line = {} if request is None else {"requestId": request or message_id.replace("msg_", "req_")}
        if self.agent_id is not None:
            fields["attributionAgent"] = "Explore"
        stop = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
        made = []
        for block, counted in zip(blocks, each, strict=True):
            message = {
                "model": MODEL,
                "id": message_id,
                "type": "message",
                "role": "assistant",
                "content": [block],
                "stop_reason": stop if is_final else None,
                "stop_sequence": None,
                "usage": usage_of(counted, is_final=is_final),
            }
            made.append(self.add("assistant", changes, message=message, **fields))
        return made

    def fail(self, text: str, **changes: Any) -> Line:
        """What Claude Code writes in the place of a response that failed."""
        message = {
            "id": str(uuid4()),
            "model": "<synthetic>",
            "role": "assistant",
            "type": "message",
            "stop_reason": "stop_sequence",
            "stop_sequence": "",
            "usage": usage_of(Tokens(0, 0, 0, 0, 0)),
            "content": [text_block(text)],
        }
        return self.add("assistant", changes, message=message, isApiErrorMessage=True)

    def data(self) -> bytes:
        """The lines so far, as a file."""
        return jsonl(self.lines)


def model_usage(cost: float, *counts: float) -> Line:
    """What a ledger says of one model: its cost, tokens (input, output, cache read, cache write) and web searches."""
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "webSearchRequests")
    return {
        **dict.fromkeys(names, 0),
        **dict(zip(names, counts, strict=False)),
        "costUSD": cost,
        "contextWindow": 200_000,
    }


def cost_state(cost: Any, models: Mapping[str, Any] | None = None, *, session: str = SESSION, **changes: Any) -> Line:
    """The ledger of a session as Claude Code writes it at its end, with changes."""
    line: Line = {
        "type": "cost-state",
        "sessionId": session,
        "totalCostUSD": cost,
        "totalAPIDuration": 4000,
        "hasUnknownModelCost": False,
        "modelUsage": dict(models or {}),
    }
    return changed(line, {"totalCostUSD": cost} | changes)


def statistics(days: Mapping[str, Mapping[str, Any]], **changes: Any) -> Line:
    """Claude Code's statistics (stats-cache.json): tokens by day and model, with changes."""
    return changed(
        {
            "version": 5,
            "lastComputedDate": max(days, default=None),
            "dailyActivity": [],
            "dailyModelTokens": [{"date": day, "tokensByModel": dict(models)} for day, models in days.items()],
            "modelUsage": {},
            "totalSessions": len(days),
            "firstSessionDate": FIRST_SESSION,
            "hourCounts": {},
            "dailyModelTokensVersion": 5,
        },
        changes,
    )


def copied(lines: Iterable[Line], *, new_uuids: bool = False, **changes: Any) -> list[Line]:
    """A copy of lines with changes. New uuids keep the chain of parents."""
    names: dict[str, str] = {}
    found = []
    for line in lines:
        copy = changed(line, changes)
        if new_uuids:
            for name in ("parentUuid", "uuid"):
                if copy.get(name) is not None:
                    copy[name] = names.setdefault(copy[name], str(uuid4()))
        found.append(copy)
    return found


def task_result(agent_id: str, tokens: Tokens, prompt: str, **changes: Any) -> Line:
    """What a parent keeps of a sub-agent that ended: the usage is that of its last response."""
    return changed(
        {
            "status": "completed",
            "prompt": prompt,
            "agentId": agent_id,
            "content": [text_block("All is well.")],
            "totalDurationMs": 60_000,
            "totalTokens": sum(tokens),
            "totalToolUseCount": 3,
            "usage": usage_of(tokens),
        },
        changes,
    )


def main_file(root: Path, session: str = SESSION, folder: str = "-home-ada-engine") -> Path:
    """Where the transcript of a session is."""
    return root / folder / f"{session}.jsonl"


def agent_file(root: Path, agent_id: str, session: str = SESSION, workflow: str | None = None) -> Path:
    """Where the transcript of a sub-agent is."""
    folder = main_file(root, session).with_suffix("") / "subagents"
    return (folder / "workflows" / workflow if workflow else folder) / f"agent-{agent_id}.jsonl"


def put(path: Path, lines: Iterable[Line] | bytes, *, age: int | None = None) -> Path:
    """Write a file. `age` says how many seconds ago it was written last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines if isinstance(lines, bytes) else jsonl(lines))
    if age is not None:
        then = path.stat().st_mtime - age
        os.utime(path, (then, then))
    return path


def tokens_of(row: Mapping[str, Any]) -> Tokens:
    """The tokens of an exported execution."""
    return Tokens(*(row[name] for name in Tokens._fields))


@dataclass
class Ingester:
    """Ingests folders in this process, with the functions that `claude-force ingest` calls."""

    store: Store
    rejected_file: Path
    prices: PriceTable | None = None
    report: SourceReport = field(default_factory=SourceReport)

    def ingest(self, *folders: Path) -> SourceReport:
        """Ingest these folders once."""
        self.report = SourceReport()
        self.read(transcripts.find(folders, self.report.add_problem))
        return self.report

    def read(self, found: Sequence[FoundFile]) -> None:
        """Ingest these files."""
        now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
        options = IngestOptions(self.prices, UTC, "here", RejectLog(self.rejected_file), now_us)
        known = ingest.known_cursors(self.store.database, "here", CLAUDE_CODE)
        TranscriptPass(self.store, options, known, report=self.report).run(found)
        ingest.apply_reported_usage(self.store, self.prices, transcripts.agent_ids(found), now_us)

    def rows(self) -> list[dict[str, Any]]:
        """The stored executions."""
        format_time = instant_formatter(UTC)
        return [columns_of(row, format_time) for row in queries.iterate_rows(self.store.database, Filter())]


def exported(run: Run, *options: str | Path) -> Rows:
    """The executions in the database of the home folder as it is, times in UTC."""
    found: Rows = json.loads(run("analytics", "export", "--json", "--no-ingest", "--timezone", "UTC", *options).stdout)
    return found


def ingested(run: Run, *arguments: str | Path, **options: Any) -> dict[str, Any]:
    """The JSON report of an ingest without problems."""
    done = run("ingest", "--json", *arguments, **options)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def parent_of_agent(prompt: str, agent: str, *, result: Line | None = None) -> Talk:
    """A session that starts a sub-agent."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_P1", blocks=[task_block(prompt, agent)])
    if result is not None:
        talk.result("All is well.", result, call="toolu_01Task")
    return talk


def agent_talk(prompt: str = "Look at the valves.", *, attribution: Any = ...) -> Talk:
    """The transcript of a sub-agent with two responses."""
    agent = Talk(agent_id=AGENT, seconds=10)
    agent.prompt(prompt)
    agent.respond("msg_S1", Tokens(3, 2, 0, 9000, 0), blocks=[tool_block()], attributionAgent=attribution)
    agent.result()
    agent.respond("msg_S2", Tokens(1, 5, 9000, 70, 0), attributionAgent=attribution)
    return agent
