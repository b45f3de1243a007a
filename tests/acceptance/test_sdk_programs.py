"""Programs that use the Anthropic SDK, as a user runs them. A stand-in of the SDK answers them: it is the recording
that is tried here; `tests/integration/test_anthropic_sdk.py` has the real SDK."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from claude_force.anthropic_sdk.recording import Recording
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate
from claude_force.executions.record import ExecutionMetrics
from tests.conftest import PROGRAM

SDK = """
from types import SimpleNamespace as Some

class SyncAPIClient:
    def request(self, cast_to, options):
        usage = Some(input_tokens=12, output_tokens=345)
        return Some(usage=usage, id="msg_1", model="claude-sonnet-4-6", stop_reason="end_turn", _request_id="req_1")

class AsyncAPIClient:
    async def request(self, cast_to, options):
        pass

def call():
    SyncAPIClient().request(None, Some(url="/v1/messages", method="post", json_data={"model": "claude-sonnet-4-6"}))
"""
CALL = """
from anthropic import call
call()
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with the stand-in of the SDK, and a `sitecustomize` that somebody else put there."""
    package = tmp_path / "packages" / "anthropic"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from anthropic._base_client import call\n")
    (package / "_version.py").write_text('__version__ = "2.14.0"\n')
    (package / "_base_client.py").write_text(SDK)
    (package.parent / "sitecustomize.py").write_text("import os\nos.environ['THEIRS'] = 'has run'\n")
    return package.parent


def run(packages: Path, code: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a file, behind some words of a command."""
    program = packages.parent / "app.py"
    program.write_text(dedent(code))
    return subprocess.run(
        [*before, sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def stored(home: Path) -> list[ExecutionMetrics]:
    """The executions in the store of the user."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    try:
        return list(iterate(database, Filter()))
    finally:
        database.close()


def test_a_program_under_run_is_recorded_as_it_is(packages: Path, home: Path) -> None:
    """Not a line of it knows of claude-force, it ends without any clean-up, and what it sees is its own."""
    code = f"{CALL}\nimport os, sys\nprint(os.environ['THEIRS'], [p for p in sys.path if 'startup' in p], flush=True)"
    done = run(packages, code + "\nos._exit(3)", str(PROGRAM), "run", "--agent", "bot", "--")
    assert (done.returncode, done.stdout) == (3, "has run []\n")
    (found,) = stored(home)
    assert (found.agent_name, found.input_tokens, found.output_tokens) == ("bot", 12, 345)
    assert "1 request, 357 tokens; exit code 3" in done.stderr
    assert "telemetry" not in done.stderr


@pytest.mark.thorough
def test_a_program_that_calls_instrument_stores_its_calls_itself(packages: Path, home: Path) -> None:
    """Under its own name. What it had no time for, the next one stores."""
    done = run(packages, f"import claude_force\nclaude_force.instrument()\n{CALL}")
    assert (done.returncode, done.stderr) == (0, "")
    Recording().store()
    (found,) = stored(home)
    assert (found.agent_name, found.output_tokens, found.project) == ("app", 345, str(home))
