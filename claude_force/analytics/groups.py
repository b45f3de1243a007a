"""Groups of executions in order, and the models without a price among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeVar, get_args

from claude_force.executions.totals import Group, Totals

SortKey = Literal["executions", "time", "cost", "success", "tokens", "name"]
SORT_KEYS: tuple[str, ...] = get_args(SortKey)

T = TypeVar("T")


class RowChoice(NamedTuple):
    """Which rows a report shows, and in which order: the first `limit` of them (None: all), the smallest, oldest or
    alphabetically first one first (True), the last one first (False), or in the order of the report (None)."""

    is_ascending: bool | None = None
    limit: int | None = None

    def of(self, rows: Sequence[T], *, is_ascending: bool) -> list[T]:
        """The chosen ones of all rows, which are in ascending or in descending order."""
        is_turned = self.is_ascending is not None and self.is_ascending != is_ascending
        return list(reversed(rows) if is_turned else rows)[: self.limit]

    def in_time(self, rows: Sequence[T]) -> list[T]:
        """The chosen ones of rows over time, which are in ascending order: in the order of the report the last ones."""
        if self.is_ascending is None and self.limit is not None:
            return list(rows)[-self.limit :]
        return self.of(rows, is_ascending=True)


ALL_ROWS = RowChoice()


def sort_groups(groups: Iterable[Group], sort_by: SortKey, rows: RowChoice = ALL_ROWS) -> list[Group]:
    """The chosen groups: by name from A to Z, or the largest first, unless the choice has another order. Ties are
    sorted by name; unknown values come last in both orders."""
    values: dict[str, Callable[[Totals], float | None]] = {
        "executions": lambda totals: totals.executions,
        "time": lambda totals: totals.average_ms,
        "cost": lambda totals: totals.cost,
        "success": lambda totals: totals.success_rate,
        "tokens": lambda totals: totals.total_tokens,
    }
    by_name = sorted(groups, key=lambda group: (group.name is None, group.name or ""))
    if sort_by == "name":
        named = [group for group in by_name if group.name is not None]
        ordered = RowChoice(rows.is_ascending).of(named, is_ascending=True) + by_name[len(named) :]
        return ordered[: rows.limit]
    sign = 1 if rows.is_ascending else -1

    def order(group: Group) -> tuple[bool, float]:
        value = values[sort_by](group.totals)
        return value is None, sign * (value or 0)

    return sorted(by_name, key=order)[: rows.limit]


def unpriced_models(models: Iterable[Group]) -> list[str]:
    """The models of executions without a known cost, the model with the most of them first; then models without a known
    cost that were only steps of others' executions."""
    groups = list(models)
    if not any(group.totals.unpriced for group in groups):
        return []
    found = [group for group in groups if group.totals.unpriced or group.totals.cost is None]
    return [group.name or "" for group in sorted(found, key=lambda group: (-group.totals.unpriced, group.name or ""))]


def sum_groups(groups: Iterable[Group]) -> Totals:
    """The sum of the totals of all groups."""
    return sum((group.totals for group in groups), Totals())


def groups_by(sums: dict[tuple[str | None, ...], Totals], position: int) -> list[Group]:
    """Sums by several names, added up by the name at one position of their keys."""
    found: dict[str | None, Totals] = {}
    for key, totals in sums.items():
        name = key[position]
        found[name] = found[name] + totals if name in found else totals
    return [Group(name, totals) for name, totals in found.items()]
