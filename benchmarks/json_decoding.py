"""The speed of JSON decoders, as a ratio to the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson

LINES = (Path(__file__).parent.parent / "examples" / "executions-guide.jsonl").read_bytes().splitlines() * 20


def seconds(decode: Callable[[bytes], Any]) -> float:
    """The best of five runs over all lines."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for line in LINES:
            decode(line)
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    base = seconds(json.loads)
    for name, decode in (("orjson", orjson.loads), ("msgspec", msgspec.json.Decoder().decode)):
        print(f"{name}: {seconds(decode) / base:.2f} of the standard library")
