"""Generates transcripts as Claude Code 2.1 writes them: `python benchmarks/transcripts.py FOLDER`.

FOLDER becomes a `projects` folder with a file for each session and one for each run of a sub-agent. FOLDER.truth.json
beside it has what a store must find: responses and tokens by day (UTC) and model. The same sizes, seed and end date
give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import string
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.conversations import (
    DAY_MS,
    RESPONSE_MS,
    STEP_MS,
    MainTranscript,
    Size,
    World,
    new_session,
)
from benchmarks.sample_text import Text
from benchmarks.transcript_truth import MAIN, Truth, truth_file

SEED = 20
DAYS = 30
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-4-8")

_SUB_FILES = 5
"""One file in this many is of a sub-agent."""

_SUB_SHARE = 0.15
"""The share of responses of sub-agents."""

_MODEL_SHARES = (0.40, 0.35, 0.10, 0.15)

FULL = Size(1000, 90_000, 1 << 30)


def write(folder: Path, size: Size, seed: int, end: date) -> Truth:
    """Write the folder, which must not exist, and its truth. The folder is complete or does not exist. Raises
    ValueError for impossible sizes."""
    chance = random.Random(f"{size} {seed} {end}")  # noqa: S311 - nothing here is a secret
    plans = _plans(chance, size)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    world = World(chance, Text(chance), part, size, Truth())
    first_ms = _midnight_ms(end - timedelta(days=DAYS - 1))
    for plan in plans:
        _session(world, plan, first_ms)
    found = {"seed": seed, "end": str(end), **world.truth.document()}
    truth_file(folder).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(folder)
    return world.truth


class _Plan(NamedTuple):
    """The number of responses of a session, and of each sub-agent that it starts."""

    responses: int
    runs: tuple[int, ...]

    @property
    def longest_ms(self) -> int:
        """An upper bound of its duration. At each midnight up to the duration of a response is skipped."""
        return (self.responses + sum(self.runs)) * STEP_MS + (DAYS + 1) * 2 * RESPONSE_MS * (1 + len(self.runs))


def _plans(chance: random.Random, size: Size) -> list[_Plan]:
    subs = size.files // _SUB_FILES
    mains = size.files - subs
    owners = [0] * mains
    for owner in chance.choices(range(mains), k=subs):
        owners[owner] += 1
    # Each sub-agent is started by a response that is not the last.
    least = [runs + 2 for runs in owners]
    of_subs = max(int(size.responses * _SUB_SHARE), subs) if subs else 0
    rest = size.responses - of_subs - sum(least)
    if mains < 1 or rest < 0:
        raise ValueError(f"{size.files:,} files need more responses than {size.responses:,}")
    own = [few + more for few, more in zip(least, _shares(chance, rest, mains), strict=True)]
    theirs = iter([1 + more for more in _shares(chance, of_subs - subs, subs)])
    plans = [_Plan(count, tuple(next(theirs) for _ in range(runs))) for count, runs in zip(own, owners, strict=True)]
    if max(plan.longest_ms for plan in plans) > DAYS * DAY_MS:
        raise ValueError(f"{size.responses:,} responses need more files than {size.files:,}")
    return plans


def _shares(chance: random.Random, total: int, parts: int) -> list[int]:
    """Split a total into parts: most are small, a few large."""
    ends = list(accumulate(chance.lognormvariate(0, 1) for _ in range(parts)))
    cuts = [0, *(int(total * end / ends[-1]) for end in ends[:-1]), total] if parts else [0]
    return [upper - lower for lower, upper in pairwise(cuts)]


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _session(world: World, plan: _Plan, first_ms: int) -> None:
    """Write the files of a session."""
    chance, context = world.chance, new_session(world)
    start_ms = first_ms + int(chance.random() * (DAYS * DAY_MS - plan.longest_ms))
    (model,) = chance.choices(MODELS, _MODEL_SHARES)
    places = sorted(chance.sample(range(plan.responses - 1), len(plan.runs)))
    tasks = dict(zip(places, plan.runs, strict=True))
    with open(context.folder / f"{context.session_id}.jsonl", "wb", buffering=1 << 20) as file:
        main = MainTranscript(world, file, context, model, start_ms)
        main.put(f'{{"type":"mode","mode":"normal","sessionId":"{context.session_id}"}}')
        is_last = True
        for number in range(plan.responses):
            if is_last:
                main.ask()
            main.task = tasks.get(number)
            is_last = number == plan.responses - 1 or (main.task is None and chance.random() < 0.12)
            main.respond(is_last=is_last)
            if chance.random() < 0.2:
                main.attach()
            if is_last:
                main.end_turn()
        main.put(f'{{"type":"ai-title","sessionId":"{context.session_id}","aiTitle":"{world.text.take(40)}"}}')
    world.truth.agents[MAIN].add(main.counted)
    world.truth.files += 1


_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def _bytes(text: str) -> int:
    number = text.rstrip(string.ascii_letters)
    return int(float(number) * _UNITS[text[len(number) :]])


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--files", type=int, default=FULL.files, metavar="N", help=f"Default: {FULL.files}.")
    parser.add_argument(
        "--responses", type=int, default=FULL.responses, metavar="N", help=f"Default: {FULL.responses}."
    )
    parser.add_argument(
        "--bytes", type=_bytes, default=FULL.size_bytes, metavar="SIZE", help="50MiB, for example. Default: 1GiB."
    )
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"Default: {SEED}.")
    parser.add_argument(
        "--end", type=date.fromisoformat, metavar="DATE", help="The last of the 30 days. Default: yesterday (UTC)."
    )
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} exists already")
    size = Size(options.files, options.responses, options.bytes)
    try:
        truth = write(options.folder, size, options.seed, options.end or yesterday())
    except ValueError as error:
        parser.error(str(error))
    total = truth.document()["total"]
    print(f"{truth.files:,} files, {total['responses']:,} responses, {truth.size_bytes:,} bytes")


def yesterday() -> date:
    """The last complete day (UTC)."""
    return datetime.now(UTC).date() - timedelta(days=1)


if __name__ == "__main__":
    _main()
