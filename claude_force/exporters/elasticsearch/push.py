"""Elasticsearch: each execution as one document.

A new execution is created under its uid. If it exists already, Elasticsearch says so and changes nothing, so a push
that is killed before it recorded an answer sends that batch again without duplicates. Documents that Elasticsearch will
never take are written to a file with the reason; those that it cannot take now stay due.
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

from claude_force.clock import Now, instant_formatter
from claude_force.database.contract import Database, Progress
from claude_force.executions.record import identity_bytes
from claude_force.exporters import queue
from claude_force.exporters.base import PushError, PushResult
from claude_force.exporters.elasticsearch import server as elastic_server
from claude_force.exporters.elasticsearch.client import Operation, Result, bulk, failure
from claude_force.exporters.elasticsearch.documents import document_of, prepare
from claude_force.exporters.elasticsearch.server import Server, server_from
from claude_force.exporters.queue import ExportItem
from claude_force.files import open_append
from claude_force.formatting import quantity
from claude_force.settings.fields import Fields, Known
from claude_force.settings.home import home_at

FIELDS: Known = {**elastic_server.FIELDS, "index": None, "data_stream": None}

KIND = "elasticsearch"
INDEX = "claude-force-metrics"
REJECTED_FILE = "rejected-elasticsearch.jsonl"

AT_ONCE = 1000
"""Documents in a bulk request: about 600 KB."""

PAUSES_S = (1.0, 2.0, 4.0)
"""The pauses before each further attempt with documents that a busy server did not take."""

_INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}")
"""Of the names that Elasticsearch allows, those that need no quoting in a URL."""

_DONE, _EXISTS, _NEVER, _LATER = (200, 201), 409, (400, 413), (429, 500, 502, 503, 504)
_CLOSED = "index_closed_exception"
"""A 400 that is about the index and not about the document."""


@dataclass(frozen=True, slots=True)
class ElasticsearchExporter:
    """Pushes to an index, or a data stream, of a server. `rejected_file` gets the documents that Elasticsearch will
    never take. `wait` is called with the seconds before another attempt."""

    server: Server
    index: str
    rejected_file: Path
    is_stream: bool = False
    wait: Callable[[float], object] = time.sleep
    at_once: int = AT_ONCE

    @property
    def destination(self) -> str:
        """The receiver's address, without secrets."""
        return f"{self.server.url}/{self.index}"

    def count_due(self, database: Database, now: Now) -> int:  # noqa: ARG002  (other exporters need it)
        """How many executions a push would find due."""
        return queue.count_due(database, KIND, self.destination, None)

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> PushResult:
        """Send what is due. See `Exporter`."""
        session = _Session(self)
        with queue.open_queue(database, KIND, self.destination, now, None) as source:
            for batch in source.batches(self.at_once):
                kept, rejected = session.send(batch.items)
                source.ack(batch, kept, rejected)
                if progress is not None:
                    progress(len(batch.items))
                if kept:
                    break
            else:
                source.finish()
        session.counts["gone"] += source.deleted
        return self._result(session.counts)

    def _result(self, counts: Counter[str]) -> PushResult:
        remarks = []
        if counts["rejected"]:
            remarks.append(f"{quantity(counts['rejected'], 'execution')} rejected; the reasons: {self.rejected_file}")
        if counts["changed"]:
            remarks.append(f"{quantity(counts['changed'], 'change')} not sent: a data stream takes none")
        if counts["waiting"]:
            remarks.append("Elasticsearch is busy; the rest is due at the next push")
        message = f"Imported {counts['created'] + counts['replaced']:,} metrics to Elasticsearch"
        names = ("created", "replaced", "known", "changed", "rejected", "waiting", "gone")
        return PushResult(message, self.destination, {name: counts[name] for name in names}, tuple(remarks))


class _Session:
    """One push. It prepares the index when there is something to send."""

    def __init__(self, exporter: ElasticsearchExporter) -> None:
        self.counts: Counter[str] = Counter()
        self._exporter = exporter
        self._format_time = instant_formatter(UTC)
        self._is_prepared = False

    def send(self, items: Sequence[ExportItem]) -> tuple[set[bytes], int]:
        """Send executions. Returns the uids of those to send again later, and the number that never will be sent."""
        due = [item for item in items if item.is_new or not self._exporter.is_stream]
        self.counts["changed"] += len(items) - len(due)
        kept, rejected = self._send_all([self._operation(item) for item in due])
        self.counts["waiting"] += len(kept)
        self._write_rejected(rejected)
        return {identity_bytes(uid) for uid in kept}, len(rejected) + len(items) - len(due)

    def _operation(self, item: ExportItem) -> Operation:
        is_stream = self._exporter.is_stream
        uid, document = document_of(item.row, self._format_time, is_stream=is_stream)
        return Operation("index" if item.has_changed and not is_stream else "create", uid, document)

    def _send_all(self, operations: list[Operation]) -> tuple[list[str], list[tuple[Operation, Result]]]:
        """Send documents, with further attempts for those that a busy server did not take. Returns the uids that it
        still did not take, and the documents that it rejected."""
        rejected: list[tuple[Operation, Result]] = []
        for pause_s in (*PAUSES_S, None):
            if not operations:
                break
            answers = list(zip(operations, self._bulk(operations), strict=True))
            verdicts = [self._verdict(operation, result) for operation, result in answers]
            self.counts.update(verdict for verdict in verdicts if verdict != "waiting")
            rejected += [answer for answer, verdict in zip(answers, verdicts, strict=True) if verdict == "rejected"]
            operations = [operation for operation, result in answers if result.status in _LATER]
            if operations and pause_s is not None:
                self._exporter.wait(pause_s)
        return [operation.uid for operation in operations], rejected

    def _bulk(self, operations: Sequence[Operation]) -> list[Result]:
        exporter = self._exporter
        if not self._is_prepared:
            prepare(exporter.server, exporter.index, is_stream=exporter.is_stream)
            self._is_prepared = True
        return bulk(exporter.server, exporter.index, operations)

    def _verdict(self, operation: Operation, result: Result) -> str:
        """The name under which a result is counted. Raises PushError for a fault of the server or of the index."""
        if result.status in _DONE:
            return "created" if operation.action == "create" else "replaced"
        if result.status == _EXISTS and operation.action == "create":
            return "known"
        if result.status in _NEVER and result.kind != _CLOSED:
            return "rejected"
        if result.status in _LATER:
            return "waiting"
        raise failure(self._exporter.server, f"answered {result.status} to a document: {result.reason}")

    def _write_rejected(self, rejected: Sequence[tuple[Operation, Result]]) -> None:
        """Write rejected documents to the file, before the queue forgets them."""
        if not rejected:
            return
        path = self._exporter.rejected_file
        lines = [
            json.dumps({"uid": uid, "status": result.status, "reason": result.reason, "document": document})
            for (_, uid, document), result in rejected
        ]
        try:
            with open(open_append(path), "a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as error:
            raise PushError(f"rejected executions cannot be written to {path}: {error.strerror}") from error


def exporter_from(fields: Fields) -> ElasticsearchExporter:
    """The exporter that the fields describe."""
    index = fields.text("index", INDEX)
    if not _INDEX_NAME.fullmatch(index):
        fields.problem("index", 'must consist of a-z, 0-9, ".", "_" and "-", and start with a letter or digit')
    rejected_file = home_at(fields.folder).metrics_folder / REJECTED_FILE
    return ElasticsearchExporter(server_from(fields), index, rejected_file, fields.flag("data_stream"))
