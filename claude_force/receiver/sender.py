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
        service=said(resource, "service.name") or SERVICE_UNKNOWN,
        version=said(resource, "service.version"),
        scope=source.scope,
        project=said(resource, "project", PROJECT_LIMIT) or said(resource, "vcs.repository.name", PROJECT_LIMIT),
        agent=said(resource, "agent"),
        session=said(resource, "session.id"),
        run=said(resource, RUN),
        label=said(resource, LABEL),
    )


def said(attributes: Attributes, name: str, limit: int = NAME_LIMIT) -> str | None:
    """A text; None if it is not there, or impossible."""
    try:
        return text(attributes, name, limit)
    except Unusable:
        return None
