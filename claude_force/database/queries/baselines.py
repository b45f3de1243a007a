"""Stored baselines, and the distribution of costs that a new one needs.

A baseline may be restricted to more than one agent and one model, for example to a project. Its snapshot then has these
names under `filters`, and it is used only for a check with exactly the same filters.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from claude_force.database.contract import Connection, Row
from claude_force.database.queries.filter import NAME_SQL, Dimension, Filter, rows_from
from claude_force.database.rows.baselines import Baseline, BaselineHead
from claude_force.executions.histogram import bin_lows

Filters = Mapping[str, list[str]]
"""The names that a baseline is restricted to, by kind: agent, model, project, workflow, source."""

HEAD = ("name", "agent_name", "model", "is_automatic", "created_us", "start_us", "end_us", "executions")
_HEAD = ", ".join(HEAD)
_NANOUSD_IN_MICROUSD = 1000


def newest(
    connection: Connection, name: str | None, agent: str, model: str, before_us: int, filters: Filters = {}
) -> Baseline | None:
    """The baseline to compare with: the named one, else the newest that ended by `before_us`, else the newest; None if
    there is none. Agent and model are "" for all executions; `filters` are its further restrictions.

    Baselines made by a person come first: automatic ones would follow a slow regression."""
    for head in _candidates(connection, name, agent, model, before_us):
        baseline = _load(connection, head)
        if narrower(baseline) == dict(filters):
            return baseline
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
    """The names it is restricted to, apart from its agent and its model."""
    filters: dict[str, list[str]] = dict(baseline.snapshot.get("filters", {}))
    own = {"agent": [baseline.agent_name], "model": [baseline.model]}
    return {kind: names for kind, names in filters.items() if names != own.get(kind)}


def named(connection: Connection, name: str) -> list[Baseline]:
    """Every baseline of a name; the one of all executions comes first."""
    rows = connection.fetch(
        f"SELECT {_HEAD} FROM baselines WHERE name = :name ORDER BY agent_name, model", {"name": name}
    )
    return [_load(connection, _head(row)) for row in rows]


def heads(connection: Connection) -> list[BaselineHead]:
    """Every baseline without its snapshot: those that people made first, then by age, newest first."""
    rows = connection.fetch(
        f"SELECT {_HEAD} FROM baselines ORDER BY is_automatic, created_us DESC, name, agent_name, model"
    )
    return [_head(row) for row in rows]


def names(connection: Connection) -> list[str]:
    """The names of all baselines, in the order of `heads`."""
    return list(dict.fromkeys(head.name for head in heads(connection)))


def costs_by(connection: Connection, filters: Filter, *dimensions: Dimension) -> dict[str | None, Counter[int]]:
    """How many matching executions have a cost in each bin (that of `histogram.bin_of` for micro-dollars), by the names
    of a dimension that makes a series; without one it is all of them, under None. Unknown costs are left out.

    Reads every matching row, in constant memory: roll-ups have no bins of costs, and SQL cannot compute one."""
    column = NAME_SQL[dimensions[0]] if dimensions else "NULL"
    names: dict[int, str | None] = dict(connection.fetch(f"SELECT series_id, {column} FROM series"))
    lows = [low * _NANOUSD_IN_MICROUSD for low in bin_lows()]
    tables, condition, parameters = rows_from(filters, False, "cost_nanousd IS NOT NULL")
    rows = connection.stream(f"SELECT executions.series_id, cost_nanousd FROM {tables}{condition}", parameters)
    # `bin_of` of each cost, written out: there is one for every execution.
    counts = Counter((series, bisect_right(lows, cost)) for series, cost in rows)
    bins: dict[str | None, Counter[int]] = {}
    for (series, following), count in counts.items():
        name = filters.project_names.of(names[series]) if dimensions == ("project",) else names[series]
        bins.setdefault(name, Counter())[following - 1] += count
    return bins
