"""The dashboard as it runs: a frame for each reading, key and change of size, until somebody ends it."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from typing import TextIO

from rich.console import Console
from rich.control import Control
from rich.screen import Screen
from rich.text import Text

from claude_force import clock
from claude_force.database.contract import Database
from claude_force.reports.dashboard.frame import View, draw
from claude_force.reports.dashboard.poller import Poller
from claude_force.reports.dashboard.snapshot import SORT_KEYS, SPANS, Figures, Span
from claude_force.reports.dashboard.terminal import ENDING, Happened, Terminal
from claude_force.reports.render import allow_substitutes

_ESCAPE = "\x1b"


def show_once(figures: Figures, view: View, size: tuple[int, int], file: TextIO) -> None:
    """One frame, no longer than what it says; where the file is no terminal, as text alone."""
    frame = draw(figures, view, *size)
    if file.isatty():
        _console_of(file).print(frame, no_wrap=True, crop=False, overflow="ignore", end="\n")
    else:
        allow_substitutes(file)
        file.writelines(f"{line.rstrip()}\n" for line in frame.plain.split("\n"))


def _console_of(file: TextIO) -> Console:
    """Where frames are drawn; without colour where NO_COLOR is set."""
    allow_substitutes(file)
    return Console(file=file, highlight=False, markup=False, emoji=False)


def run(database: Database, view: View, refresh_s: float) -> int:
    """Show a database until somebody ends it; the exit code. The terminal is afterwards what it was before."""
    terminal = Terminal()
    reading = Poller(database, view.span, refresh_s, clock.now_us)
    with terminal.watched():
        reading.start(terminal.wake)
        dashboard = Dashboard(terminal, reading, view, _console_of(sys.stdout))
        try:
            code = dashboard.run()
        finally:
            reading.stop()
    if reading.failure:
        raise reading.failure
    return code


class Dashboard:
    """What a person has chosen, and what follows from what happens."""

    def __init__(self, terminal: Terminal, reading: Poller, view: View, console: Console) -> None:
        self._terminal, self._reading, self._console = terminal, reading, console
        self._view = view
        self._code: int | None = None

    def run(self) -> int:
        """Draw and wait, until there is an exit code."""
        while self._code is None:
            self._draw()
            for happened in self._terminal.wait():
                self._follow(happened)
        return self._code

    def _follow(self, happened: Happened) -> None:
        match happened.kind:
            case "key":
                self._press(happened.key)
            case "signal":
                self._obey(happened.signal)
            case "hangup":
                self._code = 0
            case "news" if self._reading.failure:
                self._code = 1

    def _press(self, key: str) -> None:
        if key in ("q", "Q", _ESCAPE):
            self._code = 0
        elif key in ("w", "W"):
            self._choose(SPANS[(SPANS.index(self._view.span) + 1) % len(SPANS)])
        elif key in ("1", "2", "3"):
            self._choose(SPANS[int(key) - 1])
        elif key in ("s", "S"):
            following = SORT_KEYS[(SORT_KEYS.index(self._view.sort_by) + 1) % len(SORT_KEYS)]
            self._view = replace(self._view, sort_by=following)
        elif key == "?":
            self._view = replace(self._view, shows_keys=not self._view.shows_keys)

    def _choose(self, span: Span) -> None:
        self._view = replace(self._view, span=span)
        self._reading.ask(span)

    def _obey(self, number: int) -> None:
        if number == signal.SIGINT:
            self._code = 0
        elif number in ENDING:
            self._code = 128 + number
        elif number == signal.SIGTSTP:
            self._terminal.suspend()
        elif number == signal.SIGWINCH:
            # tmux tells of a new size before it has it: what is drawn at once may be drawn into the old one.
            self._reading.ask(self._view.span)
        elif number == signal.SIGCONT:
            self._terminal.take_back()
            self._reading.ask(self._view.span)

    def _draw(self) -> None:
        width, height = self._terminal.size()
        view = replace(self._view, problem=self._reading.problem)
        frame: Text = draw(self._reading.figures, view, width, height)
        self._console.size = (width, height)
        with self._console:
            # In one piece, so that nothing flickers.
            self._console.control(Control.home())
            self._console.print(Screen(frame), end="")
