"""Spreading the tables over the servers of a Citus cluster, each as the schema says (`schema.types`).

A table that is spread already is left alone, so all of this can be run again. Where the tables are is a part of the
database: an upgrade spreads the tables that it makes, in the transaction that makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from claude_force.database import schema
from claude_force.database.cluster import HAS_CITUS, IS_DISTRIBUTED
from claude_force.errors import DatabaseError

Ask = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a statement in a transaction; returns its rows."""

_SHARDS_OF_A_WORKER, _FEWEST_SHARDS, _MOST_SHARDS = 4, 8, 32
"""Workers that are added later take over shards, but a report asks each shard."""

_NODES = """
SELECT nodename || ':' || nodeport, groupid = 0 FROM pg_dist_node
WHERE isactive AND noderole = 'primary' ORDER BY 1
"""
_TABLES = """
SELECT relname, EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = pg_class.oid)
FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
"""
_LEFT_OVER = """
SELECT relname FROM pg_class JOIN pg_dist_partition ON logicalrelid = pg_class.oid
WHERE relnamespace = current_schema()::regnamespace AND pg_relation_size(pg_class.oid) > 0 ORDER BY relname
"""


class Plan(NamedTuple):
    """What distributing would do, or has done. The shards are those of each table that is spread; `executions` is the
    number of those that move."""

    coordinator: str
    workers: list[str]
    shards: int
    spread: dict[str, list[str]]
    everywhere: list[str]
    executions: int
    missing: list[str]
    """The tables that are not yet where they belong."""


def plan(ask: Ask, name: str, shards: int | None) -> Plan:
    """What distributing a database would do. Raises DatabaseError where it cannot be done, with the remedy."""
    if not _has_citus(ask):
        raise DatabaseError(
            f"{name} has no Citus: its administrator installs it on every server, and runs CREATE EXTENSION citus there"
        )
    nodes = ask(_NODES)
    coordinators = [node for node, is_coordinator in nodes if is_coordinator]
    workers = [node for node, is_coordinator in nodes if not is_coordinator]
    if not coordinators:
        raise DatabaseError(f"{name} is no node of itself yet: SELECT citus_set_coordinator_host('HOST', PORT)")
    if not workers:
        raise DatabaseError(f"{name} has no workers yet: SELECT citus_add_node('HOST', PORT) for each")
    missing = _missing(ask)
    executions = ask("SELECT COUNT(*) FROM executions")[0][0] if "executions" in missing else 0
    chosen = shards or min(max(_SHARDS_OF_A_WORKER * len(workers), _FEWEST_SHARDS), _MOST_SHARDS)
    if "executions" not in missing:
        found = ask("SELECT COUNT(*) FROM pg_dist_shard WHERE logicalrelid = 'executions'::regclass")[0][0]
        if shards not in (None, found):
            raise DatabaseError(
                f"{name} has {found} shards already; another number: "
                f"SELECT alter_distributed_table('executions', shard_count => {shards}, cascade_to_colocated => true)"
            )
        chosen = found
    places = {name: table.info["shards_by"] for name, table in sorted(schema.metadata.tables.items())}
    columns = sorted(set(places.values()) - {schema.EVERYWHERE, schema.ON_COORDINATOR}, reverse=True)
    return Plan(
        coordinators[0],
        workers,
        chosen,
        {column: [table for table, place in places.items() if place == column] for column in columns},
        [table for table, place in places.items() if place == schema.EVERYWHERE],
        executions,
        missing,
    )


def distribute_missing(ask: Ask, shards: int | None = None) -> list[str]:
    """Spread the tables that are not yet where they belong, in the transaction of `ask`; returns them. `shards` is
    needed for the first time."""
    missing = _missing(ask)
    if missing and shards is not None:
        ask(f"SET LOCAL citus.shard_count = {shards}")
    for table in missing:
        ask(_statement(table))
    return missing


def forget_local_rows(ask: Ask) -> None:
    """Free what the coordinator still holds of the rows that moved to the workers. To be called after the commit."""
    for (table,) in ask(_LEFT_OVER):
        ask(f"SELECT truncate_local_data_after_distributing_table('{table}')")


def is_distributed(ask: Ask) -> bool:
    """Whether the executions are spread over workers."""
    return _has_citus(ask) and bool(ask(IS_DISTRIBUTED)[0][0])


def _has_citus(ask: Ask) -> bool:
    return bool(ask(f"SELECT {HAS_CITUS}")[0][0])


def _missing(ask: Ask) -> list[str]:
    """The tables that are not yet where they belong, in the order in which a transaction that stores executions locks
    them."""
    found = {name for name, is_spread in ask(_TABLES) if not is_spread}
    places = {name: table.info["shards_by"] for name, table in schema.metadata.tables.items() if name in found}
    spread = [name for name, place in places.items() if place != schema.ON_COORDINATOR]
    return sorted(spread, key=lambda name: (places[name] != schema.EVERYWHERE, name != "executions", name))


def _statement(table: str) -> str:
    place = schema.metadata.tables[table].info["shards_by"]
    if place == schema.EVERYWHERE:
        return f"SELECT create_reference_table('{table}')"
    beside = "none" if table == "executions" else "executions"
    return f"SELECT create_distributed_table('{table}', '{place}', colocate_with => '{beside}')"
