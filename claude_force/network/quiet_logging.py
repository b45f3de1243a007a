"""Silences loggers of libraries: they repeat what our messages report, or log secrets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_loggers(*loggers: str) -> Iterator[None]:
    """For the block, drop what this thread logs with these loggers. Name each one: filters do not apply to children."""
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
