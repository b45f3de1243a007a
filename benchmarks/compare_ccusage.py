"""Compares `claude-force ingest` with ccusage: `python benchmarks/compare_ccusage.py [FOLDER]`.

FOLDER is a `projects` folder of Claude Code. By default transcripts are generated, some with rare kinds of usage
(`transcript_oddities.py`), and odd cases are added. Each difference in tokens or cost is traced to its reason by an
experiment: the transcripts are rewritten without that oddity, and both programs read them again. The part of the
difference that disappears is due to the reason. Exits 1 if a difference remains unexplained.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import common, transcripts
from benchmarks.ccusage_cases import cases, write_case
from benchmarks.ccusage_reasons import REASONS, SEVERAL, Reason, found_in, rewrite
from benchmarks.common import Failed, say
from benchmarks.conversations import Size
from benchmarks.ingesting import report, reported_rows, table, tokens_of
from benchmarks.transcript_oddities import add_oddities
from benchmarks.transcript_truth import Tokens, read_cells, truth_file
from benchmarks.transcripts import SEED
from benchmarks.workspace import Workspace

SMALL, END = Size(30, 600, 3 << 20), date(2026, 11, 20)


EQUAL_NANOUSD = 1000
"""ccusage adds up costs as floating-point numbers, claude-force whole nano-dollars: so far apart they are equal."""


class Counts(NamedTuple):
    """Tokens and cost as both programs report them, or differences."""

    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0
    cost_nanousd: int = 0

    def plus(self, other: Counts, sign: int = 1) -> Counts:
        """The sum; with sign -1 the difference."""
        return Counts(*(mine + sign * its for mine, its in zip(self, other, strict=True)))

    def without_rounding(self) -> Counts:
        """The difference, without one in cost that is only rounding."""
        return self._replace(cost_nanousd=0) if abs(self.cost_nanousd) <= EQUAL_NANOUSD else self


NOTHING = Counts()
Cell = tuple[str, str]
"""A day (UTC) and a model."""

Cells = dict[Cell, Counts]


def minus(mine: Mapping[Cell, Counts], other: Mapping[Cell, Counts]) -> Cells:
    """The differences, without cells that are equal."""
    found = {
        cell: mine.get(cell, NOTHING).plus(other.get(cell, NOTHING), -1).without_rounding()
        for cell in mine.keys() | other.keys()
    }
    return {cell: counts for cell, counts in sorted(found.items()) if counts != NOTHING}


def total(cells: Iterable[Counts]) -> Counts:
    """The sum of all."""
    found = NOTHING
    for counts in cells:
        found = found.plus(counts)
    return found


# Both programs on one folder


@dataclass(frozen=True, slots=True)
class Comparison:
    """The tokens and costs of one folder according to both programs."""

    ours: Cells
    theirs: Cells

    @property
    def difference(self) -> Cells:
        """Ours minus theirs, without the costs of models that ccusage has no price for."""
        return minus(self.ours | self._unpriced, self.theirs)

    @property
    def unpriced_models(self) -> list[str]:
        """The models that ccusage has no price for."""
        return sorted({model for _, model in self._unpriced})

    @property
    def _unpriced(self) -> Cells:
        """Ours without costs, where ccusage charges nothing for tokens."""
        free = (cell for cell, counts in self.theirs.items() if not counts.cost_nanousd)
        return {cell: self.ours.get(cell, NOTHING)._replace(cost_nanousd=0) for cell in free}


@dataclass
class Programs:
    """Both programs in a workspace."""

    space: Workspace
    ccusage: Path
    inconsistencies: list[str] = field(default_factory=list)

    def read(self, projects: Path) -> Comparison:
        """Read a folder with both programs. `inconsistencies` gets a line if our own reports differ from each other."""
        with tempfile.TemporaryDirectory(dir=self.space.folder) as folder:
            database = Path(folder) / "metrics.db"
            # It ends with 1 if it rejected lines.
            self.space.program("ingest", projects, "--db", database, statuses=(0, 1))
            rows = reported_rows(self.space, database)
            tokens = {cell: tokens_of(row) for cell, row in rows.items()}
            self.inconsistencies += [
                f"{projects.parent.name}: {problem}" for problem in self._disagreements(database, tokens)
            ]
            config = Path(folder) / "config"
            config.mkdir()
            (config / "projects").symlink_to(projects)
            theirs = self._theirs(config)
        ours = {cell: _counts(tokens[cell], _nanousd(row["total_cost"])) for cell, row in rows.items()}
        return Comparison({cell: counts for cell, counts in ours.items() if counts != NOTHING}, theirs)

    def version(self) -> str:
        """The version of ccusage."""
        return self._run("--version", config=self.space.folder).strip()

    def _disagreements(self, database: Path, cells: Mapping[Cell, Tokens]) -> Iterator[str]:
        reports = (
            ("trends", report(self.space, database, "trends")["trends"], "date", 0),
            ("costs", report(self.space, database, "costs")["by_model"], "model", 1),
            ("by-model", report(self.space, database, "by-model")["models"], "model", 1),
        )
        for name, rows, key, position in reports:
            sums: defaultdict[str, Tokens] = defaultdict(Tokens)
            for cell, tokens in cells.items():
                sums[cell[position]].add(tokens)
            if {row[key]: tokens_of(row) for row in rows if tokens_of(row) != Tokens()} != sums:
                yield f"`{name}` differs from `trends` of each model"

    def _theirs(self, config: Path) -> Cells:
        options = ("--offline", "--json", "--breakdown", "--timezone", "UTC")
        answer = json.loads(self._run("daily", *options, config=config))
        # Without data the answer is an empty list.
        days = answer["daily"] if isinstance(answer, dict) else []
        return {(day["period"], row["modelName"]): _their_counts(row) for day in days for row in day["modelBreakdowns"]}

    def _run(self, *arguments: str, config: Path) -> str:
        environment = {"HOME": str(self.space.home), "CLAUDE_CONFIG_DIR": str(config), "PATH": os.environ["PATH"]}
        return common.run([self.ccusage, *arguments], self.space.home, environment).output


def _counts(tokens: Tokens, cost_nanousd: int = 0) -> Counts:
    written = tokens.cache_write_5m_tokens + tokens.cache_write_1h_tokens
    return Counts(tokens.input_tokens, tokens.output_tokens, written, tokens.cache_read_tokens, cost_nanousd)


def _their_counts(row: Mapping[str, Any]) -> Counts:
    return Counts(
        input=row["inputTokens"],
        output=row["outputTokens"],
        cache_write=row["cacheCreationTokens"],
        cache_read=row["cacheReadTokens"],
        cost_nanousd=_nanousd(row["cost"]),
    )


def _nanousd(cost_usd: float | None) -> int:
    """An unknown cost is 0, as ccusage has it."""
    return 0 if cost_usd is None else round(cost_usd * 1_000_000_000)


# The difference, by reason


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a difference that disappears without a reason (None: unexplained), and the programs whose figures
    change then."""

    unit: str
    reason: str | None
    cells: Cells
    moved: frozenset[str] = frozenset()


def explain(programs: Programs, unit: str, projects: Path, read: Comparison) -> list[Part]:
    """The parts of the difference in one folder."""
    if not read.difference:
        return []
    present, parts, rest = found_in(projects), [], read.difference
    for reason in present:
        without = _read_without(programs, unit, projects, [reason])
        part = minus(read.difference, without.difference)
        sides = (("claude-force", read.ours, without.ours), ("ccusage", read.theirs, without.theirs))
        moved = frozenset(name for name, before, after in sides if minus(before, after))
        rest = minus(rest, part)
        parts.append(Part(unit, reason.name, part, moved))
    several = rest and len(present) > 1
    unknown = _read_without(programs, unit, projects, present).difference if several else rest
    parts += [Part(unit, SEVERAL, minus(rest, unknown)), Part(unit, None, unknown)]
    return [part for part in parts if part.cells]


def _read_without(programs: Programs, unit: str, projects: Path, reasons: Sequence[Reason]) -> Comparison:
    say(f"  without {', '.join(reason.name for reason in reasons)}")
    with tempfile.TemporaryDirectory(dir=programs.space.folder) as folder:
        other = Path(folder) / unit / "projects"
        rewrite(projects, other, reasons)
        return programs.read(other)


# The report


def _side_by_side(read: Comparison, position: int, name: str) -> str:
    """Both by day or by model: one number if they agree, else ours and theirs."""
    sums: dict[str, list[Counts]] = {}
    for number, cells in enumerate((read.ours, read.theirs)):
        for cell, counts in cells.items():
            pair = sums.setdefault(cell[position], [NOTHING, NOTHING])
            pair[number] = pair[number].plus(counts)
    sums = dict(sorted(sums.items())) | {"all": [total(read.ours.values()), total(read.theirs.values())]}
    rows = []
    for key, (mine, its) in sums.items():
        equal = [difference == 0 for difference in mine.plus(its, -1).without_rounding()]
        texts = zip(_texts(mine), _texts(its), equal, strict=True)
        rows.append((key, *(ours if is_equal else f"{ours} / {theirs}" for ours, theirs, is_equal in texts)))
    return table((name, *KINDS), rows)


KINDS = ("input", "output", "cache write", "cache read", "cost")


def _texts(counts: Counts) -> list[str]:
    *tokens, cost_nanousd = counts
    return [*(f"{amount:,}" for amount in tokens), f"${cost_nanousd / 1e9:,.4f}"]


def _differences(parts: Sequence[Part]) -> str:
    """Each difference by day and model, with its folder and its reason."""
    rows = [
        (day, model, *_signed(counts), part.unit, part.reason or "**unknown**")
        for part in parts
        for (day, model), counts in part.cells.items()
    ]
    return table(("day", "model", *KINDS, "in", "reason"), sorted(rows))


def _reasons(parts: Sequence[Part]) -> str:
    """Each reason, the programs that it changes, and its part of the difference."""
    rows = []
    for reason in REASONS:
        mine = [part for part in parts if part.reason == reason.name]
        if mine:
            moved = ", ".join(sorted(set[str]().union(*(part.moved for part in mine))))
            sums = total(counts for part in mine for counts in part.cells.values())
            rows.append((reason.name, reason.explanation, moved, *_signed(sums)))
    return table(("reason", "explanation", "changes the figures of", *KINDS), rows)


def _signed(counts: Counts) -> list[str]:
    *tokens, cost_nanousd = counts
    texts = [f"{amount:+,}" if amount else "0" for amount in tokens]
    return [*texts, f"{cost_nanousd / 1e9:+,.6f}" if cost_nanousd else "0"]


def _against_truth(read: Comparison, truth: Path) -> list[str]:
    """Both programs compared with the truth of generated transcripts, which has no costs."""
    cells = read_cells(truth)
    true_cells = {cell: _counts(tokens) for cell, tokens in cells.items()}
    on_lines = {cell: true_cells[cell]._replace(output=tokens.output_on_lines) for cell, tokens in cells.items()}
    sides = (
        ("claude-force", read.ours, true_cells, "the truth"),
        ("ccusage", read.theirs, on_lines, "the lines of the responses"),
    )
    return [f"{name}, generated: {_verdict(minus(_free(found), true))} {what}." for name, found, true, what in sides]


def _free(cells: Cells) -> Cells:
    return {cell: counts._replace(cost_nanousd=0) for cell, counts in cells.items()}


def _verdict(difference: Cells) -> str:
    return f"differs in {len(difference)} cells from" if difference else "equals"


# The whole of it


def compare(
    programs: Programs, units: Mapping[str, Path], everything: Path
) -> tuple[Comparison, list[Part], list[str]]:
    """Read everything with both programs, and each unit alone. The comparison of everything, the parts of the
    difference, and remarks."""
    say("everything")
    whole = programs.read(everything)
    parts: list[Part] = []
    unpriced = ", ".join(whole.unpriced_models)
    remarks = [f"Costs not compared, since ccusage has no price: {unpriced}."] if unpriced else []
    rest = whole.difference
    for unit, projects in units.items():
        say(unit)
        read = whole if projects == everything else programs.read(projects)
        parts += explain(programs, unit, projects, read)
        rest = minus(rest, read.difference)
        if truth_file(projects).exists():
            remarks += _against_truth(read, truth_file(projects))
    if rest:
        parts.append(Part("all of them together", None, rest))
    return whole, parts, remarks


def _make_units(space: Workspace) -> tuple[dict[str, Path], Path]:
    """Generated transcripts, with and without rare usage, and each odd case in its own folder, and all in one."""
    everything = space.folder / "everything" / "projects"
    units = {"generated": space.folder / "generated" / "projects"}
    transcripts.write(units["generated"], SMALL, space.seed, space.end)
    units["oddities"] = space.folder / "oddities" / "projects"
    transcripts.write(units["oddities"], SMALL, space.seed + 1, space.end)
    truth_file(units["oddities"]).unlink()
    add_oddities(units["oddities"])
    for name, files in cases().items():
        units[name] = space.folder / name / "projects"
        write_case(units[name], files)
    for projects in units.values():
        shutil.copytree(projects, everything, dirs_exist_ok=True)
    return units, everything


def document(
    version: str, units: Iterable[str], whole: Comparison, parts: Sequence[Part], remarks: Sequence[str]
) -> str:
    """The report as Markdown."""
    agreeing = [unit for unit in units if all(part.unit != unit for part in parts)]
    unknown = sum(part.reason is None for part in parts)
    ends = f"{unknown} unexplained." if unknown else "Each difference disappears without its reason."
    texts = [
        f"# claude-force and {version}",
        "One number if both agree, else claude-force / ccusage.",
        _side_by_side(whole, 0, "day"),
        _side_by_side(whole, 1, "model"),
    ]
    if parts:
        texts += ["Every difference, as claude-force minus ccusage:", _differences(parts), _reasons(parts), ends]
    texts.append("\n".join([f"Without a difference: {', '.join(agreeing) or 'none'}.", *remarks]))
    return "\n\n".join(texts)


def _run(ccusage: Path, given: Path | None) -> bool:
    """Compare and print the report. Whether everything is explained."""
    with tempfile.TemporaryDirectory(prefix="claude-force-ccusage-") as folder:
        space = Workspace(Path(folder).resolve(), SEED, END)
        programs = Programs(space, ccusage)
        units, everything = ({given.name: given}, given) if given else _make_units(space)
        whole, parts, remarks = compare(programs, units, everything)
        print(document(programs.version(), units, whole, parts, [*remarks, *programs.inconsistencies]))
    return not programs.inconsistencies and all(part.reason is not None for part in parts)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER")
    parser.add_argument("--ccusage", metavar="PATH", default="ccusage", help="Default: the one on the PATH.")
    options = parser.parse_args()
    ccusage = shutil.which(options.ccusage)
    if ccusage is None:
        sys.exit(f"error: no {options.ccusage}: `npm install ccusage`, then --ccusage node_modules/.bin/ccusage")
    if options.folder and not options.folder.is_dir():
        sys.exit(f"error: {options.folder} is not a folder")
    try:
        is_explained = _run(Path(ccusage).absolute(), options.folder.resolve() if options.folder else None)
    except Failed as error:
        sys.exit(f"error: {error}")
    sys.exit(0 if is_explained else 1)


if __name__ == "__main__":
    _main()
