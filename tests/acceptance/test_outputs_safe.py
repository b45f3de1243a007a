"""Every output of the program with hostile names in all places. What a terminal shows stays text. The tables have every
command, so a new one must be added: with the command lines to run, or with the reason why it prints nothing from
outside."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest

from claude_force import clock
from claude_force.cli.root import cli
from claude_force.clock import DAY_US, SECOND_US
from claude_force.database.open import open_database
from claude_force.database.rows.cursor import Cursor
from claude_force.database.rows.jobs import JobRun
from claude_force.database.writes import Store
from claude_force.database.writes import jobs as job_runs
from claude_force.database.writes.run_labels import add_run_labels
from claude_force.database.writes.telemetry import add_heard, add_outcomes
from claude_force.executions.ledgers import LedgerEntry
from claude_force.executions.outcomes import FAILED, TOOL_RESULTS
from claude_force.executions.run_labels import RunLabel
from claude_force.executions.signals import Heard, Outcome
from claude_force.executions.statistics import DailyTokens
from claude_force.ingest.sources import STATISTICS
from tests.acceptance.test_bad_usage import HOSTILE
from tests.builders import an_execution
from tests.commands import walk
from tests.conftest import Run

SECRET = "hooks-secret-7f3a9c"
FILTERS = ("--start", "2020-01-01")
REPORTS = (
    "summary", "daily", "weekly", "monthly", "by-agent", "by-model", "by-workflow", "sessions", "runs",
    "by-branch", "by-project", "by-host", "by-user", "costs", "trends", "errors", "blocks", "budgets",
    "reconcile", "backfill",
)  # fmt: skip

EVERYTHING = "SELECT/**/*/**/FROM/**/executions_v1"
"""A query without spaces."""

COMMAND_LINES: dict[str, list[str]] = {
    **{f"analytics {name}": ["", "--json", "--format csv", "--format markdown"] for name in REPORTS},
    "analytics outcomes": [
        "",
        "--json",
        *(
            f"--by {by}{more}"
            for by in ("session", "agent", "workflow", "model", "project")
            for more in ("", " --format csv", " --format markdown")
        ),
    ],
    "analytics what-if": [
        "--batch",
        "--batch --json",
        "--model claude-haiku-4-5 --format csv",
        "--cache none --format markdown",
    ],
    "analytics export": ["--format csv", "--format csv --all-columns"],
    "alerts check": ["", "--json"],
    "alerts disable": ["by-agent", "by-agent --json"],
    "alerts edit": ["by-agent --threshold 5"],
    "alerts enable": ["by-agent"],
    "alerts explain": ["by-agent"],
    "alerts history": ["", "--json"],
    "alerts list": ["", "--json"],
    "alerts silence": ["by-agent --for 1h"],
    "alerts test": ["hook"],
    "alerts unsilence": ["by-agent"],
    "archive": ["--dry-run", "--dry-run --json"],
    "archive restore": ["", "--json"],
    "baseline check": [
        "",
        "--json",
        "--format markdown",
        "--format junit",
        "--format github",
        "--label 1* --against 2*",
        "--label 1* --against 2* --json",
        "--label 1* --against 2* --format markdown",
        "--label 1* --against 2* --format junit",
        "--label 1* --against 2* --format github",
    ],
    "baseline create": ["again --start 2020-01-01"],
    "baseline delete": ["evil --dry-run"],
    "baseline list": ["", "--json"],
    "baseline show": ["evil", "evil --json"],
    "config get": ["performance.channels"],
    "config list": ["", "--json"],
    "dashboard": ["--once", "--once --window 7d --sort executions"],
    "db check": [""],
    "db reprice": ["--dry-run"],
    "db restore": ["nothing.db --dry-run"],
    "db sql": [f"{EVERYTHING}{form}" for form in ("", " --json", " --format csv", " --format markdown")],
    "doctor": ["", "--json", "--full"],
    "import": ["hostile.jsonl --dry-run"],
    "ingest": ["transcripts --dry-run"],
    "report": ["--output -"],
    "run show": ["evil-session", "evil-session --json"],
    "scheduler run": ["alerts"],
    "scheduler status": ["", "--json"],
    "statusline": [""],
    "telemetry remove": ["--dry-run"],
    "telemetry setup": ["--dry-run"],
    "telemetry status": ["", "--json"],
}

NOT_RUN = {
    "alerts add": "prints only what its user typed",
    "config edit": "prints a path, and what config list warns of",
    "completion": "prints a script of click; test_bad_usage has the words that it offers",
    "config path": "prints a path",
    "config set": "prints only what its user typed",
    "config unset": "prints only what its user typed",
    "db backup": "prints a path that its user named",
    "db current": "prints revisions, and the nodes of a cluster",
    "db distribute": "prints the nodes of a cluster, and names of tables",
    "db merge": "prints counts, and paths that its user named",
    "db path": "prints a path that its user named",
    "db rebuild": "prints a count",
    "db upgrade": "prints revisions",
    "mcp": "prints JSON of the protocol; test_mcp has hostile names",
    "push datadog": "prints counts and a destination; what it sends is in test_push_datadog",
    "push elasticsearch": "prints counts and a destination; what it sends is in test_push_elasticsearch",
    "push prometheus": "prints counts and a destination; what it sends is in test_prometheus",
    "push team": "prints counts and a destination; what it sends is in test_team",
    "push otlp": "prints counts and a destination; what it sends is in test_export_otlp",
    "receive": "prints an address and a path that its user named, and counts",
    "run": "prints what its child prints, and costs; test_run_command has the child's bytes",
    "scheduler install": "prints a unit file of this program",
    "scheduler jobs": "prints a fixed list",
    "scheduler start": "prints a pid and a path",
    "scheduler stop": "prints a pid",
    "serve": "prints an address and a path that its user named; test_live_page has hostile names",
}


@pytest.fixture(scope="module")
def copy_of_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test puts a copy of its hostile home; making one takes longer than any test."""
    return tmp_path_factory.mktemp("hostile") / "home"


@pytest.fixture
def hostile_home(home: Path, run: Run, copy_of_home: Path) -> Path:
    """A home with hostile names of agents, models, workflows, projects, errors, rules, channels, job problems, files
    and rejected lines. An alert fires, and the secret of a channel is in an environment variable."""
    if copy_of_home.exists():
        shutil.copytree(copy_of_home, home, dirs_exist_ok=True)
        return home
    fill(home)
    assert run("baseline", "create", "evil", *FILTERS).returncode == 0
    shutil.copytree(home, copy_of_home)
    return home


def fill(home: Path) -> None:
    """Put hostile names wherever a home has names."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    now_us = clock.now_us()
    Store(database).add(
        an_execution(
            timestamp_us=now_us - 30 * SECOND_US - number * DAY_US // 10, agent_name=name, model=name, workflow_id=name,
            project=name, error_type=name, session_id=name, git_branch=name, host=name, user_name=name,
            success=number % 2 == 0, source="jsonl" if number % 2 else "claude-code",
            cost_nanousd=None if number % 3 else 1_000_000,
        )
        for name in HOSTILE
        for number in range(12)
    )  # fmt: skip
    Store(database).add(
        an_execution(
            timestamp_us=now_us, agent_name=name, model=name, project=name, success=False, error_type=name,
            run_id=name, session_id="evil-session", workflow_id="evil-session", git_branch=name,
        )
        for name in HOSTILE
    )  # fmt: skip
    labels = [
        RunLabel(name, name, f"{place}{name}", since_us, now_us)
        for name in HOSTILE
        for place, since_us in ((1, 0), (2, now_us - DAY_US // 2))
    ]
    with database.write() as connection:
        add_run_labels(connection, labels)
    ledgers = [
        tuple(LedgerEntry(name, model, now_us, 1, 1, 1, 1, 1, 1, number % 2) for model in ("", name))
        for number, name in enumerate(HOSTILE)
    ]
    Store(database).ingest([], [], [], ledgers)
    days = [DailyTokens(name, "2020-01-02", name, 1, None) for name in HOSTILE]
    cursor = Cursor(
        host="h", path="/p", source=STATISTICS, device=1, inode=1, size=1, mtime_ns=1, position=1, head="", tail=""
    )
    Store(database).save_statistics(days, cursor)
    outcomes = [
        Outcome(key=f"{name!a} {number}", at_us=now_us, name=TOOL_RESULTS, value=1, kind=kind, session_id=name)
        for name in HOSTILE
        for number, kind in enumerate((name, f"{FAILED}{name}"))
    ]
    with database.write() as connection:
        add_outcomes(connection, outcomes, now_us)
        heard = [Heard(service=n, name=n, at_us=now_us, records=1, version=n, ignored=n) for n in HOSTILE]
        add_heard(connection, "h", heard)
        problem = "; ".join(HOSTILE)
        run_of = JobRun("r", "ingest", "\x1b[31mhost", 1, now_us - 5, now_us - 4, job_runs.FAILED, "{}", problem)
        job_runs.begin(connection, run_of)
    database.close()
    rule = {
        "metric": "success_rate",
        "operator": "<",
        "threshold": 95,
        "window": "1h",
        "group_by": "agent",
        "min_samples": 1,
    }
    channels = {"hook": {"type": "webhook", "url": "http://127.0.0.1:9/${HOOK}"}, "\x1b[31mred": {"type": "\x9b31m"}}
    section: dict[str, Any] = {
        "alerts": {"by-agent": rule, "\x1b]0;owned\x07": {"metric": "\u202eevil"}},
        "channels": channels,
    }
    section["budgets"] = [
        {"agent": name, "branch": name, "project": f"{name}?", "usd": 1, "per": "day", **more}
        for name in HOSTILE
        for more in ({}, {name: name})
    ]
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    (home / "hostile.jsonl").write_text("\n".join([*HOSTILE, json.dumps({"agent_name": "\x1b[31m", "\x9bkey": 1})]))
    folder = home / "transcripts" / "\x1b[31mred"
    folder.mkdir(parents=True)
    (folder / "\x1b]0;owned.jsonl").write_text('{"type": "assistant", "message": 1}\nnot json \x1b[31m\n')


def leaves() -> list[str]:
    """Every command that does something by itself, by its longest name."""
    named = sorted(walk(cli), key=lambda found: (len(found[0]), found[0][-1:] == ("sessions",)))
    paths = {id(command): path for path, command in named if path and _runs(command)}
    return [" ".join(path) for path in paths.values()]


def _runs(command: click.Command) -> bool:
    return not isinstance(command, click.Group) or command.invoke_without_command


def test_every_command_is_in_a_table() -> None:
    """A new command is either run with hostile names or has a reason not to be."""
    assert sorted([*COMMAND_LINES, *NOT_RUN]) == sorted(leaves())


def is_text(shown: str) -> bool:
    """Whether a terminal only displays this: printable characters and line ends."""
    return all(char.isprintable() or char == "\n" for char in shown)


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_every_output_is_plain_text(command: str, hostile_home: Path, run: Run) -> None:
    """No control character, escape sequence, direction override or secret is on stdout or stderr, in any format. JSON
    is valid, and no CSV cell is a formula."""
    if command == "alerts unsilence":
        run("alerts", "silence", "by-agent", "--for", "1h")
    for line in COMMAND_LINES[command]:
        done = run(*command.split(), *line.split(), env={"HOOK": SECRET})
        output = done.stdout + done.stderr
        assert "Traceback" not in output
        assert "error: unexpected" not in output
        assert SECRET not in output
        assert is_text(done.stderr), done.stderr
        if "csv" in line:
            assert no_formulas(done.stdout)
        else:
            assert is_text(done.stdout), (line, done.stdout)
        if "--json" in line and done.stdout:
            json.loads(done.stdout)


def no_formulas(text: str) -> bool:
    """Whether no spreadsheet would read a cell as a formula."""
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert cells
    return not any(cell.lstrip(" \u00a0").startswith(("=", "+", "@", "\t", "\r", "\n")) for cell in cells)


@pytest.mark.parametrize(
    "option", ["--agent", "--model", "--workflow", "--project", "--session", "--branch", "--source", "--host", "--user"]
)
@pytest.mark.parametrize("name", ["\x1b[31mred", "\u202eevil", "a\nb"])
def test_an_error_that_quotes_a_name_is_one_line_of_text(option: str, name: str, hostile_home: Path, run: Run) -> None:
    """This includes names that the user typed or pasted."""
    done = run("analytics", "summary", option, f"{name}-nobody")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert is_text(done.stderr)
