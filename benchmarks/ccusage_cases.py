"""Odd transcripts, written by hand: each case is a few files by their path below a project."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import orjson

from benchmarks.ccusage_reasons import Entry

Files = dict[str, list[Entry | str]]
"""Lines by path. A text is written unchanged, without a newline."""


def _prompt(session: str, **more: Any) -> Entry:
    return {
        "parentUuid": None,
        "isSidechain": False,
        "promptId": f"{session}-prompt",
        "type": "user",
        "message": {"role": "user", "content": f"Do what {session} asks for."},
        "uuid": f"{session}-0",
        "timestamp": f"{DAY}T10:00:00.000Z",
        **_SAME,
        "sessionId": session,
        **more,
    }


def _response(session: str, number: int = 1, **more: Any) -> Entry:
    """A response with its own tokens. `usage` and `message` are merged into it."""
    usage = {
        "input_tokens": 7 + number,
        "output_tokens": 100 + number,
        "cache_creation_input_tokens": 1000 * number,
        "cache_read_input_tokens": 20_000 * number,
    }
    message = {
        "model": "claude-sonnet-4-6",
        "id": f"msg_{session}_{number}",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Done."}],
        "stop_reason": "end_turn",
        "usage": usage | more.pop("usage", {}),
    }
    return {
        "parentUuid": f"{session}-{number - 1}",
        "isSidechain": False,
        "message": message | more.pop("message", {}),
        "requestId": f"req_{session}_{number}",
        "type": "assistant",
        "uuid": f"{session}-{number}",
        "timestamp": f"{DAY}T10:{number:02d}:00.000Z",
        **_SAME,
        "sessionId": session,
        **more,
    }


DAY = "2026-11-10"
_SAME = {"userType": "external", "cwd": "/home/dev/odd", "version": "2.1.301", "gitBranch": "main"}


def _without(entry: Entry, *names: str) -> Entry:
    return {name: value for name, value in entry.items() if name not in names}


def _alone(session: str, *responses: Entry | str) -> Files:
    return {f"{session}.jsonl": [_prompt(session), *responses]}


def _in_agent(session: str, agent: str, *responses: Entry) -> list[Entry | str]:
    lines = [_prompt(session, uuid=f"{session}-{agent}"), *responses]
    return [entry | {"isSidechain": True, "agentId": agent} for entry in lines]


def cases() -> dict[str, Files]:
    """All cases by name."""
    one = _response
    spaced = [f"{json.dumps(entry)}\n" for entry in (_prompt("spaces"), one("spaces"))]
    return {
        "version-null": _alone("version-null", one("version-null", version=None)),
        "version-of-two-numbers": _alone("version-two", one("version-two", version="2.1")),
        "microseconds": _alone("micro", one("micro", timestamp=f"{DAY}T10:00:00.123456Z")),
        "no-fraction": _alone("no-fraction", one("no-fraction", timestamp=f"{DAY}T10:00:00Z")),
        "json-with-spaces": {"spaces.jsonl": [*spaced]},
        "speed-null": _alone("speed-null", one("speed-null", usage={"speed": None})),
        "fast-mode": _alone("fast", one("fast", usage={"speed": "fast"})),
        "growing-output": _alone("growing", *(one("growing", usage={"output_tokens": size}) for size in (1, 50, 90))),
        "cut-off": _alone("cut-off", one("cut-off"), json.dumps(one("cut-off", 2))[:400]),
        "api-error": _alone("api-error", one("api-error"), _error("api-error")),
        "midnight": _alone(
            "midnight",
            one("midnight", timestamp=f"{DAY}T23:59:59.500Z"),
            one("midnight", timestamp="2026-11-11T00:00:01.500Z", uuid="midnight-2", parentUuid="midnight-1"),
        ),
        "tiers-below-their-sum": _alone(
            "tiers",
            one("tiers", usage={"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 400}}),
        ),
        "fork": _fork("fork"),
        "fork-without-request-id": _fork("gateway-fork", "requestId"),
        "fork-without-request-id-new-uuid": _fork("gateway-fork-uuid", "requestId", uuid="gateway-fork-uuid-other"),
        "constant-message-id": _constant("constant"),
        "sub-agent": _sub_agent("sub-agent"),
        "sub-agent-of-workflow": {
            **_alone("workflow", one("workflow")),
            "workflow/subagents/workflows/run-1/agent-a2.jsonl": _in_agent("workflow", "a2", one("workflow", 2)),
        },
        "replay-in-sub-agent": {
            **_alone("replay", one("replay")),
            "replay/subagents/agent-a3.jsonl": _in_agent(
                "replay", "a3", one("replay", uuid="replay-copy", requestId="req_replay_copy")
            ),
        },
        "progress-of-sub-agent": _progress("progress"),
        **_billed_cases(),
        **_damaged_cases(),
        **_gateway_cases(),
    }


def _billed(session: str, usage: Entry | None = None, **message: Any) -> Files:
    """A response by a model that has a price in fast mode and with data residency."""
    return _alone(session, _response(session, message={"model": "claude-opus-4-8", **message}, usage=usage or {}))


def _billed_cases() -> dict[str, Files]:
    """What changes the bill of a response, beside its model and tokens."""
    advice = {"type": "advisor_message", "model": "claude-opus-4-7", "input_tokens": 100_000, "output_tokens": 2000}
    summary = {"type": "compaction", "input_tokens": 170_000, "output_tokens": 3000}
    own = {"type": "message", "input_tokens": 8, "output_tokens": 101}
    cached = {"cache_read_input_tokens": 20_000, "cache_creation_input_tokens": 1000}
    attempt = {**own, "model": "claude-opus-4-6", "output_tokens": 40}
    answer = {**own, **cached, "type": "fallback_message", "model": "claude-opus-4-8"}
    no_output = {"output_tokens": 0}
    long = {"input_tokens": 250_000, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {
        "advisor": _billed("advisor", {"iterations": [own | cached, advice]}),
        "compaction": _billed("compaction", {"iterations": [summary, own | cached]}),
        "fallback": _billed("fallback", {"iterations": [attempt, answer]}),
        "fast-priced": _billed("fast-priced", {"speed": "fast"}),
        "fast-unpriced": _billed("fast-unpriced", {"speed": "fast"}, model="claude-sonnet-4-6"),
        "batch": _billed("batch", {"service_tier": "batch"}),
        "priority": _billed("priority", {"service_tier": "priority"}),
        "residency": _billed("residency", {"inference_geo": "us"}),
        "residency-global": _billed("residency-global", {"inference_geo": "global"}),
        "refusal": _billed("refusal", no_output, stop_reason="refusal", stop_details={"category": "cyber"}),
        "refusal-billed": _billed("refusal-billed", no_output, stop_reason="refusal", stop_details={"category": "bio"}),
        "searches": _billed("searches", {"server_tool_use": {"web_search_requests": 3}}),
        "bedrock": _billed("bedrock", id="msg_bdrk_1"),
        "long-prompt": _billed("long-prompt", long, model="claude-sonnet-4-5-20250929"),
        "long-prompt-without-premium": _billed("long-prompt-4-8", long),
        "newer-model": _billed("newer-model", model="claude-opus-5-5"),
    }


def _damaged_cases() -> dict[str, Files]:
    """Lines with more or less than one record."""

    def texts(session: str) -> list[str]:
        return [orjson.dumps(_response(session, number)).decode() for number in (1, 2, 3)]

    def files(session: str, text: str) -> Files:
        return {f"{session}.jsonl": [_prompt(session), text]}

    two, nulls, cut, junk = map(texts, ("two-on-a-line", "nulls", "behind-cut", "before-junk"))
    return {
        "two-on-a-line": files("two-on-a-line", f"{two[0]}{two[1]}\n{two[2]}\n"),
        "behind-nulls": files("nulls", f"{nulls[0]}\n{chr(0) * 40}{nulls[1]}\n{nulls[2]}\n"),
        "behind-a-cut-one": files("behind-cut", f"{cut[0]}\n{cut[1][:150]}{cut[1]}\n{cut[2]}\n"),
        "before-junk": files("before-junk", f"{junk[0]}\n{junk[1]}oops\n{junk[2]}\n"),
    }


def _gateway_cases() -> dict[str, Files]:
    """Responses without a request id, and what repeats them."""
    lines = [_without(_response("gateway", message={"stop_reason": stop}), "requestId") for stop in (None, "tool_use")]
    result = _prompt("gateway", message={"role": "user", "content": [_RESULT]}, uuid="gateway-r")
    first, last = lines[0] | {"uuid": "gateway-a"}, lines[1] | {"timestamp": f"{DAY}T10:01:05.000Z"}
    first["message"] = first["message"] | {"content": [{"type": "text", "text": "I look."}]}
    audit = _without(_response("desktop"), "requestId", "timestamp") | {"_audit_timestamp": f"{DAY}T10:01:00.000Z"}
    return {
        "result-between-lines": _alone("gateway", first, result, last),
        "audit-log": {**_alone("desktop", _response("desktop")), "local_x1/audit.jsonl": [audit]},
    }


_RESULT = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "It is there."}


def _error(session: str) -> Entry:
    """The line that Claude Code writes for an API error."""
    counts = dict.fromkeys(_response(session)["message"]["usage"], 0)
    message = {"id": "0-1-2", "model": "<synthetic>", "content": [{"type": "text", "text": "API Error: 529"}]}
    return _response(session, 2, message=message, usage=counts, isApiErrorMessage=True)


def _fork(session: str, *lacking: str, **other: str) -> Files:
    """A session, and another that starts with a copy of it."""
    lines = [_prompt(session), _without(_response(session), *lacking)]
    copies = [entry | {"sessionId": f"{session}-copy"} for entry in lines]
    copies[-1] |= other
    return {f"{session}.jsonl": [*lines], f"{session}-copy.jsonl": [*copies]}


def _constant(session: str) -> Files:
    """Sessions behind a gateway that gives all responses the same id and no request id."""
    message = {"id": "msg_gateway"}
    found: Files = {}
    for name, first in ((session, 1), (f"{session}-2", 3)):
        responses = [_without(_response(name, first + more, message=message), "requestId") for more in (0, 1)]
        # Each answers its own prompt.
        prompts = [_prompt(name, uuid=response["parentUuid"]) for response in responses]
        prompts[1] |= {"parentUuid": responses[0]["uuid"], "uuid": f"{name}-prompt"}
        responses[1]["parentUuid"] = f"{name}-prompt"
        found[f"{name}.jsonl"] = [prompts[0], responses[0], prompts[1], responses[1]]
    return found


def _sub_agent(session: str) -> Files:
    """A session with a sub-agent, whose lines have fewer tokens than the result of its run."""
    asked = {"description": "Look", "prompt": f"Do what {session} asks for.", "subagent_type": "Explore"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "Task", "input": asked}
    task = _response(session, message={"content": [call], "stop_reason": "tool_use"})
    unknown = {"message": {"stop_reason": None}, "usage": {"output_tokens": 3}}
    theirs = [_response(session, 2, **_copy(unknown)), _response(session, 3, **_copy(unknown))]
    usage = theirs[-1]["message"]["usage"] | {"output_tokens": 480}
    result = {"status": "completed", "agentId": "a1", "totalTokens": sum(usage.values()), "totalDurationMs": 300_000}
    message = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "It is there."}],
    }
    answer = _prompt(
        session,
        message=message,
        toolUseResult=result | {"totalToolUseCount": 1, "usage": usage},
        uuid=f"{session}-9",
        parentUuid=task["uuid"],
        timestamp=f"{DAY}T10:09:00.000Z",
    )
    return {
        f"{session}.jsonl": [_prompt(session), task, answer],
        f"{session}/subagents/agent-a1.jsonl": _in_agent(session, "a1", *theirs),
    }


def _copy(entry: Entry) -> Entry:
    return {name: dict(value) for name, value in entry.items()}


def _progress(session: str) -> Files:
    """A sub-agent without a file, with lines in that of its session, as older versions wrote them."""
    inner = _response(session, 2, isSidechain=True, agentId="a4")
    outer = _prompt(session, uuid=f"{session}-8", type="progress", message=None, timestamp=f"{DAY}T10:08:00.000Z")
    data = {"type": "agent_progress", "agentId": "a4", "message": inner}
    return _alone(session, _response(session), _without(outer, "message") | {"data": data})


def write_case(projects: Path, files: Files) -> None:
    """Write the files of a case. Earlier files get earlier times."""
    for number, (name, lines) in enumerate(files.items()):
        path = projects / "-home-dev-odd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [line if isinstance(line, str) else f"{orjson.dumps(line).decode()}\n" for line in lines]
        path.write_text("".join(texts), encoding="utf-8")
        os.utime(path, (_OLD_S + number, _OLD_S + number))


_OLD_S = 1_794_300_000
