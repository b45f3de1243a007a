"""The doctor: read-only checks of an installation. Each finding names its remedy."""

from __future__ import annotations
