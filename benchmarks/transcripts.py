"""Transcripts of Claude Code, made up but shaped as version 2.1 writes them: `python benchmarks/transcripts.py FOLDER`.

FOLDER becomes a `projects` folder: a file for each session and one for each run of a sub-agent. What a store must find
in it is written to FOLDER.truth.json beside it: responses and tokens by day (UTC) and model. The same sizes, seed and
end date give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import string
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

SEED = 20
DAYS = 30
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-4-8")

MAIN = "main"
"""The agent of a session's own conversation."""

_DAY_MS = 86_400_000
_STEP_MS = 90_000
"""No response takes longer, with its tools and the prompt before it; the runs of sub-agents come on top."""

_RESPONSE_MS = 30_000
"""All lines of a response are written within this time."""

_SUB_FILES = 5
"""Every so many files, one is of a sub-agent."""

_SUB_SHARE = 0.15
"""The part of the responses that are of sub-agents."""

_MODEL_SHARES = (0.40, 0.35, 0.10, 0.15)
_VERSIONS = ("2.1.226", "2.1.241", "2.1.263", "2.1.288", "2.1.301")
_BRANCHES = ("main", "main", "develop", "feature/billing", "fix/flaky-test", "HEAD")
_PROJECTS = (
    "api", "billing", "blog", "cli", "compiler", "dashboard", "docs", "editor", "gateway", "importer", "infra",
    "kernel", "mailer", "mobile", "notes", "parser", "planner", "proxy", "reports", "scheduler", "search", "shop",
)  # fmt: skip
_AGENTS = ("Explore", "Plan", "general-purpose", "code-reviewer", "test-runner")
_TOOLS = ("Read", "Bash", "Edit", "Grep")
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

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
    """How much is made; of the bytes it is about so many, and never less than the lines need without results."""

    files: int
    responses: int
    size_bytes: int

    def over(self, divisor: int) -> Size:
        """The same, smaller."""
        return Size(*(part // divisor for part in self))


FULL = Size(1000, 90_000, 1 << 30)


@dataclass(slots=True)
class Tokens:
    """Counts of responses and of their tokens.

    `output_on_lines` is what the lines of the responses say of the output. `output_tokens` is what is known of it: a
    line of a sub-agent tells a few tokens only, but the result of its run tells what its last response really put out.
    """

    responses: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_on_lines: int = field(default=0, compare=False)

    def add(self, other: Tokens) -> None:
        """Count the other's too."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))


@dataclass
class Truth:
    """What the transcripts hold. A cell is a day and a model; an agent is a type of sub-agents, or `main`."""

    files: int = 0
    runs: int = 0
    size_bytes: int = 0
    cells: defaultdict[tuple[str, str], Tokens] = field(default_factory=lambda: defaultdict(Tokens))
    agents: defaultdict[str, Tokens] = field(default_factory=lambda: defaultdict(Tokens))

    def document(self) -> dict[str, Any]:
        """As it is written."""
        days, models, total = defaultdict[str, Tokens](Tokens), defaultdict[str, Tokens](Tokens), Tokens()
        for (day, model), tokens in self.cells.items():
            for sums in (days[day], models[model], total):
                sums.add(tokens)
        return {
            "files": self.files,
            "runs": self.runs,
            "bytes": self.size_bytes,
            "total": asdict(total),
            "days": _by_name(days),
            "models": _by_name(models),
            "agents": _by_name(self.agents),
            "cells": [
                {"day": day, "model": model, **asdict(self.cells[day, model])} for day, model in sorted(self.cells)
            ],
        }


def _by_name(sums: Mapping[str, Tokens]) -> dict[str, Any]:
    return {name: asdict(sums[name]) for name in sorted(sums)}


def truth_file(folder: Path) -> Path:
    """Where the truth of a folder is."""
    return folder.with_name(f"{folder.name}.truth.json")


def read_cells(path: Path) -> dict[tuple[str, str], Tokens]:
    """The truth by day and model."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {(cell.pop("day"), cell.pop("model")): Tokens(**cell) for cell in cells}


def read_agents(path: Path) -> dict[str, Tokens]:
    """The truth by agent."""
    agents = json.loads(path.read_text(encoding="utf-8"))["agents"]
    return {name: Tokens(**counts) for name, counts in agents.items()}


def write(folder: Path, size: Size, seed: int, end: date) -> Truth:
    """Write the folder, which must not be there, and its truth; the folder is complete or not there. Raises ValueError
    for sizes of which none can be made."""
    chance = random.Random(f"{size} {seed} {end}")  # noqa: S311 - nothing here is a secret
    plans = _plans(chance, size)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    world = _World(chance, _Text(chance), part, size, Truth())
    first_ms = _midnight_ms(end - timedelta(days=DAYS - 1))
    for plan in plans:
        _session(world, plan, first_ms)
    found = {"seed": seed, "end": str(end), **world.truth.document()}
    truth_file(folder).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(folder)
    return world.truth


class _Plan(NamedTuple):
    """A session: so many responses of its own, and so many of each sub-agent that it starts."""

    responses: int
    runs: tuple[int, ...]

    @property
    def longest_ms(self) -> int:
        """No such session takes longer. At each midnight, up to a response's time is skipped."""
        return (self.responses + sum(self.runs)) * _STEP_MS + (DAYS + 1) * 2 * _RESPONSE_MS * (1 + len(self.runs))


def _plans(chance: random.Random, size: Size) -> list[_Plan]:
    subs = size.files // _SUB_FILES
    mains = size.files - subs
    owners = [0] * mains
    for owner in chance.choices(range(mains), k=subs):
        owners[owner] += 1
    # Each sub-agent is started by a response that is not the last.
    least = [runs + 2 for runs in owners]
    of_subs = max(int(size.responses * _SUB_SHARE), subs) if subs else 0
    rest = size.responses - of_subs - sum(least)
    if mains < 1 or rest < 0:
        raise ValueError(f"{size.files:,} files need more responses than {size.responses:,}")
    own = [few + more for few, more in zip(least, _shares(chance, rest, mains), strict=True)]
    theirs = iter([1 + more for more in _shares(chance, of_subs - subs, subs)])
    plans = [_Plan(count, tuple(next(theirs) for _ in range(runs))) for count, runs in zip(own, owners, strict=True)]
    if max(plan.longest_ms for plan in plans) > DAYS * _DAY_MS:
        raise ValueError(f"{size.responses:,} responses need more files than {size.files:,}")
    return plans


def _shares(chance: random.Random, total: int, parts: int) -> list[int]:
    """A total in parts: most small, a few large."""
    ends = list(accumulate(chance.lognormvariate(0, 1) for _ in range(parts)))
    cuts = [0, *(int(total * end / ends[-1]) for end in ends[:-1]), total] if parts else [0]
    return [upper - lower for lower, upper in pairwise(cuts)]


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return str(date(1970, 1, 1) + timedelta(days=number))


def _instant(now_ms: int) -> str:
    day, rest = divmod(now_ms, _DAY_MS)
    seconds, millis = divmod(rest, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{_day(day)}T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{millis:03d}Z"


class _Text:
    """Text as it stands within a JSON string: lines of code and prose, cut out of one long piece."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 11))) for _ in range(600)]
        words += [
            "naïve",
            "größer",
            "→",
            "✓",
            "日本語",
            "🙂",
            '"',
            '{"usage":{"input_tokens":1}}',
            "\\d+",
            "\u2028",
            "</a>",
        ]
        lines = []
        for number in range(80_000):
            line = " " * (number * 7 % 5 * 4) + " ".join(chance.choices(words, k=number % 13))
            lines.append(json.dumps(f"{line}\n", ensure_ascii=False)[1:-1])
        self._all = "".join(lines)
        self._starts = [0, *accumulate(map(len, lines))]
        self._base64 = "".join(chance.choices(_BASE62 + "+/", k=8192))

    def take(self, size: int) -> str:
        """About so much of it, in whole lines."""
        size = min(size, len(self._all) // 2)
        first = int(self._chance.random() * bisect_right(self._starts, len(self._all) - size))
        start = self._starts[first]
        return self._all[start : self._starts[bisect_left(self._starts, start + size)]]

    def signature(self) -> str:
        """What stands where the thoughts of a model are not told."""
        size = self._chance.randint(200, 1400)
        start = int(self._chance.random() * (len(self._base64) - size))
        return self._base64[start : start + size]


@dataclass
class _World:
    """What all files share."""

    chance: random.Random
    text: _Text
    folder: Path
    size: Size
    truth: Truth
    responses: int = 0

    def uuid(self) -> str:
        """A random one."""
        text = f"{self.chance.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def name(self, prefix: str, size: int) -> str:
        """An identity as the API makes them."""
        return prefix + "".join(self.chance.choices(_BASE62, k=size))

    def some(self, median: float, sigma: float = 0.8) -> int:
        """A number, most often near the median, at times many times larger."""
        return int(median * math.exp(sigma * self.chance.gauss(0, 1))) + 1

    def room(self) -> int:
        """How long the text of a result is, so that the whole becomes as large as it should; it is written twice."""
        left = self.size.size_bytes - self.truth.size_bytes
        share = left / max(self.size.responses - self.responses, 1) - 2600
        return min(max(int(share / 2.2 * self.chance.lognormvariate(-0.6, 1.1)), 20), 1 << 20)


@dataclass(frozen=True, slots=True)
class _Usage:
    """The usage of one response, as its lines tell it."""

    input: int
    output: int
    read: int
    write_5m: int
    write_1h: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.input + self.output + self.read + self.write_5m + self.write_1h

    def text(self, output: int | None = None, more: str = "") -> str:
        """As JSON; with another output, or with more fields."""
        return (
            f'{{"input_tokens":{self.input},"cache_creation_input_tokens":{self.write_5m + self.write_1h},'
            f'"cache_read_input_tokens":{self.read},"output_tokens":{self.output if output is None else output},'
            f'"service_tier":"standard","cache_creation":{{"ephemeral_1h_input_tokens":{self.write_1h},'
            f'"ephemeral_5m_input_tokens":{self.write_5m}}},"inference_geo":"not_available"{more},"speed":"standard"}}'
        )

    def main_text(self) -> str:
        """As JSON with what lines of a main conversation tell beside it: the parts of which the response was made."""
        parts = self.text().replace('"service_tier":"standard",', "").partition(',"inference_geo"')[0]
        tools = '"server_tool_use":{"web_search_requests":0,"web_fetch_requests":0}'
        return self.text(more=f',{tools},"iterations":[{parts},"type":"message"}}]')


class _Transcript(ABC):
    """A file that is written from its top. Knows the time, the entry before and how full the context is."""

    agent = ""
    """What each line tells of the sub-agent."""

    task: int | None = None
    """The next response starts a sub-agent that makes so many responses."""

    def __init__(self, world: _World, file: BinaryIO, session: _Context, model: str, now_ms: int) -> None:
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
        """Let seconds pass."""
        self.now_ms += int(1000 * (low + (high - low) * self.chance.random()))

    def entry(self, what: str) -> str:
        """Write an entry of the conversation, which answers the one before; gives its uuid."""
        uuid = self.world.uuid()
        sidechain = "true" if self.agent else "false"
        self.put(
            f'{{"parentUuid":{self._parent},"isSidechain":{sidechain},{self.agent}{what},"uuid":"{uuid}",'
            f'"timestamp":"{_instant(self.now_ms)}",{self.session.tail}}}'
        )
        self._parent = f'"{uuid}"'
        return uuid

    def prompt(self, text: str) -> str:
        """Write what somebody asks for."""
        self._context += len(text) // 4
        return self.entry(
            f'"promptId":"{self.session.prompt_id}","type":"user","message":{{"role":"user","content":"{text}"}}'
        )

    def respond(self, *, is_last: bool) -> None:
        """Write a response, one line for each of its blocks, and the results of its tools. The last one has none."""
        self.wait(1, 20)
        if self.now_ms // _DAY_MS != (self.now_ms + _RESPONSE_MS) // _DAY_MS:
            self.now_ms += _DAY_MS - self.now_ms % _DAY_MS + 500
        day = _day(self.now_ms // _DAY_MS)
        usage = self._usage()
        self.world.responses += 1
        self.count(day, Tokens(1, usage.input, usage.output, usage.read, usage.write_5m, usage.write_1h, usage.output))
        for call in self._lines(self.chance.choice(_LAST_BLOCKS if is_last else _BLOCKS), usage, is_last=is_last):
            self._result(*call)

    def count(self, day: str, tokens: Tokens) -> None:
        """Note what the model of this file did on a day."""
        self.last_day = day
        self.counted.add(tokens)
        self.world.truth.cells[day, self.model].add(tokens)

    def _lines(self, blocks: Sequence[Block], usage: _Usage, *, is_last: bool) -> list[tuple[str, str, str]]:
        """Write the lines of a response; gives the calls of tools that wait for their results: id, name, and the uuid
        of the line."""
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
        content, result = (text, f'"Error: {text}"') if failed else self._told(name, text)
        self.answer(call, source, content, result, more=',"is_error":true' if failed else "")

    def _told(self, name: str, text: str) -> tuple[str, str]:
        """What a tool tells the model, and what it tells the program."""
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
        """Tokens of the next response that are not cached, read from the cache and written to it."""
        if self._context > 165_000:
            self._context, self._cached = 22_000, 9000
        read, written = self._cached, self._context - self._cached
        self._cached = self._context
        return self.chance.randint(1, 12), read, written

    @abstractmethod
    def _usage(self) -> _Usage:
        """That of the next response, as its lines tell it."""

    @abstractmethod
    def _end_of_message(self, usage: _Usage, *, is_last: bool) -> str:
        """What stands in a line of a response after its content."""


class _Main(_Transcript):
    """A session's own conversation. Its lines tell the final usage, and why the response ended."""

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
        """Write the file of a sub-agent, then what its run came to."""
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
        """Write what stands about a prompt, and the prompt."""
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
        """Write what stands after a turn."""
        self.wait(0.01, 0.2)
        self.entry('"type":"system","subtype":"turn_duration","durationMs":1234,"isMeta":false')
        self.wait(3, 30)


class _Sub(_Transcript):
    """A sub-agent's conversation. Its lines tell the usage as it was when a response began, and not that it ended."""

    final = _Usage(0, 0, 0, 0, 0)
    """The usage of the last response when it had ended."""

    def _usage(self) -> _Usage:
        fresh, read, written = self._fill()
        self.final = _Usage(fresh, self.world.some(300, 1) + 5, read, written, 0)
        self._context += self.final.output
        self._told_output = self.chance.randint(1, 5)
        return replace(self.final, output=self._told_output)

    def _end_of_message(self, usage: _Usage, *, is_last: bool) -> str:  # noqa: ARG002 - the line does not know it
        return f'"stop_reason":null,"stop_sequence":null,"usage":{usage.text()}'

    def end(self, agent_type: str) -> None:
        """Note what became known of the last response, and what the sub-agent did in all."""
        self.count(self.last_day, Tokens(output_tokens=self.final.output - self._told_output))
        self.world.truth.agents[agent_type].add(self.counted)
        self.world.truth.files += 1
        self.world.truth.runs += 1


@dataclass
class _Context:
    """What the files of a session share."""

    world: _World
    folder: Path
    session_id: str
    cwd: str
    tail: str
    is_short: bool
    prompt_id: str = ""
    task: tuple[str, str] = ("", "")

    def path(self) -> str:
        """A file that the session works on."""
        return f"{self.cwd}/src/module_{self.world.chance.randrange(40)}.py"


def _context(world: _World) -> _Context:
    chance = world.chance
    session_id, name = world.uuid(), chance.choice(_PROJECTS)
    cwd = f"/home/dev/{name}"
    tail = (
        f'"userType":"external","entrypoint":"cli","cwd":"{cwd}","sessionId":"{session_id}",'
        f'"version":"{chance.choice(_VERSIONS)}","gitBranch":"{chance.choice(_BRANCHES)}"'
    )
    folder = world.folder / f"-home-dev-{name}"
    folder.mkdir(exist_ok=True)
    return _Context(world, folder, session_id, cwd, tail, chance.random() < 0.12)


def _session(world: _World, plan: _Plan, first_ms: int) -> None:
    """Write the files of a session."""
    chance, context = world.chance, _context(world)
    start_ms = first_ms + int(chance.random() * (DAYS * _DAY_MS - plan.longest_ms))
    (model,) = chance.choices(MODELS, _MODEL_SHARES)
    places = sorted(chance.sample(range(plan.responses - 1), len(plan.runs)))
    tasks = dict(zip(places, plan.runs, strict=True))
    with open(context.folder / f"{context.session_id}.jsonl", "wb", buffering=1 << 20) as file:
        main = _Main(world, file, context, model, start_ms)
        main.put(f'{{"type":"mode","mode":"normal","sessionId":"{context.session_id}"}}')
        is_last = True
        for number in range(plan.responses):
            if is_last:
                main.ask()
            main.task = tasks.get(number)
            is_last = number == plan.responses - 1 or (main.task is None and chance.random() < 0.12)
            main.respond(is_last=is_last)
            if chance.random() < 0.2:
                main.attach()
            if is_last:
                main.end_turn()
        main.put(f'{{"type":"ai-title","sessionId":"{context.session_id}","aiTitle":"{world.text.take(40)}"}}')
    world.truth.agents[MAIN].add(main.counted)
    world.truth.files += 1


def _run(main: _Main, call: str, agent_id: str, responses: int) -> _Sub:
    """Write the file of a sub-agent, and the one beside it that tells its type."""
    session = main.session
    agent_type, prompt = session.task
    folder = session.folder / session.session_id / "subagents"
    folder.mkdir(parents=True, exist_ok=True)
    meta = json.dumps({"agentType": agent_type, "toolUseId": call})
    (folder / f"agent-{agent_id}.meta.json").write_text(meta, encoding="ascii")
    model = "claude-haiku-5-5" if agent_type == "Explore" else main.model
    with open(folder / f"agent-{agent_id}.jsonl", "wb", buffering=1 << 20) as file:
        sub = _Sub(main.world, file, session, model, main.now_ms)
        sub.agent = f'"agentId":"{agent_id}",'
        if main.chance.random() < 0.5:
            sub.agent += f'"attributionAgent":"{agent_type}",'
        sub.prompt(prompt)
        for number in range(responses):
            sub.respond(is_last=number == responses - 1)
    sub.end(agent_type)
    return sub


_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def _bytes(text: str) -> int:
    number = text.rstrip(string.ascii_letters)
    return int(float(number) * _UNITS[text[len(number) :]])


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--files", type=int, default=FULL.files, metavar="N", help=f"Default: {FULL.files}.")
    parser.add_argument(
        "--responses", type=int, default=FULL.responses, metavar="N", help=f"Default: {FULL.responses}."
    )
    parser.add_argument(
        "--bytes", type=_bytes, default=FULL.size_bytes, metavar="SIZE", help="50MiB, for example. Default: 1GiB."
    )
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"Default: {SEED}.")
    parser.add_argument(
        "--end", type=date.fromisoformat, metavar="DATE", help="The last of the 30 days. Default: yesterday (UTC)."
    )
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} is there already")
    size = Size(options.files, options.responses, options.bytes)
    try:
        truth = write(options.folder, size, options.seed, options.end or yesterday())
    except ValueError as error:
        parser.error(str(error))
    total = truth.document()["total"]
    print(f"{truth.files:,} files, {total['responses']:,} responses, {truth.size_bytes:,} bytes")


def yesterday() -> date:
    """The last day of which no more can come."""
    return datetime.now(UTC).date() - timedelta(days=1)


if __name__ == "__main__":
    _main()
