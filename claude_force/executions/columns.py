"""Many executions by the column: a list of values for each field, or one value that all of them share.

A line of the guide has twelve of the fields, so most columns are one value. What works by the column, such as summing
and storing, takes a fraction of the time that it takes by the row.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import Any

from claude_force.executions.record import FIELDS, ExecutionRow, getter

LABELS = ("agent_name", "model", "project", "source")
"""The fields that make a series (see `rollups`). An unknown project is "" in a series."""

RUN_NAMES = ("session_id", "workflow_id", "run_id")
"""The fields that name a run (see `runs`)."""

Labels = tuple[str, str, str, str]

_values_of_labels = getter(*LABELS)

_MARSHAL_VERSION = 2
"""Later ones look for equal objects, which takes longer than writing them twice."""


@dataclass(slots=True)
class Columns:
    """Executions, whose values are those of an `ExecutionRow`. `series` lists the series that occur, and `places` has
    the index in it of each execution. `each` has the columns of the other fields whose values differ, `same` the value
    of the fields where all have the same one."""

    series: list[Labels] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    each: dict[str, list[Any]] = field(default_factory=dict)
    same: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[ExecutionRow]:
        """The executions as rows."""
        if not self.places:
            return iter(())
        labels: dict[str, Any] = dict(
            zip(LABELS, zip(*[self.series[place] for place in self.places], strict=True), strict=True)
        )
        labels["project"] = [name or None for name in labels["project"]]
        return zip(*(labels.get(name) or self.values(name) for name in FIELDS), strict=True)

    def values(self, name: str) -> list[Any]:
        """The values of a field that is not in LABELS."""
        return self.each[name] if name in self.each else [self.same.get(name)] * len(self)

    def has(self, name: str) -> bool:
        """Whether any of them has a value of a field that is not in LABELS."""
        return self.same.get(name, ...) is not None

    def only(self, kept: Iterable[bool]) -> Columns:
        """Those that are kept."""
        chosen = list(kept)
        each = {name: list(compress(column, chosen)) for name, column in self.each.items()}
        return Columns(self.series, list(compress(self.places, chosen)), each, self.same)


@dataclass(slots=True)
class Blocks:
    """Many executions, in blocks of `Columns`. They are kept as bytes, which take a tenth of the memory, and which
    another process can be given."""

    packed: list[bytes] = field(default_factory=list)
    size: int = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[ExecutionRow]:
        """The executions as rows."""
        return chain.from_iterable(self.columns())

    def add(self, block: Columns) -> None:
        """Add a block of executions."""
        if block:
            values = (block.series, block.places, block.each, block.same)
            self.packed.append(marshal.dumps(values, _MARSHAL_VERSION))
            self.size += len(block)

    def columns(self) -> Iterator[Columns]:
        """The blocks, one after the other."""
        return (Columns(*marshal.loads(data)) for data in self.packed)  # noqa: S302  (our own)


Rows = Sequence[ExecutionRow] | Blocks
"""Executions by the row or by the column."""


def blocks_of(rows: Rows) -> Iterable[Columns]:
    """Executions by the column."""
    return rows.columns() if isinstance(rows, Blocks) else [by_column(rows)]


def labels_of(row: ExecutionRow) -> Labels:
    """The series of an execution."""
    agent, model, project, source = _values_of_labels(row)
    return agent, model, project or "", source


def by_column(rows: Sequence[ExecutionRow]) -> Columns:
    """Executions by the column."""
    return arrange(dict(zip(FIELDS, map(list, zip(*rows, strict=True)), strict=True))) if rows else Columns()


def arrange(values: Mapping[str, list[Any]], same: Mapping[str, Any] | None = None) -> Columns:
    """Executions from the values of their fields, of at least one execution. Of a field that is not in `values`, all
    have the value in `same`."""
    same = dict(same or {})
    each: dict[str, list[Any]] = {}
    for name, column in values.items():
        first = column[0]
        if first == column[-1] and name not in _IN_EACH and column.count(first) == len(column):
            same[name] = first
        else:
            each[name] = column
    size = len(each["uid"])
    labels = [each.pop(name) if name in each else [same.pop(name)] * size for name in LABELS]
    labels[_PROJECT] = [name or "" for name in labels[_PROJECT]]
    series = list(dict.fromkeys(zip(*labels, strict=True)))
    place_of = {found: place for place, found in enumerate(series)}
    return Columns(series, list(map(place_of.__getitem__, zip(*labels, strict=True))), each, same)


_IN_EACH = frozenset(("uid", "timestamp_us"))
_PROJECT = LABELS.index("project")
