"""Alerts, their transitions, deliveries and silences, as rows. The fields are the columns, in their order."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

DeliveryStatus = Literal["waiting", "delivered", "failed", "skipped"]
"""The status of a delivery. A failed one is not tried again. A resolve is skipped if the start of its episode was never
delivered."""

WAITING: DeliveryStatus = "waiting"
DELIVERED: DeliveryStatus = "delivered"
FAILED: DeliveryStatus = "failed"
SKIPPED: DeliveryStatus = "skipped"


@dataclass(frozen=True, slots=True)
class AlertRow:
    """The state of an alert, see `alerts.decision`. `labels` is a JSON object of names; `state` is the value of a
    State, `reason` the name of a Reason, so that its text may change."""

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
    """One notification of an alert on one channel. Those of one `batch` are sent as one message, not before `due_us`.

    A sender moves `due_us` into the future before it sends: no other one sends meanwhile, and if it is killed another
    one takes over. `receipt` is what the service needs to resolve it; `problem` is the last error."""

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
    """A rule without notifications until an instant."""

    name: str
    until_us: int
    created_us: int
    comment: str | None = None


ALERT_FIELDS = tuple(field.name for field in fields(AlertRow))
EVENT_FIELDS = tuple(field.name for field in fields(EventRow))
DELIVERY_FIELDS = tuple(field.name for field in fields(Delivery))
SILENCE_FIELDS = tuple(field.name for field in fields(Silence))
