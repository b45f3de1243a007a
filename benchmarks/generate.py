"""Generates a realistic history in the guide's JSONL format: `python benchmarks/generate.py COUNT FILE`.

The same count, seed and end date give the same bytes. Executions are spread evenly, in time order, over the working
days (Monday to Friday, 08:00 to 18:00) of the year that ends at the end date. They are those of programs that know no
runs; with `--runs`, those of sessions: 20 runs of 10 executions each, all of one agent on one model. With `--team` they
are of 12 hosts and 20 users, by turns.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from statistics import NormalDist
from uuid import NAMESPACE_URL, uuid5

SEED = 20

_ROLES = (
    "python-expert",
    "code-reviewer",
    "api-designer",
    "security-specialist",
    "frontend-architect",
    "test-writer",
    "database-architect",
    "devops-engineer",
    "bug-investigator",
    "document-writer",
    "performance-analyst",
    "refactoring-expert",
)
AGENTS = tuple(
    role if turn == 0 else f"{role}-{turn * 12 + at:02d}" for turn in range(4) for at, role in enumerate(_ROLES)
)
"""The most frequent first: the weight of the n-th is n to the power of -1.1 (Zipf)."""

_MODELS = (
    # name, share, US dollars per million tokens in and out, median seconds
    ("claude-haiku-4-5", 0.60, 1.0, 5.0, 2.1),
    ("claude-sonnet-4-5", 0.32, 3.0, 15.0, 4.6),
    ("claude-opus-4-1-20250805", 0.05, 15.0, 75.0, 9.5),
    ("claude-3-5-haiku-20241022", 0.03, 0.8, 4.0, 2.8),
)
_ERRORS = ("RateLimitError", "TimeoutError", "APIError", "ValidationError", "OverloadedError")
_FAILURES = 0.05
_DAY_US = 10 * 3600 * 1_000_000
_BATCH = 10_000
_RUN, _SESSION = 10, 200
"""Executions of a run and of a session."""

_HOSTS, _USERS = 12, 20

_STEPS = 1 << 16
_NORMAL = [NormalDist().inv_cdf((step + 0.5) / _STEPS) for step in range(_STEPS)]


def _lognormal(sigma: float) -> list[float]:
    """Precomputed log-normal factors: choosing one costs a list look-up."""
    return [math.exp(sigma * value) for value in _NORMAL]


_TIMES, _INPUTS, _OUTPUTS = _lognormal(0.55), _lognormal(0.8), _lognormal(0.7)


def working_days(end: date) -> list[date]:
    """Monday to Friday of the year that ends at `end`, that day included."""
    days = (end - timedelta(days=back) for back in range(364, -1, -1))
    return [day for day in days if day.weekday() < 5]


def busy_day(end: date) -> date:
    """A day in the middle of the year that has executions."""
    days = working_days(end)
    return days[len(days) // 2]


def lines(count: int, seed: int, end: date, *, with_runs: bool = False) -> Iterator[str]:
    """The lines, oldest first, each with its line end."""
    chance = random.Random(f"{count} {seed} {end}")  # noqa: S311 - nothing here is a secret
    shapes = [_shape(agent, model) for agent in range(len(AGENTS)) for model in range(len(_MODELS))]
    weights = [(agent + 1) ** -1.1 * share for agent in range(len(AGENTS)) for _, share, *_ in _MODELS]
    cumulative = list(accumulate(weights))
    days = working_days(end)
    for number, day in enumerate(days):
        here = count * (number + 1) // len(days) - count * number // len(days)
        for start in range(0, here, _BATCH):
            chosen = chance.choices(shapes, cum_weights=cumulative, k=min(_BATCH, here - start))
            for at, shape in enumerate(chosen, start):
                of_run = chosen[(at - start) // _RUN * _RUN] if with_runs else shape
                line = _line(chance, f"{day}T", int((at + chance.random()) * _DAY_US / here), of_run)
                yield _in_run(line, f"{day}", at) if with_runs else line


_Shape = tuple[str, str, float, float, float, float, float]


def _shape(agent: int, model: int) -> _Shape:
    """An agent on a model: both names as JSON, the medians of milliseconds and tokens, and US dollars per token."""
    name, _, price_in, price_out, seconds = _MODELS[model]
    slowness = 0.5 + agent * 7 % 12 / 8
    talk = 0.6 + agent * 5 % 12 / 10
    times = 1000 * seconds * slowness
    return AGENTS[agent], name, times, 1400 * talk, 450 * talk, price_in / 1e6, price_out / 1e6


def _line(chance: random.Random, day: str, instant: int, shape: _Shape) -> str:
    agent, model, times, inputs, outputs, price_in, price_out = shape
    bits = chance.getrandbits(80)
    seconds, micros = divmod(instant, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    tokens_in = int(inputs * _INPUTS[bits & 0xFFFF]) + 1
    tokens_out = int(outputs * _OUTPUTS[bits >> 16 & 0xFFFF]) + 1
    success, error = "true", "null"
    if chance.random() < _FAILURES:
        success, error = "false", f'"{_ERRORS[bits % len(_ERRORS)]}"'
    return (
        f'{{"timestamp": "{day}{hours + 8:02d}:{minutes:02d}:{seconds:02d}.{micros:06d}", "agent_name": "{agent}", '
        f'"task_hash": "{bits >> 48:08x}", "success": {success}, '
        f'"execution_time_ms": {int(times * _TIMES[bits >> 32 & 0xFFFF]) + 1}, "model": "{model}", '
        f'"input_tokens": {tokens_in}, "output_tokens": {tokens_out}, "total_tokens": {tokens_in + tokens_out}, '
        f'"estimated_cost": {tokens_in * price_in + tokens_out * price_out:.6f}, "error_type": {error}, '
        '"workflow_id": null}\n'
    )


def _in_run(line: str, day: str, at: int) -> str:
    """A line with its session and its run, whose ids are UUIDs."""
    session, run = (uuid5(NAMESPACE_URL, f"{day} {size} {at // size}") for size in (_SESSION, _RUN))
    return line.replace('"workflow_id": null', f'"workflow_id": "{session}", "run_id": "{run}"')


def _in_team(line: str, at: int) -> str:
    """A line with its host and its user."""
    return line.replace("}", f', "host": "host-{at % _HOSTS:02d}", "user": "user-{at % _USERS:02d}"}}')


def write(count: int, path: Path, seed: int, end: date, *, with_runs: bool = False, is_of_team: bool = False) -> None:
    """Write the file. It is complete or does not exist."""
    part = path.with_name(f"{path.name}.part")
    with open(part, "w", encoding="ascii", buffering=1 << 20) as file:
        made = lines(count, seed, end, with_runs=with_runs)
        file.writelines(map(_in_team, made, range(count)) if is_of_team else made)
    part.replace(path)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, metavar="COUNT")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"Default: {SEED}.")
    parser.add_argument("--end", type=date.fromisoformat, default=None, metavar="DATE", help="Default: today (UTC).")
    parser.add_argument("--runs", action="store_true", help="Executions of sessions, with run ids.")
    parser.add_argument("--team", action="store_true", help="Executions of several hosts and users.")
    options = parser.parse_args()
    end = options.end or datetime.now(UTC).date()
    write(options.count, options.file, options.seed, end, with_runs=options.runs, is_of_team=options.team)


if __name__ == "__main__":
    _main()
