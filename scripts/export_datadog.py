#!/usr/bin/env python3
"""Export new executions to DataDog. For cron: */5 * * * * python scripts/export_datadog.py

`claude-force push datadog` under the name of the guide, with its options.
"""

from __future__ import annotations

import sys

from claude_force.cli.root import main

if __name__ == "__main__":
    sys.argv[1:1] = ["push", "datadog"]
    main()
