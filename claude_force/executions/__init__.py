"""Executions: the record, its JSONL format, prices, totals, roll-ups and deduplication. Pure: no database, no
network."""

from __future__ import annotations
