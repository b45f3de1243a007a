"""Output of `claude -p` through the installed program: from standard input, files and folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.results import SESSION, SONNET, a_response, a_result, an_init, jsonl
from tests.transcripts import exported, text_block
from tests.transcripts import jsonl as entries

OUTPUT = jsonl([an_init(), a_response(), a_result()])
NAMES = ("model", "input_tokens", "output_tokens", "cache_read_tokens", "estimated_cost", "source")
WANTED = [(SONNET, 10, 100, 1000, 0.00122, "claude-result")]


def figures(run: Run) -> list[tuple[Any, ...]]:
    """What is stored."""
    return [tuple(row[name] for name in NAMES) for row in exported(run)]


@pytest.mark.parametrize(
    "content", [OUTPUT, json.dumps([an_init(), a_result()], indent=2).encode()], ids=["lines", "array"]
)
def test_a_run_is_piped_into_the_store(run: Run, content: bytes) -> None:
    """As lines or as an array, once, however often it comes; `-` reads nothing else."""
    for added in (1, 0):
        done = run("ingest", "-", "--json", input=content, text=False)
        said = json.loads(done.stdout)
        assert (done.returncode, said["added"]) == (0, added)
        assert said["sources"]["claude-result"]["files"] == 1
        assert said["sources"]["claude-code"]["files"] == 0
    assert figures(run) == WANTED


def test_a_file_and_a_folder_of_outputs_are_read(run: Run, home: Path) -> None:
    """Beside files that are none, which are left alone."""
    folder = home / "ci"
    folder.mkdir()
    (folder / "run.jsonl").write_bytes(OUTPUT)
    (folder / "execution-output.json").write_text(json.dumps([an_init(), a_result()]))
    (folder / "package.json").write_text('{"name": "x", "type": "module"}')
    for path in (folder / "execution-output.json", folder):
        done = run("ingest", path)
        assert (done.returncode, done.stderr) == (0, "")
    assert "results of claude -p: 2 files, 1 with nothing new" in done.stdout
    assert figures(run) == WANTED


def test_a_run_without_a_result_is_named(run: Run) -> None:
    """A note says that its figures are lower bounds; the summary counts it as such."""
    done = run("ingest", "-", input=OUTPUT[: OUTPUT.index(b'{"type":"result"')].decode())
    assert done.returncode == 0
    assert "without a result" in done.stdout
    (row,) = exported(run)
    assert (row["usage_basis"], row["error_type"]) == ("provisional", "unfinished")


OTHER_INPUT = {
    "executions": (b'{"agent_name": "x", "success": true}\n', "claude-force import -"),
    "a transcript": (entries([{"type": "assistant", "sessionId": SESSION, "message": text_block()}]), "is not output"),
    "no JSON": (b"Fixed the build.\n", "is not output"),
    "half an array": (b'[{"type": "system"', "not valid JSON"),
    "nothing": (b"", "nothing came"),
}


@pytest.mark.parametrize(("content", "reason"), OTHER_INPUT.values(), ids=OTHER_INPUT)
def test_other_input_is_one_clear_line(run: Run, content: bytes, reason: str) -> None:
    """And exit code 1; nothing is stored."""
    done = run("ingest", "-", input=content.decode())
    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert exported(run) == []
