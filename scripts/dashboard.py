#!/usr/bin/env python3
"""Watch what agents do: `claude-force dashboard` under the name of the guide, with its options."""

from __future__ import annotations

import sys

from claude_force.cli.root import main

if __name__ == "__main__":
    sys.argv[1:1] = ["dashboard"]
    main()
