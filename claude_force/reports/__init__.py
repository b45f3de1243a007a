"""Everything a person sees: tables, the dashboard, the HTML page and the status line."""

from __future__ import annotations
