"""The calls of other versions of the Anthropic SDK: python benchmarks/anthropic_versions.py [VERSION...]

Installs each version with what it needs into a folder of its own, and runs `tests/integration/test_anthropic_sdk.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = "tests/integration/test_anthropic_sdk.py"
VERSIONS = ("0.40.0", "0.60.0", "0.84.0", "0.98.1", "1.0.0", "1.14.0", "2.14.0")
OLD_HTTPX = "httpx<0.28"
"""Version 0.40 passes an argument to httpx that 0.28 does not have any more."""


def run_tests(version: str, folder: str) -> str:
    """What pytest says of a version in its last line."""
    wanted = [f"anthropic=={version}", *([OLD_HTTPX] if version.startswith("0.40.") else [])]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, *wanted]
    subprocess.run(install, check=True)
    # Old versions warn of what newer libraries deprecate.
    command = [sys.executable, "-W", "ignore", "-m", "pytest", TESTS, "-q", "-n0", "-k", "not postgresql"]
    done = subprocess.run(
        [*command, "-o", "filterwarnings=default"],
        env={**os.environ, "PYTHONPATH": folder},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip().splitlines()[-1] if done.stdout else done.stderr


def main() -> None:
    """Test the versions of the command line, or the usual ones."""
    for version in sys.argv[1:] or VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{version:<8} {run_tests(version, folder)}", flush=True)


if __name__ == "__main__":
    main()
