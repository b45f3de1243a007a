"""DataDog: each execution as histograms, and each failure as an event, to the Agent of this machine or another.

DogStatsD answers nothing and keeps no time of its own for histograms: what is sent counts at the moment it arrives. So
an execution that is too old is not sent, nor is a change of one that was, and what was sent is not confirmed. What the
system refused to send is due again.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from claude_force.clock import DAY_US, SECOND_US, Now, parse_span, span_name
from claude_force.database.contract import Database, Progress
from claude_force.executions.record import FIELDS as COLUMNS
from claude_force.executions.record import dollars, milliseconds
from claude_force.exporters import queue
from claude_force.exporters.base import Pushed, require
from claude_force.exporters.datadog.dogstatsd import LOGGER, PORT, Agent, client_of
from claude_force.exporters.labels import OTHER
from claude_force.exporters.queue import Entry
from claude_force.formatting import quantity
from claude_force.network.quiet_logging import silenced
from claude_force.settings.fields import Fields, Known
from claude_force.text import sanitize

if TYPE_CHECKING:
    from datadog.dogstatsd.base import DogStatsd

FIELDS: Known = dict.fromkeys(("host", "port", "socket", "max_age", "first_window"))

KIND = "datadog"
MAX_AGE_US = DAY_US
FIRST_WINDOW_US = 300 * SECOND_US
"""What a target begins with, as in the guide."""

AT_ONCE = 50
"""Executions that are sent without a pause: some 20 datagrams, a quarter of what a UDP socket of Linux holds unless it
is told otherwise (212,992 bytes), since what an Agent has not read by then is lost."""

PAUSE_S = 0.05
"""After each of these, over UDP. A Unix socket holds the sender back by itself."""

TAG_LIMIT = 200
"""DataDog cuts longer tags. In bytes, so that each line fits in a datagram."""

NAMES_LIMIT = 1000
"""So many agents, and so many models, are told apart in one push; what comes after them is `other`."""

_UNTAGGED = re.compile(r"[^\w:./-]")
"""What DataDog itself makes an underscore of; among it is all that the protocol has a meaning for."""


@dataclass(slots=True)
class _Names:
    """The first names that are seen; for each later one there is OTHER, so that tags stay countable."""

    seen: set[str] = field(default_factory=set)

    def tag(self, key: str, name: str) -> str:
        """The tag of a name, harmless to the protocol and of bounded length."""
        if name not in self.seen:
            if len(self.seen) >= NAMES_LIMIT:
                return f"{key}:{OTHER}"
            self.seen.add(name)
        tag = f"{key}:{_UNTAGGED.sub('_', name)}"
        return tag.encode()[:TAG_LIMIT].decode(errors="ignore")


class _Lines:
    """Executions as lines of DogStatsD. `count` is how many were written."""

    def __init__(self, client: DogStatsd) -> None:
        self.count = 0
        self._client = client
        self._agents, self._models = _Names(), _Names()

    def write(self, entries: Iterable[Entry]) -> None:
        """Everything that is known of some executions, which the client then sends."""
        with self._client:
            for entry in entries:
                self._write(entry)

    def _write(self, entry: Entry) -> None:
        known = dict(zip(COLUMNS, entry.row, strict=True))
        agent = self._agents.tag("agent", known["agent_name"])
        model = self._models.tag("model", known["model"])
        is_success = known["success"] == 1
        # True and False are spelled as the guide's program does.
        tags = [agent, model, f"success:{is_success}"]
        self._histogram("execution_time", milliseconds(known["duration_us"]), tags)
        self._histogram("cost", dollars(known["cost_nanousd"]), [agent, model])
        self._histogram("tokens.input", known["input_tokens"], [agent])
        self._histogram("tokens.output", known["output_tokens"], [agent])
        if not is_success:
            self._failure(known["agent_name"], known["timestamp_us"], agent)

    def _histogram(self, name: str, value: float | None, tags: list[str]) -> None:
        if value is not None:
            self._client.histogram(f"claude_force.{name}", value, tags=tags)
            self.count += 1

    def _failure(self, agent_name: str, at_us: int, tag: str) -> None:
        text = f"Agent {sanitize(agent_name, TAG_LIMIT)} failed"
        at_s = at_us // SECOND_US
        self._client.event("Agent Execution Failed", text, alert_type="error", date_happened=at_s, tags=[tag])
        self.count += 1


@dataclass(frozen=True, slots=True)
class DataDog:
    """Pushes to an Agent what is not older than `max_age_us`, and begins with what is of the last `first_window_us`.
    `wait` is called with the seconds of a pause."""

    agent: Agent
    max_age_us: int = MAX_AGE_US
    first_window_us: int = FIRST_WINDOW_US
    at_once: int = AT_ONCE
    wait: Callable[[float], object] = time.sleep

    @property
    def destination(self) -> str:
        """Where it pushes to, as it may be shown."""
        return self.agent.destination

    def number_due(self, database: Database, now: Now) -> int:
        """How many executions a push would find due."""
        return queue.number_due(database, KIND, self.destination, now() - self.first_window_us)

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> Pushed:
        """See `Target`."""
        require(KIND, KIND)
        counts = Counter[str]()
        opened = queue.opened(database, KIND, self.destination, now, now() - self.first_window_us)
        with opened as source, closing(self.agent.connect()) as wire, silenced(LOGGER):
            lines = _Lines(client_of(wire))
            for batch in source.batches(self.at_once):
                due = self._due(batch.entries, now(), counts)
                if due and counts["sent"] and not self.agent.path:
                    self.wait(PAUSE_S)
                lines.write(due)
                wire.check(lines.count)
                source.ack(batch, rejected=len(batch.entries) - len(due))
                counts["sent"] += len(due)
                if progress is not None:
                    progress(len(batch.entries))
            source.finish()
        counts["gone"] = source.gone
        return self._pushed(counts)

    def _due(self, entries: Iterable[Entry], now_us: int, counts: Counter[str]) -> list[Entry]:
        """Those that are sent; the others are counted."""
        due = []
        for entry in entries:
            age_us = now_us - entry.row[COLUMNS.index("timestamp_us")]
            if not entry.is_new:
                counts["changed"] += 1
            elif age_us > self.max_age_us:
                counts["too_old"] += 1
            else:
                due.append(entry)
        return due

    def _pushed(self, counts: Counter[str]) -> Pushed:
        remarks = []
        if counts["too_old"]:
            old = quantity(counts["too_old"], "execution")
            remarks.append(f"{old} older than {span_name(self.max_age_us)} not sent: they would count as of now")
        said = f"Exported {counts['sent']:,} metrics to DataDog" + (" (sent, not confirmed)" if counts["sent"] else "")
        names = ("sent", "too_old", "changed", "gone")
        return Pushed(said, self.destination, {name: counts[name] for name in names}, tuple(remarks))


def target(fields: Fields) -> DataDog:
    """The target that the fields describe."""
    path = _socket(fields)
    if path and any(fields.given.get(name) for name in ("host", "port")):
        fields.problem("socket", "is another place than host and port; remove one of them")
    host = fields.text("host", "") or fields.environment.get("DD_AGENT_HOST") or "localhost"
    return DataDog(
        Agent(host, _port(fields), path),
        _span(fields, "max_age", MAX_AGE_US),
        _span(fields, "first_window", FIRST_WINDOW_US),
    )


def _socket(fields: Fields) -> str:
    """The path of the socket, which may be written as the Agent writes it; "" for none."""
    stated = fields.text("socket", "").removeprefix("unix://")
    return str(fields.folder / stated) if stated else ""


def _port(fields: Fields) -> int:
    if fields.given.get("port") in (None, ""):
        fields.given["port"] = fields.environment.get("DD_DOGSTATSD_PORT") or None
    return fields.port() or PORT


def _span(fields: Fields, name: str, default_us: int) -> int:
    if not fields.has(name):
        return default_us
    try:
        return parse_span(fields.text(name))
    except ValueError as error:
        fields.problem(name, f"must be a length of time: {error}")
        return default_us
