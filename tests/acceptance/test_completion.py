"""Completion in the shells themselves, where they are installed: commands, options, and the names in a store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from claude_force.cli.completion import SHELLS
from tests.builders import a_line
from tests.conftest import Run

LINES = (
    "claude-force ana", "claude-force db up", "claude-force costs --mod", "claude-force summary --agent py",
    "claude-force run show nig", "claude-force summary --timezone Europe/Zu",
)  # fmt: skip
WORDS = ["analytics", "upgrade", "--model", "python-expert", "nightly", "Europe/Zurich"]

_BASH = """
source <(claude-force completion bash)
for line in "$@"; do
    COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    "$(complete -p claude-force | sed 's/.*-F \\([^ ]*\\).*/\\1/')" claude-force
    echo "${COMPREPLY[*]}"
done
"""
_FISH = """
claude-force completion fish | source
for line in $argv
    complete -C $line | string split -f1 \\t
end
"""
_ZSH = """
autoload -U compinit; compinit -u -D
source <(claude-force completion zsh)
[[ -n $_comps[claude-force] ]] || exit 1
for line in "$@"; do
    words=(${=line}) CURRENT=${#words}
    compadd() { print -l -- ${(P)5}; }
    _describe() { print -l -- ${${(P)3}%%:*}; }
    $_comps[claude-force]
done
"""
SCRIPTS = {
    "bash": ("bash", "--norc", "-c", _BASH, "bash"),
    "fish": ("fish", "--no-config", "-c", _FISH),
    "zsh": ("zsh", "-f", "-c", _ZSH, "zsh"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, run: Run, home: Path) -> None:
    """What a user gets by the key Tab, from the script that `claude-force completion` prints."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (home / "lines.jsonl").write_bytes(a_line(agent_name="python-expert", workflow_id="nightly"))
    assert run("import", "lines.jsonl", cwd=home).returncode == 0
    environment = os.environ | {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*SCRIPTS[shell], *LINES], cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stderr, done.stdout.split()) == ("", WORDS)
