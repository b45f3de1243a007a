"""Where deliveries go: into the team's store itself, or over HTTP to its receiver. Both store them with the same code.

Every failure is a PushError, one line without secrets: the next push sends the delivery again, and whatever was stored
of it is known there.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from claude_force.database.contract import Database
from claude_force.database.merge.delivery import Delivery, Rejected, store_delivery
from claude_force.database.missing import refuse_missing_file
from claude_force.database.revisions import HEAD, REVISIONS
from claude_force.errors import DatabaseError, DatabaseMissing
from claude_force.executions.sightings import Price
from claude_force.exporters.base import PushError
from claude_force.exporters.team import PATH
from claude_force.network.connection import Patience
from claude_force.network.http import Answer, Request, exchange
from claude_force.network.outcome import conclude
from claude_force.network.redaction import Secret

ANSWER_LIMIT = 8 * 1024 * 1024
"""The longest answer, in bytes: it may name each execution that was rejected."""

PATIENCE = Patience(60.0, 120.0)
"""The answer to a delivery comes after it is stored, behind those of others."""

BODY_ROWS = 5000
"""The most executions of a body: so those of others are stored in between."""

_TOO_MUCH = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT)


class Receipt(NamedTuple):
    """What became of a delivery: how many executions were new, changed or known, what was rejected, and the names of
    columns that the team's store does not have."""

    added: int = 0
    changed: int = 0
    known: int = 0
    rejected: Sequence[Rejected] = ()
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TeamStore:
    """The team's database, reached directly."""

    database: Database
    price: Price | None = None

    @property
    def destination(self) -> str:
        """The path, or the URL without a password."""
        return self.database.name

    def check(self, own: Database) -> None:
        """Raise PushError unless this is another store than our own, with the schema that this program writes."""
        name = self.database.name
        try:
            refuse_missing_file(self.database, name)
        except DatabaseMissing as error:
            made = f"claude-force db upgrade --db {quote(name)}"
            raise PushError(f"the team's store: {error}; to make a new one: {made}") from error
        try:
            found = self.database.revision()
        except DatabaseError as error:
            raise PushError(f"the team's store cannot be reached: {error}") from error
        if name == own.name:
            raise PushError(f"{own.name} is the database itself; name the team's store")
        if found == HEAD:
            return
        if found is None:
            raise PushError(f"{name} has no tables of claude-force: claude-force db upgrade --db {quote(name)}")
        older = (
            f"run `claude-force db upgrade --db {quote(name)}`" if found in REVISIONS else "upgrade claude-force here"
        )
        raise PushError(
            f"{name} has schema {found}, this program writes {HEAD}: {older}, or push to a `claude-force receive` of "
            "the team, which takes both"
        )

    def deliver(self, delivery: Delivery) -> Receipt:
        """Store it."""
        try:
            counts = store_delivery(self.database, delivery, self.price)
        except DatabaseError as error:
            raise PushError(f"the team's store did not take it: {error}") from error
        return Receipt(counts.added, counts.changed, counts.known)


@dataclass(frozen=True, slots=True)
class TeamReceiver:
    """A `claude-force receive` of the team. The URL has no slash at its end and no login."""

    url: str
    token: Secret | None = None
    ca_file: Path | None = None
    patience: Patience = PATIENCE

    @property
    def destination(self) -> str:
        """The URL."""
        return self.url

    def check(self, own: Database) -> None:  # noqa: ARG002  (a team's store needs it)
        """Raise PushError unless a receiver answers that takes the token and this version: a mistyped address must not
        begin anew what was sent to the right one."""
        self.deliver(Delivery())

    def deliver(self, delivery: Delivery) -> Receipt:
        """Send it, in several bodies if it is large; in two halves if the receiver, or a proxy before it, takes no body
        so large, or none so slow."""
        if len(delivery.rows) > BODY_ROWS:
            return _together([self.deliver(part) for part in _parts(delivery, BODY_ROWS)])
        answer = exchange(self._request(delivery), self.patience, ANSWER_LIMIT)
        if answer.status in _TOO_MUCH and len(delivery.rows) > 1:
            half = -(-len(delivery.rows) // 2)
            return _together([self.deliver(part) for part in _parts(delivery, half)])
        if answer.outcome.status != "delivered":
            raise PushError(f"the team's receiver: {self._problem_of(answer)}")
        return self._receipt(answer)

    def _request(self, delivery: Delivery) -> Request:
        # Imported here: a team's store that is reached directly needs no body.
        from claude_force.database.merge.delivery_body import encode_body

        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        secrets = () if self.token is None else (self.token,)
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.reveal()}"
        body = gzip.compress(encode_body(delivery), 1)
        return Request("POST", Secret(self.url + PATH), body, headers, secrets, self.ca_file, is_public=True)

    def _problem_of(self, answer: Answer) -> str:
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return f"{self.url} did not take the token; check token_file, or CLAUDE_FORCE_TEAM_TOKEN"
        if answer.status == HTTPStatus.NOT_FOUND:
            return f"{self.url} has no {PATH}: is it a `claude-force receive`, and of this release?"
        return str(answer.outcome.problem)

    def _receipt(self, answer: Answer) -> Receipt:
        found = answer.json()
        try:
            rejected = [Rejected(str(item["what"]), str(item["reason"])) for item in found["rejected"]]
            added, changed, known = (int(found[name]) for name in ("added", "changed", "known"))
            return Receipt(added, changed, known, rejected, list(map(str, found["left_out"])))
        except (KeyError, TypeError, ValueError):
            secrets = () if self.token is None else (self.token,)
            problem = conclude("failed", f"{self.url} gave an answer that is not of a claude-force receive", secrets)
            raise PushError(f"the team's receiver: {problem.problem}") from None


def _parts(delivery: Delivery, size: int) -> Iterator[Delivery]:
    """A delivery in parts of so many executions, each with what belongs to it."""
    for start in range(0, len(delivery.rows), size):
        rows = delivery.rows[start : start + size]
        uids = {row[0] for row in rows}
        identities = {identity: uid for identity, uid in delivery.identities.items() if uid in uids}
        sightings = {uid: seen for uid, seen in delivery.sightings.items() if uid in uids}
        yield Delivery(rows, identities, sightings)


def _together(receipts: Sequence[Receipt]) -> Receipt:
    return Receipt(
        sum(receipt.added for receipt in receipts),
        sum(receipt.changed for receipt in receipts),
        sum(receipt.known for receipt in receipts),
        [item for receipt in receipts for item in receipt.rejected],
        sorted({name for receipt in receipts for name in receipt.left_out}),
    )
