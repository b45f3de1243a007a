"""`claude-force report`: the HTML page, also in a browser."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from claude_force import clock
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.record import PROVISIONAL, ExecutionMetrics
from claude_force.formatting import compact, count, duration, money, percent, unit_cost
from claude_force.reports.html.tables import MOST_ROWS
from claude_force.text import for_terminal
from tests.acceptance.test_alert_commands import FAILURES
from tests.acceptance.test_bad_usage import HOSTILE, assert_misused
from tests.browser import by_id, open_page, parse, print_page, rows_of, text_of
from tests.builders import NOON_US, an_execution
from tests.conftest import EXAMPLES, PROGRAM, Run

GUIDE = EXAMPLES / "executions-guide.jsonl"
FIGURES = {
    "total_executions": count,
    "success_rate": percent,
    "total_cost": money,
    "avg_cost_per_execution": unit_cost,
    "avg_execution_time_ms": duration,
    "p50_latency_ms": duration,
    "p95_latency_ms": duration,
    "p99_latency_ms": duration,
    "total_tokens": compact,
}
"""The figures at the top of the page, by their keys in the JSON of the summary, and their format."""

SCRIPTS = (
    "</script ><script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "</title><img src=x onerror=\"document.title='owned'\">",
    "<svg/onload=document.title='owned'>",
    "<!--<script >",
    "]]></style><style>*{display:none}",
    "javascript:alert(1)",
    "\" autofocus onfocus=\"document.title='owned'",
    "' onmouseover='alert(1)",
    "&lt;b&gt;&amp;",
    "__proto__",
)


def fill(location: str | Path, *executions: ExecutionMetrics) -> None:
    """Store executions in a database."""
    with closing(open_database(str(location))) as database:
        Store(database).add(executions)


def default_database(home: Path) -> Path:
    """The default database of the home."""
    return home / ".claude" / "metrics" / "metrics.db"


def a_week() -> list[ExecutionMetrics]:
    """Executions of seven days with several models, agents and projects. Some failed, some have no price."""
    return [
        an_execution(
            timestamp_us=NOON_US + number * 6 * HOUR_US // 5,
            agent_name=f"agent-{number % 3}",
            model=f"model-{number % 7}",
            project=f"/home/ada/p{number % 2}",
            success=number % 9 > 0,
            error_type=None if number % 9 else "TimeoutError",
            duration_us=1_000_000 + 70_000 * number,
            cost_nanousd=None if number % 20 == 0 else 1_234_567 * number,
        )
        for number in range(140)
    ]


def write(run: Run, *arguments: str | Path) -> Path:
    """Write a report, and return its file."""
    done = run("report", *arguments)
    assert (done.returncode, done.stdout) == (0, "")
    size = Path("report.html").stat().st_size
    assert f"written to report.html ({size / 1000:.1f} KB)" in done.stderr
    return Path("report.html").resolve()


def tiles_of(document: Element) -> dict[str, tuple[float, str]]:
    """The tiles at the top of a page: value and text by key."""
    return {
        element.get("id", ""): (float(element.get("value", "")), text_of(element))
        for element in document.iter("data")
        if element.get("id") in FIGURES
    }


def summary_of(run: Run, *arguments: str | Path) -> dict[str, Any]:
    """The JSON of the summary."""
    found: dict[str, Any] = json.loads(run("analytics", "summary", "--json", *arguments).stdout)
    return found


@pytest.mark.parametrize(
    "arguments", [(), ("--agent", "agent-1"), ("--start", "2025-11-03", "--end", "2025-11-04", "--timezone", "+05:30")]
)
def test_the_tiles_equal_the_summary(arguments: tuple[str, ...], location: str, run: Run) -> None:
    """On both engines and with every filter, to the last digit."""
    fill(location, *a_week())
    summary = summary_of(run, "--db", location, *arguments)
    document = parse(write(run, "--db", location, *arguments).read_text())
    assert tiles_of(document) == {key: (summary[key], show(summary[key])) for key, show in FIGURES.items()}
    assert by_id(document, "cost_savings").get("value") == str(summary["cost_savings"]["percent"])


def test_the_tables_equal_the_other_reports(location: str, run: Run) -> None:
    """Agents, models and errors equal their reports, and days equal the trend."""
    fill(location, *a_week())
    document = parse(write(run, "--db", location, "--interval", "daily").read_text())
    reports = {
        name: json.loads(run("analytics", name, "--json", "--db", location, *more).stdout)
        for name, more in (("by-agent", ("--sort-by", "cost")), ("errors", ()), ("trends", ()))
    }
    agents = [
        [row["agent"], money(row["total_cost"]), count(row["executions"]), percent(row["success_rate"]),
         duration(row["avg_execution_time_ms"]), duration(row["p95_latency_ms"]), compact(row["total_tokens"])]
        for row in reports["by-agent"]["agents"]
    ]  # fmt: skip
    (table,) = (one for one in document.iter("table") if text_of(one).startswith("Agents by cost"))
    assert [row[:2] + row[3:] for row in rows_of(table)] == agents
    days = [[row["date"], money(row["total_cost"])] for row in reports["trends"]["trends"]]
    assert rows_of(by_id(document, "cost")) == days
    (errors,) = (one for one in document.iter("table") if text_of(one).startswith("Errors by type"))
    assert rows_of(errors)[0][:3] == ["TimeoutError", count(reports["errors"]["failed_executions"]), "100.0%"]


def test_a_browser_draws_every_chart(run: Run, home: Path) -> None:
    """The console is empty, the charts' tables are closed, and the tiles are not changed."""
    run("import", GUIDE)
    loaded = open_page(write(run))
    document = loaded.document
    assert loaded.console == []
    figures = list(document.iter("figure"))
    assert [figure.get("id") for figure in figures if figure.get("data-drawn") is not None] == [
        "cost", "executions", "latency", "success", "mix",
    ]  # fmt: skip
    assert document.get("data-ready") == "5"
    assert all(int(canvas.get("width", 0)) > 300 for canvas in document.iter("canvas"))
    assert all(details.get("open") is None for details in document.iter("details"))
    summary = summary_of(run)
    assert tiles_of(document) == {key: (summary[key], show(summary[key])) for key, show in FIGURES.items()}


@pytest.mark.thorough
def test_a_page_prints_the_same_from_every_window(run: Run, home: Path) -> None:
    """Charts are redrawn for paper, regardless of their size on the screen. Of three tries one must be equal: on a busy
    machine two prints of one window may differ in a byte, too."""
    run("import", GUIDE)
    path = write(run)
    prints = (
        [re.sub(rb"/(Creation|Mod)Date .*", b"", print_page(path, width)) for width in (500, 1400)] for _ in range(3)
    )
    assert any(narrow == wide and narrow.startswith(b"%PDF-") for narrow, wide in prints)


def test_names_are_not_markup(run: Run, home: Path) -> None:
    """Names with markup, scripts or escapes are shown as text everywhere, and add no element."""
    names = [*SCRIPTS, *(name for name in HOSTILE if name.strip())]
    rules = {"failing": {**FAILURES, "group_by": "agent"}}
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": {"alerts": rules}}))
    now_us = clock.now_us()
    fill(
        default_database(home),
        *(
            an_execution(timestamp_us=now_us - 1000 * index, agent_name=name, model=name, project=name,
                         workflow_id=name, success=False, error_type=name, cost_nanousd=None)
            for index, name in enumerate(names)
            for _ in range(len(names) - index)
        ),
    )  # fmt: skip
    run("alerts", "check")
    for chosen in (names[:MOST_ROWS], names[MOST_ROWS:]):
        path = write(run, *(part for name in chosen for part in ("--agent", name)))
        loaded = open_page(path)
        assert loaded.console == []
        document = loaded.document
        assert document.get("data-ready") == "5"
        assert text_of(next(document.iter("title"))) == "Performance Report (All time)"
        assert [len(list(document.iter(tag))) for tag in ("script", "style", "img", "svg", "a")] == [3, 1, 0, 0, 0]
        shown = {for_terminal(name) for name in chosen}
        tables = {text_of(one).partition("\n")[0]: {row[0] for row in rows_of(one)} for one in document.iter("table")}
        firsts = [rows for title, rows in tables.items() if title.startswith(("Agents", "Models", "Errors"))]
        assert firsts == [shown] * 3
        assert f"Only agent {', '.join(map(for_terminal, chosen))}" in text_of(next(document.iter("header")))


def test_the_page_has_the_notes_of_the_costs(run: Run, home: Path) -> None:
    """The notes are those on missing costs, with their reasons, and on executions that are not final."""
    fill(default_database(home), *a_week(), an_execution(usage_basis=PROVISIONAL))
    notes = [text_of(item) for item in parse(write(run).read_text()).iter("li")]
    assert " ".join(notes) in " ".join(run("analytics", "costs").stdout.split())
    assert notes[0] == "7 executions have no known price and are not in this cost"
    assert notes[1].startswith("7 executions: no published price for this model (model-0, ")


def test_the_page_counts_missing_archived_executions(run: Run, home: Path) -> None:
    """A filter by workflow excludes them. The page has the command that brings them back."""
    fill(default_database(home), *(an_execution(workflow_id="flow") for _ in range(3)))
    fill(default_database(home), an_execution(timestamp_us=clock.now_us() - HOUR_US, workflow_id="flow"))
    assert run("archive", "--older-than", "30d", "--yes").returncode == 0
    notes = [text_of(item) for item in parse(write(run, "--workflow", "flow").read_text()).iter("li")]
    assert notes[0] == "3 executions of 2025-11 are archived and not in this report."
    assert notes[2].startswith("claude-force archive restore")


def test_an_empty_store_gives_a_page_with_the_remedy(run: Run, home: Path) -> None:
    """It replaces an older page. The remedy is also on stderr; the page names no folders, because it may be passed
    on."""
    Path("report.html").write_text("old")
    output = run("report").stderr
    text = text_of(parse(Path("report.html").read_text()))
    for line in run("analytics", "summary").stdout.partition("\n\nRead ")[0].splitlines():
        assert line in output
        assert line.strip().replace(str(default_database(home)), "metrics.db") in text
    assert str(home) not in text
    assert open_page(Path("report.html").resolve()).console == []


def test_an_empty_period_names_the_stored_range(run: Run, home: Path) -> None:
    """The exit code is 0."""
    fill(default_database(home), *a_week())
    path = write(run, "--start", "2020-01-01", "--end", "2020-02-01")
    assert "The store has executions from 2025-11-01 to 2025-11-08" in text_of(parse(path.read_text()))


def test_output_can_be_a_file_or_a_pipe(run: Run, home: Path) -> None:
    """It cannot be the database or a file in a missing folder."""
    fill(default_database(home), *a_week())
    page = run("report", "--output", "-").stdout
    assert page.startswith("<!DOCTYPE html>")
    piped = run("report", "--output", "/dev/stdout", capture_output=False, stdout=subprocess.PIPE)
    assert piped.stdout.startswith("<!DOCTYPE html>")
    assert not Path("report.html").exists()
    assert not Path("-").exists()
    assert_misused(run("report", "--output", default_database(home)), "is the database")
    missing = run("report", "--output", "missing/report.html")
    assert (missing.returncode, "mkdir -p missing" in missing.stderr) == (1, True)
    run("report", "--output", "other.html")
    assert [path.name for path in home.glob("*.html")] == ["other.html"]


def test_a_closed_pipe_is_no_error(run: Run, home: Path) -> None:
    """`report --output - | head -1` exits quietly."""
    fill(default_database(home), *a_week())
    done = subprocess.run(
        f"set -o pipefail; {PROGRAM} report --output - | head -1", shell=True, executable="/bin/bash",
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("<!DOCTYPE html>\n", "")


def test_the_page_compares_with_a_baseline(run: Run, home: Path) -> None:
    """It is the newest or the named one, and regressions stand out."""
    fill(default_database(home), *a_week())
    fill(
        default_database(home),
        *(an_execution(timestamp_us=NOON_US + 9 * DAY_US + n, duration_us=9 * 10**7) for n in range(60)),
    )
    run("baseline", "create", "release", "--start", "2025-11-01", "--end", "2025-11-09")
    document = parse(write(run, "--start", "2025-11-09", "--baseline", "release").read_text())
    assert "Compared with release (2025-11-01 to 2025-11-09): regressed." in text_of(document)
    assert [text_of(one) for one in document.iter("strong")] == ["regressed", "regressed"]
    assert run("report", "--baseline", "nope").returncode == 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--interval yearly", "--interval"),
        ("--output .", "--output"),
        ("--days 0", "--days"),
        ("--agent nobody", "no agent nobody"),
        ("--interval hourly", "choose a longer --interval"),
    ],
)
def test_wrong_usage_writes_nothing(line: str, complaint: str, run: Run, home: Path) -> None:
    """One line names the option, and an older file is unchanged."""
    fill(default_database(home), *a_week(), an_execution(timestamp_us=NOON_US + 200 * DAY_US))
    Path("report.html").write_text("old")
    done = run("report", *line.split())
    assert (done.returncode == 0, done.stdout, done.stderr.count("\n")) == (False, "", 1)
    assert complaint in done.stderr
    assert Path("report.html").read_text() == "old"
