"""Changes of claude.json by commands: a change that would make it wrong is refused, and nothing is written.

The alerts of a rule that a change removes or switches off end with it, not at the next check.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from claude_force.cli.say import say
from claude_force.errors import ClaudeForceError, SettingRefused, SettingsError
from claude_force.files import exclusive_lock
from claude_force.settings.claude_json import (
    REMOVED,
    changed_text,
    parse_content,
    read_text,
    section_of,
    write_text,
)
from claude_force.settings.home import Home
from claude_force.settings.key_path import KeyPath

if TYPE_CHECKING:
    from claude_force.alerts.evaluation import Alert


def save_changes(home: Home, changes: Mapping[KeyPath, Any], location: str | None = None) -> list[Alert]:
    """Set the values at these paths, or remove them where the value is `REMOVED`. Returns the alerts that fired until
    now, in the database of `location`. Raises SettingsError if the file cannot be changed, SettingRefused if it would
    be wrong."""
    with alone(home):
        before, after = _save(home, changes)
    return end_alerts_of(before, after, location)


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Keep other changes of claude.json waiting; each would undo what the other has written since it read the file."""
    try:
        folder = os.open(home.folder, os.O_RDONLY)
    except OSError:
        # Without the folder there is no file, and a change that is refused must not make one.
        yield
        return
    with exclusive_lock(folder):
        yield


def _save(home: Home, changes: Mapping[KeyPath, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the changes; returns our section before and after them."""
    file = home.settings_file
    text = read_text(file)
    before = section_of(file, parse_content(file, text))
    try:
        new = changed_text(text, changes)
        after = section_of(file, parse_content(file, new))
    except SettingsError as error:
        raise SettingRefused(str(error)) from None
    # What is wrong may be removed or switched off in parts.
    changed = [path for path, value in changes.items() if value is not REMOVED and value is not False]
    refuse_problems(before, after, home, changed)
    write_text(file, new)
    return before, after


def refuse_problems(
    before: Mapping[str, Any], after: Mapping[str, Any], home: Home, changed: Iterable[KeyPath] = ()
) -> list[str]:
    """Refuse problems that were not there before, and all problems of the parts that are `changed`. Returns the others:
    the problems that stay. Raises SettingRefused."""
    from claude_force.doctor.setting_problems import find_problems

    paths, known = tuple(changed), {problem.text for problem in find_problems(before, home)}
    found = find_problems(after, home)
    refused = [
        problem for problem in found if problem.text not in known or any(problem.concerns(path) for path in paths)
    ]
    if refused:
        raise SettingRefused("; ".join(problem.text for problem in refused))
    return [problem.text for problem in found]


def end_alerts_of(before: Mapping[str, Any], after: Mapping[str, Any], location: str | None = None) -> list[Alert]:
    """End the alerts of the rules that were on before a change and are not after it; returns those that fired. If the
    database cannot be written, they end at the next check, which a line on stderr says."""
    if all(before.get(name) == after.get(name) for name in ("alerts", "budgets")):
        return []
    from claude_force import clock
    from claude_force.alerts.check import end_alerts
    from claude_force.alerts.configured import ConfiguredRules
    from claude_force.cli.chosen_workspace import find_workspace

    names = ConfiguredRules.of(_alerts(before)).on - ConfiguredRules.of(_alerts(after)).on
    try:
        return end_alerts(find_workspace(location), names, clock.now_us()) if names else []
    except ClaudeForceError as error:
        say(f"warning: alerts that fire end at the next check: {error}", err=True)
        return []


def say_ended(ended: Iterable[Alert]) -> None:
    """Say on stderr which alerts fired until now."""
    for alert in ended:
        from claude_force.reports.layouts.alerts import ended_line

        say(ended_line(alert), err=True)


def _alerts(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rules of a section, those of its budgets included."""
    from claude_force.alerts.budget_rules import configured_rules

    alerts, budgets = section.get("alerts"), section.get("budgets")
    return configured_rules(alerts if isinstance(alerts, Mapping) else {}, budgets if isinstance(budgets, list) else ())
