"""Alerts under chaos: services fail in any order, senders are killed at any step, and the clock jumps.

In each run agents fail and recover. Alert checks evaluate the rules and send the due messages. Some senders die: in
this process just before or after a message is sent, or as a process by a kill. The services answer well, badly, late or
not at all. After recovery every alert must have arrived on every channel, unless the service refused it for good and
`doctor` names it. No resolution may come before its alert, and PagerDuty must get one key per episode.
"""

from __future__ import annotations

import json
import multiprocessing
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
from torture.campaign import WORKERS, Effort, Figure, say
from torture.notifying import check_and_notify, check_once, make_alert_setup, notification_context
from torture.services import Accepted, Services, services
from torture.subjects import KILLED, subject

RUNS = 1000
RUNS_IN_A_PROCESS = 25

KILLED_AS_PROCESSES = 0.3
"""The share of deaths that are killed processes. The rest dies at an exact step."""

_MOVES_S = (1, 5, 20, 60, 60, 300, 1200, -20, -600)
"""The seconds that the clock moves between two checks."""

_RECOVERY_STEP_S = 600
_RECOVERY_STEPS = 300
"""The number of checks after recovery in which everything must be sent."""


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Runs of chaos on all processors, each with its own database."""
    found, runs = Counter[str](), effort.of(RUNS)
    work = [
        (folder, effort.seed, range(first, min(first + RUNS_IN_A_PROCESS, runs)))
        for first in range(0, runs, RUNS_IN_A_PROCESS)
    ]
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        for one in pool.map(_run_some, *zip(*work, strict=True)):
            found += one
            say(f"  {found['runs']:,} runs, {found['kills']:,} senders died, {found['lost']:,} pages lost")
    return [
        Figure("chaos runs", found["runs"], at_least=RUNS),
        Figure("senders that died", found["kills"], at_least=2 * RUNS),
        Figure("of these killed as processes", found["killed as processes"], at_least=RUNS // 4),
        Figure("of these with a message in delivery", found["killed with a message in hand"], at_least=RUNS // 4),
        Figure("episodes", found["episodes"], at_least=RUNS),
        Figure("messages that services accepted", found["accepted"]),
        Figure("failed requests", found["faults"]),
        Figure("refused for good, and named by doctor", found["refused"]),
        Figure("pages lost", found["lost"], at_most=0),
        Figure("resolutions lost", found["ends lost"], at_most=0),
        Figure("resolutions before their alert", found["early"], at_most=0),
        Figure("keys of no episode of their agent", found["wrong keys"], at_most=0),
        Figure("failures that doctor does not name", found["unnamed"], at_most=0),
        Figure("runs that never settled", found["restless"], at_most=0),
        Figure("senders that failed", found["failures"], at_most=0),
    ]


def _run_some(folder: Path, seed: int, numbers: Sequence[int]) -> Counter[str]:
    """The counts of some runs, which share their services."""
    found = Counter[str]()
    with services() as others:
        for number in numbers:
            here = folder / str(number)
            here.mkdir(parents=True)
            location = here / "metrics.db"
            with closing(open_database(str(location))) as database:
                found += _Story(database, location, others, random.Random(f"{seed}-{number}")).run()
            shutil.rmtree(here)
    return found


class _Died(BaseException):
    """The sender ends here, as if it were killed: it stores nothing more."""


@dataclass
class _DyingChannel:
    """A channel whose sender may die before or after it sends a message."""

    channel: Channel
    chance: random.Random

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel, name)

    def send(self, notices: Sequence[Notification], key: str, receipt: str | None) -> Outcome:
        """Send, and die before or after it with a chance of a quarter each."""
        step = self.chance.random()
        if step < 0.25:
            raise _Died
        found = self.channel.send(notices, key, receipt)
        if step < 0.5:
            raise _Died
        return found


class _Story:
    """One run: agents fail and recover under chaos, then everything recovers."""

    def __init__(self, database: Database, location: Path, others: Services, chance: random.Random) -> None:
        self._database, self._location, self._services, self._chance = database, location, others, chance
        self._setup = make_alert_setup(others.channels, others.environment)
        self._at_us = NOON_US
        self._agents = [f"agent-{number}" for number in range(chance.randint(1, 4))]
        self._found = Counter(runs=1)

    def run(self) -> Counter[str]:
        """Run, and return the counts."""
        self._services.begin(self._chance, self._chance.randint(0, 25))
        for success, executions in ((False, 10), (True, 60)):
            self._record(success, executions)
            for _ in range(self._chance.randint(1, 6)):
                self._move(self._chance.choice(_MOVES_S))
                self._services.change_mail(self._chance)
                self._check()
            # Makes sure that the change is noticed, even if every check died.
            self._record(success, 2 * executions)
            evaluate(self._database, self._setup.rules, notification_context(self._setup), self._at_us, UTC)
        self._recover()
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

    def _check(self) -> None:
        fate = self._chance.random()
        if fate < 0.3:
            check_once(self._database, self._setup, self._at_us)
        elif fate < 1 - 0.7 * KILLED_AS_PROCESSES:
            self._die_within()
        else:
            self._kill()

    def _die_within(self) -> None:
        dying: dict[str, Any] = {
            name: _DyingChannel(channel, self._chance) for name, channel in self._setup.channels.items()
        }
        try:
            check_once(self._database, replace(self._setup, channels=dying), self._at_us)
        except _Died:
            self._count_death()

    def _kill(self) -> None:
        arguments = (str(self._location), self._services.channels, self._services.environment, self._at_us)
        with subject(check_and_notify, *arguments) as process:
            process.join(self._chance.uniform(0, 0.15))
            process.kill()
            process.join()
        if process.exitcode == KILLED:
            self._found["killed as processes"] += 1
            self._count_death()
        self._found["failures"] += process.exitcode not in (0, KILLED)

    def _count_death(self) -> None:
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

    def _recover(self) -> None:
        """All services and agents are well, until nothing fires and no message waits."""
        self._services.recover()
        for _ in range(_RECOVERY_STEPS):
            self._move(_RECOVERY_STEP_S)
            self._record(True, 60)
            check_once(self._database, self._setup, self._at_us)
            with self._database.read() as connection:
                fires = any(row.state == "firing" for row in alert_queries.alerts(connection))
                waits = alert_queries.by_status(connection, WAITING)
            if not fires and not waits:
                return
        self._found["restless"] += 1

    def _judge(self) -> None:
        """Compare the messages that the services accepted with the episodes."""
        accepted, deliveries = self._services.accepted(), defaultdict[tuple[str, str], list[Delivery]](list)
        for item in self._outbox():
            deliveries[item.episode, item.channel].append(item)
        episodes = self._episodes()
        self._found["lost"] += len(set(self._agents) - episodes.keys())
        for agent, named in episodes.items():
            for episode in named:
                self._found["episodes"] += 1
                for channel, messages in accepted.items():
                    mine = [item for item in messages if episode == item.key or (not item.key and agent == item.agent)]
                    self._judge_episode(mine, deliveries[episode, channel])
        owners = {episode: agent for agent, named in episodes.items() for episode in named}
        keyed = [*accepted["pager"], *accepted["hook"]]
        # The resolution of an event names no agent.
        self._found["wrong keys"] += sum(
            item.key not in owners or (item.agent != "" and owners[item.key] != item.agent) for item in keyed
        )
        self._found["accepted"] += sum(map(len, accepted.values()))
        self._found["faults"] += self._services.faults()
        self._ask_doctor()

    def _episodes(self) -> dict[str, set[str]]:
        """The episodes that started, by agent."""
        found = defaultdict[str, set[str]](set)
        with self._database.read() as connection:
            for event in alert_queries.events(connection, 0, 10_000):
                if event.after == "firing":
                    found[json.loads(event.labels)["agent"]].add(event.episode or "")
        return found

    def _judge_episode(self, messages: Sequence[Accepted], deliveries: Sequence[Delivery]) -> None:
        """Check the messages of an episode on one channel."""
        triggers = [position for position, item in enumerate(messages) if not item.is_end]
        ends = [position for position, item in enumerate(messages) if item.is_end]
        is_refused = any(item.status == FAILED for item in deliveries)
        if not triggers:
            self._found["refused" if is_refused else "lost"] += 1
        elif not ends:
            self._found["refused" if is_refused else "ends lost"] += 1
        self._found["early"] += bool(ends) and (not triggers or ends[0] < triggers[0])

    def _ask_doctor(self) -> None:
        """Count the failed deliveries that the doctor does not name."""
        folder = self._location.parent
        workspace, _ = workspace_at(Home(folder, folder), str(self._location))
        with closing(workspace.database):
            named = [
                found.text
                for found in monitoring.check_outbox(workspace, self._at_us)
                if found.text.startswith("could not be delivered")
            ]
        failed = [item for item in self._outbox() if item.status == FAILED]
        self._found["unnamed"] += abs(len(failed) - len(named))
