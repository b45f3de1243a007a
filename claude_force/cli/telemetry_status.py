"""`telemetry status`: what is sent where, whether somebody receives it, and what came."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from claude_force import clock
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.database.queries.telemetry import telemetry_kinds
from claude_force.database.rows.telemetry import TelemetryKind
from claude_force.errors import ClaudeForceError
from claude_force.formatting import age, count
from claude_force.ingest.spool_files import telemetry_folders
from claude_force.receiver.probe import is_healthy, stranger_at
from claude_force.receiver.storing import storing
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table, write_page
from claude_force.settings.agent_settings import agent_settings_file, read_variables
from claude_force.settings.telemetry_variables import ENDPOINT, PROTOCOL

_SWITCH = "CLAUDE_CODE_ENABLE_TELEMETRY"


class _Sending(NamedTuple):
    """What Claude Code is told: by its settings.json, else by the variables of this shell. `origin` is which of them
    names the endpoint."""

    file: Path
    origin: str
    is_on: bool
    endpoint: str | None
    protocol: str | None


def show_status(location: str | None, *, as_json: bool) -> None:
    """Print the status."""
    workspace = find_workspace(location, may_be_missing=True)
    now_us = clock.now_us()
    with suppress(ClaudeForceError, OSError):
        # If it cannot be stored now, the status shows what is.
        storing(lambda: workspace, telemetry_folders(workspace.location, workspace.home.metrics_folder))()
    file = agent_settings_file(os.environ)
    sending = _sending(file, read_variables(file))
    problem = _problem_of(sending.endpoint) if sending.endpoint else None
    with workspace.database.read() as connection:
        kinds = telemetry_kinds(connection)
    if as_json:
        click.echo(json.dumps(_as_dict(sending, problem, kinds), indent=2))
        return
    write_page(_page(sending, problem, kinds, now_us), sys.stdout)


def _sending(file: Path, told: Mapping[str, str]) -> _Sending:
    variables = {**os.environ, **told}
    origin = str(file) if told.get(ENDPOINT) else f"{ENDPOINT} of this shell"
    endpoint = variables.get(ENDPOINT) or None
    is_on = variables.get(_SWITCH, "") not in ("", "0", "false") and endpoint is not None
    return _Sending(file, origin, is_on, endpoint, variables.get(PROTOCOL))


def _problem_of(endpoint: str) -> str | None:
    """Why an endpoint does not receive for this user; None if it does."""
    problem, parts = is_healthy(endpoint), urlsplit(endpoint)
    is_here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    stranger = stranger_at(parts.port or 80) if is_here else None
    return problem if stranger is None else f"it is {stranger}"


def _page(sending: _Sending, problem: str | None, kinds: list[TelemetryKind], now_us: int) -> Page:
    page = Page("Telemetry", [Section(None, list(_lines(sending, problem)))])
    if kinds:
        columns = (
            Column("Record", "name"), Column("Program", "name"), Column("Version", "text"), Column("Last", "text"),
            Column("Records"), Column("Not used, because", "name"),
        )  # fmt: skip
        page.parts.append(Table(columns, [_row(kind, now_us) for kind in kinds]))
    else:
        page.parts.append(Section(None, ["Nothing has come yet."]))
    return page


def _lines(sending: _Sending, problem: str | None) -> Iterator[str]:
    if not sending.is_on or sending.endpoint is None:
        yield "Claude Code sends no telemetry: claude-force telemetry setup"
        return
    protocol = f" ({sending.protocol})" if sending.protocol else ""
    yield f"Claude Code sends to {sending.endpoint}{protocol}, as {sending.origin} says"
    if problem is None:
        yield "It answers."
        return
    yield f"It does not receive: {problem}"
    yield "Start it: claude-force scheduler start --detach, or claude-force receive"
    yield "Another port or address: claude-force telemetry setup"


def _row(kind: TelemetryKind, now_us: int) -> list[str]:
    last = age(max(0, now_us - kind.last_us) // clock.SECOND_US)
    return [kind.name, kind.service, kind.version, last, count(kind.records), kind.ignored]


def _as_dict(sending: _Sending, problem: str | None, kinds: list[TelemetryKind]) -> dict[str, Any]:
    zone = clock.local_zone()
    return {
        "settings_file": str(sending.file),
        "enabled": sending.is_on,
        "endpoint": sending.endpoint,
        "protocol": sending.protocol,
        "receives": None if sending.endpoint is None else problem is None,
        "problem": problem,
        "kinds": [
            {
                "host": kind.host,
                "service": kind.service,
                "name": kind.name,
                "version": kind.version,
                "last": clock.format_instant(kind.last_us, zone),
                "records": kind.records,
                "ignored": kind.ignored or None,
            }
            for kind in kinds
        ],
    }
