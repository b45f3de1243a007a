"""Upgrades that fail, are killed, and meet: each revision, on a SQLite file and on a PostgreSQL server.

Ended after any of its statements a revision leaves no trace, and the next upgrade succeeds with every execution still
there. Of six processes that upgrade one database at once, one migrates, and none fails.
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
"""Executions that are there before an upgrade."""

STATEMENTS = 300
ROUNDS = 50
WAYS = ("fail", "kill")

Maker = Callable[[], str]
"""Makes an empty database of ours, without a schema, and says where it is."""


class Case(NamedTuple):
    """A database and the revision that it is to be upgraded to, the way that this is to end, and what it holds."""

    location: str
    revision: str
    way: str
    held: list[str]


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """End each revision after each statement, both ways, on both engines; then let six meet, round after round."""
    chance, found = random.Random(effort.seed), Counter[str]()
    with makers(folder) as engines, ThreadPoolExecutor(os.cpu_count()) as pool:
        choices = list(product(REVISIONS, WAYS))
        chosen = chance.sample(choices, min(len(choices), effort.of(len(choices))))
        cases = [prepare(maker(), *choice) for maker in engines for choice in chosen]
        for case, states in zip(cases, pool.map(states_of, cases), strict=True):
            found += judge(case, states)
        say(f"  {found['statements']:,} upgrades ended half way")
        places = [prepare(maker(), REVISIONS[1], "") for maker in engines for _ in range(effort.of(ROUNDS))]
        for case, meeting in zip(places, meet([case.location for case in places]), strict=True):
            found += Counter({"rounds": 1, "failed": meeting["failed"], "not one": int(meeting["migrated"] != 1)})
            found += kept(case)
        say(f"  {found['rounds']:,} meetings of six")
    return [
        Figure("upgrades ended after a statement", found["statements"], at_least=STATEMENTS),
        Figure("left a trace", found["traces"], at_most=0),
        Figure("did not succeed when begun again", found["stuck"], at_most=0),
        Figure("meetings of six upgrades", found["rounds"], at_least=ROUNDS),
        Figure("failed at a meeting", found["failed"], at_most=0),
        Figure("meetings at which not exactly one migrated", found["not one"], at_most=0),
        Figure("executions lost or doubled by an upgrade", found["lost"], at_most=0),
        Figure("damaged databases", found["damaged"], at_most=0),
    ]


@contextmanager
def makers(folder: Path) -> Iterator[list[Maker]]:
    """Who makes databases: files in a folder, and databases of a server that runs meanwhile."""
    numbers = count()
    with running_server() as admin, ExitStack() as databases:
        yield [
            lambda: str(an_old_file(folder / str(next(numbers)) / "metrics.db")),
            lambda: databases.enter_context(new_database(admin, TEMPLATE_BARE)),
        ]


def prepare(location: str, revision: str, way: str) -> Case:
    """Bring an empty database to the revision before, with executions where there can be any."""
    before, held = REVISIONS.index(revision), list[str]()
    if before:
        held = [execution.run_id or "" for execution in a_labelled_history(location, HELD)]
        with closing(open_database(location)) as database, connected(database) as connection:
            migrate.upgrade_connection(connection, REVISIONS[before - 1])
    return Case(location, revision, way, held)


def states_of(case: Case) -> list[dict[str, Any]]:
    """What the database was like before, after each upgrade that was ended, and after the one that was not."""
    found: list[dict[str, Any]] = _run("torture.interrupt", case.location, ROOT / "migrations", case.way, case.revision)
    return found


def meet(locations: Sequence[str]) -> Iterator[dict[str, int]]:
    """Let six upgrades meet at each database; how many of them failed and how many migrated."""
    for location in locations:
        found: dict[str, int] = _run("torture.together", location)
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
    """Whether nothing could be seen of the upgrades that were ended, and the last one did what it should."""
    before, *ended, after = states
    traces = [state for state in ended if state != before]
    is_well = after["revision"] == case.revision and (after["executions"] or 0) == len(case.held)
    for state in traces[:1]:
        say(f"  {case.revision}, {case.way}, {case.location}: left {state}, was {before}")
    return kept(case) + Counter({"statements": len(ended), "traces": len(traces), "stuck": int(not is_well)})


def kept(case: Case) -> Counter[str]:
    """Bring a database to head; whether every execution is there once and it is sound."""
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
