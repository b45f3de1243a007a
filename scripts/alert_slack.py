#!/usr/bin/env python3
"""Check the last hour, and tell what is wrong on Slack. For cron: 0 * * * * .venv/bin/python scripts/alert_slack.py

The webhook is in the channel `slack` of claude.json, or in SLACK_WEBHOOK_URL; see docs/alerts-channels.md. The three
rules are those of claude.json where it has them. Exit 1 while an alert fires.
"""

from __future__ import annotations

import sys

from claude_force.cli.root import main

CHECK = [
    "alerts", "check",
    "--rule", "success-rate",
    "--rule", "average-time",
    "--rule", "cost-per-hour",
    "--channel", "slack",
]  # fmt: skip

if __name__ == "__main__":
    sys.argv[1:1] = CHECK
    main()
