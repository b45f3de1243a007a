"""False alarm and detection rates of `baseline check`: `python benchmarks/regressions.py [CHECKS]`.

Simulated executions have log-normal times and costs (sigma 0.8, medians 3 s and a third of a cent), and 95 % succeed. A
scenario is how the period differs from the baseline. The same seed gives the same rates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from claude_force.analytics.baselines.parse import ParsedSnapshot
from claude_force.analytics.baselines.rules import REGRESSED, compare
from claude_force.executions.histogram import bins_of

SEED = 7
SIGMA = 0.8
THRESHOLD = 1.15
FALSE_ALARM_CHECKS = 10
"""False alarms are rare, so they are counted over this many times as many checks."""


class Scenario(NamedTuple):
    """The factors of times and costs, the success rate, and a tail: `tail_share` of the executions take `tail` times as
    long."""

    name: str
    time: float = 1.0
    cost: float = 1.0
    success: float = 0.95
    tail_share: float = 0.0
    tail: float = 1.0


UNCHANGED = Scenario("nothing changed")
SCENARIOS = (
    UNCHANGED,
    Scenario("time +20%", time=1.2),
    Scenario("time +50%", time=1.5),
    Scenario("time +100%", time=2.0),
    Scenario("5% take ten times longer", tail_share=0.05, tail=10.0),
    Scenario("1% take fifty times longer", tail_share=0.01, tail=50.0),
    Scenario("cost x2", cost=2.0),
    Scenario("success 95% -> 85%", success=0.85),
)
SIZES = ((30, 30), (100, 100), (1000, 1000), (3000, 30), (3000, 100), (3000, 1000))
"""The numbers of executions in the baseline and in the period."""


def simulate(random: Random, scenario: Scenario, size: int) -> ParsedSnapshot:
    """The snapshot of `size` simulated executions."""
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


def with_distributions(snapshot: ParsedSnapshot) -> ParsedSnapshot:
    """A stored baseline, which has everything."""
    return snapshot


def without_distributions(snapshot: ParsedSnapshot) -> ParsedSnapshot:
    """A baseline file as in the guide."""
    return snapshot._replace(durations=None, costs=None)


def alarm_rate(
    scenario: Scenario,
    sizes: tuple[int, int],
    checks: int,
    stored: Callable[[ParsedSnapshot], ParsedSnapshot] = with_distributions,
    seed: int = SEED,
) -> float:
    """The share of checks that find a regression, in percent. `stored` is what the baseline keeps of its snapshot."""
    random, alarms = Random(seed), 0  # noqa: S311  (a simulation)
    for _ in range(checks):
        baseline = stored(simulate(random, UNCHANGED, sizes[0]))
        results = compare(baseline, simulate(random, scenario, sizes[1]), THRESHOLD)
        alarms += any(result.verdict == REGRESSED for result in results)
    return 100 * alarms / checks


def print_rates(title: str, stored: Callable[[ParsedSnapshot], ParsedSnapshot], checks: int) -> None:
    """Print a Markdown table."""
    print(f"\nBaseline {title}:\n")
    print(f"| share of checks with an alarm | {' | '.join(f'{before:,} / {now:,}' for before, now in SIZES)} |")
    print(f"| --- |{' ---: |' * len(SIZES)}")
    for scenario in SCENARIOS:
        number = FALSE_ALARM_CHECKS * checks if scenario is UNCHANGED else checks
        rates = (f"{alarm_rate(scenario, sizes, number, stored):.1f}%" for sizes in SIZES)
        print(f"| {' | '.join([scenario.name, *rates])} |", flush=True)


def main() -> None:
    """Print the rates over 200 checks each, or over the number given."""
    checks = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print_rates("with distributions", with_distributions, checks)
    print_rates("as a file of the guide", without_distributions, checks)


if __name__ == "__main__":
    main()
