#!/usr/bin/env python3
"""Check the last 15 minutes and page when they are critical. For cron, every five minutes.

The key comes from the channel `pagerduty` in claude.json, from PAGERDUTY_ROUTING_KEY, or from PAGERDUTY_API_KEY,
PAGERDUTY_SERVICE_ID and PAGERDUTY_FROM; see docs/how-to/alert-channels.md. If claude.json changes the rule, that form
is used. Exit 1 while an alert fires.
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
