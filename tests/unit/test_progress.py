"""The progress bar on a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import pytest

from claude_force.cli.progress import progress_bar


class Terminal(io.StringIO):
    """Keeps what is written to it."""

    def isatty(self) -> bool:
        return True


@contextmanager
def terminal() -> Iterator[Terminal]:
    """Stderr is a terminal."""
    found = Terminal()
    with redirect_stderr(found):
        yield found


def test_it_is_drawn_once_something_is_done() -> None:
    """And reaches its end."""
    with terminal() as shown:
        with progress_bar(10, "Copying") as advance:
            assert advance is not None
            assert shown.getvalue() == ""
            advance(5)
            assert "Copying" in shown.getvalue()
            assert "50%" in shown.getvalue()
            advance(5)
        assert "100%" in shown.getvalue()


def test_what_fails_before_anything_is_done_draws_nothing() -> None:
    """So that the error stands alone."""
    with terminal() as shown:
        with pytest.raises(OSError, match="no space"), progress_bar(10, "Copying"):
            raise OSError("no space")
        assert shown.getvalue() == ""
