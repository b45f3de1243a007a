"""Reports, session blocks and baselines: queries in, values out."""

from __future__ import annotations
