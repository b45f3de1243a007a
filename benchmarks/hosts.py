"""What reports by host and user take beside `summary`: `python benchmarks/hosts.py COUNT`.

Imports so many executions of 12 hosts and 20 users (see generate.py). Prints the processor time of whole commands, by
turns, and as a multiple of that of `summary`.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import generate
from benchmarks.common import PROGRAM, alternate, median, run, say

REPORTS = (
    "summary", "by-agent", "by-host", "by-user", "by-host --last 30d", "by-user --last 30d",
    "by-user --sort-by cost --limit 5", "by-host --user user-03", "summary --host host-03", "summary --user user-03",
    "summary --user user-03 --last 30d", "costs --user user-03", "trends --user user-03", "by-agent --user user-03",
)  # fmt: skip
REPEAT = 3


def main(count: int) -> None:
    """Print a line for the import and for each report."""
    with TemporaryDirectory(prefix="claude-force-hosts-") as name:
        folder = Path(name)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CLAUDE_FORCE_")}
        environment = kept | {"HOME": name, "CLAUDE_FORCE_DB": str(folder / "team.db"), "TZ": "UTC"}
        say(f"generating {count:,} executions")
        generate.write(count, folder / "team.jsonl", generate.SEED, datetime.now(UTC).date(), is_of_team=True)
        used = run([PROGRAM, "import", "team.jsonl"], folder, environment)
        print(f"import: {used.cpu_s:.1f} s CPU, {(folder / 'team.db').stat().st_size / 1e6:,.0f} MB")
        measured = [partial(run, [PROGRAM, *report.split(), "--no-ingest"], folder, environment) for report in REPORTS]
        found = [median(usages, "cpu_s") for usages in alternate(REPEAT, *measured)]
        for report, seconds in zip(REPORTS, found, strict=True):
            print(f"{report}: {seconds * 1000:,.0f} ms CPU, {seconds / found[0]:.1f} of summary")


if __name__ == "__main__":
    main(int(sys.argv[1]))
