"""Changes to the text of claude.json: one value changes, and every other character stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.settings.json_text import removed, replaced
from claude_force.settings.key_path import value_at, with_value, without_value

TABS = '{\n\t"other": [1.50, "\\u00e9"],\n\t"performance": {\n\t\t"database": "x.db"\n\t}\n}\n'
FOUR = '{\r\n    "performance": {},\r\n    "other": 1E5\r\n}\r\n'
ONE_LINE = '{"other": -0.0, "performance": {"alerts": {"a": true}}}'
COMPACT = '{"other":[1,2],"performance":{"alerts":{"a":true}}}'
MIXED = '{\n  "performance": {\n    "projects": {"a": ["/a", "/b"]}\n  }\n}\n'

NINES = "9" * 5000

CASES = {
    "a missing file": ("{}\n", ["p", "a"], 1, '{\n  "p": {\n    "a": 1\n  }\n}\n'),
    "tabs": (TABS, ["performance", "database"], "y.db", TABS.replace("x.db", "y.db")),
    "a new key with tabs": (
        TABS, ["performance", "alerts", "a"], True,
        TABS.replace('"x.db"', '"x.db",\n\t\t"alerts": {\n\t\t\t"a": true\n\t\t}'),
    ),
    "four spaces and CRLF": (
        FOUR, ["performance", "alerts"], {"a": True},
        FOUR.replace("{},", '{\r\n        "alerts": {\r\n            "a": true\r\n        }\r\n    },'),
    ),
    "one line": (
        ONE_LINE, ["performance", "alerts", "b"], {"x": [1]}, ONE_LINE.replace("true", 'true, "b": {"x": [1]}'),
    ),
    "compact": (
        COMPACT, ["performance", "alerts", "b"], {"x": [1, 2]}, COMPACT.replace("true", 'true,"b":{"x":[1,2]}'),
    ),
    "an object on one line of many": (
        MIXED, ["performance", "projects", "b"], ["/c"], MIXED.replace('"/b"]', '"/b"], "b": ["/c"]'),
    ),
    "a value on the way that is no object": (ONE_LINE, ["performance", "alerts", "a", "t"], 5,
                                             ONE_LINE.replace("true", '{"t": 5}')),
    "the last of two equal keys": ('{"a": 1, "a": 2}', ["a"], 3, '{"a": 1, "a": 3}'),
    "a lone surrogate": ('{"a": 1}', ["a"], "\ud83d", '{"a": "\\ud83d"}'),
    "a number that Python cannot read": (f'{{"big": {NINES}, "a": 1}}', ["a"], 2, f'{{"big": {NINES}, "a": 2}}'),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_value_is_replaced_in_place(case: str) -> None:
    """The new value is written as its neighbours are; order, indentation, line ends and spelling of the rest stay."""
    text, path, value, expected = CASES[case]
    assert replaced(text, path, value) == expected


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ('{"a": 1, "b": 2, "c": 3}', ["a"], '{"b": 2, "c": 3}'),
        ('{"a": 1, "b": 2, "c": 3}', ["b"], '{"a": 1, "c": 3}'),
        ('{"a": 1, "b": 2, "c": 3}', ["c"], '{"a": 1, "b": 2}'),
        ('{"a": 1, "b": 2, "a": 3}', ["a"], '{"b": 2}'),
        ('{"a": 1, "a": 3}', ["a"], "{}"),
        ('{\n  "a": {\n    "b": 1\n  },\n  "c": 2\n}\n', ["a", "b"], '{\n  "a": {},\n  "c": 2\n}\n'),
        ('{\n  "a": 1,\n  "c": 2\n}\n', ["a"], '{\n  "c": 2\n}\n'),
        ('{"a": 1}', ["b"], '{"a": 1}'),
        ('{"a": 1}', ["a", "b"], '{"a": 1}'),
    ],
)
def test_a_value_is_removed(text: str, path: list[str], expected: str) -> None:
    """With its key and one comma; of equal keys, all."""
    assert removed(text, path) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_does_not_have_is_an_error(value: float) -> None:
    """NaN and Infinity are never written."""
    with pytest.raises(ValueError, match="JSON"):
        replaced("{}", ["a"], value)


names = st.sampled_from(["a", "b", "performance", "é", 'quote " and \\', ""])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(names, values, max_size=4)
paths = st.lists(names, min_size=1, max_size=3)
indents = st.sampled_from([None, 1, 2, 4, "\t"])


@given(documents, paths, values, indents)
def test_the_content_changes_at_its_path_alone(
    document: dict[str, object], path: list[str], value: object, indent: int | str | None
) -> None:
    """For any document, path and value: read again, the text has the new value and nothing else is different; removed
    again, only it is gone."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    changed = replaced(text, path, value)
    expected = with_value(document, path, value)
    assert json.loads(changed) == expected
    assert json.dumps(json.loads(changed)) == json.dumps(expected)
    assert value_at(expected, path) == value
    assert json.loads(removed(changed, path)) == without_value(expected, path)
