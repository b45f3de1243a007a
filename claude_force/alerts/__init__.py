"""Alerts: rules, measurements, decisions, the outbox of notifications, and the channels that send them."""

from __future__ import annotations
