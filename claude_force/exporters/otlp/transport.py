"""Sends an OTLP request over HTTP, with retries, and reads the verdict of the receiver.

Every attempt is one `network.http.exchange`: certificates are verified, a redirect is not followed, no proxy or login
comes from the environment, at most 64 KiB of an answer are read, and no message holds a secret.
"""

from __future__ import annotations

import gzip
import random
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from claude_force.network.connection import Patience
from claude_force.network.http import Answer, Request, exchange
from claude_force.network.outcome import Outcome, conclude
from claude_force.network.redaction import Secret

COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}

_RETRYABLE = (None, 429, 502, 503, 504)
"""The statuses after which a client may retry (OTLP specification, "Retryable Response Codes"), and no answer at
all."""

_FIRST_PAUSE_S = 1.0
"""Doubled for each further attempt, and varied by a fifth, so that many clients do not return at the same moment."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where metrics go: the full URL, the headers, the secrets in them, and the compression ("" for none)."""

    url: Secret
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[Secret, ...]
    ca_file: Path | None
    compression: str = ""


def send(metrics: ExportMetricsServiceRequest, destination: Destination, patience: Patience) -> Outcome:
    """Send metrics. All attempts and the pauses between them take at most `patience.overall_s`. A delivery may have a
    problem: a warning of the receiver."""
    request = _request(metrics, destination)
    ends_s = time.monotonic() + patience.overall_s
    pause_s = _FIRST_PAUSE_S
    while True:
        left_s = max(ends_s - time.monotonic(), 0.1)
        answer = exchange(request, Patience(min(patience.step_s, left_s), round(left_s, 1)))
        outcome = _outcome_of(request, answer)
        if outcome.status != "retry" or answer.status not in _RETRYABLE:
            return outcome
        wait_s = outcome.retry_after_s
        if wait_s is None:
            wait_s = pause_s * random.uniform(0.8, 1.2)  # noqa: S311  (no secret depends on it)
        if time.monotonic() + wait_s >= ends_s:
            return outcome
        time.sleep(wait_s)
        pause_s *= 2


def _request(metrics: ExportMetricsServiceRequest, destination: Destination) -> Request:
    headers = {**destination.headers, "Content-Type": "application/x-protobuf"}
    body = metrics.SerializeToString()
    if destination.compression:
        headers["Content-Encoding"] = destination.compression
        body = COMPRESSIONS[destination.compression](body)
    return Request("POST", destination.url, body, headers, destination.secrets, destination.ca_file)


def _outcome_of(request: Request, answer: Answer) -> Outcome:
    """The verdict, with the message of the receiver if it sent one in protobuf: google.rpc.Status for a refusal, or the
    points that it rejected (OTLP specification, "Failures" and "Partial Success")."""
    outcome = answer.outcome
    if outcome.status == "delivered":
        return _accepted(request, answer.body)
    try:
        message = Status.FromString(answer.body).message
    except DecodeError:
        return outcome
    if not message:
        return outcome
    problem = f"{request.host} answered {answer.status}: {message}"
    return conclude(outcome.status, problem, request.hidden, outcome.retry_after_s)


def _accepted(request: Request, body: bytes) -> Outcome:
    try:
        partial = ExportMetricsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Outcome("delivered")
    rejected, message = partial.rejected_data_points, partial.error_message
    if rejected:
        problem = f"{request.host} rejected {rejected:,} data points: {message or 'no reason given'}"
        return conclude("failed", problem, request.hidden)
    if message:
        return conclude("delivered", f"{request.host} warns: {message}", request.hidden)
    return Outcome("delivered")
