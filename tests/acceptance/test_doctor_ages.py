"""The doctor says how old things are, and names rejected lines of every kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from claude_force import clock
from claude_force.clock import DAY_US, HOUR_US, SECOND_US
from claude_force.database.ingest_passes import IngestPass, save_pass
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.origin import host_name
from tests.builders import a_line, an_execution
from tests.conftest import Run


def doctor(run: Run) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """What it prints as JSON, and its findings by id."""
    found = json.loads(run("doctor", "--json").stdout)
    return found, {finding["id"]: finding for finding in found["findings"]}


def test_the_doctor_says_how_old_everything_is(home: Path, run: Run) -> None:
    """The newest execution, the last pass over the sources, and the last backup; in words and as instants."""
    now_us = clock.now_us()
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    Store(database).add([an_execution(timestamp_us=now_us - 3 * HOUR_US - SECOND_US)])
    with database.write() as connection:
        save_pass(connection, host_name() or "", IngestPass(now_us - 2 * DAY_US - SECOND_US, unread_files=4))
    database.close()
    assert run("db", "backup").returncode == 0
    found, findings = doctor(run)
    assert findings["newest-data"]["text"].endswith(", 3 h ago")
    assert (findings["last-pass"]["level"], findings["last-pass"]["text"].partition(", ")[2]) == (
        "note",
        "2 days ago; 4 files were left unread",
    )
    assert re.search(r", (just now|\d+ s ago)$", findings["backups"]["text"])
    ages = found["ages"]
    assert ages["newest_execution_us"] == now_us - 3 * HOUR_US - SECOND_US
    assert ages["last_pass_us"] == now_us - 2 * DAY_US - SECOND_US
    assert ages["last_backup_us"] >= now_us - 60 * SECOND_US


def test_what_never_happened_is_unknown(home: Path, run: Run) -> None:
    """Without executions, passes and backups nothing has an age."""
    assert run("db", "upgrade").returncode == 0
    found, findings = doctor(run)
    assert set(found["ages"].values()) == {None}
    assert findings["newest-data"]["text"] == "there is no execution yet"
    assert findings["last-pass"]["text"] == "this machine never read its usual sources into this database"


def test_the_doctor_names_rejected_lines_of_every_kind(home: Path, run: Run) -> None:
    """How many of transcripts, of files of executions, and of imports, each with its files; a line counts once."""
    folder = home / ".claude" / "projects" / "-work"
    folder.mkdir(parents=True)
    (folder / "talk.jsonl").write_text('{"type": "user"}\nno JSON\n')
    (home / ".claude" / "metrics").mkdir()
    (home / ".claude" / "metrics" / "executions.jsonl").write_bytes(a_line() + b"bad\nworse\n")
    (home / "other.jsonl").write_bytes(a_line() + b"bad\n")
    assert run("ingest").returncode == 1
    for _ in range(2):
        assert run("import", "other.jsonl").returncode == 1
    found, findings = doctor(run)
    assert sorted((one["source"], Path(one["file"]).name, one["lines"]) for one in found["rejected"]) == [
        ("claude-code", "talk.jsonl", 1),
        ("executions", "executions.jsonl", 2),
        ("import", "other.jsonl", 1),
    ]
    text = findings["rejected-lines"]["text"]
    assert text.startswith("4 lines could not be imported: ")
    for kind in (
        "1 of Claude Code transcripts (",
        "2 of Executions file (",
        "1 of imports, the spool or other databases (",
    ):
        assert kind in text
