"""Laws of outcomes: the sums are those of the different records, in any order, in any batches, after any repetition."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from claude_force.clock import DAY_US
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.queries.telemetry import outcomes
from claude_force.database.writes.telemetry import add_outcomes
from claude_force.executions.signals import Outcome
from tests.builders import NOON_US

RECORDS = st.dictionaries(
    st.integers(0, 30),
    st.tuples(
        st.integers(0, 2).map(lambda day: NOON_US + day * DAY_US),
        st.sampled_from(["lines_of_code", "commit"]),
        st.integers(-5, 10**9),
        st.sampled_from(["", "added", "removed"]),
        st.sampled_from(["", "s", "t"]),
    ),
    max_size=20,
).map(
    lambda found: [
        Outcome(key=f"{number:032x}", at_us=at_us, name=name, value=value, kind=kind, session_id=session_id)
        for number, (at_us, name, value, kind, session_id) in found.items()
    ]
)


@given(data=st.data(), records=RECORDS)
def test_any_order_and_any_repetition_make_the_same_sums(data: st.DataObject, records: list[Outcome]) -> None:
    """Every record arrives at least once, some again, in batches of any size."""
    arriving = data.draw(
        st.permutations([*records, *(data.draw(st.lists(st.sampled_from(records))) if records else [])])
    )
    expected: dict[tuple[int, str, str, str], tuple[int, int]] = {}
    for record in records:
        key = (record.at_us - record.at_us % DAY_US, record.session_id, record.name, record.kind)
        number, value = expected.get(key, (0, 0))
        expected[key] = (number + 1, value + record.value)
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(str(Path(folder) / "m.db"))
        counted = 0
        while arriving:
            size = data.draw(st.integers(1, len(arriving)))
            with database.write() as connection:
                counted += add_outcomes(connection, arriving[:size], NOON_US)
            arriving = arriving[size:]
        with database.read() as connection:
            found = outcomes(connection, Filter())
        database.close()
    assert counted == len(records)
    assert {row[:4]: row[4:] for row in found} == expected
