"""Runs campaigns and checks their figures against their bounds: `python torture/run.py`.

Each campaign has its own temporary folder. With `--write` its figures, and the machine, replace those in
docs/explanation/reliability.md when it ends.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).resolve().parent
# Not the folder of this file, which has a module `concurrent`, as the standard library has.
sys.path[:] = [str(_HERE.parent), *(path for path in sys.path if path != str(_HERE))]

from torture.campaign import Campaign, CannotRun, Effort, Figure, say  # noqa: E402  (after the path)

ROOT = Path(__file__).resolve().parent.parent

CAMPAIGNS = {
    "recorders": "torture.recorders:run",
    "server": "torture.recorders:run_on_server",
    "faults": "torture.faults:run",
    "filling": "torture.filling:run",
    "writers": "torture.writers:run",
    "upgrades": "torture.upgrades:run",
    "ingesting": "torture.ingesting:run",
    "fuzzing": "torture.fuzzing:run",
    "delivering": "torture.delivering:run",
    "archiving": "torture.archiving:run",
    "telemetry": "torture.telemetry:run",
    "bodies": "torture.bodies:run",
    "claude-code": "torture.claude_code:run",
    "team": "torture.replicating:run",
    "team-server": "torture.replicating:run_on_server",
}
"""The campaigns by name: module and function. Imported when run."""

SHORT = 0.02
PAGE = ROOT / "docs" / "explanation" / "reliability.md"
BEGIN, END = "<!-- figures: written by scripts/torture --write -->", "<!-- end of figures -->"


class Outcome(NamedTuple):
    """The figures of a campaign and its duration. `obstacle` is why it could not run, or empty."""

    name: str
    figures: Sequence[Figure]
    duration_s: float
    obstacle: str = ""


def campaign_of(name: str) -> Campaign:
    """The campaign of that name."""
    module, function = CAMPAIGNS[name].split(":")
    found: Campaign = getattr(import_module(module), function)
    return found


def take(name: str, folder: Path, effort: Effort) -> Outcome:
    """Run a campaign in its own folder."""
    say(name)
    started = time.monotonic()
    here = folder / name
    here.mkdir()
    try:
        figures, obstacle = campaign_of(name)(here, effort), ""
    except CannotRun as error:
        figures, obstacle = (), str(error)
    return Outcome(name, figures, time.monotonic() - started, obstacle)


def bound_of(figure: Figure) -> str:
    """The bound of a figure in words."""
    if figure.at_most is not None:
        return f"at most {number(figure.at_most)}"
    return "" if figure.at_least is None else f"at least {number(figure.at_least)}"


def with_figures(page: str, outcome: Outcome, effort: Effort) -> str:
    """The page with new figures of a campaign between its two marks."""
    rows = _rows_in(page) | {outcome.name: _rows_of(outcome, effort)}
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    head = "| Campaign | What was counted | Seen | Bar |\n| --- | --- | ---: | --- |"
    table = "\n".join([head, *(row for name in CAMPAIGNS for row in rows.get(name, []))])
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _rows_in(page: str) -> dict[str, list[str]]:
    """The rows of each campaign on the page."""
    found: dict[str, list[str]] = {}
    for row in page.partition(BEGIN)[2].partition(END)[0].splitlines():
        name = row.partition(" |")[0].removeprefix("| ")
        if name in CAMPAIGNS:
            found.setdefault(name, []).append(row)
    return found


def _rows_of(outcome: Outcome, effort: Effort) -> list[str]:
    if outcome.obstacle:
        return [f"| {outcome.name} | not run: {outcome.obstacle} | | |"]
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return [
        f"| {outcome.name} | {day}, {machine}, {versions}, seed {effort.seed} | {outcome.duration_s:,.0f} s | |",
        *(
            f"| {outcome.name} | {figure.name.strip()} | {number(figure.value)} | {bound_of(figure)} |"
            for figure in outcome.figures
        ),
    ]


def number(value: float) -> str:
    """A count with all its digits, any other number with two decimal places."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _show(outcome: Outcome, effort: Effort) -> bool:
    """Print the figures of a campaign. Whether all are within their bounds."""
    print(f"{outcome.name}  ({outcome.obstacle or f'{outcome.duration_s:,.0f} s'})")
    for figure in outcome.figures:
        problem = figure.problem(effort)
        print(f"  {figure.name:<42} {number(figure.value):>14}  {bound_of(figure)}{'  MISSED' if problem else ''}")
    return not any(figure.problem(effort) for figure in outcome.figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Of {', '.join(CAMPAIGNS)}. Default: all.")
    parser.add_argument("--short", action="store_true", help="Run a small part of each, to try the programs.")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="Decides what breaks when. Default: 1.")
    parser.add_argument("--write", action="store_true", help=f"Write the figures into {PAGE.relative_to(ROOT)}.")
    options = parser.parse_args()
    unknown = set(options.names) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"unknown campaign: {', '.join(sorted(unknown))}; there are {', '.join(CAMPAIGNS)}")
    if options.write and options.short:
        parser.error("--write needs whole campaigns: remove --short")
    return options


def _main() -> int:
    options = _options()
    effort = Effort(options.seed, SHORT if options.short else 1.0)
    is_good = True
    with tempfile.TemporaryDirectory(prefix="claude-force-torture-") as folder:
        for name in options.names or CAMPAIGNS:
            outcome = take(name, Path(folder), effort)
            is_good &= _show(outcome, effort)
            if options.write:
                PAGE.write_text(with_figures(PAGE.read_text(), outcome, effort))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(_main())
