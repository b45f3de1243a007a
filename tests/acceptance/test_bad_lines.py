"""Invalid lines: each is rejected with its reason, and the lines around it are imported."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import instant_formatter
from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.executions.jsonl.codec import columns_of
from tests.builders import a_line
from tests.conftest import PROGRAM, Run

BEFORE, AFTER = a_line(agent_name="before"), a_line(agent_name="after")
MEBIBYTE = 1024 * 1024
MEMORY_BOUND = 200 * MEBIBYTE

# Runs a command and prints its peak memory. It is small, so it does not add to the figure.
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
sys.stdout.write(done.stdout)
sys.stderr.write(done.stderr)
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit, file=sys.stderr)
sys.exit(done.returncode)
"""


@dataclass(frozen=True)
class Imported:
    """The finished import and its rejected lines."""

    done: subprocess.CompletedProcess[Any]
    rejected: list[dict[str, Any]]

    @property
    def totals(self) -> tuple[int, int, int, int]:
        """The numbers of lines read, added, duplicates and rejected."""
        report = json.loads(self.done.stdout)
        return report["read"], report["added"], report["duplicates"], report["rejected"]


def with_input(line: bytes, value: bytes) -> bytes:
    """The line with these bytes as the value of `input_tokens`."""
    assert b'"input_tokens": 1234' in line
    return line.replace(b'"input_tokens": 1234', b'"input_tokens": ' + value)


def nested(depth: int) -> bytes:
    """Arrays nested this deep."""
    return b"[" * depth + b"]" * depth


def import_file(run: Run, home: Path, content: bytes, *options: str, name: str = "history.jsonl") -> Imported:
    """Import a file with this content. With any content, the program prints only its own messages."""
    (home / name).write_bytes(content)
    without_prices(home)
    done = run("import", name, "--json", *options)
    assert "Traceback" not in done.stderr
    assert "error: unexpected" not in done.stderr
    return Imported(done, rejected_lines(home))


def without_prices(home: Path) -> None:
    """Switch costs off, which makes imports faster."""
    (home / ".claude" / "claude.json").write_text('{"performance": {"cost_tracking": false}}')


def rejected_lines(home: Path) -> list[dict[str, Any]]:
    """The entries of rejected.jsonl."""
    path = home / ".claude" / "metrics" / "rejected.jsonl"
    return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


def stored(home: Path) -> list[dict[str, Any]]:
    """The executions in the database, oldest first, their times in UTC."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    format_time = instant_formatter(UTC)
    found = [columns_of(row, format_time) for row in queries.iterate_rows(database, Filter())]
    database.close()
    return found


REJECTED = {
    "invalid UTF-8": (a_line().replace(b"python", b"pyth\xff\xfen"), "UTF-8"),
    "NaN": (with_input(a_line(), b"NaN"), "not valid JSON"),
    "Infinity": (with_input(a_line(), b"Infinity"), "not valid JSON"),
    "1e400": (with_input(a_line(), b"1e400"), "infinity"),
    "an integer of 5,000 digits": (with_input(a_line(), b"9" * 5000), "infinity"),
    "100,000 arrays deep": (nested(100_000) + b"\n", "depth"),
    "a field 100,000 arrays deep": (with_input(a_line(), nested(100_000)), "depth"),
    "a name 300 arrays deep": (a_line(agent_name=0).replace(b'"agent_name": 0', b'"agent_name": ' + nested(300)), ""),
    "a lone surrogate": (a_line(agent_name="a\ud800b"), "surrogate"),
    "an escaped NUL": (a_line(agent_name="a\0b"), "agent_name: contains a NUL character"),
    "a raw NUL": (a_line().replace(b"python", b"pyth\0n"), "control character"),
    "a truncated object": (a_line()[:80] + b"\n", "not valid JSON"),
    "an array": (b"[1, 2]\n", "object"),
    "negative tokens": (a_line(output_tokens=-1), "output_tokens: is negative"),
    "text for tokens": (a_line(input_tokens="1234"), "input_tokens: expected a whole number"),
    "text for success": (a_line(success="true"), "success: expected true or false"),
    "the year 9999": (a_line(timestamp="9999-12-31T23:59:59"), "outside the years 1970 to 2099"),
}


@pytest.mark.parametrize(("line", "reason"), REJECTED.values(), ids=REJECTED)
def test_a_bad_line_is_rejected_and_its_neighbors_are_imported(line: bytes, reason: str, run: Run, home: Path) -> None:
    """One bad line is between two good ones. Two are added, and one is rejected with its position and reason."""
    found = import_file(run, home, BEFORE + line + AFTER)
    assert found.done.returncode == 1
    assert found.totals == (3, 2, 0, 1)
    assert [(item["file"], item["line"], item["offset"]) for item in found.rejected] == [
        ("history.jsonl", 2, len(BEFORE))
    ]
    assert reason in found.rejected[0]["reason"]
    assert len(found.rejected[0]["reason"]) < 300
    assert str(home / ".claude" / "metrics" / "rejected.jsonl") in found.done.stderr
    assert {item["agent_name"] for item in stored(home)} == {"before", "after"}


WRONG_TYPES: dict[str, list[Any]] = {
    **{
        name: [5, True, [], {}]
        for name in ("task_hash", "error_type", "workflow_id", "run_id", "host", "price_version")
    },
    "timestamp": [None, 1.5, True, [], {}, "", "soon"],
    "agent_name": [None, 5, False, ["a"], {}, ""],
    "model": [None, 5, True, ["a"], {}, ""],
    "success": [None, 1, 0, "true", [], {}],
    "execution_time_ms": ["3456", True, [], {}, -1, 1e300],
    "input_tokens": ["1234", True, [1], {}, 1.5, -1, 1e300, -1e300, 10**9 + 1],
    "output_tokens": ["567", False, [1], {}, 0.1, -1],
    "cache_read_tokens": ["1", True, [1], {}, 0.1, -1],
    "cache_write_5m_tokens": ["1", True, [1], {}, 0.1, -1],
    "cache_write_1h_tokens": ["1", True, [1], {}, 0.1, -1],
    "estimated_cost": ["0.1", True, [], {}, -0.1, 1e300],
    "reference_cost": ["0.1", True, [], {}, -0.1, 1e300],
    "workflow_position": ["1", True, [], {}, 1.5, -1],
    "project": [5, True, [], {}, "x" * 1001],
    "source": [5, True, [], {}],
    "uid": [5, True, [], {}, "019A81EA-E083-7C55-8F02-3A1F0D9C4B11", "019a81eae0837c558f023a1f0d9c4b11"],
}


def test_every_field_rejects_wrong_types(run: Run, home: Path) -> None:
    """The reason starts with the name of the field."""
    cases = [(field, value) for field, values in WRONG_TYPES.items() for value in values]
    lines = [a_line(**{field: value}, total_tokens=...) for field, value in cases]
    found = import_file(run, home, BEFORE + b"".join(lines) + AFTER)
    assert found.totals == (len(cases) + 2, 2, 0, len(cases))
    reasons = {item["line"] - 2: item["reason"] for item in found.rejected}
    wrong = [
        (case, reasons.get(number))
        for number, case in enumerate(cases)
        if not reasons.get(number, "").startswith(f"{case[0]}: ")
    ]
    assert wrong == []


def test_a_reason_uses_the_words_of_json(run: Run, home: Path) -> None:
    """A reason says null, array or object, and never the Python type."""
    values: list[Any] = [None, [], {}, 5]
    lines = [a_line(agent_name=value) for value in values] + [b"null\n", b"[]\n", a_line(timestamp=None)]
    found = import_file(run, home, b"".join(lines))
    assert len(found.rejected) == len(lines)
    words = {word.strip(",.:") for item in found.rejected for word in item["reason"].split()}
    assert words & {"NoneType", "list", "dict", "str", "int", "float", "bool"} == set()


def test_a_missing_required_field_is_named(run: Run, home: Path) -> None:
    """The line is rejected, and the reason names the field."""
    required = ("timestamp", "agent_name", "success", "execution_time_ms", "model", "input_tokens", "output_tokens")
    lines = [a_line(**{field: ...}) for field in required]
    found = import_file(run, home, BEFORE + b"".join(lines) + AFTER)
    assert (found.done.returncode, found.totals) == (1, (9, 2, 0, 7))
    assert [item["reason"] for item in found.rejected] == [f"{field}: is missing" for field in required]


def test_a_truncated_last_line_is_reported_as_cut_off(run: Run, home: Path) -> None:
    """The writer is still writing or was killed, and the reason says so."""
    found = import_file(run, home, BEFORE + a_line()[:100])
    assert found.done.returncode == 1
    assert found.totals == (2, 1, 0, 1)
    assert found.rejected[0]["offset"] == len(BEFORE)
    assert found.rejected[0]["reason"].startswith("the last line is cut off")


def test_the_number_of_rejected_lines_has_a_singular(run: Run, home: Path) -> None:
    """ "1 line was rejected", "2 lines were rejected"."""
    found = import_file(run, home, BEFORE + b"x\n")
    assert "1 line was rejected" in found.done.stderr
    assert "2 lines were rejected" in import_file(run, home, BEFORE + b"x\nx\n").done.stderr


def test_only_the_owner_can_read_rejected_lines(run: Run, home: Path) -> None:
    """rejected.jsonl is ASCII with one JSON object per line. Its size is limited."""
    found = import_file(run, home, BEFORE + b"\x1b]0;owned\x07\xff\n" + b"y" * 100_000 + b"\n")
    path = home / ".claude" / "metrics" / "rejected.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size < 10_000
    assert b"\x1b" not in path.read_bytes()
    assert [item["line"] for item in found.rejected] == [2, 3]


def test_an_offset_is_the_start_of_its_line(run: Run, home: Path) -> None:
    """This holds after a byte order mark, blank lines, CRLF and multi-byte text."""
    parts = [
        b"\xef\xbb\xbf",
        b"bad 1\n",
        b"\r\n",
        b"   \n",
        a_line(agent_name="é漢🙂"),
        b"  bad 2\r\n",
        b"\n",
        b"bad 3",
    ]
    content = b"".join(parts)
    found = import_file(run, home, content)
    assert found.totals == (4, 1, 0, 3)
    assert [item["line"] for item in found.rejected] == [1, 5, 7]
    assert [content[item["offset"] :].lstrip(b"\xef\xbb\xbf ").split()[1] for item in found.rejected] == [
        b"1",
        b"2",
        b"3",
    ]


def test_a_dry_run_creates_no_file(run: Run, home: Path) -> None:
    """It counts the lines that would be rejected and exits 1 for them. It creates neither a database nor
    rejected.jsonl."""
    found = import_file(run, home, BEFORE + b"x\n", "--dry-run")
    assert found.done.returncode == 1
    assert found.totals == (2, 1, 0, 1)
    assert [path.name for path in (home / ".claude").iterdir()] == ["claude.json"]


@pytest.mark.parametrize("by_stdin", [False, True], ids=["file", "stdin"])
def test_importing_rejected_lines_ends(by_stdin: bool, run: Run, home: Path) -> None:
    """rejected.jsonl, imported by name or as standard input, does not grow while it is read."""
    import_file(run, home, BEFORE + b"x\n" * 5001)
    path = home / ".claude" / "metrics" / "rejected.jsonl"

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (32 * MEBIBYTE, 32 * MEBIBYTE))

    with path.open("rb") as stream:
        done = run("import", "-" if by_stdin else path, "--json", stdin=stream, preexec_fn=limit_file_size)
    assert path.read_bytes().count(b"\n") <= 2 * 5001, done.stderr


def test_an_unwritable_rejects_file_is_named(run: Run, home: Path) -> None:
    """The import ends with an error that names the file."""
    (home / ".claude" / "metrics" / "rejected.jsonl").mkdir(parents=True)
    (home / "history.jsonl").write_bytes(BEFORE + b"x\n")
    done = run("import", "history.jsonl")
    assert done.returncode == 1
    assert done.stderr.startswith("error: rejected lines cannot be written to ")


UNUSUAL = {
    "a byte order mark": b"\xef\xbb\xbf" + BEFORE + AFTER,
    "CRLF": BEFORE.replace(b"\n", b"\r\n") + AFTER.replace(b"\n", b"\r\n"),
    "a byte order mark and CRLF": b"\xef\xbb\xbf\r\n" + BEFORE.replace(b"\n", b"\r\n") + AFTER,
    "a whole last line without a newline": BEFORE + AFTER.rstrip(b"\n"),
    "blank lines": b"\n\r\n \t \n" + BEFORE + b"\n" * 1000 + AFTER + b"\n\n",
    "surrounding spaces": b"  " + BEFORE.replace(b"\n", b"  \n") + b"\t" + AFTER,
    "zipped": gzip.compress(BEFORE + AFTER),
    "zipped in two parts": gzip.compress(BEFORE) + gzip.compress(AFTER),
    "zipped, with padding": gzip.compress(BEFORE + AFTER) + b"\0" * 512,
}


@pytest.mark.parametrize("content", UNUSUAL.values(), ids=UNUSUAL)
def test_an_unusual_but_valid_file_is_imported(content: bytes, run: Run, home: Path) -> None:
    """Byte order marks, line endings, blank lines and gzip under any name cause no rejection."""
    found = import_file(run, home, content)
    assert (found.done.returncode, found.done.stderr) == (0, "")
    assert (found.totals, found.rejected) == ((2, 2, 0, 0), [])


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_standard_input_is_read_like_a_file(zipped: bool, run: Run, home: Path) -> None:
    """Bad lines from a pipe are rejected with line and offset, and the others are imported."""
    content = BEFORE + b"bad\n" + AFTER
    done = run("import", "-", "--json", input=gzip.compress(content) if zipped else content, text=False)
    found = Imported(done, rejected_lines(home))
    assert (done.returncode, found.totals) == (1, (3, 2, 0, 1))
    assert [(item["file"], item["line"], item["offset"]) for item in found.rejected] == [
        ("standard input", 2, len(BEFORE))
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n \n\t\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_no_error(content: bytes, run: Run, home: Path) -> None:
    """An empty file, or one of blank lines: no line is read, and the exit code is 0."""
    found = import_file(run, home, content)
    assert (found.done.returncode, found.totals) == (0, (0, 0, 0, 0))


def test_separators_inside_text_do_not_end_a_line(run: Run, home: Path) -> None:
    """U+2028, U+2029, U+0085, vertical tab and form feed in a name are kept."""
    name = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
    raw = json.dumps(name, ensure_ascii=False).encode()
    line = a_line(agent_name="NAME").replace(b'"NAME"', raw)
    assert import_file(run, home, line).totals == (1, 1, 0, 0)
    assert [item["agent_name"] for item in stored(home)] == [name]


def test_the_last_of_two_equal_keys_counts(run: Run, home: Path) -> None:
    """A line with a repeated key is imported with the last value."""
    twice = a_line().replace(b'"success": true', b'"success": true, "success": false')
    assert import_file(run, home, twice).totals == (1, 1, 0, 0)
    assert [item["success"] for item in stored(home)] == [False]


def test_unknown_fields_are_left_out_and_named(run: Run, home: Path) -> None:
    """They do not reject a line. A note names them, with control characters escaped, and they are not stored."""
    line = a_line(temperature=0.7, **{"\x1b[31mred": {"deep": [1, 2]}})
    found = import_file(run, home, line + BEFORE)
    assert (found.done.returncode, found.totals) == (0, (2, 2, 0, 0))
    assert "note: 1 execution: field not known, left out: temperature" in found.done.stderr
    assert "\\x1b[31mred" in found.done.stderr
    assert "\x1b" not in found.done.stderr
    assert all("temperature" not in item for item in stored(home))


def test_a_deeply_nested_unknown_field_does_not_stop_the_import(run: Run, home: Path) -> None:
    """An unknown field 300 arrays deep is left out, or its line is rejected. The other lines are imported."""
    line = a_line(agent_name="deep", extra=0).replace(b'"extra": 0', b'"extra": ' + nested(300))
    found = import_file(run, home, BEFORE + line + AFTER)
    read, added, _, rejected = found.totals
    assert (read, added + rejected) == (3, 3)
    assert {"before", "after"} <= {item["agent_name"] for item in stored(home)}


def test_a_local_time_at_a_clock_change_follows_the_time_zone(run: Run, home: Path) -> None:
    """In the repeated hour a time without offset is the first of the two. In the skipped hour the offset before the
    change applies."""
    lines = [a_line(timestamp=f"2025-{day}T02:30:00", agent_name=day) for day in ("03-30", "10-26")]
    assert import_file(run, home, b"".join(lines), "--timezone", "Europe/Berlin").totals == (2, 2, 0, 0)
    assert [item["timestamp"] for item in stored(home)] == [
        "2025-03-30T01:30:00.000000+00:00",
        "2025-10-26T00:30:00.000000+00:00",
    ]


def test_a_future_execution_is_imported_with_a_note(run: Run, home: Path) -> None:
    """The note says that reports of the last days do not include it."""
    found = import_file(run, home, a_line(timestamp="2099-01-01T00:00:00Z"))
    assert (found.done.returncode, found.totals) == (0, (1, 1, 0, 0))
    assert "dated after now" in found.done.stderr


@pytest.mark.parametrize("damage", ["truncated", "corrupt", "header only", "followed by garbage"])
def test_the_readable_part_of_a_damaged_gzip_is_imported(damage: str, run: Run, home: Path) -> None:
    """The lines before the damage are imported. One rejected line says where reading stopped."""
    lines = [a_line(agent_name=f"agent {number:05}", task_hash=f"{number * 7919:08x}") for number in range(4000)]
    whole = gzip.compress(b"".join(lines))
    middle = len(whole) // 2
    content = {
        "truncated": whole[:middle],
        "corrupt": whole[:middle] + bytes(64) + whole[middle + 64 :],
        "header only": whole[:10],
        "followed by garbage": whole + b"garbage",
    }[damage]
    found = import_file(run, home, content, name="history.jsonl.gz")
    read, added, duplicates, rejected = found.totals
    assert found.done.returncode == 1
    assert (read, duplicates) == (added + rejected, 0)
    assert (added > 0) == (damage != "header only")
    last = found.rejected[-1]
    assert last["reason"].startswith("the rest of the file cannot be read")
    if damage in ("truncated", "followed by garbage"):
        assert rejected == 1
        assert (last["line"], last["offset"]) == (added + 1, added * len(lines[0]))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (".", "is a folder; to read the transcripts in it: claude-force ingest ."),
        ("missing.jsonl", "does not exist"),
        ("", "does not exist"),
        ("a" * 300, "error: "),
    ],
)
def test_a_folder_or_missing_file_is_a_usage_error(name: str, complaint: str, run: Run, home: Path) -> None:
    """One line on stderr and exit code 2; the other files are not imported."""
    (home / "history.jsonl").write_bytes(BEFORE)
    done = run("import", "history.jsonl", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr
    assert "error: unexpected" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert stored(home) == []


def test_a_file_that_cannot_be_read_is_named(run: Run) -> None:
    """A read error is reported with the name of the file."""
    if not Path("/proc/self/mem").exists():
        pytest.skip("this system has no /proc/self/mem, which opens but cannot be read at its start")
    done = run("import", "/proc/self/mem")
    assert done.returncode == 1
    assert "/proc/self/mem" in done.stderr or "rejected" in done.stderr
    assert "the output" not in done.stderr


def peak_memory(home: Path, *arguments: str, stdin: Path) -> tuple[Imported, int]:
    """Run the program with a file as standard input. Returns the import and its peak memory in bytes."""
    with stdin.open("rb") as stream:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(PROGRAM), *arguments],
            stdin=stream,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"TZ": "UTC"},
        )
    *_, measured = done.stderr.splitlines()
    return Imported(done, rejected_lines(home)), int(measured)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_a_line_of_100_megabytes_takes_little_memory(zipped: bool, home: Path) -> None:
    """A line over the limit is skipped in pieces and rejected with its offset. Its neighbors are imported."""
    path = home / "large.jsonl"
    with gzip.open(path, "wb", compresslevel=1) if zipped else path.open("wb") as file:
        file.write(BEFORE + b'{"agent_name": "')
        for _ in range(100):
            file.write(b"x" * MEBIBYTE)
        file.write(b'"}\n' + AFTER)
    found, peak = peak_memory(home, "import", "-", "--json", stdin=path)
    path.unlink()
    assert found.totals == (3, 2, 0, 1)
    assert [(item["line"], item["offset"], item["reason"]) for item in found.rejected] == [
        (2, len(BEFORE), "longer than 8 MiB")
    ]
    assert peak < MEMORY_BOUND


@pytest.mark.thorough
def test_many_unknown_fields_take_little_memory(home: Path) -> None:
    """Lines with 100,000 unknown fields each are imported without keeping all their names."""
    path = home / "wide.jsonl"
    with path.open("wb") as file:
        for line in range(16):
            fields = "".join(f', "field_{line}_{number}": 1' for number in range(100_000))
            file.write(a_line().rstrip(b"}\n") + fields.encode() + b"}\n")
    found, peak = peak_memory(home, "import", "-", "--json", stdin=path)
    assert found.totals == (16, 16, 0, 0)
    assert peak < MEMORY_BOUND


def test_many_lines_of_a_megabyte_take_little_memory(home: Path) -> None:
    """A hundred rejected lines of one megabyte each are not held in memory together."""
    path = home / "long.jsonl"
    with path.open("wb") as file:
        file.write(BEFORE)
        for _ in range(100):
            file.write(b"y" * MEBIBYTE + b"\n")
    found, peak = peak_memory(home, "import", "-", "--json", stdin=path)
    path.unlink()
    assert found.totals == (101, 1, 0, 100)
    assert peak < MEMORY_BOUND
