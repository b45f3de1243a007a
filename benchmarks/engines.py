"""PostgreSQL beside SQLite, by turns in one run: `python benchmarks/engines.py SMALL LARGE`.

Starts a server of its own and imports both files (see generate.py). It measures, with the bar of each ratio:

| `--only`  | PostgreSQL                                       | beside                                               |
|-----------|--------------------------------------------------|------------------------------------------------------|
| import    | an import of LARGE                               | one into SQLite                                      |
| reports   | reports of it, each a process                    | those of SQLite, and of SMALL                        |
| record    | `record_execution`                               | a prepared INSERT of the same row and its COMMIT     |
| writers   | eight processes that record                      | eight that insert                                    |
| waiting   | four that record during an import, and whoever   | during an import into another database of the server |
|           | wants the lock of the roll-ups                   |                                                      |

A row is inserted into a copy of `executions`: the same indexes, and as many rows. Ratios count: the machine may be
busy. LARGE with a million lines takes 2 minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAM, Failed, Usage, alternate, median, run, say
from benchmarks.import_beside import Waited, quantile, waited
from benchmarks.postgres import Server, server
from benchmarks.recording import timed
from benchmarks.writers import MAKE_BARE, bare_recorder, recorder, writers

REPORTS = ("summary", "by-agent", "costs", "trends")
WRITERS = 8
_BLOCK = 100
_WAITING_LINES, _WAITING_ROUNDS = 300_000, 2
MEASURES = ("import", "reports", "record", "writers", "waiting")


class Figure(NamedTuple):
    """One measure: of PostgreSQL, of what it is compared with, and the bar of their ratio, if it has one. `is_least`:
    the ratio must be at least the bar."""

    name: str
    found: float
    beside: float
    bar: float | None
    unit: str
    is_least: bool = False

    @property
    def ratio(self) -> float:
        """What is compared with the bar."""
        return self.found / self.beside if self.beside else math.inf

    @property
    def is_held(self) -> bool:
        """Whether the bar holds."""
        if self.bar is None:
            return True
        return self.ratio >= self.bar if self.is_least else self.ratio <= self.bar


class Engines:
    """Both engines with the same executions. `folder` is an empty one."""

    def __init__(self, running: Server, folder: Path, repeat: int) -> None:
        self._running, self._folder, self._repeat = running, folder, repeat

    def figures(self, small: Path, large: Path, measures: Collection[str]) -> Iterator[Figure]:
        """The measures. Raises Failed if a process fails."""
        few = self._imported(small, "small") if "reports" in measures else {}
        imports = list(self._import_figures(large, is_compared=bool({"import", "reports"} & set(measures))))
        if "import" in measures:
            yield from imports
        if "reports" in measures:
            yield from self._report_figures(few)
        if {"record", "writers"} & set(measures):
            say("copying the table")
            self._execute(*MAKE_BARE)
        if "record" in measures:
            yield self._recording()
        if "writers" in measures:
            yield from self._recording_at_once()
        if "waiting" in measures:
            yield from self._waiting(large)

    def _imported(self, lines: Path, name: str) -> dict[str, float]:
        self._import(lines, name, self._url(name))
        return {
            report: median(alternate(self._repeat, partial(self._report, report, self._url(name)))[0], "cpu_s")
            for report in REPORTS
        }

    def _import_figures(self, lines: Path, *, is_compared: bool) -> Iterator[Figure]:
        before = self._running.cpu_s()
        found = self._import(lines, "large", self._url("large"))
        server_s = self._running.cpu_s() - before
        if not is_compared:
            return
        file = self._import(lines, "large", str(self._folder / "large.db"))
        yield Figure("import", found.wall_s, file.wall_s, 2, "s")
        yield Figure("import, client", found.cpu_s, file.cpu_s, 2, "s CPU")
        yield Figure("import, client and server", found.cpu_s + server_s, file.cpu_s, None, "s CPU")
        yield Figure("import, memory of the client", found.peak_bytes / 1e6, 150, 1, "MB")
        yield Figure("import, memory on SQLite", file.peak_bytes / 1e6, 150, 1, "MB")

    def _report_figures(self, few: Mapping[str, float]) -> Iterator[Figure]:
        for report, (server_side, file_side) in self._reports("large").items():
            for measure, unit in (("cpu_s", "s CPU"), ("wall_s", "s")):
                found, beside = median(server_side, measure), median(file_side, measure)
                yield Figure(f"analytics {report}", found, beside, 3, unit)
            yield Figure(f"{report}, growth", median(server_side, "cpu_s"), few[report], 1.5, "s CPU")

    def _execute(self, *statements: str) -> None:
        with psycopg.connect(self._url("large"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _url(self, name: str) -> str:
        return self._running.url.replace("/metrics?", f"/{name}?")

    def _import(self, lines: Path, name: str, location: str) -> Usage:
        if "://" in location:
            self._create(name)
        say(f"importing {lines.name} into {location.partition('?')[0]}")
        used = self._program(location, "import", str(lines), "--timezone", "UTC", "--json")
        answer = json.loads(used.output)
        if answer["added"] != answer["read"]:
            raise Failed(f"import added {answer['added']:,} of {answer['read']:,} lines")
        if "://" in location:
            with psycopg.connect(location, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
        return used

    def _create(self, name: str) -> None:
        self._running.execute(f"CREATE DATABASE {name}")
        self._program(self._url(name), "db", "upgrade")

    def _reports(self, name: str) -> dict[str, list[list[Usage]]]:
        say("reports by turns")
        places = (self._url(name), str(self._folder / f"{name}.db"))
        return {
            report: alternate(self._repeat, *(partial(self._report, report, place) for place in places))
            for report in REPORTS
        }

    def _report(self, report: str, location: str) -> Usage:
        return self._program(location, "analytics", report, "--json", "--no-ingest")

    def _program(self, location: str, *arguments: str) -> Usage:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLAUDE_FORCE_")}
        environment = kept | {"HOME": str(self._folder), "TZ": "UTC"}
        return run([PROGRAM, *arguments, "--db", location], self._folder, environment)

    def _recording(self) -> Figure:
        say("recording by turns")
        url = self._url("large")
        ours, bare = recorder(url), bare_recorder(url)
        found: tuple[list[int], list[int]] = ([], [])
        for turn in range(1 + self._repeat):
            for times, record in zip(found, (ours, bare), strict=True):
                block = timed(record, range(_BLOCK))
                # The first block only warms up.
                times.extend(block if turn else ())
        microseconds = [statistics.median(times) / 1000 for times in found]
        return Figure("record_execution, p50", microseconds[0], microseconds[1], 3, "us")

    def _recording_at_once(self) -> Iterator[Figure]:
        say(f"{WRITERS} processes at once, by turns")
        ours, bare = alternate(self._repeat, *(partial(self._rate, kind) for kind in ("ours", "bare")))
        for name, at, bar, unit in (("", 0, 0.6, "rows/s"), (", server", 1, None, "ms CPU")):
            found, beside = (statistics.median(each[at] for each in side) for side in (ours, bare))
            yield Figure(f"{WRITERS} processes recording{name}", found, beside, bar, unit, is_least=bar is not None)

    def _rate(self, kind: str) -> tuple[float, float]:
        """Rows per second of all processes together, and the processor time of the server for one, in ms. Raises
        Failed for a process that failed or lost a row."""
        url, rows, before = self._url("large"), 3 * _BLOCK, self._stored()
        with writers(WRITERS, kind, url, rows, self._folder) as started:
            begin, server_s = time.perf_counter(), self._running.cpu_s()
            started.begin()
            found = started.finish()
            seconds, server_s = time.perf_counter() - begin, self._running.cpu_s() - server_s
        if kind == "ours" and (stored := self._stored() - before) != WRITERS * (rows + 1):
            raise Failed(f"{WRITERS} processes stored {stored:,} of {WRITERS * (rows + 1):,} executions")
        return len(found) / seconds, 1000 * server_s / len(found)

    def _waiting(self, large: Path) -> Iterator[Figure]:
        lines = self._folder / "waiting.jsonl"
        with large.open() as source, lines.open("w") as target:
            target.writelines(islice(source, _WAITING_LINES))
        rounds = alternate(_WAITING_ROUNDS, *(partial(self._waited, lines, into) for into in ("watched", "other")))
        same, other = (Waited(*map(sorted, map(chain.from_iterable, zip(*each, strict=True)))) for each in rounds)
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            for what, here, there in (("record", same.recorded, other.recorded), ("lock", same.locked, other.locked)):
                yield Figure(
                    f"{what} during an import, {name}", quantile(here, share), quantile(there, share), None, "ms"
                )

    def _waited(self, lines: Path, into: str) -> Waited:
        """What is waited for in the database `watched` during an import."""
        for name in ("watched", "other"):
            self._running.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self._create(name)
        work = partial(self._program, self._url(into), "import", str(lines), "--timezone", "UTC")
        return waited(self._url("watched"), work, self._folder)

    def _stored(self) -> int:
        with psycopg.connect(self._url("large")) as connection:
            rows = connection.execute("SELECT COUNT(*) FROM executions").fetchall()
        return int(rows[0][0])


def _show(found: Figure) -> None:
    bar = ""
    if found.bar is not None:
        compared, verdict = ("at least" if found.is_least else "at most"), ("held" if found.is_held else "MISSED")
        bar = f"  {compared} {found.bar:g}: {verdict}"
    print(
        f"{found.name:<32}{found.found:>10.3f} {found.unit:<7}{found.beside:>10.3f}  ratio {found.ratio:.2f}{bar}",
        flush=True,
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("small", type=Path, metavar="SMALL", help="A history that generate.py wrote, such as 10,000.")
    parser.add_argument("large", type=Path, metavar="LARGE", help="Another one, such as 1,000,000.")
    parser.add_argument("--only", action="append", choices=MEASURES, help="Repeatable. Default: all.")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="Default: 5.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    try:
        with server() as running, TemporaryDirectory() as folder:
            engines = Engines(running, Path(folder), options.repeat)
            files = options.small.absolute(), options.large.absolute()
            for figure in engines.figures(*files, options.only or MEASURES):
                found.append(figure)
                if not options.json:
                    _show(figure)
    except Failed as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps([figure._asdict() for figure in found]))


if __name__ == "__main__":
    _main()
