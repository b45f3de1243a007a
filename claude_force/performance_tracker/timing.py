"""Timing a call: what `PerformanceTracker.track` returns. A context manager, plain and asynchronous, and a decorator.

It never gets in the way of what it measures: an exception passes through, and a usage that cannot be read is left
unknown.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from claude_force.clock import now_us
from claude_force.executions.record import NAME_LIMIT, STANDARD_TIERS, UNKNOWN

logger = logging.getLogger("claude_force")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one tracked call came to. Tokens are None where the usage was never seen."""

    agent_name: str
    task: str | None
    model: str
    success: bool
    duration_us: int
    timestamp_us: int
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


class Recorder(Protocol):
    """Who takes outcomes. It must not raise."""

    def record_outcome(self, outcome: Outcome) -> None:
        """Store an outcome."""


@dataclass(slots=True)
class Tracked:
    """The call being timed. Set `model`, and give the response to `take_usage`, before the block ends."""

    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    service_tier: str | None = None
    web_searches: int = 0

    def take_usage(self, response: object) -> None:
        """Add the usage of an API response: an object or a mapping with `usage` (Anthropic's Message, a result of
        `claude -p`), or the usage itself. Its `model` and its service tier are taken too, its web searches counted.
        Calling it again adds up. A response without a usage that can be read is said to the log."""
        if not self.find_usage(response):
            logger.warning("no token usage in a %s; the execution is recorded without", type(response).__name__)

    def find_usage(self, response: object) -> bool:
        """The same, for a value that may well be no response; whether it had a usage."""
        usage = _part(response, "usage")
        if usage is None:
            usage = response
        model = _part(response, "model")
        if isinstance(model, str) and model:
            self.model = model
        read, written = _part(usage, "input_tokens"), _part(usage, "output_tokens")
        if not (_is_count(read) and _is_count(written)):
            return False
        self.input_tokens = (self.input_tokens or 0) + read
        self.output_tokens = (self.output_tokens or 0) + written
        self.cache_read_tokens += _count(_part(usage, "cache_read_input_tokens"))
        tiers = _part(usage, "cache_creation")
        short, long = (_count(_part(tiers, f"ephemeral_{tier}_input_tokens")) for tier in ("5m", "1h"))
        # The sum is there without the tiers in older responses; what no tier claims is a write for five minutes.
        self.cache_write_1h_tokens += long
        self.cache_write_5m_tokens += max(short, _count(_part(usage, "cache_creation_input_tokens")) - long)
        self.web_searches += _count(_part(_part(usage, "server_tool_use"), "web_search_requests"))
        self.service_tier = _tier_of(usage) or self.service_tier
        return True


def _name_of(function: object) -> str:
    """The name of anything that can be called: a function, a partial, an object."""
    inner = getattr(function, "func", function)
    return str(getattr(inner, "__name__", type(inner).__name__))


def _part(value: object, name: str) -> Any:
    """A part of a response, whatever kind of object that is; None where it cannot be had."""
    try:
        return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    except Exception:
        # A property of somebody else's object. The call that is measured must not fail for it.
        return None


def _tier_of(usage: object) -> str | None:
    """How a request was served where that is not the standard: "fast", "batch" or another word."""
    if _part(usage, "speed") == "fast":
        return "fast"
    tier = _part(usage, "service_tier")
    is_name = isinstance(tier, str) and 0 < len(tier) <= NAME_LIMIT and tier.isprintable()
    return tier if is_name and tier not in STANDARD_TIERS else None


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _count(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0


@dataclass(slots=True)
class Tracking:
    """One tracked call, or with a function the wish to track each of its calls."""

    recorder: Recorder
    agent_name: str
    task: str | None = None
    model: str = UNKNOWN
    workflow_id: str | None = None
    workflow_position: int | None = None
    run_id: str | None = None
    _tracked: Tracked | None = None
    _started_ns: int = 0

    def __enter__(self) -> Tracked:
        if self._tracked is not None:
            raise RuntimeError("this track() is in use already; call track() for each block")
        self._tracked = Tracked(self.model)
        self._started_ns = time.perf_counter_ns()
        return self._tracked

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recorder.record_outcome(self._finish(kind))

    async def __aenter__(self) -> Tracked:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # In a thread, so that a locked database does not stop the event loop; shielded, since a cancellation would also
        # take back what still waits for a thread.
        outcome = self._finish(kind)
        try:
            future = asyncio.get_running_loop().run_in_executor(None, self.recorder.record_outcome, outcome)
        except RuntimeError:
            # The loop is closing and takes no more work.
            self.recorder.record_outcome(outcome)
        else:
            await asyncio.shield(future)

    def _finish(self, kind: type[BaseException] | None) -> Outcome:
        elapsed_ns = time.perf_counter_ns() - self._started_ns
        tracked, self._tracked = self._tracked or Tracked(self.model), None
        return Outcome(
            agent_name=self.agent_name,
            task=self.task,
            model=tracked.model,
            success=kind is None,
            duration_us=elapsed_ns // 1000,
            timestamp_us=now_us(),
            error_type=None if kind is None else kind.__name__[:NAME_LIMIT],
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
        )

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Track each call of a function or coroutine function; the usage is taken from what it returns.

        Raises TypeError for a generator function, whose work is not done when it returns.
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
