"""Results of `claude -p --output-format json` and `stream-json`."""

from __future__ import annotations
