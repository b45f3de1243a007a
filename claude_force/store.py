"""Every write. Adding is idempotent: a record whose `uid` is there already changes nothing and is counted.

An error from `add` does not mean that the records are absent (a commit can fail after the fact), so the right answer to
one is to add the same records again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from claude_force.clock import Window
from claude_force.database import Database
from claude_force.query import Filter
from claude_force.record import FIELDS, ExecutionMetrics, as_mapping
from claude_force.result import Added

_INSERT = (
    f"INSERT INTO executions ({', '.join(FIELDS)}) VALUES ({', '.join(f':{name}' for name in FIELDS)}) "
    "ON CONFLICT (uid) DO NOTHING"
)
_REPRICE = """
UPDATE executions
SET cost_nanousd = :cost_nanousd, reference_cost_nanousd = :reference_cost_nanousd, price_version = :price_version
WHERE uid = :uid AND (
    COALESCE(cost_nanousd, -1) <> :cost_nanousd
    OR COALESCE(reference_cost_nanousd, -1) <> COALESCE(:reference_cost_nanousd, -1)
)
"""


class Store:
    """The write side of a database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, records: Iterable[ExecutionMetrics]) -> Added:
        """Store records, in one transaction, and say how many were new.

        Raises DatabaseError; then either all of them are stored or none is, and adding them again is safe.
        """
        rows = self._rows(records)
        if not rows:
            return Added()
        with self.database.write() as connection:
            added = connection.execute_many(_INSERT, rows)
        return Added(added, len(rows) - added)

    def reprice(self, records: Iterable[ExecutionMetrics]) -> int:
        """Give stored executions the cost that these records have; how many changed. Records without a cost, and
        records that are not stored, change nothing."""
        priced = (record for record in records if record.cost_nanousd is not None)
        names = ("uid", "cost_nanousd", "reference_cost_nanousd", "price_version")
        rows = [{name: row[name] for name in names} for row in self._rows(priced)]
        if not rows:
            return 0
        with self.database.write() as connection:
            return connection.execute_many(_REPRICE, rows)

    def delete(self, window: Window) -> int:
        """Delete the executions of a window; how many there were."""
        condition, parameters = Filter(window=window).where()
        with self.database.write() as connection:
            return connection.execute(f"DELETE FROM executions{condition}", parameters)

    def _rows(self, records: Iterable[ExecutionMetrics]) -> Sequence[dict[str, Any]]:
        encode = self.database.encode_uid
        rows = [as_mapping(record) for record in records]
        for row in rows:
            row["uid"] = encode(row["uid"])
            row["success"] = int(row["success"])
        return rows
