"""Imports damaged lines: bytes, records, store.

Files of damaged and sound lines are read as `claude-force import` reads executions, and as `claude-force ingest` reads
transcripts. Nothing may raise. Every line that is not blank is accepted, or refused with a reason; all sound lines are
stored; the stored executions are the accepted ones. Some files are also imported to PostgreSQL, which must hold the
same.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import Store
from claude_force.executions.jsonl.lines import BOM, LINE_LIMIT_BYTES
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import column
from claude_force.ingest.jsonl_source import Batch, JsonlSource
from claude_force.ingest.loader import Loader
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.transcripts import locate as transcripts
from claude_force.ingest.transcripts.transcript_pass import TranscriptPass
from tests.builders import a_line
from tests.conftest import EXAMPLES
from tests.postgres import TEMPLATE_AT_HEAD, new_database, running_server
from tests.transcripts import Talk, Tokens, jsonl, main_file, notification, put, task_block, task_result
from torture.campaign import Effort, Figure, say
from torture.mutations import damaged

LINES = 10_000_000
LINES_IN_A_FILE = 100_000
TRANSCRIPTS = 10
"""One file in this many is a transcript."""

ON_BOTH_ENGINES = 40
"""Two files in this many, one of each kind, also go to PostgreSQL."""

SOUND_EVERY = 500
"""One line in this many is sound."""

NOW_US = 1_790_000_000_000_000
_RUN_ID = column("run_id")

_ZONE = ZoneInfo("America/New_York")


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Import files on all processors."""
    lines = effort.of(LINES)
    sizes = [min(LINES_IN_A_FILE, lines - done) for done in range(0, lines, LINES_IN_A_FILE)]
    found = Counter[str]()
    with running_server() as admin:
        work = [(folder, f"{effort.seed}-{number}", size, admin, number) for number, size in enumerate(sizes)]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(os.cpu_count(), context) as pool:
            for one in pool.map(_import_file, *zip(*work, strict=True)):
                found += one
                say(f"  {found['lines']:,} lines, {found['exceptions']:,} exceptions")
    return [
        Figure("lines", found["lines"], at_least=LINES),
        Figure("lines of transcripts", found["lines of transcripts"], at_least=LINES // 20),
        Figure("executions accepted", found["accepted"]),
        Figure("lines refused", found["refused"]),
        Figure("kinds of reasons", len([name for name in found if name.startswith("because ")])),
        Figure("unexpected exceptions", found["exceptions"], at_most=0),
        Figure("lines neither accepted nor refused", found["unaccounted"], at_most=0),
        Figure("refused without a reason", found["unreasoned"], at_most=0),
        Figure("sound lines that are missing", found["good lost"], at_most=0),
        Figure("executions accepted and not stored", found["unstored"], at_most=0),
        Figure("files on both engines", found["files on both engines"], at_least=1),
        Figure("files that the engines hold differently", found["differing"], at_most=0),
    ]


def _import_file(folder: Path, seed: str, size: int, admin: str, number: int) -> Counter[str]:
    """Make a file of damaged lines, import it, and count. If it raises, the content and the traceback are kept."""
    here, is_transcript = folder / seed, number % TRANSCRIPTS == TRANSCRIPTS - 1
    content = _content(random.Random(seed), size, is_transcript=is_transcript)
    check = _check_transcript if is_transcript else _check_executions
    try:
        found, digest = _import_and_digest(str(here / "metrics.db"), here, content, check)
        if number % ON_BOTH_ENGINES in (0, TRANSCRIPTS - 1):
            with new_database(admin, TEMPLATE_AT_HEAD) as url:
                again, other_digest = _import_and_digest(url, here / "postgresql", content, check)
            found["differing"] = (again, other_digest) != (found, digest)
            found["files on both engines"] = 1
    except Exception:
        here.mkdir(exist_ok=True)
        (here / "content").write_bytes(content)
        (here / "raised").write_text(traceback.format_exc())
        say(f"  raised; see {here}: {traceback.format_exc(limit=-2)}")
        return Counter({"lines": size, "exceptions": 1})
    shutil.rmtree(here)
    return found


def _import_and_digest(
    location: str, folder: Path, content: bytes, check: Callable[[Database, Path, bytes], Counter[str]]
) -> tuple[Counter[str], str]:
    """The counts of an import, and a digest of the rows that the database holds afterwards."""
    folder.mkdir()
    with closing(open_database(location)) as database:
        found = check(database, folder, content)
        with database.read() as connection:
            found["unstored"] += len(verify_rollups.differences(connection))
        digest = hashlib.blake2b()
        for row in queries.iterate_rows(database, Filter()):
            digest.update(repr(row).encode())
        return found, digest.hexdigest()


def _content(chance: random.Random, size: int, *, is_transcript: bool) -> bytes:
    """Damaged lines with some sound ones; sometimes a line at the size limit."""
    samples, good = (_entries(), _good_entry) if is_transcript else (_executions(), _good_execution)
    stream = io.BytesIO()
    if chance.random() < 0.3:
        stream.write(BOM)
    for number in range(size):
        stream.write(good(number) if number % SOUND_EVERY == 0 else damaged(chance, samples) + b"\n")
    if chance.random() < 0.1:
        stream.write(b'{"agent_name": "' + b"x" * (LINE_LIMIT_BYTES + chance.randrange(-20, 20)) + b'"}\n')
        stream.write(good(size))
    return stream.getvalue()


def _good_execution(number: int) -> bytes:
    return a_line(run_id=f"good-{number}", agent_name="good")


def _good_entry(number: int) -> bytes:
    talk = Talk(f"good-{number}", constants={"cwd": "/good"}, seconds=number)
    return jsonl(talk.respond(f"msg_good_{number}", Tokens(3, number, 9, 0, 4)))


@lru_cache
def _executions() -> Sequence[bytes]:
    """Lines of both sample formats, and of our own export."""
    files = [EXAMPLES / "executions-1.3.jsonl", EXAMPLES / "executions-guide.jsonl"]
    ours = [
        a_line(uid=f"019a81ea-e083-7c55-8f02-3a1f0d9c{number:04x}", host="box", project="/srv/app", web_searches=1)
        for number in range(50)
    ]
    return [line for file in files for line in file.read_bytes().splitlines()[:300]] + [line.rstrip() for line in ours]


@lru_cache
def _entries() -> Sequence[bytes]:
    """Lines of the sample sessions, and every kind of line about sub-agents."""
    files = sorted((EXAMPLES / "claude-code").rglob("*.jsonl"))
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1", blocks=[task_block("Look", "Plan")])
    talk.result("ok", task_result("a1", Tokens(), "Look"), call="toolu_01Task")
    talk.prompt(notification("a1", 5000))
    talk.fail("API Error: 529 overloaded_error")
    return [line for file in files for line in file.read_bytes().splitlines()] + talk.data().splitlines()


def _check_executions(database: Database, folder: Path, content: bytes) -> Counter[str]:
    """Import, and compare the lines read, accepted, refused, logged and stored."""
    found, uids = Counter[str](), set[bytes]()
    rejects = RejectLog(folder / "rejected.jsonl")

    def observed(batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            uids.update(row[0] for row in batch.rows)
            found["good"] += sum((row[_RUN_ID] or "").startswith("good-") for row in batch.rows)
            found["accepted"] += len(batch.rows)
            found["refused"] += len(batch.rejected)
            found["unreasoned"] += sum(not item.reason.strip() for item in batch.rejected)
            for item in batch.rejected:
                found[f"because {item.reason.partition(':')[0][:40]}"] += 1
            yield batch

    source = JsonlSource(_ZONE, PriceTable("claude-sonnet-4-5"))
    batches = observed(source.read(io.BytesIO(content)))
    report = Loader(Store(database), rejects).load("fuzzed", batches, NOW_US)
    lines = _lines_in(content)
    with database.read() as connection:
        stored = queries.totals(connection, Filter()).executions
    kept = rejects.path.read_bytes().count(b"\n") if rejects.path.exists() else 0
    found["lines"] = lines
    # A damaged line may hold several records, and parts that are lost.
    found["unaccounted"] = max(lines - report.read, 0) + abs(
        report.added + report.known + report.rejected - report.read
    )
    found["unreasoned"] += abs(kept - report.rejected)
    found["unstored"] = abs(stored - len(uids)) + abs(stored - report.added)
    found["good lost"] = abs(content.count(b'"run_id": "good-') - found["good"])
    return found


def _check_transcript(database: Database, folder: Path, content: bytes) -> Counter[str]:
    """Ingest it twice. The second time nothing may be new."""
    projects, rejects = folder / "projects", RejectLog(folder / "rejected.jsonl")
    put(main_file(projects, "fuzzed"), content)
    options = IngestOptions(PriceTable("claude-sonnet-4-5"), _ZONE, "here", rejects, NOW_US)
    problems: list[object] = []
    report = TranscriptPass(Store(database), options, {}).run(
        transcripts.find([projects], lambda *problem: problems.append(problem))
    )
    again = TranscriptPass(Store(database), options._replace(rejects=None), {}).run(
        transcripts.find([projects], lambda *_: None)
    )
    reasons = [json.loads(line)["reason"] for line in rejects.path.read_bytes().splitlines()]
    with database.read() as connection:
        stored = queries.totals(connection, Filter()).executions
        good = queries.totals(connection, Filter(projects=("/good",))).executions
    lines = content.count(b"\n")
    return Counter(
        {
            "lines": lines,
            "lines of transcripts": lines,
            "accepted": stored,
            "refused": report.rejected,
            "unaccounted": abs(lines - report.lines) + len(problems),
            "unreasoned": abs(len(reasons) - report.rejected) + sum(not reason for reason in reasons),
            "unstored": abs(stored - report.added) + again.added,
            "good lost": abs(content.count(b'"cwd":"/good"') - good),
        }
    )


def _lines_in(content: bytes) -> int:
    """The number of lines with more than blanks, NULs and byte order marks."""
    return sum(bool(line.strip(b" \t\r\0")) for line in content.replace(BOM, b"").split(b"\n"))
