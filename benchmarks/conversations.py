"""Conversations of a session and its sub-agents, line by line as Claude Code 2.1 writes them."""

from __future__ import annotations

import json
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from benchmarks.sample_text import BASE62, Text
from benchmarks.transcript_truth import Tokens, Truth

DAY_MS = 86_400_000
STEP_MS = 90_000
"""The maximum duration of a response with its prompt and tools, without sub-agents."""

RESPONSE_MS = 30_000
"""All lines of a response are written within this time."""

_VERSIONS = ("2.1.226", "2.1.241", "2.1.263", "2.1.288", "2.1.301")
_BRANCHES = ("main", "main", "develop", "feature/billing", "fix/flaky-test", "HEAD")
_PROJECTS = (
    "api", "billing", "blog", "cli", "compiler", "dashboard", "docs", "editor", "gateway", "importer", "infra",
    "kernel", "mailer", "mobile", "notes", "parser", "planner", "proxy", "reports", "scheduler", "search", "shop",
)  # fmt: skip
_AGENTS = ("Explore", "Plan", "general-purpose", "code-reviewer", "test-runner")
_TOOLS = ("Read", "Bash", "Edit", "Grep")

Block = Literal["thinking", "text", "tool"]
_BLOCKS: tuple[tuple[Block, ...], ...] = (
    ("tool",),
    ("text", "tool"),
    ("thinking", "tool"),
    ("tool", "tool"),
    ("thinking", "text", "tool"),
    ("text", "tool", "tool"),
)
_LAST_BLOCKS: tuple[tuple[Block, ...], ...] = (("text",), ("thinking", "text"))


class Size(NamedTuple):
    """The size of the transcripts. `size_bytes` is approximate, and never less than the lines need without results."""

    files: int
    responses: int
    size_bytes: int

    def over(self, divisor: int) -> Size:
        """This size divided by a number."""
        return Size(*(part // divisor for part in self))


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return str(date(1970, 1, 1) + timedelta(days=number))


def _instant(now_ms: int) -> str:
    day, rest = divmod(now_ms, DAY_MS)
    seconds, millis = divmod(rest, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{_day(day)}T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{millis:03d}Z"


@dataclass
class World:
    """The state that all files share."""

    chance: random.Random
    text: Text
    folder: Path
    size: Size
    truth: Truth
    responses: int = 0

    def uuid(self) -> str:
        """A random UUID."""
        text = f"{self.chance.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def name(self, prefix: str, size: int) -> str:
        """An id like those of the API."""
        return prefix + "".join(self.chance.choices(BASE62, k=size))

    def some(self, median: float, sigma: float = 0.8) -> int:
        """A log-normal number."""
        return int(median * math.exp(sigma * self.chance.gauss(0, 1))) + 1

    def room(self) -> int:
        """The length of the text of a result, so that the total size is reached. The text is written twice."""
        left = self.size.size_bytes - self.truth.size_bytes
        share = left / max(self.size.responses - self.responses, 1) - 2600
        return min(max(int(share / 2.2 * self.chance.lognormvariate(-0.6, 1.1)), 20), 1 << 20)


@dataclass(frozen=True, slots=True)
class _Usage:
    """The usage of one response."""

    input: int
    output: int
    read: int
    write_5m: int
    write_1h: int

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.output + self.read + self.write_5m + self.write_1h

    def text(self, output: int | None = None, more: str = "") -> str:
        """As JSON, optionally with another output or more fields."""
        return (
            f'{{"input_tokens":{self.input},"cache_creation_input_tokens":{self.write_5m + self.write_1h},'
            f'"cache_read_input_tokens":{self.read},"output_tokens":{self.output if output is None else output},'
            f'"service_tier":"standard","cache_creation":{{"ephemeral_1h_input_tokens":{self.write_1h},'
            f'"ephemeral_5m_input_tokens":{self.write_5m}}},"inference_geo":"not_available"{more},"speed":"standard"}}'
        )

    def main_text(self) -> str:
        """As JSON with the extra fields in the lines of a main conversation: the iterations of the response."""
        parts = self.text().replace('"service_tier":"standard",', "").partition(',"inference_geo"')[0]
        tools = '"server_tool_use":{"web_search_requests":0,"web_fetch_requests":0}'
        return self.text(more=f',{tools},"iterations":[{parts},"type":"message"}}]')


class Transcript(ABC):
    """A file that is written line by line. It tracks the time, the last entry and the size of the context."""

    agent = ""
    """The fields about the sub-agent in each line."""

    task: int | None = None
    """The number of responses of the sub-agent that the next response starts; None if it starts none."""

    def __init__(self, world: World, file: BinaryIO, session: Session, model: str, now_ms: int) -> None:
        self.world, self.chance, self.session, self.model = world, world.chance, session, model
        self.now_ms = now_ms
        self.calls = 0
        self.counted = Tokens()
        self._file = file
        self._parent = "null"
        self._context = 12_000 + world.some(4000)
        self._cached = 0

    def put(self, line: str) -> None:
        """Write one line."""
        data = f"{line}\n".encode()
        self._file.write(data)
        self.world.truth.size_bytes += len(data)

    def wait(self, low: float, high: float) -> None:
        """Advance the time by `low` to `high` seconds."""
        self.now_ms += int(1000 * (low + (high - low) * self.chance.random()))

    def entry(self, what: str) -> str:
        """Write an entry that follows the one before. Its UUID."""
        uuid = self.world.uuid()
        sidechain = "true" if self.agent else "false"
        self.put(
            f'{{"parentUuid":{self._parent},"isSidechain":{sidechain},{self.agent}{what},"uuid":"{uuid}",'
            f'"timestamp":"{_instant(self.now_ms)}",{self.session.tail}}}'
        )
        self._parent = f'"{uuid}"'
        return uuid

    def prompt(self, text: str) -> str:
        """Write a prompt."""
        self._context += len(text) // 4
        return self.entry(
            f'"promptId":"{self.session.prompt_id}","type":"user","message":{{"role":"user","content":"{text}"}}'
        )

    def respond(self, *, is_last: bool) -> None:
        """Write a response, one line per block, and the results of its tools. The last one has no tools."""
        self.wait(1, 20)
        if self.now_ms // DAY_MS != (self.now_ms + RESPONSE_MS) // DAY_MS:
            self.now_ms += DAY_MS - self.now_ms % DAY_MS + 500
        day = _day(self.now_ms // DAY_MS)
        usage = self._usage()
        self.world.responses += 1
        self.count(day, Tokens(1, usage.input, usage.output, usage.read, usage.write_5m, usage.write_1h, usage.output))
        for call in self._lines(self.chance.choice(_LAST_BLOCKS if is_last else _BLOCKS), usage, is_last=is_last):
            self._result(*call)

    def count(self, day: str, tokens: Tokens) -> None:
        """Add tokens to the counts of a day."""
        self.last_day = day
        self.counted.add(tokens)
        self.world.truth.cells[day, self.model].add(tokens)

    def _lines(self, blocks: Sequence[Block], usage: _Usage, *, is_last: bool) -> list[tuple[str, str, str]]:
        """Write the lines of a response. Returns the tool calls without a result yet: id, name, and the UUID of the
        line."""
        head = f'"message":{{"model":"{self.model}","id":"{self.world.name("msg_01", 22)}","type":"message",'
        head += '"role":"assistant","content":['
        foot = f'],{self._end_of_message(usage, is_last=is_last)}}},"requestId":"{self.world.name("req_011", 21)}",'
        foot += '"type":"assistant"'
        tools = blocks.count("tool")
        at_once = self.chance.random() < 0.5
        waiting = []
        for block in blocks:
            self.wait(0.1, 2)
            if block != "tool":
                self.entry(head + self._words(block) + foot)
                continue
            tools -= 1
            call = self.world.name("toolu_01", 22)
            name = "Task" if self.task is not None and tools == 0 else self.chance.choice(_TOOLS)
            uuid = self.entry(f'{head}{{"type":"tool_use","id":"{call}","name":"{name}",{self._input(name)}}}{foot}')
            if at_once and tools > 0:
                self._result(call, name, uuid)
            else:
                waiting.append((call, name, uuid))
        return waiting

    def _words(self, block: Block) -> str:
        if block == "thinking":
            return f'{{"type":"thinking","thinking":"","signature":"{self.world.text.signature()}"}}'
        return f'{{"type":"text","text":"{self.world.text.take(self.world.some(260))}"}}'

    def _input(self, name: str) -> str:
        take, path = self.world.text.take, self.session.path()
        if name == "Task":
            self.session.task = (self.chance.choice(_AGENTS), take(500))
            agent_type, prompt = self.session.task
            return f'"input":{{"description":"Look into it","prompt":"{prompt}","subagent_type":"{agent_type}"}}'
        if name == "Edit":
            return f'"input":{{"file_path":"{path}","old_string":"{take(120)}","new_string":"{take(180)}"}}'
        if name == "Bash":
            return f'"input":{{"command":"{take(60)}","description":"Run it"}}'
        return f'"input":{{"pattern":"{take(20)}"}}' if name == "Grep" else f'"input":{{"file_path":"{path}"}}'

    def _result(self, call: str, name: str, source: str) -> None:
        self.wait(0.05, 4)
        failed = self.chance.random() < 0.04
        text = self.world.text.take(120 if failed else self.world.room())
        content, result = (text, f'"Error: {text}"') if failed else self._tool_output(name, text)
        self.answer(call, source, content, result, more=',"is_error":true' if failed else "")

    def _tool_output(self, name: str, text: str) -> tuple[str, str]:
        """The output of a tool for the model, and for the program."""
        path = self.session.path()
        if name == "Edit":
            patch = '[{"oldStart":3,"oldLines":6,"newStart":3,"newLines":7,"lines":[" a","-b","+c"]}]'
            result = f'{{"filePath":"{path}","oldString":"b","newString":"c","originalFile":"{text}{text}",'
            result += f'"structuredPatch":{patch},"userModified":false,"replaceAll":false}}'
            return f"The file {path} has been updated.", result
        if name == "Bash":
            return text, f'{{"stdout":"{text}","stderr":"","interrupted":false,"isImage":false}}'
        lines = text.count("\\n")
        if name == "Grep":
            return text, f'{{"mode":"content","numFiles":0,"filenames":[],"content":"{text}","numLines":{lines}}}'
        file = f'"filePath":"{path}","content":"{text}","numLines":{lines},"startLine":1,"totalLines":{lines}'
        return text, f'{{"type":"text","file":{{{file}}}}}'

    def answer(self, call: str, source: str, content: str, result: str, more: str = "") -> None:
        """Write the result of a tool."""
        self.calls += 1
        self._context += len(content) // 12
        self.entry(
            f'"promptId":"{self.session.prompt_id}","type":"user","message":{{"role":"user","content":[{{'
            f'"tool_use_id":"{call}","type":"tool_result","content":"{content}"{more}}}]}},"toolUseResult":{result},'
            f'"sourceToolAssistantUUID":"{source}"'
        )

    def attach(self) -> None:
        """Write an attachment."""
        content = self.world.text.take(self.world.some(500))
        self.entry(f'"attachment":{{"type":"queued_command","content":"{content}"}},"type":"attachment"')

    def _fill(self) -> tuple[int, int, int]:
        """Input tokens of the next response: not cached, read from the cache, written to it."""
        if self._context > 165_000:
            self._context, self._cached = 22_000, 9000
        read, written = self._cached, self._context - self._cached
        self._cached = self._context
        return self.chance.randint(1, 12), read, written

    @abstractmethod
    def _usage(self) -> _Usage:
        """The usage of the next response, as its lines have it."""

    @abstractmethod
    def _end_of_message(self, usage: _Usage, *, is_last: bool) -> str:
        """The part of a response line after its content."""


class MainTranscript(Transcript):
    """The conversation of a session. Its lines have the final usage and the stop reason."""

    def _usage(self) -> _Usage:
        fresh, read, written = self._fill()
        output = self.world.some(320, 1)
        self._context += output
        five, hour = (written, 0) if self.session.is_short else (0, written)
        return _Usage(fresh, output, read, five, hour)

    def _end_of_message(self, usage: _Usage, *, is_last: bool) -> str:
        reason = "end_turn" if is_last else "tool_use"
        return f'"stop_reason":"{reason}","stop_sequence":null,"stop_details":null,"usage":{usage.main_text()}'

    def _result(self, call: str, name: str, source: str) -> None:
        if name == "Task":
            self._delegate(call, source)
        else:
            super()._result(call, name, source)

    def _delegate(self, call: str, source: str) -> None:
        """Write the file of a sub-agent, then the result of its run."""
        agent_type, prompt = self.session.task
        agent_id = f"a{self.chance.getrandbits(64):016x}"
        assert self.task is not None
        sub = _run(self, call, agent_id, self.task)
        spent, self.now_ms, self.task = sub.now_ms - self.now_ms, sub.now_ms, None
        text = self.world.text.take(600)
        result = (
            f'{{"status":"completed","prompt":"{prompt}","agentId":"{agent_id}","agentType":"{agent_type}",'
            f'"content":[{{"type":"text","text":"{text}"}}],"totalDurationMs":{spent},'
            f'"totalTokens":{sub.final.total},"totalToolUseCount":{sub.calls},"usage":{sub.final.text()}}}'
        )
        self.answer(call, source, text, result)

    def ask(self) -> None:
        """Write a prompt and the lines around it."""
        self.session.prompt_id = self.world.uuid()
        instant = _instant(self.now_ms)
        if self.chance.random() < 0.15:
            about = f'"timestamp":"{instant}","sessionId":"{self.session.session_id}"'
            content = self.world.text.take(80)
            self.put(f'{{"type":"queue-operation","operation":"enqueue",{about},"content":"{content}"}}')
            self.put(f'{{"type":"queue-operation","operation":"dequeue",{about}}}')
        uuid = self.prompt(self.world.text.take(self.world.some(150)))
        backup = f'"{self.session.path()}":{{"backupFileName":"{uuid[:8]}@v1","version":1,"backupTime":"{instant}"}}'
        self.put(
            f'{{"type":"file-history-snapshot","messageId":"{uuid}","snapshot":{{"messageId":"{uuid}",'
            f'"trackedFileBackups":{{{backup}}},"timestamp":"{instant}"}},"isSnapshotUpdate":false}}'
        )

    def end_turn(self) -> None:
        """Write the line after a turn."""
        self.wait(0.01, 0.2)
        self.entry('"type":"system","subtype":"turn_duration","durationMs":1234,"isMeta":false')
        self.wait(3, 30)


class SubAgentTranscript(Transcript):
    """The conversation of a sub-agent. Its lines have the usage at the start of a response, and no stop reason."""

    final = _Usage(0, 0, 0, 0, 0)
    """The final usage of the last response."""

    def _usage(self) -> _Usage:
        fresh, read, written = self._fill()
        self.final = _Usage(fresh, self.world.some(300, 1) + 5, read, written, 0)
        self._context += self.final.output
        self._placeholder = self.chance.randint(1, 5)
        return replace(self.final, output=self._placeholder)

    def _end_of_message(self, usage: _Usage, *, is_last: bool) -> str:  # noqa: ARG002 - the line has no stop reason
        return f'"stop_reason":null,"stop_sequence":null,"usage":{usage.text()}'

    def end(self, agent_type: str) -> None:
        """Count the final output of the last response, and the whole run."""
        self.count(self.last_day, Tokens(output_tokens=self.final.output - self._placeholder))
        self.world.truth.agents[agent_type].add(self.counted)
        self.world.truth.files += 1
        self.world.truth.runs += 1


@dataclass
class Session:
    """The state that the files of a session share."""

    world: World
    folder: Path
    session_id: str
    cwd: str
    tail: str
    is_short: bool
    prompt_id: str = ""
    task: tuple[str, str] = ("", "")

    def path(self) -> str:
        """The path of a file that the session works on."""
        return f"{self.cwd}/src/module_{self.world.chance.randrange(40)}.py"


def new_session(world: World) -> Session:
    chance = world.chance
    session_id, name = world.uuid(), chance.choice(_PROJECTS)
    cwd = f"/home/dev/{name}"
    tail = (
        f'"userType":"external","entrypoint":"cli","cwd":"{cwd}","sessionId":"{session_id}",'
        f'"version":"{chance.choice(_VERSIONS)}","gitBranch":"{chance.choice(_BRANCHES)}"'
    )
    folder = world.folder / f"-home-dev-{name}"
    folder.mkdir(exist_ok=True)
    return Session(world, folder, session_id, cwd, tail, chance.random() < 0.12)


def _run(main: MainTranscript, call: str, agent_id: str, responses: int) -> SubAgentTranscript:
    """Write the file of a sub-agent, and the meta file with its type."""
    session = main.session
    agent_type, prompt = session.task
    folder = session.folder / session.session_id / "subagents"
    folder.mkdir(parents=True, exist_ok=True)
    meta = json.dumps({"agentType": agent_type, "toolUseId": call})
    (folder / f"agent-{agent_id}.meta.json").write_text(meta, encoding="ascii")
    model = "claude-haiku-5-5" if agent_type == "Explore" else main.model
    with open(folder / f"agent-{agent_id}.jsonl", "wb", buffering=1 << 20) as file:
        sub = SubAgentTranscript(main.world, file, session, model, main.now_ms)
        sub.agent = f'"agentId":"{agent_id}",'
        if main.chance.random() < 0.5:
            sub.agent += f'"attributionAgent":"{agent_type}",'
        sub.prompt(prompt)
        for number in range(responses):
            sub.respond(is_last=number == responses - 1)
    sub.end(agent_type)
    return sub
