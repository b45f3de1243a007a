"""The program `claude-force`, also as `python -m claude_force`.

Nothing else is imported before the system is known to be one on which the rest can be imported.
"""

from __future__ import annotations

import sys

WRONG_SYSTEM = "error: claude-force runs on Linux and macOS; on Windows, install it in WSL"


def main() -> None:
    """Run the program and exit with 0 (done), 1 (failed) or 2 (wrong usage, or a system on which it does not run)."""
    if sys.platform.startswith("win"):
        print(WRONG_SYSTEM, file=sys.stderr)  # noqa: T201  (click is not imported yet)
        sys.exit(2)
    from claude_force.cli import root

    root.main()


if __name__ == "__main__":
    main()
