"""Analytics: reports, session blocks and baselines, from queries to values."""

from __future__ import annotations
