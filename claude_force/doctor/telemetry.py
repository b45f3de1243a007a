"""Checks of telemetry: whether it still comes, and what is ignored of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from claude_force.clock import DAY_US, HOUR_US, SECOND_US
from claude_force.database.queries.telemetry import newest_on_host, telemetry_kinds
from claude_force.database.rows.telemetry import TelemetryKind
from claude_force.database.workspace import Workspace
from claude_force.doctor.findings import Finding, note, ok
from claude_force.doctor.text import format_minute
from claude_force.executions.origin import host_name
from claude_force.executions.record import CLAUDE_CODE
from claude_force.formatting import age, quantity
from claude_force.receiver import claude_code, conventions, mapping, other_agents

SILENT_US = HOUR_US
"""Claude Code sends within seconds, so an execution that is so much newer than the last telemetry was not sent."""

IGNORED_SHOWN_US = 7 * DAY_US
"""What was ignored is reported for this long."""

_STATUS = "claude-force telemetry status"
_BY_DESIGN = frozenset((
    mapping.UNREAD, claude_code.NO_REQUEST, conventions.NO_REQUEST, conventions.NO_MODEL, other_agents.NO_REQUEST,
    other_agents.SEEN_ALREADY,
))  # fmt: skip
"""Why records are ignored that say nothing which is needed."""


def check_telemetry(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """Telemetry of Claude Code that stopped although it works on, and records that are ignored."""
    host = host_name() or ""
    with workspace.database.read() as connection:
        kinds = telemetry_kinds(connection, host)
        newest_us = newest_on_host(connection, host, CLAUDE_CODE)
    used = [kind for kind in kinds if not kind.ignored]
    yield from _check_silence(used, newest_us)
    if used:
        last, records = used[0], sum(kind.records for kind in used)
        since = age(max(now_us - last.last_us, 0) // SECOND_US)
        yield ok("telemetry", f"{quantity(records, 'record')} came, the last from {_sender(last)}, {since}")
    else:
        yield ok("telemetry", "none came to this machine")
    yield from _ignored([kind for kind in kinds if kind.ignored and now_us - kind.last_us <= IGNORED_SHOWN_US])


def _check_silence(used: Iterable[TelemetryKind], newest_us: int | None) -> Iterator[Finding]:
    """A note if Claude Code sent before, and has executions since that it did not send."""
    sent = [kind.last_us for kind in used if kind.service.startswith(CLAUDE_CODE)]
    if sent and newest_us is not None and newest_us - max(sent) > SILENT_US:
        text = (
            f"Claude Code stopped sending: its last record is from {format_minute(max(sent))}, its newest execution "
            f"from {format_minute(newest_us)}; what no transcript has since is missing"
        )
        yield note("telemetry", text, _STATUS)


def _sender(kind: TelemetryKind) -> str:
    return f"{kind.service} {kind.version}".strip()


def _ignored(kinds: Iterable[TelemetryKind]) -> Iterator[Finding]:
    """Records that are ignored, by reason. One that is needed and could not be used is a note."""
    by_reason: dict[str, list[TelemetryKind]] = {}
    for kind in kinds:
        by_reason.setdefault(kind.ignored, []).append(kind)
    for reason, found in sorted(by_reason.items()):
        names = sorted({f"{kind.service}: {kind.name}" for kind in found})
        more = f" and {quantity(len(names) - 1, 'other kind')}" if len(names) > 1 else ""
        text = f"{quantity(sum(kind.records for kind in found), 'record')} ignored ({names[0]}{more}): {reason}"
        yield ok("telemetry", text) if reason in _BY_DESIGN else note("telemetry", text, _STATUS)
