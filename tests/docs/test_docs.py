"""The pages: every command that they show runs, and every file that they link to exists."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
import pytest

from claude_force.alerts.rules import DEFAULTS
from claude_force.cli.mcp.tools import TOOLS
from claude_force.cli.root import cli
from claude_force.web.views import VIEWS
from scripts import generate, recent_sample
from scripts.recent_sample import recent_lines
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
YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
IN_YAML = re.compile(r"^[^#\n]*?(?<![\w'/])(claude-force [a-z].*)", re.MULTILINE)
COMMAND = re.compile(r"(?<!`)`(claude-force [a-z][^`|>;]*)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def shell_lines() -> list[str]:
    """Every claude-force command of a `sh` block, without its comment. An indented line continues the command."""
    blocks = [block for page in PAGES for block in SHELL.findall(page.read_text(encoding="utf-8"))]
    commands = [line for block in blocks for line in re.split(r"\n(?! )", block)]
    lines = [command.split("  #")[0].strip() for command in commands]
    return [line for line in lines if line.startswith("claude-force")]


@contextmanager
def terminal_that_answers(answer: bytes) -> Iterator[int]:
    """A terminal on which the answer is typed already."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, answer)
    try:
        yield terminal
    finally:
        os.close(terminal)
        os.close(keyboard)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link within the repository names a file that exists."""
    targets = [page.parent / target for target in LINK.findall(page.read_text(encoding="utf-8"))]
    assert [target for target in targets if not target.exists()] == []


def prepare_reader(home: Path) -> None:
    """A reader's home: a store with the guide's executions and the names that the pages filter by, a second store
    in a project, an editor that changes nothing."""
    generate.prepare_home(home)
    (home / "shop/.claude/metrics").mkdir(parents=True)
    for database in (".claude/metrics/metrics.db", "shop/.claude/metrics/metrics.db"):
        generate.run_shell(f"claude-force import examples/executions-guide.jsonl --db {database}", home)
    named = {
        "timestamp": datetime.now(UTC).isoformat(),
        "agent_name": "reviewer",
        "success": True,
        "execution_time_ms": 1200,
        "model": "claude-sonnet-4-5",
        "input_tokens": 10,
        "output_tokens": 20,
        "project": "shop",
        "session_id": "0a1b2c3d-0000-4000-8000-000000000000",
        "git_branch": "feat/cart",
        "user": "ada",
        "host": "laptop-of-ada",
    }
    (home / "named.jsonl").write_text(json.dumps(named), encoding="utf-8")
    generate.run_shell("claude-force import named.jsonl", home)
    record = "from claude_force import PerformanceTracker as Tracker; Tracker().record_execution('reviewer')"
    for label in ("old-prompt", "new-prompt"):
        generate.run_shell(f'CLAUDE_FORCE_LABEL={label} python -c "{record}"', home)


@pytest.mark.thorough
def test_every_shell_line_works(tmp_path: Path) -> None:
    """The commands of the `sh` blocks succeed in a home with a database, in the order of the pages. The reader has a
    terminal, and answers yes where a command asks."""
    home = tmp_path / "reader"
    home.mkdir()
    prepare_reader(home)
    lines = shell_lines()
    assert lines
    failed: list[str] = []
    try:
        for line in lines:
            with terminal_that_answers(b"y\n") as terminal:
                output = generate.run_shell(f"export EDITOR=true; {line} && echo it-worked", home, stdin=terminal)
            # Output on stderr comes last.
            if "it-worked" not in output.splitlines():
                failed.append(f"{line}\n{output}")
    finally:
        # The pages start one in several places; it would go on for ever, and keep its ports.
        generate.run_shell("claude-force scheduler stop || true", home)
    assert failed == []


def problem_of(command: str) -> str | None:
    """The subcommand or option of a command that does not exist; None if all of them do."""
    # What is behind a lone -- is another command.
    words = [word for word in re.split(r"[\s=]+", re.split(r" --(?:\s|$)", command)[0]) if word][1:]
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


def test_decisions_are_listed_in_their_order() -> None:
    """All of them, in the index and in the navigation."""
    pages = sorted(page.name for page in (ROOT / "docs" / "decisions").glob("0*.md"))
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[[^\]]+\]\((0\d+-[^)]+)\)", index, re.MULTILINE) == pages
    assert re.findall(r"decisions/(0\d+-\S+)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")) == pages


def test_numbers_in_words_are_those_of_the_program() -> None:
    """How many tools the MCP server has, and how many rules are built in."""
    texts = [page.read_text(encoding="utf-8") for page in (*PAGES, ROOT / "plugin" / "README.md")]
    stated = {found for text in texts for found in re.findall(r"(\w+)(?: built-in)? (tools|rules)\b", text)}
    teens = {"sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20}
    numbers = {(teens[word], what) for word, what in stated if word in teens}
    assert numbers == {(len(TOOLS), "tools"), (len(DEFAULTS), "rules")}


def test_every_workflow_of_a_page_is_valid() -> None:
    """It is YAML, with commands and options that exist."""
    blocks = [block for page in PAGES for block in YAML.findall(page.read_text(encoding="utf-8"))]
    assert len(blocks) > 2
    for block in blocks:
        assert isinstance(msgspec.yaml.decode(block), dict)
    commands = IN_YAML.findall("\n".join(blocks))
    assert len(commands) > 4
    assert [problem for command in commands if (problem := problem_of(re.split(r"[|;>]", command)[0]))] == []


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
    """scripts/demo shows four reports and the dashboard, with executions of the last hour, and shows the same figures
    when it runs again."""
    outputs = [
        subprocess.run(["scripts/demo"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600).stdout
        for _ in range(2)
    ]
    first, second = (output.split("Performance Summary")[1].split("Performance Trends")[0] for output in outputs)
    assert first == second
    (last_hour,) = re.findall(r"^1 hour +(\d+)", outputs[1], re.MULTILINE)
    assert int(last_hour) > 0
    for heading in ("Performance Summary", "Agent Performance Breakdown", "Cost Analysis", "Performance Trends"):
        assert heading in outputs[1]


def test_the_sample_of_the_demo_ends_when_it_is_told() -> None:
    """Every execution moves by the same time; nothing else changes, and the sample stays as it is."""
    end = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    sample = recent_sample.SAMPLE.read_text(encoding="utf-8")
    before, after = ([json.loads(line) for line in text.splitlines()] for text in (sample, recent_lines(sample, end)))
    times = [[datetime.fromisoformat(line.pop("timestamp")) for line in lines] for lines in (before, after)]
    assert before == after
    assert max(times[1]) == end
    assert len({new - old.replace(tzinfo=UTC) for old, new in zip(*times, strict=True)}) == 1


def test_the_manual_page_has_every_command() -> None:
    """Each once, and no line of a help text is taken for a request of roff."""
    page = generate.manual()
    entries = re.findall(r"^\.SS (.*)$", page, re.MULTILINE)
    commands = {id(command): path for path, command in reversed([*generate.walk(cli, "claude-force")])}
    assert sorted(entries) == sorted(path.replace("-", "\\-") for path in commands.values())
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests == {'.\\"', ".TH", ".SH", ".SS", ".B", ".nf", ".fi"}


@pytest.mark.parametrize(
    ("text", "shown"), [("a-b", "a\\-b"), (".config", "\\&.config"), ("'x'\n'y'", "\\&'x'\n\\&'y'"), ("\\d", "\\[rs]d")]
)
def test_roff_shows_text_as_it_is(text: str, shown: str) -> None:
    """Hyphens that can be copied, backslashes, and lines that begin like a request."""
    assert generate.roff(text) == shown


def test_the_how_to_index_has_every_page() -> None:
    """A page that only the menu of the site knows is not found in the repository."""
    folder = ROOT / "docs" / "how-to"
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert [
        page.name for page in folder.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index
    ] == []


def test_the_page_on_the_live_page_has_every_view() -> None:
    """Those of the navigation, in its order."""
    text = (ROOT / "docs" / "how-to" / "live-page.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \|", text.partition("## Views")[2].partition("\n## ")[0], re.MULTILINE)
    assert rows[1:] == [view.title for view in VIEWS if view.navigation]


def test_no_page_installs_the_predecessor() -> None:
    """On PyPI the name still gets it, with or without an extra: pages install a checkout or a wheel."""
    texts = {page: page.read_text(encoding="utf-8") for page in (*PAGES, ROOT / "plugin" / "README.md")}
    command = re.compile(
        r"install '?claude-force\[|^\s*(?:- run: |\$ )?(?:pip|pipx|uv tool) install claude-force\b", re.MULTILINE
    )
    assert [page.name for page, text in texts.items() if command.search(text)] == []
