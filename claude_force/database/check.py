"""Checking a database: its pages beside its roll-ups, since both take long and each waits for no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from claude_force.database import queries
from claude_force.database.contract import Database, Integrity, Progress
from claude_force.database.queries import verify_rollups
from claude_force.errors import DatabaseError


def check(database: Database, progress: Progress | None = None) -> tuple[list[str], str]:
    """What is wrong with the pages or, if they are sound, with the roll-ups, a line each; and what the engine could not
    check, with the reason. `progress` is called with the number of executions that were checked. Raises DatabaseError
    if the database cannot be read."""
    with ThreadPoolExecutor(1) as beside:
        others = beside.submit(_pages_and_sums, database)
        problems: list[str] = []
        failure: DatabaseError | None = None
        try:
            with database.read() as connection:
                queries.read_every_column(connection)
                problems = verify_rollups.differences_from_rows(connection, progress)
        except DatabaseError as error:
            failure = error
        pages, of_sums = others.result()
    cluster = database.cluster()
    problems += [f"{found.text}: {found.remedy}" for found in cluster.defects() if found.is_urgent] if cluster else []
    if pages.defects:
        return pages.defects, pages.unchecked
    if failure is not None:
        raise failure
    return problems + of_sums, pages.unchecked


def number_to_check(database: Database) -> int:
    """How many executions `check` will look at; 0 if the database cannot say."""
    try:
        with database.read() as connection:
            return queries.stored(connection)
    except DatabaseError:
        return 0


def _pages_and_sums(database: Database) -> tuple[Integrity, list[str]]:
    """What is wrong with the pages and, if they are sound, with the sums of sums."""
    pages = database.check_integrity()
    if pages.defects:
        return pages, []
    with database.read() as connection:
        return pages, verify_rollups.differences_of_sums(connection)
