"""Frames of the dashboard: complete at every size."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force import clock
from claude_force.analytics.plan_limits import LimitState
from claude_force.clock import DAY_US, HOUR_US, SECOND_US
from claude_force.database.rows.alerts import AlertRow
from claude_force.executions.plan_limits import Forecast, PlanLimit
from claude_force.executions.record import DURATION_LIMIT_US
from claude_force.executions.totals import Group, Percentiles, TimeRange, Totals
from claude_force.ingest.freshness import Freshness
from claude_force.reports.cells import cell_width
from claude_force.reports.dashboard.app import show_once
from claude_force.reports.dashboard.frame import LEAST_HEIGHT, LEAST_WIDTH, View, draw
from claude_force.reports.dashboard.snapshot import (
    SORT_KEYS,
    SPANS,
    DashboardSnapshot,
    Period,
    Span,
    TimeSeries,
    window_of,
)
from tests.builders import NOON_US, an_execution

SIZES = [(80, 24), (80, 40), (120, 40), (40, 10)]
PERIODS = ("1 hour", "24 hours", "7 days")
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
LIVE, ONCE = View(UTC), View(UTC, is_live=False)
HOSTILE = (
    "\x1b[31mred\x1b]0;owned\x07",
    "a\r\nb",
    "[red]markup[/red]",
    "\u202eabc",
    "宽" * 5000,
    "x" * 10_000,
    "a\tb",
    "",
)


def totals(executions: int = 1234, **changes: int) -> Totals:
    """Totals of executions that took three seconds and cost a cent."""
    values = {
        "executions": executions, "successes": executions - executions // 20, "timed": executions,
        "duration_us": 3_000_000 * executions, "metered": executions, "input_tokens": 1500 * executions,
        "output_tokens": 500 * executions, "priced": executions, "cost_nanousd": 10_000_000 * executions,
    }  # fmt: skip
    return Totals(**values | changes)


_UNTIMED = Percentiles()


def periods_of(found: Totals, ranked: Percentiles = _UNTIMED, *, is_exact: bool = True) -> dict[Span, Period]:
    """The same totals in every period."""
    return {span: Period(window_of(span, NOON_US), found, ranked, is_exact) for span in SPANS}


def an_alert(**changes: Any) -> AlertRow:
    """An alert that has been firing for an hour, with some changes."""
    values: dict[str, Any] = {
        "fingerprint": "f", "rule": "success-rate", "labels": '{"agent": "python-expert"}', "severity": "critical",
        "state": "firing", "reason": "BEGAN", "since_us": NOON_US - HOUR_US, "evaluated_us": NOON_US - 30 * SECOND_US,
    }  # fmt: skip
    return AlertRow(**values | changes)


def snapshot(**changes: Any) -> DashboardSnapshot:
    """A snapshot with data in every section, with some changes."""
    names = [f"agent-{number}" for number in range(20)]
    periods = {
        span: Period(window_of(span, NOON_US), totals(10**index * 123), Percentiles(2, 9_100_000, 4), is_exact=True)
        for index, span in enumerate(SPANS)
    }
    values: dict[str, Any] = {
        "at_us": NOON_US,
        "name": "/srv/metrics.db",
        "span": "24h",
        "stored_range": TimeRange(NOON_US - DAY_US, NOON_US),
        "periods": periods,
        "agents": [Group(name, totals(100 + index)) for index, name in enumerate(names)],
        "models": [Group("claude-3-5-haiku-20241022", totals(900)), Group("claude-opus-4-1-20250805", totals(330))],
        "time_series": TimeSeries(HOUR_US, tuple(totals(hour) for hour in range(24))),
        "firing": [],
        "recent": [an_execution(timestamp_us=NOON_US - second * SECOND_US) for second in range(100)],
        "plan_limits": [],
        "freshness": Freshness(NOON_US),
    } | changes
    return DashboardSnapshot(**values)


def lines_of(found: DashboardSnapshot | None, view: View = LIVE, size: tuple[int, int] = (80, 24)) -> list[str]:
    """The lines of a frame."""
    return draw(found, view, *size).plain.split("\n")


def assert_fits(lines: list[str], size: tuple[int, int]) -> None:
    """The frame fills the height, no line is wider than the window, and every character is printable."""
    assert len(lines) == size[1]
    assert [line for line in lines if cell_width(line) > size[0] or not line.isprintable()] == []


@every_size
def test_a_frame_fits(size: tuple[int, int]) -> None:
    """The totals of all three periods are complete at every size."""
    lines = lines_of(snapshot(), size=size)
    assert_fits(lines, size)
    assert [line.split()[2:4] for line in lines if line.startswith(PERIODS)] == [
        ["123", "95.1%"],
        ["1,230", "95.0%"],
        ["12,300", "95.0%"],
    ]
    assert lines[0].startswith("claude-force")
    assert lines[-1].startswith("q quit   w window 24h   s sort cost")


def test_80_by_24_has_every_section() -> None:
    """Totals, alerts, sparklines, agents, models and executions fit into 80 columns and 24 lines."""
    lines = lines_of(snapshot(firing=[an_alert()]))
    assert lines[1].split() == ["Last", "Executions", "Success", "Average", "P95", "Cost", "Tokens"]
    assert lines[3].split()[2:] == ["1,230", "95.0%", "3.0s", "9.1s", "$12.30", "2.5M"]
    assert lines[5] == "FIRING success-rate python-expert  critical, since 11:26:40: breached for long…"
    assert lines[6] == "Last 24 hours, by hour".ljust(76) + "most"
    assert [line.split()[0] for line in lines[7:10]] == ["Executions", "Cost", "Average"]
    assert lines[7].endswith(" 23")
    assert lines[10].split() == ["Agents", "by", "cost", "Exec.", "Success", "Cost", "Models", "Share", "of", "exec."]
    assert lines[11].split() == ["agent-19", "119", "95.8%", "$1.19", "claude-3-5-haiku", "73%", "████████"]
    assert lines[16].split() == ["Ended", "Agent", "Model", "Time", "Cost", "Tokens", "Result"]
    assert lines[17].split() == ["12:26:40", "python-expert", "claude-3-5-haiku", "3.5s", "$0.0033", "1,801", "ok"]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("sort_by", SORT_KEYS)
def test_the_order_of_agents_is_in_their_title(sort_by: Any, width: int) -> None:
    """The title and the sorted column are complete at every width."""
    shown = lines_of(snapshot(), View(UTC, sort_by=sort_by), (width, 24))
    title = next(line for line in shown if line.startswith("Agents by "))
    executions = "executions" if width == 120 else "exec."
    word = executions if sort_by == "executions" else sort_by
    column = {"executions": executions.capitalize(), "time": "Average"}.get(sort_by, sort_by.capitalize())
    assert title.startswith(f"Agents by {word}  ")
    assert column in title.partition(word)[2]


def test_agents_that_are_left_out_are_counted() -> None:
    """A line after the last agent counts the others, unless all fit or there are very few lines."""
    found = snapshot()
    index = next(index for index, line in enumerate(lines_of(found)) if line.startswith("Agents"))
    assert lines_of(found)[index + 5].startswith("and 16 more")
    assert "more" not in "\n".join(lines_of(replace(found, agents=found.agents[:5])))
    assert "more" not in "\n".join(lines_of(found, size=(80, 16)))


def test_a_larger_window_shows_more() -> None:
    """More lines have more rows and a sparkline of failures; more columns have average, tokens and costs."""
    usual, larger = ("\n".join(lines_of(snapshot(), size=size)) for size in ((80, 24), (120, 40)))
    for text in ("Failures", "agent-12", "12:26:30"):
        assert (text in usual, text in larger) == (False, True)
    assert larger.count("Average") == usual.count("Average") + 1


@pytest.mark.parametrize("size", [(39, 24), (80, 7), (10, 3), (1, 1)])
def test_a_window_that_is_too_small_asks_for_a_larger_one(size: tuple[int, int]) -> None:
    """The message is cut to the room that there is."""
    lines = lines_of(snapshot(), size=size)
    assert len(lines) <= size[1]
    assert all(len(line) <= size[0] for line in lines)
    assert "Make the window larger: 40 x 8".startswith(" ".join(lines)[:20])


@given(
    st.integers(LEAST_WIDTH, 250), st.integers(LEAST_HEIGHT, 100), st.sampled_from(SPANS), st.sampled_from(SORT_KEYS)
)
def test_every_size_fits(width: int, height: int, span: Any, sort_by: Any) -> None:
    """Every width and height, in every span and order."""
    steps = {"1h": (60, HOUR_US // 60), "24h": (24, HOUR_US), "7d": (168, HOUR_US)}
    count, step_us = steps[span]
    found = snapshot(
        span=span, time_series=TimeSeries(step_us, (totals(),) * count), firing=[an_alert()] * 5, plan_limits=LIMITS
    )
    assert_fits(lines_of(found, View(UTC, span, sort_by), (width, height)), (width, height))


def a_plan_limit(kind: str, percent: float, resets_us: int, runs_out_us: int | None = None) -> LimitState:
    """A current limit of a host."""
    return LimitState(PlanLimit("h", kind, NOON_US, percent, resets_us), Forecast(1.0, 0.0, runs_out_us))


LIMITS = [
    a_plan_limit("five_hour", 62, NOON_US + 2 * HOUR_US, NOON_US + HOUR_US),
    a_plan_limit("seven_day", 31.4, NOON_US + 3 * DAY_US),
    a_plan_limit("spend_limit", 104, NOON_US + DAY_US, NOON_US),
]


def test_plan_limits_are_drawn() -> None:
    """In 80 columns each has its percentage, a bar, its reset, and when it runs out; two limits fit into 24 lines."""
    lines = lines_of(snapshot(plan_limits=LIMITS))
    assert_fits(lines, (80, 24))
    assert lines[5].split() == ["Plan", "limit", "Used", "Reset", "Runs", "out"]
    assert lines[6].split() == ["5", "hours", "62%", "████████████▍", "14:26", "13:26"]
    assert lines[7].split() == ["week", "31%", "██████▎", "11-04", "12:26", "not", "before", "reset"]
    assert lines[8] == "No alert is firing"
    assert any(line.startswith("Ended") for line in lines)
    larger = lines_of(snapshot(plan_limits=LIMITS), size=(120, 40))
    (spend,) = [line.split() for line in larger if line.startswith("spend limit")]
    assert spend == ["spend", "limit", "104%", "█" * 20, "11-02", "12:26", "used", "up"]


def test_plan_limits_of_several_machines_have_their_names() -> None:
    """Machines may have accounts of their own."""
    second = LIMITS[0]._replace(limit=LIMITS[0].limit._replace(host="build-7"))
    lines = lines_of(snapshot(plan_limits=[LIMITS[0], second]))
    assert [line.split("  ")[0] for line in lines[6:8]] == ["5 hours, h", "5 hours, build-7"]


@pytest.mark.parametrize("size", [(80, 24), (40, 24), (40, 10), (120, 40), (80, 17)])
def test_without_plan_limits_nothing_is_drawn(size: tuple[int, int]) -> None:
    """No title without rows; and no limits in a frame of few lines."""
    assert "Plan limit" not in "\n".join(lines_of(snapshot(), size=size))
    lines = lines_of(snapshot(plan_limits=LIMITS, firing=[an_alert()]), size=size)
    assert_fits(lines, size)
    assert any(line.startswith("Plan limit") for line in lines) == (size[1] >= 18)


@every_size
def test_large_figures_are_not_cut(size: tuple[int, int]) -> None:
    """A billion executions, a million dollars, a year: columns are dropped and names are cut instead."""
    huge = totals(999_999_999, duration_us=DURATION_LIMIT_US * 999_999_999, cost_nanousd=1_234_567_890_000_000)
    periods = periods_of(huge, Percentiles(1, DURATION_LIMIT_US, 1), is_exact=False)
    recent = [an_execution(duration_us=DURATION_LIMIT_US, cost_nanousd=10**15)] * 20
    found = snapshot(
        periods=periods,
        agents=[Group("a" * 200, huge)] * 20,
        models=[Group("m" * 200, huge)],
        time_series=TimeSeries(HOUR_US, (huge,) * 24),
        recent=recent,
    )
    lines = lines_of(found, size=size)
    assert_fits(lines, size)
    rows = [line for line in lines if line.startswith(PERIODS)]
    assert [row.split()[2] for row in rows] == ["999,999,999"] * 3
    if size[0] >= 80:
        assert all(row.split()[4:7] == ["366d00h", "366d00h", "$1,234,567.89"] for row in rows)
        assert "P95 ~1%" in "\n".join(lines)
        assert sum("366d00h" in line for line in lines) >= 9


@every_size
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_inert(name: str, size: tuple[int, int]) -> None:
    """Agent, model, alert, error and database names stay in their cells and are not read as markup."""
    failed = replace(an_execution(success=False), agent_name="a")
    for field in ("agent_name", "model", "error_type"):
        # ExecutionMetrics refuses such names; a damaged database can hold them.
        object.__setattr__(failed, field, name)
    found = snapshot(
        name=name,
        agents=[Group(name, totals())],
        models=[Group(name, totals(priced=1))],
        periods=periods_of(totals(priced=1)),
        firing=[an_alert(rule=name, severity=name, reason=name)],
        recent=[failed] * 9,
    )
    lines = lines_of(found, View(UTC, problem=f"cannot open {name}"), size)
    assert_fits(lines, size)
    text = draw(found, LIVE, *size)
    assert {str(span.style) for span in text.spans} <= {
        "", "bold", "dim", "bold underline", "bold red", "red", "green", "yellow", "cyan", "bold cyan", "bold yellow",
    }  # fmt: skip


def test_alerts_that_do_not_fit_are_counted() -> None:
    """The newest alert is first; the last line counts the others and has the command that lists them."""
    firing = [an_alert(rule=f"rule-{number}", since_us=NOON_US - number * SECOND_US) for number in range(5)]
    shown = [line for line in lines_of(snapshot(firing=firing)) if "rule-" in line or "more firing" in line]
    assert shown[0].startswith("FIRING rule-0 python-expert")
    assert shown[1:] == ["4 more firing: claude-force alerts list"]
    assert "5 alerts firing: claude-force alerts list" in lines_of(snapshot(firing=firing), size=(80, 10))
    assert "No alert is firing" in lines_of(snapshot())


def test_a_stale_alert_has_its_last_evaluation() -> None:
    """While the scheduler is down, a stored alert may be outdated."""
    shown = lines_of(snapshot(firing=[an_alert(evaluated_us=NOON_US - HOUR_US)]))
    assert shown[5] == "FIRING success-rate python-expert  critical, not evaluated since 11:26:40"


def test_executions_without_a_price_are_counted() -> None:
    """Their models are named, because the costs do not include them."""
    periods = periods_of(totals(priced=1200))
    shown = lines_of(snapshot(periods=periods, models=[Group("gpt-9", totals(priced=1200))]))
    assert "34 executions have no known price and are not in this cost: gpt-9" in shown


def test_an_unknown_value_is_a_dash() -> None:
    """An unknown value is a dash in tables and blank in a sparkline, never zero."""
    bare = Totals(executions=3, successes=3)
    periods = periods_of(bare)
    shown = lines_of(snapshot(periods=periods, time_series=TimeSeries(HOUR_US, (Totals(),) * 23 + (bare,))))
    assert shown[2].split() == ["1", "hour", "3", "100.0%", "–", "–", "–", "–"]
    executions, cost, average = (
        next(line for line in shown if line.startswith(name)) for name in ("Exec", "Cost ", "Aver")
    )
    assert executions.split() == ["Executions", "▁" * 46 + "██", "3"]
    assert average.split() == ["Average", "–"]
    assert cost.split()[-1] == "$0.00"


def test_two_releases_of_a_model_have_different_labels() -> None:
    """The release date is shown only if the store has two releases of a model."""
    names = ["claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022", "claude-3-5-haiku-20241022"]
    shown = "\n".join(lines_of(snapshot(models=[Group(name, totals()) for name in names]), size=(120, 40)))
    assert "claude-3-5-sonnet-20240620" in shown
    assert "claude-3-5-haiku-" not in shown


def test_an_empty_store_shows_how_to_fill_it() -> None:
    """A live dashboard adds that it updates by itself."""
    empty = snapshot(stored_range=None, agents=[], models=[], recent=[])
    assert "  claude-force ingest" in lines_of(empty)
    assert_fits(lines_of(empty, size=(40, 8)), (40, 8))
    assert "New executions appear here by themselves." in lines_of(empty)
    assert "New executions appear here by themselves." not in lines_of(empty, ONCE)


def test_an_empty_span_has_the_dates_of_the_store() -> None:
    """The store has executions, but none in the chosen span."""
    found = snapshot(
        periods=periods_of(Totals()), agents=[], models=[], time_series=TimeSeries(HOUR_US, (Totals(),) * 24)
    )
    shown = lines_of(found)
    assert "None in the last 24 hours; stored: 2025-10-31 to 2025-11-01" in shown
    narrow = lines_of(found, size=(40, 24))
    index = narrow.index("None in the last 24 hours; stored:")
    assert narrow[index + 1] == "2025-10-31 to 2025-11-01"
    assert shown[2].split() == ["1", "hour", "0", "–", "–", "–", "$0.00", "0"]


def test_what_ended_in_another_year_has_its_year() -> None:
    """Two days of two years would look alike, and out of order."""
    recent = [an_execution(timestamp_us=NOON_US - days * DAY_US) for days in (0, 1, 400)]
    shown = lines_of(snapshot(recent=recent))
    times = [line.split("  ")[0] for line in shown[[line[:5] for line in shown].index("Ended") + 1 :]][:3]
    at = [clock.to_datetime(each.timestamp_us, LIVE.zone) for each in recent]
    assert times[1:] == [f"{at[1]:%m-%d %H:%M}", f"{at[2]:%Y-%m-%d}"]


def test_a_problem_is_a_line_above_the_last_snapshot() -> None:
    """The line has the time of that snapshot. Before the first snapshot the problem is alone."""
    shown = lines_of(snapshot(), View(UTC, problem="metrics.db is busy: try again"))
    assert shown[1] == "Not read since 12:26:40: metrics.db is busy: try again"
    assert shown[2].startswith("Last ")
    assert lines_of(None, View(UTC, problem="metrics.db is busy"))[:2] == ["claude-force", "metrics.db is busy"]
    assert lines_of(None)[:2] == ["claude-force", "Reading ..."]


def test_the_keys_are_explained() -> None:
    """The list of keys fits the smallest window."""
    view = View(UTC, shows_keys=True)
    assert any(line.startswith("q, Esc, Ctrl-C  quit") for line in lines_of(snapshot(), view))
    assert_fits(lines_of(snapshot(), view, (40, 8)), (40, 8))


def test_a_frame_for_a_file_has_no_footer() -> None:
    """It has no keys and no empty lines at its end."""
    lines = lines_of(snapshot(recent=[an_execution()]), ONCE, (80, 40))
    assert lines[-1].startswith("12:26:40")
    assert len(lines) < 40


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize(("start", "end"), [("a" * 90, "b" * 90), ("宽" * 40, "宽" * 40), ("סוכן-" * 18, "-שם" * 20)])
def test_no_two_names_look_alike(width: int, start: str, end: str) -> None:
    """Names of agents, models and alerts whose only difference is in the middle, with the same figures."""
    names = [f"{start}{number}{end}" for number in range(4)]
    groups = [Group(name, totals()) for name in names]
    firing = [an_alert(rule=name) for name in names]
    lines = lines_of(snapshot(agents=groups, models=groups, firing=firing), size=(width, 60))
    assert len({line for line in lines if line.startswith("FIRING")}) == 4
    first = next(at for at, line in enumerate(lines) if line.startswith("Agents by"))
    assert len(set(lines[first + 1 : first + 5])) == 4


def test_a_terminal_gets_marks_around_names_from_right_to_left() -> None:
    """So that the figures of the row keep their order; a pipe gets the name alone."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    found = snapshot(agents=[Group("סוכן", totals())])
    screen, pipe = Screen(), io.StringIO()
    for file in (screen, pipe):
        show_once(found, LIVE, (80, 24), file)
    assert "\u200eסוכן\u200e  " in screen.getvalue()
    assert "\u200e" not in pipe.getvalue()
    assert "סוכן  " in pipe.getvalue()
