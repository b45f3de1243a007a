"""Compares the figures of `claude-force ingest` with those of ccusage: `python benchmarks/compare_ccusage.py [FOLDER]`.

FOLDER is a `projects` folder of Claude Code; without it, transcripts are generated, and odd cases written by hand.
Each difference is traced to its reason by an experiment: the transcripts are written again without what the reason
names, both programs read them again, and what of the difference is gone then is due to it. Ends with 1 where a
difference is left that no reason explains.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import common, transcripts
from benchmarks.common import Failed, say
from benchmarks.ingesting import report, reported_cells, table, tokens_of
from benchmarks.transcripts import SEED, Size, Tokens, read_cells, truth_file
from benchmarks.workspace import Workspace

SMALL, END = Size(30, 600, 3 << 20), date(2026, 11, 20)


class Counts(NamedTuple):
    """Tokens as both programs tell them; or differences of them."""

    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0

    def plus(self, other: Counts, sign: int = 1) -> Counts:
        """Both together; or without the other."""
        return Counts(*(mine + sign * its for mine, its in zip(self, other, strict=True)))


NOTHING = Counts()
Cell = tuple[str, str]
"""A day (UTC) and a model."""

Cells = dict[Cell, Counts]


def minus(mine: Mapping[Cell, Counts], other: Mapping[Cell, Counts]) -> Cells:
    """The cells in which they differ."""
    found = {cell: mine.get(cell, NOTHING).plus(other.get(cell, NOTHING), -1) for cell in mine.keys() | other.keys()}
    return {cell: counts for cell, counts in sorted(found.items()) if counts != NOTHING}


def total(cells: Iterable[Counts]) -> Counts:
    """All of them together."""
    found = NOTHING
    for counts in cells:
        found = found.plus(counts)
    return found


Entry = dict[str, Any]
Change = Callable[[bytes, Entry], bool]
"""Takes what is odd out of the entry of a line; says whether there was anything."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Something in transcripts that the two programs take differently; `begin` gives what takes it out of a file."""

    name: str
    said: str
    begin: Callable[[], Change]


def _message(entry: Entry) -> Entry:
    message = entry.get("message")
    return message if isinstance(message, dict) else {}


def _usage(entry: Entry) -> Entry:
    usage = _message(entry).get("usage")
    return usage if isinstance(usage, dict) else {}


def _without_result(_: bytes, entry: Entry) -> bool:
    result = entry.get("toolUseResult")
    if not isinstance(result, dict) or "agentId" not in result:
        return False
    return (result.pop("usage", None), result.pop("totalTokens", None)) != (None, None)


def _without_null(_: bytes, entry: Entry) -> bool:
    places = ((entry, ("cwd", "costUSD", "version", "sessionId", "isApiErrorMessage")), (_usage(entry), ("speed",)))
    nulls = [(place, name) for place, names in places for name in names if place.get(name, "") is None]
    for place, name in nulls:
        del place[name]
    return bool(nulls)


def _with_usual_version(_: bytes, entry: Entry) -> bool:
    version = entry.get("version")
    if not isinstance(version, str) or version.count(".") == 2:
        return False
    entry["version"] = "2.1.301"
    return True


def _with_milliseconds(_: bytes, entry: Entry) -> bool:
    head, point, fraction = str(entry.get("timestamp", "")).partition(".")
    digits = fraction.rstrip("Z")
    if not point or len(digits) == 3 or not digits.isdigit():
        return False
    entry["timestamp"] = f"{head}.{digits[:3]:0<3}Z"
    return True


def _at_usual_speed(_: bytes, entry: Entry) -> bool:
    if _usage(entry).get("speed") != "fast":
        return False
    _usage(entry)["speed"] = "standard"
    return True


def _with_request_id(_: bytes, entry: Entry) -> bool:
    usage = _usage(entry)
    if not usage or entry.get("requestId"):
        return False
    prompt = [usage.get(name) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    entry["requestId"] = "-".join(map(str, ["req", _message(entry).get("id"), *prompt]))
    return True


def _without_tiers(_: bytes, entry: Entry) -> bool:
    tiers, usage = _usage(entry).get("cache_creation"), _usage(entry)
    if not isinstance(tiers, dict) or sum(tiers.values()) == usage.get("cache_creation_input_tokens"):
        return False
    del usage["cache_creation"]
    return True


def _without_spaces(line: bytes, _: Entry) -> bool:
    # That it is written again is enough.
    return _spaced(line)


def _spaced(line: bytes) -> bool:
    return b'"usage": ' in line and b'"usage":{' not in line


def _at_its_beginning() -> Change:
    """All lines of a response at the time of its first."""
    begun: dict[tuple[Any, Any], str] = {}

    def change(_: bytes, entry: Entry) -> bool:
        message_id, instant = _message(entry).get("id"), entry.get("timestamp")
        if not message_id or not isinstance(instant, str):
            return False
        first = begun.setdefault((message_id, entry.get("requestId")), instant)
        entry["timestamp"] = first if first[:10] != instant[:10] else instant
        return first[:10] != instant[:10]

    return change


SEVERAL = "several of them"
"""The name of what is gone only when several reasons are taken out at once."""

REASONS = (
    Reason(
        "task-result",
        "The lines of a sub-agent tell a few tokens of output, and never more. The result of its run tells what its "
        "last response really put out: claude-force takes that, ccusage does not look there.",
        lambda: _without_result,
    ),
    Reason(
        "null-field",
        "ccusage drops a line in which a field is null that it expects to be text (`version`, `cwd`, `speed`, ...).",
        lambda: _without_null,
    ),
    Reason(
        "other-version",
        "ccusage drops a line whose `version` is not three numbers.",
        lambda: _with_usual_version,
    ),
    Reason(
        "fraction",
        "ccusage drops a line whose timestamp has a fraction of other than three digits.",
        lambda: _with_milliseconds,
    ),
    Reason("spaces", 'ccusage only takes lines that hold `"usage":{`, without a space.', lambda: _without_spaces),
    Reason(
        "fast",
        "ccusage appends `-fast` to the model of a response in fast mode, claude-force does not.",
        lambda: _at_usual_speed,
    ),
    Reason(
        "no-request-id",
        "Without a request id, ccusage counts the copies of a response in forked sessions again; claude-force knows "
        "them by message id, instant and prompt.",
        lambda: _with_request_id,
    ),
    Reason(
        "tiers",
        "Where the tiers of the cache writes come to less than the sum that is told beside, ccusage takes the tiers, "
        "claude-force the sum.",
        lambda: _without_tiers,
    ),
    Reason(
        "midnight",
        "A response that goes on past midnight belongs to the day on which it began for ccusage, to that on which it "
        "ended for claude-force.",
        _at_its_beginning,
    ),
)


def found_in(folder: Path) -> list[Reason]:
    """The reasons of which a folder holds something."""
    found: set[str] = set()
    for path in sorted(folder.rglob("*.jsonl")):
        changes = [(reason.name, reason.begin()) for reason in REASONS]
        with open(path, "rb") as lines:
            for line, entry in _entries(lines):
                found.update(name for name, change in changes if entry is not None and change(line, entry))
    return [reason for reason in REASONS if reason.name in found]


def rewrite(source: Path, target: Path, reasons: Sequence[Reason]) -> None:
    """Write a folder again without what is odd for these reasons. Files are as old as they were."""
    for path in sorted(source.rglob("*")):
        other = target / path.relative_to(source)
        if path.is_dir():
            continue
        other.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".jsonl":
            shutil.copy2(path, other)
            continue
        changes = [reason.begin() for reason in reasons]
        with open(path, "rb") as lines, open(other, "wb") as file:
            for line, entry in _entries(lines):
                # Each of them changes the entry: none may be left out because one before it did.
                changed = entry is not None and sum(change(line, entry) for change in changes) > 0
                file.write(
                    _written(entry, spaced=_spaced(line) and _without_spaces not in changes) if changed else line
                )
        shutil.copystat(path, other)


def _written(entry: Entry | None, *, spaced: bool) -> bytes:
    return json.dumps(entry).encode() + b"\n" if spaced else orjson.dumps(entry) + b"\n"


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[bytes, Entry | None]]:
    """Each line with its entry; None where it is no JSON object."""
    for line in lines:
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            entry = None
        yield line, entry if isinstance(entry, dict) else None


# Odd cases, written by hand: each is a few files by their path below its project.

Files = dict[str, list[Entry | str]]
"""Lines by path; one that is text is written as it is, without a newline of ours."""


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
    """A response with a few tokens of its own; `usage` is joined to what it has, None takes a field away."""
    usage = {
        "input_tokens": 7 + number,
        "output_tokens": 100 + number,
        "cache_creation_input_tokens": 1000 * number,
        "cache_read_input_tokens": 20_000 * number,
    }
    message = {
        "model": "claude-sonnet-5-5",
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
    """All of them, by name."""
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
    }


def _error(session: str) -> Entry:
    """What Claude Code writes where the API refused."""
    counts = dict.fromkeys(_response(session)["message"]["usage"], 0)
    message = {"id": "0-1-2", "model": "<synthetic>", "content": [{"type": "text", "text": "API Error: 529"}]}
    return _response(session, 2, message=message, usage=counts, isApiErrorMessage=True)


def _fork(session: str, *lacking: str, **other: str) -> Files:
    """A session, and another that begins with a copy of it."""
    lines = [_prompt(session), _without(_response(session), *lacking)]
    copies = [entry | {"sessionId": f"{session}-copy"} for entry in lines]
    copies[-1] |= other
    return {f"{session}.jsonl": [*lines], f"{session}-copy.jsonl": [*copies]}


def _constant(session: str) -> Files:
    """Sessions behind a gateway that gives all responses one id, and no request id."""
    message = {"id": "msg_gateway"}
    found: Files = {}
    for name, first in ((session, 1), (f"{session}-2", 3)):
        responses = [_without(_response(name, first + more, message=message), "requestId") for more in (0, 1)]
        # Each answers a prompt of its own.
        prompts = [_prompt(name, uuid=response["parentUuid"]) for response in responses]
        prompts[1] |= {"parentUuid": responses[0]["uuid"], "uuid": f"{name}-prompt"}
        responses[1]["parentUuid"] = f"{name}-prompt"
        found[f"{name}.jsonl"] = [prompts[0], responses[0], prompts[1], responses[1]]
    return found


def _sub_agent(session: str) -> Files:
    """A session with a sub-agent, whose lines tell less than the result of its run."""
    asked = {"description": "Look", "prompt": f"Do what {session} asks for.", "subagent_type": "Explore"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "Task", "input": asked}
    task = _response(session, message={"content": [call], "stop_reason": "tool_use"})
    unknown = {"message": {"stop_reason": None}, "usage": {"output_tokens": 3}}
    theirs = [_response(session, 2, **_copy(unknown)), _response(session, 3, **_copy(unknown))]
    usage = theirs[-1]["message"]["usage"] | {"output_tokens": 480}
    result = {"status": "completed", "agentId": "a1", "totalTokens": sum(usage.values()), "totalDurationMs": 300_000}
    told = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "It is there."}]}
    answer = _prompt(
        session,
        message=told,
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
    """A sub-agent that has no file, only lines in that of its session, as older versions wrote them."""
    inner = _response(session, 2, isSidechain=True, agentId="a4")
    outer = _prompt(session, uuid=f"{session}-8", type="progress", message=None, timestamp=f"{DAY}T10:08:00.000Z")
    data = {"type": "agent_progress", "agentId": "a4", "message": inner}
    return _alone(session, _response(session), _without(outer, "message") | {"data": data})


def write_case(projects: Path, files: Files) -> None:
    """Write the files of a case, those that were there first as older ones."""
    for number, (name, lines) in enumerate(files.items()):
        path = projects / "-home-dev-odd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [line if isinstance(line, str) else f"{orjson.dumps(line).decode()}\n" for line in lines]
        path.write_text("".join(texts), encoding="utf-8")
        os.utime(path, (_OLD_S + number, _OLD_S + number))


_OLD_S = 1_794_300_000


# Both programs on one folder


@dataclass(frozen=True, slots=True)
class Read:
    """What both say of a folder."""

    ours: Cells
    theirs: Cells

    @property
    def difference(self) -> Cells:
        """Ours less theirs."""
        return minus(self.ours, self.theirs)


@dataclass
class Programs:
    """Both, working in a space."""

    space: Workspace
    ccusage: Path
    doubts: list[str] = field(default_factory=list)

    def read(self, projects: Path) -> Read:
        """Have both read a folder. Notes in `doubts` where our own reports do not agree with each other."""
        with tempfile.TemporaryDirectory(dir=self.space.folder) as folder:
            database = Path(folder) / "metrics.db"
            self.space.program("ingest", projects, "--db", database)
            tokens = reported_cells(self.space, database)
            self.doubts += [f"{projects.parent.name}: {doubt}" for doubt in self._disagreements(database, tokens)]
            config = Path(folder) / "config"
            config.mkdir()
            (config / "projects").symlink_to(projects)
            theirs = self._theirs(config)
        ours = {cell: _counts(counts) for cell, counts in tokens.items() if _counts(counts) != NOTHING}
        return Read(ours, theirs)

    def version(self) -> str:
        """That of ccusage."""
        return self._run("--version", config=self.space.folder).strip()

    def _disagreements(self, database: Path, cells: Mapping[Cell, Tokens]) -> Iterator[str]:
        reports = (
            ("trends", report(self.space, database, "trends")["trends"], "date", 0),
            ("costs", report(self.space, database, "costs")["by_model"], "model", 1),
            ("by-model", report(self.space, database, "by-model")["models"], "model", 1),
        )
        for name, rows, key, place in reports:
            sums: defaultdict[str, Tokens] = defaultdict(Tokens)
            for cell, tokens in cells.items():
                sums[cell[place]].add(tokens)
            if {row[key]: tokens_of(row) for row in rows if row["executions"]} != sums:
                yield f"`{name}` says other than `trends` of each model"

    def _theirs(self, config: Path) -> Cells:
        options = ("--offline", "--json", "--breakdown", "--timezone", "UTC")
        answer = json.loads(self._run("daily", *options, config=config))
        # Without anything to report it is an empty list.
        days = answer["daily"] if isinstance(answer, dict) else []
        names = ("inputTokens", "outputTokens", "cacheCreationTokens", "cacheReadTokens")
        return {
            (day["period"], row["modelName"]): Counts(*(row[name] for name in names))
            for day in days
            for row in day["modelBreakdowns"]
        }

    def _run(self, *arguments: str, config: Path) -> str:
        environment = {"HOME": str(self.space.home), "CLAUDE_CONFIG_DIR": str(config), "PATH": os.environ["PATH"]}
        return common.run([self.ccusage, *arguments], self.space.home, environment).output


def _counts(tokens: Tokens) -> Counts:
    written = tokens.cache_write_5m_tokens + tokens.cache_write_1h_tokens
    return Counts(tokens.input_tokens, tokens.output_tokens, written, tokens.cache_read_tokens)


# The difference, by reason


@dataclass(frozen=True, slots=True)
class Part:
    """What of a difference is gone when a reason is taken out of some transcripts (None: nobody knows why it is), and
    whose figures are others then."""

    unit: str
    reason: str | None
    cells: Cells
    moved: frozenset[str] = frozenset()


def explain(programs: Programs, unit: str, projects: Path, read: Read) -> list[Part]:
    """The parts of the difference between what both read there."""
    if not read.difference:
        return []
    present, parts, rest = found_in(projects), [], read.difference
    for reason in present:
        without = _read_without(programs, unit, projects, [reason])
        part = minus(read.difference, without.difference)
        sides = (("claude-force", read.ours, without.ours), ("ccusage", read.theirs, without.theirs))
        moved = frozenset(name for name, before, after in sides if minus(before, after))
        rest = minus(rest, part)
        parts.append(Part(unit, reason.name, part, moved))
    several = rest and len(present) > 1
    unknown = _read_without(programs, unit, projects, present).difference if several else rest
    parts += [Part(unit, SEVERAL, minus(rest, unknown)), Part(unit, None, unknown)]
    return [part for part in parts if part.cells]


def _read_without(programs: Programs, unit: str, projects: Path, reasons: Sequence[Reason]) -> Read:
    say(f"  without {', '.join(reason.name for reason in reasons)}")
    with tempfile.TemporaryDirectory(dir=programs.space.folder) as folder:
        other = Path(folder) / unit / "projects"
        rewrite(projects, other, reasons)
        return programs.read(other)


# The report


def _side_by_side(read: Read, place: int, name: str) -> str:
    """Both by day, or by model: one figure where they agree, else ours and theirs."""
    sums: dict[str, list[Counts]] = {}
    for number, cells in enumerate((read.ours, read.theirs)):
        for cell, counts in cells.items():
            pair = sums.setdefault(cell[place], [NOTHING, NOTHING])
            pair[number] = pair[number].plus(counts)
    sums = dict(sorted(sums.items())) | {"all": [total(read.ours.values()), total(read.theirs.values())]}
    rows = [
        (key, *(f"{mine:,}" if mine == its else f"{mine:,} / {its:,}" for mine, its in zip(*pair, strict=True)))
        for key, pair in sums.items()
    ]
    return table((name, *KINDS), rows)


KINDS = ("input", "output", "cache write", "cache read")


def _differences(parts: Sequence[Part]) -> str:
    """Each difference of a day and model, with where it is and what it comes of."""
    rows = [
        (day, model, *map(_signed, counts), part.unit, part.reason or "**unknown**")
        for part in parts
        for (day, model), counts in part.cells.items()
    ]
    return table(("day", "model", *KINDS, "in", "reason"), sorted(rows))


def _reasons(parts: Sequence[Part]) -> str:
    """What each reason is, whose figures it changes, and how much it is of the difference."""
    rows = []
    for reason in REASONS:
        mine = [part for part in parts if part.reason == reason.name]
        if mine:
            moved = ", ".join(sorted(set[str]().union(*(part.moved for part in mine))))
            sums = total(counts for part in mine for counts in part.cells.values())
            rows.append((reason.name, reason.said, moved, *map(_signed, sums)))
    return table(("reason", "what it is", "without it, others are the figures of", *KINDS), rows)


def _signed(amount: int) -> str:
    return f"{amount:+,}" if amount else "0"


def _against_truth(read: Read, truth: Path) -> list[str]:
    """What both say of generated transcripts, and what is in them."""
    cells = read_cells(truth)
    told = {cell: _counts(tokens) for cell, tokens in cells.items()}
    on_lines = {cell: told[cell]._replace(output=tokens.output_on_lines) for cell, tokens in cells.items()}
    sides = (
        ("claude-force", read.ours, told, "the truth"),
        ("ccusage", read.theirs, on_lines, "what the lines of responses say"),
    )
    return [f"{name}, generated: {_verdict(minus(found, true))} {said}." for name, found, true, said in sides]


def _verdict(difference: Cells) -> str:
    return f"in {len(difference)} cells other than" if difference else "exactly"


# The whole of it


def compare(programs: Programs, units: Mapping[str, Path], everything: Path) -> tuple[Read, list[Part], list[str]]:
    """Have both read everything, and each unit of it alone. What they say of everything, the parts of the difference,
    and what is to be doubted."""
    say("everything")
    whole = programs.read(everything)
    parts: list[Part] = []
    remarks: list[str] = []
    rest = whole.difference
    for unit, projects in units.items():
        say(unit)
        read = whole if projects == everything else programs.read(projects)
        parts += explain(programs, unit, projects, read)
        rest = minus(rest, read.difference)
        if truth_file(projects).exists():
            remarks += _against_truth(read, truth_file(projects))
    if rest:
        parts.append(Part("all of them together", None, rest))
    return whole, parts, remarks


def _made(space: Workspace) -> tuple[dict[str, Path], Path]:
    """Generated transcripts and each odd case in a folder of its own; and all in one."""
    everything = space.folder / "everything" / "projects"
    units = {"generated": space.folder / "generated" / "projects"}
    transcripts.write(units["generated"], SMALL, space.seed, space.end)
    for name, files in cases().items():
        units[name] = space.folder / name / "projects"
        write_case(units[name], files)
    for projects in units.values():
        shutil.copytree(projects, everything, dirs_exist_ok=True)
    return units, everything


def document(version: str, units: Iterable[str], whole: Read, parts: Sequence[Part], remarks: Sequence[str]) -> str:
    """The report as Markdown."""
    agreeing = [unit for unit in units if all(part.unit != unit for part in parts)]
    unknown = sum(part.reason is None for part in parts)
    ends = f"{unknown} unexplained." if unknown else "Each difference was gone when its reason was taken out."
    texts = [
        f"# claude-force and {version}",
        "One figure where both agree; else claude-force / ccusage.",
        _side_by_side(whole, 0, "day"),
        _side_by_side(whole, 1, "model"),
    ]
    if parts:
        texts += ["Every difference, as claude-force less ccusage:", _differences(parts), _reasons(parts), ends]
    texts.append("\n".join([f"Without a difference: {', '.join(agreeing) or 'none'}.", *remarks]))
    return "\n\n".join(texts)


def _run(ccusage: Path, given: Path | None) -> bool:
    """Compare, and print the report; whether everything is explained."""
    with tempfile.TemporaryDirectory(prefix="claude-force-ccusage-") as folder:
        space = Workspace(Path(folder).resolve(), SEED, END)
        programs = Programs(space, ccusage)
        units, everything = ({given.name: given}, given) if given else _made(space)
        whole, parts, remarks = compare(programs, units, everything)
        print(document(programs.version(), units, whole, parts, [*remarks, *programs.doubts]))
    return not programs.doubts and all(part.reason is not None for part in parts)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER")
    parser.add_argument("--ccusage", metavar="PATH", default="ccusage", help="Default: the one on the PATH.")
    options = parser.parse_args()
    ccusage = shutil.which(options.ccusage)
    if ccusage is None:
        sys.exit(f"error: no {options.ccusage}: `npm install ccusage`, then --ccusage node_modules/.bin/ccusage")
    if options.folder and not options.folder.is_dir():
        sys.exit(f"error: {options.folder} is no folder")
    try:
        is_explained = _run(Path(ccusage).absolute(), options.folder.resolve() if options.folder else None)
    except Failed as error:
        sys.exit(f"error: {error}")
    sys.exit(0 if is_explained else 1)


if __name__ == "__main__":
    _main()
