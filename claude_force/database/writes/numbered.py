"""Combinations of names that other tables refer to by number."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.database.contract import Connection


class Numbered:
    """A table of such combinations: its name, the column of the number, and the columns of the names."""

    def __init__(self, table: str, number: str, names: tuple[str, ...]) -> None:
        self.table, self.number, self.names = table, number, names
        # Once, since recording an execution looks one up.
        self._find = f"SELECT {number} FROM {table} WHERE {' AND '.join(f'{name} = :{name}' for name in names)}"
        self._add = (
            f"INSERT INTO {table} ({', '.join((number, *names))}) "
            f"SELECT COALESCE(MAX({number}), 0) + 1, {', '.join(f'CAST(:{name} AS TEXT)' for name in names)} "
            f"FROM {table} WHERE 1 = 1 ON CONFLICT DO NOTHING"
        )

    def ids(self, connection: Connection, rows: Sequence[tuple[str, ...]]) -> list[int]:
        """The numbers of combinations, in their order."""
        wanted = sorted(set(rows))
        found = connection.lookup(self.table, self.number, self.names, wanted)
        for row in wanted:
            if row not in found:
                found[row] = self.id(connection, row)
        return [found[row] for row in rows]

    def id(self, connection: Connection, row: tuple[str, ...]) -> int:
        """The number of a combination; a new one gets the next. Looked up each time: one that a process remembered may
        belong to a file that was replaced."""
        named = dict(zip(self.names, row, strict=True))
        while not (known := connection.fetch(self._find, named)):
            # On a server another transaction may take the number or add the row at the same time; then look again.
            connection.execute(self._add, named)
        return int(known[0][0])
