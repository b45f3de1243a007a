"""The speed of orjson and msgspec on the JSONL paths: `python benchmarks/json_libraries.py`.

Prints microseconds of CPU for each line, the best of forty runs; the libraries take turns. The last line compares the
bytes that are hashed into the uid of a line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec
import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from claude_force.clock import instant_formatter
from claude_force.executions.jsonl.codec import columns_of, decode_line
from claude_force.executions.jsonl.usual_lines import UsualLines
from claude_force.executions.record import ExecutionRow
from claude_force.ingest.equal_lines import OccurrenceCounter

LINES = (Path(__file__).parent.parent / "examples" / "executions-guide.jsonl").read_bytes().splitlines()
NUMBERS = (b"1", b"0.1", b"-0.0", b"1e-7", b"1e16", b"1.5e300", b"18446744073709551616")


def best_us(functions: Sequence[Callable[[Any], object]], values: Sequence[Any]) -> list[float]:
    """Microseconds of CPU for each value and function."""
    best = [float("inf")] * len(functions)
    for _ in range(40):
        for index, function in enumerate(functions):
            start = time.process_time()
            for value in values:
                function(value)
            best[index] = min(best[index], time.process_time() - start)
    return [seconds / len(values) * 1e6 for seconds in best]


def _measure(rows: Sequence[ExecutionRow], usual: UsualLines) -> Iterable[tuple[str, list[float]]]:
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
    format_time = instant_formatter(UTC)

    def encode_orjson(row: ExecutionRow) -> bytes:
        return orjson.dumps(columns_of(row, format_time), option=orjson.OPT_APPEND_NEWLINE)

    def encode_msgspec(row: ExecutionRow) -> bytes:
        return encode(columns_of(row, format_time)) + b"\n"

    yield "decode to a dict: orjson, msgspec", best_us((orjson.loads, decode), LINES)
    (alone,) = best_us((lambda line: decode_line(line, UTC),), LINES)
    (together,) = best_us((usual.read,), [LINES])
    yield "decode to a record: orjson and checks, msgspec typed by the column", [alone, together / len(LINES)]
    yield "encode a row: orjson, msgspec", best_us((encode_orjson, encode_msgspec), rows)


def _main() -> None:
    usual = UsualLines(UTC, None, OccurrenceCounter().increment_all, reprice=False)
    for name, figures in _measure(list(usual.read(LINES).rows), usual):
        print(f"{name}: {', '.join(f'{figure:.2f} us' for figure in figures)}")
    for number in NUMBERS:
        ours, theirs = orjson.dumps(orjson.loads(number)), msgspec.json.encode(msgspec.json.decode(number))
        if ours != theirs:
            print(f"different bytes for {number.decode()}: {ours.decode()}, {theirs.decode()}")


if __name__ == "__main__":
    _main()
