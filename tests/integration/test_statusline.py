"""The status line: what it shows, and that no input breaks it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.clock import DAY_US, HOUR_US, MINUTE_US, parse_instant
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.plan_limits import FIVE_HOUR, SEVEN_DAY, SPEND, PlanLimit
from claude_force.executions.session_blocks import Block
from claude_force.executions.totals import TimeRange, Totals
from claude_force.reports.statusline import StoredCosts, format_limits, format_line
from tests.builders import NOON_US, an_execution
from tests.conftest import PROGRAM, Run
from tests.daemons import eventually
from tests.terminals import terminal

SESSION = "1b2c3d4e-0000-4000-8000-000000000001"
GIVEN: dict[str, Any] = {
    "hook_event_name": "Status",
    "session_id": SESSION,
    "transcript_path": "/home/ada/.claude/projects/x.jsonl",
    "model": {"id": "claude-opus-5-5", "display_name": "Opus 5.5"},
    "workspace": {"current_dir": "/home/ada/app"},
    "cost": {"total_cost_usd": 0.23, "total_duration_ms": 45_000},
    "context_window": {
        "context_window_size": 200_000,
        "used_percentage": 12,
        "current_usage": {
            "input_tokens": 1000,
            "output_tokens": 5000,
            "cache_creation_input_tokens": 4000,
            "cache_read_input_tokens": 20_000,
        },
    },
}
BLOCK = Block(
    NOON_US,
    NOON_US + 5 * HOUR_US,
    Totals(executions=9, metered=9, output_tokens=900, priced=9, cost_nanousd=450_000_000),
    ("m",),
    TimeRange(NOON_US, NOON_US + 2 * HOUR_US),
)
NOON = "2025-11-14T12:00:00+00:00"
NOW_US = NOON_US + 135 * MINUTE_US


def test_the_line_has_all_parts() -> None:
    """Model, costs of the session, the day and the block, cost per hour, and context."""
    assert format_line(GIVEN, StoredCosts(7, 1.23, BLOCK), NOW_US) == (
        "Opus 5.5 | $0.23 session / $1.23 today / $0.45 block (2h 45m left) | $0.23/hr | 25,000 (12%) context"
    )


@pytest.mark.parametrize(
    ("given", "stored", "line"),
    [
        (None, StoredCosts(), "Claude"),
        (None, StoredCosts(today=0.0), "Claude | $0.00 today"),
        (None, StoredCosts(today=1.2, unpriced_today=3), "Claude | $1.20 today without 3 unpriced"),
        ({"model": {"id": "claude-opus-5"}}, StoredCosts(0.5), "claude-opus-5 | $0.50 session"),
        ({"cost": {"total_cost_usd": 0}}, StoredCosts(0.5), "Claude | $0.00 session"),
        ({"cost": {"total_cost_usd": float("nan")}}, StoredCosts(), "Claude"),
        ({"context_window": {"used_percentage": 8.4}}, StoredCosts(), "Claude | 8% context"),
        ({"context_window": {"current_usage": {"input_tokens": 9000}}}, StoredCosts(), "Claude | 9,000 context"),
        (
            {"context_window": {"context_window_size": 1000, "current_usage": {"input_tokens": 90}}},
            StoredCosts(),
            "Claude | 90 (9%) context",
        ),
        *(
            (
                {"context_window": {"context_window_size": size, "current_usage": {"input_tokens": 90}}},
                StoredCosts(),
                "Claude | 90 context",
            )
            for size in (0, 5e-324, 1e-300, -1)
        ),
        ({"model": {"display_name": "a\x1b[31m\nb"}}, StoredCosts(), "a\\x1b[31m\\nb"),
    ],
)
def test_unknown_parts_are_left_out(given: Any, stored: StoredCosts, line: str) -> None:
    """There is no dash and no false zero. Control characters are spelled out."""
    assert format_line(given, stored, NOW_US) == line


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(GIVEN)), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from([*GIVEN, *GIVEN["context_window"], "total_cost_usd", "display_name"]), _json))
def test_no_input_breaks_the_line(given: dict[str, Any]) -> None:
    """Any JSON value may be in place of a name or a number."""
    assert "\n" not in format_line(
        given | {"model": given, "cost": given, "context_window": given}, StoredCosts(), NOW_US
    )


@pytest.fixture
def database_file(home: Path) -> Path:
    """The default database with executions of now, yesterday and last week, of two sessions and two sources."""
    path = home / ".claude" / "metrics" / "metrics.db"
    now = parse_instant(NOON, UTC)
    mine = {"source": "claude-code", "workflow_id": SESSION, "cost_nanousd": 10**9}
    database = open_database(str(path))
    Store(database).add(
        [
            an_execution(timestamp_us=now - MINUTE_US // 2, **mine),
            an_execution(timestamp_us=now - DAY_US, **mine),
            an_execution(timestamp_us=now - 8 * DAY_US, **mine),
            an_execution(timestamp_us=now, **mine | {"workflow_id": "another"}),
            an_execution(timestamp_us=now, cost_nanousd=10**12),
        ]
    )
    database.close()
    return path


def test_costs_come_from_the_store(database_file: Path, run: Run) -> None:
    """The session is looked up for seven days. Day and block cover all sessions of Claude Code and nothing else."""
    done = run("statusline", input=json.dumps({"session_id": SESSION}), at=NOON)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Claude | $2.00 session / $2.00 today / $2.00 block (3h 59m left)\n"


def test_the_session_cost_of_claude_code_wins(database_file: Path, run: Run) -> None:
    """The stored cost is used only if Claude Code sends none."""
    assert "| $0.23 session / " in run("statusline", input=json.dumps(GIVEN)).stdout


RESETS_S = 1_763_128_800
"""2025-11-14T14:00:00Z: in two hours."""

PLAN = {
    "five_hour": {"used_percentage": 62, "resets_at": RESETS_S},
    "seven_day": {"used_percentage": 31.4, "resets_at": RESETS_S + 3 * 86_400},
}


def with_limits(session: str = SESSION, **changes: Any) -> str:
    """The JSON of a session of a subscription, with changes of its limits."""
    return json.dumps({"session_id": session, "cost": {"total_cost_usd": 1}, "rate_limits": PLAN | changes})


def percent_of(number: object) -> dict[str, Any]:
    """The five-hour limit with this percentage."""
    return {"five_hour": {"used_percentage": number, "resets_at": RESETS_S}}


def after_noon(seconds: int) -> str:
    """So long after noon: each run is later than the end of the one before."""
    return f"2025-11-14T12:{seconds // 60:02}:{seconds % 60:02}+00:00"


def kept(path: Path) -> list[tuple[str, float]]:
    """The limits in a database, by time."""
    with closing(open_database(str(path))) as database, database.read() as connection:
        return [
            (kind, percent)
            for kind, percent in connection.fetch(
                "SELECT kind, used_percent FROM plan_limits ORDER BY observed_us, kind"
            )
        ]


def limits_in(line: str) -> str:
    """The part of a line with the limits."""
    return line.rstrip("\n").rpartition(" | ")[2]


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        ([], ""),
        ([(FIVE_HOUR, 62.0, 105 * MINUTE_US), (SEVEN_DAY, 31.4, 3 * DAY_US)], "5h 62% until 16:26 · week 31%"),
        ([(FIVE_HOUR, 99.6, None)], "5h 99%"),
        ([(SEVEN_DAY, 100.0, HOUR_US), (SPEND, 104.0, DAY_US)], "week 100% until 15:41 · spend limit 104%"),
        ([("seven_day_opus", 80.0, DAY_US)], ""),
    ],
)
def test_limits_of_the_plan(limits: list[tuple[str, float, int | None]], shown: str) -> None:
    """The percentages, and a reset that is within a day. Almost everything is not everything."""
    observed = [
        PlanLimit("h", kind, NOW_US, percent, None if left_us is None else NOW_US + left_us)
        for kind, percent, left_us in limits
    ]
    assert format_limits(observed, UTC, NOW_US) == shown
    assert format_limits(observed[:1], None, NOW_US) == shown.partition(" · ")[0].partition(" until")[0]
    assert format_line({}, StoredCosts(), NOW_US, shown) == " | ".join(filter(None, ("Claude", shown)))


def test_limits_are_shown_and_kept(database_file: Path, run: Run) -> None:
    """A row for each limit, once; a session that sends none shows what is known, until it is reset."""
    for second in (0, 10, 20):
        done = run("statusline", input=with_limits(), at=after_noon(second))
        assert (done.returncode, done.stderr) == (0, "")
        assert limits_in(done.stdout) == "5h 62% until 14:00 · week 31%"
    assert kept(database_file) == [("five_hour", 62), ("seven_day", 31.4)]
    assert limits_in(run("statusline", input="{}", at=after_noon(60)).stdout) == "5h 62% until 14:00 · week 31%"
    assert limits_in(run("statusline", input="{}", at="2025-11-14T14:00:00+00:00").stdout) == "week 31%"


def test_only_a_change_is_kept(database_file: Path, run: Run) -> None:
    """A session that was idle sends an older, lower percentage: what is known better is shown, and nothing is kept."""
    steps = (("a", 62, 62), ("b", 40, 62), ("b", 63, 63), ("a", 62, 63), ("b", 2, 2))
    for place, (session, number, shown) in enumerate(steps):
        given = with_limits(session, **percent_of(number), seven_day=None)
        done = run("statusline", input=given, at=after_noon(10 * place))
        assert limits_in(done.stdout) == f"5h {shown}% until 14:00"
    assert [percent for _, percent in kept(database_file)] == [62, 63, 2]


@pytest.mark.parametrize(
    "rate_limits",
    [
        None, [], "x", 5, {}, {"five_hour": None}, percent_of(None), percent_of(-3), percent_of(1e9), percent_of("62"),
        percent_of(True), {"five_hour": {"used_percentage": 5, "resets_at": 253_402_300_799}},
        {"five_hour": {"used_percentage": 5, "resets_at": "9999-12-31T00:00:00Z"}},
        {"five_hour": {"used_percentage": 5, "resets_at": "soon"}},
        {"five_hour": {"used_percentage": 5, "resets_at": RESETS_S - 86_400}}, {"\udfff": {"used_percentage": 1}},
    ],
    ids=repr,
)  # fmt: skip
def test_limits_that_cannot_be_read_are_left_out(rate_limits: object, database_file: Path, run: Run) -> None:
    """Nulls, wrong types, odd instants: the line has everything else, and nothing is kept."""
    done = run("statusline", input=json.dumps(GIVEN | {"rate_limits": rate_limits}), at=NOON)
    assert done.returncode == 0
    assert done.stdout.endswith("| 25,000 (12%) context\n")
    assert "5h" not in done.stdout
    assert "Traceback" not in done.stderr
    assert kept(database_file) == []


def test_limits_are_shown_without_a_database(home: Path, run: Run) -> None:
    """Nothing is created for them."""
    done = run("statusline", input=with_limits(), at=NOON)
    assert limits_in(done.stdout) == "5h 62% until 14:00 · week 31%"
    assert [path for path in home.rglob("*") if path.name != ".claude"] == []


def test_a_locked_database_does_not_hold_the_line_up(home: Path, database_file: Path, run: Run) -> None:
    """The line is complete and nothing is said; the doctor has the reason until a later line could store."""
    with closing(sqlite3.connect(database_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = run("statusline", input=with_limits(), at=NOON)
        other.execute("ROLLBACK")
    assert (done.returncode, done.stderr) == (0, "")
    assert limits_in(done.stdout) == "5h 62% until 14:00 · week 31%"
    assert kept(database_file) == []
    shown = " ".join(run("doctor").stdout.split())
    assert "plan-limits the status line could not store them at" in shown
    assert "was locked by another process for 0.05 s" in shown
    run("statusline", input=with_limits(), at=NOON)
    assert len(kept(database_file)) == 2
    assert "the status line could not store them" not in run("doctor").stdout
    assert not (home / ".claude" / "metrics" / "plan-limits.problem").exists()


@pytest.mark.parametrize("given", ["", " ", "{", "null", "[]", '"x"', "\0", "[" * 100_000, '{"session_id": "\\ud800"}'])
def test_invalid_input_gives_a_line(given: str, run: Run) -> None:
    """One line, exit code 0, no traceback, even without a database."""
    done = run("statusline", input=given)
    assert (done.returncode, done.stdout) == (0, "Claude\n")
    assert "Traceback" not in done.stderr


def test_binary_input_gives_a_line(run: Run) -> None:
    """The input is not UTF-8."""
    done: subprocess.CompletedProcess[Any] = run("statusline", input=b"\xff\xfe{", text=False)
    assert (done.returncode, done.stdout) == (0, b"Claude\n")


def test_an_input_without_an_end_gives_a_line(run: Run) -> None:
    """It is read in part only: it must not fill the memory."""
    with Path("/dev/zero").open("rb") as endless:
        done = run("statusline", stdin=endless)
    assert (done.returncode, done.stdout) == (0, "Claude\n")
    assert "standard input is longer than 16 MB" in done.stderr


def test_a_session_whose_id_is_no_text_hides_no_other_cost(database_file: Path, run: Run) -> None:
    """Half a character cannot be looked up; the costs of the day are shown all the same."""
    done = run("statusline", "--timezone", "UTC", input='{"session_id": "\\ud800"}', at=NOON)
    assert "today" in done.stdout


def test_a_status_line_creates_nothing(home: Path, run: Run) -> None:
    """It creates no database and no folder."""
    run("statusline", input="{}")
    assert [path for path in home.rglob("*") if path.name != ".claude"] == []


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\0" + b"x" * 5000])
def test_a_broken_database_is_a_warning(content: bytes, home: Path, run: Run) -> None:
    """The line still shows what Claude Code sent."""
    path = home / ".claude" / "metrics" / "metrics.db"
    path.parent.mkdir()
    path.write_bytes(content)
    done = run("statusline", input=json.dumps(GIVEN))
    assert (done.returncode, done.stdout) == (0, "Opus 5.5 | $0.23 session | 25,000 (12%) context\n")
    assert done.stderr.startswith("claude-force statusline: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "options", [("--timezone", "Mars/Base"), ("--db", ""), ("--db", "postgresql://localhost:1/none"), ("--db", "/")]
)
def test_a_wrong_option_is_a_warning(options: tuple[str, str], run: Run) -> None:
    """The line still shows what Claude Code sent."""
    done = run("statusline", *options, input=json.dumps(GIVEN))
    assert (done.returncode, done.stdout) == (0, "Opus 5.5 | $0.23 session | 25,000 (12%) context\n")
    assert done.stderr.startswith("claude-force statusline: ")


def test_who_types_it_reads_how_the_limits_get_known(home: Path) -> None:
    """On a terminal there is no session; the line alone looks as if there were no limits."""
    with terminal([PROGRAM, "statusline"], home) as found:
        assert found.wait() == 0
        hint = "the limits of your plan are known once Claude Code runs this: claude-force statusline --help"
        eventually(lambda: hint in found.text)
