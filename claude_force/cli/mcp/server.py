"""The server: it lists the tools, and answers their calls by asking the commands."""

from __future__ import annotations

import json
import signal
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from claude_force import __version__
from claude_force.cli.mcp.asking import NoAnswer, ask
from claude_force.cli.mcp.tools import TOOLS, Tool

INSTRUCTIONS = """\
The metrics of Claude agents: cost, tokens, usage, success, errors, latency, plan limits of this machine or team.
Every tool reads and changes nothing. Figures are those of the program `claude-force`; `data` says how fresh they are.
A null cost is unknown. Without a period a tool answers for all time: give `days`, or `since` and `until`."""

_READS_ONLY = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_ALWAYS_SHOWN = {"anthropic/alwaysLoad": True}
_BY_NAME = {tool.name: tool for tool in TOOLS}

Context = ServerRequestContext[Any]


def serve(location: str | None) -> None:
    """Answer on stdin and stdout until stdin ends. `location` is that of `--db`."""
    try:
        anyio.run(_serve, location)
    except* (BrokenPipeError, anyio.BrokenResourceError):
        # The client has gone: nobody waits for an answer.
        pass


async def _serve(location: str | None) -> None:
    server = make_server(location)
    received: list[int] = []
    async with stdio_server() as (incoming, outgoing):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_at_signal, tasks.cancel_scope, received)
            await server.run(incoming, outgoing, server.create_initialization_options())
            tasks.cancel_scope.cancel()
        for number in received:
            # What it does by itself. The thread that reads stdin would wait for a line.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


async def _cancel_at_signal(calls: anyio.CancelScope, received: list[int]) -> None:
    """Cancel the calls at a signal that ends the server, so that the commands that they ask end with it."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            received.append(number)
            calls.cancel()


def make_server(location: str | None) -> Server[Any]:
    """The server for a database."""

    async def list_tools(_: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_listed(tool) for tool in TOOLS])

    async def call_tool(_: Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        return await _answer(location, asked.name, asked.arguments or {})

    return Server(
        "claude-force",
        version=__version__,
        title="Metrics of Claude agents",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema(),
        output_schema=tool.output_schema(),
        annotations=_READS_ONLY,
        _meta=_ALWAYS_SHOWN if tool is TOOLS[0] else None,
    )


async def _answer(location: str | None, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
    """The answer of a tool, or why there is none, which the model reads and can mend."""
    tool = _BY_NAME.get(name)
    if tool is None:
        return _refused(f"there is no tool {name[:40]!r}; there are {', '.join(_BY_NAME)}")
    try:
        options, argument = tool.options_of(arguments), tool.argument_of(arguments)
        found = await ask(location, tool.command_of(arguments), options, argument)
    except (NoAnswer, ValueError) as error:
        return _refused(str(error))
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=found)


def _refused(reason: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=reason)], is_error=True)
