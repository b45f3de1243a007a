#!/usr/bin/env python3
"""Check the last day against baseline.json in the working folder; exit 1 on a regression.

Options are those of `claude-force baseline check`: `python scripts/check_regressions.py --days 7 --threshold 1.3`.
"""

from __future__ import annotations

import sys

from claude_force.cli.root import main

if __name__ == "__main__":
    sys.argv[1:1] = ["baseline", "check", "--baseline", "baseline.json"]
    main()
