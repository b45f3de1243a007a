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
