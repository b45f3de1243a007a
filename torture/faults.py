"""A failing disk: in each step of a database's life, each write call fails once or permanently, with "no space left" or
with "input/output error".

After any failure a command reports it in one line, a recording host goes on, the file is sound, nothing acknowledged is
lost, and the next run works. The calls are those of libc; failing_io.c, which is compiled here, makes them fail.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torture.campaign import WORKERS, CannotRun, Effort, Figure, say

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path(__file__).with_name("failing_io.c")
STEPS = ("create", "record", "import", "checkpoint", "upgrade", "back up", "archive")
POINTS = 1000


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Walk through every step, one process per processor. Raises CannotRun without a compiler."""
    shim = compile_shim(folder)
    stride = max(1, round(1 / effort.share))
    chance = random.Random(effort.seed)
    # Every step makes more calls than that.
    starts = [chance.randint(1, min(stride, 5)) for _ in STEPS]
    with ThreadPoolExecutor(WORKERS) as pool:
        counts = list(pool.map(lambda name, start: _walk(name, folder / name, shim, stride, start), STEPS, starts))
    found = sum(counts, Counter[str]())
    return [
        Figure("calls made to fail", found["points"], at_least=POINTS),
        *(Figure(f"  during {name}", count["points"]) for name, count in zip(STEPS, counts, strict=True)),
        Figure("damaged databases", found["damaged"], at_most=0),
        Figure("tries that lost something acknowledged", found["lost"], at_most=0),
        Figure("tries that doubled something", found["doubled"], at_most=0),
        Figure("ends without a message, or with a traceback", found["undefined ends"], at_most=0),
        Figure("next runs that failed", found["stuck"], at_most=0),
        Figure("temporary files left behind", found["left behind"], at_most=0),
    ]


def compile_shim(folder: Path) -> Path:
    """Compile the library that makes calls fail. Raises CannotRun if that is not possible."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        raise CannotRun("this campaign needs Linux (LD_PRELOAD) and a C compiler named cc")
    shim = folder / "failing_io.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", shim, SOURCE, "-ldl"], check=True)
    return shim


def _walk(name: str, folder: Path, shim: Path, stride: int, start: int) -> Counter[str]:
    """The counts of one step."""
    folder.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CLAUDE_", "XDG_"))}
    environment = kept | {"LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT), "TZ": "UTC", "HOME": str(folder)}
    command = [sys.executable, "-m", "torture.fault_walk", name, str(folder), str(stride), str(start)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found = Counter[str](json.loads(done.stdout))
    say(f"  {name}: {found['points']:,} calls failed")
    return found
