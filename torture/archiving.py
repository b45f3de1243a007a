"""Archive runs, and imports that restore the archives, are killed at any moment.

A database is archived and restored again and again, on both engines. After every kill each execution is either stored
or archived, never both, and every sum is unchanged. A killed run is repeated until it ends; then everything is in its
place.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import Store
from claude_force.executions.totals import Totals
from tests.archives import archived_lines, stored_lines
from tests.builders import an_execution
from tests.postgres import TEMPLATE_AT_HEAD, new_database, running_server
from torture.campaign import Effort, Figure, say
from torture.subjects import KILLED, archive, restore, subject

KILLS = 200
KILLS_IN_A_ROUND = 25
"""Kills per database. The next round starts with a new one on the other engine."""

JANUARY_US = 1_735_689_600_000_000
LATER_US = JANUARY_US + 400 * DAY_US
MONTHS = (2500, 40, 900, 1)
"""Executions of four months. Some months have more than one batch."""


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Kill archive and restore runs, in rounds."""
    chance, wanted, found = random.Random(effort.seed), effort.of(KILLS), Counter[str]()
    with ExitStack() as stack:
        admin = stack.enter_context(running_server())
        while found["kills"] < wanted:
            here = folder / f"round-{found['rounds']}"
            here.mkdir(parents=True)
            location = (
                stack.enter_context(new_database(admin, TEMPLATE_AT_HEAD))
                if found["rounds"] % 2
                else str(here / "metrics.db")
            )
            with closing(open_database(location)) as database:
                this = _Round(database, location, here / "archive", random.Random(chance.random()))
                found += this.run(min(KILLS_IN_A_ROUND, wanted - found["kills"]))
            found["rounds"] += 1
            say(f"  {found['kills']:,} kills, {found['lost']:,} executions lost")
    return [
        Figure("kills", found["kills"], at_least=KILLS),
        Figure("kills of an archiving run", found["kills of archive"], at_least=KILLS // 4),
        Figure("kills of an import that restores", found["kills of restore"], at_least=KILLS // 4),
        Figure("kills between the first transaction and the last", found["kills amid"], at_least=KILLS // 8),
        Figure("complete archives at the end", found["archived"], at_least=1),
        Figure("complete databases at the end", found["restored"], at_least=1),
        Figure("lost", found["lost"], at_most=0),
        Figure("duplicates", found["duplicates"], at_most=0),
        Figure("totals that changed", found["changed"], at_most=0),
        Figure("databases whose sums differ", found["differing"], at_most=0),
        Figure("runs that ended incomplete", found["unfinished"], at_most=0),
        Figure("runs that failed", found["failures"], at_most=0),
    ]


class _Round:
    """One database and its archives."""

    def __init__(self, database: Database, location: str, folder: Path, chance: random.Random) -> None:
        self._database, self._location, self._folder, self._chance = database, location, folder, chance
        Store(database).add(
            an_execution(
                timestamp_us=JANUARY_US + month * 31 * DAY_US + number * HOUR_US // 4,
                duration_us=number,
                success=number % 7 > 0,
                agent_name=f"agent-{number % 5}",
                cost_nanousd=number,
            )
            for month, executions in enumerate(MONTHS)
            for number in range(executions)
        )
        self._before, self._totals = Counter(stored_lines(database)), self._sums()
        self._usual_s = {"archive": 0.5, "restore": 0.5}
        self._found = Counter[str]()

    def run(self, kills: int) -> Counter[str]:
        """Kill `kills` times, and let the last run end."""
        while self._found["kills"] < kills:
            self._kill_until_it_ends("archive", archive, self._folder, LATER_US)
            is_whole = not stored_lines(self._database)
            self._found["archived" if is_whole else "unfinished"] += 1
            files = sorted(self._folder.glob("*.jsonl.gz"))
            self._kill_until_it_ends("restore", restore, files, LATER_US)
            is_whole = Counter(stored_lines(self._database)) == self._before
            self._found["restored" if is_whole else "unfinished"] += 1
        return self._found

    def _kill_until_it_ends(self, kind: str, work: Callable[..., None], *arguments: Any) -> None:
        """Run and kill it at a random moment of its usual duration, until a run ends before its kill."""
        while True:
            began = time.monotonic()
            with subject(work, self._location, *arguments) as process:
                process.join(self._chance.uniform(0, 1.05) * self._usual_s[kind])
                process.kill()
                process.join()
            ended = time.monotonic()
            if process.exitcode == KILLED:
                self._found["kills"] += 1
                self._found[f"kills of {kind}"] += 1
                # So that a run ends on a busy machine too.
                self._usual_s[kind] *= 1.1
            self._judge(is_amid=process.exitcode == KILLED)
            if process.exitcode == 0:
                self._usual_s[kind] = ended - began
                return
            self._found["failures"] += process.exitcode != KILLED

    def _judge(self, *, is_amid: bool) -> None:
        """Compare the stored and the archived executions with the original ones."""
        stored, archived = stored_lines(self._database), archived_lines(self._database, self._folder)
        now = Counter([*stored, *archived])
        self._found["lost"] += (self._before - now).total()
        self._found["duplicates"] += (now - self._before).total()
        self._found["changed"] += self._sums() != self._totals
        self._found["kills amid"] += is_amid and 0 < len(stored) < self._before.total()
        with self._database.read() as connection:
            self._found["differing"] += bool(verify_rollups.differences(connection))

    def _sums(self) -> Totals:
        with self._database.read() as connection:
            return queries.totals(connection, Filter())
