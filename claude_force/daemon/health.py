"""What is wrong with the machine that watches: one line for each finding, with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from claude_force.alert_rows import FAILED as UNDELIVERED
from claude_force.alert_rows import WAITING, Delivery
from claude_force.alerts.round import Watch, watch_of
from claude_force.amounts import quantity
from claude_force.clock import DAY_US, local_zone, moment_of
from claude_force.daemon.instance import is_running
from claude_force.daemon.jobs import JOBS
from claude_force.export.configuration import unknown_kinds
from claude_force.notice import rule_in
from claude_force.place import Place
from claude_force.query import alerts, exports, jobs
from claude_force.record import UNKNOWN
from claude_force.store.jobs import FAILED

LOOKED_BACK_US = 7 * DAY_US
"""What could not be delivered is named for so long."""


class Health(NamedTuple):
    """`problems` need somebody; `remarks` are worth knowing."""

    problems: list[str]
    remarks: list[str]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"problems": self.problems, "remarks": self.remarks}


def health_of(place: Place, now_us: int) -> Health:
    """What is wrong at a place. Raises DatabaseError."""
    watch = watch_of(place)
    with place.database.read() as connection:
        undelivered = alerts.with_fate(connection, UNDELIVERED, now_us - LOOKED_BACK_US)
        waiting = [found for found in alerts.with_fate(connection, WAITING) if found.problem]
        last = {name: jobs.last_run(connection, name) for name in JOBS}
    problems = [*watch.problems, *unknown_kinds(place.settings.exporters)]
    problems += [f"could not be delivered: {_told(found)}" for found in undelivered]
    problems += [f"the job {name} failed: {run.problem}" for name, run in last.items() if run and run.outcome == FAILED]
    remarks = [f"waits to be delivered: {_told(found)}" for found in waiting]
    return Health(problems, [*remarks, *_unwatched(place, watch), *_unpushed(place, now_us)])


def _unpushed(place: Place, now_us: int) -> Iterator[str]:
    """Targets that have not had all that was due for a day; what is due is kept for them, however long."""
    with place.database.read() as connection:
        for state in exports.exporters(connection, place.database):
            at_us = state.pushed_us or state.began_us
            number = exports.number_waiting(connection, state.kind)
            if (number or state.has_history) and now_us - at_us > DAY_US:
                yield (
                    f"{quantity(number, 'execution')} wait for {state.kind} since {_minute(at_us)}: "
                    f"claude-force push {state.kind}, or with --forget if it is not to get them"
                )


def _minute(instant_us: int) -> str:
    return f"{moment_of(instant_us, local_zone()):%Y-%m-%d %H:%M}"


def _told(delivery: Delivery) -> str:
    at = _minute(delivery.finished_us or delivery.created_us)
    rule = rule_in(delivery.notice)
    tried = quantity(delivery.attempts, "attempt")
    return f"{rule} on {delivery.channel}, {at}, after {tried}: {delivery.problem or UNKNOWN}"


def _unwatched(place: Place, watch: Watch) -> Iterator[str]:
    if watch.rules and not is_running(place.database):
        yield "alert rules are on, and no scheduler runs: claude-force scheduler start --detach"
    if watch.rules and not watch.channels:
        yield "alert rules are on, and nobody is told: performance.channels in claude.json (docs/alerts.md)"
