"""Baselines that are kept, and what one is made from that roll-ups do not know: how costs are distributed.

A baseline that was narrowed further than to an agent and a model (to a project, to several agents) says so in its
snapshot, under `filters`; it is found only by who asks for just that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache

from claude_force.database.contract import Connection, Row
from claude_force.database.queries.filter import LABELLED, Dimension, Filter, rows_from
from claude_force.database.rows.baselines import Baseline, BaselineHead
from claude_force.executions.histogram import bin_lows

Filters = Mapping[str, list[str]]
"""The names that a baseline is restricted to, by what they are names of: agent, model, project, workflow, source."""

HEAD = ("name", "agent_name", "model", "is_automatic", "created_us", "start_us", "end_us", "executions")
_HEAD = ", ".join(HEAD)
_NANOUSD_IN_MICROUSD = 1000


def newest(
    connection: Connection, name: str | None, agent: str, model: str, before_us: int, filters: Filters = {}
) -> Baseline | None:
    """The baseline to compare with: the named one, else the newest that ended by `before_us`, else the newest; None
    where there is none. Agent and model are "" for all executions; `filters` are what else it was restricted to.

    One that a person made goes before automatic ones: these follow whatever creeps in."""
    for head in _candidates(connection, name, agent, model, before_us):
        found = _load(connection, head)
        if narrower(found) == dict(filters):
            return found
    return None


def _candidates(connection: Connection, name: str | None, agent: str, model: str, before_us: int) -> list[BaselineHead]:
    condition = "" if name is None else " AND name = :name"
    rows = connection.fetch(
        f"SELECT {_HEAD} FROM baselines WHERE agent_name = :agent AND model = :model{condition} "
        "ORDER BY CASE WHEN end_us <= :before_us THEN 0 ELSE 1 END, is_automatic, end_us DESC, created_us DESC, name",
        {"agent": agent, "model": model, "before_us": before_us} | ({} if name is None else {"name": name}),
    )
    return [_head(row) for row in rows]


def _head(row: Row) -> BaselineHead:
    values = dict(zip(HEAD, row, strict=True))
    return BaselineHead(**values | {"is_automatic": bool(values["is_automatic"])})


def _load(connection: Connection, head: BaselineHead) -> Baseline:
    rows = connection.fetch(
        "SELECT snapshot FROM baselines WHERE name = :name AND agent_name = :agent AND model = :model",
        {"name": head.name, "agent": head.agent_name, "model": head.model},
    )
    return Baseline(**asdict(head), snapshot=json.loads(rows[0][0]))


def narrower(baseline: Baseline) -> dict[str, list[str]]:
    """What it is restricted to beside its agent and its model."""
    said: dict[str, list[str]] = dict(baseline.snapshot.get("filters", {}))
    own = {"agent": [baseline.agent_name], "model": [baseline.model]}
    return {kind: names for kind, names in said.items() if names != own.get(kind)}


def named(connection: Connection, name: str) -> list[Baseline]:
    """Every baseline of a name, that of all executions first."""
    rows = connection.fetch(
        f"SELECT {_HEAD} FROM baselines WHERE name = :name ORDER BY agent_name, model", {"name": name}
    )
    return [_load(connection, _head(row)) for row in rows]


def heads(connection: Connection) -> list[BaselineHead]:
    """What baselines there are: those that people made first, the newest of each kind first."""
    rows = connection.fetch(
        f"SELECT {_HEAD} FROM baselines ORDER BY is_automatic, created_us DESC, name, agent_name, model"
    )
    return [_head(row) for row in rows]


def names(connection: Connection) -> list[str]:
    """The names that there are: those that people gave first, the newest of each kind first."""
    return list(dict.fromkeys(head.name for head in heads(connection)))


def costs_by(connection: Connection, chosen: Filter, *dimensions: Dimension) -> dict[str | None, Counter[int]]:
    """How many of the chosen executions have a cost in each bin (those of `rollup.bin_of`, of micro-dollars), by the
    names of a dimension; without one it is all of them, under None. Costs that are not known are left out.

    The rows are read, and counted by the database, so that the answer is small whatever there is."""
    name = LABELLED[dimensions[0]] if dimensions else "NULL"
    tables, condition, parameters = rows_from(chosen, bool(dimensions), "cost_nanousd IS NOT NULL")
    rows = connection.fetch(
        f"SELECT {name}, {_bin_of_cost()}, COUNT(*) FROM {tables}{condition} GROUP BY 1, 2", parameters
    )
    found: dict[str | None, Counter[int]] = {}
    for group, number, count in rows:
        found.setdefault(group, Counter())[int(number)] = int(count)
    return found


@cache
def _bin_of_cost() -> str:
    """`rollup.bin_of` of a cost as SQL: a search by halves, eleven comparisons deep. Neither engine has a look-up by
    range that is as fast, and a logarithm of floats would put a value at a bound into another bin."""

    def search(first: int, end: int) -> str:
        if end - first == 1:
            return str(first)
        middle = (first + end) // 2
        bound = bin_lows()[middle] * _NANOUSD_IN_MICROUSD
        return f"CASE WHEN cost_nanousd < {bound} THEN {search(first, middle)} ELSE {search(middle, end)} END"

    return search(0, len(bin_lows()))
