"""Receivers that are killed at any moment: what a client got 200 for is stored exactly once.

Eight clients send numbered requests to one receiver, each request once or twice, some of them cut in the middle. The
receiver is killed, and the next one starts on the same database. In every third round another process locks the
database for the first half of the kills, so that everything waits in the spool. In the end an ingestion pass stores
what is left: nothing that was acknowledged may be missing, nothing may be there twice, and the spool is empty.
"""

from __future__ import annotations

import random
import shutil
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate
from claude_force.ingest.spool_files import telemetry_folders
from claude_force.ingest.telemetry.segments import sealed_segments
from tests.counterparts import unused_port
from tests.receivers import JSON, LOGS, export_of, request_head
from torture.campaign import Effort, Figure, say
from torture.evidence import Difference, damage, difference
from torture.subjects import receive, store_telemetry, subject

KILLS = 500
KILLS_IN_A_ROUND = 20
CLIENTS = 8
LONGEST_LIFE_S = 0.6
PATIENCE_S = 60.0
"""A receiver that answers nobody for so long hangs."""

_NUMBERS_OF_A_CLIENT = 100_000


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Kill receivers, in rounds with a database each."""
    chance, found = random.Random(effort.seed), Counter[str]()
    kills, compared = effort.of(KILLS), Difference()
    while found["kills"] < kills:
        here = folder / str(found["rounds"])
        here.mkdir(parents=True)
        one = _Round(here, chance, is_obstructed=found["rounds"] % 3 == 0)
        one.kill(min(KILLS_IN_A_ROUND, kills - found["kills"]))
        compared += one.judge()
        found += one.counts
        found["rounds"] += 1
        shutil.rmtree(here)
        say(f"  {found['kills']:,} kills, {found['acknowledged']:,} acknowledged, {compared.lost:,} lost")
    return [
        Figure("kills", found["kills"], at_least=KILLS),
        Figure("acknowledged requests", found["acknowledged"], at_least=20 * KILLS),
        Figure("requests that were sent again", found["repeated"]),
        Figure("stored though not acknowledged", compared.strange),
        Figure("receivers that hung or ended by themselves", found["ended"], at_most=0),
        Figure("answers that were no 200", found["refused"], at_most=0),
        Figure("lost", compared.lost, at_most=0),
        Figure("stored twice", compared.doubled, at_most=0),
        Figure("segments left in the spool", found["left"], at_most=0),
        Figure("damaged databases", found["damaged"], at_most=0),
    ]


class _Round:
    """One database, and the receivers that store into it one after another."""

    def __init__(self, home: Path, chance: random.Random, *, is_obstructed: bool) -> None:
        self.home, self.chance, self.is_obstructed = home, chance, is_obstructed
        self.location = str(home / "metrics.db")
        self.counts = Counter[str]()
        self._acknowledged: set[str] = set()
        self._lock = threading.Lock()
        with closing(open_database(self.location)) as database, database.write():
            pass

    def kill(self, kills: int) -> None:
        """Let receivers live and die."""
        for life in range(kills):
            with _locked(Path(self.location), is_locked=self.is_obstructed and life < kills // 2):
                self._live(life)

    def _live(self, life: int) -> None:
        port, before = unused_port(), len(self._acknowledged)
        with subject(receive, self.home, self.location, port) as process:
            clients = [
                threading.Thread(target=self._send, args=(port, (life * CLIENTS + client) * _NUMBERS_OF_A_CLIENT))
                for client in range(CLIENTS)
            ]
            self._is_over = False
            for client in clients:
                client.start()
            ends_s = time.monotonic() + PATIENCE_S
            while len(self._acknowledged) == before and time.monotonic() < ends_s and process.is_alive():
                time.sleep(0.001)
            time.sleep(self.chance.random() * LONGEST_LIFE_S)
            self.counts["ended"] += not process.is_alive() or len(self._acknowledged) == before
            process.kill()
            process.join()
            self._is_over = True
            for client in clients:
                client.join()
        self.counts["kills"] += 1

    def _send(self, port: int, first: int) -> None:
        """Send request after request until the receiver is dead."""
        number, chance = first, random.Random(first)
        while not self._is_over:
            with suppress(OSError, HTTPException), closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                while True:
                    self._send_one(connection, port, number, chance)
                    number += 1
            number += 1
            # The receiver is starting, or was killed.
            time.sleep(0.005)

    def _send_one(self, connection: HTTPConnection, port: int, number: int, chance: random.Random) -> None:
        body = export_of([f"req_{number}"])
        if chance.random() < 0.05:
            with closing(socket.create_connection(("127.0.0.1", port))) as half:
                half.sendall(request_head(len(body)) + body[: len(body) // 2])
        for _ in range(1 + (chance.random() < 0.3)):
            connection.request("POST", LOGS, body, {"Content-Type": JSON})
            response = connection.getresponse()
            response.read()
            with self._lock:
                self.counts["repeated"] += f"{number}" in self._acknowledged
                if response.status == 200:
                    self._acknowledged.add(f"{number}")
                else:
                    self.counts["refused"] += 1

    def judge(self) -> Difference:
        """Store what is left, and compare."""
        with subject(store_telemetry, self.home, self.location) as process:
            process.join()
        self.counts["ended"] += process.exitcode != 0
        self.counts["left"] += sum(len(sealed_segments(path)) for path in telemetry_folders(self.location, self.home))
        self.counts["acknowledged"] += len(self._acknowledged)
        self.counts["damaged"] += bool(damage(self.location))
        with closing(open_database(self.location)) as database:
            found = Counter(f"{record.input_tokens}" for record in iterate(database, Filter()))
        return difference(found, self._acknowledged)


@contextmanager
def _locked(database: Path, *, is_locked: bool) -> Iterator[None]:
    """Another process writes to the database for the block, or nobody does."""
    if not is_locked:
        yield
        return
    with closing(sqlite3.connect(database, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        yield
        raw.execute("ROLLBACK")
