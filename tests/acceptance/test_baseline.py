"""Baselines and the regression check in CI, as the guide shows them, with the installed program."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from claude_force import clock
from claude_force.analytics.baselines import create_automatic
from claude_force.analytics.baselines.rules import NOT_ENOUGH
from claude_force.clock import DAY_US
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.acceptance.test_bad_usage import HOSTILE, assert_misused
from tests.builders import an_execution
from tests.conftest import ROOT, Run
from tests.unit.test_baseline_parse import GUIDE

FORMATS = ("table", "json", "markdown", "junit", "github")
OK_LINE = "✅ No performance regressions detected"
REGRESSED_LINE = "⚠️  Performance Regressions Detected:"


def record(home: Path, days_ago: float, count: int = 200, slower: float = 1.0, **changes: Any) -> None:
    """Record executions that started `days_ago` days ago. They take about four seconds and cost a quarter of a cent
    each."""
    start_us = clock.now_us() - round(days_ago * DAY_US)
    Store(open_database(str(home / ".claude" / "metrics" / "metrics.db"))).add(
        an_execution(
            timestamp_us=start_us + number * 1_000_000,
            **{
                "duration_us": round(slower * (2_000_000 + 4_000_000 * (number % 50) / 49)),
                "cost_nanousd": 2_000_000 + 10_000 * (number % 50),
                **changes,
            },
        )
        for number in range(count)
    )


def test_the_walkthrough_of_the_guide(home: Path, run: Run) -> None:
    """The check exits 0 for an unchanged day and 1 for a slower one, with the guide's messages."""
    record(home, 10)
    made = run("baseline", "create", "release-1")
    assert (made.returncode, made.stdout.split(",")[0]) == (0, "baseline release-1: 200 executions")
    record(home, 0.9)
    good = run("baseline", "check")
    assert (good.returncode, good.stderr) == (0, "")
    assert OK_LINE in good.stdout
    assert all(len(line) <= 80 for line in good.stdout.splitlines())
    record(home, 0.5, slower=2)
    bad = run("baseline", "check", "--hours", "13")
    assert bad.returncode == 1
    assert (
        f"{REGRESSED_LINE}\n\n  Average Execution Time:\n    Baseline: 4,000 ms\n    Current: 8,000 ms\n" in bad.stdout
    )
    assert "    Degradation: 100.0%\n" in bad.stdout
    assert run("baseline", "check", "--hours", "13", "--threshold", "2.5").returncode == 0


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "-08:00"])
def test_an_end_that_is_a_day_is_shown_as_that_day(home: Path, run: Run, zone: str) -> None:
    """In every place that shows a baseline: tables, Markdown, JSON, a check and the HTML page."""
    record(home, 40)
    today = clock.to_datetime(clock.now_us(), clock.zone_of(zone)).date()
    first, last = (str(today - timedelta(days=days)) for days in (60, 30))
    local = ("--timezone", zone)
    shown = [
        run("baseline", "create", "autumn", "--since", first, "--until", last, *local).stdout,
        run("baseline", "list", *local).stdout,
        run("baseline", "show", "autumn", *local).stdout,
        run("baseline", "show", "autumn", "--output", "shown.md", *local).stderr + Path("shown.md").read_text(),
        run("baseline", "check", "--baseline", "autumn", "--allow-empty", *local).stdout,
    ]
    listed = json.loads(run("baseline", "list", "--json", *local).stdout)["baselines"][0]
    found = json.loads(run("baseline", "show", "autumn", "--json", *local).stdout)
    shown += [f"{one['first_day']} to {one['last_day']}" for one in (listed, found)]
    assert found["period"] == f"{first} to {last}"
    for text in shown:
        assert re.search(rf"{first}(?: to |\s+){last}\b", text)
        assert str(date.fromisoformat(last) + timedelta(days=1)) not in text


def test_the_script_of_the_guide_checks_a_baseline_file(home: Path) -> None:
    """It reads baseline.json in the working folder. The guide's example is valid. A missing file is a usage error."""

    def script(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / "check_regressions.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"TZ": "UTC"})

    record(home, 0.5)
    missing = script()
    assert_misused(missing, "there is no file baseline.json; create one: claude-force analytics summary --days 30")
    (home / "baseline.json").write_text(json.dumps(GUIDE), encoding="utf-8")
    good = script()
    assert (good.returncode, good.stderr) == (0, "")
    assert OK_LINE in good.stdout
    record(home, 0.4, 400, slower=3)
    bad = script()
    assert bad.returncode == 1
    assert f"{REGRESSED_LINE}\n\n  Average Execution Time:\n    Baseline: 4,123 ms\n" in bad.stdout
    assert script("--threshold", "9").returncode == 0


def test_the_summary_is_a_baseline_file(home: Path, run: Run) -> None:
    """The file that the guide's command writes is accepted by a check."""
    record(home, 10)
    run("analytics", "summary", "--days", "30", "--output", "baseline.json")
    record(home, 0.5)
    assert run("baseline", "check", "--baseline", "baseline.json").returncode == 0
    record(home, 0.4, slower=3)
    assert run("baseline", "check", "--baseline", "baseline.json", "--hours", "10").returncode == 1


def test_a_shown_baseline_is_the_same_as_a_file(home: Path, run: Run) -> None:
    """`show --json` has the guide's keys first. A check against the file equals one against the name."""
    record(home, 10, agent_name="a")
    record(home, 10, agent_name="b", slower=5)
    run("baseline", "create", "of-a", "--agent", "a")
    shown = run("baseline", "show", "of-a", "--json", "--output", "a.json")
    assert (shown.returncode, shown.stdout) == (0, "")
    found = json.loads((home / "a.json").read_text(encoding="utf-8"))
    assert list(found)[: len(GUIDE)] == list(GUIDE)
    assert json.loads(run("baseline", "show", "of-a", "--json").stdout) == found
    assert "Of: agent a" in run("baseline", "show", "of-a").stdout
    record(home, 0.5, agent_name="a", slower=2)
    by_name, by_file = (
        json.loads(run("baseline", "check", "--baseline", name, "--json").stdout) for name in ("of-a", "a.json")
    )
    assert by_name["verdict"] == by_file["verdict"] == "regressed"
    assert by_name["metrics"] == by_file["metrics"]
    assert by_name["filters"] == by_file["filters"] == {"agent": ["a"]}


def test_too_few_executions_do_not_fail_a_build(home: Path, run: Run) -> None:
    """The exit code is 0, and the output says what is missing instead of "no regressions"."""
    record(home, 10)
    run("baseline", "create")
    record(home, 0.5, 29, slower=9, success=False, error_type="TimeoutError")
    done = run("baseline", "check")
    assert done.returncode == 0
    assert "Not enough data: nothing was compared" in done.stdout
    assert "the period has 29 timed executions; 30 are needed" in done.stdout
    assert OK_LINE not in done.stdout


def test_an_overlapping_baseline_is_used_with_a_note(home: Path, run: Run) -> None:
    """A check directly after `create` therefore works."""
    record(home, 0.5)
    run("baseline", "create")
    done = run("baseline", "check")
    assert (done.returncode, "The baseline overlaps the period" in done.stdout) == (0, True)


def test_every_format_has_the_same_verdict(home: Path, run: Run) -> None:
    """All formats have the same exit code. The suffix of an output file sets its format."""
    record(home, 10)
    run("baseline", "create", "b")
    record(home, 0.5, success=False, error_type="TimeoutError")
    outputs = {form: run("baseline", "check", "--format", form) for form in FORMATS}
    assert {done.returncode for done in outputs.values()} == {1}
    assert {metric["metric"] for metric in json.loads(outputs["json"].stdout)["metrics"]} <= set(GUIDE)
    suite = Xml.fromstring(outputs["junit"].stdout)[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "0")
    assert [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None] == ["Success Rate"]
    lines = outputs["github"].stdout.splitlines()
    assert [line.split(" ")[0] for line in lines[:4]] == ["::notice", "::notice", "::error", "::notice"]
    assert lines[2].startswith("::error title=Success Rate%3A regressed::baseline 100.0%25, current 0.0%25 (-100.0pp)")
    assert "| Success Rate | 100.0% | 0.0% | -100.0pp | regressed |" in outputs["markdown"].stdout
    for name, form in (("r.xml", "junit"), ("r.json", "json"), ("r.md", "markdown"), ("r.txt", "table")):
        assert run("baseline", "check", "--output", name).returncode == 1
        written = (home / name).read_text(encoding="utf-8")
        assert without_age(written) == without_age(outputs[form].stdout)


def without_age(text: str) -> str:
    """An output without how old it is."""
    return re.sub(r'"data": \{[^}]*\}|^Read .* ago\.$|^Read just now\.$', "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names_are_inert_in_every_format(form: str, home: Path, run: Run) -> None:
    """They add no control character, line, GitHub command or markup. XML and JSON stay valid."""
    names = [*HOSTILE[:-1:6], "a\r\n::error title=owned::x", "%0A::error::x", "]]>&<x/>", "\ufffe"]
    for name in names:
        record(home, 0.5, 40, agent_name=name)
    run("baseline", "create", "b")
    for name in names:
        run("baseline", "create", "b", f"--agent={name}")
        done = run("baseline", "check", f"--agent={name}", "--format", form)
        assert (done.returncode, done.stderr) == (0, ""), name
        # JSON keeps names unchanged, but escapes line ends and control characters.
        assert re.search(r"[\0-\x09\x0b-\x1f]" if form == "json" else r"[^\n -~\u00a0-\U0010ffff]", done.stdout) is None
        assert not any(line.startswith(("::error", "##[")) for line in done.stdout.splitlines())
        if form == "junit":
            assert len(Xml.fromstring(done.stdout)[0].findall("testcase")) == 4
        if form == "json":
            assert json.loads(done.stdout)["filters"] == {"agent": [name]}
        if form == "github":
            assert len(done.stdout.splitlines()) == 5
    listed = run("baseline", "list", "--all")
    assert listed.returncode == 0
    assert len(re.findall(r" \d{4}-\d\d-\d\d +\d{4}-\d\d-\d\d +\d+$", listed.stdout, re.MULTILINE)) == 1 + len(names)


def test_list_summarizes_automatic_baselines(home: Path, run: Run) -> None:
    """They are counted, and listed with --all. JSON has the number that is not shown."""
    assert run("baseline", "list").stdout == "No baselines yet. Create one:\n  claude-force baseline create\n"
    record(home, 2)
    run("baseline", "create", "mine")
    create_automatic(open_database(str(home / ".claude" / "metrics" / "metrics.db")), clock.now_us())
    folded, whole = run("baseline", "list").stdout, run("baseline", "list", "--all").stdout
    assert "And 3 automatic snapshots of 1 day, newest auto-" in folded
    assert (folded.count("auto-"), whole.count("auto-")) == (1, 3)
    found = json.loads(run("baseline", "list", "--json").stdout)
    assert ([one["name"] for one in found["baselines"]], found["automatic_not_shown"]) == (["mine"], 3)
    assert len(json.loads(run("baseline", "list", "--json", "--all").stdout)["baselines"]) == 4


def test_delete_names_what_it_deletes(home: Path, run: Run) -> None:
    """A dry run deletes nothing. A name deletes all its snapshots. An unknown name lists the known ones."""
    record(home, 2)
    run("baseline", "create", "one")
    run("baseline", "create", "one", "--agent", "python-expert")
    assert run("baseline", "delete", "one", "--dry-run").stdout == "baseline one: 2 snapshots would be deleted\n"
    assert_misused(run("baseline", "delete", "two"), "no baseline two; there are: one")
    done = run("baseline", "delete", "one", stdin=subprocess.DEVNULL)
    assert_misused(done, "nothing was changed: 2 snapshots of up to 200 executions, ")
    assert "give --yes" in done.stderr
    assert len(json.loads(run("baseline", "list", "--json").stdout)["baselines"]) == 2
    only = run("baseline", "delete", "one", "--agent", "python-expert", "--yes")
    assert only.stdout == "baseline one: the snapshot of agent python-expert deleted\n"
    assert run("baseline", "delete", "one", "--yes").stdout == "baseline one: the snapshot of all executions deleted\n"
    assert_misused(run("baseline", "delete", "one"), "no baseline one; there is none yet")


def test_delete_names_the_days_that_were_given(home: Path, run: Run) -> None:
    """The last day is the one that was given for the end, as `create` shows it."""
    record(home, 2)
    today = clock.to_datetime(clock.now_us(), clock.local_zone()).date()
    run("baseline", "create", "one", "--start", f"{today - timedelta(days=3)}", "--end", f"{today}")
    done = run("baseline", "delete", "one", stdin=subprocess.DEVNULL)
    assert f"executions, {today - timedelta(days=3)} to {today}, " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("create",), "no executions for a baseline (30 days)"),
        (("show", "x"), "no baseline x; there is none yet"),
        (("check",), "there is no baseline to compare with; create one: claude-force baseline create"),
        (("check", "--baseline", "x"), "no baseline x; there is none yet"),
        (("check", "--baseline", "./x"), "there is no file x"),
        (("check", "--threshold", "nan"), "give a factor from 1 to 1000"),
        (("check", "--threshold", "0.5"), "give a factor from 1 to 1000"),
        (("check", "--json", "--format", "junit"), "--json and --format cannot be combined"),
        (("check", "--output", "x.pdf"), ".pdf is not a known format"),
    ],
)
def test_a_usage_error_is_not_a_regression(arguments: tuple[str, ...], complaint: str, run: Run) -> None:
    """The exit code is 2, and one line has the remedy."""
    assert_misused(run("baseline", *arguments), complaint)


@pytest.mark.parametrize("content", ["", "[]", '{"success_rate": "<!channel>\\u001b[31m"}', '{"success_rate": NaN}'])
def test_a_broken_file_is_not_a_regression(content: str, home: Path, run: Run) -> None:
    """One line names the file, without escape sequences."""
    (home / "b.json").write_text(content, encoding="utf-8")
    done = run("baseline", "check", "--baseline", "b.json")
    assert_misused(done, "b.json")
    assert "\x1b" not in done.stderr


def test_a_check_without_data_is_no_pass(home: Path, run: Run) -> None:
    """Nothing was checked: exit code 2 and one line with both remedies. --allow-empty passes it, without a verdict."""
    record(home, 2)
    run("baseline", "create", "one")
    empty = ("baseline", "check", "--baseline", "one", "--start", "2020-01-01", "--end", "2020-01-02")
    done = run(*empty)
    assert_misused(done, "no executions in the period (2020-01-01 to 2020-01-02)")
    assert "claude-force ingest" in done.stderr
    assert "--allow-empty" in done.stderr
    done = run(*empty, "--allow-empty", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"], found["executions"]) == (0, NOT_ENOUGH, 0)


def test_names_of_baselines_are_completed(home: Path, run: Run) -> None:
    """Commands that take a name complete it. Names that a shell would evaluate are not offered."""
    record(home, 2)
    for name in ("release-1", "release-2", "$(reboot)"):
        run("baseline", "create", name)
    words = {
        "COMP_WORDS": "claude-force baseline show re",
        "COMP_CWORD": "3",
        "_CLAUDE_FORCE_COMPLETE": "bash_complete",
    }
    assert run(env=words).stdout == "plain,release-2\nplain,release-1\n"
    words |= {"COMP_WORDS": "claude-force baseline check --baseline ", "COMP_CWORD": "4"}
    assert "reboot" not in run(env=words).stdout
