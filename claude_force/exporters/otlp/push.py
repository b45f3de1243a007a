"""OpenTelemetry: the figures of the store as metrics, by OTLP over HTTP.

Everything is sent at every push, as cumulative points (see `otlp_points`), so that nothing is kept about what was sent.
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
from claude_force.exporters.base import Pushed, PushError, require
from claude_force.network.connection import Patience
from claude_force.network.secret import Secret
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
"""The standard variables of OpenTelemetry that say a field (specification, "OpenTelemetry Protocol Exporter")."""

DEFAULT_ENDPOINT = "http://localhost:4318"
_PATH = "/v1/metrics"

PATIENCE = Patience(step_s=10.0, overall_s=10.0)
"""All attempts together take no longer than OpenTelemetry's default for an export."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WORD_LENGTH = 8
"""The length from which a word of a header is hidden by itself, as when an answer quotes a token without "Bearer"."""

_INSTANCES = UUID("4d63009a-8d0f-11ee-aad7-4c796ed8e320")
"""The namespace that the conventions give for a `service.instance.id` made of what an instance is."""


@dataclass(frozen=True, slots=True)
class Otlp:
    """A receiver of OTLP."""

    url: Secret
    headers: Mapping[str, Secret]
    ca_file: Path | None = None
    patience: Patience = PATIENCE

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> Pushed:
        """Send what the store comes to. See `Target`."""
        require("opentelemetry.exporter.otlp.proto.http", "otel")
        from claude_force.exporters.otlp import points as otlp_points
        from claude_force.exporters.otlp import transport as otlp_transport

        with database.read() as connection:
            figures = otlp_points.read_figures(connection)
        data = otlp_points.metrics_data(figures, now(), _resource(database))
        outcome = otlp_transport.send(data, self._destination(), self.patience)
        if outcome.status != "delivered":
            raise PushError(f"OpenTelemetry: {outcome.problem}")
        if progress is not None:
            progress(figures.executions)
        counts = {"executions": figures.executions, "points": otlp_points.count_points(data)}
        if figures.nameless:
            counts["names_merged"] = figures.nameless
        remarks = () if outcome.problem is None else (outcome.problem,)
        return Pushed("Metrics exported to OpenTelemetry", _shown(self.url.reveal()), counts, remarks)

    def _destination(self) -> Destination:
        from claude_force.exporters.otlp.transport import Destination

        headers = {name: value.reveal() for name, value in self.headers.items()}
        words = [word for value in headers.values() for word in value.split() if len(word) >= _WORD_LENGTH]
        return Destination(self.url, headers, (*self.headers.values(), *map(Secret, words)), self.ca_file)


def target(fields: Fields) -> Otlp:
    """The receiver that the fields describe."""
    url = fields.text("endpoint", DEFAULT_ENDPOINT)
    fields.check_url("endpoint", url, is_private=fields.has("headers"))
    if fields.given.get("endpoint") != f"${{{_WHOLE_ENDPOINT}}}":
        url = url.rstrip("/").removesuffix(_PATH) + _PATH
    headers = _headers(fields) if fields.has("headers") else {}
    return Otlp(Secret(url), headers, fields.authority())


def _headers(fields: Fields) -> dict[str, Secret]:
    """The headers of `name=value,name=value`, values percent-encoded where need be, as OpenTelemetry writes them."""
    found = {}
    for pair in filter(str.strip, fields.secret("headers").reveal().split(",")):
        name, equals, value = (part.strip() for part in pair.partition("="))
        value = unquote(value)
        if not equals or not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            fields.problem("headers", "must be name=value, several with commas between them")
            return {}
        found[name.lower()] = Secret(value)
    return found


def _shown(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _resource(database: Database) -> dict[str, str]:
    """Who sends: always the same for a database on a machine, so that series go on after a restart."""
    host = host_name() or ""
    store = os.path.realpath(database.name) if database.dialect == "sqlite" else database.name
    known = {
        "service.name": "claude-force",
        "service.version": version("claude-force"),
        "service.instance.id": str(uuid5(_INSTANCES, f"{host}\n{store}")),
        "host.name": sanitize(host),
    }
    return {name: value for name, value in known.items() if value}
