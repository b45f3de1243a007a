"""A story of alerting, on the installed program: a stream of executions goes bad and recovers, and those who are on
call hear of it once and of its end once, also when the scheduler is killed in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED
from claude_force.database.rows.jobs import JobRun
from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.conftest import Run
from tests.counterparts import ScriptedServer, scripted
from tests.daemons import eventually, last, scheduler
from tests.profiles import thorough

HOSTILE = '<!channel> \x1b]0;x\x07 =HYPERLINK("//evil")\r\nBcc: all@example.com'


class Story:
    """The home, its database, the two services, and the scheduler that can be killed and started again."""

    def __init__(self, home: Path, slack: ScriptedServer, pager: ScriptedServer) -> None:
        self.home, self.slack, self.pager = home, slack, pager
        self.location = home / ".claude" / "metrics" / "metrics.db"
        self.database: Database = open_database(str(self.location))
        self.stack = ExitStack()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the scheduler."""
        self.process = self.stack.enter_context(
            scheduler(self.location, self.home, SLACK_WEBHOOK_URL=self.slack.url, KEY="k" * 32)
        )

    def kill(self) -> None:
        """Kill it, as nothing can be prepared for."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def record(self, executions: int, *, success: bool) -> None:
        """What an agent does meanwhile."""
        with PerformanceTracker() as tracker:
            for _ in range(executions):
                tracker.record_execution(HOSTILE, "t", success, 100, "claude-haiku-4-5", 10, 5)

    def rounds(self, number: int) -> None:
        """Let alerts be evaluated so many times more."""
        for _ in range(number):
            before = last(self.database, "alerts")
            eventually(lambda before=before: self._is_later(before))  # type: ignore[misc]

    def _is_later(self, before: JobRun | None) -> bool:
        found = last(self.database, "alerts")
        return found is not None and found != before

    def failing(self) -> set[str]:
        """The channels on which a delivery waits that has failed."""
        with self.database.read() as connection:
            return {delivery.channel for delivery in alert_queries.by_status(connection, "waiting") if delivery.problem}

    def hurry(self) -> bool:
        """Make every delivery that waits due: the time that one waits after a failure, or after a kill, is over."""
        with self.database.write() as connection:
            connection.execute("UPDATE deliveries SET due_us = 0 WHERE status = 'waiting'")
        return True

    def pages(self) -> list[tuple[str, str]]:
        """What PagerDuty heard: action and key."""
        return [(heard["event_action"], heard["dedup_key"]) for heard in map(_json, list(self.pager.requests))]

    def has_told(self, messages: int) -> bool:
        """Whether so many messages were delivered on each service, and written down."""
        with self.database.read() as connection:
            channels = [delivery.channel for delivery in alert_queries.by_status(connection, DELIVERED)]
        return channels.count("slack") == channels.count("pager") == messages

    def colours(self) -> list[str]:
        """The colours of what Slack heard."""
        return [item["color"] for heard in map(_json, list(self.slack.requests)) for item in heard["attachments"]]


def _json(request: Any) -> Any:
    return request.json()


@contextmanager
def _told(home: Path, slack: ScriptedServer, pager: ScriptedServer) -> Iterator[Story]:
    rule = {"min_samples": 10, "for": "1s", "keep_firing_for": "1s", "severity": "critical", "group_by": "agent"}
    section = {
        "alerts": {"success-rate": rule},
        "channels": {"pager": {"type": "pagerduty", "routing_key": "${KEY}", "url": pager.url}},
        "schedule": {"alerts": "1s", "ingest": "1s"},
    }
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    told = Story(home, slack, pager)
    with told.stack:
        yield told
    told.database.close()


@pytest.fixture
def story(home: Path) -> Iterator[Story]:
    """A home that watches its success rate, with both services well."""
    with scripted([200]) as slack, scripted([202]) as pager, _told(home, slack, pager) as told:
        yield told


Chapter = Callable[[Story], None]


def quiet(_: Story) -> None:
    """Nothing happens between two chapters."""


def killed(told: Story) -> None:
    """The scheduler is killed and started again."""
    told.kill()
    told.start()


@pytest.mark.parametrize("between", [*thorough(quiet), killed])
def test_a_bad_hour_is_told_once_and_its_end_once(story: Story, between: Chapter, run: Run) -> None:
    """Good executions: silence. Bad ones: one page on each service, however often it is evaluated. Good ones again:
    one end on each, with the key of the page. The name of the agent does nothing anywhere."""
    story.start()
    story.record(20, success=True)
    story.rounds(3)
    assert story.pages() == []
    between(story)
    story.record(20, success=False)
    eventually(lambda: story.has_told(1))
    between(story)
    story.rounds(4)
    assert [action for action, _ in story.pages()] == ["trigger"]
    assert story.colours() == ["danger"]
    between(story)
    story.record(1000, success=True)
    eventually(lambda: story.has_told(2))
    between(story)
    story.rounds(3)
    (first, key), (second, other) = story.pages()
    assert (first, second, key) == ("trigger", "resolve", other)
    assert story.colours() == ["danger", "good"]
    for server in (story.slack, story.pager):
        said = b"".join(request.body for request in server.requests)
        assert b"HYPERLINK" in said
        assert b"\\u001b" not in said
        assert b"\\u0007" not in said
    assert b"<!" not in b"".join(request.body for request in story.slack.requests)
    events = json.loads(run("alerts", "history", "--json").stdout)["events"]
    assert [event["to"] for event in events] == ["resolved", "firing", "pending"]


def test_a_page_survives_a_kill_between_sending_and_writing_down(home: Path) -> None:
    """The scheduler is killed while PagerDuty has the page and before it has answered. The next scheduler sends it
    again with the same key, once, and the end follows."""
    with scripted([202]) as slack, scripted(["hang", 202]) as pager, _told(home, slack, pager) as story:
        story.record(20, success=False)
        story.start()
        eventually(story.pages)
        story.kill()
        story.hurry()
        story.start()
        eventually(lambda: len(story.pages()) == 2)
        story.record(1000, success=True)
        eventually(lambda: len(story.pages()) == 3)
        story.rounds(2)
        assert [action for action, _ in story.pages()] == ["trigger", "trigger", "resolve"]
        assert len({key for _, key in story.pages()}) == 1
        with story.database.read() as connection:
            assert {delivery.status for delivery in alert_queries.by_status(connection, "delivered")} == {"delivered"}
            assert alert_queries.by_status(connection, "waiting") == []


def test_services_that_are_down_hear_of_it_when_they_are_back(home: Path) -> None:
    """Both services fail at first; the page reaches each of them once they answer, and then once only."""
    faults: list[int | str] = [500, "reset", 503]
    with scripted([*faults, 200]) as slack, scripted([*faults, 202]) as pager, _told(home, slack, pager) as story:
        story.record(20, success=False)
        story.start()
        eventually(lambda: story.failing() == {"pager", "slack"})
        eventually(lambda: story.hurry() and story.has_told(1))
        story.rounds(2)
        assert (len(story.pages()), len(story.slack.requests)) == (4, 4)
        assert len({key for _, key in story.pages()}) == 1
