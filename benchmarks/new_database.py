"""The time to create a database with alembic, as a ratio to the generated script. Whole processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = (
    "import sys, pathlib; from claude_force.database.sqlite.files import create_file;"
    "create_file(pathlib.Path(sys.argv[1]))"
)
ALEMBIC = (
    "import sys, pathlib; from claude_force.database.migrate import sqlite_connection, upgrade_connection;"
    "path = pathlib.Path(sys.argv[1]); path.touch();\n"
    "with sqlite_connection(path) as connection: upgrade_connection(connection, 'head')"
)


def seconds(code: str) -> float:
    """The best of five runs."""
    best = float("inf")
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code, str(Path(folder) / "new.db")], check=True)
            best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    print(f"alembic: {seconds(ALEMBIC) / seconds(SCRIPT):.1f} times the script")
