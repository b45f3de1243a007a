"""Lines that are read by the column end as those that are read one by one do, in every table."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.database.contract import Connection, Row
from claude_force.database.open import open_database
from claude_force.database.queries import verify_rollups
from claude_force.database.schema import metadata
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, Store
from claude_force.executions.jsonl.codec import ALL_COLUMNS
from claude_force.executions.pricing import PriceTable
from claude_force.ingest.jsonl_source import JsonlSource
from claude_force.ingest.loader import Loader
from claude_force.settings.claude_json import ModelPrice
from tests.profiles import scaled
from tests.properties.strategies import MODELS, ZONES, Line, histories, to_bytes

PRICES = PriceTable("claude-sonnet-4-5", {MODELS[1]: ModelPrice(0.7, 3.3)})
CHANGES = st.dictionaries(
    st.sampled_from([*ALL_COLUMNS, "workflow_name"]),
    st.sampled_from([None, 0, 1.0, -1, 10**9, "", "x", "0193267f-3b2a-7c55-8f02-3a1f0d9c4b11", True]),
    max_size=2,
)


def one_by_one(line: Line) -> Line:
    """The same line with an unknown field, which counts for nothing as it is null. It is read with care."""
    return line | {"nothing": None}


def all_rows(connection: Connection) -> dict[str, list[Row]]:
    """Every table, with the labels of a series for its number."""
    labels = {row[0]: row[1:] for row in connection.fetch("SELECT * FROM series")}
    found = {}
    for name, table in metadata.tables.items():
        columns = [column.name for column in table.columns]
        rows = connection.fetch(f"SELECT {', '.join(columns)} FROM {name}")
        place = columns.index("series_id") if "series_id" in columns else None
        if place is not None:
            rows = [(*row[:place], labels.get(row[place]), *row[place + 1 :]) for row in rows]
        found[name] = sorted(rows, key=repr)
    return found


def stored(contents: list[bytes], zone: str, *, reprice: bool) -> dict[str, list[Row]]:
    """Every table after an import of these files."""
    with TemporaryDirectory() as folder:
        database = open_database(str(Path(folder) / "metrics.db"))
        loader = Loader(Store(database), None, reprice=reprice)
        for content in contents:
            source = JsonlSource(ZoneInfo(zone), PRICES, reprice)
            loader.load("lines", source.read(io.BytesIO(content)), 0)
        with database.read() as connection:
            assert verify_rollups.differences(connection) == []
            found: dict[str, Any] = all_rows(connection)
        database.close()
    return found


@given(
    history=histories(),
    changes=CHANGES,
    cares=st.lists(st.booleans(), max_size=3),
    zone=st.sampled_from(ZONES),
    reprice=st.booleans(),
)
@settings(max_examples=scaled(50))
def test_lines_read_by_the_column_are_stored_as_those_read_with_care(
    history: list[Line], changes: Line, cares: list[bool], zone: str, reprice: bool
) -> None:
    """Any lines in any order, with equal ones, unusual ones and bad ones among them; also if half of them are stored
    already."""
    lines = [*history, *([history[0] | changes] if history else [])]
    # So many that they are rolled up at once.
    lines *= 1 + DIRECT_ROLLUP_ROWS // len(lines) if lines else 1
    some = [one_by_one(line) if index < len(cares) and cares[index] else line for index, line in enumerate(lines)]
    half = to_bytes(lines[::2])
    found = stored([half, to_bytes(some)], zone, reprice=reprice)
    assert found == stored([half, to_bytes(list(map(one_by_one, lines)))], zone, reprice=reprice)
