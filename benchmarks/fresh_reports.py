"""What a look for something new costs a report that finds nothing: `python benchmarks/fresh_reports.py [FILES]`.

Prints JSON: for each command the least CPU time (user and system, in milliseconds) with the look and with
`--no-ingest`, in pairs, and their ratio. The files are small: a look reads none, whatever their sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAM, run
from claude_force.database.open import open_database

PAIRS = 10
FILES, FILES_PER_FOLDER = 2000, 10

_SESSION = json.dumps({"session_id": "none", "cost": {"total_cost_usd": 1.0}})
_COMMANDS: dict[str, list[str | Path]] = {
    "summary --json": [PROGRAM, "summary", "--json"],
    "summary": [PROGRAM, "summary"],
    "statusline": ["sh", "-c", f"echo '{_SESSION}' | exec {PROGRAM} statusline \"$@\"", "sh"],
}


def write_transcripts(home: Path, files: int) -> None:
    """The transcripts of so many sessions, with one response each."""
    for number in range(files):
        session = f"{number:08d}-0000-4000-8000-000000000000"
        folder = home / ".claude" / "projects" / f"-home-ada-project-{number // FILES_PER_FOLDER}"
        folder.mkdir(parents=True, exist_ok=True)
        usage = {"input_tokens": 10, "output_tokens": 100, "cache_read_input_tokens": 1000}
        message = {"id": f"msg_{number}", "model": "claude-sonnet-4-5-20250929", "role": "assistant", "usage": usage}
        line = {"type": "assistant", "sessionId": session, "requestId": f"req_{number}", "message": message}
        line |= {"timestamp": f"2026-11-{1 + number % 28:02d}T12:00:00.000Z", "uuid": str(number)}
        (folder / f"{session}.jsonl").write_text(json.dumps(line) + "\n")


def measure(home: Path) -> dict[str, dict[str, float]]:
    """The times of each command in a home whose transcripts are all read."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TZ": "UTC"}
    run([PROGRAM, "ingest"], home, environment)
    found = {}
    for name, command in _COMMANDS.items():
        look, none = [], []
        for _ in range(PAIRS):
            _forget_pass(home)
            look.append(run(command, home, environment).cpu_s)
            none.append(run([*command, "--no-ingest"], home, environment).cpu_s)
        found[name] = {
            "look_ms": round(min(look) * 1000),
            "no_ingest_ms": round(min(none) * 1000),
            "ratio": round(min(look) / min(none), 2),
        }
    return found


def _forget_pass(home: Path) -> None:
    """Let the last pass be too old for the next report."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    with closing(database), database.write() as connection:
        connection.execute("UPDATE ingest_passes SET began_us = 0")


def main() -> None:
    """Measure in a new home."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="FILES", nargs="?", type=int, default=FILES)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_transcripts(home, parser.parse_args().files)
        print(json.dumps(measure(home), indent=2))


if __name__ == "__main__":
    main()
