"""Who sent a group of records, as signals say it. Worked out once for a group."""

from __future__ import annotations

from typing import NamedTuple

from claude_force.executions.record import NAME_LIMIT, PROJECT_LIMIT
from claude_force.receiver.records import Attributes, Source
from claude_force.receiver.values import Unusable, text
from claude_force.settings.telemetry_variables import LABEL, RUN

SERVICE_UNKNOWN = "unknown_service"
"""The service of a program that does not say its name; the same word as in OpenTelemetry's SDKs."""


class Sender(NamedTuple):
    """The program, and what its user set for all of its records by OTEL_RESOURCE_ATTRIBUTES. `agent` is the name of the
    main conversation's agent. `run` is that of `claude-force run`."""

    service: str
    version: str | None
    scope: str
    project: str | None
    agent: str | None
    session: str | None
    run: str | None
    label: str | None


def sender_of(source: Source) -> Sender:
    """The sender of records. What it says of itself and is impossible counts as not said: the records are good."""
    resource = source.resource
    return Sender(
        service=_said(resource, "service.name") or SERVICE_UNKNOWN,
        version=_said(resource, "service.version"),
        scope=source.scope,
        project=_said(resource, "project", PROJECT_LIMIT) or _said(resource, "vcs.repository.name", PROJECT_LIMIT),
        agent=_said(resource, "agent"),
        session=_said(resource, "session.id"),
        run=_said(resource, RUN),
        label=_said(resource, LABEL),
    )


def _said(attributes: Attributes, name: str, limit: int = NAME_LIMIT) -> str | None:
    try:
        return text(attributes, name, limit)
    except Unusable:
        return None
