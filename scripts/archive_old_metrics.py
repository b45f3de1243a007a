#!/usr/bin/env python3
"""Archive old executions: `claude-force archive` under the name of the guide, with its options.

Without an age it archives what is older than 90 days. Without a terminal it needs --yes, as the command does.
"""

from __future__ import annotations

import sys

from claude_force.cli.root import main

if __name__ == "__main__":
    given = sys.argv[1:]
    is_aged = any(option.startswith("--older-than") for option in given)
    sys.argv[1:] = ["archive", *([] if is_aged or "--help" in given else ["--older-than", "90d"]), *given]
    main()
