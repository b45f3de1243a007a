"""One watcher for all pages: it reads what is new, sees what others stored, and tells each page that it is out of date.

| while | the watcher looks |
|---|---|
| a page is open | every second |
| no page is open | when a page asks |

A look is cheap: sizes and times of files, and one question to the database. Pages are told at once. Where something is
stored all the time, they are told as often as a twentieth of one core can draw them, over a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

LOOK_S = 1.0
"""The time between two looks while a page is open."""

TICK_S = 60.0
"""What depends on the time (alerts, blocks, rolling periods) is drawn again so often."""

SHARE = 0.05
"""The part of one core that drawing may take."""

_BEAT_S = 15.0
"""A comment is sent so often to each page, so that one that has gone is noticed."""

_PATIENCE_S = 0.5
"""How long a page waits for what is new before it shows what is stored."""

Look = Callable[[], bool]
"""Reads what is new; returns whether the store changed since the last look."""


class Live:
    """The generation of the store: a number that grows when something is new. Answers of the same generation are the
    same."""

    def __init__(self, look: Look) -> None:
        self.generation = 1
        self._look = look
        self._thread = ThreadPoolExecutor(1, "watcher")
        self._pages = 0
        self._told = 1
        self._told_now = asyncio.Condition()
        self._is_closed = False
        self._watcher: asyncio.Task[None] | None = None
        self._looking: asyncio.Future[None] | None = None
        self._looked_s = float("-inf")
        self._grown_s = self._told_s = time.monotonic()
        self._looks_cpu_s = self._cpu_before_s = 0.0
        self._saved_s, self._paid_s = SHARE * TICK_S, self._told_s

    async def freshen(self) -> None:
        """Look now, unless that was done a moment ago. A look that takes long goes on by itself."""
        if not self._is_closed and time.monotonic() - self._looked_s >= LOOK_S:
            await asyncio.wait([self._next_look()], timeout=_PATIENCE_S)

    def _next_look(self) -> asyncio.Future[None]:
        """The look that is under way, else a new one."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look_once())
        return self._looking

    async def _look_once(self) -> None:
        if self._is_closed:
            return
        is_new = await asyncio.get_running_loop().run_in_executor(self._thread, self._timed_look)
        self._looked_s = time.monotonic()
        if is_new or self._looked_s - self._grown_s >= TICK_S:
            self.generation += 1
            self._grown_s = self._looked_s

    def _timed_look(self) -> bool:
        before_s = time.thread_time()
        try:
            return self._look()
        finally:
            self._looks_cpu_s += time.thread_time() - before_s

    async def _watch(self) -> None:
        while self._pages and not self._is_closed:
            await self._next_look()
            if self.generation != self._told and self._may_tell():
                await self._tell()
            await asyncio.sleep(LOOK_S)

    def _may_tell(self) -> bool:
        """Whether pages may be told now: what they cost is paid from a SHARE of the time, saved up for a minute."""
        now_s, cpu_s = time.monotonic(), self._pages_cpu_s()
        saved_s = min(self._saved_s + SHARE * (now_s - self._paid_s), SHARE * TICK_S)
        self._saved_s, self._paid_s = saved_s - (cpu_s - self._cpu_before_s), now_s
        self._cpu_before_s = cpu_s
        return self._saved_s > 0 or now_s - self._told_s >= TICK_S

    def _pages_cpu_s(self) -> float:
        """The time of the processor that this process took for anything but looks."""
        return time.process_time() - self._looks_cpu_s

    async def _tell(self) -> None:
        self._told, self._told_s = self.generation, time.monotonic()
        async with self._told_now:
            self._told_now.notify_all()

    async def events(self) -> AsyncIterator[str]:
        """The events of one page: the current generation, and each new one."""
        self._pages += 1
        if self._watcher is None or self._watcher.done():
            self._told, self._cpu_before_s = self.generation, self._pages_cpu_s()
            self._watcher = asyncio.ensure_future(self._watch())
        told = 0
        try:
            while not self._is_closed:
                yield f"event: generation\ndata: {self._told}\n\n" if self._told != told else ":\n\n"
                told = self._told
                await self._wait(told)
        finally:
            self._pages -= 1

    async def _wait(self, told: int) -> None:
        async def is_told() -> None:
            async with self._told_now:
                await self._told_now.wait_for(lambda: self._is_closed or self._told != told)

        try:
            await asyncio.wait_for(is_told(), _BEAT_S)
        except TimeoutError:
            return

    async def close(self) -> None:
        """End the events of all pages. A look that is under way ends by itself."""
        self._is_closed = True
        async with self._told_now:
            self._told_now.notify_all()

    def join(self) -> None:
        """Wait for the look that is under way."""
        self._thread.shutdown(cancel_futures=True)
