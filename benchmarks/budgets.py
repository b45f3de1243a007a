"""Compares what is counted with its budgets: `scripts/bench --check`.

| a figure                            | what happens                                |
|-------------------------------------|---------------------------------------------|
| is over its budget by more than 3 % | it is named, and the exit code is 1         |
| is under it by more than 3 %        | it can be lowered; `--update` does it       |
| has no budget                       | the exit code is 1; `--update` gives it one |

On another processor, or with another version of a library, than when the budgets were counted, nothing fails, and the
difference is named. The budgets are in `budgets.toml`. Instructions need valgrind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import HERE, Failed, say
from benchmarks.counted import Figures, count_all, counted_with, versions

FILE = HERE / "budgets.toml"
TOLERANCE = 0.03
INSTALL = "apt-get install valgrind"

_KINDS = ("instructions", "recording", "modules")
_HEAD = """\
# What a program may take, counted at each `scripts/check --thorough`. A figure that is over its budget by more than 3 %
# fails. `scripts/bench --check --update` writes the figures of now; the commit says why one went up.
"""


class Finding(NamedTuple):
    """A figure that is not within its budget. `budget` is None if it has none."""

    name: str
    figure: int
    budget: int | None
    verdict: Literal["over", "can be lowered", "no budget"]

    def __str__(self) -> str:
        if self.budget is None:
            return f"{self.name}: {self.figure:,} has no budget: scripts/bench --check --update"
        change = f"{100 * (self.figure / self.budget - 1):+.1f} %" if self.budget else f"+{self.figure:,}"
        words = "over its budget" if self.verdict == "over" else "its budget can be lowered: --update"
        return f"{self.name}: {self.figure:,} of {self.budget:,} ({change}), {words}"


def compare(figures: Figures, budgets: Figures) -> list[Finding]:
    """The figures that are not within their budgets, in their order."""
    return [finding for name, figure, budget in _pairs(figures, budgets) if (finding := _judge(name, figure, budget))]


def _pairs(figures: Figures, budgets: Figures) -> Iterator[tuple[str, int, int | None]]:
    for kind, found in figures.items():
        for name, figure in found.items():
            yield f"{kind}, {name}", figure, budgets.get(kind, {}).get(name)


def _judge(name: str, figure: int, budget: int | None) -> Finding | None:
    if budget is None:
        return Finding(name, figure, budget, "no budget")
    if figure > budget * (1 + TOLERANCE):
        return Finding(name, figure, budget, "over")
    return Finding(name, figure, budget, "can be lowered") if figure < budget * (1 - TOLERANCE) else None


def document(figures: Mapping[str, Mapping[str, int]], interpreter: str, counted: Mapping[str, str]) -> str:
    """The text of the file of budgets; `counted` are the versions of what was counted."""
    lines = [_HEAD, f'counted_with = "{interpreter}"', "", "[versions]"]
    lines += [f'{name} = "{number}"' for name, number in counted.items()]
    for kind, found in figures.items():
        lines += ["", f"[{kind}]", *(f'"{name}" = {figure:_}' for name, figure in found.items())]
    return "\n".join(lines) + "\n"


def _skipped(budgets: Mapping[str, object]) -> str | None:
    """Why the budgets do not hold here; None if they do."""
    theirs = budgets.get("counted_with", counted_with())
    return None if theirs == counted_with() else f"the budgets were counted with {theirs}; this is {counted_with()}"


def other_versions(theirs: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    """What has another version than when the budgets were counted."""
    names = sorted(theirs.keys() | ours.keys())
    return [
        f"{name} {ours.get(name, 'is gone')} (was {theirs.get(name, 'not used')})"
        for name in names
        if theirs.get(name) != ours.get(name)
    ]


def _count(*, with_instructions: bool) -> Figures:
    """All figures. A process may fail for what the machine did at that moment, so all are counted once more then."""
    try:
        return count_all(with_instructions=with_instructions)
    except Failed as error:
        say(f"counted once more: {error}")
        return count_all(with_instructions=with_instructions)


def _main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench --check", description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="Write the figures of now as the budgets.")
    options = parser.parse_args()
    budgets = tomllib.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    if (reason := _skipped(budgets)) and not options.update:
        say(f"not checked: {reason}")
        return 0
    has_valgrind = shutil.which("valgrind") is not None
    if not has_valgrind:
        say(f"instructions are not counted, because valgrind is not installed: {INSTALL}")
    others = other_versions(budgets.get("versions", {}), versions()) if not options.update else []
    if others:
        say(f"nothing fails, since this differs from when the budgets were counted: {', '.join(others)}")
    try:
        figures = _count(with_instructions=has_valgrind)
    except Failed as error:
        if not others:
            raise
        say(f"not counted: {error}")
        return 0
    findings = compare(figures, budgets)
    found = {finding.name for finding in findings}
    for name, figure, budget in _pairs(figures, budgets):
        if name not in found:
            say(f"{name}: {figure:,} of {budget:,}")
    for finding in findings:
        say(str(finding))
    if options.update:
        kept = {kind: figures.get(kind, budgets.get(kind, {})) for kind in _KINDS}
        FILE.write_text(document(kept, counted_with(), versions()), encoding="utf-8")
        return 0
    return 0 if others else int(any(finding.verdict != "can be lowered" for finding in findings))


if __name__ == "__main__":
    try:
        sys.exit(_main())
    except Failed as error:
        sys.exit(f"error: {error}")
