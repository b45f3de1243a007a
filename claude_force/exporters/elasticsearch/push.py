"""Elasticsearch: each execution as a document, once.

A new execution is created under its uid: where it is there already, Elasticsearch says so and nothing changes. So a
push that is killed between the answer and its note sends a batch again, and no document is there twice. What can never
be taken is written to a file with the reason; what cannot be taken now waits.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from claude_force.clock import Now, instant_formatter
from claude_force.database.contract import Database, Progress
from claude_force.executions.record import identity_bytes
from claude_force.exporters import queue
from claude_force.exporters.base import Pushed, PushError, require
from claude_force.exporters.elasticsearch import server as elastic_server
from claude_force.exporters.elasticsearch.server import Server, server_of
from claude_force.exporters.queue import Entry
from claude_force.files import open_append
from claude_force.formatting import quantity
from claude_force.settings.fields import Fields, Known
from claude_force.settings.home import home_at
from claude_force.text import kind_of, sanitize

if TYPE_CHECKING:
    from claude_force.exporters.elasticsearch.client import Item

FIELDS: Known = {**elastic_server.FIELDS, "index": None, "data_stream": None}

KIND = "elasticsearch"
INDEX = "claude-force-metrics"
REJECTED_FILE = "rejected-elasticsearch.jsonl"

AT_ONCE = 1000
"""Documents of a bulk request: about 600 KB."""

PAUSES_S = (1.0, 2.0, 4.0)
"""Before each further attempt with what a busy server did not take."""

_INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}")
"""Of the names that Elasticsearch allows, those that need no quoting anywhere."""

_DONE, _THERE, _NEVER, _LATER = (200, 201), 409, (400, 413), (429, 500, 502, 503, 504)
_CLOSED = "index_closed_exception"
"""A 400 that is about the index and not about the document."""


class Operation(NamedTuple):
    """What is to be done with a document (`create` or `index`, which replaces), its id, and the document."""

    action: str
    uid: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Elasticsearch:
    """Pushes to an index, or a data stream, of a server. `rejected_file` gets what it will never take. `wait` is called
    with the seconds before another attempt."""

    server: Server
    index: str
    rejected_file: Path
    is_stream: bool = False
    wait: Callable[[float], object] = time.sleep
    at_once: int = AT_ONCE

    @property
    def destination(self) -> str:
        """Where it pushes to, as it may be shown."""
        return f"{self.server.url}/{self.index}"

    def number_due(self, database: Database, now: Now) -> int:  # noqa: ARG002  (what other targets need)
        """How many executions a push would find due."""
        return queue.number_due(database, KIND, self.destination, None)

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> Pushed:
        """See `Target`."""
        require(KIND, KIND)
        session = _Session(self)
        with queue.opened(database, KIND, self.destination, now, None) as source:
            for batch in source.batches(self.at_once):
                kept, left_out = session.send(batch.entries)
                source.ack(batch, kept, left_out)
                if progress is not None:
                    progress(len(batch.entries))
                if kept:
                    break
            else:
                source.finish()
        session.counts["gone"] += source.gone
        return self._pushed(session.counts)

    def _pushed(self, counts: Counter[str]) -> Pushed:
        remarks = []
        if counts["rejected"]:
            remarks.append(f"{quantity(counts['rejected'], 'execution')} rejected; the reasons: {self.rejected_file}")
        if counts["changed"]:
            remarks.append(f"{quantity(counts['changed'], 'change')} not sent: a data stream takes none")
        if counts["waiting"]:
            remarks.append("Elasticsearch is busy; the rest is due at the next push")
        said = f"Imported {counts['created'] + counts['replaced']:,} metrics to Elasticsearch"
        names = ("created", "replaced", "known", "changed", "rejected", "waiting", "gone")
        return Pushed(said, self.destination, {name: counts[name] for name in names}, tuple(remarks))


class _Session:
    """One push. It connects when there is something to send."""

    def __init__(self, target: Elasticsearch) -> None:
        self.counts: Counter[str] = Counter()
        self._target = target
        self._format_time = instant_formatter(UTC)
        self._bulk: Callable[[Sequence[Operation]], list[Item]] | None = None

    def send(self, entries: Sequence[Entry]) -> tuple[set[bytes], int]:
        """Send executions; the uids of those that are to be sent again, and how many never will be."""
        due = [entry for entry in entries if entry.is_new or not self._target.is_stream]
        self.counts["changed"] += len(entries) - len(due)
        kept, rejected = self._send_all([self._operation(entry) for entry in due])
        self.counts["waiting"] += len(kept)
        self._keep_rejected(rejected)
        return {identity_bytes(uid) for uid in kept}, len(rejected) + len(entries) - len(due)

    def _operation(self, entry: Entry) -> Operation:
        from claude_force.exporters.elasticsearch.documents import document_of

        is_stream = self._target.is_stream
        uid, document = document_of(entry.row, self._format_time, is_stream=is_stream)
        return Operation("index" if entry.has_changed and not is_stream else "create", uid, document)

    def _send_all(self, operations: list[Operation]) -> tuple[list[str], list[tuple[Operation, Item]]]:
        """Send documents until each is taken or refused, or a busy server was asked often enough; those that are
        neither, and those that are refused, with what was said of them."""
        rejected: list[tuple[Operation, Item]] = []
        for pause_s in (*PAUSES_S, None):
            if not operations:
                break
            answers = list(zip(operations, self._ask(operations), strict=True))
            verdicts = [self._verdict(operation, item) for operation, item in answers]
            self.counts.update(verdict for verdict in verdicts if verdict != "waiting")
            rejected += [answer for answer, verdict in zip(answers, verdicts, strict=True) if verdict == "rejected"]
            operations = [operation for operation, item in answers if item.status in _LATER]
            if operations and pause_s is not None:
                self._target.wait(pause_s)
        return [operation.uid for operation in operations], rejected

    def _ask(self, operations: Sequence[Operation]) -> list[Item]:
        if self._bulk is None:
            self._bulk = self._connect()
        return self._bulk(operations)

    def _connect(self) -> Callable[[Sequence[Operation]], list[Item]]:
        """What sends operations: to an index that is there."""
        from claude_force.exporters.elasticsearch.client import bulk, connect, talking_to
        from claude_force.exporters.elasticsearch.documents import prepare

        target = self._target
        client = connect(target.server)
        with talking_to(target.server):
            prepare(client, target.index, is_stream=target.is_stream)
        return lambda operations: bulk(target.server, client, target.index, operations)

    def _verdict(self, operation: Operation, item: Item) -> str:
        """What came of a document, as it is counted. Raises PushError for what is wrong with the server and not with
        the document."""
        if item.status in _DONE:
            return "created" if operation.action == "create" else "replaced"
        if item.status == _THERE and operation.action == "create":
            return "known"
        if item.status in _NEVER and item.kind != _CLOSED:
            return "rejected"
        if item.status in _LATER:
            return "waiting"
        said = f"answered {item.status} to a document: {sanitize(item.reason)}"
        raise PushError(f"Elasticsearch at {self._target.destination} {said}")

    def _keep_rejected(self, rejected: Sequence[tuple[Operation, Item]]) -> None:
        """Write down what is refused, and why, before it is noted as done."""
        if not rejected:
            return
        path = self._target.rejected_file
        lines = [
            json.dumps({"uid": uid, "status": item.status, "reason": item.reason, "document": document})
            for (_, uid, document), item in rejected
        ]
        try:
            with open(open_append(path), "a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as error:
            raise PushError(f"rejected executions cannot be written to {path}: {error.strerror}") from error


def target(fields: Fields) -> Elasticsearch:
    """The target that the fields describe."""
    index = fields.text("index", INDEX)
    if not _INDEX_NAME.fullmatch(index):
        fields.problem("index", 'must be of small letters, digits, ".", "_" and "-", and begin with a letter or digit')
    is_stream = fields.given.get("data_stream", False)
    if not isinstance(is_stream, bool):
        fields.problem("data_stream", f"must be true or false, not {kind_of(is_stream)}")
    rejected_file = home_at(fields.folder).metrics_folder / REJECTED_FILE
    return Elasticsearch(server_of(fields), index, rejected_file, is_stream is True)
