"""Channels: send notifications by email, Slack, PagerDuty, webhook, command, desktop or apprise."""

from __future__ import annotations
