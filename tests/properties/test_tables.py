"""Tables never lie: no two different rows look alike, and every figure is there, at every width.

Every command of the tree that writes a table is run, so that a new one is covered as soon as it exists.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.cli.root import cli
from claude_force.clock import HOUR_US
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.database.writes.telemetry import add_outcomes
from claude_force.executions.outcomes import LINES
from claude_force.executions.signals import Outcome
from claude_force.reports.cells import cell_width
from scripts.generate import walk
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled

WIDTHS = (60, 80, 120, 200)

MORE = {
    "claude-force alerts history": [],
    "claude-force alerts list": [],
    "claude-force archive": ["--dry-run"],
    "claude-force baseline list": [],
    "claude-force db reprice": ["--dry-run"],
    "claude-force scheduler jobs": [],
    "claude-force scheduler status": [],
}
"""Commands with a table, beside those with --format, and their arguments."""

NO_TABLE = ("analytics export", "baseline check", "baseline show", "report")
"""Commands with --format that write no table of names."""

NAMED = {"by-agent": "agents", "by-branch": "branches", "by-host": "hosts", "by-model": "models",
         "by-project": "projects", "by-user": "users",
         "by-session": "sessions", "by-workflow": "workflows", "errors": "errors", "costs": "by_model"}  # fmt: skip
"""The rows in the JSON of commands whose table has a row for each name."""

WITH_TOTAL = ("by-agent", "by-branch", "by-host", "by-user", "by-model", "by-project", "by-workflow")
"""Those whose last row is the total."""


class Screen(io.StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        """It says so."""
        return True


_QUERY = "SELECT agent, model, project, session, cost, error_type FROM executions_v1 ORDER BY timestamp"


def table_commands() -> dict[str, list[str]]:
    """Every command that writes tables, and its arguments."""
    found = dict(MORE)
    for path, command in walk(cli, "claude-force"):
        options = {option for parameter in command.params for option in parameter.opts}
        if "--format" in options and not path.endswith(NO_TABLE):
            period = ["--start", "2025-11-01"] if "--start" in options else []
            period += ["--batch"] if "--batch" in options else []
            period += [_QUERY] if path.endswith("db sql") else []
            found.setdefault(path, [*period, *(["--trends"] if "--trends" in options else [])])
    return {path: [*path.split()[1:], *arguments] for path, arguments in found.items()}


COMMANDS = table_commands()

ROOMY = ("a" * 99, "claude-sonnet-4-5-", "宽" * 40, "סוכן-" * 19, "👩🏽 é ", "wörd " * 12)

NAMES = st.one_of(
    st.builds(
        lambda start, middles, end: [f"{start}{middle}{end}" for middle in middles],
        st.sampled_from(ROOMY),
        st.lists(st.integers(0, 99), min_size=2, max_size=4, unique=True),
        st.sampled_from(ROOMY),
    ),
    st.lists(st.text(alphabet="a宽ש -_/.", min_size=1, max_size=200), min_size=2, max_size=4, unique_by=str.strip),
)
"""Names that differ only in the middle, and any of few characters: long, wide, and from right to left."""


@pytest.fixture(scope="module", autouse=True)
def _plain_terminal() -> Iterator[None]:
    """No colours, which would be counted as characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "dumb")
        yield


def output(arguments: list[str], width: int | None) -> str:
    """What a command writes to a terminal of a width; to a pipe for None."""
    file: io.StringIO = io.StringIO() if width is None else Screen()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(file):
        patch.delenv("COLUMNS", raising=False)
        if width is not None:
            patch.setenv("COLUMNS", str(width))
        # The status of a scheduler that does not run exits with 1.
        with suppress(SystemExit, click.exceptions.Exit):
            cli.main(args=arguments, prog_name="claude-force", standalone_mode=False)
    return file.getvalue()


def store(path: Path, names: list[str], **figures: Any) -> None:
    """A database in which all names have the same figures, so that only names tell rows apart."""
    outcomes = [
        Outcome(key=f"{name} {kind}", at_us=NOON_US, name=LINES, value=12_345, kind=kind, session_id=name)
        for name in names
        for kind in ("added", "removed")
    ]
    executions = [
        an_execution(
            timestamp_us=NOON_US + hour * HOUR_US,
            agent_name=name, model=name, workflow_id=name, session_id=name, git_branch=name, project=f"/srv/{name}",
            host=name, user_name=name,
            error_type=name, success=False, **figures,
        )
        for name in names
        for hour in range(2)
    ]  # fmt: skip
    database = open_database(str(path))
    Store(database).add(executions)
    with database.write() as connection:
        add_outcomes(connection, outcomes, NOON_US)
    database.close()


def in_cells(line: str) -> str:
    """A line with one character for each cell."""
    return "".join(char + " " * (cell_width(char) - 1) for char in line if cell_width(char)).rstrip()


def rows_of(text: str) -> list[str]:
    """The rows of the last table of names. A row begins where its second column has a figure, or below a blank line.

    If the title of that column is not in the last line of titles, the figures of a row have two lines."""
    lines = [in_cells(line.replace("\u200e", "")) for line in text.splitlines()]
    rules = [at for at, line in enumerate(lines) if line and set(line) == {"─"}]
    if not rules:
        blocks = re.split(r"\n\n+", "\n".join(lines))
        return [block for block in blocks if re.search(r"^  (Executions|Exec\.|Failures): ", block, re.MULTILINE)]
    titles = [re.search(r"Executions|Exec\.|Failures", line) for line in lines[: rules[-1]][:-3:-1]]
    title = titles[0] or titles[1]
    assert title is not None, text
    height = 1 if titles[0] else 2
    rows: list[str] = []
    for line in lines[rules[-1] + 1 :]:
        if not line:
            break
        is_begun = bool(rows) and rows[-1].count("\n") < height - 1
        if line[title.end() - 1 : title.end()].strip() and not is_begun:
            rows.append(line)
        else:
            rows[-1] += f"\n{line}"
    return rows


def figures_of(text: str, names: list[str]) -> set[str]:
    """The numbers in a text that has no digits in its names."""
    assert not any(re.search(r"\d", name) for name in names)
    return set(re.findall(r"\$?\d[\d,.:-]*\w*%?", text))


@settings(max_examples=scaled(20))
@given(NAMES)
def test_no_two_rows_print_alike(names: list[str]) -> None:
    """Each name has a row of its own, and no line is wider than the terminal."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.db"
        store(path, names)
        for name, key in NAMED.items():
            arguments = ["analytics", name, "--db", str(path)]
            expected = len(json.loads(output([*arguments, "--json"], None))[key]) + (name in WITH_TOTAL)
            arguments += ["--by-model"] if name == "costs" else []
            for width in (*WIDTHS, None):
                text = output(arguments, width)
                rows = rows_of(text)
                assert len(rows) == len({*rows}) == expected, (name, width, text)
                assert width is None or max(map(cell_width, text.replace("\u200e", "").splitlines())) <= width, text


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("size", [1, 1000, 80_000])
def test_every_figure_is_shown_at_every_width(command: str, size: int, tmp_path: Path) -> None:
    """What a pipe gets in full, a narrow terminal shows, too: no figure is dropped, cut or rounded more."""
    names = ["agent-of-a-long-name-" * 3, "b", "宽" * 30]
    store(
        tmp_path / "m.db", names, input_tokens=1234 * size, output_tokens=567 * size, cache_read_tokens=1243 * size,
        cache_write_1h_tokens=432 * size, cost_nanousd=12_345_678 * size,
    )  # fmt: skip
    arguments = [*COMMANDS[command], "--db", str(tmp_path / "m.db")]
    whole = figures_of(output(arguments, None), names)
    assert whole or "alerts" in command or "baseline" in command or "blocks" in command or "backfill" in command
    for width in WIDTHS:
        text = output(arguments, width)
        assert whole <= figures_of(text, names), (width, text)


@pytest.mark.parametrize("name", NAMED)
def test_a_table_has_the_counts_of_the_json(name: str, tmp_path: Path) -> None:
    """Digit by digit: a count is never shown as 1.2M."""
    store(
        tmp_path / "m.db",
        ["agent", "other"],
        input_tokens=1_234_567,
        output_tokens=7_654_321,
        cache_read_tokens=23_456_789,
    )
    arguments = ["analytics", name, "--db", str(tmp_path / "m.db")]
    rows = json.loads(output([*arguments, "--json"], None))[NAMED[name]]
    shown = figures_of(output(arguments, 60), ["agent", "other"])
    wanted = {"executions", "failures"} | (
        {"cache_read_tokens"} if name == "costs" else {"total_tokens"} if name == "by-session" else {"avg_input_tokens"}
    )
    counted = {f"{value:,.0f}" for row in rows for key, value in row.items() if key in wanted}
    assert counted
    assert counted <= shown


def test_every_command_with_a_table_is_run() -> None:
    """The list is not empty, and no entry is out of date."""
    paths = {path for path, _ in walk(cli, "claude-force")}
    assert set(MORE) <= paths
    assert all(any(path.endswith(name) for path in paths) for name in NO_TABLE)
    assert {f"claude-force analytics {name}" for name in NAMED} <= set(COMMANDS)
    assert sys.stdout is not None
