"""Claude Code itself against a stand-in of the Messages API: what each source says of the same sessions.

Each session is read three times, into databases of their own: from its telemetry, from its transcript, and from both.
A chain of a session, its continuation and a fork is run by `claude-force run`. What Claude Code prints as its total is
the judge of the costs.

The program is `claude` on the PATH, or what CLAUDE_CODE names: `npm install @anthropic-ai/claude-code`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.clock import now_us
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.queries.executions import iterate
from claude_force.database.workspace import workspace_at
from claude_force.executions.record import NANOUSD
from claude_force.executions.signals import ModelRequest, Signal
from claude_force.ingest.plan import IngestInputs, ingest_inputs, ingest_options
from claude_force.ingest.report import SourceReport
from claude_force.ingest.run import run_pass
from claude_force.ingest.telemetry.spool import TelemetrySpool
from claude_force.receiver.decode import Kind, decode_export
from claude_force.receiver.server import Endpoint, ReceiverServer
from claude_force.settings.home import Home
from claude_force.settings.telemetry_variables import JSON, PROTOBUF, telemetry_variables
from torture.campaign import CannotRun, Effort, Figure, say
from torture.messages_api import MessagesApi, serve_messages

ROUNDS = 5
MODEL = "claude-sonnet-4-5"
PROMPTS = {"text": "Say hello", "search": "Please search the web", "agent": "Please ask a sub-agent"}
SOURCES = ("telemetry", "transcript", "both")
_LONGEST_S = 120.0

_PROGRAM = Path(sys.executable).with_name("claude-force")
_COMPARED = (
    "agent_name", "model", "success", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "cost_nanousd",
)  # fmt: skip


class Ran(NamedTuple):
    """A session that Claude Code ran: its result, what its telemetry said, and the folder with its transcripts."""

    result: dict[str, Any]
    signals: list[Signal]
    transcripts: Path


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Run all kinds of sessions, and the chain, a number of times."""
    program = os.environ.get("CLAUDE_CODE") or shutil.which("claude")
    if program is None:
        raise CannotRun("no Claude Code: npm install @anthropic-ai/claude-code")
    found = dict.fromkeys(_FIGURES, 0)
    with serve_messages() as api:
        for number in range(effort.of(ROUNDS)):
            for kind, prompt in PROMPTS.items():
                here = folder / f"{number}-{kind}"
                _compare(_ran(program, api, here, prompt, protocol=(JSON, PROTOBUF)[number % 2]), here, kind, found)
            _chain(program, api, folder / f"{number}-chain", found)
            say(f"  {number + 1} rounds")
    return [Figure(name, value, *_FIGURES[name]) for name, value in found.items()]


_FIGURES: dict[str, tuple[float | None, float | None]] = {
    "sessions": (ROUNDS * len(PROMPTS), None),
    "requests": (ROUNDS * 8, None),
    "requests that a source does not have alike": (None, 0),
    "requests that telemetry lost": (None, 0),
    "side requests, which transcripts lack": (ROUNDS, None),
    "micro-dollars beside the total of Claude Code": (None, 0),
    "micro-dollars of searches beside the difference": (None, 0),
    "chains of a session, its resume and its fork": (ROUNDS, None),
    "micro-dollars of chains beside the last total": (None, 0),
}
"""The figures, with what each is at least and at most."""


def _ran(program: str, api: MessagesApi, folder: Path, prompt: str, protocol: str) -> Ran:
    """Run Claude Code once, and receive what it sends."""
    signals: list[Signal] = []

    def take(kind: Kind, content_type: str, body: bytes) -> None:
        signals.extend(decode_export(kind, content_type, body))

    (folder / "work").mkdir(parents=True)
    server = ReceiverServer(Endpoint(), take)
    server.start()
    try:
        environment = api.environment(folder) | telemetry_variables(server.url, protocol)
        result = _output(_command(program, prompt), environment, folder / "work")
    finally:
        server.close()
    return Ran(result, signals, folder / ".claude" / "projects")


def _command(program: str, prompt: str) -> list[str]:
    return [
        program, "-p", prompt, "--output-format", "json", "--model", MODEL, "--allowedTools", "WebSearch,Agent,Task",
    ]  # fmt: skip


def _output(command: list[str], environment: dict[str, str], folder: Path) -> dict[str, Any]:
    """The result that a command writes."""
    done = subprocess.run(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_S,
        check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def _compare(ran: Ran, folder: Path, kind: str, found: dict[str, int]) -> None:
    """Compare what each source says of a session."""
    rows = {source: _rows(ran, folder / source, source) for source in SOURCES}
    requests = [signal for signal in ran.signals if isinstance(signal, ModelRequest)]
    side = [row for row in rows["both"] if row not in rows["transcript"]]
    found["sessions"] += 1
    found["requests"] += len(rows["both"])
    found["requests that telemetry lost"] += len(rows["both"]) - len(requests)
    found["side requests, which transcripts lack"] += len(side)
    unlike = set(rows["both"]) ^ set(rows["telemetry"])
    if kind != "search":
        unlike |= set(rows["both"]) ^ set(rows["transcript"])
    found["requests that a source does not have alike"] += len(unlike)
    total = _micros(_cost(rows["both"]))
    found["micro-dollars beside the total of Claude Code"] += abs(total - round(ran.result["total_cost_usd"] * 1e6))
    difference = _cost(rows["telemetry"]) - _cost(rows["transcript"])
    found["micro-dollars of searches beside the difference"] += abs(_micros(difference) - _micros(_cost(side)))


def _rows(ran: Ran, folder: Path, source: str) -> list[tuple[Any, ...]]:
    """The executions of a session, as a database has them that knows only a source."""
    folder.mkdir()
    workspace, _ = workspace_at(Home(folder, folder), str(folder / "metrics.db"))
    spool = TelemetrySpool(folder / "telemetry")
    if source != "transcript":
        spool.append(ran.signals)
        spool.seal()
    inputs = IngestInputs((), (), [], SourceReport())
    if source != "telemetry":
        inputs = ingest_inputs(workspace, [ran.transcripts])
    with closing(workspace.database) as database:
        run_pass(database, inputs._replace(telemetry=(folder / "telemetry",)), ingest_options(workspace, now_us()))
        return _stored(database)


def _stored(database: Database) -> list[tuple[Any, ...]]:
    return [tuple(getattr(record, name) for name in _COMPARED) for record in iterate(database, Filter())]


def _cost(rows: Sequence[tuple[Any, ...]]) -> int:
    """In nano-dollars."""
    return sum(row[-1] or 0 for row in rows)


def _micros(nanousd: int) -> int:
    return round(nanousd * 1_000_000 / NANOUSD)


def _chain(program: str, api: MessagesApi, folder: Path, found: dict[str, int]) -> None:
    """A session, its continuation, a fork of it and the continuation of that, each by `claude-force run`."""
    (folder / "work").mkdir(parents=True)
    store = folder / "chain.db"

    def ran(prompt: str, *arguments: str) -> dict[str, Any]:
        command = [str(_PROGRAM), "run", "--db", str(store), "--", *_command(program, prompt), *arguments]
        return _output(command, api.environment(folder), folder / "work")

    first = ran("Say hello")
    ran("Please search the web", "--resume", first["session_id"])
    fork = ran("Please ask a sub-agent", "--resume", first["session_id"], "--fork-session")
    last = ran("Say hello again", "--resume", fork["session_id"])
    with closing(open_database(str(store))) as database:
        cost = _cost(_stored(database))
    found["chains of a session, its resume and its fork"] += 1
    found["micro-dollars of chains beside the last total"] += abs(_micros(cost) - round(last["total_cost_usd"] * 1e6))
