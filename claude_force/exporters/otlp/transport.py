"""How the SDK's exporter talks: it encodes, compresses and retries, and every attempt is one of `network.http`.

So what holds for all that claude-force sends holds here: certificates are verified, a redirect is not followed, no
proxy and no login comes from the environment, an answer is read to 64 KiB, and a verdict has no secret in it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics.export import MetricsData

from claude_force.network.connection import Patience
from claude_force.network.http import Answer, Request, exchange
from claude_force.network.outcome import Outcome, conclude
from claude_force.network.secret import Secret

_NOTHING_SENT = (
    "nothing was sent: its exporter does not take the endpoint, or a variable OTEL_EXPORTER_OTLP_... that is set"
)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where metrics go: the whole URL, and what is sent with them."""

    url: Secret
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[Secret, ...]
    ca_file: Path | None


def send(data: MetricsData, destination: Destination, patience: Patience) -> Outcome:
    """Export the data, with the SDK's own retries, within `patience.overall_s`. The problem of a delivery is what the
    receiver warns of."""
    carrier = _Carrier(destination, patience)
    session = requests.Session()
    session.trust_env = False
    session.headers.clear()
    session.mount("https://", carrier)
    session.mount("http://", carrier)
    # ValueError is how some releases refuse a variable of theirs; what else happens is in the outcome.
    with _silence(), suppress(requests.RequestException, ValueError):
        exporter = OTLPMetricExporter(
            endpoint=destination.url.reveal(),
            headers=dict(destination.headers),
            timeout=patience.overall_s,
            session=session,
        )
        exporter.export(data)
    return carrier.outcome


class _Carrier(requests.adapters.BaseAdapter):
    """Carries requests of a session. `outcome` is that of the last one; it lasts no longer than the patience."""

    def __init__(self, destination: Destination, patience: Patience) -> None:
        super().__init__()
        self.outcome = conclude("failed", _NOTHING_SENT)
        self._destination = destination
        self._patience = patience
        self._ends = time.monotonic() + patience.overall_s

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Raises ConnectionError where another attempt may go better, and RequestException where it would not."""
        asked = self._asked(request)
        left_s = round(self._ends - time.monotonic(), 1)
        if left_s <= 0:
            raise requests.RequestException
        answer = exchange(asked, Patience(min(self._patience.step_s, left_s), left_s))
        self.outcome = _outcome_of(asked, answer)
        if answer.status is None:
            raise (requests.ConnectionError if self.outcome.status == "retry" else requests.RequestException)
        return _response(request, answer)

    def close(self) -> None:
        """Nothing is kept open."""

    def _asked(self, request: requests.PreparedRequest) -> Request:
        headers = {name: str(value) for name, value in request.headers.items() if name.lower() != "user-agent"}
        assert isinstance(request.body, bytes)
        return Request(
            "POST",
            self._destination.url,
            request.body,
            headers,
            self._destination.secrets,
            self._destination.ca_file,
        )


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    """An answer as the exporter reads it: by its status, and how long it asks to wait."""
    response = requests.Response()
    response.status_code = answer.status or 0
    response.request = request
    response.raw = BytesIO(answer.body)
    if answer.outcome.retry_after_s is not None:
        response.headers["Retry-After"] = str(answer.outcome.retry_after_s)
    return response


def _outcome_of(asked: Request, answer: Answer) -> Outcome:
    """The verdict, with what the receiver says in protobuf: google.rpc.Status where it refuses, and how many points it
    left out of those it took (OTLP specification, "Failures" and "Partial Success")."""
    outcome = answer.outcome
    if outcome.status == "delivered":
        return _taken(asked, answer.body)
    try:
        said = Status.FromString(answer.body).message
    except DecodeError:
        return outcome
    if not said:
        return outcome
    problem = f"{asked.host} answered {answer.status}: {said}"
    return conclude(outcome.status, problem, asked.hidden, outcome.retry_after_s)


def _taken(asked: Request, body: bytes) -> Outcome:
    try:
        partial = ExportMetricsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Outcome("delivered")
    rejected, said = partial.rejected_data_points, partial.error_message
    if rejected:
        return conclude(
            "failed", f"{asked.host} rejected {rejected:,} data points: {said or 'no reason given'}", asked.hidden
        )
    return conclude("delivered", f"{asked.host} warns: {said}", asked.hidden) if said else Outcome("delivered")


@contextmanager
def _silence() -> Iterator[None]:
    """What the SDK logs is in the verdict already, or quotes headers; none of it is shown meanwhile."""
    logger, nobody = logging.getLogger("opentelemetry"), logging.NullHandler()
    propagates = logger.propagate
    logger.addHandler(nobody)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagates
        logger.removeHandler(nobody)
