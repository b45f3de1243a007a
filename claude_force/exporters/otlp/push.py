"""OpenTelemetry: the figures of the store as metrics, by OTLP over HTTP.

Every push sends everything as cumulative points (see `points`), so nothing is stored about what was sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid5

from claude_force.clock import Now
from claude_force.database.contract import Database, Progress
from claude_force.executions.origin import host_name
from claude_force.exporters.base import PushError, PushResult, require
from claude_force.network.connection import Patience
from claude_force.network.redaction import Secret
from claude_force.settings.fields import Fields, Known
from claude_force.text import sanitize

if TYPE_CHECKING:
    from claude_force.exporters.otlp.transport import Destination

FIELDS: Known = {"endpoint": None, "headers": "OTEL_EXPORTER_OTLP_HEADERS", "ca_file": None}

_WHOLE_ENDPOINT = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "endpoint": (_WHOLE_ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    "headers": ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
    "ca_file": ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
}
"""The standard variables of OpenTelemetry that set a field (specification, "OpenTelemetry Protocol Exporter")."""

_COMPRESSION = ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")

DEFAULT_ENDPOINT = "http://localhost:4318"
_PATH = "/v1/metrics"

PATIENCE = Patience(step_s=10.0, overall_s=10.0)
"""All attempts together take at most OpenTelemetry's default timeout for an export."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WORD_LENGTH = 8
"""Words of a header from this length on are hidden by themselves: an answer may quote a token without "Bearer"."""

_INSTANCES = UUID("4d63009a-8d0f-11ee-aad7-4c796ed8e320")
"""The namespace that the conventions specify for a `service.instance.id` derived from a name."""


@dataclass(frozen=True, slots=True)
class OtlpExporter:
    """Pushes to a receiver of OTLP."""

    url: Secret
    headers: Mapping[str, Secret]
    ca_file: Path | None = None
    patience: Patience = PATIENCE

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> PushResult:
        """Send the figures of the store. See `Exporter`."""
        require("opentelemetry.proto", "otel")
        from claude_force.exporters.otlp.points import count_points, read_figures, request_of
        from claude_force.exporters.otlp.transport import send

        with database.read() as connection:
            figures = read_figures(connection)
        request = request_of(figures, now(), _resource(database))
        outcome = send(request, self._destination(), self.patience)
        if outcome.status != "delivered":
            raise PushError(f"OpenTelemetry: {outcome.problem}")
        if progress is not None:
            progress(figures.executions)
        counts = {"executions": figures.executions, "points": count_points(request)}
        if figures.overflow:
            counts["names_merged"] = figures.overflow
        remarks = () if outcome.problem is None else (outcome.problem,)
        return PushResult("Metrics exported to OpenTelemetry", _shown(self.url.reveal()), counts, remarks)

    def _destination(self) -> Destination:
        from claude_force.exporters.otlp.transport import Destination

        headers = {name: value.reveal() for name, value in self.headers.items()}
        words = [word for value in headers.values() for word in value.split() if len(word) >= _WORD_LENGTH]
        secrets = (*self.headers.values(), *map(Secret, words))
        return Destination(self.url, headers, secrets, self.ca_file, _compression())


def exporter_from(fields: Fields) -> OtlpExporter:
    """The exporter that the fields describe."""
    url = fields.text("endpoint", DEFAULT_ENDPOINT)
    fields.check_url("endpoint", url, is_private=fields.has("headers"))
    if fields.given.get("endpoint") != f"${{{_WHOLE_ENDPOINT}}}":
        url = url.rstrip("/").removesuffix(_PATH) + _PATH
    headers = _headers(fields) if fields.has("headers") else {}
    return OtlpExporter(Secret(url), headers, fields.authority())


def _headers(fields: Fields) -> dict[str, Secret]:
    """The headers in `name=value,name=value`, values percent-encoded, which is OpenTelemetry's notation."""
    found = {}
    for pair in filter(str.strip, fields.secret("headers").reveal().split(",")):
        name, equals, value = (part.strip() for part in pair.partition("="))
        value = unquote(value)
        if not equals or not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            fields.problem("headers", "must be name=value, several with commas between them")
            return {}
        found[name.lower()] = Secret(value)
    return found


def _compression() -> str:
    """The compression that the standard variables set; "" for none."""
    from claude_force.exporters.otlp.transport import COMPRESSIONS

    name = next((variable for variable in _COMPRESSION if os.environ.get(variable)), "")
    value = os.environ.get(name, "none").strip().lower()
    if value not in ("none", *COMPRESSIONS):
        raise PushError(f"OpenTelemetry: {name} must be none, {' or '.join(COMPRESSIONS)}, not {sanitize(value, 40)!r}")
    return "" if value == "none" else value


def _shown(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _resource(database: Database) -> dict[str, str]:
    """The attributes of the sender. They are always the same for a database on a machine, so that its series continue
    after a restart."""
    host = host_name() or ""
    store = os.path.realpath(database.name) if database.dialect == "sqlite" else database.name
    known = {
        "service.name": "claude-force",
        "service.version": version("claude-force"),
        "service.instance.id": str(uuid5(_INSTANCES, f"{host}\n{store}")),
        "host.name": sanitize(host),
    }
    return {name: value for name, value in known.items() if value}
