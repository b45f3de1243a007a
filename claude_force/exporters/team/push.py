"""The team's store: each execution and each change of one, with its identities, arrives there once.

Executions leave the export queue when the team's store has them. A push that is killed sends its last batch again, and
the team's store knows it by its uids. Rows of other tables have no queue: those that were sent are known by a digest.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from claude_force.clock import Now
from claude_force.database import queries
from claude_force.database.contract import Database, Progress, Row
from claude_force.database.merge.delivered_tables import Part, part_of, read_parts
from claude_force.database.merge.delivery import Delivery, Rejected
from claude_force.database.merge.delivery_reader import DeliveryReader
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.queries import export_queue as queue_queries
from claude_force.database.queries.projects import repositories
from claude_force.database.rows.exporters import TEAM
from claude_force.database.writes import export_queue as queue_writes
from claude_force.errors import DatabaseError, MissingExtra, SettingsError
from claude_force.executions.costs import lazy_pricer
from claude_force.executions.origin import host_name
from claude_force.executions.pricing import price_table
from claude_force.executions.record import NAME_LIMIT, identity_text
from claude_force.executions.sightings import Price
from claude_force.exporters import queue
from claude_force.exporters.base import PushError, PushResult
from claude_force.exporters.queue import Batch
from claude_force.exporters.team.disclosure import HASHED, NAMES, Disclosure, Projects
from claude_force.exporters.team.recipients import Receipt, TeamReceiver, TeamStore
from claude_force.files import open_append
from claude_force.formatting import quantity
from claude_force.network.redaction import Secret
from claude_force.settings.claude_json import Settings, load_settings
from claude_force.settings.fields import Fields, Known
from claude_force.settings.home import home_at
from claude_force.settings.location import without_password
from claude_force.settings.values import REFERENCE

KIND = TEAM

FIELDS: Known = {**dict.fromkeys(("to", "projects", "task_hash", "ca_file")), "token": "CLAUDE_FORCE_TEAM_TOKEN"}
VARIABLES: Mapping[str, Sequence[str]] = {"to": ("CLAUDE_FORCE_TEAM_URL",), "token": ("CLAUDE_FORCE_TEAM_TOKEN",)}

AT_ONCE = 16_000
"""Executions in a delivery, about as many as an import stores in a transaction: each adds to the same roll-ups."""

ROWS_AT_ONCE = 2000
"""Rows of other tables in a delivery."""

T = TypeVar("T")

REJECTED_FILE = "rejected-team.jsonl"


@dataclass(frozen=True, slots=True)
class TeamExporter:
    """Pushes to the store of a team. `rejected_file` gets what that will never take."""

    recipient: TeamStore | TeamReceiver
    rejected_file: Path
    disclosure: Disclosure = field(default_factory=Disclosure)
    at_once: int = AT_ONCE

    @property
    def destination(self) -> str:
        """The address of the team's store, without secrets."""
        return self.recipient.destination

    def count_due(self, database: Database, now: Now) -> int:  # noqa: ARG002  (other exporters need it)
        """How many executions a push would find due."""
        return queue.count_due(database, KIND, self.destination, None)

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> PushResult:
        """Send what is due. See `Exporter`."""
        self.recipient.check(database)
        with queue.open_queue(database, KIND, self.destination, now, None) as source, ThreadPoolExecutor(1) as reader:
            sending = _Push(self, database)
            archived = _archived(database) if source.state.is_backfilling else 0
            for batch, delivery in _read_ahead(reader, sending.deliveries(source.batches(self.at_once))):
                rejected = sending.deliver(delivery) if delivery.rows else 0
                source.ack(batch, rejected=rejected)
                if progress is not None:
                    progress(len(batch.items))
            sending.send_tables()
            source.finish()
        sending.counts["gone"] += source.deleted
        return sending.result(archived)


class _Push:
    """One push: what it sends, and what became of it."""

    def __init__(self, exporter: TeamExporter, database: Database) -> None:
        self.counts: Counter[str] = Counter()
        self._exporter = exporter
        self._database = database
        self._left_out: set[str] = set()
        with database.read() as connection:
            self._disclosure = replace(exporter.disclosure, repositories=repositories(connection))

    def deliveries(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Delivery]]:
        """Batches, each with what is sent of it."""
        reader = DeliveryReader(self._database)
        for batch in batches:
            found = reader.read([item.row for item in batch.items], is_queued=bool(batch.acks))
            yield batch, self._disclosure.delivery(found)

    def send_tables(self) -> None:
        """Send the rows of other tables that the team's store does not have."""
        parts = list(self._parts())
        with self._database.read() as connection:
            sent = queue_queries.sent_rows(connection, KIND)
        due = [part for part in parts if part.digest not in sent]
        for chunk in _chunks(due):
            tables: dict[str, list[Row]] = defaultdict(list)
            for part in chunk:
                tables[part.table] += part.rows
            self.deliver(Delivery(tables=tables))
            self.counts["rows"] += sum(map(len, tables.values()))
            with self._database.write() as connection:
                queue_writes.remember_rows(connection, KIND, [part.digest for part in chunk])
        gone = sent - {part.digest for part in parts}
        if gone:
            with self._database.write() as connection:
                queue_writes.forget_rows(connection, KIND, gone)

    def _parts(self) -> Iterator[Part]:
        for part in read_parts(self._database):
            rows = self._disclosure.table(part.table, part.rows)
            if rows:
                yield part if rows is part.rows else part_of(part.table, rows)

    def deliver(self, delivery: Delivery) -> int:
        """Send a delivery; returns how many of its executions were rejected."""
        receipt = self._exporter.recipient.deliver(delivery)
        self._write_rejected(receipt.rejected)
        self._count(receipt)
        uids = {item.what for item in receipt.rejected}
        return sum(identity_text(row[0]) in uids for row in delivery.rows) if uids else 0

    def _count(self, receipt: Receipt) -> None:
        self.counts.update(
            added=receipt.added, changed=receipt.changed, known=receipt.known, rejected=len(receipt.rejected)
        )
        self._left_out.update(receipt.left_out)

    def _write_rejected(self, rejected: Sequence[Rejected]) -> None:
        """Write what was rejected to the file, before the queue forgets it."""
        if not rejected:
            return
        path = self._exporter.rejected_file
        try:
            with open(open_append(path), "a", encoding="utf-8") as file:
                file.write("".join(f"{json.dumps(item._asdict())}\n" for item in rejected))
        except OSError as error:
            raise PushError(f"rejected executions cannot be written to {path}: {error.strerror}") from error

    def result(self, archived: int) -> PushResult:
        """What the push did. `archived` executions were archived before the first push."""
        counts, remarks = self.counts, []
        if counts["rejected"]:
            remarks.append(f"{counts['rejected']:,} rejected; the reasons: {self._exporter.rejected_file}")
        if self._left_out:
            names = ", ".join(sorted(self._left_out))
            remarks.append(f"the team's store has an older schema and did not keep {names}: upgrade it, then --forget")
        if archived:
            remarks.append(f"{quantity(archived, 'archived execution')} stayed here: restore them to send them")
        sent = counts["added"] + counts["changed"] + counts["known"]
        names_of = ("added", "changed", "known", "rejected", "rows", "gone")
        message = f"Sent {quantity(sent, 'execution')} to the team"
        return PushResult(
            message, self._exporter.destination, {name: counts[name] for name in names_of}, tuple(remarks)
        )


def _read_ahead(reader: Executor, found: Iterator[T]) -> Iterator[T]:
    """What an iterator gives. `reader` gets each while the one before is used: mostly, a push waits for the team's
    store."""
    following = reader.submit(next, found, None)
    while (item := following.result()) is not None:
        following = reader.submit(next, found, None)
        yield item


def _archived(database: Database) -> int:
    with database.read() as connection:
        return queries.archived(connection, Filter()).executions


def _chunks(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts together, of about ROWS_AT_ONCE rows."""
    chunk: list[Part] = []
    size = 0
    for part in parts:
        chunk.append(part)
        size += len(part.rows)
        if size >= ROWS_AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def exporter_from(fields: Fields) -> TeamExporter:
    """The exporter that the fields describe."""
    rejected_file = home_at(fields.folder).metrics_folder / REJECTED_FILE
    has_task_hash = fields.flag("task_hash") if fields.has("task_hash") else True
    settings = _settings_of(fields)
    disclosure = Disclosure(_projects(fields), has_task_hash, host_name(), settings.user)
    return TeamExporter(_recipient(fields, _pricer(settings)), rejected_file, disclosure)


def _projects(fields: Fields) -> Projects:
    given: Any = fields.given.get("projects", NAMES)
    if given == NAMES:
        return "names"
    if isinstance(given, dict) and all(
        isinstance(name, str) and 0 < len(name) <= NAME_LIMIT for name in given.values()
    ):
        return given
    if given != HASHED:
        fields.problem("projects", f'must be "{NAMES}", "{HASHED}", or an object with a name for each project')
    return "hashed"


def _recipient(fields: Fields, price: Price) -> TeamStore | TeamReceiver:
    if not fields.has("to"):
        fields.problem("to", "is missing: the team's database or receiver; give --to URL, or set CLAUDE_FORCE_TEAM_URL")
    to = fields.text("to", "")
    token = fields.secret("token") if fields.has("token") else None
    if to.startswith(("http://", "https://")):
        return _receiver(fields, to.rstrip("/"), token)
    if fields.given.get("token_file") is not None:
        fields.problem("token_file", "is for a receiver (https://); a database has its password in PGPASSWORD")
    _refuse_stated_password(fields)
    location = to if "://" in to or not to else str((fields.folder / to).expanduser())
    try:
        return TeamStore(open_database(location or "."), price)
    except (DatabaseError, MissingExtra, ValueError) as error:
        fields.problem("to", f"cannot be used: {error}")
        return TeamStore(open_database("."))


def _refuse_stated_password(fields: Fields) -> None:
    """A password must not be in claude.json; one that came from a variable is not."""
    stated = REFERENCE.sub("***", str(fields.given.get("to"))).replace(":@", "@", 1)
    if without_password(stated) != stated:
        fields.expose("to", "must not hold a password; set PGPASSWORD, or CLAUDE_FORCE_TEAM_URL to the whole address")


def _receiver(fields: Fields, url: str, token: Secret | None) -> TeamReceiver:
    fields.check_url("to", url, is_private=token is not None)
    try:
        parts = urlsplit(url)
    except ValueError:
        # `check_url` has said so.
        parts = urlsplit("")
    if parts.username is not None or parts.query or parts.fragment:
        note = fields.expose if "@" in str(fields.given.get("to")) else fields.problem
        note("to", "must be an address alone, without a login, ? and #")
        url = ""
    return TeamReceiver(url, token, fields.authority())


def _settings_of(fields: Fields) -> Settings:
    try:
        return load_settings(home_at(fields.folder))[0]
    except SettingsError:
        # Whoever reads the exporters of a broken file has said so.
        return Settings()


def _pricer(settings: Settings) -> Price:
    """What several sources saw on two machines is priced anew: that is rare, and prices load slowly."""
    return lazy_pricer(lambda: price_table(settings))
