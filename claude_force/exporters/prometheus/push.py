"""Prometheus: metrics to a Pushgateway, or to a file that the node exporter reads.

A push replaces all series of its group (a job and an instance). It sends gauges of a window and totals of the database,
so nothing of an earlier push is needed. A gateway never deletes a group by itself; `delete` does.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from claude_force.clock import HOUR_US, Now, parse_span
from claude_force.database.contract import Database, Progress
from claude_force.executions.origin import host_name
from claude_force.exporters.base import PushError, PushResult, require
from claude_force.exporters.metrics import read_exposition
from claude_force.files import replacing
from claude_force.network.connection import PATIENCE, Patience
from claude_force.network.http import Request, exchange
from claude_force.network.redaction import Secret, redact_urls
from claude_force.settings.fields import Fields, Known

FIELDS: Known = dict.fromkeys(("gateway", "textfile", "job", "instance", "window"))

GATEWAY = "http://localhost:9091"
JOB = "claude_force"
SUFFIX = ".prom"
"""The node exporter reads only these files."""

LIBRARY, EXTRA = "prometheus_client", "prometheus"

_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.~-]*")
_FILE_MODE = 0o644
"""Readable by all: the node exporter runs as another user."""


@dataclass(frozen=True, slots=True)
class Group:
    """The series on a Pushgateway that a push replaces."""

    gateway: str
    job: str
    instance: str
    patience: Patience = PATIENCE

    @property
    def url(self) -> str:
        """The URL of the group."""
        return f"{self.gateway.rstrip('/')}/metrics/{_segment('job', self.job)}/{_segment('instance', self.instance)}"

    def send(self, method: str, body: bytes = b"", content_type: str | None = None) -> None:
        """PUT or DELETE the group. Raises PushError."""
        password = urlsplit(self.gateway).password
        secrets = (Secret(password),) if password else ()
        headers = {"Content-Type": content_type} if content_type else {}
        request = Request(method, Secret(self.url), body, headers, secrets, is_public=True)
        outcome = exchange(request, self.patience).outcome
        if outcome.status != "delivered":
            raise PushError(f"the Pushgateway did not take it: {outcome.problem}")


@dataclass(frozen=True, slots=True)
class PrometheusExporter:
    """Pushes gauges of the last `window_us`, and the totals, to a group or to a file."""

    to: Group | Path
    window_us: int = HOUR_US

    @property
    def destination(self) -> str:
        """The receiver's address, without secrets."""
        return str(self.to) if isinstance(self.to, Path) else redact_urls(self.to.gateway)

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> PushResult:  # noqa: ARG002
        """Send the metrics, in one request without progress. See `Exporter`."""
        require(LIBRARY, EXTRA)
        from claude_force.exporters.prometheus.text_format import CONTENT_TYPE, encode

        found = read_exposition(database, now(), self.window_us)
        text = encode(found)
        if isinstance(self.to, Path):
            _write(self.to, text)
        else:
            self.to.send("PUT", text, CONTENT_TYPE)
        return PushResult("Metrics exported to Prometheus", self.destination, {"series": found.series}, found.remarks)

    def delete(self) -> PushResult:
        """Delete the group, or the file. Raises PushError."""
        if isinstance(self.to, Path):
            _remove(self.to)
            return PushResult("File removed", self.destination, {})
        self.to.send("DELETE")
        return PushResult("Metrics deleted from the Pushgateway", self.destination, {})


def exporter_from(fields: Fields) -> PrometheusExporter:
    """The exporter that the fields describe."""
    gateway, textfile = fields.text("gateway", ""), fields.text("textfile", "")
    if gateway and textfile:
        fields.problem("gateway", "and textfile exclude each other; remove one of them")
    window_us = _window_us(fields)
    if textfile:
        path = fields.file("textfile")
        assert path is not None
        if path.suffix != SUFFIX:
            fields.problem("textfile", f"must end in {SUFFIX}: the node exporter reads no other file")
        return PrometheusExporter(path, window_us)
    # prometheus_client takes a host without a scheme, so existing cron jobs may have one.
    gateway = gateway if "://" in gateway else f"http://{gateway}" if gateway else GATEWAY
    fields.check_url("gateway", gateway, is_private=False)
    if "?" in gateway or "#" in gateway:
        fields.problem("gateway", "must end with the path, without ? and #")
    job, instance = fields.text("job", JOB), fields.text("instance", host_name() or "")
    if not job:
        fields.problem("job", "is empty; a Pushgateway needs a job")
    return PrometheusExporter(Group(gateway, job, instance), window_us)


def _window_us(fields: Fields) -> int:
    text = fields.text("window", "1h")
    try:
        found = parse_span(text)
    except ValueError:
        found = 0
    if not found:
        fields.problem("window", 'must be a length of time such as "15m", "1h" or "1d"')
    return found


def _segment(label: str, value: str) -> str:
    """A label of the group as part of the path. A value that a path cannot hold is written in base64, an empty one as
    a single "=" (pushgateway README, section URL)."""
    if _PLAIN_SEGMENT.fullmatch(value):
        return f"{label}/{value}"
    encoded = urlsafe_b64encode(value.encode()).decode().rstrip("=")
    return f"{label}@base64/{encoded or '='}"


def _write(path: Path, text: bytes) -> None:
    try:
        with replacing(path, _FILE_MODE) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(text)
    except OSError as error:
        raise PushError(f"{path} cannot be written: {error.strerror}") from None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise PushError(f"{path} cannot be removed: {error.strerror}") from None
