"""`claude-force config edit`: an editor on a copy of claude.json, which replaces it only if it is right."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from claude_force.cli.confirm import has_terminal
from claude_force.cli.say import say
from claude_force.cli.setting_changes import alone, end_alerts_of, refuse_problems, say_ended
from claude_force.errors import SettingRefused, SettingsError
from claude_force.settings.claude_json import parse_content, read_text, section_of, write_text
from claude_force.settings.home import Home

_DEFAULT_EDITOR = "vi"


def edit_settings(home: Home) -> None:
    """Edit claude.json until it is right or the user gives up. Raises SettingsError; then it is unchanged."""
    file = home.settings_file
    before = read_text(file)
    if file.exists() and not os.access(file, os.W_OK):
        raise SettingsError(f"{file} is read-only")
    with tempfile.TemporaryDirectory(prefix="claude-force-") as folder:
        copy = Path(folder) / file.name
        copy.touch(0o600)
        copy.write_text(before if before.strip() else '{\n  "performance": {}\n}\n', encoding="utf-8", newline="")
        edited = _edited(copy, home, _section(file, before))
    if edited is None:
        say(f"{file} is unchanged")
        return
    with alone(home):
        if read_text(file) != before:
            raise SettingsError(f"{file} was changed by another program meanwhile; it was not replaced")
        write_text(file, edited.text)
    say(f"{file} is changed")
    for problem in edited.problems:
        say(f"warning: {problem}", err=True)
    say_ended(end_alerts_of(_section(file, before), edited.section))


class _Edited(NamedTuple):
    """An edited claude.json that is right: its text, our section, and the problems that were there before."""

    text: str
    section: dict[str, Any]
    problems: list[str]


def _edited(copy: Path, home: Home, old: Mapping[str, Any]) -> _Edited | None:
    """Run the editor on the copy until it is right; None if it was not changed. `old` is our section before."""
    file, unedited = home.settings_file, read_text(copy)
    while True:
        _run_editor(copy)
        text = read_text(copy)
        if not text.strip():
            # An editor that fails may leave this; whoever wants no settings writes {}.
            raise SettingsError("the editor left an empty file; nothing was changed")
        if text == unedited:
            return None
        try:
            section = section_of(file, parse_content(file, text))
            return _Edited(text, section, refuse_problems(old, section, home))
        except SettingsError as error:
            _ask_again(str(error).replace(str(copy), str(file)))


def _run_editor(copy: Path) -> None:
    """Run the user's editor on the copy. Raises SettingRefused if there is none, SettingsError if it fails."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not named and not has_terminal():
        raise SettingRefused("set VISUAL or EDITOR to the editor to use")
    try:
        command = [*shlex.split(named or _DEFAULT_EDITOR), str(copy)]
        code = subprocess.run(command, check=False).returncode  # noqa: S603  (the user's own editor)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingRefused(f"the editor {named or _DEFAULT_EDITOR} cannot be run: {reason}; set EDITOR") from None
    if code:
        raise SettingsError(f"the editor ended with exit code {code}; nothing was changed")


def _section(file: Path, text: str) -> dict[str, Any]:
    """Our section of the text before it was edited; {} if it is broken."""
    try:
        return section_of(file, parse_content(file, text))
    except SettingsError:
        return {}


def _ask_again(problem: str) -> None:
    """Ask whether to edit again. Raises SettingRefused if not, and where nobody can answer."""
    if has_terminal():
        say(f"error: {problem}", err=True)
        if click.confirm("Edit again?", default=True, err=True):
            return
        raise SettingRefused("nothing was changed")
    raise SettingRefused(f"{problem}; nothing was changed")
