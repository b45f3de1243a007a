"""Takes all measures with limits and writes benchmarks/RESULTS.md: `python benchmarks/run.py`.

The data is generated in a folder, and used again for the same size, seed and end date.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import generate
from benchmarks.common import HERE, say
from benchmarks.measures import Measure
from benchmarks.report import Result, document
from benchmarks.suite import GROUPS, Bench
from benchmarks.workspace import Workspace

SIZES = (10_000, 1_000_000, 10_000_000)
QUICK = (10_000, 50_000, 200_000)
RESULTS = HERE / "RESULTS.md"


def take(measure: Measure) -> Result:
    """Take one measure. A failure is a result too."""
    say(measure.title)
    try:
        found = Result(measure, measure.take())
    except Exception as error:
        found = Result(measure, None, " ".join(f"{type(error).__name__}: {error}".split()))
        say(f"  {found.verdict}")
    if found.outcome:
        compared = f" | {found.outcome.other}" if found.outcome.other else ""
        say(f"  {found.outcome.ours}{compared} | {found.value} | {found.bar} | {found.verdict}")
    return found


def _sizes(text: str) -> tuple[int, int, int]:
    small, middle, large = map(int, text.split(","))
    if not 0 < small < middle < large:
        raise ValueError(text)
    return small, middle, large


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = ",".join(map(str, SIZES))
    parser.add_argument("--sizes", type=_sizes, metavar="N,N,N", help=f"Executions, three sizes. Default: {sizes}.")
    parser.add_argument("--quick", action="store_true", help="Small sizes, to try the programs. Writes no results.")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=GROUPS,
        metavar="GROUP",
        help=f"Of {', '.join(GROUPS)}. Writes no results.",
    )
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="Runs of each side. Default: 5.")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="The folder of the data.")
    parser.add_argument("--seed", type=int, default=generate.SEED, metavar="N", help=f"Default: {generate.SEED}.")
    parser.add_argument(
        "--end", type=date.fromisoformat, metavar="DATE", help="The last day of the data. Default: today."
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"Default: {RESULTS.relative_to(HERE.parent)}.")
    return parser.parse_args()


def _main() -> None:
    options = _options()
    folder = options.folder or Path(tempfile.gettempdir()) / "claude-force-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    space = Workspace(folder.resolve(), options.seed, options.end or datetime.now(UTC).date())
    bench = Bench(space, options.repeat, *(options.sizes or (QUICK if options.quick else SIZES)))
    chosen = [measure for measure in bench.measures() if measure.group in options.only]
    results = [take(measure) for measure in chosen]
    text = document(results, bench)
    complete = not options.quick and len(options.only) == len(GROUPS)
    output = options.output or (RESULTS if complete else None)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")
        say(f"written to {output}")


if __name__ == "__main__":
    _main()
