"""Where each table is on Citus: the schema says it, and the keys allow it."""

from __future__ import annotations

import pytest
from sqlalchemy import PrimaryKeyConstraint, Table, UniqueConstraint

from claude_force.database import schema

PLACES = (schema.EVERYWHERE, schema.ON_COORDINATOR)
TABLES = sorted(schema.metadata.tables)


def unique_keys(table: Table) -> list[list[str]]:
    """The columns of each key in which no two rows may be equal."""
    constraints = [found for found in table.constraints if isinstance(found, PrimaryKeyConstraint | UniqueConstraint)]
    indexes = [index for index in table.indexes if index.unique]
    return [[column.name for column in key.columns] for key in (*constraints, *indexes)]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_place(name: str) -> None:
    """A table says where it is on Citus; each unique key of one that is spread has the column by which it is: no node
    knows the rows of another."""
    table = schema.metadata.tables[name]
    place = table.info.get("shards_by")
    assert place, f'{name}: say where it is on Citus: info={{"shards_by": ...}}, see schema.types'
    if place not in PLACES:
        assert all(place in key for key in unique_keys(table)), f"{name}: a unique key without {place}"


@pytest.mark.parametrize("name", [name for name in TABLES if "uid" in schema.metadata.tables[name].primary_key.columns])
def test_what_belongs_to_an_execution_is_on_its_node(name: str) -> None:
    """A table whose key has the uid of an execution is spread as the executions are: both are committed together."""
    assert schema.metadata.tables[name].info["shards_by"] == "uid"
