"""Snapshots: the metrics of a set of executions, with the distributions of their durations and costs.

A snapshot has the keys of the guide's baseline, and what a check needs besides: `samples` (the number of executions,
and how many of them succeeded, were timed, have a cost), `duration_bins` and `cost_bins` (the count in each bin of
`executions.histogram`, in microseconds and in micro-dollars), and `filters` (the names it is restricted to). It is JSON
that can be stored as a file and read back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import tzinfo
from typing import Any

from claude_force import clock
from claude_force.analytics.json_fields import TITLES
from claude_force.analytics.names import known_names
from claude_force.analytics.report_types import Summary
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries.baselines import Filters, costs_by, named, names
from claude_force.database.rows.baselines import Baseline, BaselineHead
from claude_force.database.writes import baselines as baseline_writes
from claude_force.errors import BaselineError
from claude_force.executions.record import NAME_LIMIT
from claude_force.executions.totals import Archived, Group, Percentiles, Totals
from claude_force.text import for_terminal
from claude_force.time_windows import Window

MINIMUM_SAMPLES = 30
"""With fewer executions nothing is compared: their averages vary too much."""

GUIDE_KEYS = (
    "period", "total_executions", "success_rate", "avg_execution_time_ms", "p50_latency_ms", "p95_latency_ms",
    "p99_latency_ms", "total_cost", "avg_cost_per_execution", "avg_input_tokens", "avg_output_tokens",
    "model_distribution",
)  # fmt: skip
"""The keys of the guide's baseline, in its order."""

AUTOMATIC_PREFIX = "auto-"
"""The prefix of the names of automatic baselines."""

FILE_SUFFIX = ".json"
_NAMES_SHOWN = 12

Snapshot = dict[str, Any]


def measure(connection: Connection, chosen: Filter, *dimensions: Dimension) -> dict[str | None, Snapshot]:
    """The snapshots of the chosen executions by the names of one dimension. Without a dimension there is one snapshot,
    under None, even if there are no executions."""
    by_model = queries.totals_by(connection, chosen, *dimensions, "model")
    groups: dict[str | None, list[Group]] = {} if dimensions else {None: []}
    for names_of_group, totals in by_model.items():
        groups.setdefault(names_of_group[0] if dimensions else None, []).append(Group(names_of_group[-1], totals))
    if dimensions:
        ranked, is_exact = queries.percentiles_by(connection, chosen, dimensions[0])
    else:
        found, is_exact = queries.percentiles(connection, chosen)
        ranked = {None: found}
    durations = queries.durations_by(connection, chosen, *dimensions)
    costs = costs_by(connection, chosen, *dimensions)
    snapshots = {}
    for name, models in groups.items():
        restricted = chosen if name is None else _restricted(chosen, dimensions[0], name)
        totals = sum((group.totals for group in models), Totals())
        report = Summary(chosen.window.label, totals, ranked.get(name, Percentiles()), is_exact, [], models, Archived())
        times = durations.get((name,) if dimensions else ())
        snapshots[name] = _snapshot(report, filters_of(restricted), times, costs.get(name))
    return snapshots


def _restricted(chosen: Filter, dimension: Dimension, name: str) -> Filter:
    return replace(chosen, agents=(name,)) if dimension == "agent_name" else replace(chosen, models=(name,))


def _snapshot(
    report: Summary, filters: Filters, durations: Counter[int] | None, costs: Counter[int] | None
) -> Snapshot:
    values, totals = report.to_dict(), report.totals
    return {
        **{key: values[key] for key in GUIDE_KEYS},
        "samples": {
            "executions": totals.executions,
            "successes": totals.successes,
            "timed": totals.timed,
            "priced": totals.priced,
        },
        "filters": filters,
        "duration_bins": _bins(durations),
        "cost_bins": _bins(costs),
    }


def _bins(histogram: Counter[int] | None) -> dict[str, int]:
    """For JSON, the lowest bin first."""
    return {str(number): count for number, count in sorted((histogram or {}).items())}


def filters_of(chosen: Filter) -> dict[str, list[str]]:
    """The names in a filter, by kind: {"agent": ["a", "b"]}."""
    return {TITLES[column]: sorted(wanted) for column, wanted in chosen.names() if wanted}


def key_of(chosen: Filter) -> tuple[str, str]:
    """The agent and the model of a baseline of these executions; "" unless the filter has exactly one."""
    agent, model = (wanted[0] if len(wanted) == 1 else "" for wanted in (chosen.agents, chosen.models))
    return agent, model


def narrowing_of(chosen: Filter) -> dict[str, list[str]]:
    """The names in a filter other than those of `key_of`."""
    agent, model = key_of(chosen)
    own = {"agent": [agent], "model": [model]}
    return {kind: wanted for kind, wanted in filters_of(chosen).items() if wanted != own.get(kind)}


def filter_of(filters: Mapping[str, list[str]], window: Window) -> Filter:
    """The filter of a snapshot, for another period."""
    return Filter(window).with_names({column: tuple(filters.get(title, ())) for column, title in TITLES.items()})


def create(database: Database, name: str | None, chosen: Filter, now_us: int, zone: tzinfo) -> Baseline:
    """Store a snapshot of the chosen executions. The name is the date in `zone` if it is None. Raises BaselineError if
    there are no executions, or the name is taken or invalid."""
    wanted = _checked_name(name) if name is not None else clock.to_datetime(now_us, zone).date().isoformat()
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        window = whole_window(connection, chosen.window, now_us)
        agent, model = key_of(chosen)
        if any((found.agent_name, found.model) == (agent, model) for found in named(connection, wanted)):
            raise _taken(wanted)
        snapshot = measure(connection, replace(chosen, window=window))[None]
    executions = snapshot["total_executions"]
    if not executions:
        raise BaselineError(
            f"no executions for a baseline ({window.label}); choose another period with --days or --start"
        )
    assert window.start_us is not None
    assert window.end_us is not None
    made = Baseline(wanted, agent, model, False, now_us, window.start_us, window.end_us, executions, snapshot)
    with database.write() as connection:
        if not baseline_writes.put(connection, [made]):
            raise _taken(wanted)
    return made


def whole_window(connection: Connection, window: Window, now_us: int) -> Window:
    """The window with a start and an end. The end is not in the future."""
    history = queries.time_range(connection)
    start = window.start_us if window.start_us is not None else history.first_us if history else now_us
    end = now_us if window.end_us is None else min(window.end_us, now_us)
    return Window(start, max(start, end), window.label)


def _taken(name: str) -> BaselineError:
    shown = for_terminal(name)
    return BaselineError(
        f"there is a baseline {shown} already; claude-force baseline delete {shown}, or choose another name"
    )


def is_file(name: str) -> bool:
    """Whether the name of a baseline means a file: it is a path, or ends with .json."""
    return name.endswith(FILE_SUFFIX) or "/" in name or "\\" in name


def _checked_name(name: str) -> str:
    """The name, if it is valid and cannot be taken for a file or an option."""
    if name.startswith(AUTOMATIC_PREFIX):
        raise BaselineError(f"names that begin with {AUTOMATIC_PREFIX} are reserved for the scheduler; choose another")
    if is_file(name):
        raise BaselineError(f"{for_terminal(name)} looks like a file; choose a name without / and {FILE_SUFFIX}")
    if not name.strip() or name.startswith("-") or not name.isprintable() or len(name) > NAME_LIMIT:
        raise BaselineError(
            f"{for_terminal(name[:40])!r} is not a valid name; use 1 to {NAME_LIMIT} printable characters, "
            "the first of them not a dash"
        )
    return name


def find_named(connection: Connection, name: str) -> list[Baseline]:
    """All baselines of a name. If there is none, raises BaselineError with the names that exist."""
    found = named(connection, name)
    if not found:
        known = names(connection)
        more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
        shown = f"there are: {', '.join(known[:_NAMES_SHOWN])}{more}" if known else "there is none yet"
        raise BaselineError(f"no baseline {for_terminal(name)}; {for_terminal(shown)}")
    return found


def find_snapshots(connection: Connection, name: str, agent: str | None, model: str | None) -> list[Baseline]:
    """The baselines of a name, restricted to an agent or a model if given. Raises BaselineError if there is none."""
    found = find_named(connection, name)
    chosen = [one for one in found if agent in (None, one.agent_name) and model in (None, one.model)]
    if not chosen:
        raise BaselineError(for_terminal(f"baseline {name} has no such snapshot; it has: {_subjects(found)}"))
    return chosen


def find_snapshot(connection: Connection, name: str, agent: str | None, model: str | None) -> Baseline:
    """The only one of `find_snapshots`, or that of all executions. Raises BaselineError if neither exists."""
    found = find_snapshots(connection, name, agent, model)
    general = [one for one in found if not (one.agent_name or one.model)]
    if len(found) > 1 and not general:
        raise BaselineError(for_terminal(f"baseline {name} has: {_subjects(found)}; choose with --agent or --model"))
    return (general or found)[0]


def _subjects(found: list[Baseline]) -> str:
    return "; ".join(subject(one) for one in found[:5])


def subject(baseline: BaselineHead) -> str:
    """The executions that a baseline covers, in words: "agent a, model b"."""
    parts = [f"{title} {name}" for title, name in (("agent", baseline.agent_name), ("model", baseline.model)) if name]
    return ", ".join(parts) or "all executions"


def head_dict(head: BaselineHead, zone: tzinfo) -> dict[str, Any]:
    """The head of a baseline for JSON; instants in `zone`."""
    instants = {"start": head.start_us, "end": head.end_us, "created": head.created_us}
    first, last = head.days(zone)
    return {
        "name": head.name,
        "agent": head.agent_name or None,
        "model": head.model or None,
        "automatic": head.is_automatic,
        **{name: clock.format_instant(at, zone) for name, at in instants.items()},
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "total_executions": head.executions,
    }
