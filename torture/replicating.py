"""Laptops that push into the store of their team, killed and doubled: it has what they have, once, to the nano-dollar.

Each laptop has a store of its own, and a clock that is hours off. It records executions, some of which other laptops
have, too; provisional usages become final, costs are corrected; and it pushes, directly or through a receiver. Half of
the laptops are killed at any moment and start again; some push twice at once; the receiver is killed as well.

In the end each laptop pushes what is left. The oracle reads the stores with SQL of its own.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from claude_force.clock import HOUR_US, SECOND_US, now_us
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate_rows
from claude_force.database.writes import Store
from claude_force.database.writes.executions import revise_rows
from claude_force.errors import ClaudeForceError
from claude_force.executions.record import (
    PROVISIONAL,
    ExecutionMetrics,
    ExecutionRow,
    column,
    fresh_uid,
    identity_bytes,
    to_row,
)
from claude_force.network.connection import Patience
from tests.postgres import TEMPLATE_AT_HEAD, new_database, running_server
from torture.campaign import Effort, Figure, say
from torture.evidence import damage, uid_of
from torture.processes import fork_context

if TYPE_CHECKING:
    from claude_force.exporters.team.push import TeamExporter

LAPTOPS = 50
LEAST_LAPTOPS = 6
SECONDS = 600
KILLS = 500
SHARED = 5000
"""Executions that several laptops may have."""

_PAUSE_S = 0.25
_LONGEST_REST_S = 6.0
_SHARED_LINE = 7_777_777
_EPOCH_US = 1_762_000_000_000_000
_COST, _OUTPUT, _BASIS = column("cost_nanousd"), column("output_tokens"), column("usage_basis")


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """The team's store is a file."""
    location = folder / "team" / "metrics.db"
    return _campaign(folder, str(location), effort)


def run_on_server(folder: Path, effort: Effort) -> Sequence[Figure]:
    """The team's store is on PostgreSQL."""
    with running_server() as admin, new_database(admin, TEMPLATE_AT_HEAD) as url:
        return _campaign(folder, url, effort)


def _campaign(folder: Path, location: str, effort: Effort) -> Sequence[Figure]:
    chance, number = random.Random(effort.seed), max(LEAST_LAPTOPS, effort.of(LAPTOPS))
    with closing(open_database(location)) as database, database.write():
        pass
    team = Team(folder, location, min(number, LAPTOPS), chance)
    with team.running():
        team.kill_for(effort.of(SECONDS, least=4))
    say(f"  {team.kills} kills; pushing what is left")
    left = team.push_the_rest()
    return team.figures(left)


class Version(NamedTuple):
    """What counts of an execution."""

    is_final: bool
    output: int
    cost: int


class Team:
    """The laptops, the receiver, and the store that all push to."""

    def __init__(self, folder: Path, location: str, laptops: int, chance: random.Random) -> None:
        self.folder, self.location, self.laptops, self.chance = folder, location, laptops, chance
        self.kills = self.ended = 0
        self._port_file = folder / "port"

    @contextmanager
    def running(self) -> Iterator[None]:
        """All processes, killed at the end of the block."""
        self._processes = {name: self._start(name) for name in self._names()}
        try:
            yield
        finally:
            for process in self._processes.values():
                process.kill()
                process.join()

    def _names(self) -> list[tuple[str, int]]:
        """What runs: the receiver, the laptops, and a second push of every fifth."""
        doubled = [("push", laptop) for laptop in range(0, self.laptops, 5)]
        return [("receive", 0), *(("live", laptop) for laptop in range(self.laptops)), *doubled]

    def _start(self, name: tuple[str, int]) -> ForkServerProcess:
        work: Callable[..., None] = {"receive": receive, "live": live, "push": push_for_ever}[name[0]]
        arguments = (str(self.folder), self.location, name[1], self.chance.random())
        process = fork_context().Process(target=work, args=arguments, daemon=True)
        process.start()
        return process

    def kill_for(self, seconds: float) -> None:
        """Kill one of the processes again and again: half of the laptops, all second pushes, at times the receiver."""
        mortal = [name for name in self._names() if name[0] == "push" or name[1] % 2] + [("receive", 0)]
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(self.chance.random() * 2 * _PAUSE_S)
            name = self.chance.choice(mortal)
            process = self._processes[name]
            process.kill()
            process.join()
            self.kills += 1
            if process.exitcode != -signal.SIGKILL:
                self.ended += 1
                say(f"  {name} ended by itself: {process.exitcode}")
            process.close()
            self._processes[name] = self._start(name)

    def push_the_rest(self) -> int:
        """Let each laptop push all that is due. Returns how many could not."""
        left = 0
        for laptop in range(self.laptops):
            with (
                exporter_of(self.folder, self.location, "", laptop) as exporter,
                closing(open_database(str(store_of(self.folder, laptop)))) as database,
            ):
                exporter.push(database, lambda: now_us() + 10 * HOUR_US)
                left += exporter.count_due(database, now_us)
        return left

    def figures(self, left: int) -> list[Figure]:
        """Compare everything."""
        versions: dict[bytes, Version] = {}
        holders: Counter[bytes] = Counter()
        for laptop in range(self.laptops):
            for uid, found in _versions_in(store_of(self.folder, laptop)):
                versions[uid] = max(versions.get(uid, found), found)
                holders[uid] += 1
        there = _versions_at(self.location)
        cost = sum(found.cost for found in there.values())
        pushes, failures = (sum(_size(file) for file in self.folder.glob(f"*/{name}")) for name in ("pushed", "failed"))
        return [
            Figure("laptops", self.laptops, at_least=LAPTOPS),
            Figure("kills", self.kills, at_least=KILLS),
            Figure("pushes that ended", pushes),
            Figure("pushes that were refused or cut off", failures),
            Figure("executions of all laptops", holders.total()),
            Figure("distinct executions", len(versions), at_least=100_000),
            Figure("executions that several laptops have", sum(number > 1 for number in holders.values())),
            Figure("processes that ended by themselves", self.ended, at_most=0),
            Figure("lost", len(versions.keys() - there.keys()), at_most=0),
            Figure("strange", len(there.keys() - versions.keys()), at_most=0),
            Figure(
                "with other figures", sum(there.get(uid, found) != found for uid, found in versions.items()), at_most=0
            ),
            Figure(
                "nano-dollars too many or too few",
                abs(cost - sum(found.cost for found in versions.values())),
                at_most=0,
            ),
            Figure("nano-dollars by which the roll-ups differ", abs(_rolled_up_cost(self.location) - cost), at_most=0),
            Figure("still due", left, at_most=0),
            Figure("damaged databases", len(damage(self.location)), at_most=0),
        ]


def _versions_in(path: Path) -> Iterator[tuple[bytes, Version]]:
    with closing(sqlite3.connect(path)) as raw:
        for uid, output, cost, basis in raw.execute(
            "SELECT uid, output_tokens, cost_nanousd, usage_basis FROM executions"
        ):
            yield uid, Version(basis is None, output, cost)


def _versions_at(location: str) -> dict[bytes, Version]:
    with closing(open_database(location)) as database, database.read() as connection:
        rows = connection.fetch("SELECT uid, output_tokens, cost_nanousd, usage_basis FROM executions")
    return {bytes(row[0]): Version(row[3] is None, row[1], row[2]) for row in rows}


def _rolled_up_cost(location: str) -> int:
    with closing(open_database(location)) as database:
        with database.write() as connection:
            from claude_force.database.writes.rollups import apply_pending

            connection.lock_rollups()
            apply_pending(connection)
        with database.read() as connection:
            rows = connection.fetch("SELECT COALESCE(SUM(cost_nanousd), 0) FROM rollups WHERE scope = 0 AND level = 1")
            return int(rows[0][0])


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


# In the processes that are killed


def store_of(folder: Path, laptop: int) -> Path:
    """The store of a laptop."""
    return folder / f"laptop-{laptop}" / "metrics.db"


@contextmanager
def exporter_of(folder: Path, location: str, url: str, laptop: int) -> Iterator[TeamExporter]:
    """The exporter of a laptop: directly, or with a URL over HTTP."""
    from claude_force.exporters.team.disclosure import Disclosure
    from claude_force.exporters.team.push import TeamExporter
    from claude_force.exporters.team.recipients import TeamReceiver, TeamStore

    rejected = store_of(folder, laptop).with_name("rejected.jsonl")
    with closing(open_database(location)) as team:
        recipient = TeamReceiver(url, patience=Patience(60.0, 120.0)) if url else TeamStore(team)
        # Small batches: a kill shall find more than one of them.
        yield TeamExporter(recipient, rejected, Disclosure(host=f"laptop-{laptop}"), at_once=300)


def live(folder_name: str, location: str, laptop: int, seed: float) -> None:
    """Record, change and push for ever."""
    folder, chance = Path(folder_name), random.Random(f"{laptop} {seed}")
    clock = _clock_of(laptop)
    database = open_database(str(store_of(folder, laptop)))
    store = Store(database)
    for number in range(1_000_000):
        store.add_rows([_own(clock(), chance) for _ in range(chance.choice((1, 2, 5, 30, 150)))])
        store.add_rows(_unknown(database, [_shared(int(SHARED * chance.random() ** 3), chance) for _ in range(3)]))
        if number % 3 == 0:
            _change_some(database, store, chance)
        _push(folder, location, laptop, database, clock)
        time.sleep(chance.random() * _LONGEST_REST_S)


def _clock_of(laptop: int) -> Callable[[], int]:
    offset_us = (laptop % 11 - 5) * HOUR_US
    return lambda: now_us() + offset_us


def _own(at_us: int, chance: random.Random) -> ExecutionRow:
    return _row(fresh_uid(at_us), at_us, chance.randrange(10**9), chance.random() < 0.3)


def _shared(number: int, chance: random.Random) -> ExecutionRow:
    return _row(uid_of(_SHARED_LINE, number), _EPOCH_US + number * SECOND_US, 1000 + number, chance.random() < 0.5)


def _row(uid: str, at_us: int, cost: int, is_provisional: bool) -> ExecutionRow:
    return to_row(
        ExecutionMetrics(
            uid=uid, timestamp_us=at_us, agent_name=f"agent-{cost % 7}", success=cost % 9 != 0, task_hash="a3b4c5d6",
            model="claude-haiku-4-5", duration_us=1000 * (cost % 5000), input_tokens=900,
            output_tokens=1 if is_provisional else 100, cost_nanousd=cost // 10 if is_provisional else cost,
            usage_basis=PROVISIONAL if is_provisional else None,
        )
    )  # fmt: skip


def _unknown(database: Database, rows: list[ExecutionRow]) -> list[ExecutionRow]:
    with database.read() as connection:
        known = {row[0] for row in connection.fetch("SELECT uid FROM executions")}
    return [row for row in rows if row[0] not in known]


def _change_some(database: Database, store: Store, chance: random.Random) -> None:
    """Finish provisional usages, and correct the prices of own executions."""
    rows = list(iterate_rows(database, Filter()))
    shared = {identity_bytes(uid_of(_SHARED_LINE, number)): number for number in range(SHARED)}
    for row in chance.sample(rows, min(5, len(rows))):
        if row[_BASIS] == PROVISIONAL:
            number = shared.get(row[0])
            final = list(row)
            cost = chance.randrange(10**9) if number is None else 1000 + number
            final[_BASIS], final[_OUTPUT], final[_COST] = None, 100, cost
            with database.write() as connection:
                connection.lock_rollups()
                revise_rows(connection, [row], [tuple(final)])
        elif row[0] not in shared:
            store.reprice([(*row[:_COST], chance.randrange(10**9), *row[_COST + 1 :])])


def _push(folder: Path, location: str, laptop: int, database: Database, clock: Callable[[], int]) -> None:
    """Push once: every third laptop over HTTP. Another push that runs, or a receiver that is killed, is no error."""
    url = ""
    if laptop % 3 == 0:
        with suppress(FileNotFoundError):
            url = (folder / "port").read_text()
    try:
        with exporter_of(folder, location, url, laptop) as exporter:
            exporter.push(database, clock)
        name = "pushed"
    except ClaudeForceError:
        name = "failed"
    with open(store_of(folder, laptop).with_name(name), "ab") as file:
        file.write(b".")


def push_for_ever(folder_name: str, location: str, laptop: int, seed: float) -> None:
    """Push the store of a laptop that pushes itself."""
    folder, chance = Path(folder_name), random.Random(seed)
    database = open_database(str(store_of(folder, laptop)))
    while True:
        if store_of(folder, laptop).exists():
            _push(folder, location, laptop, database, _clock_of(laptop))
        time.sleep(chance.random() * _LONGEST_REST_S)


def receive(folder_name: str, location: str, _laptop: int, _seed: float) -> None:
    """Receive deliveries for ever."""
    from claude_force.database.workspace import workspace_at
    from claude_force.receiver.receiving import Receiver
    from claude_force.receiver.server import Endpoint
    from claude_force.receiver.team import delivering
    from claude_force.settings.home import find_home

    folder = Path(folder_name)
    home = folder / "receiver"
    (home / ".claude").mkdir(parents=True, exist_ok=True)
    os.environ["HOME"] = str(home)
    os.chdir(home)
    workspace, _ = workspace_at(find_home(), location)
    receiver = Receiver(Endpoint(), [home / "spool"], lambda: None, None, delivering(lambda: workspace))
    receiver.start()
    (folder / "port.new").write_text(receiver.server.url)
    (folder / "port.new").replace(folder / "port")
    while True:
        time.sleep(60)
