"""Changes of rules in claude.json: switch on, switch off, add, edit. Each is the values to set, by their paths.

A rule that is off keeps its settings: an object gets `"enabled": false`, a default rule without settings is `false`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.alerts.metrics import METRICS
from claude_force.alerts.rules import DEFAULTS, ENABLED, check_rule, is_off, settings_of
from claude_force.errors import SettingRefused, SettingsError
from claude_force.settings.claude_json import REMOVED
from claude_force.settings.key_path import KeyPath
from claude_force.settings.values import nearest

SECTION: KeyPath = ("performance", "alerts")

Changes = dict[KeyPath, Any]
"""The new value at each path of claude.json; `REMOVED` removes it."""


def enable(configured: Mapping[str, Any], name: str) -> Changes:
    """Switch a rule on, with the settings that it has. Raises SettingRefused."""
    value = configured.get(name)
    _refuse_unknown(configured, name)
    if name in configured and (not is_off(value) or settings_of(value)):
        _refuse_wrong(name, value)
        return {(*SECTION, name, ENABLED): REMOVED} if is_off(value) else {}
    if name not in DEFAULTS:
        raise SettingRefused(f"{name} has no settings; to write it: claude-force alerts add {name} --metric METRIC ...")
    if "threshold" not in DEFAULTS[name]:
        raise SettingRefused(
            f"{name} needs a threshold in US dollars: claude-force alerts edit {name} --threshold DOLLARS"
        )
    return {(*SECTION, name): True}


def disable(configured: Mapping[str, Any], name: str) -> Changes:
    """Switch a rule off, and keep its settings. Raises SettingRefused."""
    value = configured.get(name)
    _refuse_unknown(configured, name)
    if name not in configured or is_off(value):
        return {}
    return {(*SECTION, name, ENABLED): False} if settings_of(value) else {(*SECTION, name): False}


def add(configured: Mapping[str, Any], name: str, fields: Mapping[str, Any]) -> Changes:
    """Write a new rule with these fields of claude.json. The window is an hour if none is given, for a forecast of the
    cost the day. Raises SettingRefused."""
    if name in DEFAULTS:
        raise SettingRefused(f"{name} is a default rule; to change it: claude-force alerts edit {name}")
    if settings_of(configured.get(name)):
        raise SettingRefused(f"there is a rule {name} already; to change it: claude-force alerts edit {name}")
    metric = METRICS.get(fields.get("metric", ""))
    if metric is not None and metric.plan_limit is None:
        fields = {"window": "day" if metric.name == "cost_forecast" else "1h", **fields}
    order = ("metric", "operator", "threshold", "window")
    ordered = {field: fields[field] for field in order if field in fields}
    return {(*SECTION, name): {**ordered, **fields}}


def edit(configured: Mapping[str, Any], name: str, fields: Mapping[str, Any]) -> Changes:
    """Change these fields of a rule. A default rule that claude.json does not name is switched on by it, a rule that is
    off stays off. Raises SettingRefused."""
    value = configured.get(name)
    _refuse_unknown(configured, name)
    if not fields:
        raise SettingRefused(f"nothing to change in {name}: give an option, such as --threshold")
    if name in configured and isinstance(value, Mapping):
        return {(*SECTION, name, field): found for field, found in fields.items()}
    stays_off = name in configured and is_off(value)
    return {(*SECTION, name): {ENABLED: False, **fields} if stays_off else dict(fields)}


def _refuse_wrong(name: str, value: object) -> None:
    try:
        check_rule(name, value)
    except SettingsError as error:
        raise SettingRefused(str(error)) from None


def _refuse_unknown(configured: Mapping[str, Any], name: str) -> None:
    known = dict.fromkeys([*configured, *DEFAULTS])
    if name not in known:
        raise SettingRefused(f"no alert rule {name}{nearest(name, known)}")
