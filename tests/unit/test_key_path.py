"""Paths into claude.json."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.errors import SettingRefused
from claude_force.settings.key_path import parse_path, path_text


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("performance.database", ("performance", "database")),
        ("performance.alerts.success-rate.threshold", ("performance", "alerts", "success-rate", "threshold")),
        ('performance.prices."gpt-4.1".input', ("performance", "prices", "gpt-4.1", "input")),
        (r'performance.channels."a \"b\" é"', ("performance", "channels", 'a "b" é')),
        ("one", ("one",)),
    ],
)
def test_parts_are_separated_by_dots(key: str, path: tuple[str, ...]) -> None:
    """A part with a dot or a quote in it is written as in JSON."""
    assert parse_path(key) == path


@pytest.mark.parametrize("key", ["", ".", "a.", ".a", "a..b", 'a."b', 'a."b"c', 'a.b"c"', 'a."\\x"'])
def test_what_is_no_path_is_refused(key: str) -> None:
    """An empty part, and quotes that do not enclose a part."""
    with pytest.raises(SettingRefused, match="is no key; write"):
        parse_path(key)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_every_path_can_be_written(parts: list[str]) -> None:
    """What `path_text` writes, `parse_path` reads."""
    assert parse_path(path_text(parts)) == tuple(parts)
