"""The variables in the user's settings of Claude Code: the `env` block of settings.json.

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


def _block(path: Path, text: str) -> dict[str, Any]:
    found = parse_content(path, text).get(ENV, {})
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: {ENV} must be an object")
    return found
