#!/usr/bin/env python3
"""Push the last hour to a Pushgateway. For cron: */5 * * * * cd DIR && python scripts/export_prometheus.py

The gateway is that of claude.json, else http://localhost:9091; see docs/how-to/prometheus.md. Options are those of
`claude-force push prometheus`.
"""

from __future__ import annotations

import sys

from claude_force.cli.root import main

if __name__ == "__main__":
    sys.argv[1:1] = ["push", "prometheus"]
    main()
