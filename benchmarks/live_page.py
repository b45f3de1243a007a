"""What the live page costs: `python benchmarks/live_page.py DATABASE [SECONDS]`.

Prints JSON. Records into the database, so give it a copy.

- `views`: for each view, the time of the processor that a page takes, beside that of its command's query alone, by
  turns in one process (medians of TIMES), and their ratio; and the size of the page without the chart library.
- `pages`: PAGES open pages in one server, each of which asks for itself again whenever it hears that something is new.
  The share of one core that the server takes while nothing is stored, and while an execution is recorded every five
  seconds and every second; how long after the record the last page has it (median and longest); the peak of its memory.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAM
from claude_force.cli.page_commands import PageCommands
from claude_force.ingest.freshness import Freshness
from claude_force.performance_tracker import PerformanceTracker
from claude_force.web.answers import Query
from claude_force.web.shell import Shell
from claude_force.web.views import VIEWS

TIMES = 5
PAGES = 20
EVERY_S = (None, 5, 1)
PERIODS: dict[str, Query] = {"7 days": (("days", "7"),), "30 days": (("days", "30"),), "all time": ()}
PATHS = ("/", "/runs", "/executions", "/outcomes", "/what-if", "/blocks", "/reconcile")
SINCE = (datetime.now(UTC) - timedelta(days=30)).date()
"""A fixed day: from a rolling period the oldest executions go while new ones come."""


def measure(database: str, seconds: float) -> dict[str, Any]:
    """All figures of one database."""
    commands = PageCommands(database, Freshness)
    views = {
        f"{view.path} {period}": _view(commands, Shell(view, query, 1, ""))
        for view in VIEWS
        if view.path in PATHS
        for period, query in PERIODS.items()
    }
    commands.close()
    return {"views": views, "pages": _pages(database, seconds)}


def _view(commands: PageCommands, shell: Shell) -> dict[str, float]:
    def ask() -> None:
        commands(*shell.question(), "table")

    def draw() -> str:
        return shell.draw(commands)

    size = len(draw().encode())
    ask()
    pairs = [(_cpu_ms(ask), _cpu_ms(draw)) for _ in range(TIMES)]
    query_ms, page_ms = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "query_ms": round(query_ms, 1),
        "page_ms": round(page_ms, 1),
        "ratio": round(page_ms / query_ms, 2),
        "kilobytes": round(size / 1000, 1),
    }


def _cpu_ms(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000


def _pages(database: str, seconds: float) -> dict[str, Any]:
    started_s = _run(database, 0, None)["cpu_s"]
    found: dict[str, Any] = {"pages": PAGES}
    for every_s in EVERY_S:
        done = _run(database, seconds, every_s)
        share = round(100 * (done["cpu_s"] - started_s) / done["took_s"], 1)
        late_s = done["late_s"]
        found["idle" if every_s is None else f"a record every {every_s} s"] = {"percent_of_a_core": share} | (
            {"seen_after_s": [round(statistics.median(late_s), 2), round(max(late_s), 2)]} if late_s else {}
        )
    return found | {"peak_megabytes": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)}


def _run(database: str, seconds: float, every_s: int | None) -> dict[str, Any]:
    """A server with its pages for some seconds, in which an execution is recorded now and then."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [PROGRAM, "serve", "--port", "0", "--db", database], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(":")[2].partition("/")[0])
    started_s = time.monotonic()
    late_s = asyncio.run(_watch(port, database, seconds, every_s))
    took_s = time.monotonic() - started_s
    process.send_signal(signal.SIGINT)
    process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu_s, "took_s": took_s, "late_s": late_s}


async def _watch(port: int, database: str, seconds: float, every_s: int | None) -> list[float]:
    """How long after each record the last page had its figure."""
    pages = [_Page(port) for _ in range(PAGES)]
    tasks = [asyncio.create_task(page.listen()) for page in pages]
    await asyncio.gather(*(page.is_open.wait() for page in pages))
    tracker = PerformanceTracker(database=database)
    recorded: list[tuple[int, float]] = []
    total = pages[0].total
    ends = time.monotonic() + seconds
    while every_s is not None and time.monotonic() < ends:
        await asyncio.to_thread(_record, tracker)
        recorded.append((total + len(recorded) + 1, time.monotonic()))
        await asyncio.sleep(every_s)
    while time.monotonic() < ends or any(recorded and page.total < recorded[-1][0] for page in pages):
        await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [max(page.seen_s(count, at_s) for page in pages) for count, at_s in recorded]


def _record(tracker: PerformanceTracker) -> None:
    tracker.record_execution(
        agent_name="benchmark", model="claude-haiku-4-5", task="x", execution_time_ms=900, success=True,
        input_tokens=100, output_tokens=50,
    )  # fmt: skip


class _Page:
    """What a browser does: it listens, and asks for its page again. `total` is what it shows."""

    def __init__(self, port: int) -> None:
        self.total, self.is_open = 0, asyncio.Event()
        self._port, self._tag = port, ""
        self._seen: list[tuple[int, float]] = []

    def seen_s(self, count: int, since_s: float) -> float:
        """How long after an instant the page showed so many executions."""
        return next(at_s for total, at_s in self._seen if total >= count) - since_s

    async def listen(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(_request("/events", self._port))
        try:
            async for line in reader:
                if line.startswith(b"data: "):
                    await self._load()
        finally:
            writer.close()

    async def _load(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(_request(f"/?since={SINCE}", self._port, f"If-None-Match: {self._tag}\r\nConnection: close\r\n"))
        text = (await reader.read()).decode()
        writer.close()
        if "304" not in text[:20]:
            self._tag = text.partition("etag: ")[2].partition("\r\n")[0]
            self.total = int(text.partition('id="total_executions" value="')[2].partition('"')[0] or 0)
        self._seen.append((self.total, time.monotonic()))
        self.is_open.set()


def _request(path: str, port: int, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/html\r\n{headers}\r\n".encode()


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit(__doc__)
    print(json.dumps(measure(sys.argv[1], float(sys.argv[2]) if len(sys.argv) == 3 else 30.0), indent=2))
