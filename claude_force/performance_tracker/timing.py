"""Times calls: `PerformanceTracker.track` returns a context manager (sync and async) that is also a decorator.

It never disturbs the call: exceptions pass through, and a usage that cannot be read stays unknown.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from claude_force.clock import now_us
from claude_force.errors import InvalidRecord
from claude_force.executions.billed_steps import REFUSAL, STEPS_LIMIT, Steps, sum_tokens
from claude_force.executions.record import UNKNOWN
from claude_force.executions.tracked_blocks import Block, current
from claude_force.executions.usage import (
    count,
    geo_of,
    is_single,
    part,
    refusal_kind_of,
    refused_steps,
    steps_of,
    tier_of,
    whole_step,
)

logger = logging.getLogger("claude_force")

P = ParamSpec("P")
R = TypeVar("R")


class CallReport(NamedTuple):
    """What is known of one call before it becomes a record.

    Tokens are None if the usage is unknown, `duration_us` if nobody timed the call, `cost_nanousd` if the caller gave
    no cost, `project` to use the working folder, and `uid` for a new one. `error_type` may be longer than a record
    allows.
    """

    agent_name: str
    task: str | None
    success: bool
    model: str
    timestamp_us: int
    duration_us: int | None
    error_type: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    service_tier: str | None
    web_searches: int
    workflow_id: str | None
    workflow_position: int | None
    run_id: str | None
    cost_nanousd: int | None = None
    project: str | None = None
    uid: str | None = None
    inference_geo: str | None = None
    steps: Steps | None = None


@dataclass(slots=True)
class Tracked:
    """The call being timed. Set `model`, or pass the response to `take_usage`, before the block ends."""

    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    service_tier: str | None = None
    web_searches: int = 0
    inference_geo: str | None = None
    is_refused: bool = False
    _steps: Steps = ()

    def take_usage(self, response: object) -> None:
        """Add the usage of an API response, and take its model, service tier and web searches.

        `response` is an object or a mapping with `usage` (Anthropic's Message, a result of `claude -p`), or the usage
        itself. Several calls add up, each at its own price. A response that the model refused counts as a failure. If
        no usage can be read, a warning is logged.
        """
        if not self.find_usage(response):
            logger.warning(
                "no token usage found in a %s; the execution is recorded without tokens", type(response).__name__
            )

    def find_usage(self, response: object) -> bool:
        """Like `take_usage`, for a value that may not be a response. Returns whether it had a usage."""
        usage = part(response, "usage")
        if usage is None:
            usage = response
        model = part(response, "model")
        if isinstance(model, str) and model:
            self.model = model
        read, written = part(usage, "input_tokens"), part(usage, "output_tokens")
        if not (_is_count(read) and _is_count(written)):
            return False
        steps = self._steps_of(response, usage)
        tokens = sum_tokens(steps)
        self.input_tokens = (self.input_tokens or 0) + tokens[0]
        self.output_tokens = (self.output_tokens or 0) + tokens[1]
        self.cache_read_tokens += tokens[2]
        self.cache_write_5m_tokens += tokens[3]
        self.cache_write_1h_tokens += tokens[4]
        self.web_searches += count(part(part(usage, "server_tool_use"), "web_search_requests"))
        self.service_tier = tier_of(usage) or self.service_tier
        self.inference_geo = geo_of(usage) or self.inference_geo
        self._steps += steps
        return True

    def _steps_of(self, response: object, usage: object) -> Steps:
        """What a response is billed for. Listed steps that cannot be read count as not listed."""
        try:
            steps = steps_of(part(usage, "iterations"), usage, self.model)
        except InvalidRecord as error:
            logger.warning("the steps of a response cannot be read (%s); its total usage is recorded", error)
            steps = None
        if part(response, "stop_reason") == "refusal":
            self.is_refused = True
            return refused_steps(steps or (whole_step(usage, self.model),), refusal_kind_of(response))
        return steps or (whole_step(usage, self.model),)

    def steps(self) -> Steps | None:
        """The billed steps of all responses; None if there was one with one step, or if the figures were set by
        hand."""
        own = (
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_5m_tokens,
            self.cache_write_1h_tokens,
        )
        if not self._steps or is_single(self._steps, self.model) or sum_tokens(self._steps) != own:
            return None
        if len(self._steps) > STEPS_LIMIT:
            logger.warning("a call with more than %d billed steps is priced as one", STEPS_LIMIT)
            return None
        return self._steps


def _name_of(function: object) -> str:
    """The name of a callable: a function, a partial or an object."""
    inner = getattr(function, "func", function)
    return str(getattr(inner, "__name__", type(inner).__name__))


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


@dataclass(slots=True)
class Tracking:
    """Times one block, or every call of a decorated function. `record` receives the reports and must not raise."""

    record: Callable[[CallReport], object]
    agent_name: str
    task: str | None = None
    model: str = UNKNOWN
    workflow_id: str | None = None
    workflow_position: int | None = None
    run_id: str | None = None
    _tracked: Tracked | None = None
    _started_ns: int = 0
    _outer: Block | None = None

    @property
    def is_open(self) -> bool:
        """Whether a block is being timed."""
        return self._tracked is not None

    def __enter__(self) -> Tracked:
        if self._tracked is not None:
            raise RuntimeError("this track() is already in use; call track() for each block")
        self._tracked = Tracked(self.model)
        self._outer = current.get()
        current.set(self)
        self._started_ns = time.perf_counter_ns()
        return self._tracked

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.record(self._finish(kind))

    async def __aenter__(self) -> Tracked:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # In a thread, so that a locked database does not block the event loop. Shielded, because a cancellation would
        # also cancel work that waits for a thread.
        report = self._finish(kind)
        # Imported here: it takes a fifth of the time of importing the tracker, and a coroutine has it already.
        import asyncio

        try:
            future = asyncio.get_running_loop().run_in_executor(None, self.record, report)
        except RuntimeError:
            # The loop is closing and accepts no more work.
            self.record(report)
        else:
            await asyncio.shield(future)

    def _finish(self, kind: type[BaseException] | None) -> CallReport:
        elapsed_ns = time.perf_counter_ns() - self._started_ns
        tracked, self._tracked = self._tracked or Tracked(self.model), None
        current.set(self._outer)
        return CallReport(
            agent_name=self.agent_name,
            task=self.task,
            model=tracked.model,
            success=kind is None and not tracked.is_refused,
            duration_us=elapsed_ns // 1000,
            timestamp_us=now_us(),
            error_type=kind.__name__ if kind is not None else REFUSAL if tracked.is_refused else None,
            input_tokens=tracked.input_tokens,
            output_tokens=tracked.output_tokens,
            cache_read_tokens=tracked.cache_read_tokens,
            cache_write_5m_tokens=tracked.cache_write_5m_tokens,
            cache_write_1h_tokens=tracked.cache_write_1h_tokens,
            service_tier=tracked.service_tier,
            web_searches=tracked.web_searches,
            workflow_id=self.workflow_id,
            workflow_position=self.workflow_position,
            run_id=self.run_id,
            inference_geo=tracked.inference_geo,
            steps=tracked.steps(),
        )

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Track every call of a function or coroutine function, with the usage of what it returns.

        Raises TypeError for a generator function, which has not done its work when it returns.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{_name_of(function)} is a generator: use `with tracker.track(...)` inside it")
        task = self.task or _name_of(function)
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
            awaited = cast("Callable[P, Awaitable[Any]]", function)

            @functools.wraps(function)
            async def track_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                async with replace(self, task=task, _tracked=None) as tracked:
                    result = await awaited(*args, **kwargs)
                    tracked.find_usage(result)
                    return result

            return cast("Callable[P, R]", track_async)

        @functools.wraps(function)
        def track_call(*args: P.args, **kwargs: P.kwargs) -> R:
            with replace(self, task=task, _tracked=None) as tracked:
                result = function(*args, **kwargs)
                tracked.find_usage(result)
                return result

        return track_call
