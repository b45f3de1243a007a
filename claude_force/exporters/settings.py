"""`performance.exporters` of claude.json: one exporter of each kind.

The module of a kind has the names of its fields (`FIELDS`) and builds the exporter (`exporter_from`); it also lists the
standard environment variables of the system (`VARIABLES`). For each field, the first of these sources counts:

    option of the command  >  environment variable  >  claude.json  >  default of the kind
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from claude_force.errors import SettingsError
from claude_force.exporters.base import Exporter
from claude_force.settings.fields import Fields, Problems, shown_object
from claude_force.settings.values import nearest

KINDS = ("prometheus", "datadog", "elasticsearch", "otlp", "team")
"""The kinds of exporters; each is a folder of this package."""

_SECTION = "performance.exporters"


def load_exporter(
    kind: str, configured: Mapping[str, Any], given: Mapping[str, Any], environment: Mapping[str, str], folder: Path
) -> Exporter:
    """The exporter of a kind. `given` are the options of a command, None for those left out; a relative file name in
    claude.json is relative to `folder`. Raises SettingsError with everything that is wrong."""
    stated = configured.get(kind, {})
    if isinstance(stated, dict):
        stated = _override(stated, _from_environment(environment, getattr(_module(kind), "VARIABLES", {})))
        stated = _override(stated, {name: value for name, value in given.items() if value is not None})
    exporter, fields = _read(kind, stated, environment, folder)
    if fields.problems:
        raise SettingsError("; ".join(_with_source(kind, problem, given) for problem in fields.problems))
    return exporter


def problems_of(configured: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Problems:
    """What is wrong in claude.json, whatever variables and options override it."""
    found = Problems([], unknown_kinds(configured))
    for kind in filter(configured.__contains__, KINDS):
        _, fields = _read(kind, configured[kind], environment, folder)
        found.add(f"{_SECTION}: {kind}", fields.lasting())
    return found


def _module(kind: str) -> Any:
    return import_module(f"claude_force.exporters.{kind}.push")


def _read(kind: str, stated: object, environment: Mapping[str, str], folder: Path) -> tuple[Exporter, Fields]:
    """The exporter of a kind, and its fields with their problems. If there are any, the exporter cannot be used."""
    module = _module(kind)
    fields = Fields(kind, stated, module.FIELDS, environment, folder)
    return cast("Exporter", module.exporter_from(fields)), fields


def _with_source(kind: str, problem: str, given: Mapping[str, Any]) -> str:
    """A problem that names where its field is set: an option of the command, or the settings."""
    field, _, what = problem.partition(" ")
    if given.get(field) is not None:
        return f"--{field.replace('_', '-')} {what}"
    return f"{_SECTION}: {kind}: {problem}"


def _from_environment(environment: Mapping[str, str], variables: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The fields that the environment sets, each as a reference to the first of its variables that is set."""
    known = {field: [name for name in names if environment.get(name)] for field, names in variables.items()}
    return {field: f"${{{names[0]}}}" for field, names in known.items() if names}


def _override(stated: Mapping[str, Any], better: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with better ones in their place. A better field also replaces the file that `FIELD_file` names."""
    files = {f"{field}_file" for field in better}
    return {field: value for field, value in stated.items() if field not in files} | dict(better)


def unknown_kinds(configured: Mapping[str, Any]) -> list[str]:
    """One line for each exporter that does not exist."""
    return [f"{_SECTION}: there is no {kind}{nearest(kind, KINDS)}" for kind in configured if kind not in KINDS]


def shown(configured: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as they may be printed: a secret, and anything that may be one, is ***."""
    found: dict[str, Any] = {}
    for kind, given in configured.items():
        known = _module(kind).FIELDS if kind in KINDS else {}
        found[kind] = shown_object(given, known) if isinstance(given, dict) else "***"
    return found
