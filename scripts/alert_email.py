#!/usr/bin/env python3
"""Check the last hour, and tell what is wrong by email. For cron: 0 * * * * .venv/bin/python scripts/alert_email.py

The addresses are in the channel `email` of claude.json, or in SMTP_HOST, ALERT_FROM and ALERT_TO; see
docs/alerts-channels.md. The three rules are those of claude.json where it has them. Exit 1 while an alert fires.
"""

from __future__ import annotations

import sys

from claude_force.cli.root import main

CHECK = [
    "alerts", "check",
    "--rule", "success-rate",
    "--rule", "average-time",
    "--rule", "cost-per-hour",
    "--channel", "email",
]  # fmt: skip

if __name__ == "__main__":
    sys.argv[1:1] = CHECK
    main()
