"""A cluster of Citus beside one PostgreSQL, by turns in one run: `python benchmarks/citus.py CLUSTER SERVER FILE`.

CLUSTER is the URL of a superuser in a database of the coordinator that knows all nodes (docs/how-to/citus.md), SERVER
that of one server with the same settings. All servers run on this machine: their processor time is that of their
processes. Imports the file (see generate.py) into a new database of both, measures reports as whole processes and
recording, and drops the databases. Prints a table; with --json the figures alone. Only the import has a bar.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAM, Failed, Usage, alternate, run, say
from benchmarks.counted_recording import record_usual
from benchmarks.engines import REPORTS, WRITERS
from benchmarks.recording import timed
from benchmarks.writers import record_at_once
from claude_force.performance_tracker.tracker import PerformanceTracker

_DATABASE = "claude_force_benchmark"
_NODES = "SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
_IMPORT_BAR = 4
_BLOCK, _ROWS_AT_ONCE = 100, 100
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What something took: seconds on the wall, and of processors."""

    wall: float
    client: float
    coordinator: float
    workers: float


class Place:
    """A database on one server or on the nodes of a cluster, the coordinator first."""

    def __init__(self, server: str, folder: Path) -> None:
        self._server, self._folder = server, folder
        with psycopg.connect(server) as connection:
            has_citus = connection.execute("SELECT to_regclass('pg_dist_node') IS NOT NULL").fetchone() == (True,)
            self._nodes = connection.execute(_NODES).fetchall() if has_citus else []
        others = [self._url_at(host, port, urlsplit(server).path[1:]) for host, port in self._nodes[1:]]
        self._servers = [server, *others]
        self._first_processes = [_first_process(each) for each in self._servers]
        self.url = urlsplit(server)._replace(path=f"/{_DATABASE}").geturl()

    def _url_at(self, host: str, port: int, database: str) -> str:
        found = urlsplit(self._server)
        user = found.netloc.rpartition("@")[0]
        return found._replace(netloc=f"{user}@{host}:{port}", path=f"/{database}").geturl()

    def make(self) -> None:
        """Make the database on all nodes, and distribute it if there are several."""
        self.drop()
        for server in self._servers:
            _ask(server, f"CREATE DATABASE {_DATABASE}")
        for host, port in self._nodes:
            _ask(self._url_at(host, port, _DATABASE), "CREATE EXTENSION citus")
        for turn, (host, port) in enumerate(self._nodes):
            function = "citus_add_node" if turn else "citus_set_coordinator_host"
            _ask(self.url, f"SELECT {function}('{host}', {port})")
        self.program("db", "upgrade")
        if self._nodes:
            self.program("db", "distribute", "--yes")

    def drop(self) -> None:
        """Drop the database, if it is there."""
        for server in self._servers:
            _ask(server, f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")

    def vacuum(self) -> None:
        """Do what servers do by themselves at some time, which must not be while we measure."""
        for server in self._servers:
            _ask(urlsplit(server)._replace(path=f"/{_DATABASE}").geturl(), "VACUUM ANALYZE")

    def program(self, *arguments: str) -> Usage:
        """Run a command on the database."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLAUDE_FORCE_")}
        environment = kept | {"HOME": str(self._folder), "TZ": "UTC"}
        return run([PROGRAM, *arguments, "--db", self.url], self._folder, environment)

    def imported(self, lines: Path) -> Cost:
        """What an import took. Raises Failed if it did not add all lines."""
        answers = []
        cost = self._cost_of(lambda: answers.append(self.program("import", str(lines), "--timezone", "UTC", "--json")))
        answer = json.loads(answers[0].output)
        if answer["added"] != answer["read"]:
            raise Failed(f"import added {answer['added']:,} of {answer['read']:,} lines")
        return cost._replace(client=answers[0].cpu_s)

    def report(self, name: str) -> Cost:
        """What a report took."""
        used = []
        cost = self._cost_of(lambda: used.append(self.program("analytics", name, "--json", "--no-ingest")))
        return cost._replace(wall=used[0].wall_s, client=used[0].cpu_s)

    def recorded_at_once(self) -> Cost:
        """What several processes took for so many rows each. Raises Failed if a row is not there."""
        before, seconds = self.stored(), []
        work = partial(record_at_once, WRITERS, "ours", self.url, _ROWS_AT_ONCE, self._folder)
        cost = self._cost_of(lambda: seconds.append(work()))
        if (stored := self.stored() - before) != WRITERS * (_ROWS_AT_ONCE + 1):
            raise Failed(f"{WRITERS} processes stored {stored:,} of {WRITERS * (_ROWS_AT_ONCE + 1):,} executions")
        return cost._replace(wall=seconds[0])

    def stored(self) -> int:
        """How many executions there are."""
        return int(_ask(self.url, "SELECT COUNT(*) FROM executions")[0][0])

    def _cost_of(self, act: Callable[[], object]) -> Cost:
        before, start = self._cpu(), time.perf_counter()
        act()
        wall, after = time.perf_counter() - start, self._cpu()
        coordinator, *workers = (now - then for then, now in zip(before, after, strict=True))
        return Cost(wall, 0, coordinator, sum(workers))

    def _cpu(self) -> list[float]:
        """The processor time of each server so far."""
        return [_cpu_of(first) for first in self._first_processes]


def _ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(sql.encode())
        return found.fetchall() if found.description else []


def _first_process(server: str) -> int:
    """The process that starts all others of a server."""
    with psycopg.connect(server) as connection:
        rows = connection.execute("SELECT pg_backend_pid()").fetchall()
        return _times(Path(f"/proc/{rows[0][0]}/stat"))[0]


def _cpu_of(first: int) -> float:
    """The seconds of all processes of a server, also of those that have ended: the first one has waited for them."""
    own, ended = _times(Path(f"/proc/{first}/stat"))[1:]
    return (
        own + ended + sum(own for parent, own, _ in map(_times, Path("/proc").glob("[0-9]*/stat")) if parent == first)
    ) / _TICKS_PER_SECOND


def _times(stat: Path) -> tuple[int, int, int]:
    """The parent of a process, its own time and that of the children that it waited for; zeros if it has ended."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0, 0
    parent, user, system, children_user, children_system = (int(fields[at]) for at in (1, 11, 12, 13, 14))
    return parent, user + system, children_user + children_system


def _show(name: str, cluster: Cost, server: Cost) -> None:
    print(name)
    for what, found, beside in (
        ("wall", cluster.wall, server.wall),
        ("client", cluster.client, server.client),
        ("servers", cluster.coordinator + cluster.workers, server.coordinator),
        ("of these the coordinator", cluster.coordinator, 0),
    ):
        if found:
            print(
                f"  {what:<26}{found:>10.4f}{beside:>10.4f}{f'{found / beside:.2f}' if beside else '':>8}", flush=True
            )


def _medians(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(each) for each in zip(*costs, strict=True)))


def _recorded(places: tuple[Place, Place], repeat: int) -> list[Cost]:
    """The median record of a running process, in both places. Raises Failed if a row is not there."""
    before = [place.stored() for place in places]
    with PerformanceTracker(database=places[0].url) as one, PerformanceTracker(database=places[1].url) as other:
        sides = (partial(timed, partial(record_usual, tracker), range(_BLOCK)) for tracker in (one, other))
        found = alternate(1 + repeat, *sides)
    if [place.stored() - count for place, count in zip(places, before, strict=True)] != 2 * [(1 + repeat) * _BLOCK]:
        raise Failed("not every recorded execution was stored")
    # The first block only warms up.
    return [Cost(statistics.median(time for block in side[1:] for time in block) / 1e9, 0, 0, 0) for side in found]


def measure(places: tuple[Place, Place], lines: Path, repeat: int) -> dict[str, list[Cost]]:
    """What each measure took in both places."""
    cluster, server = places
    found: dict[str, list[Cost]] = {}

    def keep(name: str, *sides: Callable[[], Cost], times: int = repeat) -> None:
        say(name)
        found[name] = [_medians(costs) for costs in alternate(times, *sides)]

    for place in places:
        place.make()
    keep("import", partial(cluster.imported, lines), partial(server.imported, lines), times=1)
    for place in places:
        place.vacuum()
    for report in REPORTS:
        keep(report, partial(cluster.report, report), partial(server.report, report))
    say("recording")
    found["record, p50"] = _recorded(places, repeat)
    keep(
        f"{WRITERS} processes record {WRITERS * _ROWS_AT_ONCE} rows", cluster.recorded_at_once, server.recorded_at_once
    )
    return found


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cluster", metavar="CLUSTER", help="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("server", metavar="SERVER", help="postgresql://postgres@127.0.0.1:5433/postgres")
    parser.add_argument("file", type=Path, metavar="FILE", help="A history that generate.py wrote.")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="Rounds of all but the import. Default: 3.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        places = (Place(options.cluster, Path(folder)), Place(options.server, Path(folder)))
        try:
            found = measure(places, options.file.absolute(), options.repeat)
        except Failed as error:
            sys.exit(str(error))
        finally:
            for place in places:
                place.drop()
    if options.json:
        print(json.dumps({name: [cost._asdict() for cost in sides] for name, sides in found.items()}))
        return
    print(f"{'seconds':<28}{'Citus':>10}{'one':>10}{'ratio':>8}")
    for name, (cluster, server) in found.items():
        _show(name, cluster, server)
    ratio = found["import"][0].wall / found["import"][1].wall
    print(f"import: {ratio:.2f} times as long, at most {_IMPORT_BAR}: {'held' if ratio <= _IMPORT_BAR else 'MISSED'}")


if __name__ == "__main__":
    _main()
