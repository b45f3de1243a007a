"""Progress on a terminal, and what is said when the user interrupts it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import click

_READING_BYTES = 64 * 1024 * 1024
"""Less than this is read before anybody could read a progress bar."""


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on stderr. Yields the function that advances it, or None if stderr is not a terminal. It is drawn
    when something is done: what fails before says only why."""
    if not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    bar = click.progressbar(length=length, label=label, width=40, file=sys.stderr)
    with ExitStack() as drawn:

        def advance(done: int) -> None:
            if not bar.entered:
                drawn.enter_context(bar)
            bar.update(done)

        yield advance


@contextmanager
def reading_progress(size_bytes: int) -> Iterator[Callable[[int], None] | None]:
    """The bar for reading so much of transcripts. Yields None also where it would be over at once."""
    if size_bytes < _READING_BYTES:
        yield None
        return
    with progress_bar(size_bytes, "Reading transcripts") as advance:
        yield advance


@contextmanager
def explained_interrupt(kept: str) -> Iterator[None]:
    """Give Ctrl-C within the block an answer: what was kept, and how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {kept}") from None
