"""The pages: every command that they show runs, and every file that they link to exists."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from claude_force.cli.root import cli
from scripts import generate
from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
JSON = re.compile(r"```json\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"(?<!`)`(claude-force [a-z][^`|>;]*)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def shell_lines() -> list[str]:
    """Every claude-force command of a `sh` block, without its comment. An indented line continues the command."""
    blocks = [block for page in PAGES for block in SHELL.findall(page.read_text(encoding="utf-8"))]
    commands = [line for block in blocks for line in re.split(r"\n(?! )", block)]
    lines = [command.split("  #")[0].strip() for command in commands]
    return [line for line in lines if line.startswith("claude-force")]


@pytest.mark.thorough
def test_generated_files_are_up_to_date() -> None:
    """The command reference, the schema of a new database and every console block are what the code gives."""
    done = subprocess.run(
        [sys.executable, "scripts/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link within the repository names a file that exists."""
    targets = [page.parent / target for target in LINK.findall(page.read_text(encoding="utf-8"))]
    assert [target for target in targets if not target.exists()] == []


@pytest.mark.thorough
def test_every_shell_line_works(tmp_path: Path) -> None:
    """The commands of the `sh` blocks succeed in a home with a database, in the order of the pages."""
    home = tmp_path / "reader"
    home.mkdir()
    generate.prepare_home(home)
    generate.run_shell("claude-force import examples/executions-guide.jsonl", home)
    lines = shell_lines()
    assert lines
    for line in lines:
        output = generate.run_shell(f"{line} && echo it-worked", home)
        # Output on stderr comes last.
        assert "it-worked" in output.splitlines(), f"{line}\n{output}"


def problem_of(command: str) -> str | None:
    """The subcommand or option of a command that does not exist; None if all of them do."""
    words = [word for word in re.split(r"[\s=]+", command) if word][1:]
    found: click.Command = cli
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        inner = found.get_command(click.Context(found), name)
        if inner is None:
            return None if name.isupper() else f"{command}: there is no {name}"
        found = inner
    known = {option for parameter in found.params for option in parameter.opts} | {"--help", "--version"}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"{command}: there is no {unknown[0]}" if unknown else None


def test_every_command_named_in_a_page_exists() -> None:
    """Commands within sentences and tables have the subcommands and options of the program."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    commands = [" ".join(found.split()) for text in texts for found in COMMAND.findall(text)]
    assert len(commands) > 50
    assert [problem for command in commands if (problem := problem_of(command))] == []


def test_the_python_in_the_readme_compiles() -> None:
    """Every Python block is valid Python 3.11."""
    blocks = PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        ast.parse(block)


def test_the_recording_example_of_the_readme_records(home: Path) -> None:
    """The first Python block runs unchanged and stores an execution with a cost."""
    block = PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    done = subprocess.run([sys.executable, "-c", block], cwd=home, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run(
        [sys.executable, "-m", "claude_force", "analytics", "summary"],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Total Executions: 1" in shown.stdout
    assert "Total Cost: $0.0041 USD" in shown.stdout


def test_the_example_line_is_a_record(tmp_path: Path) -> None:
    """The example line of docs/reference/record.md imports, and exports unchanged, with its keys in the same order."""
    example = JSON.findall((ROOT / "docs" / "reference" / "record.md").read_text(encoding="utf-8"))[0]
    home = tmp_path / "reader"
    home.mkdir()
    generate.prepare_home(home)
    (home / "line.jsonl").write_text(example, encoding="utf-8")
    assert "Added                 1" in generate.run_shell("claude-force import line.jsonl", home)
    exported = json.loads(generate.run_shell("claude-force analytics export --format jsonl", home))
    assert list(exported.items())[:13] == list(json.loads(example).items())


@pytest.mark.thorough
def test_the_demo_runs_twice() -> None:
    """scripts/demo shows four reports, and shows the same ones when it runs again."""
    outputs = [
        subprocess.run(["scripts/demo"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600).stdout
        for _ in range(2)
    ]
    assert outputs[0].split("Performance Summary")[1] == outputs[1].split("Performance Summary")[1]
    for heading in ("Performance Summary", "Agent Performance Breakdown", "Cost Analysis", "Performance Trends"):
        assert heading in outputs[1]
