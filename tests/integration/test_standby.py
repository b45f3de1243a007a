"""The primary of a PostgreSQL server is lost, and a standby takes over."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC
from pathlib import Path

import pytest

from claude_force.database.open import open_database
from claude_force.database.postgres import values
from claude_force.database.queries import verify_rollups
from claude_force.database.writes import Store
from claude_force.errors import DatabaseReadOnly, DatabaseUnavailable
from claude_force.executions.jsonl.codec import encode_line
from claude_force.exporters import queue
from claude_force.exporters.team.push import KIND
from claude_force.exporters.team.recipients import TeamStore
from claude_force.performance_tracker import PerformanceTracker
from tests.builders import NOON_US, an_execution
from tests.conftest import Run
from tests.counterparts import scripted
from tests.daemons import eventually, is_up, last, scheduler
from tests.standbys import Pair, running_pair
from tests.teams import Laptop

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("postgres_server")]

RECORDERS = 4

_RECORDER = """
import itertools, pathlib, sys
from claude_force.performance_tracker import PerformanceTracker

name, stop = sys.argv[1], pathlib.Path("stop")
with PerformanceTracker() as tracker, open(f"{name}.recorded", "w", buffering=1) as recorded:
    for number in itertools.takewhile(lambda _: not stop.exists(), itertools.count()):
        workflow = f"{name}-{number}"
        tracker.record_execution("a", "t", number % 2 == 0, 9, "claude-haiku-4-5", 10, 5, workflow_id=workflow)
        recorded.write(f"{workflow}\\n")
"""


@contextmanager
def recording(home: Path) -> Iterator[None]:
    """Processes that record one execution after the other, and list those that were taken."""
    with ExitStack() as stack:
        for number in range(RECORDERS):
            command = [sys.executable, "-W", "ignore", "-c", _RECORDER, str(number)]
            stack.enter_context(subprocess.Popen(command, cwd=home))
        try:
            yield
        finally:
            (home / "stop").touch()


def recorded(home: Path) -> list[str]:
    """What the recording processes list."""
    return [line for number in range(RECORDERS) for line in (home / f"{number}.recorded").read_text().split()]


def test_nothing_that_was_recorded_is_lost(home: Path, run: Run) -> None:
    """Processes record while a synchronous standby takes over: each execution is there once, and every sum is right.
    One scheduler has the role afterwards, and an alert that was sent is not sent again."""
    with scripted([202]) as pager, running_pair(is_synchronous=True) as pair, ExitStack() as stack:
        rule = {"min_samples": 10, "for": "1s", "keep_firing_for": "1h", "severity": "critical", "group_by": "agent"}
        section = {
            "database": pair.url,
            "alerts": {"success-rate": rule},
            "channels": {"pager": {"type": "pagerduty", "routing_key": "${KEY}", "url": pager.url}},
            "schedule": {"alerts": "1s"},
        }
        (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
        database = stack.enter_context(closing(open_database(pair.url)))
        with recording(home):
            one = stack.enter_context(scheduler(pair.url, home, KEY="k" * 32))
            eventually(lambda: pager.requests)
            pair.fail_over()
            before = len(recorded(home))
            two = stack.enter_context(scheduler(pair.url, home, KEY="k" * 32))
            eventually(lambda: len(recorded(home)) > before + 50)
            # One of them ends, whichever was later.
            eventually(lambda: any(each.poll() is not None for each in (one, two)))
            has_role, has_not = (one, two) if one.poll() is None else (two, one)
            assert has_not.returncode == 1
            assert has_not.communicate()[1].splitlines()[-1].startswith("error: postgresql://")
            eventually(lambda: is_up(database, has_role))
            checked = last(database, "alerts")
            eventually(lambda: last(database, "alerts") != checked)
        assert run("ingest").returncode == 0
        found = Counter(row[0] for row in pair.standby.ask("SELECT workflow FROM executions_v1"))
        assert found == Counter(recorded(home))
        with database.read() as connection:
            assert verify_rollups.differences(connection) == []
        assert has_role.poll() is None
        assert len(pager.requests) == 1


def test_what_an_asynchronous_standby_did_not_get(home: Path, run: Run) -> None:
    """It is lost with the primary. Files are read again, since how far they were read is lost as well; a laptop sends
    again what it is told to forget; what was recorded into the primary alone stays lost."""
    with running_pair(is_synchronous=False) as pair, closing(open_database(pair.url)) as team:
        laptop = Laptop(home, "ada", TeamStore(team))
        laptop.store.add([an_execution(timestamp_us=NOON_US, agent_name="sent")])
        laptop.push()
        source = home / "executions.jsonl"
        _append(source, "read")
        run("ingest", source, "--db", pair.url)
        pair.replicate()
        pair.standby.kill()
        laptop.store.add([an_execution(timestamp_us=NOON_US + 1, agent_name="sent")])
        assert laptop.push().counts["added"] == 1
        _append(source, "read")
        run("ingest", source, "--db", pair.url)
        Store(team).add([an_execution(timestamp_us=NOON_US + 2, agent_name="recorded")])
        pair.primary.kill()
        pair.standby.start()
        pair.standby.promote()
        assert agents(pair) == {"sent": 1, "read": 1}
        assert run("ingest", source, "--db", pair.url).returncode == 0
        assert sum(laptop.push().counts.values()) == 0
        assert agents(pair) == {"sent": 1, "read": 2}
        queue.forget(laptop.database, KIND)
        counts = laptop.push().counts
        assert (counts["added"], counts["known"]) == (1, 1)
        assert agents(pair) == {"sent": 2, "read": 2}


def _append(file: Path, agent: str) -> None:
    """Append an execution to a file."""
    with file.open("ab") as lines:
        lines.write(encode_line(an_execution(agent_name=agent), UTC) + b"\n")


def agents(pair: Pair) -> dict[str, int]:
    """How many executions each agent has at the new primary."""
    return dict(pair.standby.ask("SELECT agent, COUNT(*) FROM executions_v1 GROUP BY agent"))


def test_a_commit_that_no_standby_confirms(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A primary without its synchronous standby never answers. Who records waits for a while, and the execution for a
    later call; once the standby is back, it is there once."""
    with running_pair(is_synchronous=True) as pair, closing(open_database(pair.url)) as database:
        Store(database).add([an_execution(timestamp_us=NOON_US)])
        pair.standby.kill()
        with monkeypatch.context() as limited:
            limited.setattr(values, "COMMIT_S", 2.0)
            for numbers in ([1], [2, 3]):
                with pytest.raises(DatabaseUnavailable, match="waits for its standby"):
                    Store(database).add([an_execution(timestamp_us=NOON_US + number) for number in numbers])
            with PerformanceTracker(database=pair.url) as tracker, pytest.warns(RuntimeWarning, match="wait in"):
                tracker.record_execution(
                    "a", model="claude-haiku-4-5", input_tokens=1, output_tokens=1, workflow_id="w"
                )
        pair.standby.start()
        assert run("import", "--db", pair.url).returncode == 0
        assert pair.primary.ask("SELECT COUNT(*) FROM executions_v1 WHERE workflow = 'w'") == [(1,)]


def test_a_standby_only_reads(home: Path, run: Run) -> None:
    """Reports answer from it. What would write is refused in one line that names the remedy."""
    with running_pair(is_synchronous=False) as pair:
        with closing(open_database(pair.url)) as database:
            Store(database).add([an_execution(timestamp_us=NOON_US)])
        pair.replicate()
        at = pair.standby.url()
        report = run("summary", "--days", "3650", "--json", "--no-ingest", "--db", at)
        assert json.loads(report.stdout)["total_executions"] == 1
        assert run("summary", "--days", "3650", "--json", "--db", at).returncode == 0
        _append(home / "new.jsonl", "a")
        for words in ("ingest new.jsonl", "scheduler run alerts", "scheduler start"):
            refused = run(*words.split(), "--db", at)
            assert refused.returncode == 1, words
            (line,) = refused.stderr.splitlines()[-1:]
            assert "only reads" in line, words
            assert "target_session_attrs=read-write" in line, words
        with closing(open_database(at)) as standby, pytest.raises(DatabaseReadOnly):
            Store(standby).add([an_execution(timestamp_us=NOON_US + 1)])
        pair.primary.kill()
        gone = run("summary", "--no-ingest", "--db", pair.url)
        assert gone.returncode == 1
        (line,) = gone.stderr.splitlines()
        assert pair.primary.address.rpartition(":")[2] in line
        assert "read-only" in line
