"""Labels of runs, from the command line to a comparison: by `claude-force run`, by a program that records itself, and
by the environment."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from claude_force import PerformanceTracker, agent_options
from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.queries.run_labels import labels_of_runs
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.database.writes import Store
from claude_force.database.writes.run_labels import add_run_labels
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.errors import InvalidRecord
from claude_force.executions.run_labels import RunLabel
from tests.acceptance.test_bad_usage import assert_misused
from tests.acceptance.test_run_command import JSON_OUTPUT, TELEMETRY, result_of, run_program, stored_runs
from tests.acceptance.test_sdk_programs import CALL, packages
from tests.acceptance.test_sdk_programs import run as run_sdk_program
from tests.builders import NOON_US, an_execution
from tests.conftest import PROGRAM, ROOT, Run
from tests.results import SESSION

__all__ = ["packages"]

ODD = "новый prompt, 100% = 'ü'|*"


def database_file(home: Path) -> Path:
    """The store of the user."""
    return home / ".claude" / "metrics" / "metrics.db"


def tokens(home: Path, label: str) -> list[int]:
    """The input tokens of the executions with a label."""
    with closing(open_database(str(database_file(home)))) as database:
        found = list(queries.iterate(database, Filter(run_labels=(label,))))
    return sorted(one.input_tokens or 0 for one in found)


def test_a_resumed_session_has_the_labels_of_its_runs(home: Path) -> None:
    """Each run has its own executions, also if it fails, and one without a label has none of theirs. Without the option
    it is the label of the environment. The exit code of the program stays."""
    for number, options, given, code in (
        (1, ("--label", "old-prompt"), {}, 0), (2, (), {"CLAUDE_FORCE_LABEL": ODD}, 37), (3, (), {}, 0),
    ):  # fmt: skip
        program = f"respond('{SESSION}', {number}); sys.exit({code})"
        assert run_program(program, options=options, env=os.environ | given).returncode == code
    assert (tokens(home, "old-prompt"), tokens(home, ODD)) == ([11], [12])
    runs = stored_runs(home)
    with open_database(str(database_file(home))).read() as connection:
        found = labels_of_runs(connection, [stored.run_id for stored in runs])
    assert sorted((found.get(stored.run_id, ""), stored.exit_code) for stored in runs) == [
        ("", 0), ("old-prompt", 0), (ODD, 37),
    ]  # fmt: skip


def test_a_result_that_is_all_that_is_known_has_the_label_of_its_run(home: Path, run: Run) -> None:
    """It is an execution of the moment at which it is read."""
    del home
    run_program(result_of(SESSION, 1.0), *JSON_OUTPUT, options=("--label", "a"))
    assert json.loads(run("summary", "--label", "a", "--json").stdout)["total_cost"] == 1.0


def test_a_run_without_a_database_keeps_its_label(home: Path, run: Run) -> None:
    """Until the database takes it, as the executions of its session."""
    database_file(home).parent.mkdir(parents=True, exist_ok=True)
    database_file(home).write_text("no database")
    done = run_program(result_of(SESSION, 1.0), *JSON_OUTPUT, options=("--label", "kept"), text=True)
    assert "this run is not recorded" in done.stderr
    database_file(home).unlink()
    assert run("ingest").returncode == 0
    with open_database(str(database_file(home))).read() as connection:
        sql = "SELECT label FROM run_labels WHERE session = :session"
        assert connection.fetch(sql, {"session": SESSION}) == [("kept",)]


def test_the_program_gets_the_label(home: Path) -> None:
    """In the environment, for what records itself, and as an attribute of its telemetry."""
    del home
    found = json.loads(run_program(TELEMETRY, options=("--label", ODD), text=True).stdout)
    assert found["CLAUDE_FORCE_LABEL"] == ODD
    assert found["OTEL_RESOURCE_ATTRIBUTES"].endswith(
        ",label=%D0%BD%D0%BE%D0%B2%D1%8B%D0%B9%20prompt%2C%20100%25%20%3D%20%27%C3%BC%27%7C%2A"
    )


def test_a_label_that_is_not_valid_runs_nothing(run: Run) -> None:
    """One line says what is valid."""
    done = run("run", "--label", "a\nb", "--", "touch", "begun")
    assert_misused(done, "--label: use 1 to 200 printable characters, the first of them not a dash")
    assert not Path("begun").exists()


@pytest.mark.parametrize("label", [b"a\nb", b"\xff", b"-x", b"x" * 201])
def test_a_label_of_the_environment_that_is_not_valid_stops_no_program(label: bytes, run: Run) -> None:
    """The run has no label, and one line says why."""
    done = run("run", "--", "sh", "-c", "echo ran; exit 7", env={"CLAUDE_FORCE_LABEL": os.fsdecode(label)})
    assert (done.returncode, done.stdout) == (7, "ran\n")
    assert done.stderr.startswith("claude-force: the run has no label: CLAUDE_FORCE_LABEL: use 1 to 200 printable")
    assert len(done.stderr.splitlines()) == 2


def test_calls_of_the_sdk_have_the_label_of_their_run(packages: Path, home: Path) -> None:
    """A program that names its own has that one, and is in the same run."""
    options = (str(PROGRAM), "run", "--label", "of-run", "--")
    done = run_sdk_program(packages, CALL, *options)
    assert "1 request" in done.stderr
    assert tokens(home, "of-run") == [12]
    own = f"import claude_force\nclaude_force.instrument(label='its-own')\n{CALL}"
    assert "1 request" in run_sdk_program(packages, own, *options).stderr
    assert tokens(home, "its-own") == [12]


def test_a_tracker_has_a_label(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own, else that of the environment. One that is not valid is an error as an argument, but not there."""
    for number, label in enumerate((ODD, None, None)):
        monkeypatch.setenv("CLAUDE_FORCE_LABEL", "bad\n" if number == 2 else "of-environment")
        with PerformanceTracker(label=label) as tracker:
            tracker.record_execution("a", "t", input_tokens=number, output_tokens=1, workflow_id="w")
    assert (tokens(home, ODD), tokens(home, "of-environment")) == ([0], [1])
    assert run("summary", "--json").stdout.count('"total_executions": 3') == 1
    with pytest.raises(InvalidRecord):
        PerformanceTracker(label="")


def test_a_tracker_without_a_database_keeps_its_label(home: Path, run: Run) -> None:
    """Beside the executions, until the database takes both."""
    database_file(home).parent.mkdir(parents=True)
    database_file(home).write_text("no database")
    with PerformanceTracker(label="kept") as tracker, pytest.warns(RuntimeWarning, match="executions wait in"):
        tracker.record_execution("a", "t", input_tokens=5, output_tokens=1)
    database_file(home).unlink()
    assert run("ingest").returncode == 0
    assert tokens(home, "kept") == [5]


def test_agents_of_the_agent_sdk_have_a_label(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As an attribute of their telemetry. One that is not valid is left out with a warning."""
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    assert agent_options(label="a b")["env"]["OTEL_RESOURCE_ATTRIBUTES"] == "label=a%20b"
    monkeypatch.setenv("CLAUDE_FORCE_LABEL", "c")
    assert agent_options()["env"]["OTEL_RESOURCE_ATTRIBUTES"] == "label=c"
    for label in ("a\nb", "\udcff", "x" * 201):
        monkeypatch.setenv("CLAUDE_FORCE_LABEL", label)
        assert "OTEL_RESOURCE_ATTRIBUTES" not in agent_options()["env"]
    assert caplog.text.count("label: use 1 to 200 printable characters") == 3
    # Names that are no text (UTF-8) raise nothing either.
    assert agent_options(agent="a\udcff")["env"]["OTEL_RESOURCE_ATTRIBUTES"] == "agent=a%3F"


def record(home: Path, label: str, *, slower: float = 1.0, count: int = 100) -> None:
    """Record executions of one run with a label, half a year ago."""
    database = open_database(str(database_file(home)))
    Store(database).add(
        an_execution(timestamp_us=NOON_US, workflow_id=label, duration_us=round(slower * (10**6 + number * 10**4)))
        for number in range(count)
    )
    with database.write() as connection:
        add_run_labels(connection, [RunLabel(label, label, label, NOON_US, NOON_US)])
    database.close()


def test_a_comparison_fails_a_build(home: Path, run: Run) -> None:
    """With 1 for a label that is worse, whenever it ran, and as often as it is asked; with 0 for one that is not, or
    where there is too little, which is said; with 2 where nothing could be compared."""
    record(home, "old|prompt")
    record(home, "same")
    record(home, "slow", slower=2)
    record(home, "few", slower=2, count=9)
    against = ("--against", "old|prompt")
    good = run("baseline", "check", "--label", "same", *against)
    assert (good.returncode, good.stderr) == (0, "")
    assert "Baseline: old|prompt (100 executions of 1 run)\nCurrent: same (100 executions of 1 run)\n" in good.stdout
    assert "Too few to tell, so not compared: Cost Per Run." in good.stdout
    bad, again = (run("baseline", "check", "--label", "slow", *against, "--format", "markdown") for _ in range(2))
    assert bad.returncode == again.returncode == 1
    table = bad.stdout.partition("**Why**")[0]
    assert table == again.stdout.partition("**Why**")[0]
    assert "| Average Execution Time | 1,495 ms | 2,990 ms | +100.0% | regressed |\n" in table
    assert "old\\|prompt" in table
    few = run("baseline", "check", "--label", "few", *against, "--json")
    found = json.loads(few.stdout)
    assert (few.returncode, found["verdict"], found["labels"][1]["executions"]) == (0, "not enough data", 9)
    assert "Too few to tell: nothing was compared" in run("baseline", "check", "--label", "few", *against).stdout
    for arguments, problem in (
        (("--label", "same", "--against", "odl"), "no label odl in the store"),
        (("--label", "same", *against, "--days", "1"), "no executions with the label old|prompt in the period"),
        (("--label", "same", *against, "--baseline", "x"), "--against and --baseline cannot be combined"),
        (against, "--against needs the label that is compared: --label"),
    ):
        failed = run("baseline", "check", *arguments)
        assert problem in failed.stderr
        assert failed.returncode == (1 if "odl" in problem else 2)


def test_the_comparison_of_the_page(home: Path, run: Run) -> None:
    """It is what the program prints for two prompts, of which the new one asks twice as often."""
    database = open_database(str(database_file(home)))
    for label, requests, failing in (("old-prompt", 3, 1), ("new-prompt", 6, 2)):
        for number in range(40):
            start_us, name = NOON_US + number * DAY_US, f"{label}-{number}"
            Store(database).add(
                an_execution(
                    timestamp_us=start_us + place,
                    workflow_id=name,
                    duration_us=2_000_000 + 50_000 * number,
                    cost_nanousd=None if (number, place) == (7, 0) else 4_000_000 + 100_000 * number,
                )
                for place in range(requests)
            )
            with database.write() as connection:
                ended = HeadlessRun(
                    name, name, None, None, None, start_us, 9, 0, int(number >= failing), None, None, None
                )
                add_headless_run(connection, ended)
                add_run_labels(connection, [RunLabel(name, name, label, start_us, start_us + 9)])
    database.close()
    done = run("baseline", "check", "--label", "new-prompt", "--against", "old-prompt")
    shown, _, _ = done.stdout.rpartition("\n\nRead ")
    page = (ROOT / "docs" / "how-to" / "compare-prompts.md").read_text(encoding="utf-8")
    assert f"```text\n{shown}\n```" in page, shown
    assert done.returncode == 1
