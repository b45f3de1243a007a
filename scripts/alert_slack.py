#!/usr/bin/env python3
"""Check the last hour and send alerts to Slack. For cron: 0 * * * * .venv/bin/python scripts/alert_slack.py

The webhook comes from the channel `slack` in claude.json, or from SLACK_WEBHOOK_URL; see docs/how-to/alert-channels.md.
Where claude.json changes one of the three rules, that form is used. Exit 1 while an alert fires.
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
