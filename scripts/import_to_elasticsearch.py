#!/usr/bin/env python3
"""Import executions to Elasticsearch: all of them the first time, then what is new.

`claude-force push elasticsearch` under the name of the guide, with its options.
"""

from __future__ import annotations

import sys

from claude_force.cli.root import main

if __name__ == "__main__":
    sys.argv[1:1] = ["push", "elasticsearch"]
    main()
