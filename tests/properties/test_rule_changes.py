"""Rules are switched off and on again, in any claude.json."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from claude_force.alerts.rule_changes import Changes, disable, edit, enable
from claude_force.alerts.rules import ENABLED, check_rule, is_off, load_rules, settings_of
from claude_force.settings.claude_json import changed_text

OWN = {"metric": "total_cost", "operator": ">", "threshold": 5, "window": "1h"}
fields = st.fixed_dictionaries({}, optional={"for": st.sampled_from(["5m", "1h"]), "threshold": st.integers(1, 99)})
switches = st.sampled_from([{}, {ENABLED: True}, {ENABLED: False}])
values = st.one_of(
    st.booleans().map(lambda value: ("success-rate", value)),
    st.tuples(fields, switches).map(lambda parts: ("success-rate", parts[0] | parts[1])),
    st.tuples(fields, switches).map(lambda parts: ("mine", OWN | parts[0] | parts[1])),
)
others = st.dictionaries(st.sampled_from(["no-data", "p95-latency", "broken"]), st.sampled_from([True, False, 5]))
indents = st.sampled_from([None, 2, "\t"])


def after(alerts: dict[str, Any], changes: Changes, indent: int | str | None) -> dict[str, Any]:
    """The rules after a change of the text of claude.json."""
    text = json.dumps({"x": 1, "performance": {"alerts": alerts}, "y": []}, indent=indent)
    content = json.loads(changed_text(text, changes))
    assert (list(content), content["x"], content["y"]) == (["x", "performance", "y"], 1, [])
    found: dict[str, Any] = content["performance"]["alerts"]
    return found


@given(values, others, indents)
def test_off_and_on_again_is_as_before(named: tuple[str, Any], other: dict[str, Any], indent: int | str | None) -> None:
    """A rule that is off is not evaluated and keeps its settings; on again, it is the rule that it was. Other rules are
    not touched, and a change that is made already changes nothing."""
    name, value = named
    before = {**other, name: value}
    off = after(before, disable(before, name), indent)
    assert is_off(off[name])
    assert settings_of(off[name]) == settings_of(value)
    assert disable(off, name) == {}
    assert name not in {rule.name for rule in load_rules(off)[0]}
    check_rule(name, off[name])
    on = after(off, enable(off, name), indent)
    assert enable(on, name) == {}
    rules, problems = load_rules({name: on[name]})
    expected, _ = load_rules({name: {**settings_of(value)}})
    assert (rules, problems) == (expected, {})
    assert {key: found for key, found in on.items() if key != name} == other


@given(values, indents, st.integers(1, 99))
def test_an_edit_changes_a_field_alone(named: tuple[str, Any], indent: int | str | None, threshold: int) -> None:
    """Whether the rule is on, and its other fields, stay."""
    name, value = named
    before = {name: value}
    edited = after(before, edit(before, name, {"threshold": threshold}), indent)
    assert is_off(edited[name]) == is_off(value)
    assert settings_of(edited[name]) == settings_of(value) | {"threshold": threshold}
