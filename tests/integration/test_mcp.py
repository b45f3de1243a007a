"""The MCP server: the official client starts it, lists its tools, and gets the figures of the commands."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

from claude_force.cli.mcp.asking import NoAnswer, ask, words_of
from claude_force.cli.mcp.tools import BY, PERIOD, TOOLS, WHO, Tool
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import NOON_US, an_execution
from tests.conftest import PROGRAM, Run

HOSTILE = "--db=/etc/passwd\x1b]0;x\x07'; $(reboot)"
BY_NAME = {tool.name: tool for tool in TOOLS}


@pytest.fixture
def filled(home: Path) -> Path:
    """A home whose store has two agents on two models, one of them with a hostile name."""
    database = home / ".claude" / "metrics" / "metrics.db"
    records = [
        an_execution(agent_name="reviewer", model="claude-sonnet-4-5", timestamp_us=NOON_US),
        an_execution(agent_name=HOSTILE, model="claude-opus-4-1", timestamp_us=NOON_US + 1, success=False),
    ]
    Store(open_database(str(database))).add(records)
    return home


async def _call(calls: list[tuple[str, dict[str, Any]]], home: Path) -> tuple[list[Any], list[Any]]:
    """The tools that the server lists, and the results of calls."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TZ": "UTC"}
    server = StdioServerParameters(command=str(PROGRAM), args=["mcp"], env=environment)
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        listed = (await session.list_tools()).tools
        return listed, [await session.call_tool(name, arguments) for name, arguments in calls]


def _figures(text: str) -> dict[str, Any]:
    """A report without the instant at which it was asked for."""
    found: dict[str, Any] = json.loads(text)
    found.pop("data", None)
    return found


def test_the_official_client_gets_the_figures_of_the_commands(filled: Path, run: Run) -> None:
    """Every listed tool is read-only and has schemas; the answers are the JSON of the commands, as text and as
    structure, and satisfy the schemas. What cannot be answered says why, in the words of the command."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("usage_summary", {}),
        ("usage_by", {"dimension": "model", "agent": ["reviewer"]}),
        ("usage_summary", {"agent": [HOSTILE]}),
        ("usage_by", {"dimension": "colour"}),
        ("usage_summary", {"days": 0}),
        ("usage_summary", {"output": "/tmp/file"}),
        ("drop_tables", {}),
        ("sql", {"query": "SELECT agent, success FROM executions_v1 ORDER BY timestamp", "limit": 1}),
        ("sql", {"query": "--help"}),
        ("sql", {"query": "DROP TABLE executions"}),
        ("sql", {"query": True}),
        ("sql", {}),
    ]
    listed, results = anyio.run(_call, calls, filled)
    assert [tool.name for tool in listed] == list(BY_NAME)
    assert all(tool.annotations.read_only_hint for tool in listed)
    expected = [
        run("summary", "--json"),
        run("by-model", "--json", "--agent", "reviewer"),
        run("summary", "--json", f"--agent={HOSTILE}"),
    ]
    for (name, _), result, command in zip(calls, results, expected, strict=False):
        assert _figures(result.content[0].text) == _figures(command.stdout)
        assert result.structured_content == json.loads(result.content[0].text)
        jsonschema.validate(result.structured_content, BY_NAME[name].output_schema())
    of_sql = results[len(calls) - 5].structured_content
    assert (of_sql["rows"], of_sql["rows_at_least"]) == ([{"agent": "reviewer", "success": 1}], 2)
    refused = [result.content[0].text for result in results if result.is_error]
    assert refused == [
        "dimension is one of: agent, model, project, branch, session, workflow, host, user, day, week, month",
        "Invalid value for '--days': 0 is not in the range 1<=x<=36500. (see claude-force summary --help)",
        f"usage_summary takes no 'output'; it takes {', '.join((*PERIOD, *WHO))}",
        f"there is no tool 'drop_tables'; there are {', '.join(BY_NAME)}",
        "the query gives no rows: it is only a comment",
        "a query only reads: DELETE is refused",
        "query must be text or a whole number, not true",
        "sql needs query",
    ]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_offers_options_that_its_commands_have(tool: Tool) -> None:
    """The input schema comes from the command, and is valid; each command of a choice knows the same options."""
    schema = tool.input_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert all(each["description"] for each in schema["properties"].values())
    for command in tool.choices.values():
        Tool(tool.name, "", "", command, tool.options).input_schema()


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("usage_summary", {"days": 7.5}, "days must be text or a whole number, not a number"),
        ("usage_summary", {"days": True}, "days must be text or a whole number, not true"),
        ("usage_summary", {"days": [7, 8]}, "days must be text or a whole number, not an array"),
        ("usage_summary", {"agent": {"a": 1}}, "agent must be text or a whole number, not an object"),
        ("usage_summary", {"agent": ["a", None]}, "each agent must be text or a whole number, not null"),
        ("usage_summary", {"agent": ["a\0b"]}, "each agent must not hold a NUL character"),
        ("usage_by", {"limit": False}, "limit must be text or a whole number, not false"),
        ("what_if", {"batch": "yes"}, "batch must be true or false, not text"),
        ("budgets", {"days": 7}, "budgets takes no 'days'; it takes no arguments"),
    ],
    ids=str,
)
def test_an_argument_of_another_kind_is_refused(tool: str, arguments: dict[str, Any], reason: str) -> None:
    """And not read as something else: the last of a list, or the next word of the command."""
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        BY_NAME[tool].options_of(arguments)


def test_arguments_are_what_the_command_reads() -> None:
    """A number as text, a whole number with a point, and a name in place of a list; null is not given."""
    given = {"days": 7.0, "agent": "reviewer", "model": ["opus", 5], "limit": "3", "since": None}
    options = BY_NAME["slowest"].options_of(given)
    words = ["--sort-by=time", "--days=7", "--agent=reviewer", "--model=opus", "--model=5", "--limit=3"]
    assert words_of("by-agent", options) == ["by-agent", *words, "--json"]


def test_what_is_too_long_for_a_command_is_said() -> None:
    """The system starts no process with such a word."""
    with pytest.raises(NoAnswer, match=r"^claude-force summary cannot be started: Argument list too long$"):
        anyio.run(ask, None, "summary", {"agent": "x" * 1_000_000})


def test_a_server_that_is_ended_leaves_no_command(home: Path) -> None:
    """The command of a call waits for a database that says nothing, until the server gets a signal. Nobody can read the
    password of the database in the words of a process."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        location = f"postgresql://user:pass-word@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=600"
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "CLAUDE_FORCE_DB": location}
        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        messages: list[dict[str, Any]] = [
            {"id": 1, "method": "initialize", "params": about},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": {"name": "usage_summary", "arguments": {}}},
        ]
        server = subprocess.Popen([PROGRAM, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        with server:
            assert server.stdin
            for message in messages:
                server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            server.stdin.flush()
            connection, _ = silent.accept()
            with connection:
                # The command gives up by itself later than this.
                connection.settimeout(120)
                server.terminate()
                while connection.recv(4096):
                    pass
        assert server.returncode == -signal.SIGTERM


@pytest.mark.parametrize("word", ["cost", "tokens", "usage", "failed", "slowest", "limits"])
def test_a_tool_is_found_by_what_one_asks_for(word: str) -> None:
    """Clients search names, titles and descriptions of tools that they have not loaded."""
    assert any(word in f"{tool.name} {tool.title} {tool.description}".lower() for tool in TOOLS)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        *((BY_NAME["usage_by"], {"dimension": dimension}) for dimension in BY),
        *((tool, {}) for tool in TOOLS if not tool.choices and not tool.argument and tool.promised),
        (BY_NAME["sql"], {"query": "SELECT 1"}),
    ],
    ids=lambda value: value.name if isinstance(value, Tool) else "-".join(value.values()),
)
def test_every_tool_keeps_its_promise(filled: Path, run: Run, tool: Tool, arguments: dict[str, str]) -> None:
    """With few arguments, on a small store: the keys that it promises are there."""
    result = run(*words_of(tool.command_of(arguments), tool.options_of(arguments), tool.argument_of(arguments)))
    jsonschema.validate(json.loads(result.stdout), tool.output_schema())


def test_a_wrong_database_is_refused_at_once(run: Run) -> None:
    """And not at each call."""
    result = run("mcp", "--db", "missing.db")
    assert result.returncode == 2
    assert "missing.db" in result.stderr


def test_without_its_library_it_names_the_install_line(run_code: Run) -> None:
    """Whichever package of it is imported first."""
    done = run_code(
        "import sys; sys.modules.update(mcp=None, mcp_types=None); sys.argv = ['claude-force', 'mcp']\n"
        "from claude_force.cli.root import main; main()"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the MCP server needs an extra: pip install 'claude-force[mcp]'\n"


def test_a_closed_input_is_one_line(filled: Path) -> None:
    """Nobody could ask anything."""
    environment = {"HOME": str(filled), "PATH": os.environ["PATH"]}
    command = f"{PROGRAM} mcp <&-"
    done = subprocess.run(command, check=False, shell=True, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the standard input is closed, and the client asks on it")
