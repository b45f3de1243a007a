"""The recipes of `docs/how-to/open-data.md` work as they stand there."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate
from tests import citus
from tests.conftest import ROOT, Run

PAGE = (ROOT / "docs" / "how-to" / "open-data.md").read_text(encoding="utf-8")
METADATA = ROOT / "examples" / "datasette.yml"
QUERIES: dict[str, Any] = msgspec.yaml.decode(METADATA.read_bytes())["databases"]["metrics"]["queries"]
PANELS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def python_of(section: str) -> list[str]:
    """The Python of a section."""
    text = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def reader(home: Path, run: Run) -> Path:
    """A reader's home, with a store."""
    assert run("import", ROOT / "examples/executions-1.3.jsonl", "--reprice").returncode == 0
    return home


def test_duckdb_reads_an_export(reader: Path, run: Run) -> None:
    """With costs that are those of the report."""
    assert run("export", "--format", "parquet", "--output", "lake").returncode == 0
    found: dict[str, Any] = {}
    exec(python_of("DuckDB")[0], found)
    with closing(open_database(str(reader / ".claude/metrics/metrics.db"))) as database:
        assert round(sum(row[2] for row in found["costs"]) * 1e9) == total_nanousd(database)


def test_duckdb_reads_the_store(reader: Path) -> None:
    """Where its extension for SQLite is installed: otherwise it is loaded from a server."""
    with duckdb.connect() as connection:
        try:
            connection.execute("LOAD sqlite")
        except duckdb.Error:
            pytest.skip("the extension of DuckDB for SQLite is not installed, and tests load nothing from the network")
    found: dict[str, Any] = {}
    exec(python_of("DuckDB")[1].replace('    connection.execute("INSTALL sqlite")\n', ""), found)
    assert len(found["costs"]) > 30


def test_pandas_reads_the_store(reader: Path) -> None:
    """Instants are instants."""
    pytest.importorskip("pandas", reason="pandas is not installed")
    found: dict[str, Any] = {}
    exec(python_of("pandas")[0], found)
    assert str(found["executions"].timestamp.dtype).startswith("datetime64")
    assert len(found["costs"]) == found["executions"].model.nunique()


def test_every_question_for_datasette_has_an_answer(reader: Path) -> None:
    """As SQLite answers, read only, as Datasette opens a file."""
    with closing(sqlite3.connect(f"file:{reader}/.claude/metrics/metrics.db?mode=ro", uri=True)) as connection:
        for name, query in QUERIES.items():
            assert connection.execute(query["sql"], {"day": "2025-10-14"}).fetchall(), name


def test_datasette_answers(reader: Path) -> None:
    """With the file that the page names."""
    arguments = [
        ".claude/metrics/metrics.db",
        "--metadata",
        str(METADATA),
        "--get",
        "/metrics/cost_by_day.json?_shape=array",
    ]
    done = subprocess.run([sys.executable, "-m", "datasette", *arguments], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0].keys() == {"day", "cost", "executions"}


def test_every_question_for_datasette_is_on_the_page() -> None:
    """Under its title."""
    assert [f"| {query['title']} |" in PAGE for query in QUERIES.values()] == [True] * len(QUERIES)


def test_panels_are_answered_by_postgresql(run: Run, postgres_url: str) -> None:
    """With Grafana's macros as Grafana writes them; the costs of the first panel add up to those of the report."""
    assert run("import", ROOT / "examples/executions-1.3.jsonl", "--reprice", "--db", postgres_url).returncode == 0
    with closing(open_database(postgres_url)) as database:
        answers = [asked(database, sql) for sql in PANELS[1:]]
        assert all(answers)
        assert round(sum(row[2] or 0 for row in answers[0]) * 1e9) == total_nanousd(database)


@pytest.mark.skipif(citus.COORDINATOR is not None, reason="workers do not know a role that is not committed")
def test_a_reader_reads_the_views_alone(postgres_url: str) -> None:
    """By the role of the page, which is taken back afterwards: it would be one of the whole server."""
    import psycopg

    with psycopg.connect(postgres_url.replace("postgresql+psycopg:", "postgresql:")) as connection:
        connection.execute(PANELS[0].encode())
        connection.execute("SET ROLE metrics_reader")
        assert connection.execute("SELECT COUNT(*) FROM daily_v1").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM executions")
        connection.rollback()


def asked(database: Database, sql: str) -> list[Any]:
    """The answer to a panel over all times; "this month" is any."""
    sql = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN '2000-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'", sql)
    sql = sql.replace("$__unixEpochFrom()", "946684800").replace("$__unixEpochTo()", "4102444800")
    with database.read() as connection:
        return connection.fetch(sql.replace("CURRENT_DATE", "DATE '2000-01-01'"))


def total_nanousd(database: Database) -> int:
    """What all executions cost, added up one by one."""
    return sum(each.cost_nanousd or 0 for each in iterate(database, Filter()))
