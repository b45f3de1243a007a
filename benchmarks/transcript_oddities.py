"""Adds to generated transcripts what is rare in real ones: `add_oddities(projects)`.

Each file gets one oddity, or none. A change of a response is made on all of its lines.

| oddity      | what is changed                                                              |
|-------------|------------------------------------------------------------------------------|
| `advisor`   | a response in four asked an advisor: a step of another model                 |
| `steps`     | a response in four was compacted before, or is a fallback of another model   |
| `fast`, `batch`, `residency` | a response in two has that tier or data residency           |
| `refusal`   | a response in four was refused before any output                             |
| `spliced`   | lines lack their newline, follow NULs, or follow a line that was cut off     |
| `gateway`   | no line has a request id                                                     |
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

Entry = dict[str, Any]


def add_oddities(projects: Path) -> None:
    """Change the files of a folder, in the order of their paths."""
    for number, path in enumerate(sorted(projects.rglob("*.jsonl"))):
        oddity = _ODDITIES[number % len(_ODDITIES)]
        if oddity is not None:
            lines = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(oddity(lines)))


def _of_responses(change: Callable[[Entry, int], None]) -> Callable[[list[bytes]], Iterator[bytes]]:
    """An oddity of some responses. `change` gets an entry and a number that is that of the response."""

    def oddity(lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            entry = orjson.loads(line)
            is_response = entry.get("type") == "assistant"
            if is_response:
                change(entry, zlib.crc32(entry["message"]["id"].encode()))
            yield orjson.dumps(entry) + b"\n" if is_response else line

    return oddity


def _step(kind: str, *counts: int, model: str | None = None) -> Entry:
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    step = {"type": kind, **dict(zip(names, counts, strict=True))}
    return step if model is None else step | {"model": model}


def _with_advisor(entry: Entry, number: int) -> None:
    if number % 4 == 0 and "iterations" in entry["message"]["usage"]:
        advice = _step("advisor_message", 40_000 + number % 1000, 700, 0, 0, model="claude-opus-4-7")
        entry["message"]["usage"]["iterations"].append(advice)


def _with_steps(entry: Entry, number: int) -> None:
    steps = entry["message"]["usage"].get("iterations")
    if not steps:
        # A line of a sub-agent lists none.
        return
    if number % 8 == 0:
        steps.insert(0, _step("compaction", 170_000, 3000, 0, 0))
    elif number % 8 == 1:
        steps.insert(0, _step("message", 5000, 400 * (number % 2), 0, 0, model="claude-fable-5"))
        steps[-1] |= {"type": "fallback_message", "model": entry["message"]["model"]}


def _with_usage(**fields: str) -> Callable[[Entry, int], None]:
    def change(entry: Entry, number: int) -> None:
        if number % 2:
            entry["message"]["usage"] |= fields

    return change


def _refused(entry: Entry, number: int) -> None:
    message = entry["message"]
    if number % 4 == 0:
        category = ("cyber", "bio", "other")[number // 4 % 3]
        message |= {"stop_reason": "refusal", "stop_details": {"category": category}}
        message["usage"] |= {"output_tokens": 0, "iterations": []}


def _spliced(lines: list[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if number % 17 == 0:
            yield bytes(300)
        elif number % 17 == 1:
            yield line[: len(line) // 2]
        yield line.rstrip(b"\n") if number % 11 == 0 else line


def _without_request_ids(lines: list[bytes]) -> Iterator[bytes]:
    for line in lines:
        entry = orjson.loads(line)
        yield line if entry.pop("requestId", None) is None else orjson.dumps(entry) + b"\n"


_ODDITIES: tuple[Callable[[list[bytes]], Iterator[bytes]] | None, ...] = (
    None,
    _of_responses(_with_advisor),
    _of_responses(_with_steps),
    _of_responses(_with_usage(speed="fast")),
    _of_responses(_with_usage(service_tier="batch")),
    None,
    _of_responses(_with_usage(inference_geo="us")),
    _of_responses(_refused),
    _spliced,
    _without_request_ids,
)
