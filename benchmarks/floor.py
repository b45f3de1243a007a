"""Lower bounds and other programs that our measures are compared with.

Each is a sub-command, so that it is measured as a whole process: `python benchmarks/floor.py --help`.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

FIELDS = (
    "timestamp",
    "agent_name",
    "task_hash",
    "success",
    "execution_time_ms",
    "model",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "estimated_cost",
    "error_type",
    "workflow_id",
)

_RECORD_COLUMNS = (
    "uid BLOB PRIMARY KEY, timestamp_us INTEGER, series_id INTEGER, success INTEGER, task_hash TEXT, "
    "duration_us INTEGER, input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, "
    "cache_write_5m_tokens INTEGER, cache_write_1h_tokens INTEGER, cost_nanousd INTEGER, "
    "reference_cost_nanousd INTEGER, price_version TEXT, error_type TEXT, workflow_id TEXT, "
    "workflow_position INTEGER, host TEXT, run_id TEXT"
)
_RECORD_INSERT = f"INSERT INTO executions VALUES ({', '.join('?' * 19)})"

_SUMMARY_SQL = """
    SELECT agent_name, model, count(*), avg(success::int), avg(execution_time_ms),
           quantile_cont(execution_time_ms, [0.5, 0.95, 0.99]), sum(estimated_cost),
           sum(input_tokens), sum(output_tokens), sum(total_tokens)
    FROM {source} GROUP BY GROUPING SETS ((), (agent_name), (model))
"""


@dataclass
class Execution:
    """A line as claude-force 1.3 kept it in memory."""

    timestamp: str
    agent_name: str
    task_hash: str
    success: bool
    execution_time_ms: float
    model: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    estimated_cost: float
    error_type: str | None
    workflow_id: str | None


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode, with WAL and the same durability as ours."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def import_lines(lines: Path, database: Path, decode: Callable[[bytes], Any]) -> None:
    """Decode each line and insert it into one table without an index, in one transaction."""
    connection = connect(database)
    values = itemgetter(*FIELDS)
    connection.execute(f"CREATE TABLE executions ({', '.join(FIELDS)})")
    connection.execute("BEGIN IMMEDIATE")
    with open(lines, "rb") as file:
        insert = f"INSERT INTO executions VALUES ({', '.join('?' * len(FIELDS))})"
        connection.executemany(insert, (values(decode(line)) for line in file))
    connection.execute("COMMIT")
    connection.close()


def export_lines(database: Path, output: Path) -> None:
    """Write every row of one of our databases as a line of JSON, in storage order."""
    import orjson

    connection = sqlite3.connect(database)
    with open(output, "wb") as file:
        cursor = connection.execute("SELECT * FROM executions JOIN series USING (series_id)")
        names = [column[0] for column in cursor.description]
        for uid, *row in cursor:
            # The uid is bytes, which JSON has not; hex is the fastest text.
            values = dict(zip(names, (uid.hex(), *row), strict=True))
            file.write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))
    connection.close()


def predecessor(lines: Path) -> dict[str, Any]:
    """Load the whole file as a list of objects and sum it in Python, as claude-force 1.3 did."""
    with open(lines, encoding="utf-8") as file:
        executions = [Execution(**json.loads(line)) for line in file]
    agents: dict[str, list[Execution]] = {}
    models: dict[str, list[Execution]] = {}
    for execution in executions:
        agents.setdefault(execution.agent_name, []).append(execution)
        models.setdefault(execution.model, []).append(execution)
    return _figures(executions) | {
        "by_agent": {name: _figures(group) for name, group in agents.items()},
        "by_model": {name: _figures(group) for name, group in models.items()},
    }


def _figures(executions: list[Execution]) -> dict[str, Any]:
    return {
        "executions": len(executions),
        "success_rate": sum(1 for execution in executions if execution.success) / len(executions),
        "avg_execution_time_ms": sum(execution.execution_time_ms for execution in executions) / len(executions),
        "total_cost": sum(execution.estimated_cost for execution in executions),
        "input_tokens": sum(execution.input_tokens for execution in executions),
        "output_tokens": sum(execution.output_tokens for execution in executions),
        "total_tokens": sum(execution.total_tokens for execution in executions),
    }


def duckdb_summary(source: str) -> list[tuple[Any, ...]]:
    """Compute a summary with percentiles in one DuckDB scan of a file."""
    import duckdb

    found = duckdb.sql(_SUMMARY_SQL.format(source=source))
    assert found is not None
    rows: list[tuple[Any, ...]] = found.fetchall()
    return rows


def jsonl_source(lines: Path) -> str:
    """The DuckDB expression for a JSONL file."""
    return f"read_json_auto('{lines}', format = 'newline_delimited')"


def make_parquet(lines: Path, parquet: Path) -> None:
    """Convert the executions to Parquet with DuckDB."""
    import duckdb

    duckdb.sql(f"COPY (FROM {jsonl_source(lines)}) TO '{parquet}' (FORMAT parquet)")


def recording_database(path: Path) -> sqlite3.Connection:
    """Create the minimal table for executions: the uid as its key, and one index on the time."""
    connection = connect(path)
    connection.execute(f"CREATE TABLE executions ({_RECORD_COLUMNS}) WITHOUT ROWID")
    connection.execute("CREATE INDEX ix_executions ON executions (timestamp_us, uid)")
    return connection


def recordings(timestamp_us: int) -> Iterator[tuple[Any, ...]]:
    """Rows of recorded executions, with uids in the order of time."""
    while True:
        timestamp_us += 1000
        uid = (timestamp_us // 1000).to_bytes(6, "big") + os.urandom(10)
        tokens = (1234, 567, 0, 0, 0)
        costs = (4_069_000, 12_207_000, "2026-01-01")
        yield uid, timestamp_us, 1, 1, "a3b4c5d6", 3_456_000, *tokens, *costs, None, None, None, "host", None


def record(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    """Insert one execution in its own transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_RECORD_INSERT, row)
    connection.execute("COMMIT")


def _import_by_orjson(lines: Path, database: Path) -> None:
    import orjson

    import_lines(lines, database, orjson.loads)


_COMMANDS: dict[str, Callable[..., object]] = {
    "import-orjson": _import_by_orjson,
    "import-json": lambda lines, database: import_lines(lines, database, json.loads),
    "export": export_lines,
    "predecessor": predecessor,
    "duckdb-jsonl": lambda lines: duckdb_summary(jsonl_source(lines)),
    "duckdb-parquet": lambda parquet: duckdb_summary(f"read_parquet('{parquet}')"),
    "make-parquet": make_parquet,
}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=_COMMANDS)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="The input, then the output.")
    options = parser.parse_args()
    found = _COMMANDS[options.command](*options.files)
    if found is not None:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    _main()
