"""Print a page that draws a message to Slack: `scripts/pictures` takes its picture.

The texts and colours are those of the message that the Slack channel sends; how Slack shows them is imitated here.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from claude_force.alerts.channels.slack import message
from claude_force.alerts.notification import Notification

AT_US = 1_763_116_200_000_000
"""2025-11-14 10:30 UTC."""

COLOURS = {"danger": "#a30200", "warning": "#daa038", "good": "#2eb886"}

NOTIFICATION = Notification(
    rule="success-rate",
    title="Low Success Rate",
    summary="Success rate dropped to 87.5%",
    period="Last 1 hour",
    severity="critical",
    action="trigger",
    labels={"agent": "python-expert"},
    details={"success_rate": 87.5, "executions": 64, "threshold": 90.0},
    episode="0192-success-rate",
    began_us=AT_US,
    at_us=AT_US,
    store="metrics.db",
    host="build-7",
)

PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 16px 20px; font: 15px/1.46 Lato, "DejaVu Sans", sans-serif; color: #1d1c1d }}
b {{ font-weight: 700 }} small {{ color: #616061 }} div {{ border-left: 4px solid {colour}; padding: 2px 12px;
margin: 6px 0 }} p {{ margin: 0; white-space: pre-line }}
</style><b>claude-force</b> <small>APP&ensp;10:30</small><p>{text}</p>
<div><p><b>{title}</b></p><p>{body}</p><small>{footer} | Nov 14th, 2025</small></div>"""


def page() -> str:
    """The page."""
    told = message([NOTIFICATION])
    attachment = told["attachments"][0]
    return PAGE.format(
        text=escape(told["text"]),
        colour=COLOURS[attachment["color"]],
        # What is escaped for Slack is escaped for a page.
        title=attachment["title"],
        body=attachment["text"],
        footer=attachment["footer"],
    )


if __name__ == "__main__":
    sys.stdout.write(page())
