"""Slack, PagerDuty and webhooks: what each service gets, as its documentation and the guide require."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any

import pytest

from claude_force.alerts.channels.pagerduty import PagerDutyEvents, PagerDutyIncidents
from claude_force.alerts.channels.slack import for_slack, message
from claude_force.alerts.channels.webhook import Webhook
from claude_force.network.redaction import Secret
from tests.builders import NOON_US, a_notification
from tests.conftest import ROOT
from tests.counterparts import Reply, ScriptedServer, scripted


def test_slack_gets_the_message_of_the_guide() -> None:
    """A heading, and for each alert a colour, a title, a text and the period as footer."""
    sent = message([a_notification(labels={}, details={}), a_notification(title="High Latency", severity="warning")])
    assert sent["text"] == "🚨 Claude Force Performance Alert"
    first, second = sent["attachments"]
    assert {name: first[name] for name in ("color", "title", "text", "footer")} == {
        "color": "danger",
        "title": "Low Success Rate",
        "text": "Success rate dropped to 87.5%",
        "footer": "Last 1 hour",
    }
    assert (second["color"], second["title"]) == ("warning", "High Latency")
    assert second["text"].splitlines()[1:] == [
        "agent: python-expert",
        "success_rate: 87.5",
        "executions: 1,234",
        "threshold: –",
    ]


def test_slack_gets_a_resolve() -> None:
    """In green, with words that say so, and with another heading if all are resolved."""
    resolved = a_notification(action="resolve")
    sent = message([resolved])
    assert sent["text"] == "✅ Claude Force Performance Alert Resolved"
    assert sent["attachments"][0]["color"] == "good"
    assert sent["attachments"][0]["title"] == "Resolved: Low Success Rate"
    assert sent["attachments"][0]["text"].startswith("Resolved. Success rate")
    assert message([resolved, a_notification()])["text"] == "🚨 Claude Force Performance Alert"
    assert message([a_notification(action="repeat")])["attachments"][0]["title"] == "Ongoing: Low Success Rate"


def test_slack_gets_no_more_than_it_shows() -> None:
    """20 attachments and the number of further ones; texts of 3,000 characters with whole escapes."""
    sent = message([a_notification(details={str(number): "<" * 1000 for number in range(10)})] * 25)
    assert sent["text"] == "🚨 Claude Force Performance Alert\nand 5 more"
    assert len(sent["attachments"]) == 20
    text = sent["attachments"][0]["text"]
    assert 2990 < len(text) <= 3000
    assert text.endswith("&lt;…")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<!channel> <@U123> <#C1|x> <https://evil.example|here>", None),
        ("a & b", "a &amp; b"),
        ("https://evil.example", "https:\u200b//evil.example"),
        ("WWW.evil.example", "W\u200bWW.evil.example"),
        ("@here", "@\u200bhere"),
        ("&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;"),
        ("python-expert", "python-expert"),
    ],
)
def test_names_are_inert_on_slack(text: str, shown: str | None) -> None:
    """No mention, no link."""
    found = for_slack(text, 1000)
    assert "<" not in found
    assert ">" not in found
    assert shown in (None, found)


@pytest.mark.parametrize("limit", range(1, 30))
def test_slack_cuts_no_escape(limit: int) -> None:
    """Wherever the limit falls."""
    found = for_slack("a<b>&c" * 10, limit)
    assert len(found) <= limit
    assert re.fullmatch(r"(?:[abc]|&lt;|&gt;|&amp;)*…", found)


def an_events_channel(server: ScriptedServer) -> PagerDutyEvents:
    """A channel to the server of a test."""
    return PagerDutyEvents("pager", Secret("k" * 32), server.url)


def test_pagerduty_gets_an_event() -> None:
    """Of version 2 of its API; a repeat is a trigger with the same key."""
    with scripted([202]) as server:
        for action in ("trigger", "repeat"):
            outcome = an_events_channel(server).send([a_notification(action=action)], "key", None)
            assert outcome.status == "delivered"
        first, again = (request.json() for request in server.requests)
    assert first == again
    assert first == {
        "routing_key": "k" * 32,
        "event_action": "trigger",
        "dedup_key": "0192-success-rate",
        "client": "Claude Force",
        "payload": {
            "summary": "Claude Force: Low Success Rate: Success rate dropped to 87.5%",
            "source": "build-7",
            "severity": "critical",
            "component": "python-expert",
            "group": "metrics.db",
            "class": "success-rate",
            "timestamp": "2025-11-01T12:27:40Z",
            "custom_details": {
                "title": "Low Success Rate",
                "summary": "Success rate dropped to 87.5%",
                "period": "Last 1 hour",
                "began": "2025-11-01T12:26:40Z",
                "store": "metrics.db",
                "agent": "python-expert",
                "success_rate": 87.5,
                "executions": 1234,
                "threshold": None,
            },
        },
    }


def test_pagerduty_gets_a_resolve() -> None:
    """By the key alone."""
    with scripted([202]) as server:
        an_events_channel(server).send([a_notification(action="resolve")], "key", None)
        sent = server.requests[0].json()
    assert sent == {"routing_key": "k" * 32, "event_action": "resolve", "dedup_key": "0192-success-rate"}


def test_pagerduty_gets_no_more_than_it_accepts() -> None:
    """A summary of 1,024 characters, a key of 255, and no details if the event exceeds 512 KB."""
    huge = a_notification(
        summary="漢" * 5000,
        episode="e" * 300,
        details={str(n): "漢" * 1000 for n in range(50)},
        labels={f"{n} {'漢' * 900}": "漢" * 1000 for n in range(50)},
    )
    with scripted([202]) as server:
        an_events_channel(server).send([huge], "key", None)
        (request,) = server.requests
    sent = request.json()
    assert len(sent["payload"]["summary"]) == 1024
    assert len(sent["dedup_key"]) == 64
    assert len(request.body) <= 512_000
    assert "custom_details" not in sent["payload"]
    assert sent["payload"]["summary"].endswith("…")


def an_incidents_channel(server: ScriptedServer) -> PagerDutyIncidents:
    """A channel to the server of a test."""
    return PagerDutyIncidents("pager", Secret("key"), "PABC123", "me@example.com", server.url + "incidents")


def json_reply(status: int, content: Any) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(content).encode())


OPENED = json_reply(201, {"incident": {"id": "Q1/2", "status": "triggered"}})
IS_OPEN = json_reply(
    400, {"error": {"message": "Arguments Caused Error", "errors": ["matching dedup key already exists"], "code": 2002}}
)
IS_OVER = json_reply(400, {"error": {"message": "Arguments Caused Error", "errors": ["Incident Already Resolved"]}})


def test_pagerduty_gets_the_incident_of_the_guide() -> None:
    """Its title, urgency and details, with the headers of the API; the receipt is its id."""
    with scripted([OPENED]) as server:
        outcome = an_incidents_channel(server).send([a_notification()], "key", None)
        (request,) = server.requests
    assert outcome == ("delivered", None, None, "Q1/2")
    assert (request.method, request.path) == ("POST", "/incidents")
    expected = {
        "authorization": "Token token=key",
        "accept": "application/vnd.pagerduty+json;version=2",
        "content-type": "application/json",
        "from": "me@example.com",
    }
    assert {name: request.headers[name] for name in expected} == expected
    incident = request.json()["incident"]
    assert incident["type"] == "incident"
    assert incident["title"] == "Claude Force: Low Success Rate: Success rate dropped to 87.5%"
    assert incident["service"] == {"id": "PABC123", "type": "service_reference"}
    assert incident["urgency"] == "high"
    assert incident["body"]["type"] == "incident_body"
    assert json.loads(incident["body"]["details"])["success_rate"] == 87.5


@pytest.mark.parametrize("severity", ["error", "warning", "info"])
def test_only_critical_is_urgent(severity: str) -> None:
    """Anything else has low urgency."""
    with scripted([OPENED]) as server:
        an_incidents_channel(server).send([a_notification(severity=severity)], "key", None)
        assert server.requests[0].json()["incident"]["urgency"] == "low"


def test_an_open_incident_counts_as_delivered() -> None:
    """PagerDuty refuses a second one with the same key; the receipt stays."""
    with scripted([IS_OPEN]) as server:
        outcome = an_incidents_channel(server).send([a_notification(action="repeat")], "key", "Q1")
    assert outcome == ("delivered", None, None, "Q1")


def test_any_other_refusal_of_an_incident_fails() -> None:
    """With the words of the service."""
    refusal = json_reply(400, {"error": {"message": "Requester User Not Found", "code": 1008}})
    with scripted([refusal]) as server:
        outcome = an_incidents_channel(server).send([a_notification()], "key", None)
    assert (outcome.status, outcome.problem) == ("failed", "127.0.0.1 answered 400: Requester User Not Found")


def test_an_incident_is_resolved_by_its_receipt() -> None:
    """In one request, whatever characters the id has."""
    with scripted([200]) as server:
        outcome = an_incidents_channel(server).send([a_notification(action="resolve")], "key", "Q1/2")
        (request,) = server.requests
    assert outcome.status == "delivered"
    assert (request.method, request.path) == ("PUT", "/incidents/Q1%2F2")
    assert request.json() == {"incident": {"type": "incident_reference", "status": "resolved"}}


def test_an_incident_without_a_receipt_is_looked_up() -> None:
    """By its key, among the open ones."""
    with scripted([json_reply(200, {"incidents": [{"id": "Q9"}]}), 200]) as server:
        outcome = an_incidents_channel(server).send([a_notification(action="resolve")], "key", None)
        first, second = server.requests
    assert outcome.status == "delivered"
    assert first.method == "GET"
    assert (
        first.path == "/incidents?incident_key=0192-success-rate&statuses%5B%5D=triggered&statuses%5B%5D=acknowledged"
    )
    assert (second.method, second.path) == ("PUT", "/incidents/Q9")


@pytest.mark.parametrize("content", [{"incidents": []}, {}, [], "x", {"incidents": [{"id": 5}]}])
def test_a_missing_incident_counts_as_resolved(content: object) -> None:
    """Somebody closed it; the outcome says so."""
    with scripted([json_reply(200, content)]) as server:
        outcome = an_incidents_channel(server).send([a_notification(action="resolve")], "key", None)
        assert len(server.requests) == 1
    assert outcome == ("delivered", "there was no open incident to resolve", None, None)


def test_a_resolved_incident_counts_as_delivered() -> None:
    """A retry after a lost answer."""
    with scripted([IS_OVER]) as server:
        assert an_incidents_channel(server).send([a_notification(action="resolve")], "key", "Q1").status == "delivered"


@pytest.mark.parametrize("replies", [[503], [json_reply(200, {"incidents": [{"id": "Q9"}]}), 503]])
def test_a_failing_resolve_is_retried(replies: list[Any]) -> None:
    """Whichever of the two requests fails."""
    with scripted(replies) as server:
        assert an_incidents_channel(server).send([a_notification(action="resolve")], "key", None).status == "retry"


def test_a_webhook_gets_the_fields() -> None:
    """Instants as text, numbers as numbers, with an id that is also a header."""
    with scripted() as server:
        Webhook("hook", Secret(server.url), clock=lambda: NOON_US).send([a_notification()], "0192-key", None)
        (request,) = server.requests
    assert request.headers["claude-force-id"] == "0192-key"
    assert "claude-force-signature" not in request.headers
    sent = request.json()
    assert sent["id"] == "0192-key"
    assert sent["count"] == 1
    assert sent["text"] == "Claude Force Performance Alert - Low Success Rate"
    assert sent["notices"] == [
        {
            "rule": "success-rate",
            "title": "Low Success Rate",
            "summary": "Success rate dropped to 87.5%",
            "period": "Last 1 hour",
            "severity": "critical",
            "action": "trigger",
            "episode": "0192-success-rate",
            "store": "metrics.db",
            "host": "build-7",
            "labels": {"agent": "python-expert"},
            "details": {"success_rate": 87.5, "executions": 1234, "threshold": None},
            "began_at": "2025-11-01T12:26:40Z",
            "at": "2025-11-01T12:27:40Z",
        }
    ]


def test_a_webhook_is_signed() -> None:
    """HMAC-SHA256 over the timestamp and the body, computed by hand here (RFC 2104)."""
    with scripted() as server:
        Webhook("hook", Secret(server.url), Secret("s3cret"), clock=lambda: NOON_US).send(
            [a_notification()], "key", None
        )
        (request,) = server.requests
    timestamp = str(NOON_US // 1_000_000)
    assert request.headers["claude-force-timestamp"] == timestamp
    block = b"s3cret".ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + f"{timestamp}.".encode() + request.body).digest()
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()
    assert request.headers["claude-force-signature"] == f"sha256={outer}"


def test_the_page_shows_how_a_signature_is_verified() -> None:
    """The example in docs/how-to/alert-channels.md accepts what is sent, and nothing that was changed or is old."""
    page = (ROOT / "docs" / "how-to" / "alert-channels.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)  # the example itself is what is tested
    verify = names["verify"]
    with scripted() as server:
        Webhook("hook", Secret(server.url), Secret("s3cret")).send([a_notification()], "key", None)
        (request,) = server.requests
    headers = {"-".join(part.title() for part in name.split("-")): value for name, value in request.headers.items()}
    assert verify("s3cret", headers, request.body)
    assert not verify("other", headers, request.body)
    assert not verify("s3cret", headers, request.body + b" ")
    assert not verify("s3cret", headers | {"Claude-Force-Timestamp": "1762000000"}, request.body)
    old = "1762000000"
    stale = hmac.new(b"s3cret", old.encode() + b"." + request.body, "sha256").hexdigest()
    assert not verify(
        "s3cret", {"Claude-Force-Timestamp": old, "Claude-Force-Signature": f"sha256={stale}"}, request.body
    )
