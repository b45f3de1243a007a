"""Alerts: rules, what they measure, what is decided, and the outbox that it is told from."""

from __future__ import annotations
