"""Counts what is the same at every run: instructions, statements, pages and modules.

The data has a fixed seed and fixed dates, and each process an environment of its own.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from datetime import date
from functools import partial
from importlib.metadata import requires, version
from itertools import islice
from pathlib import Path

from benchmarks import generate, transcripts
from benchmarks.common import HERE, PROGRAM, Failed
from benchmarks.conversations import Size

END = date(2026, 10, 31)
LINES = 10_000
HISTORY = 1_000_000
"""The lines are the first of a history of this size, which decides how close together they are."""

TRANSCRIPTS, SHORT = Size(20, 900, 10_000_000), Size(1, 2, 10_000)
RECORDS = 100
START = "start of the interpreter"
REPORTS = {"summary --json": ("summary", "--json"), "summary": ("summary",), "statusline": ("statusline",)}

BEYOND = {
    f"import of {LINES:,} lines": ("start of an import", 1),
    "ingest of 10 MB of transcripts": ("start of an ingest", 1),
    "one record": ("first record of a process", RECORDS),
}
"""Processes that are counted without what another one does, too, and what they do so many times."""

Command = tuple[str | Path, ...]
Figures = dict[str, dict[str, int]]
"""Counts by kind and name."""

_TIME_LIMIT_S = 300
_CPU_LINE = re.compile(r"^(vendor_id|cpu family|model)\s*: (.+)$", re.MULTILINE)
_COUNTED = re.compile(rb"I\s+refs:\s+([\d,]+)")
_SESSION = '{"session_id": "none", "model": {"id": "claude-opus-5-5", "display_name": "Opus"}}'
_MODULES = """
import sys
before = set(sys.modules)
from claude_force.__main__ import main
try:
    main()
finally:
    print(len(set(sys.modules) - before), file=sys.stderr)
"""


def counted_with() -> str:
    """The interpreter of this process. Another one executes other instructions, and its library has other modules."""
    python = ".".join(map(str, sys.version_info[:2]))
    return f"{platform.python_implementation()} {python}, {platform.python_compiler()}, {platform.machine()}"


def versions() -> dict[str, str]:
    """The versions of what every installation has, of what counts, and the processor, by which libraries choose their
    instructions. With another one, others are executed."""
    required = [line for line in requires("claude-force") or () if "extra ==" not in line]
    names = {re.split(r"[^\w.-]", line)[0] for line in required}
    machine = {"sqlite": sqlite3.sqlite_version, "libc": "-".join(platform.libc_ver()), "processor": _processor()}
    if valgrind := shutil.which("valgrind"):
        machine["valgrind"] = subprocess.check_output([valgrind, "--version"], text=True).strip()
    return machine | {name: version(name) for name in sorted(names)}


def _processor() -> str:
    """Maker, family and model, as Linux says them; empty elsewhere."""
    known = Path("/proc/cpuinfo")
    found = dict(_CPU_LINE.findall(known.read_text(encoding="utf-8"))) if known.exists() else {}
    return " ".join(found.values())


def count_all(*, with_instructions: bool) -> Figures:
    """All figures. Raises Failed if a process fails."""
    with tempfile.TemporaryDirectory(prefix="budgets-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        home = Home(Path(folder))
        found = {"recording": home.recording(), "modules": _each(pool, home.modules, home.starts())}
        if with_instructions:
            found["instructions"] = _instructions(_each(pool, home.instructions, home.processes()))
        return found


def _each(
    pool: Executor, count: Callable[[Callable[[], Command]], int], commands: dict[str, Callable[[], Command]]
) -> dict[str, int]:
    return dict(zip(commands, pool.map(count, commands.values()), strict=True))


def _instructions(found: dict[str, int]) -> dict[str, int]:
    """The figures from the counts of whole processes: what each does beyond another one, or beyond the start of the
    interpreter, which is not ours."""
    start = found.pop(START)
    bases = {name: BEYOND.get(name, (None, 1)) for name in found}
    return {name: (found[name] - (found[base] if base else start)) // times for name, (base, times) in bases.items()}


class Home:
    """A home whose transcripts are all read, a file of lines, and the processes that are counted in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = list(islice(generate.lines(HISTORY, generate.SEED, END), LINES))
        for name, lines in ((str(LINES), made), ("1", made[:1])):
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="ascii")
        transcripts.write(folder / ".claude" / "projects", TRANSCRIPTS, transcripts.SEED, END)
        transcripts.write(folder / "short" / "projects", SHORT, transcripts.SEED, END)
        # Also compiles what is not compiled yet, which is no work of what is counted.
        for command in (self.load(LINES), self.ingest(".claude"), self.record(2), (PROGRAM, "ingest")):
            self.run(*command)
        self.database = folder / ".claude" / "metrics" / "metrics.db"
        with closing(sqlite3.connect(self.database)) as connection:
            # A report looks for what is new if the last pass is old, however fast this machine is.
            connection.execute("UPDATE ingest_passes SET began_us = 0")
            connection.commit()
        for name in REPORTS:
            self.run(*self.report(name))

    def new_database(self) -> Path:
        """Where there is none yet. All paths are of one length."""
        return Path(tempfile.mkdtemp(dir=self.folder)) / "metrics.db"

    def ingest(self, folder: str) -> Command:
        """The transcripts of a folder, into a new database."""
        return PROGRAM, "ingest", self.folder / folder / "projects", "--db", self.new_database()

    def load(self, lines: int) -> Command:
        """A file of so many lines, into a new database."""
        return PROGRAM, "import", self.folder / f"{lines}.jsonl", "--db", self.new_database()

    def record(self, records: int) -> Command:
        """A process that records into a new database."""
        return sys.executable, HERE / "counted_recording.py", self.new_database(), str(records)

    def report(self, name: str) -> Command:
        """A report on a copy of the database, since it stores that it looked for something new."""
        database = self.new_database()
        shutil.copyfile(self.database, database)
        return PROGRAM, *REPORTS[name], "--db", database

    def starts(self) -> dict[str, Callable[[], Command]]:
        """Commands that have little to do but to start."""
        return {
            "start of an import": partial(self.load, 1),
            "start of an ingest": partial(self.ingest, "short"),
            **{name: partial(self.report, name) for name in REPORTS},
            "--version": lambda: (PROGRAM, "--version"),
        }

    def processes(self) -> dict[str, Callable[[], Command]]:
        """All that is counted, first what takes longest."""
        return {
            f"import of {LINES:,} lines": partial(self.load, LINES),
            "ingest of 10 MB of transcripts": partial(self.ingest, ".claude"),
            "one record": partial(self.record, 1 + RECORDS),
            "first record of a process": partial(self.record, 1),
            **self.starts(),
            START: lambda: (sys.executable, "-c", "pass"),
        }

    def modules(self, command: Callable[[], Command]) -> int:
        """How many modules a command of the program loads, without those that the interpreter starts with."""
        _, *words = command()
        return int(self.run(sys.executable, "-c", _MODULES, *words).stderr.split()[-1])

    def recording(self) -> dict[str, int]:
        """The statements of so many records, each in a transaction of its own, and the pages that they write."""
        found: dict[str, int] = json.loads(self.run(*self.record(1 + RECORDS)).stdout)
        return {f"{name} of {RECORDS} records": figure for name, figure in found.items()}

    def instructions(self, command: Callable[[], Command]) -> int:
        """The instructions of a process and its children. Raises Failed if one was killed, which hides its work."""
        logs = Path(tempfile.mkdtemp(dir=self.folder))
        # Without its caches, cachegrind counts what callgrind counts, in two fifths of the time.
        options = ("--tool=cachegrind", "--cache-sim=no", "--branch-sim=no", "--cachegrind-out-file=/dev/null")
        self.run("valgrind", *options, "--trace-children=yes", f"--log-file={logs}/%p", *command())
        texts = [path.read_bytes() for path in logs.iterdir()]
        counts = [int(found.replace(b",", b"")) for text in texts for found in _COUNTED.findall(text)]
        if len(counts) < len(texts):
            raise Failed(f"{len(texts) - len(counts)} processes ended before they could say what they had executed")
        return sum(counts)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Raises Failed if it fails."""
        environment = {"HOME": str(self.folder), "PATH": os.defpath, "TZ": "UTC", "LANG": "C.UTF-8"}
        done = subprocess.run(
            [str(part) for part in command], input=_SESSION, capture_output=True, text=True, check=False,
            timeout=_TIME_LIMIT_S, env=environment | {"PYTHONHASHSEED": "0"}, cwd=self.folder,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"`{' '.join(map(str, command))}` ended with {done.returncode}: {done.stderr[-500:]}")
        return done
