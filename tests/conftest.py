"""Fixtures. Each docstring says what the fixture guarantees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.counterparts import Authority
from tests.postgres import TEMPLATE_AT_HEAD, new_database, running_server

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
    with running_server() as admin:
        yield admin


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database at head, dropped afterwards."""
    with new_database(postgres_server, TEMPLATE_AT_HEAD) as url:
        yield url


@pytest.fixture
def bare_url(postgres_server: str) -> Iterator[str]:
    """The URL of a PostgreSQL database without a schema, dropped afterwards."""
    with new_database(postgres_server, "template1") as url:
        yield url


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
