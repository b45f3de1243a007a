"""What the rows of small tables are in Python."""

from __future__ import annotations
