"""PagerDuty: events of the Events API v2, or incidents of the REST API as in the guide.

Events are preferred: they are meant for monitoring, and take a repeat and a resolve by the same `dedup_key`. Resolving
an incident needs its id, which is the receipt of the message that opened it. If the receipt was lost, the service is
asked for the incident that is open under the key.

Formats and limits: developer.pagerduty.com, "Send an Alert Event", "Create an Incident", "Update an Incident".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from claude_force.alerts.channels import message_parts
from claude_force.alerts.notification import Notification
from claude_force.network.connection import PATIENCE, Patience
from claude_force.network.http import Answer, Request, exchange
from claude_force.network.outcome import Outcome
from claude_force.network.redaction import Secret
from claude_force.text import sanitize

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
INCIDENTS_URL = "https://api.pagerduty.com/incidents"

SUMMARY_LIMIT = 1_024
KEY_LIMIT = 255
BODY_LIMIT = 512_000
"""512 KB of 1,000 bytes, the smaller of the two meanings."""
SOURCE_LIMIT = 255


@dataclass(frozen=True, slots=True)
class PagerDutyEvents:
    """A PagerDuty service, by the routing key of its Events API v2 integration."""

    kind: ClassVar[str] = "pagerduty"
    groups: ClassVar[bool] = False

    name: str
    routing_key: Secret
    url: str = EVENTS_URL
    patience: Patience = PATIENCE

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Trigger or resolve the alert of the only notification. Its key is the episode, so PagerDuty merges
        duplicates."""
        (notification,) = notifications
        event = event_of(notification)
        event["routing_key"] = self.routing_key.reveal()
        body = json.dumps(event).encode()
        if len(body) > BODY_LIMIT:
            del event["payload"]["custom_details"]
            body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json"}
        request = Request("POST", Secret(self.url), body, headers, (self.routing_key,))
        return exchange(request, self.patience).outcome


def event_of(notification: Notification) -> dict[str, Any]:
    """The event, without its routing key."""
    event: dict[str, Any] = {"dedup_key": dedup_key(notification.episode)}
    if notification.action == "resolve":
        return {"event_action": "resolve", **event}
    payload = {
        "summary": _title(notification),
        "source": sanitize(notification.host, SOURCE_LIMIT) or "claude-force",
        "severity": notification.severity,
        "component": sanitize(next(iter(notification.labels.values()), notification.rule), SOURCE_LIMIT),
        "group": sanitize(notification.store, SOURCE_LIMIT),
        "class": sanitize(notification.rule, SOURCE_LIMIT),
        "custom_details": details_of(notification),
        "timestamp": message_parts.iso(notification.at_us),
    }
    return {"event_action": "trigger", **event, "client": "Claude Force", "payload": payload}


@dataclass(frozen=True, slots=True)
class PagerDutyIncidents:
    """A PagerDuty service, by its id and a key of the REST API. Acts as the user with `from_address`."""

    kind: ClassVar[str] = "pagerduty"
    groups: ClassVar[bool] = False

    name: str
    api_key: Secret
    service_id: str
    from_address: str
    url: str = INCIDENTS_URL
    patience: Patience = PATIENCE

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:  # noqa: ARG002
        """Open or resolve the incident of the only notification. One that is already open or resolved counts as
        delivered. The receipt is the id of the incident."""
        (notification,) = notifications
        return (
            self._resolve(notification, receipt)
            if notification.action == "resolve"
            else self._open(notification, receipt)
        )

    def _open(self, notification: Notification, receipt: str | None) -> Outcome:
        answer = self._ask("POST", self.url, {"incident": incident_of(notification, self.service_id)})
        if _says(answer, "already exists"):
            return Outcome("delivered", receipt=receipt)
        if answer.outcome.status != "delivered":
            return answer.outcome
        return Outcome("delivered", receipt=_id_of(_field(answer.json(), "incident")) or receipt)

    def _resolve(self, notification: Notification, receipt: str | None) -> Outcome:
        if receipt is None:
            query = urlencode(
                {"incident_key": dedup_key(notification.episode), "statuses[]": ["triggered", "acknowledged"]}, True
            )
            answer = self._ask("GET", f"{self.url}?{query}")
            if answer.outcome.status != "delivered":
                return answer.outcome
            found = _field(answer.json(), "incidents")
            receipt = _id_of(found[0]) if isinstance(found, list) and found else None
            if receipt is None:
                return Outcome("delivered", "there was no open incident to resolve")
        update = {"incident": {"type": "incident_reference", "status": "resolved"}}
        answer = self._ask("PUT", f"{self.url}/{quote(receipt, safe='')}", update)
        return Outcome("delivered") if _says(answer, "already resolved") else answer.outcome

    def _ask(self, method: str, url: str, content: Mapping[str, Any] | None = None) -> Answer:
        headers = {
            "Authorization": f"Token token={self.api_key.reveal()}",
            "Content-Type": "application/json",
            "Accept": "application/vnd.pagerduty+json;version=2",
            "From": self.from_address,
        }
        body = b"" if content is None else json.dumps(content).encode()
        return exchange(Request(method, Secret(url), body, headers, (self.api_key,)), self.patience)


def incident_of(notification: Notification, service_id: str) -> dict[str, Any]:
    """The incident: its urgency is high for critical, else low."""
    return {
        "type": "incident",
        "title": _title(notification),
        "service": {"id": service_id, "type": "service_reference"},
        "urgency": "high" if notification.severity == "critical" else "low",
        "incident_key": dedup_key(notification.episode),
        "body": {
            "type": "incident_body",
            "details": json.dumps(details_of(notification), indent=2, ensure_ascii=False),
        },
    }


def dedup_key(episode: str) -> str:
    """The episode, or a digest of it if PagerDuty would not accept it as a key."""
    if len(episode) <= KEY_LIMIT and episode.isascii() and episode.isprintable():
        return episode
    return sha256(episode.encode("utf-8", "surrogatepass")).hexdigest()


def details_of(notification: Notification) -> dict[str, str | int | float | None]:
    """The texts and figures by name; numbers stay numbers."""
    return {
        "title": sanitize(notification.title),
        "summary": sanitize(notification.summary),
        "period": sanitize(notification.period),
        "began": message_parts.iso(notification.began_us),
        "store": sanitize(notification.store),
        **message_parts.values(notification.labels),
        **message_parts.values(notification.details),
    }


def _title(notification: Notification) -> str:
    return sanitize(f"Claude Force: {notification.title}: {notification.summary}", SUMMARY_LIMIT)


def _says(answer: Answer, words: str) -> bool:
    return answer.status == 400 and words in (answer.outcome.problem or "").lower()


def _field(found: object, name: str) -> object:
    return found.get(name) if isinstance(found, dict) else None


def _id_of(found: object) -> str | None:
    identity = _field(found, "id")
    return identity if isinstance(identity, str) and identity else None
