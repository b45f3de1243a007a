"""DataDog: each execution as histograms, and each failure as an event, to an Agent.

DogStatsD answers nothing, and a histogram has no time of its own: a sample counts at the moment it arrives. So
executions that are too old are not sent, nor are changes of executions that were sent, and nothing confirms what was
sent. What the system refused to send is due again.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from claude_force.clock import DAY_US, SECOND_US, Now, parse_span, span_name
from claude_force.database.contract import Database, Progress
from claude_force.executions.record import FIELDS as COLUMNS
from claude_force.executions.record import column, dollars, milliseconds
from claude_force.exporters import queue
from claude_force.exporters.base import PushResult
from claude_force.exporters.datadog.dogstatsd import PORT, Agent, error_event, histogram
from claude_force.exporters.labels import OTHER
from claude_force.exporters.queue import ExportItem
from claude_force.formatting import quantity
from claude_force.settings.fields import Fields, Known
from claude_force.text import sanitize

FIELDS: Known = dict.fromkeys(("host", "port", "socket", "max_age", "first_window"))

KIND = "datadog"
MAX_AGE_US = DAY_US
FIRST_WINDOW_US = 300 * SECOND_US
"""The first push sends the executions of this window, as in the guide."""

AT_ONCE = 50
"""Executions that are sent without a pause: about 20 datagrams, a quarter of the default buffer of a UDP socket on
Linux (212,992 bytes). Datagrams that arrive while the buffer is full are lost."""

PAUSE_S = 0.05
"""The pause between batches over UDP. A full Unix socket makes the sender wait by itself."""

TAG_LIMIT = 200
"""Longest tag, in bytes, so that every line fits in a datagram. DataDog cuts longer ones."""

NAMES_LIMIT = 1000
"""The number of agents, and of models, that one push tags by name; later ones share `other`."""

_UNTAGGED = re.compile(r"[^\w:./-]")
"""The characters that DataDog replaces by underscores. All characters with a meaning in the format are among them."""

_INSTANT = column("timestamp_us")


@dataclass(slots=True)
class _Names:
    """The names seen so far in a push; at most NAMES_LIMIT of them are tagged."""

    seen: set[str] = field(default_factory=set)

    def tag(self, key: str, name: str) -> str:
        """The tag of a name, safe for the format and of limited length."""
        if name not in self.seen:
            if len(self.seen) >= NAMES_LIMIT:
                return f"{key}:{OTHER}"
            self.seen.add(name)
        tag = f"{key}:{_UNTAGGED.sub('_', name)}"
        return tag.encode()[:TAG_LIMIT].decode(errors="ignore")


class _Encoder:
    """Encodes executions as lines of DogStatsD. One encoder serves a push."""

    def __init__(self) -> None:
        self._agents, self._models = _Names(), _Names()

    def lines(self, item: ExportItem) -> Iterator[str]:
        """The lines of one execution: a histogram for each known value, and an event if it failed."""
        known = dict(zip(COLUMNS, item.row, strict=True))
        agent = self._agents.tag("agent", known["agent_name"])
        model = self._models.tag("model", known["model"])
        is_success = known["success"] == 1
        samples = (
            # Spelled True and False, as in the guide.
            ("execution_time", milliseconds(known["duration_us"]), [agent, model, f"success:{is_success}"]),
            ("cost", dollars(known["cost_nanousd"]), [agent, model]),
            ("tokens.input", known["input_tokens"], [agent]),
            ("tokens.output", known["output_tokens"], [agent]),
        )
        for name, value, tags in samples:
            if value is not None:
                yield histogram(f"claude_force.{name}", value, tags)
        if not is_success:
            text = f"Agent {sanitize(known['agent_name'], TAG_LIMIT)} failed"
            yield error_event("Agent Execution Failed", text, known["timestamp_us"] // SECOND_US, [agent])


@dataclass(frozen=True, slots=True)
class DatadogExporter:
    """Pushes executions that are at most `max_age_us` old. The first push sends those of the last `first_window_us`.
    `wait` is called with the seconds of each pause."""

    agent: Agent
    max_age_us: int = MAX_AGE_US
    first_window_us: int = FIRST_WINDOW_US
    at_once: int = AT_ONCE
    wait: Callable[[float], object] = time.sleep

    @property
    def destination(self) -> str:
        """The receiver's address, without secrets."""
        return self.agent.destination

    def count_due(self, database: Database, now: Now) -> int:
        """How many executions a push would find due."""
        return queue.count_due(database, KIND, self.destination, now() - self.first_window_us)

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> PushResult:
        """Send what is due. See `Exporter`."""
        counts = Counter[str]()
        opened = queue.open_queue(database, KIND, self.destination, now, now() - self.first_window_us)
        with opened as source, self.agent.connect() as connection:
            encoder = _Encoder()
            for batch in source.batches(self.at_once):
                due = self._due(batch.items, now(), counts)
                if due and counts["sent"] and not self.agent.path:
                    self.wait(PAUSE_S)
                connection.send(line for item in due for line in encoder.lines(item))
                source.ack(batch, rejected=len(batch.items) - len(due))
                counts["sent"] += len(due)
                if progress is not None:
                    progress(len(batch.items))
            source.finish()
        counts["gone"] = source.deleted
        return self._result(counts)

    def _due(self, items: Iterable[ExportItem], now_us: int, counts: Counter[str]) -> list[ExportItem]:
        """The executions to send; the others are counted."""
        due = []
        for item in items:
            if not item.is_new:
                counts["changed"] += 1
            elif now_us - item.row[_INSTANT] > self.max_age_us:
                counts["too_old"] += 1
            else:
                due.append(item)
        return due

    def _result(self, counts: Counter[str]) -> PushResult:
        remarks = []
        if counts["too_old"]:
            old = quantity(counts["too_old"], "execution")
            remarks.append(f"{old} older than {span_name(self.max_age_us)} not sent: they would count as of now")
        sent = f"Exported {counts['sent']:,} metrics to DataDog" + (" (sent, not confirmed)" if counts["sent"] else "")
        names = ("sent", "too_old", "changed", "gone")
        return PushResult(sent, self.destination, {name: counts[name] for name in names}, tuple(remarks))


def exporter_from(fields: Fields) -> DatadogExporter:
    """The exporter that the fields describe."""
    path = _socket(fields)
    if path and any(fields.given.get(name) for name in ("host", "port")):
        fields.problem("socket", "cannot be combined with host and port; remove one of them")
    host = fields.text("host", "") or fields.environment.get("DD_AGENT_HOST") or "localhost"
    return DatadogExporter(
        Agent(host, _port(fields), path),
        _span(fields, "max_age", MAX_AGE_US),
        _span(fields, "first_window", FIRST_WINDOW_US),
    )


def _socket(fields: Fields) -> str:
    """The path of the socket, with or without the `unix://` of the Agent's own settings; "" for none."""
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
