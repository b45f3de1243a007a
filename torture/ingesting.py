"""Ingests are killed at any moment, while their files are written, rotated and truncated.

Transcripts of sessions and sub-agents grow in split writes, and so does a file of executions, which is also rotated in
every way. Meanwhile ingests are killed: the scheduler's job, whole schedulers, and the installed program. After one
whole ingest every response and every line is one execution. Lines that were removed before they were read are counted
apart.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import UTC
from pathlib import Path
from typing import TypeVar

from claude_force.clock import instant_formatter
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate_rows, verify_rollups
from claude_force.executions.jsonl.codec import columns_of
from claude_force.executions.origin import host_name
from claude_force.executions.record import CLAUDE_CODE
from claude_force.ingest.find_files import found_file
from claude_force.ingest.run import known_cursors
from claude_force.ingest.sources import JSONL
from claude_force.ingest.tail import resume
from tests.growing import Writer
from tests.postgres import TEMPLATE_AT_HEAD, new_database, running_server
from tests.transcripts import tokens_of
from torture.campaign import Effort, Figure, say
from torture.evidence import stored
from torture.rotating import ExecutionsFile
from torture.subjects import KILLED, ingest, program, schedule, subject

T = TypeVar("T")

KILLS = 300
KILLS_IN_A_ROUND = 50
"""Kills per home and database. The next round starts with new ones."""

_STEP_S = 0.002
_AT_REST, _AT_WORK = 0.1, 0.01
"""The chance of a rotation before an ingest, and at each step of the writers during one."""

_SETTINGS = {"performance": {"schedule": {"ingest": "1s"} | dict.fromkeys(
    ("alerts", "baseline", "archive", "maintenance"), "off"
)}}  # fmt: skip


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Kill ingests, in rounds on SQLite and PostgreSQL by turns."""
    chance, wanted, found = random.Random(effort.seed), effort.of(KILLS), Counter[str]()
    with ExitStack() as stack:
        admin = stack.enter_context(running_server())
        while found["kills"] < wanted:
            home = folder / f"home-{found['rounds']}"
            location = (
                stack.enter_context(new_database(admin, TEMPLATE_AT_HEAD))
                if found["rounds"] % 2
                else str(home / "metrics.db")
            )
            here = _Round(home, location, random.Random(chance.random()))
            found += here.run(min(KILLS_IN_A_ROUND, wanted - found["kills"]))
            found["rounds"] += 1
            say(f"  {found['kills']:,} kills, {found['rows']:,} executions")
    return [
        Figure("kills", found["kills"], at_least=KILLS),
        Figure("kills after something was stored", found["kills amid"], at_least=KILLS // 4),
        Figure("kills of whole schedulers", found["kills of schedule"], at_least=1),
        Figure("kills of the program", found["kills of program"], at_least=1),
        Figure("executions", found["rows"]),
        Figure("rotations", found["faults"], at_least=KILLS // 4),
        Figure("lines removed before they were read", found["gone"]),
        Figure("missing", found["missing"], at_most=0),
        Figure("marked as read but not stored after a kill", found["unread"], at_most=0),
        Figure("duplicates", found["duplicates"], at_most=0),
        Figure("ingests that failed", found["failures"], at_most=0),
        Figure("databases whose sums differ", found["differing"], at_most=0),
    ]


_SUBJECTS = {"ingest": ingest, "schedule": schedule, "program": program}


class _Round:
    """One home with its writers and its database."""

    def __init__(self, home: Path, location: str, chance: random.Random) -> None:
        (home / ".claude" / "metrics").mkdir(parents=True)
        (home / ".claude" / "claude.json").write_text(json.dumps(_SETTINGS))
        self._home, self._location, self._chance = home, location, chance
        self._transcripts = Writer(home / ".claude" / "projects", chance)
        self._executions = ExecutionsFile(home / ".claude" / "metrics" / "executions.jsonl", chance)
        self._usual_s = dict(zip(_SUBJECTS, (0.5, 1.0, 0.6), strict=True))
        self._found = Counter[str]()

    def run(self, kills: int) -> Counter[str]:
        """Kill `kills` ingests, finish with a whole one, and compare."""
        while self._found["kills"] < kills:
            for _ in range(self._chance.randint(20, 120)):
                self._write()
            before = stored(self._location)
            self._found["unread"] += self._executions.missing_before(self._position(), before)
            if self._chance.random() < _AT_REST:
                self._executions.rotate(before)
            self._kill(self._chance.choices(list(self._usual_s), (18, 1, 1))[0], before)
        self._transcripts.finish()
        self._executions.finish()
        with subject(program, self._home, self._location) as process:
            process.join()
            self._found["failures"] += process.exitcode != 0
        self._judge()
        return self._found

    def _write(self) -> None:
        self._transcripts.step()
        for _ in range(3):
            self._executions.write()

    def _kill(self, kind: str, before: Counter[str]) -> None:
        """Start an ingest and kill it at a random moment of its usual duration. If it ended before, it was no kill."""
        faults = self._executions.faults.total()
        least = 0.7 if kind == "program" else 0.0
        limit_s = self._chance.uniform(least, 1.3) * self._usual_s[kind]
        with subject(_SUBJECTS[kind], self._home, self._location) as process:
            began = time.monotonic()
            while process.is_alive() and time.monotonic() - began < limit_s:
                process.join(_STEP_S)
                self._write()
                if self._chance.random() < _AT_WORK:
                    self._executions.rotate(before)
                    # The program writes on at once, beyond the position of the ingest.
                    for _ in range(self._chance.choice((0, 200, 2000))):
                        self._executions.write()
            process.kill()
            process.join()
            took_s = time.monotonic() - began
        if process.exitcode == KILLED:
            self._found["kills"] += 1
            self._found[f"kills of {kind}"] += 1
            self._found["kills amid"] += stored(self._location) != before
            # So that passes come to their end on a machine that is busy as well.
            self._usual_s[kind] *= 1.15
        elif process.exitcode == 0:
            self._usual_s[kind] = took_s
            self._executions.is_followed = faults == self._executions.faults.total()
        else:
            # By 1 the program says that a file was rewritten while it was read.
            is_said = kind == "program" and process.exitcode == 1 and faults != self._executions.faults.total()
            self._found["failures"] += not is_said

    def _position(self) -> int:
        """How far the file of executions was read, as the database says; 0 where it is another file by now."""
        path = self._executions.path
        if not path.exists():
            return 0
        with closing(open_database(self._location)) as database:
            known = known_cursors(database, host_name() or "", JSONL).get(str(path))
        with resume(found_file(path), known, host="", source=JSONL) as tail:
            return tail.cursor.position

    def _judge(self) -> None:
        """Compare the stored executions with the written ones."""
        with closing(open_database(self._location)) as database:
            rows = [columns_of(row, instant_formatter(UTC)) for row in iterate_rows(database, Filter())]
            with database.read() as connection:
                self._found["differing"] += bool(verify_rollups.differences(connection))
        responses = Counter(tokens_of(row) for row in rows if row["source"] == CLAUDE_CODE)
        self._compare(responses, Counter(self._transcripts.truth.values()))
        executions = Counter(row["run_id"] for row in rows if row["source"] != CLAUDE_CODE)
        self._compare(executions, self._executions.written, self._executions.gone)
        self._found["rows"] += len(rows)
        self._found["faults"] += self._executions.faults.total()

    def _compare(self, stored: Counter[T], written: Counter[T], gone: Counter[T] = Counter()) -> None:
        self._found["duplicates"] += (stored - written).total()
        self._found["missing"] += (written - stored - gone).total()
        self._found["gone"] += (written - stored).total()
