"""Write the sample history as if it ended a minute ago.

`scripts/demo` imports it, so that the dashboard has something to show. The sample itself stays as it is.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "executions-1.3.jsonl"


def recent_lines(sample: str, end: datetime) -> str:
    """The lines of a history (times in UTC, without an offset), moved so that the last execution ends at `end`."""
    lines = [json.loads(line) for line in sample.splitlines()]
    times = [datetime.fromisoformat(line["timestamp"]).replace(tzinfo=UTC) for line in lines]
    by = end - max(times)
    moved = [line | {"timestamp": (time + by).isoformat()} for line, time in zip(lines, times, strict=True)]
    return "".join(json.dumps(line) + "\n" for line in moved)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Write the sample history as if it ended a minute ago.",
        epilog="Example: scripts/recent_sample.py recent.jsonl",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the JSONL file to write")
    a_minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    parser.parse_args().file.write_text(
        recent_lines(SAMPLE.read_text(encoding="utf-8"), a_minute_ago), encoding="utf-8"
    )
