"""Reports: tables, the dashboard and the HTML page."""

from __future__ import annotations
