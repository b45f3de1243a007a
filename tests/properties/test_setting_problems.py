"""The check of claude.json stands everything that JSON can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from claude_force.doctor.setting_problems import find_problems
from claude_force.settings.claude_json import KEYS
from claude_force.settings.home import Home

WORDS = (
    "enabled", "channels", "metric", "total_cost", "threshold", "window", "1h", "type", "slack", "webhook_url", "url",
    "${HOOK}", "input", "output", "prometheus", "datadog", "ingest", "5m", "success-rate", "postgresql://u@h/d", "\0",
    "\ud800", "", "~nobody-at-all/x", "command", "email", "to", "port", "://", "http://[", "postgresql://[", "a.b",
)  # fmt: skip
texts = st.sampled_from(WORDS) | st.text(max_size=6)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
sections = st.dictionaries(st.sampled_from([key.partition(".")[2] for key in KEYS]) | texts, values, max_size=5)


@given(sections)
def test_every_problem_is_a_line_at_its_path(section: dict[str, Any]) -> None:
    """No value breaks the check. A problem has the path of the part that has it, which a change there changes."""
    for problem in find_problems(section, Home(Path("/nowhere/.claude"), Path("/nowhere/.claude/metrics"))):
        assert problem.text.strip()
        assert problem.path[0] == "performance"
        assert problem.path[1] in section or problem.path[1] == "database"
        assert problem.concerns(problem.path)
        assert problem.concerns(problem.path[:2])
        assert not problem.concerns(("performance", "another"))
