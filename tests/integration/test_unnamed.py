"""Reports by a name that no execution has: what the rows say, from the roll-ups."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, Store
from claude_force.executions.content_uids import content_uid
from claude_force.executions.record import ExecutionRow, to_row
from claude_force.time_windows import ALL_TIME, Window
from tests.builders import NOON_US, an_execution


def executions(number: int, **changes: object) -> list[ExecutionRow]:
    """Executions of two days, one after the other."""
    return [
        to_row(
            replace(
                an_execution(**changes),
                uid=content_uid(NOON_US + each, str(changes).encode(), each),
                timestamp_us=NOON_US + each * 2 * DAY_US // number,
            )
        )
        for each in range(number)
    ]


@pytest.mark.parametrize("window", [ALL_TIME, Window(NOON_US + DAY_US // 3, NOON_US + DAY_US), Window(0, 1)])
def test_what_has_no_name_is_one_group(database: Database, window: Window) -> None:
    """With the sums of the period, and none where there is nothing."""
    Store(database).add_rows(executions(DIRECT_ROLLUP_ROWS, workflow_id=None))
    with database.read() as connection:
        chosen = Filter(window)
        whole = queries.totals(connection, chosen)
        expected = {(None,): whole} if whole.executions else {}
        assert queries.totals_by(connection, chosen, "workflow_id") == expected
        ranks, _ = queries.percentiles(connection, chosen)
        found, _ = queries.percentiles_by(connection, chosen, "workflow_id")
        assert found == ({None: ranks} if whole.executions else {})
        by_model = queries.totals_by(connection, chosen, "session_id", "model", "git_branch")
        assert {names[1]: sums for names, sums in by_model.items()} == {
            name: sums for (name,), sums in queries.totals_by(connection, chosen, "model").items()
        }


@pytest.mark.parametrize("window", [ALL_TIME, Window(NOON_US + DAY_US // 3, NOON_US + DAY_US)])
def test_the_only_name_has_the_sums_of_the_period(database: Database, window: Window) -> None:
    """Those of a laptop have one host and one user: no rows are read for them."""
    Store(database).add_rows(executions(DIRECT_ROLLUP_ROWS, host="laptop", user_name="ada"))
    with database.read() as connection:
        chosen = Filter(window)
        whole = queries.totals(connection, chosen)
        assert queries.totals_by(connection, chosen, "host", "user_name") == {("laptop", "ada"): whole}
        assert queries.percentiles_by(connection, chosen, "host")[0] == {
            "laptop": queries.percentiles(connection, chosen)[0]
        }
        of_agents = queries.totals_by(connection, chosen, "agent_name")
        assert queries.totals_by(connection, chosen, "user_name", "agent_name") == {
            ("ada", *names): sums for names, sums in of_agents.items()
        }


@pytest.mark.parametrize("named", [1, DIRECT_ROLLUP_ROWS], ids=["pending", "rolled up"])
def test_one_name_is_found(database: Database, named: int) -> None:
    """Whether its executions are rolled up or not."""
    store = Store(database)
    store.add_rows(executions(DIRECT_ROLLUP_ROWS, workflow_id=None))
    store.add_rows(executions(named, workflow_id="bug-fix"))
    with database.read() as connection:
        sums = queries.totals_by(connection, Filter(), "workflow_id")
        assert {names[0]: found.executions for names, found in sums.items()} == {
            None: DIRECT_ROLLUP_ROWS,
            "bug-fix": named,
        }
