"""Draw `docs/pictures/dashboard.svg`, the picture of the dashboard, from the sample history; run by `scripts/pictures`.

The same sample gives the same picture. Draw it again when the dashboard looks different.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.database.rows.alerts import AlertRow
from claude_force.reports.dashboard.frame import View, draw
from claude_force.reports.dashboard.snapshot import DashboardSnapshot, read_snapshot
from scripts.generate import ROOT, prepare_home, run_shell

PICTURE = ROOT / "docs" / "pictures" / "dashboard.svg"
SIZE = (100, 34)
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""Rich refers to a web font; the picture must load nothing, so it uses the fonts of the reader."""


def sample() -> DashboardSnapshot:
    """A snapshot of the sample history one minute after its last execution, with one alert firing."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare_home(home)
        run_shell("claude-force import examples/executions-1.3.jsonl --reprice", home)
        with closing(open_database(str(home / ".claude" / "metrics" / "metrics.db"))) as database:
            with database.read() as connection:
                stored_range = queries.time_range(connection)
            assert stored_range is not None
            now_us = stored_range.last_us + 60 * SECOND_US
            found = read_snapshot(database, "7d", now_us)
    alert = AlertRow(
        "sample", "success-rate", '{"agent": "frontend-architect"}', "warning", "firing", "BEGAN",
        now_us - 25 * 60 * SECOND_US, now_us,
    )  # fmt: skip
    return replace(found, name="~/.claude/metrics/metrics.db", firing=[alert])


def picture() -> str:
    """The frame as SVG."""
    width, height = SIZE
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
    )
    console.print(draw(sample(), View(UTC, "7d"), width, height), no_wrap=True)
    drawn = console.export_svg(title="claude-force dashboard", unique_id="dashboard")
    return re.sub(r"[ \t]+$", "", _FONT_FACE.sub("", drawn), flags=re.MULTILINE)


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
