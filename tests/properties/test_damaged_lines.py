"""Any JSON value in any field of a line: an execution that both engines hold as it was read, or a reason that names the
field; never anything else."""

from __future__ import annotations

import io
from datetime import UTC
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.jsonl.codec import ALL_COLUMNS
from claude_force.ingest.jsonl_source import JsonlSource
from claude_force.ingest.loader import Loader
from claude_force.time_windows import ALL_TIME
from tests.builders import NOON_US, a_line
from tests.properties.strategies import on_both_engines

GOOD = a_line(agent_name="good")

_NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from((-1, 2**63 - 1, 2**63, 2**64, 10**9, 10**9 + 1, 1e300, -0.0, 5e-324))
)
_TEXTS = st.text() | st.sampled_from(
    ("", " ", "1234", "true", "NaN", "a\0b", "x" * 201, "x" * 1001, "\u2028", "2025-11-14T10:30:45Z", "9999-12-31")
)
VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
"""Anything that JSON can say."""

FIELDS = st.sampled_from((*ALL_COLUMNS, "workflow_name", "duration_ms"))
"""Every field of a line, also under its older name."""


@on_both_engines
@given(field=FIELDS, value=VALUES)
def test_any_value_in_any_field_is_held_or_refused_by_name(database: Database, field: str, value: Any) -> None:
    """On both engines: the neighbours are there, and the line is too, as it was read, or its reason says which field it
    was for."""
    # An older name counts where the newer one is not there.
    newer = {"workflow_name": "workflow_id", "duration_ms": "execution_time_ms"}.get(field)
    changes = (
        {field: value} | ({newer: ...} if newer else {}) | ({} if field == "total_tokens" else {"total_tokens": ...})
    )
    store = Store(database)
    store.delete(ALL_TIME)
    (batch,) = JsonlSource(UTC).read(io.BytesIO(GOOD + a_line(**changes) + GOOD))
    report = Loader(store, None).load("any", [batch], NOON_US)
    held = list(queries.iterate_rows(database, Filter()))
    assert (report.read, report.added, report.rejected) == (3, len(held), 3 - len(held))
    assert sorted(held, key=repr) == sorted(batch.rows, key=repr)
    assert sum(row[2] == "good" for row in held) >= 2
    for refused in batch.rejected:
        assert refused.line == 2
        assert field in refused.reason or (newer or field) in refused.reason or "JSON" in refused.reason


@on_both_engines
@given(changes=st.dictionaries(FIELDS, VALUES, min_size=2, max_size=6))
def test_any_values_in_many_fields_are_held_as_they_were_read(database: Database, changes: dict[str, Any]) -> None:
    """On both engines: nothing is raised, and what is held is what was read."""
    store = Store(database)
    store.delete(ALL_TIME)
    (batch,) = JsonlSource(UTC).read(io.BytesIO(GOOD + a_line(**changes) + GOOD))
    report = Loader(store, None).load("any", [batch], NOON_US)
    held = list(queries.iterate_rows(database, Filter()))
    assert report.added + report.rejected == 3
    assert sorted(held, key=repr) == sorted(batch.rows, key=repr)
    assert all(refused.reason for refused in batch.rejected)
