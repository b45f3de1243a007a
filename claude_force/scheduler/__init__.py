"""The scheduler: the jobs that run by themselves, and when."""

from __future__ import annotations
