"""Limits of a plan: what is read of the status line's JSON, which observation counts, and when a limit runs out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.clock import DAY_US, HOUR_US, LATEST_US, MINUTE_US, SECOND_US
from claude_force.executions.plan_limits import (
    FIVE_HOUR,
    OTHER_ACCOUNT_US,
    SEVEN_DAY,
    SPEND,
    UNKNOWN_RESET_US,
    PlanLimit,
    decode,
    forecast,
    is_news,
    merge,
    order,
    title,
)
from tests.builders import NOON_US

NOON_S = NOON_US // SECOND_US
RESETS_US = NOON_US + 2 * HOUR_US


def a_limit(percent: float = 50, **changes: Any) -> PlanLimit:
    """An observation of the five-hour limit at noon, two hours before its reset, with some changes."""
    values: dict[str, Any] = {"host": "h", "kind": FIVE_HOUR, "observed_us": NOON_US, "resets_us": RESETS_US}
    return PlanLimit(used_percent=percent, **values | {"session_id": "s"} | changes)


def read(limits: object, session_id: object = "s") -> tuple[list[PlanLimit], list[str]]:
    """What is read of these `rate_limits` at noon."""
    return decode({"session_id": session_id, "rate_limits": limits}, "h", NOON_US)


def test_the_documented_form() -> None:
    """Percentages with the resets in seconds since 1970; other limits beside the two are kept as well."""
    found, problems = read(
        {
            "five_hour": {"used_percentage": 23.54, "resets_at": NOON_S + 60},
            "seven_day": {"used_percentage": 41, "resets_at": NOON_S + 86_400},
            "seven_day_opus": {"used_percentage": 0, "resets_at": NOON_S + 86_400},
            "spend_limit": {"used_percentage": 104.2, "resets_at": NOON_S + 9, "used_usd": 52.1, "period": "daily"},
        }
    )
    assert problems == []
    assert found == [
        PlanLimit("h", FIVE_HOUR, NOON_US, 23.5, NOON_US + MINUTE_US, "s"),
        PlanLimit("h", SEVEN_DAY, NOON_US, 41, NOON_US + DAY_US, "s"),
        PlanLimit("h", "seven_day_opus", NOON_US, 0, NOON_US + DAY_US, "s"),
        PlanLimit("h", SPEND, NOON_US, 104.2, NOON_US + 9 * SECOND_US, "s"),
    ]


@pytest.mark.parametrize(
    ("resets_at", "resets_us"),
    [
        (NOON_S + 60, NOON_US + MINUTE_US),
        (NOON_S + 60.5, NOON_US + MINUTE_US + SECOND_US // 2),
        ("2025-11-01T12:27:40Z", NOON_US + MINUTE_US),
        ("2025-11-01T12:27:40.296000+00:00", NOON_US + MINUTE_US + 296_000),
        ("2025-11-01T13:27:40+01:00", NOON_US + MINUTE_US),
        ("2025-11-01T12:27:40", NOON_US + MINUTE_US),
        (None, None),
    ],
)
def test_a_reset_is_a_number_of_seconds_or_a_text(resets_at: object, resets_us: int | None) -> None:
    """Claude Code sends seconds, and its documents had texts; without a reset the percentage is still known."""
    (found,), problems = read({"five_hour": {"used_percentage": 1, "resets_at": resets_at}})
    assert (found.resets_us, problems) == (resets_us, [])


@pytest.mark.parametrize(
    "limits",
    [None, {}, {"five_hour": None}, {"five_hour": {}}, {"five_hour": {"used_percentage": None, "resets_at": None}}],
    ids=str,
)
def test_a_limit_that_is_null_is_absent(limits: object) -> None:
    """Nothing is known of it, and nothing is wrong."""
    assert read(limits) == ([], [])


@pytest.mark.parametrize("session", [None, [], "x", 5, {}, {"rate_limits": None}], ids=str)
def test_a_session_without_limits_has_none(session: object) -> None:
    """Whatever JSON it is: API keys have no limits, and a session has none before its first answer."""
    assert decode(session, "h", NOON_US) == ([], [])


@pytest.mark.parametrize(
    "percent", [-1, -0.1, 1000.1, 1e300, float("nan"), float("inf"), True, "62", "", [], {}, 10**400], ids=repr
)
def test_a_percentage_of_a_wrong_type_or_size_is_refused(percent: object) -> None:
    """One line names the limit and the field; the other limit is read."""
    five_hour = {"used_percentage": percent, "resets_at": NOON_S + 60}
    found, (problem,) = read({"five_hour": five_hour, "seven_day": {"used_percentage": 7}})
    assert [limit.kind for limit in found] == [SEVEN_DAY]
    assert problem.startswith("rate_limits.five_hour: used_percentage ")
    assert len(problem) < 120
    assert problem.isprintable()


def test_a_percentage_above_100_is_kept() -> None:
    """Spend limits can be exceeded."""
    (found,), _ = read({"spend_limit": {"used_percentage": 250, "resets_at": NOON_S + 60}})
    assert found.used_percent == 250


@pytest.mark.parametrize(
    "resets_at",
    [
        -1, True, [], {}, float("nan"), 1e300, 10**400, "", "soon", "2025-11-01", "9999-12-31T23:59:59Z",
        253_402_300_799, LATEST_US // SECOND_US, (NOON_S + 60) * 1000, NOON_S + 15 * 3600, "2026-11-01T12:00:00Z",
    ],
    ids=repr,
)  # fmt: skip
def test_an_odd_reset_is_refused(resets_at: object) -> None:
    """No instant, the year 9999, milliseconds, or further ahead than two windows: it would be believed for years."""
    found, (problem,) = read({"five_hour": {"used_percentage": 5, "resets_at": resets_at}})
    assert found == []
    assert problem.startswith("rate_limits.five_hour: ")
    assert len(problem) < 150


@pytest.mark.parametrize("resets_at", [0, NOON_S - 86_400, NOON_S, "2025-11-01T12:00:00Z"])
def test_a_limit_whose_reset_has_passed_is_left_out(resets_at: object) -> None:
    """An idle session goes on sending the limits of its last answer."""
    assert read({"five_hour": {"used_percentage": 99, "resets_at": resets_at}}) == ([], [])


@pytest.mark.parametrize("limits", ["x", 5, [], True, {"five_hour": 62}, {"five_hour": [1]}, {"a\x1b b": {}}], ids=repr)
def test_limits_of_another_shape_are_one_line(limits: object) -> None:
    """Limits that are no object, or have an impossible name."""
    found, (problem,) = read(limits)
    assert found == []
    assert problem.startswith("rate_limits")


def test_very_many_limits_are_cut() -> None:
    """A few are kept, and a line says so."""
    found, problems = read({f"limit_{number}": {"used_percentage": 1} for number in range(500)})
    assert len(found) == 20
    assert problems == ["rate_limits has more than 20 limits"]


@pytest.mark.parametrize("session_id", [None, 5, "", "\ud800", "a\0b", "x" * 101], ids=repr)
def test_an_impossible_session_is_unknown(session_id: object) -> None:
    """What no database stores must not cost the observation."""
    (found,), problems = read({"five_hour": {"used_percentage": 1}}, session_id)
    assert not found.session_id
    assert problems == []


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["five_hour", "used_percentage", "resets_at", "\x1b"]), inner, max_size=4)
    ),
)


@given(_json)
def test_no_json_breaks_the_reading(limits: object) -> None:
    """Whatever is found can be stored, and is current."""
    found, problems = read(limits)
    assert all(limit.is_current(NOON_US) and 0 <= limit.used_percent <= 1000 for limit in found)
    assert all(len(problem) < 200 for problem in problems)
    json.dumps(found)


@dataclass(frozen=True, slots=True)
class Case:
    """What was sent, what is known, and whether the first says more."""

    sent: PlanLimit
    known: PlanLimit | None
    news: bool


EARLIER = {"observed_us": NOON_US - MINUTE_US}
CASES = {
    "nothing is known": Case(a_limit(), None, True),
    "the same again": Case(a_limit(50), a_limit(50, **EARLIER), False),
    "the same from another session": Case(a_limit(50, session_id="t"), a_limit(50, **EARLIER), False),
    "more is used": Case(a_limit(51, session_id="t"), a_limit(50, **EARLIER), True),
    "less, from an idle session": Case(a_limit(49, session_id="t"), a_limit(50, **EARLIER), False),
    "less, from sessions without a name": Case(a_limit(49, session_id=None), a_limit(50, session_id=None), False),
    "less, as the same session says": Case(a_limit(2), a_limit(50, **EARLIER), True),
    "a reset that moved by seconds": Case(a_limit(50, resets_us=RESETS_US + SECOND_US), a_limit(50, **EARLIER), False),
    "the next window": Case(
        a_limit(1, session_id="t", resets_us=NOON_US + 5 * HOUR_US), a_limit(90, resets_us=NOON_US, **EARLIER), True
    ),
    "another account, just now": Case(
        a_limit(9, session_id="t", resets_us=RESETS_US + HOUR_US), a_limit(90, **EARLIER), False
    ),
    "another account, for a while": Case(
        a_limit(9, session_id="t", resets_us=RESETS_US + HOUR_US),
        a_limit(90, observed_us=NOON_US - OTHER_ACCOUNT_US),
        True,
    ),
    "the same session has another reset": Case(a_limit(9, resets_us=RESETS_US + HOUR_US), a_limit(90, **EARLIER), True),
    "the reset became known": Case(a_limit(50), a_limit(50, resets_us=None, **EARLIER), False),
    "without a reset, and long ago": Case(
        a_limit(50), a_limit(50, resets_us=None, observed_us=NOON_US - HOUR_US), True
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_observation_is_stored_only_if_it_says_more(name: str) -> None:
    """Several sessions report the same limits, each as of its own last answer."""
    case = CASES[name]
    assert is_news(case.sent, case.known) is case.news


@pytest.mark.parametrize(
    ("sent", "known", "shown"),
    [
        ([], {}, []),
        ([a_limit(5)], {}, [5]),
        ([], {FIVE_HOUR: a_limit(7)}, [7]),
        ([], {FIVE_HOUR: a_limit(7, resets_us=NOON_US)}, []),
        ([a_limit(5, session_id="t")], {FIVE_HOUR: a_limit(7)}, [7]),
        ([a_limit(8, session_id="t")], {FIVE_HOUR: a_limit(7)}, [8]),
        ([a_limit(5, session_id="t", resets_us=RESETS_US + HOUR_US)], {FIVE_HOUR: a_limit(7)}, [5]),
        ([a_limit(5, kind=SEVEN_DAY)], {FIVE_HOUR: a_limit(7)}, [7, 5]),
    ],
)
def test_a_session_shows_what_is_known_best(
    sent: list[PlanLimit], known: dict[str, PlanLimit], shown: list[float]
) -> None:
    """Its own figures, unless another session knows more of the same window; those of its own account in any case."""
    assert [limit.used_percent for limit in merge(sent, known, NOON_US)] == shown


def test_a_limit_without_a_reset_is_current_for_an_hour() -> None:
    """Nobody can say how long the percentage holds."""
    limit = a_limit(resets_us=None)
    assert limit.is_current(NOON_US + UNKNOWN_RESET_US - 1)
    assert not limit.is_current(NOON_US + UNKNOWN_RESET_US)


def test_limits_have_names_and_an_order() -> None:
    """Five hours, the week, the others by name."""
    kinds = ["spend_limit", "seven_day_opus", "seven_day", "five_hour"]
    ordered = [limit.kind for limit in sorted((a_limit(kind=kind) for kind in kinds), key=order)]
    assert [title(kind) for kind in ordered] == ["5 hours", "week", "week opus", "spend limit"]


def test_the_rate_is_that_of_the_last_hour() -> None:
    """From 20 to 50 % within the hour: at 30 % an hour, the other half takes 100 minutes; the reset is in 120."""
    history = [a_limit(20, observed_us=NOON_US - 90 * MINUTE_US), a_limit(35, observed_us=NOON_US - 5 * MINUTE_US)]
    found = forecast(a_limit(50), [*history, a_limit(50)], NOON_US)
    assert found.percent_per_hour == pytest.approx(30)
    assert found.at_reset_percent == pytest.approx(110)
    assert found.runs_out_us == NOON_US + 100 * MINUTE_US


def test_the_rate_of_a_week_is_that_of_the_last_day() -> None:
    """From 40 to 52 % within a day: half a percent an hour, and the rest takes four days."""
    week = {"kind": SEVEN_DAY, "resets_us": NOON_US + 5 * DAY_US}
    found = forecast(a_limit(52, **week), [a_limit(40, observed_us=NOON_US - 30 * HOUR_US, **week)], NOON_US)
    assert found.percent_per_hour == pytest.approx(0.5)
    assert found.at_reset_percent == pytest.approx(112)
    assert found.runs_out_us == NOON_US + 4 * DAY_US


def test_without_an_earlier_observation_the_rate_is_that_of_the_window() -> None:
    """A five-hour window that is reset in two hours began three hours ago, at 0."""
    history = [a_limit(44, observed_us=NOON_US - MINUTE_US), a_limit(45)]
    found = forecast(a_limit(45), history, NOON_US)
    assert found.percent_per_hour == pytest.approx(15)
    assert found.at_reset_percent == pytest.approx(75)
    assert found.runs_out_us is None


def test_an_observation_of_the_window_before_has_no_part_in_the_rate() -> None:
    """It was 90 % an hour and a half ago; the window began an hour ago, at 0."""
    before = a_limit(90, observed_us=NOON_US - 90 * MINUTE_US, resets_us=NOON_US - HOUR_US)
    found = forecast(a_limit(10, resets_us=NOON_US + 4 * HOUR_US), [before], NOON_US)
    assert found.percent_per_hour == pytest.approx(10)


def test_a_limit_that_rests_does_not_run_out() -> None:
    """Nothing was used for an hour."""
    history = [a_limit(50, observed_us=NOON_US - 2 * HOUR_US)]
    found = forecast(history[0], history, NOON_US)
    assert (found.percent_per_hour, found.at_reset_percent, found.runs_out_us) == (0, 50, None)


@pytest.mark.parametrize("percent", [100, 104.5])
def test_a_limit_that_is_used_up_ran_out_when_that_was_observed(percent: float) -> None:
    """Not now, and not in the future."""
    found = forecast(a_limit(percent, observed_us=NOON_US - MINUTE_US), [], NOON_US)
    assert found.runs_out_us == NOON_US - MINUTE_US


@pytest.mark.parametrize(
    "limit",
    [
        a_limit(50, resets_us=None),
        a_limit(50, kind=SPEND),
        a_limit(50, resets_us=NOON_US + 9 * HOUR_US),
        a_limit(50, resets_us=NOON_US + 5 * HOUR_US),
    ],
    ids=["no reset", "no length", "a window that has not begun", "a window that begins now"],
)
def test_a_rate_that_is_unknown_gives_no_forecast(limit: PlanLimit) -> None:
    """A single observation of a window whose start is unknown, or not in the past."""
    assert forecast(limit, [limit], NOON_US) == (None, None, None)


def test_a_limit_without_a_length_has_the_rate_since_its_first_observation() -> None:
    """A spend limit: 10 percent in two hours."""
    first = a_limit(40, kind=SPEND, observed_us=NOON_US - 2 * HOUR_US, resets_us=NOON_US + DAY_US)
    found = forecast(a_limit(50, kind=SPEND, resets_us=NOON_US + DAY_US), [first], NOON_US)
    assert found.percent_per_hour == pytest.approx(5)
    assert found.runs_out_us == NOON_US + 10 * HOUR_US


_percents = st.floats(0, 150).map(lambda percent: round(percent, 1))


@given(st.lists(st.tuples(st.integers(0, 300), _percents), max_size=8), _percents, st.integers(1, 299))
def test_a_forecast_is_consistent(earlier: list[tuple[int, float]], percent: float, minutes_left: int) -> None:
    """It runs out before its reset exactly if more than 100 % would be used by then."""
    resets_us = NOON_US + minutes_left * MINUTE_US
    history = [
        a_limit(used, observed_us=NOON_US - ago * MINUTE_US, resets_us=resets_us)
        for ago, used in sorted(earlier, reverse=True)
    ]
    found = forecast(a_limit(percent, resets_us=resets_us), history, NOON_US)
    assert found.percent_per_hour is not None
    assert found.at_reset_percent is not None
    assert found.percent_per_hour >= 0
    if percent < 100 and abs(found.at_reset_percent - 100) > 1e-6:
        assert (found.runs_out_us is not None) == (found.at_reset_percent > 100)
        assert found.runs_out_us is None or NOON_US <= found.runs_out_us <= resets_us
