"""Checks of claude.json: unknown keys, and secrets that others can read. `settings` itself validates the values."""

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
from claude_force.settings.claude_json import KEYS, read_file, unknown_key
from claude_force.settings.database_url import REMEDY, holds_password
from claude_force.settings.home import SECTION
from claude_force.settings.key_path import path_text
from claude_force.settings.values import REFERENCE

_SECRET_NAME = re.compile(r"(token|secret|password|passwd|api_?key|routing_?key)$", re.IGNORECASE)


def check_keys(file: Path) -> Iterator[Finding]:
    """Unknown keys in our section, and a password in the URL of the database."""
    section = read_file(file).get(SECTION, {})
    paths = [(SECTION, name) for name in section]
    unknown = [path_text(path) for path in paths if ".".join(path) not in KEYS]
    for key in unknown:
        yield note("settings", f"claude.json: {unknown_key(key)}", f"claude-force config unset {shlex.quote(key)}")
    has_password = holds_password(str(section.get("database") or ""))
    if has_password:
        yield note("settings", "claude.json: performance.database holds a password", REMEDY)
    if not unknown and not has_password:
        yield ok("settings", f"{file} is valid" if file.exists() else "there is no claude.json: the defaults apply")


def check_secrets(workspace: Workspace) -> Iterator[Finding]:
    """Whether other users can read a secret in claude.json."""
    file = workspace.home.settings_file
    if not file.exists():
        return
    is_open = file.stat().st_mode & 0o077
    has_targets = bool(workspace.settings.channels or workspace.settings.exporters)
    remedy = f"chmod 600 {shlex.quote(str(file))}"
    if is_open and _has_secret(read_file(file)):
        yield problem("secrets", f"{file} seems to hold a secret, and other users can read it", remedy)
    elif is_open and has_targets:
        yield note("secrets", f"{file} names alert channels or exporters, and other users can read it", remedy)
    else:
        yield ok("secrets", "no secret can be read by other users")


def _has_secret(content: Mapping[str, Any]) -> bool:
    """Whether claude.json holds a value that must not be shown, in our section or another program's."""
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
        return holds_password(value)
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
