"""The live dashboard: draws a frame after each snapshot, key press and resize, until the user quits."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TextIO

from rich.console import Console
from rich.control import Control
from rich.screen import Screen
from rich.text import Text

from claude_force import clock
from claude_force.alerts.configured import ConfiguredRules
from claude_force.database.contract import Database
from claude_force.ingest.freshness import Freshness
from claude_force.reports.cells import LEFT_TO_RIGHT_MARK, RIGHT_TO_LEFT_RUN
from claude_force.reports.dashboard.frame import View, draw
from claude_force.reports.dashboard.poller import Poller
from claude_force.reports.dashboard.snapshot import SORT_KEYS, SPANS, DashboardSnapshot, Span
from claude_force.reports.dashboard.terminal import TERMINATION_SIGNALS, Event, Terminal
from claude_force.reports.render import use_substitutes

_ESCAPE = "\x1b"


def show_once(snapshot: DashboardSnapshot, view: View, size: tuple[int, int], file: TextIO) -> None:
    """Write one frame, without empty lines at its end. If the file is not a terminal, write plain text."""
    frame = draw(snapshot, view, *size)
    if file.isatty():
        _console(file).print(_with_direction(frame), no_wrap=True, crop=False, overflow="ignore", end="\n")
    else:
        use_substitutes(file)
        file.writelines(f"{line.rstrip()}\n" for line in frame.plain.split("\n"))


def _with_direction(frame: Text) -> Text:
    """A frame with a mark around names in Hebrew or Arabic: see `cells.keep_direction`."""
    edges = [edge for found in RIGHT_TO_LEFT_RUN.finditer(frame.plain) for edge in found.span()]
    return Text(LEFT_TO_RIGHT_MARK, end="").join(frame.divide(edges)) if edges else frame


def _console(file: TextIO) -> Console:
    use_substitutes(file)
    return Console(file=file, highlight=False, markup=False, emoji=False)


def run(
    database: Database,
    view: View,
    refresh_s: float,
    freshen: Callable[[int], Freshness],
    rules: Callable[[], ConfiguredRules | None] = lambda: None,
) -> int:
    """Show a database until the user quits, and restore the terminal. `freshen` reads what is new, at an instant;
    `rules` are those that are on at the moment. Returns the exit code."""
    terminal = Terminal()
    poller = Poller(database, view.span, refresh_s, clock.now_us, freshen, rules)
    with terminal.full_screen():
        poller.start(terminal.wake)
        try:
            code = Dashboard(terminal, poller, view, _console(sys.stdout)).run()
        finally:
            poller.stop()
    if poller.failure:
        raise poller.failure
    return code


class Dashboard:
    """The view that the user has chosen, and how it answers each event."""

    def __init__(self, terminal: Terminal, poller: Poller, view: View, console: Console) -> None:
        self._terminal, self._poller, self._view, self._console = terminal, poller, view, console
        self._exit_code: int | None = None

    def run(self) -> int:
        """Draw frames and handle events. Returns the exit code."""
        while self._exit_code is None:
            self._draw()
            for event in self._terminal.wait():
                self._handle(event)
        return self._exit_code

    def _handle(self, event: Event) -> None:
        match event.kind:
            case "key":
                self._handle_key(event.key)
            case "signal":
                self._handle_signal(event.signal)
            case "hangup":
                self._exit_code = 0
            case "wakeup" if self._poller.failure:
                self._exit_code = 1

    def _handle_key(self, key: str) -> None:
        if key in ("q", "Q", _ESCAPE):
            self._exit_code = 0
        elif key in ("w", "W"):
            self._select_span(SPANS[(SPANS.index(self._view.span) + 1) % len(SPANS)])
        elif key in ("1", "2", "3"):
            self._select_span(SPANS[int(key) - 1])
        elif key in ("s", "S"):
            sort_by = SORT_KEYS[(SORT_KEYS.index(self._view.sort_by) + 1) % len(SORT_KEYS)]
            self._view = replace(self._view, sort_by=sort_by)
        elif key == "?":
            self._view = replace(self._view, shows_keys=not self._view.shows_keys)

    def _select_span(self, span: Span) -> None:
        self._view = replace(self._view, span=span)
        self._poller.request(span)

    def _handle_signal(self, number: int) -> None:
        if number == signal.SIGINT:
            self._exit_code = 0
        elif number in TERMINATION_SIGNALS:
            self._exit_code = 128 + number
        elif number == signal.SIGTSTP:
            self._terminal.suspend()
        elif number == signal.SIGWINCH:
            # tmux sends the signal before it has the new size: draw again after the next snapshot.
            self._poller.request(self._view.span)
        elif number == signal.SIGCONT:
            self._terminal.resume()
            self._poller.request(self._view.span)

    def _draw(self) -> None:
        width, height = self._terminal.size()
        view = replace(self._view, problem=self._poller.problem)
        frame = draw(self._poller.snapshot, view, width, height)
        self._console.size = (width, height)
        with self._console:
            # Buffered and written at once: nothing flickers.
            self._console.control(Control.home())
            self._console.print(Screen(_with_direction(frame)), end="")
