"""claude.json: whether it can be read, by whom, and whether all that it says means something."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from claude_force.alerts.channels import settings as channel_settings
from claude_force.database.workspace import Workspace
from claude_force.doctor.findings import Finding, note, ok, problem
from claude_force.exporters import settings as exporter_settings
from claude_force.settings.claude_json import KEYS, SECTION, read_file, unknown_key
from claude_force.settings.fields import REFERENCE
from claude_force.settings.location import without_password

_SECRET_NAME = re.compile(r"(token|secret|password|passwd|api_?key|routing_?key)$", re.IGNORECASE)


def keys(file: Path) -> Iterator[Finding]:
    """Keys of ours that do not exist."""
    found = [key for name in read_file(file).get(SECTION, {}) if (key := f"{SECTION}.{name}") not in KEYS]
    for key in found:
        yield note("settings", f"claude.json: {unknown_key(key)}", f"claude-force config unset {shlex.quote(key)}")
    if not found:
        yield ok("settings", f"{file} is understood" if file.exists() else "there is no claude.json: defaults hold")


def secrets(workspace: Workspace) -> Iterator[Finding]:
    """Whether others can read a secret in claude.json."""
    file = workspace.home.settings_file
    if not file.exists():
        return
    mode = file.stat().st_mode
    holds_targets = bool(workspace.settings.channels or workspace.settings.exporters)
    is_secret = _holds_secret(read_file(file))
    close = f"chmod 600 {shlex.quote(str(file))}"
    if mode & 0o077 and is_secret:
        yield problem("secrets", f"{file} holds what may be a secret, and others can read it", close)
    elif mode & 0o077 and holds_targets:
        yield note("secrets", f"{file} says where alerts and figures go, and others can read it", close)
    else:
        yield ok("secrets", "no secret is where others can read it")


def _holds_secret(content: Mapping[str, Any]) -> bool:
    """Whether something in claude.json, ours or another program's, is not to be shown."""
    section = content.get(SECTION)
    ours = section if isinstance(section, dict) else {}
    channels, exporters = (
        found if isinstance(found := ours.get(name), dict) else {} for name in ("channels", "exporters")
    )
    known = {kind: given for kind, given in exporters.items() if kind in exporter_settings.KINDS}
    return (
        channel_settings.shown(channels) != channels
        or exporter_settings.shown(known) != known
        or any(_is_secret(name, value) for name, value in _texts("", content))
    )


def _is_secret(name: str, value: str) -> bool:
    if "://" in value:
        return without_password(value) != value
    return bool(value and _SECRET_NAME.search(name) and not REFERENCE.fullmatch(value))


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, with the name of its field."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for field, part in value.items():
            yield from _texts(field, part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(name, part)
