"""Read Claude Code's statistics, `stats-cache.json` beside its `projects`.

    {"version": 5, "firstSessionDate": "2025-11-20T08:12:31.042Z", "dailyModelTokensVersion": 5,
     "dailyModelTokens": [{"date": "2025-11-20", "tokensByModel": {"claude-opus-4-5-20251101": 29812}}]}

Claude Code deletes transcripts after 30 days and keeps this file, so it knows days that no transcript has. The dates
are those of UTC. Since `dailyModelTokensVersion` 5 the tokens include cached ones; before that, input and output only.
The other parts of the file, lifetime sums and counts of messages, say nothing about single days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from claude_force import clock
from claude_force.clock import DAY_US
from claude_force.database.contract import Database
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import Store
from claude_force.errors import InvalidRecord
from claude_force.executions.record import NAME_LIMIT
from claude_force.executions.statistics import DailyTokens
from claude_force.ingest.find_files import FoundFile, found_file
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.rejects import Rejected
from claude_force.ingest.report import SourceReport
from claude_force.ingest.sources import STATISTICS
from claude_force.ingest.tail import is_unchanged, unread
from claude_force.text import kind_of

_SIZE_LIMIT_BYTES = 32 * 1024 * 1024
_TOKENS_LIMIT = 10**13
"""More than a machine can use in a day."""

_WITH_CACHE_TOKENS = 5
_LATER_VERSION = 6
"""What a version from here on counts is not known."""


class Statistics(NamedTuple):
    """What a file has: the days, and the entries that are none, each with its reason."""

    days: list[DailyTokens]
    rejected: list[Rejected]


def read_statistics(
    database: Database, paths: Sequence[Path], options: IngestOptions, cursors: Mapping[str, Cursor]
) -> SourceReport:
    """Read the files that changed, and store their days. Raises DatabaseError, or InputError if rejected entries cannot
    be written; a file that cannot be read becomes a problem."""
    report = SourceReport()
    for path in paths:
        try:
            file = found_file(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            report.add_problem(path, error.strerror or str(error))
            continue
        report.files += 1
        if is_unchanged(cursors.get(file.name), file):
            report.unchanged += 1
        else:
            _read_file(database, file, options, report)
    return report


def _read_file(database: Database, file: FoundFile, options: IngestOptions, report: SourceReport) -> None:
    cursor = replace(unread(file, host=options.host, source=STATISTICS), last_read_us=options.now_us)
    days: list[DailyTokens] = []
    try:
        if file.size > _SIZE_LIMIT_BYTES:
            raise InvalidRecord("", f"larger than {_SIZE_LIMIT_BYTES // 1024**2} MiB; not read")
        found = parse(file.path.read_bytes(), f"{options.host}:{file.name}", options.now_us)
    except (OSError, InvalidRecord) as error:
        problem = (isinstance(error, OSError) and error.strerror) or str(error)
        report.add_problem(file.path, problem)
        cursor = replace(cursor, problem=problem)
    else:
        days = found.days
        if options.rejects is not None:
            options.rejects.write(file.name, found.rejected)
        report.reject(file.name, found.rejected)
        lines, rejected = len({day.day for day in days}), len(found.rejected)
        cursor = replace(cursor, size=file.size, mtime_ns=file.mtime_ns, lines=lines, rejected=rejected)
    if not options.is_dry_run:
        Store(database).save_statistics(days, cursor)


def parse(data: bytes, machine: str, now_us: int) -> Statistics:
    """The days in a file. `machine` names it if it does not say when its first session was, which tells machines apart
    whatever they are called. Raises InvalidRecord for a file that has no days at all."""
    try:
        cache = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRecord("", f"not valid JSON: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(cache, dict):
        raise InvalidRecord("", f"expected a JSON object, got {kind_of(cache)}")
    entries = cache.get("dailyModelTokens", [])
    if not isinstance(entries, list):
        raise InvalidRecord("dailyModelTokens", f"expected a list, got {kind_of(entries)}")
    first_session = cache.get("firstSessionDate")
    if isinstance(first_session, str) and _is_instant(first_session):
        machine = first_session
    last_day = clock.to_datetime(now_us + DAY_US, UTC).date().isoformat()
    found: dict[tuple[str, str], DailyTokens] = {}
    rejected: list[Rejected] = []
    has_cache_tokens = _has_cache_tokens(cache.get("dailyModelTokensVersion"))
    for index, entry in enumerate(entries):
        try:
            for day, model, tokens in _tokens_of(entry, last_day):
                found[day, model] = DailyTokens(machine, day, model, tokens, has_cache_tokens)
        except InvalidRecord as error:
            rejected.append(Rejected(1, 0, f"dailyModelTokens[{index}]: {error}", b""))
    return Statistics(list(found.values()), rejected)


def _tokens_of(entry: Any, last_day: str) -> list[tuple[str, str, int]]:
    """Day, model and tokens of an entry. Raises InvalidRecord; then nothing of it counts."""
    if not isinstance(entry, dict):
        raise InvalidRecord("", f"expected a JSON object, got {kind_of(entry)}")
    day, by_model = entry.get("date"), entry.get("tokensByModel")
    if not isinstance(day, str) or not _is_day(day):
        raise InvalidRecord("date", f"not a date: {str(day)[:100]!a}")
    if day > last_day:
        raise InvalidRecord("date", f"in the future: {day}")
    if not isinstance(by_model, dict):
        raise InvalidRecord("tokensByModel", f"expected a JSON object, got {kind_of(by_model)}")
    return [(day, model, tokens) for model, tokens in _checked(by_model)]


def _checked(by_model: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for model, tokens in by_model.items():
        if not model or len(model) > NAME_LIMIT or "\0" in model:
            raise InvalidRecord("tokensByModel", f"not the name of a model: {model[:NAME_LIMIT]!a}")
        if isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 <= tokens <= _TOKENS_LIMIT:
            raise InvalidRecord("tokensByModel", f"impossible tokens for {model!a}: {str(tokens)[:100]}")
        yield model, tokens


def _has_cache_tokens(version: object) -> int | None:
    if version is None:
        return 0
    if not isinstance(version, int) or version >= _LATER_VERSION:
        return None
    return int(version >= _WITH_CACHE_TOKENS)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_instant(text: str) -> bool:
    try:
        clock.parse_instant(text, UTC)
    except ValueError:
        return False
    return len(text) <= NAME_LIMIT
