"""PostgreSQL beside SQLite, by turns in one run: `python benchmarks/engines.py SMALL LARGE`.

Starts a server of its own and imports both files (see generate.py) into both engines. Then measures reports as whole
processes, recording beside a bare prepared INSERT and COMMIT of the same row, and eight processes of each kind at once.
Prints a table with the bar of each figure; with --json the figures alone. Ratios count: the machine may be busy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAM, Failed, Usage, alternate, median, run, say
from benchmarks.counted_recording import record_usual
from benchmarks.postgres import Server, server
from benchmarks.recording import timed
from claude_force.performance_tracker.tracker import PerformanceTracker

REPORTS = ("summary", "by-agent", "costs", "trends")
WRITERS = 8
_BLOCK = 100
_ROW = ("agent", "model", "project", "tracker", "a3b4c5d6", 1, 3456000, 1234, 567, 0, 0, 0, 3255200, "host")
_MAKE_BARE = (
    "CREATE TABLE IF NOT EXISTS bare (uid uuid PRIMARY KEY, at_us bigint, agent text, model text, project text, "
    "source text, task text, success integer, duration bigint, input bigint, output bigint, read bigint, "
    "write_5m bigint, write_1h bigint, cost bigint, host text)"
)
_INSERT_BARE = f"INSERT INTO bare VALUES (uuidv7(), {', '.join(['%s'] * (len(_ROW) + 1))})"


class Figure(NamedTuple):
    """One measure: of PostgreSQL, of what it is compared with, and the bar of their ratio. `is_least`: the ratio must
    be at least the bar."""

    name: str
    found: float
    beside: float
    bar: float
    unit: str
    is_least: bool = False

    @property
    def ratio(self) -> float:
        """What is compared with the bar."""
        return self.found / self.beside

    @property
    def is_held(self) -> bool:
        """Whether the bar holds."""
        return self.ratio >= self.bar if self.is_least else self.ratio <= self.bar


class Engines:
    """Both engines with the same executions. `folder` is an empty one."""

    def __init__(self, running: Server, folder: Path, repeat: int) -> None:
        self._running, self._folder, self._repeat = running, folder, repeat

    def figures(self, small: Path, large: Path) -> Iterator[Figure]:
        """All measures. Raises Failed if a process fails."""
        few = self._imported(small, "small")
        yield from self._import_figures(large)
        many = self._reports("large")
        for report, (server_side, file_side) in many.items():
            for measure, unit in (("cpu_s", "s CPU"), ("wall_s", "s")):
                found, beside = median(server_side, measure), median(file_side, measure)
                yield Figure(f"analytics {report}", found, beside, 3, unit)
            yield Figure(f"{report}, growth", median(server_side, "cpu_s"), few[report], 1.5, "s CPU")
        yield self._recording()
        yield self._recording_at_once()

    def _imported(self, lines: Path, name: str) -> dict[str, float]:
        self._import(lines, name, self._url(name))
        return {
            report: median(alternate(self._repeat, partial(self._report, report, self._url(name)))[0], "cpu_s")
            for report in REPORTS
        }

    def _import_figures(self, lines: Path) -> Iterator[Figure]:
        file = self._import(lines, "large", str(self._folder / "large.db"))
        found = self._import(lines, "large", self._url("large"))
        yield Figure("import", found.wall_s, file.wall_s, 2, "s")
        yield Figure("import, client", found.cpu_s, file.cpu_s, 2, "s CPU")
        yield Figure("import, memory of the client", found.peak_bytes / 1e6, 150, 1, "MB")

    def _url(self, name: str) -> str:
        return self._running.url.replace("/metrics?", f"/{name}?")

    def _import(self, lines: Path, name: str, location: str) -> Usage:
        if "://" in location:
            self._running.execute(f"CREATE DATABASE {name}")
            self._program(location, "db", "upgrade")
        say(f"importing {lines.name} into {location.partition('?')[0]}")
        used = self._program(location, "import", str(lines), "--timezone", "UTC", "--json")
        answer = json.loads(used.output)
        if answer["added"] != answer["read"]:
            raise Failed(f"import added {answer['added']:,} of {answer['read']:,} lines")
        if "://" in location:
            with psycopg.connect(location, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
        return used

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
        ours, bare = _recorder(url), _bare_recorder(url)
        found: tuple[list[int], list[int]] = ([], [])
        for turn in range(1 + self._repeat):
            for times, record in zip(found, (ours, bare), strict=True):
                block = timed(record, range(_BLOCK))
                # The first block only warms up.
                times.extend(block if turn else ())
        microseconds = [statistics.median(times) / 1000 for times in found]
        return Figure("record_execution, p50", microseconds[0], microseconds[1], 3, "us")

    def _recording_at_once(self) -> Figure:
        say(f"{WRITERS} processes at once, by turns")
        found: list[list[float]] = alternate(self._repeat, *(partial(self._rate, kind) for kind in ("ours", "bare")))
        ours, bare = (statistics.median(rates) for rates in found)
        return Figure(f"{WRITERS} processes recording", ours, bare, 0.6, "rows/s", is_least=True)

    def _rate(self, kind: str) -> float:
        """Rows per second of all processes together. Raises Failed for one that failed or lost a row."""
        before = self._stored()
        seconds = record_at_once(kind, self._url("large"), 3 * _BLOCK, self._folder)
        if kind == "ours" and (stored := self._stored() - before) != WRITERS * (3 * _BLOCK + 1):
            raise Failed(f"{WRITERS} processes stored {stored:,} of {WRITERS * (3 * _BLOCK + 1):,} executions")
        return WRITERS * 3 * _BLOCK / seconds

    def _stored(self) -> int:
        with psycopg.connect(self._url("large")) as connection:
            rows = connection.execute("SELECT COUNT(*) FROM executions").fetchall()
        return int(rows[0][0])


def record_at_once(kind: str, url: str, rows: int, home: Path) -> float:
    """The seconds in which all processes record so many rows each, after a first one. Raises Failed if one failed."""
    command, kept = (sys.executable, __file__, "--writer", kind, url, str(rows)), os.environ | {"HOME": str(home)}
    started = [
        subprocess.Popen(command, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(WRITERS)
    ]
    for each in started:
        assert each.stdout is not None
        each.stdout.readline()
    begin = time.perf_counter()
    for each in started:
        assert each.stdin is not None
        each.stdin.close()
    codes = [each.wait() for each in started]
    seconds = time.perf_counter() - begin
    if any(codes):
        raise Failed(f"{sum(map(bool, codes))} of {WRITERS} processes that record failed")
    return seconds


def _recorder(url: str) -> Callable[[int], object]:
    return partial(record_usual, PerformanceTracker(database=url))


def _bare_recorder(url: str) -> Callable[[int], object]:
    connection = psycopg.connect(url, autocommit=True)
    connection.prepare_threshold = 0
    connection.execute(_MAKE_BARE)
    return lambda number: connection.execute(_INSERT_BARE, (number, *_ROW))


def _write(kind: str, url: str, rows: int) -> None:
    """One process that records: it says when it is ready, and begins when its input ends."""
    record = (_recorder if kind == "ours" else _bare_recorder)(url)
    record(0)
    print("ready", flush=True)
    sys.stdin.read()
    for number in range(rows):
        record(number)


def _show(found: Figure) -> None:
    compared = "at least" if found.is_least else "at most"
    verdict = "held" if found.is_held else "MISSED"
    print(
        f"{found.name:<32}{found.found:>10.3f} {found.unit:<7}{found.beside:>10.3f}  ratio {found.ratio:.2f}  "
        f"{compared} {found.bar:g}: {verdict}",
        flush=True,
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("small", type=Path, metavar="SMALL", help="A history that generate.py wrote, such as 10,000.")
    parser.add_argument("large", type=Path, metavar="LARGE", help="Another one, such as 1,000,000.")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="Default: 5.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    try:
        with server() as running, TemporaryDirectory() as folder:
            engines = Engines(running, Path(folder), options.repeat)
            for figure in engines.figures(options.small.absolute(), options.large.absolute()):
                found.append(figure)
                if not options.json:
                    _show(figure)
    except Failed as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps([figure._asdict() for figure in found]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--writer"]:
        _write(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        _main()
