"""`python -m claude_force` is `claude-force`."""

from __future__ import annotations

from claude_force.cli.root import main

main()
