"""How often a check of a baseline cries wolf, and how often it finds what is worse: `python benchmarks/regressions.py`.

Made-up executions: log-normal times and costs (sigma 0.8, medians of 3 s and a third of a cent), 95 % successful. What
differs between the baseline and the period is the scenario. The same seed gives the same rates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from claude_force.analytics.baselines.check import REGRESSED, compare
from claude_force.analytics.baselines.parse import ParsedSnapshot
from claude_force.executions.histogram import bins_of

SEED = 7
SIGMA = 0.8
THRESHOLD = 1.15


class Scenario(NamedTuple):
    """What executions are like: factors of times and costs, the rate of success, and a tail: the share of executions
    whose time is so many times longer."""

    name: str
    time: float = 1.0
    cost: float = 1.0
    success: float = 0.95
    tail_share: float = 0.0
    tail: float = 1.0


AS_BEFORE = Scenario("nothing changed")
SCENARIOS = (
    AS_BEFORE,
    Scenario("time +20%", time=1.2),
    Scenario("time +50%", time=1.5),
    Scenario("time +100%", time=2.0),
    Scenario("5% take ten times longer", tail_share=0.05, tail=10.0),
    Scenario("1% take fifty times longer", tail_share=0.01, tail=50.0),
    Scenario("cost x2", cost=2.0),
    Scenario("success 95% -> 85%", success=0.85),
)
SIZES = ((30, 30), (100, 100), (1000, 1000), (3000, 30), (3000, 100), (3000, 1000))
"""Executions of the baseline, and of the period."""


def a_reading(random: Random, scenario: Scenario, size: int) -> ParsedSnapshot:
    """The figures of so many executions."""
    times = [round(3_000_000 * scenario.time * random.lognormvariate(0, SIGMA)) for _ in range(size)]
    if scenario.tail_share:
        times = [round(time * scenario.tail) if random.random() < scenario.tail_share else time for time in times]
    costs = [round(3333 * scenario.cost * random.lognormvariate(0, SIGMA)) for _ in range(size)]
    successes = sum(random.random() < scenario.success for _ in range(size))
    p95 = sorted(times)[(95 * size + 99) // 100 - 1]
    return ParsedSnapshot(
        100 * successes / size,
        sum(times) / size / 1000,
        p95 / 1000,
        sum(costs) / size / 1e6,
        size,
        size,
        size,
        dict(bins_of(times)),
        dict(bins_of(costs)),
    )


def as_kept(reading: ParsedSnapshot) -> ParsedSnapshot:
    """All that is known."""
    return reading


def as_file(reading: ParsedSnapshot) -> ParsedSnapshot:
    """The figures as the guide's file has them: without distributions."""
    return reading._replace(durations=None, costs=None)


def alarm_rate(
    scenario: Scenario,
    sizes: tuple[int, int],
    rounds: int,
    seen: Callable[[ParsedSnapshot], ParsedSnapshot] = as_kept,
    seed: int = SEED,
) -> float:
    """The share of checks that find a regression, in percent. `seen` is what is known of the baseline."""
    random, alarms = Random(seed), 0  # noqa: S311  (a simulation)
    for _ in range(rounds):
        baseline = seen(a_reading(random, AS_BEFORE, sizes[0]))
        findings = compare(baseline, a_reading(random, scenario, sizes[1]), THRESHOLD)
        alarms += any(finding.verdict == REGRESSED for finding in findings)
    return 100 * alarms / rounds


def print_rates(title: str, seen: Callable[[ParsedSnapshot], ParsedSnapshot], rounds: int) -> None:
    """A table of Markdown. Wrong alarms are rare: they are counted over ten times as many checks."""
    print(f"\nBaseline {title}:\n")
    print(f"| share of checks with an alarm | {' | '.join(f'{before:,} / {now:,}' for before, now in SIZES)} |")
    print(f"| --- |{' ---: |' * len(SIZES)}")
    for scenario in SCENARIOS:
        times = 10 * rounds if scenario is AS_BEFORE else rounds
        rates = (f"{alarm_rate(scenario, sizes, times, seen):.1f}%" for sizes in SIZES)
        print(f"| {' | '.join([scenario.name, *rates])} |", flush=True)


def main() -> None:
    """Print the rates; the argument is how many checks each is of."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print_rates("with distributions", as_kept, rounds)
    print_rates("as a file of the guide", as_file, rounds)


if __name__ == "__main__":
    main()
