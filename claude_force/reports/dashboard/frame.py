"""Draws a snapshot as a frame of a given size. No line is too wide, and there are never too many lines.

The totals and the firing alerts are in the smallest frame, too. The other sections share the room that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import zip_longest
from textwrap import wrap

from rich.text import Text

from claude_force import clock
from claude_force.analytics.groups import SortKey
from claude_force.reports.cells import cell_width, cut
from claude_force.reports.dashboard import sections
from claude_force.reports.dashboard.snapshot import DashboardSnapshot, Span
from claude_force.text import for_terminal

LEAST_WIDTH, LEAST_HEIGHT = 40, 8

_SIDE_BY_SIDE_WIDTH = 76
"""From this width on, models are beside agents."""

_GROUPS_WIDTH = 72
"""Agents and models are at most this wide, so that names and numbers stay together."""

_SIDE_GAP = 3

_SPACED_HEIGHT = 30
"""From this height on, an empty line is between sections."""

_LEAST_LIMITS_HEIGHT = 18
"""With fewer lines, the limits of plans are left out."""

_MOST_GROUPS = 12
_EMPTY_LINES = 2
"""Lines of the sentence that there are no agents, in the narrowest frame."""

_USUAL_ROOM, _USUAL_GROUPS = 17, 6
"""Lines below the totals in a frame of 24 lines, and how many of them agents get. They get half of each further one."""

_SPARKLINES, _MORE_SPARKLINES, _MORE_SPARKLINES_ROOM = 4, 5, 24
"""Lines of the sparklines with their title. The second number from so many lines of room on."""

_LEAST_TABLE_LINES = 8
"""With fewer lines for agents and executions, there are no sparklines."""

_PROBLEM_LINES = 4

_KEYS = (
    ("q, Esc, Ctrl-C", "quit"),
    ("w", "the next window: 1 hour, 24 hours, 7 days"),
    ("1, 2, 3", "choose one of these windows"),
    ("s", "the next order of agents"),
    ("Ctrl-Z", "suspend; fg continues"),
    ("?", "show or hide these keys"),
)


@dataclass(frozen=True, slots=True)
class View:
    """How to draw a snapshot.

    `problem` is why the last read failed, or None. A view that is not `is_live` has no footer. If `shows_keys` is set,
    a list of keys replaces everything below the header.
    """

    zone: tzinfo
    span: Span = "24h"
    sort_by: SortKey = "cost"
    problem: str | None = None
    is_live: bool = True
    shows_keys: bool = False


def draw(snapshot: DashboardSnapshot | None, view: View, width: int, height: int) -> Text:
    """A frame. A live one has exactly `height` lines, another at most that many.

    Without a snapshot it has the problem only, or a sentence that the first read is running.
    """
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return _too_small(width, height)
    foot = [_footer(view, width)] if view.is_live else []
    lines = _lines(snapshot, view, width, height - len(foot))[: height - len(foot)]
    if view.is_live:
        lines += [Text()] * (height - len(foot) - len(lines))
    return Text("\n", no_wrap=True, end="").join([*lines, *foot])


def _too_small(width: int, height: int) -> Text:
    text = f"Make the window larger: {LEAST_WIDTH} x {LEAST_HEIGHT} at least, it is {width} x {height}"
    return Text("\n".join(wrap(text, max(width, 1))[: max(height, 1)]), no_wrap=True, end="")


def _lines(snapshot: DashboardSnapshot | None, view: View, width: int, height: int) -> list[Text]:
    problem = _problem_lines(snapshot, view, width)
    if snapshot is None:
        return [Text("claude-force", "bold"), *(problem or [Text("Reading ...", "dim")])]
    head = [sections.header(snapshot, view.zone, width), *problem]
    if view.shows_keys:
        return [*head, Text(), *_key_lines(width)]
    if snapshot.stored_range is None:
        return [*head, *sections.unread_lines(snapshot, width), Text(), *_empty_lines(view, width)]
    alerts = sections.alert_lines(snapshot, view.zone, width, max(height // 10, 1))
    parts = [head, sections.period_lines(snapshot, width)]
    limits = sections.limit_lines(snapshot, view.zone, width, _limits_room(height))
    parts += [limits] if limits else []
    parts.append([*sections.unread_lines(snapshot, width), *sections.unpriced_lines(snapshot, width), *alerts])
    gap = 1 if height >= _SPACED_HEIGHT else 0
    parts += _body(snapshot, view, width, height - sum(map(len, parts)) - (len(parts) + 2) * gap)
    return _stack(parts, gap)


def _limits_room(height: int) -> int:
    """The lines that the limits of plans may take, title included: two limits in a frame of 24 lines."""
    return 0 if height < _LEAST_LIMITS_HEIGHT else 3 if height < _SPACED_HEIGHT else 6


def _stack(parts: Sequence[Sequence[Text]], gap: int) -> list[Text]:
    lines = list(parts[0])
    for part in parts[1:]:
        lines += [Text()] * gap
        lines += part
    return lines


def _body(snapshot: DashboardSnapshot, view: View, width: int, room: int) -> list[list[Text]]:
    """The sections below the alerts: sparklines, agents and models, the last executions."""
    sparklines, groups, recent = _share_room(snapshot, room)
    parts = []
    if sparklines:
        parts.append(sections.sparkline_lines(snapshot, width, sparklines - 1))
    if groups:
        parts.append(_group_lines(snapshot, view, width, groups))
    if recent > 1:
        parts.append(sections.recent_lines(snapshot, view.zone, width, recent))
    return parts


def _share_room(snapshot: DashboardSnapshot, room: int) -> tuple[int, int, int]:
    """The lines, titles included, of the sparklines, of agents and models, and of the last executions."""
    sparklines = _MORE_SPARKLINES if room >= _MORE_SPARKLINES_ROOM else _SPARKLINES
    groups = _USUAL_GROUPS + max(room - _USUAL_ROOM, 0) // 2
    if room < sparklines + _LEAST_TABLE_LINES:
        sparklines, groups = 0, room // 2
    rows = min(max(len(snapshot.agents), len(snapshot.models)), _MOST_GROUPS) or _EMPTY_LINES
    groups = min(groups, 1 + rows) if groups > 1 else 0
    return sparklines, groups, room - sparklines - groups


def _group_lines(snapshot: DashboardSnapshot, view: View, width: int, limit: int) -> list[Text]:
    if width < _SIDE_BY_SIDE_WIDTH or not snapshot.agents:
        return sections.agent_lines(snapshot, view.sort_by, view.zone, width, limit)
    right_width = min(width * 44 // 100, _GROUPS_WIDTH)
    left_width = min(width - right_width - _SIDE_GAP, _GROUPS_WIDTH)
    left = sections.agent_lines(snapshot, view.sort_by, view.zone, left_width, limit)
    right = sections.model_lines(snapshot, right_width, limit)
    return [_join(*pair, left_width) for pair in zip_longest(left, right, fillvalue=Text())]


def _join(left: Text, right: Text, left_width: int) -> Text:
    return Text.assemble(left, " " * (left_width - cell_width(left.plain) + _SIDE_GAP), right)


def _problem_lines(snapshot: DashboardSnapshot | None, view: View, width: int) -> list[Text]:
    if view.problem is None:
        return []
    since = f"Not read since {clock.to_datetime(snapshot.at_us, view.zone):%H:%M:%S}: " if snapshot else ""
    lines = wrap(since + for_terminal(view.problem), width)
    return [Text(cut(line, width), "bold yellow") for line in lines[:_PROBLEM_LINES]]


def _empty_lines(view: View, width: int) -> list[Text]:
    lines = [
        "No executions yet. Read the transcripts of Claude Code:",
        "  claude-force ingest",
        "or import a history:",
        "  claude-force import FILE",
        "or record executions with PerformanceTracker.",
        *(["", "New executions appear here by themselves."] if view.is_live else []),
    ]
    return [Text(cut(line, width)) for line in lines]


def _key_lines(width: int) -> list[Text]:
    return [Text.assemble((f"{keys:<16}", "bold"), cut(what, width - 16)) for keys, what in _KEYS]


def _footer(view: View, width: int) -> Text:
    """The keys and the current settings, as many as fit."""
    line = Text()
    for key, what in (("q", "quit"), ("w", f"window {view.span}"), ("s", f"sort {view.sort_by}"), ("?", "keys")):
        gap = 3 * bool(line)
        if cell_width(line.plain) + gap + 2 + len(what) <= width:
            line.append(" " * gap).append(key, "bold cyan").append(f" {what}")
    return line
