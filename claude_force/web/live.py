"""One watcher for all pages: it reads what is new, sees what others stored, and tells each page that it is out of date.

| while | the watcher looks |
|---|---|
| a page is open | every second |
| no page is open | when a page asks |

A look is cheap: sizes and times of files, and one question to the database. Pages are told at once after a quiet time,
and then no more often than the machine can draw them: see `_pause_s`.
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

_BEAT_S = 15.0
"""A comment is sent so often to each page, so that one that has gone is noticed."""

_FRESH_S = 0.5
"""How long a page waits for what is new before it shows what is stored."""

Look = Callable[[], bool]
"""Reads what is new; returns whether the store changed since the last look."""


class Live:
    """The generation of the store: a number that grows when something is new."""

    def __init__(self, look: Look) -> None:
        self.generation = 1
        self.is_closed = False
        self._look = look
        self._thread = ThreadPoolExecutor(1, "watcher")
        self._pages = 0
        self._changed = asyncio.Condition()
        self._watcher: asyncio.Task[None] | None = None
        self._looking: asyncio.Future[None] | None = None
        self._looked_s = self._told_s = float("-inf")

    async def freshen(self) -> None:
        """Look now, unless that was done a moment ago. A look that takes long goes on by itself."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look_once())
        await asyncio.wait([self._looking], timeout=_FRESH_S)

    async def _look_once(self) -> None:
        is_new = await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
        self._looked_s = time.monotonic()
        if is_new or self._looked_s - self._told_s >= TICK_S:
            await self._tell()

    async def _tell(self) -> None:
        self._told_s = time.monotonic()
        self.generation += 1
        async with self._changed:
            self._changed.notify_all()

    async def _watch(self) -> None:
        while self._pages and not self.is_closed:
            await self.freshen()
            await asyncio.sleep(LOOK_S)

    async def events(self) -> AsyncIterator[str]:
        """The events of one page: the current generation, and each new one."""
        self._pages += 1
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.ensure_future(self._watch())
        told = 0
        try:
            while not self.is_closed:
                if self.generation != told:
                    told = self.generation
                    yield f"event: generation\ndata: {told}\n\n"
                else:
                    yield ": \n\n"
                await self._wait(told)
        finally:
            self._pages -= 1

    async def _wait(self, told: int) -> None:
        async def changed() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: self.is_closed or self.generation != told)

        try:
            await asyncio.wait_for(changed(), _BEAT_S)
        except TimeoutError:
            return

    async def close(self) -> None:
        """End the events of all pages."""
        self.is_closed = True
        async with self._changed:
            self._changed.notify_all()
        self._thread.shutdown(wait=False, cancel_futures=True)
