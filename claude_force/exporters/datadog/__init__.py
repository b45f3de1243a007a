"""DataDog: metrics over DogStatsD."""

from __future__ import annotations
