"""Alerts from start to end with the installed program: executions start to fail and recover. Each service gets one
trigger and one resolve, even when the scheduler is killed in between."""

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
    """The home, its database, the two services, and a scheduler that can be killed and restarted."""

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
        """Kill the scheduler with SIGKILL, so that it cannot prepare."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def record(self, executions: int, *, success: bool) -> None:
        """Record executions as an agent would."""
        with PerformanceTracker() as tracker:
            for _ in range(executions):
                tracker.record_execution(HOSTILE, "t", success, 100, "claude-haiku-4-5", 10, 5)

    def evaluate(self, number: int) -> None:
        """Wait until alerts have been evaluated this many more times."""
        for _ in range(number):
            before = last(self.database, "alerts")
            eventually(lambda before=before: self._is_later(before))  # type: ignore[misc]

    def _is_later(self, before: JobRun | None) -> bool:
        found = last(self.database, "alerts")
        return found is not None and found != before

    def failing(self) -> set[str]:
        """The channels with a waiting delivery that has failed at least once."""
        with self.database.read() as connection:
            return {delivery.channel for delivery in alert_queries.by_status(connection, "waiting") if delivery.problem}

    def make_due(self) -> bool:
        """Make every waiting delivery due now, without the delay after a failure or a kill."""
        with self.database.write() as connection:
            connection.execute("UPDATE deliveries SET due_us = 0 WHERE status = 'waiting'")
        return True

    def events(self) -> list[tuple[str, str]]:
        """The action and key of each event that PagerDuty received."""
        return [(event["event_action"], event["dedup_key"]) for event in map(_json, list(self.pager.requests))]

    def has_delivered(self, messages: int) -> bool:
        """Whether each service has this many deliveries stored as delivered."""
        with self.database.read() as connection:
            channels = [delivery.channel for delivery in alert_queries.by_status(connection, DELIVERED)]
        return channels.count("slack") == channels.count("pager") == messages

    def colors(self) -> list[str]:
        """The colors of the messages that Slack received."""
        return [item["color"] for event in map(_json, list(self.slack.requests)) for item in event["attachments"]]


def _json(request: Any) -> Any:
    return request.json()


@contextmanager
def _story(home: Path, slack: ScriptedServer, pager: ScriptedServer) -> Iterator[Story]:
    rule = {"min_samples": 10, "for": "1s", "keep_firing_for": "1s", "severity": "critical", "group_by": "agent"}
    section = {
        "alerts": {"success-rate": rule},
        "channels": {"pager": {"type": "pagerduty", "routing_key": "${KEY}", "url": pager.url}},
        "schedule": {"alerts": "1s", "ingest": "1s"},
    }
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    found = Story(home, slack, pager)
    with found.stack:
        yield found
    found.database.close()


@pytest.fixture
def story(home: Path) -> Iterator[Story]:
    """A home with an alert on its success rate. Both services answer."""
    with scripted([200]) as slack, scripted([202]) as pager, _story(home, slack, pager) as found:
        yield found


Step = Callable[[Story], None]


def quiet(_: Story) -> None:
    """Nothing happens between two steps."""


def killed(found: Story) -> None:
    """The scheduler is killed and restarted."""
    found.kill()
    found.start()


@pytest.mark.parametrize("between", [*thorough(quiet), killed])
def test_a_failing_hour_is_notified_once_and_resolved_once(story: Story, between: Step, run: Run) -> None:
    """Successful executions send nothing. Failed ones send one trigger to each service, no matter how many evaluations
    follow. Successful ones send one resolve with the same key. A hostile agent name has no effect anywhere."""
    story.start()
    story.record(20, success=True)
    story.evaluate(3)
    assert story.events() == []
    between(story)
    story.record(20, success=False)
    eventually(lambda: story.has_delivered(1))
    between(story)
    story.evaluate(4)
    assert [action for action, _ in story.events()] == ["trigger"]
    assert story.colors() == ["danger"]
    between(story)
    story.record(1000, success=True)
    eventually(lambda: story.has_delivered(2))
    between(story)
    story.evaluate(3)
    (first, key), (second, other) = story.events()
    assert (first, second, key) == ("trigger", "resolve", other)
    assert story.colors() == ["danger", "good"]
    for server in (story.slack, story.pager):
        received = b"".join(request.body for request in server.requests)
        assert b"HYPERLINK" in received
        assert b"\\u001b" not in received
        assert b"\\u0007" not in received
    assert b"<!" not in b"".join(request.body for request in story.slack.requests)
    events = json.loads(run("alerts", "history", "--json").stdout)["events"]
    assert [event["to"] for event in events] == ["resolved", "firing", "pending"]


@pytest.mark.thorough
def test_an_event_is_resent_after_a_kill_between_sending_and_storing(home: Path) -> None:
    """The scheduler is killed after PagerDuty received the event and before it answered. The next scheduler sends the
    event once more with the same key, and resolves it later."""
    with scripted([202]) as slack, scripted(["hang", 202]) as pager, _story(home, slack, pager) as story:
        story.record(20, success=False)
        story.start()
        eventually(story.events)
        story.kill()
        story.make_due()
        story.start()
        eventually(lambda: len(story.events()) == 2)
        story.record(1000, success=True)
        eventually(lambda: len(story.events()) == 3)
        story.evaluate(2)
        assert [action for action, _ in story.events()] == ["trigger", "trigger", "resolve"]
        assert len({key for _, key in story.events()}) == 1
        with story.database.read() as connection:
            assert {delivery.status for delivery in alert_queries.by_status(connection, "delivered")} == {"delivered"}
            assert alert_queries.by_status(connection, "waiting") == []


def test_services_that_were_down_get_the_event_once(home: Path) -> None:
    """Both services fail at first. Each gets the event once it answers, and only once."""
    faults: list[int | str] = [500, "reset", 503]
    with scripted([*faults, 200]) as slack, scripted([*faults, 202]) as pager, _story(home, slack, pager) as story:
        story.record(20, success=False)
        story.start()
        eventually(lambda: story.failing() == {"pager", "slack"})
        eventually(lambda: story.make_due() and story.has_delivered(1))
        story.evaluate(2)
        assert (len(story.events()), len(story.slack.requests)) == (4, 4)
        assert len({key for _, key in story.events()}) == 1
