"""`claude-force statusline --install`: let Claude Code show the status line."""

from __future__ import annotations

import json
import os

from claude_force.cli.confirm import confirm
from claude_force.cli.say import say
from claude_force.settings.agent_settings import (
    STATUS_LINE,
    agent_settings_file,
    read_status_line,
    set_status_line,
    status_line_of,
)

COMMAND = "claude-force statusline"


def install_status_line(*, yes: bool) -> None:
    """Show what changes in the user's settings.json, ask, and change it. Raises SettingsError."""
    file = agent_settings_file(os.environ)
    before, after = read_status_line(file), status_line_of(COMMAND)
    if before == after:
        say(f"{file}: nothing to change")
        return
    say(f"{file}:")
    if before is not None:
        say(f"  - {STATUS_LINE}={json.dumps(before)}")
    say(f"  + {STATUS_LINE}={json.dumps(after)}")
    confirm("the settings above will be changed", "Change them?", yes=yes)
    set_status_line(file, COMMAND)
    say("Sessions of Claude Code that begin now show the line.")
