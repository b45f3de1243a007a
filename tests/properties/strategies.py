"""Random histories: as lines of JSONL for the door, and as records for what is behind it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from claude_force.database.contract import Database
from claude_force.database.writes import Store
from claude_force.executions.billed_steps import Step, sum_tokens
from claude_force.executions.content_uids import content_uid
from claude_force.executions.record import (
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    TOKENS_LIMIT,
    ExecutionMetrics,
    from_row,
)
from claude_force.ingest.jsonl_source import JsonlSource
from claude_force.time_windows import ALL_TIME

Line = dict[str, Any]

on_both_engines = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
"""For tests whose examples share the database of the test; explaining a failure would take minutes."""

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")
"""No clock change; an hour's change; another one; half an hour away from UTC; a change of half an hour."""

EDGES = (
    "2025-03-09T07:00:00", "2025-11-02T05:30:00", "2025-11-02T06:00:00", "2025-11-02T06:30:00",  # New York changes
    "2025-03-30T01:00:00", "2025-10-26T00:30:00", "2025-10-26T01:00:00",  # Berlin changes
    "2025-04-05T15:00:00", "2025-10-04T15:30:00",  # Lord Howe changes, by half an hour
    "2025-11-02T04:00:00", "2025-11-03T05:00:00", "2025-10-31T23:00:00", "2025-11-01T04:00:00",  # midnights
    "2025-11-09T18:30:00", "2025-11-30T18:30:00", "2025-12-31T13:00:00", "2025-10-06T00:00:00",
)  # fmt: skip
"""Instants, UTC, where an hour, a day, a week or a month begins, or a clock changes, in one of the zones."""

WALL_TIMES = (
    "2025-11-02T01:30:00", "2025-11-02T01:59:59.999999", "2025-11-02T02:00:00", "2025-03-09T02:30:00",
    "2025-10-26T02:30:00", "2025-03-30T02:30:00", "2025-04-06T01:45:00", "2025-10-05T02:15:00", "2025-11-01T00:00",
)  # fmt: skip
"""Times without an offset, some of which a clock change repeats or skips."""

AGENTS = ("python-expert", "code-reviewer", "агент-五", "é", "e\u0301", "Python-Expert", "🦊 fox", " spaced ")
MODELS = (
    "claude-3-5-haiku-20241022", "claude-haiku-4-5", "claude-3-5-sonnet-20241022", "claude-sonnet-4-5",
    "claude-opus-4-1-20250805", "claude-opus-5", "claude-fable-5", "gpt-4o", "unknown",
)  # fmt: skip
WORKFLOWS: tuple[Line, ...] = (
    {}, {"workflow_id": None}, {"workflow_name": None}, {"workflow_name": "bug-fix"}, {"workflow_id": "流程"},
)  # fmt: skip
KINDS_OF_ERROR = ("TimeoutError", "APIError", "ошибка")
PROJECTS = ("/srv/app", "/home/ü/проект")
SESSIONS = ("bug-fix", "9d2e6b7c")
BRANCHES = ("main", "feat/ü")
HOSTS = ("ada-laptop", "ci-1")
USERS = ("ada", "Grace Höpper")
SOURCES = ("claude-code", "tracker", "jsonl")
"""The last is what a line is from that does not say."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US, _LAST_US = 1_735_689_600_000_000, 1_767_225_600_000_000
"""The year 2025."""
_FINER = ("", "0", "4", "5", "6", "50", "500001", "499999")
"""Digits beyond the microsecond."""


def utc(text: str) -> int:
    """The instant, in microseconds, of a UTC time without an offset."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


_EDGES_US = tuple(utc(text) for text in EDGES)

instants: st.SearchStrategy[int] = st.one_of(
    st.builds(int.__add__, st.sampled_from(_EDGES_US), st.sampled_from((-1, 0, 0, 1, 1_800_000_000))),
    st.integers(_FIRST_US, _LAST_US),
)
"""Microseconds, often at an edge, so that equal ones occur."""


@st.composite
def timestamps(draw: st.DrawFn) -> str:
    """ISO 8601: with Z, with an offset, or without, and with none to twelve digits of a second."""
    style = draw(st.sampled_from(("Z", "+00:00", "+05:30", "-08:00", "wall")))
    if style == "wall":
        return draw(st.sampled_from(WALL_TIMES))
    offset = {"Z": 0, "+00:00": 0, "+05:30": 330, "-08:00": -480}[style]
    moment = _EPOCH + timedelta(microseconds=draw(instants), minutes=offset)
    if moment.microsecond == 0 and draw(st.booleans()):
        return f"{moment:%Y-%m-%dT%H:%M:%S}{style}"
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}{draw(st.sampled_from(_FINER))}{style}"


_counts = st.one_of(st.integers(0, 5), st.integers(0, 300_000))
_durations = st.one_of(
    st.none(),
    st.sampled_from((0, 1, 2, 1000, 3456, 3104.977830965625, 0.0005, 0.0015, 0.0025, 2.5, 1e-7)),
    st.integers(0, 600_000),
)
_costs = st.one_of(
    st.none(),
    st.sampled_from((0, 0.0, 5e-10, 1.5e-9, 5.1480000000000005e-06, 0.000234, 0.1, 0.30000000000000004, 12)),
    st.integers(0, 10**10).map(lambda cost: cost / 10**9),
)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """One valid line without a uid; null and absent optional fields, usage known or not."""
    metered = draw(st.integers(0, 4)) > 0
    success = draw(st.integers(0, 3)) > 0
    required: Line = {
        "timestamp": draw(timestamps()),
        "agent_name": draw(st.sampled_from(AGENTS)),
        "task_hash": draw(st.sampled_from(("a3b4c5d6", "ffffffff", None))),
        "success": success,
        "execution_time_ms": draw(_durations),
        "model": draw(st.sampled_from(MODELS)),
        "input_tokens": draw(_counts) if metered else None,
        "output_tokens": draw(_counts) if metered else None,
        "estimated_cost": draw(_costs),
        "error_type": None if success else draw(st.sampled_from((None, *KINDS_OF_ERROR))),
    }
    workflow: Line = draw(st.sampled_from(WORKFLOWS))
    rest: st.SearchStrategy[Line] = st.fixed_dictionaries(
        {},
        optional={
            "project": st.sampled_from(PROJECTS),
            "session_id": st.sampled_from(SESSIONS),
            "git_branch": st.sampled_from(BRANCHES),
            "host": st.sampled_from(HOSTS),
            "user": st.sampled_from(USERS),
            "reference_cost": _costs,
            "cache_read_tokens": _counts,
            "cache_write_5m_tokens": _counts,
            "cache_write_1h_tokens": _counts,
            "source": st.sampled_from(SOURCES[:2]),
            "usage_basis": st.sampled_from(("provisional", "parent")),
        },
    )
    repriced = st.fixed_dictionaries({"recorded_basis": st.sampled_from(("given", "none")), "recorded_cost": _costs})
    more = draw(rest) | (draw(repriced) if draw(st.integers(0, 3)) == 0 else {}) if draw(st.booleans()) else {}
    return required | workflow | more


@st.composite
def histories(draw: st.DrawFn, max_size: int = 30) -> list[Line]:
    """Lines in no order; some occur several times, up to a few hundred in all."""
    found = draw(st.lists(lines(), max_size=max_size))
    times = draw(st.lists(st.sampled_from((1, 1, 1, 2, 12)), min_size=len(found), max_size=len(found)))
    return draw(st.permutations([line for line, count in zip(found, times, strict=True) for _ in range(count)]))


def to_bytes(history: list[Line]) -> bytes:
    """The history as a JSONL file."""
    return b"".join(
        json.dumps(line, ensure_ascii=index % 2 == 0).encode() + b"\n" for index, line in enumerate(history)
    )


def read_back(content: bytes, naive_zone: str = "UTC") -> list[ExecutionMetrics]:
    """The executions of a JSONL file, none of whose lines is rejected."""
    batches = list(JsonlSource(ZoneInfo(naive_zone)).read(io.BytesIO(content)))
    assert not any(batch.rejected for batch in batches), batches
    return [from_row(row) for batch in batches for row in batch.rows]


def fill(database: Database, content: bytes, naive_zone: str = "UTC") -> None:
    """Make a history the only content of a database."""
    refill(database, read_back(content, naive_zone))


def refill(database: Database, executions: list[ExecutionMetrics]) -> None:
    """Make some executions the only content of a database: one half in the roll-ups, the other not counted yet."""
    store = Store(database)
    store.delete(ALL_TIME)
    store.add(executions[::2])
    store.rebuild()
    store.add(executions[1::2])


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200)
_names = st.one_of(st.sampled_from(AGENTS), _texts)
_tokens = st.one_of(st.integers(0, 10), st.integers(0, TOKENS_LIMIT))
_money = st.one_of(st.none(), st.integers(0, 10**6), st.integers(0, COST_LIMIT_NANOUSD))


_step_names = st.one_of(st.none(), st.sampled_from(("fast", "batch", "us")))
billed_steps: st.SearchStrategy[Step] = st.builds(
    Step,
    kind=st.sampled_from(("message", "advisor_message", "compaction", "fallback_message", "unheard of")),
    model=st.sampled_from(MODELS),
    input_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**6),
    cache_read_tokens=st.integers(0, 10**6),
    cache_write_5m_tokens=st.integers(0, 10**6),
    cache_write_1h_tokens=st.integers(0, 10**6),
    service_tier=_step_names,
    inference_geo=_step_names,
    cost_nanousd=st.one_of(st.none(), st.integers(0, 10**9)),
    reference_cost_nanousd=st.one_of(st.none(), st.integers(0, 10**9)),
    recorded_cost_nanousd=st.one_of(st.none(), st.integers(0, 10**9)),
)
"""A step with any price, or none."""

_some_steps = st.one_of(st.none(), st.none(), st.lists(billed_steps, min_size=1, max_size=4).map(tuple))


@st.composite
def records(draw: st.DrawFn, moments: st.SearchStrategy[int] = instants) -> ExecutionMetrics:
    """Any record that can be, to the limits of every field. The cost of one with steps is what they cost, if all of
    that is known."""
    at = draw(moments)
    optional = st.one_of(st.none(), _names)
    steps = draw(_some_steps)
    if steps is None:
        metered = draw(st.booleans())
        used: tuple[Any, ...] = tuple(draw(_tokens) if metered or index > 1 else None for index in range(5))
        costs = draw(_money), draw(_money)
    else:
        used = sum_tokens(steps)
        costs = _whole(step.cost_nanousd for step in steps), _whole(step.reference_cost_nanousd for step in steps)
    return ExecutionMetrics(
        uid=content_uid(at, draw(st.binary(min_size=16, max_size=16)), draw(st.integers(0, 3))),
        timestamp_us=at,
        agent_name=draw(_names),
        success=draw(st.booleans()),
        model=draw(st.one_of(st.sampled_from(MODELS), _texts)),
        task_hash=draw(optional),
        duration_us=draw(st.one_of(st.none(), st.integers(0, 10**7), st.integers(0, DURATION_LIMIT_US))),
        input_tokens=used[0],
        output_tokens=used[1],
        cache_read_tokens=used[2],
        cache_write_5m_tokens=used[3],
        cache_write_1h_tokens=used[4],
        cost_nanousd=costs[0],
        reference_cost_nanousd=costs[1],
        price_version=draw(optional),
        error_type=draw(optional),
        workflow_id=draw(optional),
        workflow_position=draw(st.one_of(st.none(), st.integers(0, 10**6))),
        source=draw(_names),
        host=draw(optional),
        project=draw(optional),
        run_id=draw(optional),
        inference_geo=draw(optional),
        provider=draw(optional),
        session_id=draw(optional),
        git_branch=draw(optional),
        user_name=draw(optional),
        steps=steps,
    )


def known_cost(found: ExecutionMetrics) -> int:
    """What is known of the cost of an execution: of one whose cost is not known, what its priced steps cost."""
    if found.cost_nanousd is not None:
        return found.cost_nanousd
    return sum(step.cost_nanousd or 0 for step in found.steps or ())


def _whole(costs: Iterable[int | None]) -> int | None:
    known = list(costs)
    return None if None in known else sum(cost or 0 for cost in known)


zones = st.sampled_from(ZONES).map(ZoneInfo)
