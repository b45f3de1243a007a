"""Alerts under chaos: services that fail in any order, senders that are killed at any step, a clock that is moved.

In each run agents go bad and recover. Rounds of alerting evaluate the rules and send what is due; some die on the way:
in this process just before or after a message is sent, or as processes, by a kill. The services answer well, badly,
late or not at all. When all is well again, every beginning has to have arrived on every channel, or the service has
refused it for good and `doctor` names it; no end comes before its beginning; and what PagerDuty hears of an episode
has one key.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import Any

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.evaluation import evaluate
from claude_force.alerts.notification import Notification
from claude_force.clock import SECOND_US
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED, FAILED, SKIPPED, WAITING, Delivery
from claude_force.database.workspace import workspace_at
from claude_force.database.writes import Store
from claude_force.doctor import monitoring
from claude_force.network.outcome import Outcome
from claude_force.settings.home import Home
from tests.builders import NOON_US, an_execution
from torture.campaign import Effort, Figure, say
from torture.services import Heard, Services, services
from torture.telling import load_alert_setup, one_round, tell, told_of
from torture.victims import KILLED, victim

RUNS = 1000
RUNS_IN_A_PROCESS = 25

KILLED_AS_PROCESSES = 0.3
"""Of the rounds that die so many are processes that are killed; the rest dies at an exact step."""

_MOVES_S = (1, 5, 20, 60, 60, 300, 1200, -20, -600)
"""How far the clock goes between two rounds."""

_PEACE_S = 600
_LONGEST_PEACE = 300
"""So often it is tried to say everything when all is well."""


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Runs of chaos, each with a database of its own, on all processors."""
    found, runs = Counter[str](), effort.of(RUNS)
    work = [
        (folder, effort.seed, range(first, min(first + RUNS_IN_A_PROCESS, runs)))
        for first in range(0, runs, RUNS_IN_A_PROCESS)
    ]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        for one in pool.map(_tell_some, *zip(*work, strict=True)):
            found += one
            say(f"  {found['runs']:,} runs, {found['kills']:,} senders died, {found['lost']:,} pages lost")
    return [
        Figure("chaos runs", found["runs"], at_least=RUNS),
        Figure("senders that died", found["kills"], at_least=2 * RUNS),
        Figure("of these killed as processes", found["killed as processes"], at_least=RUNS // 4),
        Figure("of these with a message in hand", found["killed with a message in hand"], at_least=RUNS // 4),
        Figure("episodes", found["episodes"], at_least=RUNS),
        Figure("messages that services took", found["heard"]),
        Figure("answers that were no yes", found["faults"]),
        Figure("refused for good, and named by doctor", found["refused"]),
        Figure("pages lost", found["lost"], at_most=0),
        Figure("ends lost", found["ends lost"], at_most=0),
        Figure("ends before their beginning", found["early"], at_most=0),
        Figure("keys that are of no episode of their agent", found["wrong keys"], at_most=0),
        Figure("failures that doctor does not name", found["unnamed"], at_most=0),
        Figure("runs that never came to rest", found["restless"], at_most=0),
        Figure("senders that failed", found["failures"], at_most=0),
    ]


def _tell_some(folder: Path, seed: int, numbers: Sequence[int]) -> Counter[str]:
    """Some runs with services of their own, and what came of them."""
    found = Counter[str]()
    with services() as others:
        for number in numbers:
            here = folder / str(number)
            here.mkdir(parents=True)
            location = here / "metrics.db"
            with closing(open_database(str(location))) as database:
                found += _Story(database, location, others, random.Random(f"{seed}-{number}")).tell()
            shutil.rmtree(here)
    return found


class _Died(BaseException):
    """The sender ends here, as if it were killed: nothing is written down any more."""


@dataclass
class _Mortal:
    """A channel whose sender dies at one of its messages, before it is sent or after."""

    channel: Channel
    chance: random.Random

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel, name)

    def send(self, notices: Sequence[Notification], key: str, receipt: str | None) -> Outcome:
        """Send, and perhaps die."""
        step = self.chance.random()
        if step < 0.25:
            raise _Died
        found = self.channel.send(notices, key, receipt)
        if step < 0.5:
            raise _Died
        return found


class _Story:
    """One run: agents that go bad and recover, under chaos, and peace in the end."""

    def __init__(self, database: Database, location: Path, others: Services, chance: random.Random) -> None:
        self._database, self._location, self._services, self._chance = database, location, others, chance
        self._watch = load_alert_setup(others.channels, others.environment)
        self._at_us = NOON_US
        self._agents = [f"agent-{number}" for number in range(chance.randint(1, 4))]
        self._found = Counter(runs=1)

    def tell(self) -> Counter[str]:
        """The whole story, and what came of it."""
        self._services.begin(self._chance, self._chance.randint(0, 25))
        for success, executions in ((False, 10), (True, 60)):
            self._record(success, executions)
            for _ in range(self._chance.randint(1, 6)):
                self._move(self._chance.choice(_MOVES_S))
                self._services.change_mail(self._chance)
                self._do_round()
            # What nobody noticed before, since every round died, is noticed now.
            self._record(success, 2 * executions)
            evaluate(self._database, self._watch.rules, told_of(self._watch), self._at_us, UTC)
        self._make_peace()
        self._judge()
        return self._found

    def _record(self, success: bool, executions: int) -> None:
        Store(self._database).add(
            an_execution(agent_name=agent, success=success, timestamp_us=self._at_us - number)
            for agent in self._agents
            for number in range(executions)
        )

    def _move(self, seconds: int) -> None:
        self._at_us += seconds * SECOND_US

    def _do_round(self) -> None:
        fate = self._chance.random()
        if fate < 0.3:
            one_round(self._database, self._watch, self._at_us)
        elif fate < 1 - 0.7 * KILLED_AS_PROCESSES:
            self._die_within()
        else:
            self._kill()

    def _die_within(self) -> None:
        mortal: dict[str, Any] = {
            name: _Mortal(channel, self._chance) for name, channel in self._watch.channels.items()
        }
        try:
            one_round(self._database, replace(self._watch, channels=mortal), self._at_us)
        except _Died:
            self._note_death()

    def _kill(self) -> None:
        arguments = (str(self._location), self._services.channels, self._services.environment, self._at_us)
        with victim(tell, *arguments) as process:
            process.join(self._chance.uniform(0, 0.15))
            process.kill()
            process.join()
        if process.exitcode == KILLED:
            self._found["killed as processes"] += 1
            self._note_death()
        self._found["failures"] += process.exitcode not in (0, KILLED)

    def _note_death(self) -> None:
        self._found["kills"] += 1
        taken = [item for item in self._outbox() if item.status == WAITING and item.attempts and not item.problem]
        self._found["killed with a message in hand"] += bool(taken)

    def _outbox(self) -> list[Delivery]:
        with self._database.read() as connection:
            return [
                item
                for fate in (WAITING, DELIVERED, FAILED, SKIPPED)
                for item in alert_queries.by_status(connection, fate)
            ]

    def _make_peace(self) -> None:
        """All services are well and all agents too, until nothing fires and nothing waits."""
        self._services.be_well()
        for _ in range(_LONGEST_PEACE):
            self._move(_PEACE_S)
            self._record(True, 60)
            one_round(self._database, self._watch, self._at_us)
            with self._database.read() as connection:
                fires = any(row.state == "firing" for row in alert_queries.alerts(connection))
                waits = alert_queries.by_status(connection, WAITING)
            if not fires and not waits:
                return
        self._found["restless"] += 1

    def _judge(self) -> None:
        """Compare what services took with the episodes that there were."""
        heard, said = self._services.heard(), defaultdict[tuple[str, str], list[Delivery]](list)
        for item in self._outbox():
            said[item.episode, item.channel].append(item)
        episodes = self._episodes()
        self._found["lost"] += len(set(self._agents) - episodes.keys())
        for agent, named in episodes.items():
            for episode in named:
                self._found["episodes"] += 1
                for channel, all_heard in heard.items():
                    mine = [item for item in all_heard if episode == item.key or (not item.key and agent == item.agent)]
                    self._judge_episode(mine, said[episode, channel])
        owners = {episode: agent for agent, named in episodes.items() for episode in named}
        keyed = [*heard["pager"], *heard["hook"]]
        # The end of an event names no agent.
        self._found["wrong keys"] += sum(
            item.key not in owners or (item.agent != "" and owners[item.key] != item.agent) for item in keyed
        )
        self._found["heard"] += sum(map(len, heard.values()))
        self._found["faults"] += self._services.faults()
        self._ask_doctor()

    def _episodes(self) -> dict[str, set[str]]:
        """The episodes that began, by agent."""
        found = defaultdict[str, set[str]](set)
        with self._database.read() as connection:
            for event in alert_queries.events(connection, 0, 10_000):
                if event.after == "firing":
                    found[json.loads(event.labels)["agent"]].add(event.episode or "")
        return found

    def _judge_episode(self, heard: Sequence[Heard], said: Sequence[Delivery]) -> None:
        """What one channel heard of an episode."""
        begun = [place for place, item in enumerate(heard) if not item.is_end]
        ended = [place for place, item in enumerate(heard) if item.is_end]
        is_refused = any(item.status == FAILED for item in said)
        if not begun:
            self._found["refused" if is_refused else "lost"] += 1
        elif not ended:
            self._found["refused" if is_refused else "ends lost"] += 1
        self._found["early"] += bool(ended) and (not begun or ended[0] < begun[0])

    def _ask_doctor(self) -> None:
        """Every delivery that failed for good is named."""
        folder = self._location.parent
        place, _ = workspace_at(Home(folder, folder), str(self._location))
        with closing(place.database):
            named = [
                found.text
                for found in monitoring.outbox(place, self._at_us)
                if found.text.startswith("could not be delivered")
            ]
        failed = [item for item in self._outbox() if item.status == FAILED]
        self._found["unnamed"] += abs(len(failed) - len(named))
