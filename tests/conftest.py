"""Fixtures. Each docstring says what the fixture guarantees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests import profiles
from tests.counterparts import Authority
from tests.fork_server import FROZEN, ForkServer
from tests.postgres import TEMPLATE_BARE, DatabasesAtHead, new_database, new_folder, shared_server

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PROGRAM = Path(sys.executable).with_name("claude-force")

Run = Callable[..., subprocess.CompletedProcess[str]]

_SERVER_FOLDER = "PYTEST_SERVER_FOLDER"
"""Names, for all processes of a run, the folder of their PostgreSQL server."""

_IS_INSTALLED = pytest.StashKey[bool]()
"""On a test whose runs of the program start an interpreter."""

_SERVER_KEEPER = pytest.StashKey["subprocess.Popen[bytes]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--thorough`: all tests, more examples, and in each file a test whose runs start interpreters."""
    parser.addoption("--thorough", action="store_true", help="the tests marked thorough too, and many more examples")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the number of examples, before the modules of tests are imported."""
    profiles.load("thorough" if config.getoption("thorough") else "quick")
    if not hasattr(config, "workerinput"):
        folder = new_folder()
        os.environ[_SERVER_FOLDER] = str(folder)
        # Ends the server of the run also when the run is killed.
        command = [sys.executable, "-m", "tests.postgres", str(folder)]
        config.stash[_SERVER_KEEPER] = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three processes for two processors, because many tests wait for a timer, a disk or another program; a dozen at
    most, each with a third of a gigabyte, since a container on a large machine sees processors that it may not use."""
    return min(12, max(1, 3 * (os.cpu_count() or 1) // 2))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server of the run, after all of its processes."""
    if not hasattr(config, "workerinput"):
        config.stash[_SERVER_KEEPER].communicate()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only a thorough run tries, unless it was asked for."""
    if config.getoption("thorough"):
        _choose_installed(items)
        return
    left_out = [item for item in items if _is_thorough(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _is_thorough(item)]


def _choose_installed(items: Iterable[pytest.Item]) -> None:
    """The first test of each file that asks for `run` starts interpreters, as a user's shell does. All others fork: a
    run takes a third of the time, and the pages' tests start every command that they show."""
    chosen: dict[Path, pytest.Item] = {}
    for item in items:
        if "run" in getattr(item, "fixturenames", ()):
            first = chosen.setdefault(item.path, item)
            chosen[item.path] = min(first, item, key=lambda each: (each.location[1] or 0, each.nodeid))
    for item in chosen.values():
        item.stash[_IS_INSTALLED] = True


def _is_thorough(item: pytest.Item) -> bool:
    """What is marked, and on PostgreSQL the installed program, and a test with other than its first parameters: a
    quick run tries every integration and property test on both engines, and all of its parameters on SQLite."""
    if item.get_closest_marker("thorough"):
        return True
    parameters = getattr(item, "callspec", None)
    if parameters is None or "postgresql" not in parameters.params.values():
        return False
    others = [at for name, at in parameters.indices.items() if parameters.params[name] != "postgresql"]
    return any(others) or item.path.parent.name == "acceptance"


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


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer | None]:
    """What runs the program without starting an interpreter; None where that does not work."""
    if sys.platform != "linux":
        yield None
        return
    with closing(ForkServer(tmp_path_factory.mktemp("fork"))) as found:
        yield found


@pytest.fixture
def run(home: Path, fork_server: ForkServer | None, request: pytest.FixtureRequest) -> Run:
    """Runs the installed program in the home folder; gives its exit code, stdout and stderr. Local time is UTC; `at` is
    the time when it starts (default: now). In a thorough run one test of each file starts interpreters."""
    is_installed = request.node.stash.get(_IS_INSTALLED, False)

    def call(*arguments: str | Path, env: dict[str, str] | None = None, at: str | None = None, **options: Any) -> Any:
        environment = os.environ | {"TZ": "UTC"} | (env or {})
        if fork_server and not is_installed and fork_server.can_run(env or {}, options):
            return fork_server.run(list(map(str, arguments)), environment, at=at, **options)
        defaults: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120}
        program = [str(PROGRAM)] if at is None else [sys.executable, "-c", FROZEN, at]
        environment |= {} if at is None else {"PYTHONPATH": str(ROOT)}
        command = [*program, *map(str, arguments)]
        return subprocess.run(command, env=environment, check=False, **defaults | options)

    return call


@pytest.fixture(scope="session")
def run_code(fork_server: ForkServer | None) -> Run:
    """Runs Python code with arguments in the working folder, as `python -c`; gives its exit code, stdout and stderr."""

    def call(code: str, *arguments: str | Path, env: dict[str, str] | None = None, **options: Any) -> Any:
        environment, words = os.environ | (env or {}), list(map(str, arguments))
        if fork_server and fork_server.can_run(env or {}, options):
            return fork_server.run(words, environment, code=code, **options)
        defaults: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120}
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, env=environment, check=False, **defaults | options)

    return call


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The URI of a real PostgreSQL server with a template database at head; one server for all test processes."""
    return shared_server(Path(os.environ[_SERVER_FOLDER]))


@pytest.fixture(scope="session")
def databases_at_head(postgres_server: str) -> DatabasesAtHead:
    """Where a test process takes its databases from."""
    return DatabasesAtHead(postgres_server)


@pytest.fixture
def postgres_url(databases_at_head: DatabasesAtHead) -> Iterator[str]:
    """The URL of an empty PostgreSQL database at head."""
    with databases_at_head.one() as url:
        yield url


@pytest.fixture
def bare_url(postgres_server: str) -> Iterator[str]:
    """The URL of a PostgreSQL database without a schema, dropped afterwards."""
    with new_database(postgres_server, TEMPLATE_BARE) as url:
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
