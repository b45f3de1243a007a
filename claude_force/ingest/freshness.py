"""Fresh by itself: a report reads what is new before it answers.

| the usual sources of this machine          | what is done                                                     |
|--------------------------------------------|------------------------------------------------------------------|
| were read in the last 30 seconds           | nothing                                                          |
| have nothing new (sizes and times of files) | nothing is loaded that could read them                           |
| have something new                         | they are read, until the caller's time is over                   |
| another process is reading them            | nothing: it is said                                              |

A database that was named is only read into if the usual sources were read into it before: a sample stays a sample.
A problem is a part of the answer, and the report follows. Only a database that cannot be reached is an error at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from claude_force.clock import SECOND_US
from claude_force.database.contract import Database, Progress
from claude_force.database.ingest_passes import IngestPass, file_stamps, last_pass
from claude_force.database.workspace import Workspace
from claude_force.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable, SettingsError
from claude_force.executions.origin import host_name
from claude_force.ingest.sources import INGESTING, Unread, UsualSources, unread, usual_sources
from claude_force.settings.location import DATABASE_VARIABLE, database_location

MAX_AGE_US = 30 * SECOND_US
"""A report that is at most this much older than the last pass does not look for anything new."""

ANOTHER_READS = "another process is reading now; what it reads is not in this answer yet"
BUSY = "another process is writing to the database; nothing new was read"

OnRead = Callable[[int], AbstractContextManager[Progress | None]]
"""Called with the number of bytes that are read next; what it returns shows how far that is."""


class Freshness(NamedTuple):
    """How old an answer is. `read_us` is when this machine last looked for something new; None if it never did for
    this database. `unread_files` and `unread_bytes` are what is new and not in the answer; None if nobody looked.
    `problems` are why something could not be read, a line each."""

    as_of_us: int
    read_us: int | None = None
    unread_files: int | None = None
    unread_bytes: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def age_s(self) -> int | None:
        """Whole seconds since the last pass; None if there was none."""
        return None if self.read_us is None else max(self.as_of_us - self.read_us, 0) // SECOND_US

    @property
    def is_incomplete(self) -> bool:
        """Whether something is known that is not in the answer: it is not read yet, or cannot be read."""
        return bool(self.unread_files or self.problems)


def stored_freshness(workspace: Workspace, now_us: int) -> Freshness:
    """How old an answer is without looking for anything new. Raises DatabaseUnavailable if the database cannot be
    reached."""
    try:
        with workspace.database.read() as connection:
            last = last_pass(connection, host_name() or "")
    except DatabaseUnavailable:
        raise
    except DatabaseError:
        # The report meets the same error, and says it.
        return Freshness(now_us)
    return Freshness(now_us) if last is None else Freshness(now_us, last.began_us)


def bring_up_to_date(
    workspace: Workspace,
    now_us: int,
    should_stop: Callable[[], bool],
    on_read: OnRead = lambda _bytes: nullcontext(),
    *,
    max_age_us: int = MAX_AGE_US,
    session_file: str | None = None,
) -> Freshness:
    """Read what is new in the usual sources of a workspace, if they were not read in the last `max_age_us`, until
    `should_stop`; at least a part of one file is read. `session_file` is the transcript of the session to read first.

    Never waits for another process. Raises DatabaseUnavailable if the database cannot be reached, SettingsError if the
    settings name an impossible path, and no other Exception; KeyboardInterrupt passes through.
    """
    try:
        look = _look(workspace, now_us, max_age_us)
    except (DatabaseUnavailable, SettingsError):
        # The report would wait for the same server a second time. Wrong settings are refused, as everywhere.
        raise
    except Exception as error:  # the report follows, whatever happens here
        return Freshness(now_us, problems=(_problem_of(error),))
    if isinstance(look, Freshness):
        return look
    try:
        return _read_new(workspace, look, now_us, should_stop, on_read, session_file)
    except Exception as error:
        return Freshness(now_us, look.last and look.last.began_us, *_left(workspace, look), (_problem_of(error),))


class _Look(NamedTuple):
    """What was found that is new: the pass before it, the sources, how much of them is not read, and what could not be
    looked at."""

    last: IngestPass | None
    sources: UsualSources
    left: Unread
    problems: list[tuple[Path, str]]


def _look(workspace: Workspace, now_us: int, max_age_us: int) -> _Look | Freshness:
    """What is new; the answer itself where there is nothing to read."""
    database, host = workspace.database, host_name() or ""
    with database.read() as connection:
        last = last_pass(connection, host)
        if last is None and not _is_chosen_by_settings(workspace):
            return Freshness(now_us)
        if last is not None and not last.unread_files and 0 <= now_us - last.began_us <= max_age_us:
            return Freshness(now_us, *last)
        problems: list[tuple[Path, str]] = []
        sources = usual_sources(workspace, lambda path, problem: problems.append((path, problem)))
        left = unread(sources.files(), file_stamps(connection, host))
    if left.files or sources.has_waiting():
        return _Look(last, sources, left, problems)
    return _nothing_new(database, now_us, tuple(f"{path}: {problem}" for path, problem in problems))


def _read_new(
    workspace: Workspace,
    look: _Look,
    now_us: int,
    should_stop: Callable[[], bool],
    on_read: OnRead,
    session_file: str | None,
) -> Freshness:
    database, last = workspace.database, look.last
    with database.try_exclusive(INGESTING) as is_alone:
        if not is_alone:
            return Freshness(now_us, last and last.began_us, *look.left, (ANOTHER_READS,))
        # An original must be read before its copies: only once everything older was read may a session come first.
        first = None if last is None or last.unread_files else session_file
        with on_read(look.left.bytes) as progress, database.without_waiting():
            problems = _run_pass(workspace, look, now_us, should_stop, progress, first)
    with database.read() as connection:
        # A pass that stored nothing makes no database, and so is not stored itself.
        done = last_pass(connection, host_name() or "") or IngestPass(now_us, problems=problems)
    return Freshness(now_us, *done)


def _left(workspace: Workspace, look: _Look) -> Unread:
    """What is not read after a pass that failed: some of it may be stored."""
    try:
        with workspace.database.read() as connection:
            return unread(look.sources.files(), file_stamps(connection, host_name() or ""))
    except DatabaseError:
        return look.left


def _problem_of(error: Exception) -> str:
    if isinstance(error, DatabaseBusy):
        return BUSY
    return " ".join(f"{error}".split()) or type(error).__name__


def _is_chosen_by_settings(workspace: Workspace) -> bool:
    """Whether the database is the user's own, or the one of the settings: neither named for this command, nor used only
    because a project has it."""
    if os.environ.get(DATABASE_VARIABLE) or workspace.home.is_found:
        return False
    return workspace.location == database_location(workspace.settings, workspace.home)


def _nothing_new(database: Database, now_us: int, problems: tuple[str, ...]) -> Freshness:
    """Store that there was nothing new. If that is not possible, the next report looks again."""
    done = IngestPass(now_us, problems=problems)
    # Imported here: most reports follow a pass of the last seconds.
    from claude_force.ingest.nothing_new import save_nothing_new

    save_nothing_new(database, done)
    return Freshness(now_us, *done)


def _run_pass(
    workspace: Workspace,
    look: _Look,
    now_us: int,
    should_stop: Callable[[], bool],
    progress: Progress | None,
    session_file: str | None,
) -> tuple[str, ...]:
    """Read what is new; returns the problems, a line each."""
    # Imported here: most reports find nothing new, and this takes longer to load than they take.
    from claude_force.ingest.loader import without_gc
    from claude_force.ingest.plan import as_inputs, ingest_options
    from claude_force.ingest.report import SourceReport
    from claude_force.ingest.run import problem_lines, run_pass

    report = SourceReport()
    for path, problem in look.problems:
        report.add_problem(path, problem)
    inputs = as_inputs(look.sources, report, session_file)
    options = ingest_options(workspace, now_us)._replace(waits=False)
    with without_gc():
        return problem_lines(run_pass(workspace.database, inputs, options, progress, should_stop))
