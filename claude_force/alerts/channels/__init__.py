"""Channels: how an alert is told by mail, Slack, PagerDuty, a webhook, a command."""

from __future__ import annotations
