"""The progress bar on a terminal."""

from __future__ import annotations

import io

import pytest

from claude_force.cli.progress import progress_bar


class Terminal(io.StringIO):
    """Keeps what is written to it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Where stderr is a terminal."""
    found = Terminal()
    monkeypatch.setattr("sys.stderr", found)
    return found


def test_it_is_drawn_once_something_is_done(terminal: Terminal) -> None:
    """And reaches its end."""
    with progress_bar(10, "Copying") as advance:
        assert advance is not None
        assert terminal.getvalue() == ""
        advance(5)
        assert "Copying" in terminal.getvalue()
        assert "50%" in terminal.getvalue()
        advance(5)
    assert "100%" in terminal.getvalue()


def test_what_fails_before_anything_is_done_draws_nothing(terminal: Terminal) -> None:
    """So that the error stands alone."""
    with pytest.raises(OSError, match="no space"), progress_bar(10, "Copying"):
        raise OSError("no space")
    assert terminal.getvalue() == ""
