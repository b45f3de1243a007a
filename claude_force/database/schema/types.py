"""The types of columns, and the metadata that all tables are part of."""

from __future__ import annotations

from sqlalchemy import REAL, BigInteger, Double, Integer, LargeBinary, MetaData, Uuid
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Identity = Uuid().with_variant(LargeBinary(), "sqlite")
"""Sixteen bytes on SQLite, a native uuid on PostgreSQL."""

Count = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit integer. A STRICT table of SQLite accepts only the name INTEGER."""

Measure: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")
"""A measured value in the unit of its metric. A STRICT table of SQLite accepts only the name REAL."""

EVERYWHERE, ON_COORDINATOR = "everywhere", "coordinator"
"""Where the rows of a table are on Citus (`info["shards_by"]` of each table): on every node, on the coordinator alone,
or spread over the workers by the hash of the column that is named, equal hashes on one node. What is committed together
with an execution, and read beside it, has to be on its node. See docs/decisions/0046."""
