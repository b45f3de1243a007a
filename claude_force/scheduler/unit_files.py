"""The unit file that starts the scheduler at login: a systemd user unit on Linux, a launchd agent on macOS."""

from __future__ import annotations

import plistlib
import sys
from pathlib import Path
from typing import NamedTuple

from claude_force.database.workspace import Workspace
from claude_force.errors import OutputError, SchedulerError
from claude_force.files import make_folder, replacing
from claude_force.settings.home import user_folder
from claude_force.settings.location import without_password

NAME = "claude-force"
_LABEL = "claude-force.scheduler"


class UnitFile(NamedTuple):
    """A unit file: its text, its path, and the command that enables it."""

    text: str
    path: Path
    command: str


def unit_file_for(workspace: Workspace, location: str | None, platform: str) -> UnitFile:
    """The unit file for a platform (a value of `sys.platform`). Raises SchedulerError for any other platform, and for a
    database URL with a password, which others could read in the file."""
    if location and without_password(location) != location:
        raise SchedulerError("a unit file would show the database password: put it into ~/.pgpass, not into the URL")
    named = ["--db", location if "://" in location else workspace.location] if location else []
    command = [sys.executable, "-m", "claude_force", "scheduler", "start", "--foreground", *named]
    folder = str(workspace.home.working_folder)
    if platform == "darwin":
        return _agent(command, folder, workspace)
    if platform.startswith("linux"):
        return _systemd(command, folder)
    raise SchedulerError(f"no unit file for {platform}; run this at login: {' '.join(command)}")


def _systemd(command: list[str], folder: str) -> UnitFile:
    text = (
        "[Unit]\n"
        "Description=claude-force: metrics of Claude agents\n"
        "\n"
        "[Service]\n"
        f"ExecStart={' '.join(map(_quoted, command))}\n"
        f"WorkingDirectory={_specifiers(folder)}\n"
        "# Secrets of channels, one NAME=value per line; keep it private (chmod 600).\n"
        "EnvironmentFile=-%h/.config/claude-force/environment\n"
        "Restart=on-failure\n"
        "RestartSec=10\n"
        "TimeoutStopSec=15\n"
        "\n"
        "[Install]\n"
        "WantedBy=default.target\n"
    )
    path = user_folder() / ".config" / "systemd" / "user" / f"{NAME}.service"
    return UnitFile(text, path, f"systemctl --user daemon-reload && systemctl --user enable --now {NAME}")


def _quoted(word: str) -> str:
    """A word of a systemd command line (systemd.service(5))."""
    escaped = _specifiers(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return escaped if escaped and not any(char.isspace() or char in "\"';" for char in word) else f'"{escaped}"'


def _specifiers(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise SchedulerError(f"a unit file cannot hold the path {text!a}")
    return text.replace("%", "%%")


def _agent(command: list[str], folder: str, workspace: Workspace) -> UnitFile:
    content = {
        "Label": _LABEL,
        "ProgramArguments": command,
        "WorkingDirectory": folder,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "StandardErrorPath": str(workspace.data_folder / "scheduler.log"),
    }
    path = user_folder() / "Library" / "LaunchAgents" / f"{_LABEL}.plist"
    return UnitFile(plistlib.dumps(content).decode(), path, f"launchctl load -w {path}")


def write_unit_file(unit: UnitFile) -> None:
    """Write a unit file in one step. Raises OutputError."""
    try:
        make_folder(unit.path.parent)
        with replacing(unit.path, 0o600) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(unit.text.encode())
    except OSError as error:
        raise OutputError(f"{unit.path}: {error.strerror}") from None
