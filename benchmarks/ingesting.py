"""Measures `claude-force ingest` against its bars, and its figures against the truth: `python benchmarks/ingesting.py`.

The transcripts are those of `transcripts.py`: 1 GiB, 1,000 files, 90,000 responses. Ends with 1 when a figure is wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import HERE, Failed, Usage, alternate, median, say
from benchmarks.figures import Figure, amount
from benchmarks.transcripts import FULL, SEED, Tokens, read_agents, read_cells, truth_file, yesterday
from benchmarks.workspace import Workspace

QUICK = 20
"""The part of the size that --quick takes."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Held:
    """A figure that was measured, and the bar that it is held against: seconds or bytes, both."""

    title: str
    of: Figure
    value: float
    limit: float

    def row(self, *, is_full: bool) -> tuple[str, ...]:
        """As a line of the table. The bars are those of the full size."""
        bar = f"at most {self.limit / 1e6:g} MB" if self.of == "peak_bytes" else f"at most {self.limit:g} s"
        verdict = "passed" if self.value <= self.limit else "**missed**"
        return self.title, amount(self.value, self.of), bar, verdict if is_full else "–"


def measure(space: Workspace, projects: Path, repeat: int) -> tuple[list[Held], Path]:
    """Take all of the measures; the last database of the first ingests stays."""
    database = space.folder / "database" / "metrics.db"

    def first() -> Usage:
        shutil.rmtree(database.parent, ignore_errors=True)
        database.parent.mkdir()
        return space.program("ingest", projects, "--db", database)

    def again() -> Usage:
        return space.program("ingest", projects, "--db", database)

    def costs() -> Usage:
        return space.program("analytics", "costs", "--trends", "--db", database)

    (firsts,) = _taken("first ingest", repeat, first)
    size = stored_bytes(database)
    seconds, passes = _taken("ingest with nothing new, costs", repeat, again, costs)
    return [
        Held("first `ingest`, wall", "wall_s", median(firsts, "wall_s"), 10),
        Held("first `ingest`, peak memory", "peak_bytes", median(firsts, "peak_bytes"), 150e6),
        Held("database, size", "peak_bytes", size, 60e6),
        Held("`ingest` with nothing new, wall", "wall_s", median(seconds, "wall_s"), 0.3),
        Held("`analytics costs --trends`, wall", "wall_s", median(passes, "wall_s"), 0.2),
    ], database


def _taken(title: str, repeat: int, *sides: Callable[[], Usage]) -> list[list[Usage]]:
    say(title)
    found = alternate(repeat, *sides)
    for usages in found:
        for usage in usages:
            wall, cpu = amount(usage.wall_s, "wall_s"), amount(usage.cpu_s, "cpu_s")
            say(f"  {wall} ({cpu} of CPU), {amount(usage.peak_bytes, 'peak_bytes')}")
    return found


def stored_bytes(database: Path) -> int:
    """The size of a database that is closed."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*"))


def report(space: Workspace, database: Path, *arguments: str) -> Any:
    """What a command of `analytics` says of all time."""
    found = space.program("analytics", *arguments, "--json", "--timezone", "UTC", "--db", database)
    return json.loads(found.output)


def tokens_of(row: Mapping[str, Any]) -> Tokens:
    """Those that a row of a report holds; what is not known counts as none."""
    counts = {part.name: row[part.name] or 0 for part in fields(Tokens) if part.name in row}
    return Tokens(responses=row["executions"], **counts)


def reported_cells(space: Workspace, database: Path) -> dict[tuple[str, str], Tokens]:
    """What the reports say of each day (UTC) and model."""
    models = [row["model"] for row in report(space, database, "by-model")["models"]]
    rows = [(row, model) for model in models for row in report(space, database, "trends", "--model", model)["trends"]]
    return {(row["date"], model): tokens_of(row) for row, model in rows if row["executions"]}


def wrong(name: str, found: Mapping[K, Tokens], true: Mapping[K, Tokens]) -> list[str]:
    """A line for each difference."""
    return [
        f"{name} {key}: {found.get(key)}, should be {true.get(key)}"
        for key in sorted(found.keys() | true.keys(), key=str)
        if found.get(key) != true.get(key)
    ]


def check(space: Workspace, database: Path, truth: Path) -> list[str]:
    """What the reports say other than the truth."""
    cells, agents = read_cells(truth), read_agents(truth)
    by_agent = {row["agent"]: tokens_of(row) for row in report(space, database, "by-agent")["agents"]}
    found = [*wrong("day and model", reported_cells(space, database), cells), *wrong("agent", by_agent, agents)]
    rows, true_rows = (
        report(space, database, "costs")["total_executions"],
        sum(counts.responses for counts in cells.values()),
    )
    return found if rows == true_rows else [f"executions: {rows:,}, should be {true_rows:,}", *found]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *rows))


def make(space: Workspace, divisor: int) -> Path:
    """Transcripts in the folder of the space."""
    projects, size = space.folder / "projects", FULL.over(divisor)
    say(f"generating {size.files:,} files")
    sizes = (("files", size.files), ("responses", size.responses), ("bytes", size.size_bytes), ("seed", space.seed))
    options = [text for name, value in sizes for text in (f"--{name}", str(value))]
    space.run(sys.executable, HERE / "transcripts.py", projects, *options, "--end", str(space.end))
    return projects


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"1/{QUICK} of the size, to try the program.")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="Runs of each; medians count. Default: 3.")
    parser.add_argument("--projects", type=Path, metavar="FOLDER", help="What transcripts.py made before, instead.")
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="Where temporary files go. Default: the system's."
    )
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="claude-force-ingesting-") as folder:
            space = Workspace(Path(folder).resolve(), SEED, yesterday())
            projects = (options.projects or make(space, QUICK if options.quick else 1)).resolve()
            found, database = measure(space, projects, options.repeat)
            say("comparing with the truth")
            errors = check(space, database, truth_file(projects))
    except Failed as error:
        sys.exit(f"error: {error}")
    is_full = sum(counts.responses for counts in read_agents(truth_file(projects)).values()) >= FULL.responses
    print(table(("figure", "measured", "bar", "verdict"), [held.row(is_full=is_full) for held in found]))
    print(*errors, f"Figures: {len(errors)} wrong." if errors else "Figures: all as they should be.", sep="\n")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    _main()
