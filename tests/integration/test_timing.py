"""Timing a call: as a block, as a decorator, in threads and tasks. The call is never disturbed."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from claude_force.performance_tracker.tracker import ExecutionMetrics, PerformanceTracker

HAIKU = "claude-3-5-haiku-20241022"


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[PerformanceTracker]:
    """A tracker on an empty database, closed afterwards."""
    with PerformanceTracker(database=str(tmp_path / "metrics.db")) as found:
        yield found


def the_one(tracker: PerformanceTracker) -> ExecutionMetrics:
    """The only stored execution."""
    (found,) = tracker.get_all_metrics()
    return found


def tokens_of(metrics: ExecutionMetrics) -> tuple[int | None, ...]:
    """The tokens: input, output, cache read, cache write for five minutes and for an hour."""
    return (
        metrics.input_tokens,
        metrics.output_tokens,
        metrics.cache_read_tokens,
        metrics.cache_write_5m_tokens,
        metrics.cache_write_1h_tokens,
    )


def a_message(**usage: object) -> SimpleNamespace:
    """A response as the Anthropic library returns it, with attributes."""
    values = {"input_tokens": 10, "output_tokens": 5} | usage
    return SimpleNamespace(model=HAIKU, usage=SimpleNamespace(**values))


def test_a_block_is_timed_and_recorded(tracker: PerformanceTracker) -> None:
    """The record has the arguments of `track`, the model set in the block, and the duration."""
    with tracker.track("a", "a task", model="m", workflow_id="flow", workflow_position=2, run_id="r") as tracked:
        tracked.model = "better"
    found = the_one(tracker)
    assert (found.agent_name, found.model, found.success, found.error_type) == ("a", "better", True, None)
    assert (found.workflow_id, found.workflow_position, found.run_id) == ("flow", 2, "r")
    assert found.task_hash is not None
    assert found.duration_us is not None
    assert tokens_of(found) == (None, None, 0, 0, 0)


_USAGES: list[tuple[object, tuple[int | None, ...]]] = [
    (a_message(), (10, 5, 0, 0, 0)),
    ({"model": HAIKU, "usage": {"input_tokens": 10, "output_tokens": 5}}, (10, 5, 0, 0, 0)),
    ({"input_tokens": 10, "output_tokens": 5}, (10, 5, 0, 0, 0)),
    (SimpleNamespace(input_tokens=10, output_tokens=5), (10, 5, 0, 0, 0)),
    ({"input_tokens": 0, "output_tokens": 0}, (0, 0, 0, 0, 0)),
    (a_message(cache_read_input_tokens=7, cache_creation_input_tokens=9), (10, 5, 7, 9, 0)),
    (
        a_message(
            cache_read_input_tokens=7,
            cache_creation_input_tokens=9,
            cache_creation=SimpleNamespace(ephemeral_5m_input_tokens=5, ephemeral_1h_input_tokens=4),
        ),
        (10, 5, 7, 5, 4),
    ),
    (
        {
            "usage": {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 9},
            }
        },
        (10, 5, 0, 0, 9),
    ),
    (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 9},
        },
        (10, 5, 0, 3, 9),
    ),
    (a_message(cache_read_input_tokens=None, cache_creation=None), (10, 5, 0, 0, 0)),
    (None, (None, None, 0, 0, 0)),
    ("text", (None, None, 0, 0, 0)),
    ({"usage": None, "model": 7}, (None, None, 0, 0, 0)),
    ({"usage": {"input_tokens": 10}}, (None, None, 0, 0, 0)),
    ({"usage": {"input_tokens": -1, "output_tokens": 5}}, (None, None, 0, 0, 0)),
    ({"usage": {"input_tokens": True, "output_tokens": 5}}, (None, None, 0, 0, 0)),
    ({"usage": {"input_tokens": "10", "output_tokens": "5"}}, (None, None, 0, 0, 0)),
]


@pytest.mark.parametrize(("response", "tokens"), _USAGES, ids=range(len(_USAGES)))
def test_usage_is_read_from_a_response(
    response: object, tokens: tuple[int | None, ...], tracker: PerformanceTracker
) -> None:
    """From an object, a mapping, or the usage itself; cache writes by lifetime; what cannot be read is unknown."""
    with tracker.track("a") as tracked:
        tracked.take_usage(response)
    assert tokens_of(the_one(tracker)) == tokens


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({}, None),
        ({"service_tier": "standard"}, None),
        ({"service_tier": None, "speed": "standard"}, None),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"service_tier": "batch", "speed": "fast"}, "fast and batch"),
        ({"service_tier": "standard", "speed": "ultra"}, "ultra"),
        ({"service_tier": "batch"}, "batch"),
        ({"service_tier": "priority"}, "priority"),
        ({"service_tier": 3}, None),
        ({"service_tier": "\0"}, None),
    ],
)
def test_the_service_tier_is_read_from_a_response(
    tracker: PerformanceTracker, usage: dict[str, object], tier: str | None
) -> None:
    """Any tier but the standard one; a value that cannot be a name is ignored."""
    with tracker.track("a") as tracked:
        tracked.take_usage(a_message(**usage))
    assert the_one(tracker).service_tier == tier


def test_web_searches_are_counted(tracker: PerformanceTracker) -> None:
    """Those of all responses are added; an invalid count is ignored. A response without a tier keeps the earlier
    one."""
    with tracker.track("a") as tracked:
        tracked.take_usage(a_message(server_tool_use={"web_search_requests": 2}, speed="fast"))
        tracked.take_usage(a_message(server_tool_use=SimpleNamespace(web_search_requests=1)))
        tracked.take_usage(a_message(server_tool_use={"web_search_requests": -1}))
    found = the_one(tracker)
    assert (found.web_searches, found.service_tier) == (3, "fast")


OPUS, SONNET = "claude-opus-4-8", "claude-sonnet-4-6"


def a_step(kind: str, sent: int, written: int, **more: Any) -> SimpleNamespace:
    """A billed step as the Anthropic library returns it."""
    return SimpleNamespace(type=kind, input_tokens=sent, output_tokens=written, **more)


def test_the_steps_of_a_response_are_billed(tracker: PerformanceTracker) -> None:
    """The advisor's answer and the compaction count, which the top-level usage leaves out."""
    steps = [a_step("compaction", 700, 30), a_step("advisor_message", 90, 9, model=OPUS), a_step("message", 20, 10)]
    with tracker.track("a") as tracked:
        tracked.take_usage(a_message(input_tokens=20, output_tokens=10, iterations=steps))
    found = the_one(tracker)
    assert [(step.kind, step.model) for step in found.steps or ()] == [
        ("compaction", HAIKU),
        ("advisor_message", OPUS),
        ("message", HAIKU),
    ]
    assert (tokens_of(found), found.model) == ((810, 49, 0, 0, 0), HAIKU)


def test_steps_that_cannot_be_read_are_left_out(tracker: PerformanceTracker, caplog: pytest.LogCaptureFixture) -> None:
    """The call is recorded with its top-level usage, and a warning says so."""
    with tracker.track("a") as tracked:
        tracked.take_usage(a_message(iterations=[a_step("message", -1, 2)]))
    found = the_one(tracker)
    assert (tokens_of(found), found.steps) == ((10, 5, 0, 0, 0), None)
    assert "usage.iterations[0].input_tokens: is negative" in caplog.text


def test_each_response_has_its_own_price(tracker: PerformanceTracker) -> None:
    """Of two models, tiers and residencies in one block: each is a step."""
    with tracker.track("a") as tracked:
        tracked.take_usage({"model": OPUS, "usage": {"input_tokens": 1000, "output_tokens": 0, "speed": "fast"}})
        tracked.take_usage({"model": SONNET, "usage": {"input_tokens": 1000, "output_tokens": 0}})
    found = the_one(tracker)
    assert [(step.model, step.service_tier) for step in found.steps or ()] == [(OPUS, "fast"), (SONNET, None)]
    assert found.cost_nanousd == 1000 * 10_000 + 1000 * 3000


def test_figures_set_by_hand_win(tracker: PerformanceTracker) -> None:
    """The record has them, and no steps that contradict them."""
    with tracker.track("a") as tracked:
        tracked.take_usage(a_message())
        tracked.take_usage(a_message())
        tracked.input_tokens = 7
    found = the_one(tracker)
    assert (tokens_of(found), found.steps) == ((7, 10, 0, 0, 0), None)


@pytest.mark.parametrize(
    ("written", "details", "cost"),
    [
        (0, {"category": "cyber"}, 0),
        (0, {"category": None}, 0),
        (0, {"category": "bio"}, 1000 * 5000),
        (0, {"category": "something new"}, None),
        (0, None, None),
        (4, {"category": "cyber"}, 1000 * 5000 + 4 * 25_000),
    ],
)
def test_a_refusal_is_a_failure(
    tracker: PerformanceTracker, written: int, details: dict[str, Any] | None, cost: int | None
) -> None:
    """It costs what is billed: before any output nothing in most categories."""
    usage = {"input_tokens": 1000, "output_tokens": written}
    with tracker.track("a") as tracked:
        tracked.take_usage({"model": OPUS, "stop_reason": "refusal", "stop_details": details, "usage": usage})
    found = the_one(tracker)
    assert (found.success, found.error_type, found.cost_nanousd) == (False, "refusal", cost)
    assert tokens_of(found) == (1000, written, 0, 0, 0)


def test_what_ran_before_a_refusal_is_billed(tracker: PerformanceTracker) -> None:
    """A compaction is, although the response itself costs nothing."""
    steps = [
        {"type": "compaction", "input_tokens": 170_000, "output_tokens": 3000},
        {"type": "message", "input_tokens": 20_000, "output_tokens": 0},
    ]
    usage = {"input_tokens": 20_000, "output_tokens": 0, "iterations": steps}
    refusal = {"model": OPUS, "stop_reason": "refusal", "stop_details": {"category": "cyber"}, "usage": usage}
    with tracker.track("a") as tracked:
        tracked.take_usage(refusal)
    found = the_one(tracker)
    assert (found.error_type, found.cost_nanousd) == ("refusal", 170_000 * 5000 + 3000 * 25_000)
    assert tokens_of(found) == (190_000, 3000, 0, 0, 0)


def test_residency_is_read_from_a_response(tracker: PerformanceTracker) -> None:
    """The word of the API; none for its word for none."""
    for geo in ("us", "global"):
        with tracker.track("a") as tracked:
            tracked.take_usage(a_message(inference_geo=geo))
    assert [found.inference_geo for found in tracker.get_all_metrics()] == ["us", None]


def test_usage_adds_up(tracker: PerformanceTracker) -> None:
    """A block with several responses has the tokens of all, the model of the last, and a cost."""
    with tracker.track("a") as tracked:
        tracked.take_usage(a_message())
        tracked.take_usage(a_message(input_tokens=90, cache_read_input_tokens=1))
    found = the_one(tracker)
    assert (tokens_of(found), found.model) == ((100, 10, 1, 0, 0), HAIKU)
    assert found.estimated_cost is not None


@pytest.mark.parametrize("kind", [TimeoutError, KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_an_exception_is_recorded_and_passes_through(kind: type[BaseException], tracker: PerformanceTracker) -> None:
    """The caller gets the same exception; the record has its type and the usage up to it."""
    error = kind("no")

    def fail() -> None:
        with tracker.track("a") as tracked:
            tracked.take_usage(a_message())
            raise error

    with pytest.raises(kind) as caught:
        fail()
    assert caught.value is error
    found = the_one(tracker)
    assert (found.success, found.error_type, found.input_tokens) == (False, kind.__name__, 10)


def test_a_cancelled_task_is_recorded(tracker: PerformanceTracker) -> None:
    """The record has CancelledError, and the task is still cancelled."""

    async def wait(reached: asyncio.Event) -> None:
        async with tracker.track("a"):
            reached.set()
            await asyncio.Event().wait()

    async def cancel() -> bool:
        reached = asyncio.Event()
        task = asyncio.create_task(wait(reached))
        await reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert asyncio.run(cancel())
    assert (the_one(tracker).error_type, the_one(tracker).success) == ("CancelledError", False)


def test_an_asynchronous_block(tracker: PerformanceTracker) -> None:
    """`async with` gives the same object and the same record."""

    async def work() -> None:
        async with tracker.track("a", model="m") as tracked:
            await asyncio.sleep(0)
            tracked.take_usage(a_message())

    asyncio.run(work())
    assert (the_one(tracker).model, the_one(tracker).input_tokens) == (HAIKU, 10)


def test_a_function_is_tracked_at_each_call(tracker: PerformanceTracker) -> None:
    """It keeps result, name and signature. The usage comes from its result, the task from its name."""

    @tracker.track("a")
    def ask(question: str, *, times: int = 1) -> SimpleNamespace:
        """Ask."""
        return a_message(input_tokens=len(question) * times)

    assert ask("why", times=2).usage.input_tokens == 6
    ask("how")
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    assert list(inspect.signature(ask).parameters) == ["question", "times"]
    assert [metrics.input_tokens for metrics in tracker.get_all_metrics()] == [6, 3]
    named = tracker.track("b", "ask")(lambda: None)
    named()
    assert len({metrics.task_hash for metrics in tracker.get_all_metrics()}) == 1


def test_a_function_that_fails(tracker: PerformanceTracker) -> None:
    """The exception is recorded by its type and passes through; the next call has a record of its own."""

    @tracker.track("a")
    def divide(by: int) -> float:
        return 1 / by

    with pytest.raises(ZeroDivisionError):
        divide(0)
    assert divide(1) == 1
    assert [metrics.error_type for metrics in tracker.get_all_metrics()] == ["ZeroDivisionError", None]


def test_a_coroutine_function_is_tracked_until_it_is_done(tracker: PerformanceTracker) -> None:
    """It stays a coroutine function, and an exception while it is awaited is recorded."""

    @tracker.track("a", workflow_id="flow")
    async def ask(fail: bool) -> SimpleNamespace:
        await asyncio.sleep(0)
        if fail:
            raise TimeoutError
        return a_message()

    assert inspect.iscoroutinefunction(ask)
    assert asyncio.run(ask(False)).usage.input_tokens == 10
    with pytest.raises(TimeoutError):
        asyncio.run(ask(True))
    good, bad = tracker.get_all_metrics()
    assert (good.success, good.input_tokens, good.workflow_id) == (True, 10, "flow")
    assert (bad.success, bad.error_type, bad.input_tokens) == (False, "TimeoutError", None)


class _Asker:
    """A class with a method to track, whose instances can be called too."""

    def ask(self, tokens: int) -> dict[str, int]:
        """A usage."""
        return {"input_tokens": tokens, "output_tokens": 1}

    def __call__(self, tokens: int) -> dict[str, int]:
        return self.ask(tokens)


@pytest.mark.parametrize(
    "function", [_Asker().ask, _Asker(), functools.partial(_Asker().ask), functools.partial(_Asker.ask, _Asker())]
)
def test_any_callable_can_be_tracked(function: Callable[[int], dict[str, int]], tracker: PerformanceTracker) -> None:
    """Bound methods, callable objects and partial functions."""
    assert tracker.track("a")(function)(3)["input_tokens"] == 3
    assert the_one(tracker).input_tokens == 3


def test_a_generator_is_refused(tracker: PerformanceTracker) -> None:
    """Its work is not done when it returns; the message has the remedy."""

    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    functions: list[Callable[[], Any]] = [numbers, later]
    for function in functions:
        with pytest.raises(TypeError, match=r"with tracker\.track"):
            tracker.track("a")(function)
    assert tracker.get_all_metrics() == []


def test_one_tracking_is_not_used_twice_at_once(tracker: PerformanceTracker) -> None:
    """A second use at the same time is refused, and the first is recorded with its own time. One after the other
    works."""
    tracking = tracker.track("a")
    with tracking:
        pass
    with pytest.raises(RuntimeError, match="each block"), tracking, tracking:
        pass
    assert [metrics.error_type for metrics in tracker.get_all_metrics()] == [None, "RuntimeError"]


def test_a_decorated_function_is_called_from_many_threads(tracker: PerformanceTracker) -> None:
    """Overlapping calls, recursive ones too, each have a record of their own."""
    together = threading.Barrier(16)

    @tracker.track("a")
    def ask(tokens: int) -> dict[str, int]:
        together.wait()
        return {"input_tokens": tokens, "output_tokens": 0}

    @tracker.track("b")
    def descend(depth: int) -> None:
        if depth:
            descend(depth - 1)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    descend(3)
    assert sorted(found.input_tokens or 0 for found in tracker.get_metrics_by_agent("a")) == list(range(16))
    assert len(tracker.get_metrics_by_agent("b")) == 4


def test_an_invalid_value_does_not_fail_the_call(tracker: PerformanceTracker) -> None:
    """An agent without a name cannot be recorded: the block keeps its result, and a warning names the field."""
    with pytest.warns(RuntimeWarning, match="not recorded: agent_name"), tracker.track(""):
        done = True
    assert done
    assert tracker.get_all_metrics() == []


def test_a_long_error_name_does_not_lose_the_execution(tracker: PerformanceTracker) -> None:
    """The name of an exception type is cut to what a record holds."""
    kind = type("E" * 300, (Exception,), {})
    with pytest.raises(kind), tracker.track("a"):
        raise kind
    assert (the_one(tracker).error_type or "").startswith("E" * 100)
