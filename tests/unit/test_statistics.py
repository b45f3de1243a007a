"""Claude Code's statistics: which days are taken, what they count, and what is rejected with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from claude_force.clock import DAY_US
from claude_force.errors import InvalidRecord
from claude_force.executions.statistics import DailyTokens
from claude_force.ingest.statistics import Statistics, parse
from tests.builders import NOON_US
from tests.transcripts import FIRST_SESSION, statistics

HERE = "here:/home/ada/.claude/stats-cache.json"


def parsed(value: Any) -> Statistics:
    """The days of a file, read at noon of 2025-11-01."""
    return parse(value if isinstance(value, bytes) else json.dumps(value).encode(), HERE, NOON_US)


def test_each_day_and_model_is_taken() -> None:
    """Also a day without tokens, and today; nothing else of the file is."""
    value = statistics({"2025-10-01": {"opus": 5, "haiku": 0}, "2025-11-01": {"opus": 7}}, dailyActivity=[{"date": 5}])
    assert parsed(value) == Statistics(
        [
            DailyTokens(FIRST_SESSION, "2025-10-01", "opus", 5, 1),
            DailyTokens(FIRST_SESSION, "2025-10-01", "haiku", 0, 1),
            DailyTokens(FIRST_SESSION, "2025-11-01", "opus", 7, 1),
        ],
        [],
    )


@pytest.mark.parametrize(
    ("version", "has_cache_tokens"), [(..., 0), (1, 0), (4, 0), (5, 1), (6, None), ("5", None), (-1, 0), (True, 0)]
)
def test_the_version_says_what_the_tokens_count(version: Any, has_cache_tokens: int | None) -> None:
    """Cached ones since version 5; for a version that is not known yet, nobody can say."""
    (day,) = parsed(statistics({"2025-10-01": {"opus": 5}}, dailyModelTokensVersion=version)).days
    assert day.has_cache_tokens == has_cache_tokens


@pytest.mark.parametrize(("first_session", "machine"), [(..., HERE), ("soon", HERE), (5, HERE), (None, HERE)])
def test_a_machine_is_known_by_its_first_session_else_by_its_file(first_session: Any, machine: str) -> None:
    """So that another name of the same machine does not count its days again."""
    (day,) = parsed(statistics({"2025-10-01": {"opus": 5}}, firstSessionDate=first_session)).days
    assert day.machine == machine


def test_a_file_without_days_has_none() -> None:
    """A new installation has no day yet."""
    assert parsed(statistics({})) == parsed({"version": 5}) == Statistics([], [])


UNUSABLE: dict[str, tuple[Any, str]] = {
    "cut off": (b'{"version": 5, "dailyMo', "not valid JSON"),
    "empty": (b"", "not valid JSON"),
    "a list": ([], "expected a JSON object"),
    "days in an object": ({"dailyModelTokens": {}}, "dailyModelTokens: expected a list"),
    "no days but null": ({"dailyModelTokens": None}, "dailyModelTokens: expected a list"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_is_none_says_why(case: str) -> None:
    """It is not taken for an empty one."""
    value, reason = UNUSABLE[case]
    with pytest.raises(InvalidRecord) as caught:
        parsed(value)
    assert reason in str(caught.value)


def a_day(day: Any, by_model: Any) -> dict[str, Any]:
    """An entry of the file."""
    return {"date": day, "tokensByModel": by_model}


ENTRIES: dict[str, tuple[Any, str]] = {
    "no object": (5, "expected a JSON object"),
    "no date": ({"tokensByModel": {"opus": 5}}, "date: not a date: 'None'"),
    "an instant": (a_day("2025-10-01T00:00:00Z", {"opus": 5}), "date: not a date"),
    "a day that does not exist": (a_day("2025-02-30", {"opus": 5}), "date: not a date: '2025-02-30'"),
    "the day after tomorrow": (a_day("2025-11-03", {"opus": 5}), "date: in the future: 2025-11-03"),
    "tokens without models": (a_day("2025-10-01", 5), "tokensByModel: expected a JSON object"),
    "half a token": (a_day("2025-10-01", {"opus": 0.5}), "tokensByModel: impossible tokens for 'opus': 0.5"),
    "negative tokens": (a_day("2025-10-01", {"opus": -1}), "impossible tokens for 'opus': -1"),
    "absurd tokens": (a_day("2025-10-01", {"opus": 10**14}), "impossible tokens for 'opus'"),
    "yes": (a_day("2025-10-01", {"opus": True}), "impossible tokens for 'opus': True"),
    "a model without a name": (a_day("2025-10-01", {"": 5}), "not the name of a model: ''"),
    "a name with NUL": (a_day("2025-10-01", {"a\0": 5}), "not the name of a model: 'a\\x00'"),
    "an endless name": (a_day("2025-10-01", {"m" * 300: 5}), "not the name of a model: 'mmm"),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_an_impossible_day_is_named_and_the_others_count(case: str) -> None:
    """Nothing of the day counts, since part of it would look like all of it."""
    value, reason = ENTRIES[case]
    whole = statistics({"2025-09-30": {"opus": 1}})
    whole["dailyModelTokens"].append(value)
    found = parsed(whole)
    assert [day.day for day in found.days] == ["2025-09-30"]
    (rejected,) = found.rejected
    assert rejected.reason.startswith("dailyModelTokens[1]: ")
    assert reason in rejected.reason


def test_tomorrow_is_no_mistake() -> None:
    """A clock may be a little behind."""
    tomorrow = statistics({"2025-11-02": {"opus": 5}})
    assert parsed(tomorrow).rejected == []
    assert parse(json.dumps(tomorrow).encode(), HERE, NOON_US - DAY_US).days == []
