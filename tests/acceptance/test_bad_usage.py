"""Wrong arguments, broken settings, hostile names and unusual terminals give one clear line or a correct report."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.record import COST_LIMIT_NANOUSD, DURATION_LIMIT_US, TOKENS_LIMIT
from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.acceptance.test_bad_databases import assert_refused, obey_permissions
from tests.builders import NOON_US, an_execution
from tests.conftest import PROGRAM, Run

REPORTS = (
    "summary",
    "by-agent",
    "by-model",
    "by-workflow",
    "by-session",
    "by-branch",
    "by-project",
    "costs",
    "costs --trends",
    "trends",
    "daily --start 2025-11-01",
    "errors",
)

HOSTILE = [
    '=HYPERLINK("http://evil.example","x")',
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;owned\x07",
    "\x9b31m",
    "two\nlines",
    "line\rback",
    "a\tb",
    "\u202eevil\u202c",
    "\u2066hidden\u2069",
    "a\u2028b",
    "<!channel>",
    "<script>alert(1)</script>",
    "[link](http://evil.example)",
    "pipe|pipe",
    "**bold** `code`",
    "[bold]rich markup[/bold]",
    ":skull:",
    "x" * 200,
    "漢" * 200,
    "🙂" * 100,
    "👩\u200d👩\u200d👧" * 20,
    "e\u0301" * 50,
    "\x1b" * 100,
    "%s %d {0} {name}",
    "a,b;\"c'",
    " ",
    "--help",
]


def assert_misused(done: subprocess.CompletedProcess[str], complaint: str) -> None:
    """Exit code 2, no output, and one line on stderr."""
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\\n" not in done.stderr


def database_of(folder: Path, executions: list[dict[str, Any]]) -> Path:
    """A new database with these executions, one minute apart."""
    path = folder / "metrics.db"
    database = open_database(str(path))
    step = 60_000_000
    Store(database).add(
        [an_execution(timestamp_us=NOON_US + number * step, **e) for number, e in enumerate(executions)]
    )
    database.close()
    return path


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which every name is hostile. The first names have the most executions."""
    executions: list[dict[str, Any]] = [
        dict.fromkeys(("agent_name", "model", "workflow_id", "project", "git_branch", "error_type"), name)
        | {"success": False}
        for index, name in enumerate(HOSTILE)
        for _ in range(len(HOSTILE) - index)
    ]
    return database_of(tmp_path_factory.mktemp("hostile"), executions)


@pytest.fixture
def small(home: Path) -> Path:
    """The default database with two agents, models, workflows and projects."""
    (home / ".claude" / "metrics").mkdir()
    executions: list[dict[str, Any]] = [
        {"agent_name": "python-expert", "model": "claude-3-haiku-20240307", "workflow_id": "bug-fix", "project": "/a"},
        {"agent_name": "code-reviewer", "model": "claude-opus-4-1", "workflow_id": "release", "project": "/b"},
    ]
    return database_of(home / ".claude" / "metrics", executions)


# Arguments

MISUSE = {
    "an unknown command": ("analyse", "No such command 'analyse'"),
    "a misspelt group": ("alrts list", "Did you mean 'alerts'?"),
    "a misspelt command": ("analytics by-agnt", "by-agent"),
    "an unknown option": ("analytics summary --dayz 7", "--days"),
    "an option without its value": ("analytics summary --days", "--days"),
    "a negative number of days": ("analytics summary --days -1", "--days"),
    "zero days": ("analytics summary --days 0", "--days"),
    "days in letters": ("analytics summary --days abc", "--days"),
    "half a day": ("analytics summary --days 0.5", "--days"),
    "too many days": ("analytics summary --days 99999999", "--days"),
    "days of 5,000 digits": (f"analytics summary --days {'9' * 5000}", "--days"),
    "zero hours": ("analytics summary --hours 0", "--hours"),
    "days and a start": ("analytics summary --days 7 --start 2025-01-01", "--start"),
    "hours and an end": ("analytics summary --hours 7 --end 2025-01-01", "--end"),
    "a start after the end": ("analytics summary --start 2025-02-01 --end 2025-01-01", "is not before"),
    "a start equal to the end": ("analytics summary --start 2025-02-01T10:00 --end 2025-02-01T10:00", "is not before"),
    "an impossible date": ("analytics summary --start 2025-02-30", "give a date such as"),
    "a date in words": ("analytics summary --start yesterday", "give a date such as"),
    "a word that is no day": ("analytics summary --since tomorrow", "give a date such as"),
    "a time ago that is negative": ("analytics summary --until -7d", "give a date such as"),
    "a period that is none": ("analytics summary --last 7x", "give 7d, 24h or 2w"),
    "a period of minus a week": ("analytics summary --last -1w", "give 7d, 24h or 2w"),
    "a period of ages": ("analytics summary --last 999999999d", "at most 36,500 days"),
    "the year 0": ("analytics summary --since 0000-01-01", "between 1970 and 2099"),
    "two periods": ("analytics summary --last week --days 7", "--days and --last cannot be combined"),
    "two starts": ("report --since 7d --start 2025-01-01", "--since and --start cannot be combined"),
    "a since after its until": ("baseline create --since 7d --until 2w", "--since 7d is not before --until 2w"),
    "a blocks period twice": ("analytics blocks --recent --last 7d", "cannot be combined"),
    "the last possible date": ("analytics summary --end 9999-12-31", "--end 9999-12-31"),
    "an empty start": ("analytics summary --start=", "--start"),
    "an empty end": ("analytics summary --end=", "--end"),
    "an empty database": ("analytics summary --db=", "--db"),
    "an empty zone": ("analytics summary --timezone=", "time zone"),
    "an unknown zone": ("analytics summary --timezone Mars/Olympus", "no time zone 'Mars/Olympus'"),
    "a zone outside the zone folder": ("analytics summary --timezone ../../etc/passwd", "no time zone"),
    "a folder of zones": ("analytics summary --timezone Europe", "no time zone"),
    "an offset of 99 hours": ("analytics summary --timezone +99:00", "no time zone"),
    "an offset of 99 minutes": ("analytics summary --timezone +05:99", "no time zone"),
    "zero rows": ("analytics by-agent --limit 0", "--limit"),
    "an unknown order": ("analytics by-agent --sort-by beauty", "--sort-by"),
    "an unknown interval": ("analytics trends --interval yearly", "--interval"),
    "an unknown format": ("analytics summary --format xml", "--format"),
    "two formats": ("analytics summary --json --format csv", "--json and --format"),
    "two formats of an export": ("analytics export --json --format csv", "--json and --format"),
    "an export for another program": ("export --output metrics.xlsx", "a spreadsheet opens metrics.csv"),
    "a folder as output": ("analytics summary --output .", "--output"),
    "an argument too many": ("analytics summary extra", "extra"),
    "no file": ("import", "name a FILE"),
    "a file that is not there": ("import nothing.jsonl", "error: Path 'nothing.jsonl' does not exist. (see"),
    "a key without a value": ("config set performance.tracking_enabled", "VALUE"),
}


@pytest.mark.parametrize(("line", "complaint"), MISUSE.values(), ids=MISUSE)
def test_a_wrong_argument_is_one_line(line: str, complaint: str, run: Run) -> None:
    """The exit code is 2, the line names the option, and no report is shown."""
    assert_misused(run(*line.split(" ")), complaint)


@pytest.mark.parametrize("line", ["", "alerts", "analytics", "baseline", "config", "db", "scheduler"])
def test_a_command_list_shows_whole_sentences(line: str, run: Run) -> None:
    """At 80 columns the description of each command is complete."""
    assert "..." not in run(*line.split(), "--help").stdout.partition("\nOptions:")[2]


@pytest.mark.parametrize("line", ["analytics", "db", "config"])
def test_a_group_without_a_command_shows_its_help(line: str, run: Run) -> None:
    """Groups list their commands. The program itself gives the first answer."""
    done = run(*line.split())
    assert (done.stdout + done.stderr).startswith("Usage: claude-force")
    assert "\\n" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["analytics summary", "analytics export", "analytics trends"])
def test_an_output_in_a_missing_folder_names_the_remedy(command: str, small: Path, home: Path, run: Run) -> None:
    """The error contains the mkdir command."""
    assert_refused(run(*command.split(), "--output", "missing/out.json"), "mkdir -p missing")
    assert not (home / "missing").exists()


@pytest.mark.parametrize("command", ["analytics export", "analytics summary"])
def test_an_output_does_not_replace_the_database(command: str, small: Path, run: Run) -> None:
    """--output refuses the database of the report."""
    before = small.read_bytes()
    done = run(*command.split(), "--no-ingest", "--output", str(small))
    assert done.returncode != 0
    assert small.read_bytes() == before


@pytest.mark.parametrize(
    ("option", "near", "known"),
    [
        ("--agent", "python-expart", ["python-expert", "code-reviewer"]),
        ("--model", "claude-3-haiku", ["claude-3-haiku-20240307", "claude-opus-4-1"]),
        ("--workflow", "bugfix", ["bug-fix", "release"]),
        ("--project", "/c", ["/a", "/b"]),
    ],
)
def test_an_unknown_name_is_an_error(option: str, near: str, known: list[str], small: Path, run: Run) -> None:
    """The line lists the known names, instead of an empty report."""
    done = run("analytics", "summary", option, near)
    assert_refused(done, near)
    assert all(name in done.stderr for name in known)


@pytest.mark.parametrize(
    ("option", "value"), [("--agent", b"\xff"), ("--start", b"2025-11-14\x1b10:30"), ("--timezone", b"\xff")]
)
@pytest.mark.parametrize("stored", [False, True], ids=["empty store", "store"])
def test_invalid_bytes_do_not_crash(option: str, value: bytes, stored: bool, home: Path) -> None:
    """Arguments with escapes or without valid UTF-8 get a clear line that shows no control character."""
    if stored:
        database_of(home, [{}])
    command: list[str | bytes] = [str(PROGRAM), "analytics", "summary", "--db", "metrics.db", option, value]
    done = subprocess.run(command, capture_output=True, check=False)
    assert b"error: unexpected" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


# Settings

BROKEN = {
    "a truncated word": ('{"performance": {\n  "tracking_enabled": tru\n}}', "line 2 column 23"),
    "two colons": ('{"performance":\n: {}}', "line 2 column 1"),
    "a comment": ('// mine\n{"performance": {}}', "line 1 column 1"),
    "truncated": ('{"performance": {"database": "x', "line 1 column 30"),
    "an array": ("[]", "must hold a JSON object"),
    "a number for the section": ('{"performance": 5}', "performance must be an object"),
    "100,000 arrays deep": ("[" * 100_000, "claude.json: "),
    "text for a switch": (
        '{"performance": {"tracking_enabled": "yes"}}',
        "performance.tracking_enabled must be true or false",
    ),
    "a number for a path": ('{"performance": {"database": 5}}', "performance.database must be text"),
    "a secret of a wrong type": ('{"performance": {"database": ["postgresql://u:s3cr3t@h/d"]}}', "must be text"),
    "an unknown user": ('{"performance": {"metrics_file": "~nobody-of-this-name/x"}}', "~nobody-of-this-name"),
}


@pytest.mark.parametrize(("content", "complaint"), BROKEN.values(), ids=BROKEN)
def test_broken_settings_are_one_line(content: str, complaint: str, home: Path, run: Run) -> None:
    """The line names the file and the position, and no secret."""
    (home / ".claude" / "claude.json").write_text(content)
    done = run("analytics", "summary")
    assert_refused(done, complaint)
    assert "s3cr3t" not in done.stderr
    if "metrics_file" not in content:
        assert str(home / ".claude" / "claude.json") in done.stderr


@pytest.mark.parametrize("content", [b"\xff\xfe{\0}\0", b'{"a": "\xff"}', b"\x00" * 100])
def test_settings_in_another_encoding_are_one_line(content: bytes, home: Path, run: Run) -> None:
    """The line names the file, and `config set` does not replace it."""
    path = home / ".claude" / "claude.json"
    path.write_bytes(content)
    for command in ("analytics summary", "config set performance.tracking_enabled true"):
        assert_refused(run(*command.split()), str(path))
    assert path.read_bytes() == content


def test_a_broken_file_is_not_replaced(home: Path, run: Run) -> None:
    """`config set` and `unset` leave a file that they cannot read unchanged."""
    path = home / ".claude" / "claude.json"
    path.write_text('{"mine": 1 2}')
    for command in ("config set performance.tracking_enabled true", "config unset performance.tracking_enabled"):
        assert_refused(run(*command.split()), "line 1 column 12")
    assert path.read_text() == '{"mine": 1 2}'
    assert [item.name for item in path.parent.iterdir()] == ["claude.json"]


def test_an_unknown_key_suggests_the_nearest(home: Path, run: Run) -> None:
    """It is a warning in reports and an error in `config`."""
    (home / ".claude" / "claude.json").write_text('{"performance": {"tracking_enable": false}, "other": {"x": 1}}')
    report = run("analytics", "summary")
    assert report.returncode == 0
    assert report.stderr.count("\n") == 1
    assert "did you mean performance.tracking_enabled?" in report.stderr
    for command in ("config get performance.tracking_enable", "config set performance.tracking_enable true"):
        done = run(*command.split())
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "did you mean performance.tracking_enabled?" in done.stderr


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o666])
def test_config_set_changes_only_its_key(mode: int, home: Path, run: Run) -> None:
    """Other keys, their order, the permissions and a symlink stay the same."""
    target = home / "dotfiles.json"
    text = '{"zeta": {"b": 1, "a": [1.50, null, "é漢🙂"]}, "performance": {"detailed_logging": true}, "alpha": -0.0}'
    target.write_text(text)
    target.chmod(mode)
    path = home / ".claude" / "claude.json"
    path.symlink_to(target)
    for command in (
        "set performance.database x.db",
        "unset performance.detailed_logging",
        "unset performance.database",
    ):
        assert run("config", *command.split()).returncode == 0
    assert path.is_symlink()
    assert target.stat().st_mode & 0o777 == mode
    expected = json.loads(text)
    expected["performance"] = {}
    assert json.dumps(json.loads(target.read_text())) == json.dumps(expected)


@pytest.mark.parametrize(
    "value", ['"\\ud83d"', "1e400", "9" * 5000, "0.1000000000000000055511151231257827", '"\\u2028"']
)
def test_config_keeps_values_that_python_cannot_represent(value: str, home: Path, run: Run) -> None:
    """Such a value of another program stays the same, or the file is not changed."""
    path = home / ".claude" / "claude.json"
    text = f'{{"other": {value}, "performance": {{}}}}'
    path.write_text(text)
    done = run("config", "set", "performance.tracking_enabled", "false")
    assert "error: unexpected" not in done.stderr
    kept = re.search(r'"other":\s*(.*?),\s*"performance"', path.read_text(), re.DOTALL)
    assert kept is not None
    assert kept.group(1) == value or json.loads(f"[{kept.group(1)}]", parse_constant=pytest.fail) == json.loads(
        f"[{value}]"
    )
    assert [item.name for item in path.parent.iterdir()] == ["claude.json"]


def test_read_only_settings_are_not_replaced(home: Path, run: Run) -> None:
    """A read-only claude.json is an error; no new file takes its place."""
    path = home / ".claude" / "claude.json"
    path.write_text('{"mine": 1}')
    path.chmod(0o444)
    done = run("config", "set", "performance.tracking_enabled", "true", preexec_fn=obey_permissions)
    assert_refused(done, str(path))
    assert path.read_text() == '{"mine": 1}'


def test_an_invalid_value_is_refused(home: Path) -> None:
    """`config set` with bytes that are not UTF-8 is one line, and leaves no temporary file."""
    command: list[str | bytes] = [str(PROGRAM), "config", "set", "performance.metrics_file", b"\xff.jsonl"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith(b"error: ")
    assert b"error: unexpected" not in done.stderr
    assert list((home / ".claude").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://u:s3cr3t@h/d", 0),
        ("postgresql://u@h/d?password=s3cr3t", 0),
        ("postgresql://u:x@s3cr3t@h/d", 1),
    ],
)
def test_config_shows_no_password(url: str, code: int, home: Path, run: Run) -> None:
    """`config set` refuses a URL with a password; one that is in the file is hidden in text and JSON. `db path` refuses
    a password that cannot be read, and hides it too."""
    refused = run("config", "set", "performance.database", url)
    assert (refused.returncode, refused.stderr.count("\n"), "s3cr3t" in refused.stderr) == (2, 1, False)
    assert "performance.database must not hold a password; set PGURL" in refused.stderr
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": {"database": url}}))
    for command in ("config get performance.database", "config list", "config list --json"):
        done = run(*command.split())
        assert (done.returncode, "s3cr3t" in done.stdout + done.stderr) == (0, False)
    path = run("db", "path")
    assert (path.returncode, "s3cr3t" in path.stdout + path.stderr) == (code, False)


# Names


def assert_harmless(text: str) -> None:
    """No line is wider than 80 columns, and there are no control or direction characters."""
    assert [line for line in text.split("\n") if cell_len(line) > 80] == []
    bad = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    assert bad | (set(text) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")) == set()


ROWS = {
    "by-session": (r"^2025-11-01 \d\d:\d\d .* \d", 20),
    "by-": (r" \d+ +0\.0% .* \$0\.\d+ +\d+\.\d% +1,234/567 *$", len(HOSTILE)),
    "costs": (
        r" \d+ +\$\d\.\d+ +\$0\.0033 +\d+\.\d% | \d+ +[\d,]+ +[\d,]+ +0 +0 +\$\d\.\d+ +\d+\.\d%$",
        2 * len(HOSTILE),
    ),
    "errors": (r" \d+ +\d+\.\d% .* 2025-11-\d\d \d\d:\d\d *$", len(HOSTILE)),
}


@pytest.mark.parametrize("report", REPORTS)
def test_hostile_names_stay_in_their_row(report: str, hostile: Path, run: Run) -> None:
    """No line is wider than 80 columns, and each name has one row with all numbers."""
    done = run("analytics", *report.split(), "--db", hostile)
    assert (done.returncode, done.stderr) == (0, "")
    assert_harmless(done.stdout)
    kind = "by-" if report.startswith("by-") and report not in ROWS else report
    row, rows = ROWS.get(kind, ("", 0))
    if rows:
        assert len(re.findall(row, done.stdout, re.MULTILINE)) == rows


@pytest.mark.parametrize("length", [30, 45, 60, 100, 200])
def test_a_long_name_hides_no_number(length: int, tmp_path: Path, run: Run) -> None:
    """The name wraps. The columns beside it stay on one line."""
    path = database_of(tmp_path, [{"agent_name": "x" * length}, {"agent_name": "short"}])
    shown = run("analytics", "by-agent", "--db", path).stdout
    assert len(re.findall(r" 1 +100\.0% +3\.5s +3\.5s +\$0\.0033 +50\.0% +1,234/567 *$", shown, re.MULTILINE)) == 2


@pytest.mark.parametrize("report", REPORTS)
def test_hostile_names_stay_in_their_markdown_cell(report: str, hostile: Path, run: Run) -> None:
    """Every row has as many cells as the heading, and no name starts markup or mentions a channel."""
    done = run("analytics", *report.split(), "--format", "markdown", "--db", hostile)
    assert (done.returncode, done.stderr) == (0, "")
    assert not {c for c in done.stdout if c != "\n" and unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    for markup in ("<!", "<script", "](", "**bold", "`code"):
        assert not re.search(r"(?<!\\)" + re.escape(markup), done.stdout)
    tables = re.findall(r"(?:^\|.*\n)+", done.stdout, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


@pytest.mark.parametrize("report", [*REPORTS, "export"])
def test_hostile_names_are_not_formulas(report: str, hostile: Path, home: Path, run: Run) -> None:
    """Every CSV row has as many cells as the heading, and no cell is a formula."""
    done = run("analytics", *report.split(), "--output", "out.csv", "--db", hostile)
    assert done.returncode == 0, done.stderr
    with (home / "out.csv").open(encoding="utf-8", newline="") as file:
        heading, *rows = csv.reader(file)
    assert rows
    assert {len(row) for row in rows} == {len(heading)}
    cells = [cell for row in rows for cell in row]
    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and not re.fullmatch(r"-[\d.]+", cell)] == []


@pytest.mark.parametrize("report", [*REPORTS, "export"])
def test_json_keeps_hostile_names(report: str, hostile: Path, run: Run) -> None:
    """JSON is lossless: it parses, and the names are unchanged."""
    done = run("analytics", *report.split(), "--json", "--db", hostile)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    if report in ("by-agent", "summary"):
        assert {row["agent"] for row in found["agents"]} == set(HOSTILE)


def test_the_numbers_of_the_summary_are_never_truncated(tmp_path: Path, run: Run) -> None:
    """Executions, shares and costs are readable beside names of any width."""
    names = ["x" * 200, "漢" * 200, "🙂" * 200, "\x1b" * 200, "\u202e" * 200]
    executions = [{"agent_name": name, "model": name} for index, name in enumerate(names) for _ in range(5 - index)]
    shown = run("analytics", "summary", "--db", database_of(tmp_path, executions)).stdout
    assert_harmless(shown)
    whole = re.sub(r"\n {4,}", " ", shown)
    assert re.findall(r"^  \d\. .*\((\d) executions?, 3\.5s avg, \$0\.\d+\)$", whole, re.MULTILINE) == list("54321")
    assert re.findall(r"^  .*: +(\d+)% +\(\$0\.\d+\)", whole, re.MULTILINE) == ["33", "27", "20", "13", "7"]
    assert [shown.count(char) for char in "漢🙂"] == [400, 400]


LARGE = {
    "plausible": {
        "input_tokens": 900_000,
        "output_tokens": 128_000,
        "duration_us": 35_999_000_000,
        "cost_nanousd": 10**11,
    },
    "at the limits": {
        "input_tokens": TOKENS_LIMIT,
        "output_tokens": TOKENS_LIMIT,
        "cache_read_tokens": TOKENS_LIMIT,
        "duration_us": DURATION_LIMIT_US,
        "cost_nanousd": COST_LIMIT_NANOUSD,
        "reference_cost_nanousd": COST_LIMIT_NANOUSD,
    },
}


@pytest.mark.parametrize("changes", LARGE.values(), ids=LARGE)
def test_large_numbers_are_never_truncated(changes: dict[str, int], tmp_path: Path, run: Run) -> None:
    """With the largest values of a record, 80 columns show every number that 200 columns show."""
    names = {"agent_name": "agent", "model": "claude-haiku", "error_type": "Timeout", "success": False}
    path = database_of(tmp_path, [names | changes] * 1500)
    for report in REPORTS:
        narrow, wide = (
            run("analytics", *report.split(), "--db", path, env={"COLUMNS": columns}).stdout
            for columns in ("80", "200")
        )
        assert_harmless(narrow)
        numbers = [set(re.findall(r"\$?\d[\d,.]*[\w%]*", shown)) for shown in (narrow, wide)]
        assert numbers[0] == numbers[1], report


def test_a_long_period_wraps(small: Path, run: Run) -> None:
    """A heading with two instants to the microsecond fits 80 columns, and has every digit of both."""
    period = ["--start", "2025-11-01T00:00:00.000001+00:00", "--end", "2025-11-14T23:59:59.999999+00:00"]
    shown = run("analytics", "summary", *period).stdout
    assert_harmless(shown)
    heading, rule, _ = shown.partition("━")
    assert rule
    assert all(part in " ".join(heading.split()) for part in ("00:00:00.000001", "2025-11-14", "23:59:59.999999"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_omits_names_that_a_shell_would_run(shell: str, tmp_path: Path, run: Run) -> None:
    """Names that a shell would execute or split are not offered."""
    names = ["good-agent", "$(touch owned)", "`touch owned`", "a;b", "two\nplain,lines", "\x1b[31m"]
    path = database_of(tmp_path, [{"agent_name": name} for name in names])
    words = f"claude-force analytics summary --db {path} --agent "
    current = "" if shell == "fish" else "6"
    done = run(env={"_CLAUDE_FORCE_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": current})
    assert "good-agent" in done.stdout
    assert [mark for mark in ("$(", "`", "a;b", "lines", "\x1b") if mark in done.stdout] == []


# Terminals


@pytest.mark.parametrize("command", ["export", "summary", "by-agent", "export --output /dev/stdout"])
def test_a_closed_pipe_is_no_error(command: str, home: Path) -> None:
    """`| head -1` prints its line, without a message about a broken pipe."""
    path = database_of(home, [{"agent_name": f"agent {number}"} for number in range(3000)])
    line = f"{PROGRAM} analytics {command} --db {path} | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize("report", [*REPORTS, "export"])
def test_an_ascii_terminal_gets_ascii_of_the_same_width(report: str, hostile: Path, run: Run) -> None:
    """With PYTHONIOENCODING=ascii a report is complete, ASCII only, and fits 80 columns."""
    done = run("analytics", *report.split(), "--db", hostile, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    if report != "export":
        assert_harmless(done.stdout)


@pytest.mark.parametrize("columns", ["0", "", "abc", "1000000"])
def test_an_invalid_width_gives_the_report(columns: str, small: Path, run: Run) -> None:
    """With any value of COLUMNS, all numbers are shown."""
    assert "Total Executions: 2" in run("analytics", "summary", env={"COLUMNS": columns}).stdout


@pytest.mark.parametrize("zone", ["JST-9", "CET-1CEST,M3.5.0,M10.5.0/3", "Mars/Olympus", ":UTC", ""])
def test_a_local_zone_is_used_or_refused(zone: str, small: Path, run: Run) -> None:
    """TZ may be a POSIX rule or invalid. The report uses the zone, or one line names --timezone."""
    done = run("analytics", "trends", env={"TZ": zone})
    if done.returncode:
        assert done.returncode in (1, 2)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        assert "--timezone" in done.stderr
        assert "error: unexpected" not in done.stderr
        assert "\\n" not in done.stderr
    assert run("analytics", "trends", "--timezone", "UTC", env={"TZ": zone}).returncode == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("analytics summary >&-", "output"),
        ("db path >&-", "output"),
        ("import - <&-", "input"),
        ("analytics summary --nope 2>&-", ""),
    ],
)
def test_a_closed_stream_does_not_crash(line: str, words: str, small: Path) -> None:
    """Without stdin, stdout or stderr a command ends with a clear message."""
    done = subprocess.run(["sh", "-c", f"{PROGRAM} {line}"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "error: unexpected" not in done.stderr
    assert words in done.stderr


# Host programs


class _Unreadable:
    """A response whose usage raises when it is read or tested."""

    def __init__(self, error: Exception, *, inside: bool) -> None:
        self._error, self._inside = error, inside

    @property
    def usage(self) -> object:
        if self._inside:
            return self
        raise self._error

    def __bool__(self) -> bool:
        raise self._error


@pytest.mark.parametrize("inside", [False, True], ids=["usage raises", "truth of usage raises"])
def test_an_unreadable_usage_does_not_fail_the_call(inside: bool, tmp_path: Path) -> None:
    """A tracked function still returns its result."""
    response = _Unreadable(ValueError("ambiguous"), inside=inside)
    with PerformanceTracker(database=str(tmp_path / "metrics.db")) as tracker:
        assert tracker.track("agent")(lambda: response)() is response
        assert [metrics.success for metrics in tracker.get_all_metrics()] == [True]


def test_an_invalid_task_does_not_fail_the_block(tmp_path: Path) -> None:
    """A tracked block warns instead of raising."""
    tracker = PerformanceTracker(database=str(tmp_path / "metrics.db"))
    with pytest.warns(RuntimeWarning, match="task"), tracker.track("agent", task=5):  # type: ignore[arg-type]
        pass
    tracker.close()
