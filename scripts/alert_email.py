#!/usr/bin/env python3
"""Check the last hour and send alerts by email. For cron: 0 * * * * .venv/bin/python scripts/alert_email.py

The addresses come from the channel `email` in claude.json, or from SMTP_HOST, ALERT_FROM and ALERT_TO; see
docs/how-to/alert-channels.md. Where claude.json changes one of the three rules, that form is used. Exit 1 while an
alert fires.
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
