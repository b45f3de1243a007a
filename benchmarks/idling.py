"""The CPU and memory of an idle scheduler on a large store: `python benchmarks/idling.py`.

All jobs run on their default schedule, and all default rules are on. It is measured after the first minute, in which
each job runs once: CPU seconds per second, and peak memory. Needs /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAM, Failed, say
from benchmarks.workspace import Workspace
from claude_force.alerts.rules import DEFAULTS

SEED = 42
EXECUTIONS = 1_000_000
FIRST_S = 60
CPU_LIMIT, MEMORY_LIMIT = 0.01, 80e6


def configure(home: Path) -> None:
    """Switch on all rules, with budgets where a rule needs one."""
    alerts = {name: True if "threshold" in rule else {"threshold": 100} for name, rule in DEFAULTS.items()}
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": {"alerts": alerts}}))


def watch(space: Workspace, database: Path, minutes: float) -> tuple[float, int, float]:
    """CPU seconds per second and peak bytes of a scheduler, and the seconds it takes to stop."""
    configure(space.home)
    environment = {"HOME": str(space.home), "PATH": os.environ["PATH"], "TZ": "UTC"}
    process = subprocess.Popen(
        [PROGRAM, "scheduler", "start", "--foreground", "--db", database],
        cwd=space.home, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _wait(process, FIRST_S)
        before = _cpu_s(process.pid)
        _wait(process, 60 * minutes)
        taken = (_cpu_s(process.pid) - before) / (60 * minutes)
        peak = _peak_bytes(process.pid)
        start = os.times().elapsed
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
        if process.returncode != 0 or "ERROR" in stderr:
            raise Failed(f"the scheduler ended with {process.returncode}: {stderr.strip()[-300:]}")
        return taken, peak, os.times().elapsed - start
    finally:
        process.kill()


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise Failed(f"the scheduler ended: {(process.stderr.read() if process.stderr else '').strip()[-300:]}")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=EXECUTIONS, metavar="N", help="Default: 1 million.")
    parser.add_argument(
        "--minutes", type=float, default=5, metavar="N", help="Duration of the measurement. Default: 5."
    )
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="claude-force-idling-") as folder:
            end = (datetime.now(UTC) - timedelta(days=1)).date()
            space = Workspace(Path(folder).resolve(), SEED, end)
            database = space.database(options.executions)
            say(f"measuring for {options.minutes:g} minutes")
            cpu, peak, stopping_s = watch(space, database, options.minutes)
    except Failed as error:
        sys.exit(f"error: {error}")
    print(f"{options.executions:,} executions")
    print(f"CPU: {cpu:.2%} of a core (limit: under {CPU_LIMIT:.0%})")
    print(f"Peak memory: {peak / 1e6:.0f} MB (limit: under {MEMORY_LIMIT / 1e6:.0f} MB)")
    print(f"Stopped in {stopping_s:.1f} s (limit: 10 s)")


if __name__ == "__main__":
    _main()
