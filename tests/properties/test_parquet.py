"""An export to Parquet has the rows of `executions_v1`, whatever the executions are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.views.filtered import EXACT_EXECUTIONS, iterate_exact
from claude_force.database.views.parquet import months_of, write_parquet
from claude_force.executions.record import ExecutionMetrics
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, records, refill
from tests.properties.test_views import view

KINDS = {column.name: column.kind for column in EXACT_EXECUTIONS}


@given(executions=st.lists(records(), max_size=8, unique_by=lambda record: record.uid))
@settings(on_both_engines, max_examples=scaled(15))
def test_an_export_has_the_rows_of_the_view(database: Database, executions: list[ExecutionMetrics]) -> None:
    """Every value to its last bit, the nano-dollars of its costs, and each month of UTC in its folder."""
    refill(database, executions)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "lake's"
        assert write_parquet(iterate_exact(database, Filter()), KINDS, folder) == len(executions)
        months = months_of(folder)
        found = _read(folder) if executions else []
    expected = view(database, "executions_v1", "timestamp_us, uid")
    assert months == sorted({row["day"][:7] for row in expected})
    ordered = sorted(executions, key=lambda each: (each.timestamp_us, each.uid))
    for row, wanted, execution in zip(found, expected, ordered, strict=True):
        exact = {name: row.pop(name) for name in ("duration_us", "cost_nanousd", "reference_cost_nanousd")}
        assert exact == {name: getattr(execution, name) for name in exact}
        assert row.pop("month") == wanted["day"][:7]
        del row["recorded_cost_nanousd"]
        assert row == wanted


def _read(folder: Path) -> list[dict[str, object]]:
    """The rows of an export, with instants and days as text."""
    with duckdb.connect(config={"threads": 1}) as reader:
        result = reader.execute(
            "SELECT * REPLACE (strftime(make_timestamp(epoch_us(timestamp)), '%Y-%m-%dT%H:%M:%S.%f+00:00') AS "
            "timestamp, strftime(day, '%Y-%m-%d') AS day) FROM read_parquet($glob) "
            "ORDER BY timestamp_us, uid",
            {"glob": f"{folder}/*/*.parquet"},
        )
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
