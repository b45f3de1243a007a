"""What a command loads: help and reports on SQLite start without the heavy libraries. And every command has its help,
its example and its place in the reference."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.commands import COMMANDS
from tests.conftest import ROOT
from tests.profiles import thorough

HTTP_CLIENTS = {
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "requests",
    "urllib3",
    "aiohttp",
    "http.client",
    "urllib.request",
}
LIVE_PAGE = {"starlette", "uvicorn", "jinja2"}
HEAVY = (
    {"sqlalchemy", "alembic", "apscheduler", "pydantic", "psycopg", "genai_prices", "opentelemetry"}
    | HTTP_CLIENTS
    | LIVE_PAGE
)

_LOADED_BY_COMMAND = """
import contextlib, io, json, sys

with contextlib.redirect_stdout(io.StringIO()) as said:
    from claude_force.cli.root import cli
    try:
        code = cli.main(sys.argv[1:], prog_name="claude-force", standalone_mode=False)
    except SystemExit as stop:
        code = stop.code
print(json.dumps({"code": code, "said": said.getvalue(), "modules": sorted(sys.modules)}))
"""

_LOADED_BY_CODE = """
import json, sys
exec(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by_command(*arguments: str) -> set[str]:
    """The modules in memory after a command, which must succeed and say something."""
    command = [sys.executable, "-c", _LOADED_BY_COMMAND, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert not found["code"]
    assert found["said"]
    return set(found["modules"])


def loaded_by_code(code: str) -> set[str]:
    """The modules in memory after a program."""
    command = [sys.executable, "-c", _LOADED_BY_CODE, code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return set(json.loads(done.stdout))


def is_top(path: tuple[str, ...]) -> bool:
    """Whether a command stands in the help of the program, or is the program."""
    return len(path) <= 1


REPORTS = [path for path in COMMANDS if path[:1] == ("analytics",) and len(path) == 2 and path[1] != "what-if"]
"""What-if needs the price table, which none of the others does."""

every_command = pytest.mark.parametrize("path", COMMANDS, ids=lambda path: "-".join(path) or "claude-force")
every_report = pytest.mark.parametrize("path", REPORTS, ids="-".join)


@pytest.fixture
def history(home: Path) -> Path:
    """A home with a database of a few executions."""
    with PerformanceTracker() as tracker:
        for agent in ("a", "b"):
            tracker.record_execution(agent, "t", agent == "a", 5, "claude-haiku-4-5", 10, 5, estimated_cost=0.1)
    return home


@pytest.mark.parametrize(
    "path",
    [*filter(is_top, COMMANDS), *thorough(*(path for path in COMMANDS if not is_top(path)))],
    ids=lambda path: "-".join(path) or "claude-force",
)
def test_help_loads_nothing_heavy(path: tuple[str, ...]) -> None:
    """No database, no scheduler, no price table, no HTTP client, and no rich."""
    assert loaded_by_command(*path, "--help") & (HEAVY | {"rich", "sqlite3"}) == set()


@every_report
def test_a_report_on_a_file_loads_nothing_heavy(path: tuple[str, ...], history: Path) -> None:
    """As text it loads rich and the standard library's SQLite."""
    period = () if path == ("analytics", "budgets") else ("--days", "7")
    assert loaded_by_command(*path, *period) & HEAVY == set()


@every_report
def test_a_report_as_json_loads_even_less(path: tuple[str, ...], history: Path) -> None:
    """No rich where nothing is drawn."""
    assert loaded_by_command(*path, "--json") & (HEAVY | {"rich"}) == set()


def test_the_first_answer_loads_nothing_heavy(history: Path) -> None:
    """As a report; as JSON it loads no rich."""
    assert loaded_by_command() & HEAVY == set()
    assert loaded_by_command("--json") & (HEAVY | {"rich"}) == set()


def test_a_page_loads_nothing_heavy(history: Path) -> None:
    """Rules and channels are looked at, and nobody is sent anything."""
    assert loaded_by_command("report", "--output", "-") & HEAVY == set()


def test_a_frame_of_the_dashboard_loads_nothing_heavy(history: Path) -> None:
    """As a report: rich and the standard library's SQLite; rules of alerts are not evaluated, so nothing is sent."""
    assert loaded_by_command("dashboard", "--once") & HEAVY == set()


def test_a_status_line_loads_even_less(history: Path) -> None:
    """Claude Code asks for it after every answer."""
    assert loaded_by_command("statusline") & (HEAVY | {"rich", "hashlib", "orjson"}) == set()


UNNEEDED = {"asyncio", "calendar", "difflib", "logging", "random", "shlex", "shutil", "tempfile", "textwrap", "tzlocal"}
"""Of the standard library and near to it, what takes long to load and answers no question."""


@pytest.mark.parametrize(
    ("arguments", "most"),
    [(("--version",), 8), (("statusline",), 82), (("summary", "--json"), 95), (("--json",), 84)],
    ids=["version", "statusline", "summary", "first answer"],
)
def test_what_is_asked_often_loads_little(
    arguments: tuple[str, ...], most: int, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many modules of ours at most, each about a third of a millisecond. More need a reason, and this number."""
    monkeypatch.setenv("TZ", "UTC")
    found = loaded_by_command(*arguments, *(() if arguments == ("--version",) else ("--no-ingest",)))
    assert found & UNNEEDED == set()
    assert len([name for name in found if name.startswith("claude_force")]) <= most


@pytest.mark.parametrize(
    "arguments", [("db", "path"), ("db", "current"), ("db", "check"), ("db", "backup"), ("config", "list")]
)
def test_looking_at_a_file_loads_nothing_heavy(arguments: tuple[str, ...], history: Path) -> None:
    """What is asked for often, and by scripts."""
    assert loaded_by_command(*arguments) & (HEAVY | {"rich"}) == set()


def test_the_package_itself_is_light() -> None:
    """Importing claude_force loads no other module of ours, and none of anybody else's."""
    new = loaded_by_code("import claude_force") - loaded_by_code("pass")
    assert {name for name in new if name.split(".")[0] not in sys.stdlib_module_names} == {"claude_force"}
    assert new & {"sqlite3", "asyncio", "logging"} == set()


def test_asking_for_the_sdk_to_be_recorded_is_light() -> None:
    """Until the first call nothing is loaded but the standard library, and neither a database nor the SDK."""
    new = loaded_by_code("import claude_force\nclaude_force.instrument()") - loaded_by_code("pass")
    assert {name.split(".")[0] for name in new} - sys.stdlib_module_names == {"claude_force"}
    assert new & ({"sqlite3", "asyncio", "anthropic"} | HEAVY) == set()


_RECORD = """
from claude_force.performance_tracker.tracker import PerformanceTracker
with PerformanceTracker() as tracker:
    tracker.record_execution("a", "t", True, 5, "claude-haiku-4-5"{usage})
"""


def test_recording_into_a_file_loads_no_sqlalchemy(history: Path) -> None:
    """Nor anything else that is heavy, while no price is needed."""
    assert loaded_by_code(_RECORD.format(usage="")) & (HEAVY | {"asyncio", "tzlocal"}) == set()


def test_recording_with_a_price_loads_the_prices_alone(history: Path) -> None:
    """The price table comes with what it needs itself, never with the database's tools."""
    found = loaded_by_code(_RECORD.format(usage=", 10, 5"))
    assert "genai_prices" in found
    assert found & {"sqlalchemy", "alembic", "apscheduler", "psycopg", "rich", "click"} == set()


@every_command
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    """Help that begins with a sentence, and an example that calls this very command, by one of its names."""
    text = COMMANDS[path].help
    assert text
    assert text.splitlines()[0].rstrip().endswith((".", ":", ";"))
    assert "Example:" in text
    program, *words = text.split("Example:")[1].split()
    called = [COMMANDS.get(tuple(words[:length])) for length in range(len(path) + 1)]
    assert program == "claude-force"
    assert COMMANDS[path] in called


@every_command
def test_every_option_has_help(path: tuple[str, ...]) -> None:
    """No option is a riddle."""
    options = [parameter for parameter in COMMANDS[path].params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


@every_command
def test_every_command_stands_in_the_reference(path: tuple[str, ...]) -> None:
    """docs/reference/cli.md has a heading for it, and its usage."""
    lines = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8").splitlines()
    name = " ".join(("claude-force", *path))
    assert f"## {name}" in lines
    assert any(line.startswith(f"Usage: {name} ") for line in lines)
