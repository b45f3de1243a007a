"""Silences: a rule that notifies nobody for a while, although it is checked."""

from __future__ import annotations

from claude_force.alerts.budget_rules import rules_of
from claude_force.alerts.rules import DEFAULTS
from claude_force.clock import LATEST_US, parse_span
from claude_force.database.rows.alerts import Silence
from claude_force.database.workspace import Workspace
from claude_force.database.writes import alerts as writes
from claude_force.errors import SettingsError
from claude_force.settings.values import nearest


def silence_end(span: str, now_us: int) -> int:
    """When a silence of a length such as 2h ends. Raises ValueError for what is no length of time."""
    until_us = now_us + parse_span(span)
    if not now_us < until_us < LATEST_US:
        raise ValueError("give a length of time such as 30m, 2h or 1d")
    return until_us


def silence_rule(workspace: Workspace, silence: Silence) -> None:
    """Silence a rule; replaces an earlier silence of it. Raises SettingsError for a rule that does not exist, and
    DatabaseError."""
    _refuse_unknown(workspace, silence.name)
    with workspace.database.write() as connection:
        writes.silence(connection, silence)


def end_silence(workspace: Workspace, name: str) -> bool:
    """End the silence of a rule; returns whether there was one. Raises SettingsError if there was none and the rule
    does not exist, and DatabaseError."""
    with workspace.database.write() as connection:
        was_silenced = writes.unsilence(connection, name)
    if not was_silenced:
        _refuse_unknown(workspace, name)
    return was_silenced


def _refuse_unknown(workspace: Workspace, name: str) -> None:
    known = dict.fromkeys([*rules_of(workspace.settings), *DEFAULTS])
    if name not in known:
        raise SettingsError(f"no alert rule {name}{nearest(name, known)}")
