"""The measures: what is measured, what it is compared with, and the limit."""

from __future__ import annotations

import functools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import HERE, Failed, Usage, alternate, median
from benchmarks.generate import AGENTS, busy_day
from benchmarks.measures import Figure, Measure, Outcome, amount, ratio_of, short
from benchmarks.postgres import ROWS_LIMIT
from benchmarks.workspace import Workspace

GROUPS = ("import", "start", "reports", "day", "record", "export", "postgres", "others")
ZONES = ("UTC", "America/New_York")
REPORTS = (("summary",), ("by-agent",), ("costs",), ("trends", "--interval", "daily"))
OTHERS = {
    "predecessor": "all of the JSONL as Python objects",
    "duckdb-jsonl": "DuckDB over JSONL",
    "duckdb-parquet": "DuckDB over Parquet",
}
CONSTANT = 1.5
"""Memory counts as constant if 100 times the rows need less than this ratio."""


@dataclass
class Bench:
    """The measures of one run. A process that two measures share runs once; if it fails, both fail."""

    space: Workspace
    repeat: int
    small: int
    middle: int
    large: int
    _known: dict[str, Any] = field(default_factory=dict)

    def measures(self) -> Iterator[Measure]:
        """All measures, in an order in which earlier ones make the data of later ones."""
        yield from self._import()
        yield from self._start()
        yield from self._reports()
        yield from self._day()
        yield Measure("record", "`record_execution`, one record (p50)", self._record, 3)
        yield from self._export()
        yield from self._postgres()
        yield from self._others()

    def _import(self) -> Iterator[Measure]:
        name = f"`import` of {short(self.middle)} guide lines"
        yield Measure("import", f"{name}, wall", lambda: self._imported("wall_s", 1, "orjson, bare inserts"), 2.5)
        yield Measure("import", f"{name}, wall", lambda: self._imported("wall_s", 2, "json, bare inserts"))
        yield Measure("import", f"{name}, peak memory", self._middle_peak, 150, "MB")
        title = f"`import` of {short(self.large)} guide lines (once), peak memory"
        yield Measure("import", title, self._large_peak, 150, "MB")
        title = f"database of {short(self.middle)} executions, size"
        yield Measure("import", title, self._size, 60, "%")

    def _imports(self) -> list[list[Usage]]:
        def bare(decoder: str) -> Usage:
            for path in self.space.folder.glob("floor-*"):
                path.unlink()
            return self.space.floor(f"import-{decoder}", self.space.lines(self.middle), self._floor_database)

        def take() -> list[list[Usage]]:
            _warm(self.space.lines(self.middle))
            ours = functools.partial(self.space.import_lines, self.middle)
            return alternate(self.repeat, ours, lambda: bare("orjson"), lambda: bare("json"))

        found: list[list[Usage]] = self._once("imports", take)
        return found

    @property
    def _floor_database(self) -> Path:
        return self.space.folder / f"floor-{self.middle}-{self.space.seed}-{self.space.end}.db"

    def _imported(self, of: Figure, side: int, name: str) -> Outcome:
        found = self._imports()
        return ratio_of(found[0], found[side], of, name)

    def _middle_peak(self) -> Outcome:
        peak = median(self._imports()[0], "peak_bytes")
        return Outcome(amount(peak, "peak_bytes"), "", peak / 1e6)

    def _large_peak(self) -> Outcome:
        usage = self.space.import_lines(self.large)
        peak = amount(usage.peak_bytes, "peak_bytes")
        return Outcome(f"{peak} (in {usage.wall_s:.0f} s)", "", usage.peak_bytes / 1e6)

    def _size(self) -> Outcome:
        database = self.space.database(self.middle)
        ours = sum(path.stat().st_size for path in database.parent.iterdir() if not path.name.endswith("-shm"))
        lines = self.space.lines(self.middle).stat().st_size
        return Outcome(amount(ours, "peak_bytes"), f"the JSONL: {amount(lines, 'peak_bytes')}", 100 * ours / lines)

    def _start(self) -> Iterator[Measure]:
        for options, modules in (((), "sqlite3, click, rich.table, rich.console"), (("--json",), "sqlite3, click")):
            command = ("summary", "--days", "7", *options)

            def take(command: tuple[str, ...] = command, modules: str = modules) -> Outcome:
                ours = self._report(self.middle, *command)
                bare = functools.partial(self.space.run, sys.executable, "-c", f"import {modules}")
                return self._compared(ours, bare, "cpu_s", f"`import {modules}`")

            title = f"`analytics {' '.join(command)}`, {short(self.middle)} rows, CPU"
            yield Measure("start", title, take, 2)

    def _reports(self) -> Iterator[Measure]:
        for zone in ZONES:
            for report in REPORTS:
                title = f"`analytics {' '.join(report)}`, all time, {zone}, {short(self.large)} rows, wall"
                yield Measure("reports", title, functools.partial(self._growth, zone, *report), 2)

    def _day(self) -> Iterator[Measure]:
        day = str(busy_day(self.space.end))
        report = ("summary", "--start", day, "--end", day, "--agent", AGENTS[0])
        for zone in ZONES:
            title = f"`analytics summary` of one day and one agent, {zone}, {short(self.large)} rows, wall"
            yield Measure("day", title, functools.partial(self._growth, zone, *report), 1.3)

    def _growth(self, zone: str, *report: str) -> Outcome:
        """A report on the largest database compared with the same on the smallest."""
        few, many = (self._report(count, *report, zone=zone) for count in (self.small, self.large))
        return self._compared(many, few, "wall_s", f"{short(self.small)} rows")

    def _record(self) -> Outcome:
        def take() -> dict[str, float]:
            with tempfile.TemporaryDirectory(dir=self.space.folder) as folder:
                found: dict[str, float] = json.loads(
                    self.space.run(sys.executable, HERE / "recording.py", folder).output
                )
            return found

        (found,) = alternate(self.repeat, take)
        ours, bare = (statistics.median(medians[side] for medians in found) / 1e6 for side in ("ours_us", "bare_us"))
        return Outcome(amount(ours, "wall_s"), f"bare insert: {amount(bare, 'wall_s')}", ours / bare)

    def _export(self) -> Iterator[Measure]:
        name = f"`analytics export --format jsonl` of {short(self.middle)} rows"

        def take() -> list[list[Usage]]:
            bare = functools.partial(
                self.space.floor, "export", self.space.database(self.middle), self.space.folder / "floor.jsonl"
            )
            ours, few = self._exporting(self.middle), self._exporting(self.small)
            return alternate(self.repeat, ours, bare, few)

        def compare(side: int, of: Figure, other: str) -> Outcome:
            found = self._once("exports", take)
            return ratio_of(found[0], found[side], of, other)

        yield Measure(
            "export", f"{name}, wall", lambda: compare(1, "wall_s", "the same rows by bare sqlite3 and orjson"), 2
        )
        few = f"{short(self.small)} rows"
        yield Measure("export", f"{name}, peak memory", lambda: compare(2, "peak_bytes", few), CONSTANT)

    def _exporting(self, count: int) -> Callable[[], Usage]:
        output = self.space.folder / f"export-{count}.jsonl"
        return self._report(count, "export", "--format", "jsonl", "--output", str(output))

    def _postgres(self) -> Iterator[Measure]:
        name = f"PostgreSQL: all-time `analytics summary`, {short(self.middle)} rows"

        def rows() -> Outcome:
            lines = self.space.lines(self.middle)
            command = (sys.executable, HERE / "postgres.py", lines, "--json", "--repeat", str(self.repeat))
            answer = self._once("postgres", lambda: json.loads(self.space.run(*command).output))
            found = answer["reads"]["executions"]["rows"]
            return Outcome(f"{found:,} rows", "", found)

        yield Measure("postgres", f"{name}, rows of `executions` that were read", rows, ROWS_LIMIT, "rows")

    def postgres(self) -> Any:
        """The JSON of `postgres.py --json`; None if it did not run or failed."""
        found = self._known.get("postgres")
        return None if isinstance(found, Failed) else found

    def _others(self) -> Iterator[Measure]:
        def against(command: str, of: Figure) -> Outcome:
            ours, theirs = self._once(command, functools.partial(self._other, command))
            return ratio_of(theirs, ours, of, "")

        sides: tuple[tuple[Figure, str], ...] = (("wall_s", "wall"), ("cpu_s", "CPU"), ("peak_bytes", "peak memory"))
        for command, name in OTHERS.items():
            for figure, what in sides:
                yield Measure("others", f"{name}, {what}", functools.partial(against, command, figure))

    def _other(self, command: str) -> list[list[Usage]]:
        source = self.space.lines(self.middle)
        if command == "duckdb-parquet":
            parquet = self.space.folder / "executions.parquet"
            self.space.floor("make-parquet", source, parquet)
            source = parquet
        return self._paired(self._report(self.middle, "summary", "--json"), lambda: self.space.floor(command, source))

    def _report(self, count: int, *arguments: str, zone: str = "UTC") -> Callable[[], Usage]:
        """Runs an `analytics` command on the database of `count` executions, which this creates."""
        database = self.space.database(count)
        return lambda: self.space.program("analytics", *arguments, "--db", database, zone=zone)

    def _paired(self, ours: Callable[[], Usage], other: Callable[[], Usage]) -> list[list[Usage]]:
        """Run both by turns, after one run of each to warm up."""
        ours()
        other()
        return alternate(self.repeat, ours, other)

    def _compared(self, ours: Callable[[], Usage], other: Callable[[], Usage], of: Figure, name: str) -> Outcome:
        mine, theirs = self._paired(ours, other)
        return ratio_of(mine, theirs, of, name)

    def _once(self, name: str, take: Callable[[], Any]) -> Any:
        if name not in self._known:
            try:
                self._known[name] = take()
            except Failed as error:
                self._known[name] = error
        found = self._known[name]
        if isinstance(found, Failed):
            raise found
        return found


def _warm(path: Path) -> None:
    """Read a file, so that it is in the page cache."""
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass
