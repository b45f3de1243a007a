"""Statements that are sent to a server in one piece, by libpq.

psycopg's own pipeline sends each statement by itself. Then the server wakes up for the first, and waits in the middle
of a transaction until the client has a processor again to send the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Wait

from claude_force.database.postgres.values import Raw

_numbers = count()
"""Of prepared statements."""


def run(raw: Raw, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[int]:
    """Run statements with the marks $1, $2 ... as one transaction, and wait once; the rows that each changed. The
    server decides by its place what type a value has. Raises psycopg.Error, the first one.

    A statement is prepared at its first use, unless the connection must not (`prepare_threshold`)."""
    # First, since a value may be refused.
    ready = [(sql, *_dumped(raw, values)) for sql, values in statements]
    raw.pgconn.enter_pipeline_mode()
    try:
        prepared = _send(raw, ready)
        results = raw.wait(_results(raw.pgconn))
        raw.pgconn.exit_pipeline_mode()
    except BaseException:
        # Nobody can use a connection in the middle of a pipeline.
        raw.close()
        raise
    for names, result in zip(prepared, results, strict=False):
        # Also where another one fails: what is prepared outlasts the transaction.
        if result.status == ExecStatus.COMMAND_OK:
            raw.prepared |= names
    if failed := next((result for result in results if result.status == ExecStatus.FATAL_ERROR), None):
        raise error_from_result(failed)
    return [int(changed) for result in results if (changed := result.command_tuples) is not None]


def _send(
    raw: Raw, statements: Sequence[tuple[str, Sequence[Buffer | None], Sequence[Format]]]
) -> list[dict[str, bytes]]:
    """Send statements, and what prepares them. For each of what was sent, the statement that it prepares, with its
    name."""
    libpq, names = raw.pgconn, dict(raw.prepared)
    sent: list[dict[str, bytes]] = []
    for sql, values, formats in statements:
        if raw.prepare_threshold is None:
            libpq.send_query_params(sql.encode(), values, param_formats=formats)
        else:
            if sql not in names:
                names[sql] = b"claude_force_%d" % next(_numbers)
                libpq.send_prepare(names[sql], sql.encode())
                sent.append({sql: names[sql]})
            libpq.send_query_prepared(names[sql], values, param_formats=formats)
        sent.append({})
    libpq.pipeline_sync()
    return sent


def _dumped(raw: Raw, values: Sequence[Any]) -> tuple[Sequence[Buffer | None], Sequence[Format]]:
    transformer = Transformer.from_context(raw)
    dumped = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
    return dumped, transformer.formats or ()


def _results(libpq: PGconn) -> PQGen[list[PGresult]]:
    """The results of all that was sent, to the end of the pipeline. Raises psycopg.Error if the connection is lost."""
    while libpq.flush():
        yield Wait.RW
        libpq.consume_input()
    found: list[PGresult] = []
    while not found or found[-1].status != ExecStatus.PIPELINE_SYNC:
        while libpq.is_busy():
            yield Wait.R
            libpq.consume_input()
        if (result := libpq.get_result()) is not None:
            found.append(result)
        # Otherwise a statement ends here.
        elif libpq.status != ConnStatus.OK:
            raise psycopg.OperationalError(libpq.get_error_message())
    return found
