#!/usr/bin/env python3
"""Check the last 15 minutes, and page when they are critical; for cron every five minutes.

The key is in the channel `pagerduty` of claude.json, or in PAGERDUTY_ROUTING_KEY, or in PAGERDUTY_API_KEY,
PAGERDUTY_SERVICE_ID and PAGERDUTY_FROM; see docs/alerts-channels.md. The rule is that of claude.json where it has it.
Exit 1 while an alert fires.
"""

from __future__ import annotations

import sys

from claude_force.cli.root import main

CHECK = [
    "alerts", "check",
    "--rule", "success-rate-critical",
    "--channel", "pagerduty",
]  # fmt: skip

if __name__ == "__main__":
    sys.argv[1:1] = CHECK
    main()
