"""Upgrades that fail, are killed or run concurrently: each revision, on SQLite and on PostgreSQL.

A revision that ends after any of its statements leaves no trace, and the next upgrade succeeds with all executions. Of
six processes that upgrade one database at once, one migrates and none fails.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import count, product
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.database import migrate
from claude_force.database.open import open_database
from claude_force.database.revisions import REVISIONS
from claude_force.errors import ClaudeForceError
from tests.histories import a_labelled_history, an_old_file, connected
from tests.postgres import TEMPLATE_BARE, new_database, running_server
from torture.campaign import Effort, Figure, say
from torture.evidence import damage, difference, stored

ROOT = Path(__file__).resolve().parent.parent
HELD = 40
"""The number of executions before an upgrade."""

STATEMENTS = 300
ROUNDS = 50
ENDINGS = ("fail", "kill")

Maker = Callable[[], str]
"""Creates an empty database without a schema, and returns its location."""


class Case(NamedTuple):
    """A database, the target revision, how the upgrade ends ("fail" or "kill"), and the `run_id`s in the database."""

    location: str
    revision: str
    ending: str
    held: list[str]


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """End each revision after each statement, by failure and by kill, on both engines; then run six upgrades at
    once."""
    chance, found = random.Random(effort.seed), Counter[str]()
    with makers(folder) as engines, ThreadPoolExecutor(os.cpu_count()) as pool:
        choices = list(product(REVISIONS, ENDINGS))
        chosen = chance.sample(choices, min(len(choices), effort.of(len(choices))))
        cases = [prepare(maker(), *choice) for maker in engines for choice in chosen]
        for case, states in zip(cases, pool.map(states_of, cases), strict=True):
            found += judge(case, states)
        say(f"  {found['statements']:,} upgrades ended half way")
        places = [prepare(maker(), REVISIONS[1], "") for maker in engines for _ in range(effort.of(ROUNDS))]
        for case, meeting in zip(places, meet([case.location for case in places]), strict=True):
            found += Counter({"rounds": 1, "failed": meeting["failed"], "not one": int(meeting["migrated"] != 1)})
            found += kept(case)
        say(f"  {found['rounds']:,} rounds of six")
    return [
        Figure("upgrades ended after a statement", found["statements"], at_least=STATEMENTS),
        Figure("left a trace", found["traces"], at_most=0),
        Figure("did not succeed when repeated", found["stuck"], at_most=0),
        Figure("rounds of six concurrent upgrades", found["rounds"], at_least=ROUNDS),
        Figure("failed in a round", found["failed"], at_most=0),
        Figure("rounds without exactly one migration", found["not one"], at_most=0),
        Figure("executions lost or doubled by an upgrade", found["lost"], at_most=0),
        Figure("damaged databases", found["damaged"], at_most=0),
    ]


@contextmanager
def makers(folder: Path) -> Iterator[list[Maker]]:
    """Makers of SQLite files in a folder, and of PostgreSQL databases on a server that runs during the block."""
    numbers = count()
    with running_server() as admin, ExitStack() as databases:
        yield [
            lambda: str(an_old_file(folder / str(next(numbers)) / "metrics.db")),
            lambda: databases.enter_context(new_database(admin, TEMPLATE_BARE)),
        ]


def prepare(location: str, revision: str, ending: str) -> Case:
    """Upgrade an empty database to the revision before, with executions if that revision has the table."""
    before, held = REVISIONS.index(revision), list[str]()
    if before:
        held = [execution.run_id or "" for execution in a_labelled_history(location, HELD)]
        with closing(open_database(location)) as database, connected(database) as connection:
            migrate.upgrade_connection(connection, REVISIONS[before - 1])
    return Case(location, revision, ending, held)


def states_of(case: Case) -> list[dict[str, Any]]:
    """The states of the database: before, after each interrupted upgrade, and after the one that ended."""
    found: list[dict[str, Any]] = _run(
        "torture.interrupt", case.location, ROOT / "migrations", case.ending, case.revision
    )
    return found


def meet(locations: Sequence[str]) -> Iterator[dict[str, int]]:
    """Run six upgrades at once on each database. The numbers of those that failed and that migrated."""
    for location in locations:
        found: dict[str, int] = _run("torture.concurrent", location)
        yield found


def _run(module: str, *arguments: str | Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def judge(case: Case, states: Sequence[dict[str, Any]]) -> Counter[str]:
    """Count traces of interrupted upgrades, and whether the last one succeeded."""
    before, *ended, after = states
    traces = [state for state in ended if state != before]
    is_well = after["revision"] == case.revision and (after["executions"] or 0) == len(case.held)
    for state in traces[:1]:
        say(f"  {case.revision}, {case.ending}, {case.location}: left {state}, was {before}")
    return kept(case) + Counter({"statements": len(ended), "traces": len(traces), "stuck": int(not is_well)})


def kept(case: Case) -> Counter[str]:
    """Upgrade a database to head. Count lost executions and damage."""
    try:
        with closing(open_database(case.location)) as database:
            migrate.upgrade(database)
    except ClaudeForceError as error:
        say(f"  {case.location}: {error}")
        return Counter({"stuck": 1})
    problems, differs = damage(case.location), difference(stored(case.location), case.held)
    for problem in problems:
        say(f"  {case.location}: {problem}")
    return Counter({"damaged": len(problems), "lost": sum(differs)})
