"""The user's settings of Claude Code, settings.json: the variables of its `env` block, and the command of its status
line.

The file belongs to Claude Code and its user. A change keeps every other character of it, as in claude.json.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from claude_force.errors import SettingsError
from claude_force.settings.claude_json import parse_content, read_text, write_text
from claude_force.settings.home import user_folder
from claude_force.settings.json_text import removed, replaced

ENV = "env"
STATUS_LINE = "statusLine"


def agent_settings_file(environment: Mapping[str, str]) -> Path:
    """The user's settings.json: in the first folder that CLAUDE_CONFIG_DIR names, else in `~/.claude`."""
    named = next((part.strip() for part in environment.get("CLAUDE_CONFIG_DIR", "").split(",") if part.strip()), "")
    folder = Path(os.path.expanduser(named)) if named else user_folder() / ".claude"  # noqa: PTH111  (as in locate.roots)
    return (folder.parent if folder.name == "projects" else folder) / "settings.json"


def read_variables(path: Path) -> dict[str, str]:
    """The variables that a settings.json sets; {} if there is no file. Raises SettingsError."""
    return {name: value for name, value in _block(path, read_text(path)).items() if isinstance(value, str)}


def change_variables(path: Path, changes: Mapping[str, str | None]) -> None:
    """Set variables, or remove those that are None; an empty block is removed with its last variable. Replaces the file
    in one step. Raises SettingsError."""
    text = read_text(path)
    _block(path, text)
    new = text if text.strip() else "{}\n"
    for name, value in changes.items():
        new = removed(new, (ENV, name)) if value is None else replaced(new, (ENV, name), value)
    if not _block(path, new):
        new = removed(new, (ENV,))
    if new != text:
        write_text(path, new)


def read_status_line(path: Path) -> object:
    """The status line that a settings.json sets; None if it sets none. Raises SettingsError."""
    return parse_content(path, read_text(path)).get(STATUS_LINE)


def set_status_line(path: Path, command: str) -> None:
    """Let a command print the status line. Replaces the file in one step. Raises SettingsError."""
    text = read_text(path)
    new = replaced(text if text.strip() else "{}\n", (STATUS_LINE,), status_line_of(command))
    # Reads it again: what was written is JSON.
    parse_content(path, new)
    write_text(path, new)


def status_line_of(command: str) -> dict[str, str]:
    """The setting for a status line that a command prints."""
    return {"type": "command", "command": command}


def _block(path: Path, text: str) -> dict[str, Any]:
    found = parse_content(path, text).get(ENV, {})
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: {ENV} must be an object")
    return found
