"""`performance.exporters` of claude.json: the targets that figures are pushed to, one of each kind.

The module of a kind says which fields it has (`FIELDS`) and makes the target of them (`target`); where a system has
variables of its own for a field, it names them (`VARIABLES`). What a command was given stands before these, and they
before what the file says; what none of them says is the default of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from claude_force.errors import SettingsError
from claude_force.exporters.base import Target
from claude_force.settings.fields import Fields, Problems, shown_object

KINDS = ("prometheus", "datadog", "elasticsearch", "otlp")
"""The targets that there are; each is a folder of this package."""

_SECTION = "performance.exporters"


def target_of(
    kind: str, configured: Mapping[str, Any], given: Mapping[str, Any], environment: Mapping[str, str], folder: Path
) -> Target:
    """The target of a kind, with the fields that a command was `given` (None: not) in place of those of claude.json.
    A relative file is relative to `folder`. Raises SettingsError with all that is wrong with it."""
    stated = configured.get(kind, {})
    if isinstance(stated, dict):
        stated = _overridden(stated, _said_by(environment, getattr(_module(kind), "VARIABLES", {})))
        stated = _overridden(stated, {name: value for name, value in given.items() if value is not None})
    target, fields = _read(kind, stated, environment, folder)
    if fields.problems:
        raise SettingsError("; ".join(_by_origin(kind, problem, given) for problem in fields.problems))
    return target


def problems_of(configured: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Problems:
    """What is wrong with what claude.json says, whatever variables and commands say in its place."""
    found = Problems([], unknown_kinds(configured))
    for kind in filter(configured.__contains__, KINDS):
        _, fields = _read(kind, configured[kind], environment, folder)
        secrets, others = fields.lasting()
        found.secrets.extend(_named(kind, secrets))
        found.others.extend(_named(kind, others))
    return found


def _module(kind: str) -> Any:
    return import_module(f"claude_force.exporters.{kind}.push")


def _read(kind: str, stated: object, environment: Mapping[str, str], folder: Path) -> tuple[Target, Fields]:
    """The target of a kind, and its fields with what is wrong with them; with any problem the target is of no use."""
    module = _module(kind)
    fields = Fields(kind, stated, module.FIELDS, environment, folder)
    return cast("Target", module.target(fields)), fields


def _by_origin(kind: str, problem: str, given: Mapping[str, Any]) -> str:
    """A problem of a field, with what said it: an option of the command, or the settings."""
    field, _, what = problem.partition(" ")
    if given.get(field) is not None:
        return f"--{field.replace('_', '-')} {what}"
    return f"{_SECTION}: {kind}: {problem}"


def _named(kind: str, problems: Sequence[str]) -> list[str]:
    return [f"{_SECTION}: {kind}: {problem}" for problem in problems]


def _said_by(environment: Mapping[str, str], variables: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The fields that variables say, each as a reference to the first of its variables that is set."""
    known = {field: [name for name in names if environment.get(name)] for field, names in variables.items()}
    return {field: f"${{{names[0]}}}" for field, names in known.items() if names}


def _overridden(stated: Mapping[str, Any], better: Mapping[str, Any]) -> dict[str, Any]:
    """What is stated, but for the fields that are known better, and the files of those."""
    files = {f"{field}_file" for field in better}
    return {field: value for field, value in stated.items() if field not in files} | dict(better)


def unknown_kinds(configured: Mapping[str, Any]) -> list[str]:
    """What to say of the targets that do not exist, a line each."""
    found = []
    for kind in configured:
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, n=1)
            rest = f"did you mean {near[0]}?" if near else f"there are: {', '.join(KINDS)}"
            found.append(f"{_SECTION}: there is no {kind}; {rest}")
    return found


def shown(configured: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as it may be printed: a secret, and whatever might be one, is ***."""
    found: dict[str, Any] = {}
    for kind, given in configured.items():
        known = _module(kind).FIELDS if kind in KINDS else {}
        found[kind] = shown_object(given, known) if isinstance(given, dict) else "***"
    return found
