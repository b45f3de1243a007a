"""Alerts, their transitions and what is to be said of them, as rows: the fields are the columns, in their order."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

DeliveryStatus = Literal["waiting", "delivered", "failed", "skipped"]
"""What becomes of a delivery. A failed one will not be tried again; a skipped one has nothing to end, since the
beginning of its episode was never delivered."""

WAITING: DeliveryStatus = "waiting"
DELIVERED: DeliveryStatus = "delivered"
FAILED: DeliveryStatus = "failed"
SKIPPED: DeliveryStatus = "skipped"


@dataclass(frozen=True, slots=True)
class AlertRow:
    """Where an alert stands. `labels` is a JSON object of names; what the rest means is said in `alerts.decision`:
    `state` is the value of one, `reason` the name, so that its words may change."""

    fingerprint: str
    rule: str
    labels: str
    severity: str
    state: str
    reason: str
    since_us: int
    evaluated_us: int
    breached_us: int | None = None
    cleared_us: int | None = None
    notified_us: int | None = None
    episode: str | None = None
    value: float | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """A transition of an alert."""

    event_id: str
    at_us: int
    fingerprint: str
    rule: str
    labels: str
    severity: str
    before: str
    after: str
    reason: str
    episode: str | None
    value: float | None
    samples: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to be said about one alert on one channel. What has one `batch` goes out as one message. Not before
    `due_us`; a sender moves that ahead before it sends, so that no other one sends meanwhile, and whoever is killed is
    followed by another. `receipt` is what the service asks for to end it; `problem` what was wrong the last time."""

    delivery_id: str
    batch: str
    channel: str
    episode: str
    action: str
    notice: str
    status: str
    attempts: int
    created_us: int
    due_us: int
    finished_us: int | None = None
    receipt: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """Of a rule nobody is to hear until then."""

    name: str
    until_us: int
    created_us: int
    comment: str | None = None


ALERT_FIELDS = tuple(field.name for field in fields(AlertRow))
EVENT_FIELDS = tuple(field.name for field in fields(EventRow))
DELIVERY_FIELDS = tuple(field.name for field in fields(Delivery))
SILENCE_FIELDS = tuple(field.name for field in fields(Silence))
