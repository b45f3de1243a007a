"""Loggers of libraries, which say on their own what is to be said once, in our words, or not at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced(*loggers: str) -> Iterator[None]:
    """Within the block, what this thread does is not logged by these loggers, which are named in full: a filter is not
    handed down to the loggers below."""
    thread = threading.get_ident()

    def is_other(record: logging.LogRecord) -> bool:
        return record.thread != thread

    found = [logging.getLogger(name) for name in loggers]
    for logger in found:
        logger.addFilter(is_other)
    try:
        yield
    finally:
        for logger in found:
            logger.removeFilter(is_other)
