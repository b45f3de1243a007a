"""An execution: the record, its JSONL form, prices, totals and roll-ups. Nothing here knows a database."""

from __future__ import annotations
