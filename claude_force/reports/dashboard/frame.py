"""Figures and a size to a picture: lines that fit, and that are never more than there is room for.

What matters most comes first: the key figures and what fires stand in the smallest frame; the rest shares what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import zip_longest
from textwrap import wrap

from rich.text import Text

from claude_force import clock
from claude_force.analytics.reports import SortKey
from claude_force.reports.dashboard import sections
from claude_force.reports.dashboard.snapshot import Figures, Span
from claude_force.reports.render import cell_width, cut
from claude_force.text import for_terminal

LEAST_WIDTH, LEAST_HEIGHT = 40, 8
"""In a smaller terminal nothing is said but that it is too small."""

_BESIDE_WIDTH = 76
"""From so many cells on, models stand beside agents."""

_WIDEST_GROUPS = 72
"""Agents and models are no wider, so that a name and its figures stay together."""

_GAP = 3
"""Between them."""

_AIRY_HEIGHT = 30
"""From so many lines on, parts are apart."""

_MOST_ROWS = 12
"""Of agents and models."""

_NONE = 2
"""Lines that say that there are none, in the narrowest window."""

_USUAL_ROOM, _USUAL_GROUPS = 17, 6
"""Below the key figures of a window of 24 lines, and the lines of agents there; of what a larger one has they get
half."""

_COURSE, _LONG_COURSE, _LONG_COURSE_ROOM = 4, 5, 24
"""Lines of what changes over time, with the title; the second from so many lines of room on."""

_LEAST_TABLES = 8
"""Where there would be fewer lines for agents and executions, the course gives way."""

_PROBLEM_LINES = 4

_KEYS = (
    ("q, Esc, Ctrl-C", "quit"),
    ("w", "the next window: 1 hour, 24 hours, 7 days"),
    ("1, 2, 3", "one of these windows"),
    ("s", "the next order of agents"),
    ("Ctrl-Z", "suspend; fg brings it back"),
    ("?", "these keys, and away again"),
)


@dataclass(frozen=True, slots=True)
class View:
    """How to look at figures. `problem` is what the last reading came to, where it failed; `is_live` says whether keys
    do anything; `shows_keys` whether they are explained instead of what changes over time."""

    zone: tzinfo
    span: Span = "24h"
    sort_by: SortKey = "cost"
    problem: str | None = None
    is_live: bool = True
    shows_keys: bool = False


def draw(figures: Figures | None, view: View, width: int, height: int) -> Text:
    """A frame of a size; what is not live is no longer than what it says. Without figures there is only the problem
    to be told, or that they are being read."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return _too_small(width, height)
    foot = [_footer(view, width)] if view.is_live else []
    lines = _lines(figures, view, width, height - len(foot))[: height - len(foot)]
    if view.is_live:
        lines += [Text()] * (height - len(foot) - len(lines))
    return Text("\n", no_wrap=True, end="").join([*lines, *foot])


def _too_small(width: int, height: int) -> Text:
    said = f"Make the window larger: {LEAST_WIDTH} x {LEAST_HEIGHT} at least, it is {width} x {height}"
    return Text("\n".join(wrap(said, max(width, 1))[: max(height, 1)]), no_wrap=True, end="")


def _lines(figures: Figures | None, view: View, width: int, height: int) -> list[Text]:
    problem = _problem_lines(figures, view, width)
    if figures is None:
        return [Text("claude-force", "bold"), *(problem or [Text("Reading ...", "dim")])]
    head = [sections.header(figures, view.zone, width), *problem]
    if view.shows_keys:
        return [*head, Text(), *_key_lines(width)]
    if figures.reach is None:
        return [*head, Text(), *_empty_lines(view, width)]
    alerts = sections.alert_lines(figures, view.zone, width, max(height // 10, 1))
    figured = sections.key_figures(figures, width)
    parts = [head, figured, [*sections.unpriced_lines(figures, width), *alerts]]
    room = height - sum(map(len, parts))
    gap = 1 if height >= _AIRY_HEIGHT else 0
    parts += _body(figures, view, width, room - 5 * gap)
    return _stacked(parts, gap)


def _stacked(parts: Sequence[Sequence[Text]], gap: int) -> list[Text]:
    lines = list(parts[0])
    for part in parts[1:]:
        lines += [Text()] * gap
        lines += part
    return lines


def _body(figures: Figures, view: View, width: int, room: int) -> list[list[Text]]:
    """What shares the room below the key figures: the course, agents and models, the last executions."""
    course = _LONG_COURSE if room >= _LONG_COURSE_ROOM else _COURSE
    groups = _USUAL_GROUPS + max(room - _USUAL_ROOM, 0) // 2
    if room < course + _LEAST_TABLES:
        course, groups = 0, room // 2
    rows = min(max(len(figures.agents), len(figures.models)), _MOST_ROWS) or _NONE
    groups = min(groups, 1 + rows) if groups > 1 else 0
    recent = room - course - groups
    parts = []
    if course:
        parts.append(sections.course_lines(figures, width, course - 1))
    if groups:
        parts.append(_group_lines(figures, view, width, groups))
    if recent > 1:
        parts.append(sections.recent_lines(figures, view.zone, width, recent))
    return parts


def _group_lines(figures: Figures, view: View, width: int, most: int) -> list[Text]:
    if width < _BESIDE_WIDTH or not figures.agents:
        return sections.agent_lines(figures, view.sort_by, view.zone, width, most)
    right_width = min(width * 44 // 100, _WIDEST_GROUPS)
    left_width = min(width - right_width - _GAP, _WIDEST_GROUPS)
    left = sections.agent_lines(figures, view.sort_by, view.zone, left_width, most)
    right = sections.model_lines(figures, right_width, most)
    return [_beside(*pair, left_width) for pair in zip_longest(left, right, fillvalue=Text())]


def _beside(left: Text, right: Text, left_width: int) -> Text:
    return Text.assemble(left, " " * (left_width - cell_width(left.plain) + _GAP), right)


def _problem_lines(figures: Figures | None, view: View, width: int) -> list[Text]:
    if view.problem is None:
        return []
    since = f"Not read since {clock.to_datetime(figures.at_us, view.zone):%H:%M:%S}: " if figures else ""
    lines = wrap(since + for_terminal(view.problem), width)
    return [Text(cut(line, width), "bold yellow") for line in lines[:_PROBLEM_LINES]]


def _empty_lines(view: View, width: int) -> list[Text]:
    said = [
        "No executions yet. Read the transcripts of Claude Code:",
        "  claude-force ingest",
        "or import a history:",
        "  claude-force import FILE",
        "or record some with PerformanceTracker.",
        *(["", "They will be shown here as they come in."] if view.is_live else []),
    ]
    return [Text(cut(line, width)) for line in said]


def _key_lines(width: int) -> list[Text]:
    return [Text.assemble((f"{keys:<16}", "bold"), cut(what, width - 16)) for keys, what in _KEYS]


def _footer(view: View, width: int) -> Text:
    """The keys and what they stand at; as many as there is room for."""
    line = Text()
    for key, what in (("q", "quit"), ("w", f"window {view.span}"), ("s", f"sort {view.sort_by}"), ("?", "keys")):
        gap = 3 * bool(line)
        if cell_width(line.plain) + gap + 2 + len(what) <= width:
            line.append(" " * gap).append(key, "bold cyan").append(f" {what}")
    return line
