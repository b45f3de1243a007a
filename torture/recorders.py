"""Recorders that are killed at any moment: an execution whose record_execution returned is stored exactly once.

Several lines of recorders write numbered executions into one database, while another process checkpoints it. A recorder
acknowledges an execution by a byte in a file, after record_execution has returned. When it is killed, its successor
starts with the first execution that was not acknowledged, with the same uid: the dead recorder may have committed it.
In the end each line must have no gap and no duplicate.

In every fourth round the database is unusable for the first half of the kills, so that executions go to the spool and
are ingested from there, under kills too.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from claude_force.database.open import open_database
from claude_force.database.revisions import HEAD, REVISIONS, VERSION_TABLE
from claude_force.database.sqlite.files import create_file
from claude_force.errors import ClaudeForceError
from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.postgres import TEMPLATE_AT_HEAD, new_database, running_server
from torture.campaign import Effort, Figure, say
from torture.evidence import Difference, damage, difference, name_of, stored, waiting
from torture.processes import fork_context, record_one

KILLS = 1000
ACKNOWLEDGED = 500_000
SERVER_KILLS = 100
SERVER_ACKNOWLEDGED = 5000
LINES = 4
KILLS_IN_A_ROUND = 25
LONGEST_LIFE_S = 0.2
PATIENCE_S = 120.0
"""A recorder without progress for this long counts as hanging."""

_CHECKPOINTER = LINES
"""The index of the checkpointing process among the processes that are killed."""


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Kill recorders, in rounds with a file each, until there were enough kills and acknowledgements."""
    numbers = itertools.count()

    def start() -> RecorderRound:
        number = next(numbers)
        return RecorderRound(folder / str(number), is_obstructed=number % 4 == 0)

    rounds = _rounds(start, effort, KILLS, ACKNOWLEDGED)
    spooled = Figure("spooled", _sum(rounds, "spooled"), at_least=KILLS)
    return [*_figures(rounds, KILLS, ACKNOWLEDGED), spooled]


def run_on_server(folder: Path, effort: Effort) -> Sequence[Figure]:
    """The same on PostgreSQL, less often: the server survives its clients."""
    numbers = itertools.count()
    with running_server() as admin, ExitStack() as databases:

        def start() -> RecorderRound:
            url = databases.enter_context(new_database(admin, TEMPLATE_AT_HEAD))
            return RecorderRound(folder / str(next(numbers)), url)

        rounds = _rounds(start, effort, SERVER_KILLS, SERVER_ACKNOWLEDGED)
        return _figures(rounds, SERVER_KILLS, SERVER_ACKNOWLEDGED)


def _rounds(start: Callable[[], RecorderRound], effort: Effort, kills: int, acknowledged: int) -> list[RecorderRound]:
    """As many rounds as needed, each judged."""
    chance, rounds = random.Random(effort.seed), list[RecorderRound]()
    while _sum(rounds, "kills") < effort.of(kills) or _sum(rounds, "acknowledged") < effort.of(acknowledged):
        here = start()
        here.kill(min(KILLS_IN_A_ROUND, effort.of(kills)), chance)
        here.judge()
        rounds.append(here)
        say(f"  {_sum(rounds, 'kills'):,} kills, {_sum(rounds, 'acknowledged'):,} acknowledged")
    return rounds


def _figures(rounds: Sequence[RecorderRound], kills: int, acknowledged: int) -> list[Figure]:
    found = sum((here.difference for here in rounds), Difference())
    return [
        Figure("kills", _sum(rounds, "kills"), at_least=kills),
        Figure("acknowledged executions", _sum(rounds, "acknowledged"), at_least=acknowledged),
        Figure("stored though not acknowledged", _sum(rounds, "unacknowledged")),
        Figure("processes that hung or ended by themselves", _sum(rounds, "ended"), at_most=0),
        Figure("lost", found.lost, at_most=0),
        Figure("stored twice", found.doubled + found.strange, at_most=0),
        Figure("added by a retry", _sum(rounds, "added"), at_most=0),
        Figure("left in the spool", _sum(rounds, "left"), at_most=0),
        Figure("damaged databases", sum(bool(here.damage) for here in rounds), at_most=0),
    ]


def _sum(rounds: Sequence[RecorderRound], count: str) -> int:
    return sum(getattr(here, count) for here in rounds)


class RecorderRound:
    """One database, the lines that record into it, and the counts."""

    def __init__(self, folder: Path, url: str = "", *, is_obstructed: bool = False) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.path = folder / "metrics" / "metrics.db"
        self.location = url or str(self.path)
        self.is_obstructed = is_obstructed
        self.kills = self.ended = self.acknowledged = self.unacknowledged = self.spooled = self.added = self.left = 0
        self.difference = Difference()
        self.damage: list[str] = []

    def kill(self, kills: int, chance: random.Random) -> None:
        """Start all processes; kill one and start its successor, `kills` times; then kill all."""
        if self.is_obstructed:
            create_file(self.path)
            self._mark(REVISIONS[0])
        with _all_processes(self._start) as processes:
            for number in range(kills):
                if self.is_obstructed and number == kills // 2:
                    self.spooled = waiting(self.path.parent)
                    self._mark(HEAD)
                index = chance.randrange(len(processes))
                self._let_work(index, processes[index % LINES])
                time.sleep(chance.random() * LONGEST_LIFE_S)
                self._kill(processes[index])
                processes[index].close()
                processes[index] = self._start(index)
            for process in processes:
                self._kill(process)

    def _mark(self, revision: str) -> None:
        """Write a revision into the database. An older one makes it unusable."""
        with closing(sqlite3.connect(self.path)) as raw, raw:
            raw.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", (revision,))

    def _start(self, index: int) -> ForkServerProcess:
        work, name = (checkpoint, "") if index == _CHECKPOINTER else (record, str(self._file(index)))
        process = fork_context().Process(target=work, args=(str(self.folder), self.location, index, name), daemon=True)
        process.start()
        return process

    def _file(self, line: int) -> Path:
        """The file of acknowledgements of a line."""
        return self.folder / f"acknowledged-{line}"

    def _acknowledged(self, line: int) -> int:
        with suppress(FileNotFoundError):
            return self._file(line).stat().st_size
        return 0

    def _let_work(self, index: int, recorder: ForkServerProcess) -> None:
        """Wait until a line has recorded one more execution: an earlier kill would test nothing."""
        line = index % LINES
        before, ends = self._acknowledged(line), time.monotonic() + PATIENCE_S
        while self._acknowledged(line) == before and recorder.is_alive() and time.monotonic() < ends:
            time.sleep(0.001)
        self.ended += self._acknowledged(line) == before

    def _kill(self, process: ForkServerProcess) -> None:
        """Kill a process. One that had ended by itself is counted."""
        process.kill()
        process.join()
        self.kills += 1
        self.ended += process.exitcode != -signal.SIGKILL

    def judge(self) -> None:
        """Ingest the spool and compare everything. The folder of a sound round is removed."""
        counts = [self._acknowledged(line) for line in range(LINES)]
        self.acknowledged = sum(counts)
        # The next recorded execution also ingests the spool.
        self._record([(0, 0)])
        wanted = {name_of(line, number) for line, count in enumerate(counts) for number in range(count)}
        # Each line may have one more: its recorder was killed between the commit and the acknowledgement.
        self.unacknowledged = difference(stored(self.location), wanted).strange
        self._record((line, count) for line, count in enumerate(counts))
        wanted |= {name_of(line, count) for line, count in enumerate(counts)}
        self.difference = difference(stored(self.location), wanted)
        self.added = self._retry(counts)
        self.left = waiting(self.path.parent)
        self.damage = damage(self.location)
        for problem in self.damage:
            say(f"  {self.location}: {problem}")
        if self.is_sound():
            shutil.rmtree(self.folder)

    def is_sound(self) -> bool:
        """Whether there was no problem."""
        return self.difference == Difference() and not (self.added or self.left or self.damage or self.ended)

    def _retry(self, counts: Sequence[int]) -> int:
        """Record the last acknowledged executions of each line again. The number that was added, which must be 0."""
        before = stored(self.location).total()
        again = [(line, number) for line, count in enumerate(counts) for number in range(max(0, count - 20), count)]
        self._record(again)
        return stored(self.location).total() - before

    def _record(self, executions: Iterable[tuple[int, int]]) -> None:
        with PerformanceTracker(self.folder, database=self.location) as tracker:
            for line, number in executions:
                record_one(tracker, line, number)


@contextmanager
def _all_processes(start: Callable[[int], ForkServerProcess]) -> Iterator[list[ForkServerProcess]]:
    """The processes of a round. Those in the list at the end of the block are killed."""
    processes = [start(index) for index in range(LINES + 1)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()


# In the processes that are killed


def record(folder: str, location: str, line: int, acknowledged: str) -> None:
    """Record the executions of a line forever, from the first that was not acknowledged."""
    warnings.simplefilter("ignore")
    descriptor = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    tracker = PerformanceTracker(folder, database=location)
    for number in itertools.count(os.fstat(descriptor).st_size):
        record_one(tracker, line, number)
        os.write(descriptor, b".")


def checkpoint(_folder: str, location: str, _place: int, _name: str) -> None:
    """Checkpoint forever, also a small WAL."""
    database = open_database(location)
    while True:
        with suppress(ClaudeForceError):
            database.optimize()
        time.sleep(0.005)
