"""Whether a receiver answers, asked as a client would, with one record; and whose it is."""

from __future__ import annotations

import json
import os
import socket

from claude_force.network.connection import Patience
from claude_force.network.http import Request, exchange
from claude_force.network.redaction import Secret

_PATIENCE = Patience(step_s=2.0, overall_s=4.0)


def send_test(address: str, token: str | None, now_us: int) -> str | None:
    """Send a record that says only that it is a test. Returns None if the receiver has it, otherwise the problem."""
    attributes = [{"key": "event.name", "value": {"stringValue": "telemetry_test"}}]
    record = {"timeUnixNano": str(now_us * 1000), "body": {"stringValue": "test"}, "attributes": attributes}
    service = [{"key": "service.name", "value": {"stringValue": "claude-force"}}]
    body = {"resourceLogs": [{"resource": {"attributes": service}, "scopeLogs": [{"logRecords": [record]}]}]}
    return _problem_of("POST", f"{address}/v1/logs", token, json.dumps(body).encode())


def is_healthy(address: str) -> str | None:
    """None if a receiver answers and can keep records, otherwise the problem."""
    return _problem_of("GET", f"{address}/healthz", None, b"")


def stranger_at(port: int) -> str | None:
    """Who else listens on a port of this machine: "the receiver of another user" or "another program". None if nobody
    does, or a receiver of this user."""
    answer = exchange(Request("GET", Secret(f"http://127.0.0.1:{port}/healthz"), is_public=True), _PATIENCE)
    if answer.status is None and not _is_taken(port):
        return None
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or "healthy" not in said:
        return "another program"
    return None if said.get("uid") == os.getuid() else "the receiver of another user"


def _is_taken(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE.step_s):
            return True
    except OSError:
        return False


def _problem_of(method: str, url: str, token: str | None, body: bytes) -> str | None:
    headers = {"Content-Type": "application/json"}
    secrets = (Secret(token),) if token else ()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    answer = exchange(Request(method, Secret(url), body, headers, secrets, is_public=True), _PATIENCE)
    return None if answer.outcome.status == "delivered" else answer.outcome.problem
