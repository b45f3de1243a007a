"""The results as Markdown."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measures import Measure, Outcome, short
from benchmarks.suite import Bench


@dataclass(frozen=True, slots=True)
class Result:
    """A measure with its outcome, or with the reason of its failure."""

    measure: Measure
    outcome: Outcome | None
    failure: str = ""

    @property
    def value(self) -> str:
        """The value that is compared with the limit, with its unit."""
        return _value(self.outcome.value, self.measure) if self.outcome else "–"

    @property
    def bar(self) -> str:
        """The limit in words."""
        return "–" if self.measure.limit is None else f"at most {_limit(self.measure.limit, self.measure)}"

    @property
    def verdict(self) -> str:
        """Passed, missed or failed."""
        if self.outcome is None:
            return f"**failed**: {self.failure}"
        if self.measure.limit is None:
            return "–"
        return "passed" if self.outcome.value <= self.measure.limit else "**missed**"


def _value(value: float, measure: Measure) -> str:
    if measure.unit == "×":
        return f"{value:.2f}×"
    return f"{value:.1f} %" if measure.unit == "%" else f"{value:,.0f} {measure.unit}"


def _limit(limit: float, measure: Measure) -> str:
    return f"{limit:g}×" if measure.unit == "×" else f"{limit:g} {measure.unit}"


def document(results: Sequence[Result], bench: Bench) -> str:
    """The whole page."""
    bars = [result for result in results if result.measure.group != "others"]
    others = [result for result in results if result.measure.group == "others"]
    held = [result for result in bars if result.measure.limit is not None]
    passed = sum(result.verdict == "passed" for result in held)
    parts = [
        "# Results",
        "Written by `benchmarks/run.py`; how to repeat it is at the end.",
        _facts(bench),
        f"{passed} of {len(held)} bars passed.",
        _table(
            ("measure", "ours", "compared with", "ratio", "bar", "verdict"),
            [
                (item.measure.title, _side(item, "ours"), _side(item, "other"), item.value, item.bar, item.verdict)
                for item in bars
            ],
        ),
    ]
    if bench.postgres():
        parts += ["## PostgreSQL", _postgres(bench.postgres())]
    if others:
        rows = [(item.measure.title, _side(item, "ours"), _side(item, "other"), _others_ratio(item)) for item in others]
        history = (
            f"`analytics summary --json` of all time on {short(bench.middle)} executions, and others that sum the same"
        )
        parts += [
            "## Other ways to the same figures",
            f"{history} history, whole processes by turns. The first of them gives no percentiles. No bar.",
            _table(("way", "theirs", "ours", "theirs to ours"), rows),
        ]
    parts += ["## Method", _method(bench), "## Repeat", _REPEAT]
    return "\n\n".join(parts) + "\n"


def _side(result: Result, name: str) -> str:
    return (getattr(result.outcome, name) if result.outcome else "") or "–"


def _others_ratio(result: Result) -> str:
    return result.value if result.outcome else result.verdict


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _postgres(found: Any) -> str:
    text = (
        f"{found['lines']:,} lines were imported in {found['import_s']:.1f} s. `analytics summary --json` of all time "
        f"takes {found['summary_s'] * 1000:.0f} ms (median), and one such command had the server read:"
    )
    rows = [(f"`{name}`", f"{item['scans']:,}", f"{item['rows']:,}") for name, item in found["reads"].items()]
    scans = "\n".join(found["scans"])
    table = _table(("table", "scans", "rows read"), rows)
    return f"{text}\n\n{table}\n\nThe scans of the plans of its statements:\n\n```text\n{scans}\n```"


def _method(bench: Bench) -> str:
    return (
        f"Each figure is the median of {bench.repeat} runs of whole processes, unless it says otherwise; the two sides "
        "of a ratio run by turns. CPU is user and system time of the process and its children. Peak memory is the "
        "largest sum of the resident memory of the process and all below it, seen ten times a second. 1 MB is "
        f"1,000,000 bytes. The history is made up by `benchmarks/generate.py` (seed {bench.space.seed}, a year of "
        f"working days that ends on {bench.space.end}). Reports are warm: each ran once before it was measured. "
        "One record is timed within a process, in blocks of ours and of the bare insert by turns."
    )


_REPEAT = """```sh
scripts/bench            # all of it; the data needs about 8 GB of disk
scripts/bench --quick    # the same on little data, in about two minutes; prints the results instead
scripts/bench --help
```"""


def _facts(bench: Bench) -> str:
    packages = ", ".join(f"{name} {_version(name)}" for name in ("claude-force", "orjson", "click", "rich", "duckdb"))
    lines = [
        f"Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"Machine: {_processor()}, {os.cpu_count()} cores, {_memory()} of memory",
        f"System: {_system()}; data on {_file_system(bench.space.folder)}",
        f"Versions: Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _version(package: str) -> str:
    with suppress(ImportError):
        return version(package)
    return "not installed"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"


def _system() -> str:
    with suppress(OSError):
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {platform.release()}"
    return platform.platform()


def _file_system(folder: Path) -> str:
    """The kind of file system of a folder: that of the longest mount point above it."""
    with suppress(OSError):
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
        above = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
        return max(above)[1]
    return "an unknown file system"
