"""Which claude.json and which store apply in a folder: the table of `settings.home`, and its neighbours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from claude_force.errors import SettingsError
from claude_force.files import make_folder
from claude_force.settings.claude_json import load_settings, metrics_file
from claude_force.settings.home import Home, find_home, home_at, shared_home, user_home
from claude_force.settings.location import DATABASE_VARIABLE, database_location, explained_location

URL = "postgresql://db.example.com/metrics"


class Case(NamedTuple):
    """What a project has in its `.claude`, and what then applies in it. Paths are relative to the project if they begin
    with `.claude`, otherwise to the home folder."""

    project: dict[str, str]
    settings: str
    store: str
    is_found: bool = False
    user: str = "{}"


def section(**values: Any) -> str:
    """A claude.json with these settings."""
    return json.dumps({"other": 1, "performance": values})


USER, USER_DB = "~/.claude/claude.json", "~/.claude/metrics/metrics.db"
OWN, OWN_DB = ".claude/claude.json", ".claude/metrics/metrics.db"
CASES = {
    "nothing of ours": Case({"settings.json": "{}"}, USER, USER_DB),
    "a claude.json of others": Case({"claude.json": '{"mcpServers": {}}'}, USER, USER_DB),
    "an empty claude.json": Case({"claude.json": " "}, USER, USER_DB),
    "a claude.json that is no object": Case({"claude.json": "[]"}, USER, USER_DB),
    "an empty section": Case({"claude.json": section()}, OWN, USER_DB),
    "settings": Case({"claude.json": section(reference_model="claude-opus-4-5")}, OWN, USER_DB),
    "a database by path": Case({"claude.json": section(database=".claude/x.db")}, OWN, ".claude/x.db"),
    "a database elsewhere": Case({"claude.json": section(database="~/x.db")}, OWN, "~/x.db"),
    "a database by URL": Case({"claude.json": section(database=URL)}, OWN, URL),
    "no database": Case({"claude.json": section(database=None)}, OWN, USER_DB),
    "a metrics file that is there": Case(
        {"claude.json": section(metrics_file=".claude/metrics/executions.jsonl"), "metrics/executions.jsonl": ""},
        OWN,
        OWN_DB,
    ),
    "a metrics file that is not there": Case(
        {"claude.json": section(metrics_file=".claude/metrics/executions.jsonl")}, OWN, USER_DB
    ),
    "a metrics file elsewhere": Case({"claude.json": section(metrics_file="~/.claude/claude.json")}, OWN, USER_DB),
    "a metrics file that leaves the folder": Case(
        {"claude.json": section(metrics_file=".claude/../x.jsonl"), "../x.jsonl": ""}, OWN, USER_DB
    ),
    "only a metrics file": Case({"metrics/executions.jsonl": ""}, USER, USER_DB),
    "a store": Case({"metrics/metrics.db": "x"}, USER, OWN_DB, is_found=True),
    "a store and settings": Case({"metrics/metrics.db": "x", "claude.json": section()}, OWN, OWN_DB, is_found=True),
    "a store that is named": Case(
        {"metrics/metrics.db": "x", "claude.json": section(database=".claude/metrics/metrics.db")}, OWN, OWN_DB
    ),
    "a store, and another that is named": Case(
        {"metrics/metrics.db": "x", "claude.json": section(database="~/x.db")}, OWN, "~/x.db"
    ),
    "nothing, where the user has a server": Case({}, USER, URL, user=section(database=URL)),
    "settings, where the user has a server": Case({"claude.json": section()}, OWN, URL, user=section(database=URL)),
    "settings, where the user has another file": Case(
        {"claude.json": section()}, OWN, "~/data/x.db", user=section(database="data/x.db")
    ),
    "a store, where the user has a server": Case(
        {"metrics/metrics.db": "x"}, USER, OWN_DB, is_found=True, user=section(database=URL)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("inside", [".", "src/deep"])
def test_settings_and_store_of_a_project(name: str, inside: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in the project the command runs."""
    case, project = CASES[name], home / "work" / "shop"
    (project / inside).mkdir(parents=True)
    (project / ".claude").mkdir()
    for file, content in case.project.items():
        (project / ".claude" / file).parent.mkdir(exist_ok=True)
        (project / ".claude" / file).write_text(content)
    (home / ".claude" / "claude.json").write_text(case.user)
    monkeypatch.chdir(project / inside)

    def path(text: str) -> str:
        return (
            text
            if "://" in text
            else str(project / text)
            if text.startswith(".claude")
            else text.replace("~", str(home))
        )

    found = find_home()
    settings, _ = load_settings(found)
    assert (str(found.settings_file), database_location(settings, found)) == (path(case.settings), path(case.store))
    assert found.is_found == case.is_found
    assert database_location(settings, find_home(found.working_folder)) == path(case.store)
    monkeypatch.setenv(DATABASE_VARIABLE, "sqlite:////tmp/named.db")
    assert explained_location(settings, found) == ("/tmp/named.db", "CLAUDE_FORCE_DB names it")


def test_a_project_in_a_project(home: Path) -> None:
    """The nearest folder with settings or a store counts, not the nearest folder."""
    inner = home / "work" / "packages" / "ui"
    for folder in (home / "work" / ".claude", inner / ".claude"):
        folder.mkdir(parents=True)
    assert find_home(inner) == Home(
        home / ".claude", home / ".claude" / "metrics", unused_metrics_folder=inner / ".claude" / "metrics"
    )
    (home / "work" / ".claude" / "claude.json").write_text(section())
    assert find_home(inner).folder == home / "work" / ".claude"
    (inner / ".claude" / "claude.json").write_text(section())
    assert find_home(inner).folder == inner / ".claude"


def test_the_folder_of_the_user_is_no_project(home: Path, tmp_path: Path) -> None:
    """Neither where the home folder itself is a project with a store, nor through a link to it. A folder above it does
    not count."""
    (home / ".claude" / "metrics").mkdir()
    (home / ".claude" / "metrics" / "metrics.db").write_text("x")
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "claude.json").write_text(section())
    (home / "work").mkdir()
    (home / "work" / ".claude").symlink_to(home / ".claude")
    assert find_home(home) == find_home(home / "work") == user_home()
    assert find_home(tmp_path).folder == tmp_path / ".claude"


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"performance": 5}', b'{"performance": null}'])
def test_a_broken_file_of_a_project_is_an_error(content: bytes, home: Path) -> None:
    """Its settings may matter, so the user's do not take their place."""
    project = home / "shop" / ".claude"
    project.mkdir(parents=True)
    (project / "claude.json").write_bytes(content)
    with pytest.raises(SettingsError, match="shop"):
        load_settings(find_home(project.parent))


def test_a_broken_file_of_the_user_is_an_error_where_it_decides(home: Path) -> None:
    """A project with settings but without a database needs the user's; one that names a database does not."""
    (home / ".claude" / "claude.json").write_text("{")
    project = home / "shop" / ".claude"
    project.mkdir(parents=True)
    (project / "claude.json").write_text(section())
    with pytest.raises(SettingsError, match="line 1 column 2"):
        load_settings(find_home(project.parent))
    (project / "claude.json").write_text(section(database="x.db"))
    assert load_settings(find_home(project.parent))[0].database == "x.db"


def test_the_metrics_file_of_a_project_is_still_read(home: Path) -> None:
    """The default one of a project without a store, as claude-force 1.3 wrote it; otherwise the one of the store."""
    project = home / "shop" / ".claude" / "metrics"
    project.mkdir(parents=True)
    found = find_home(project)
    settings, _ = load_settings(found)
    assert metrics_file(settings, found) == home / ".claude" / "metrics" / "executions.jsonl"
    (project / "executions.jsonl").touch()
    assert metrics_file(settings, found) == project / "executions.jsonl"


@pytest.mark.parametrize("content", [None, section(), section(reference_model="claude-opus-4-5")])
def test_a_store_that_was_found_can_be_left(content: str | None, home: Path) -> None:
    """`shared_home` is the home that applies once the found store is gone; it changes no other."""
    project = home / "shop" / ".claude"
    (project / "metrics").mkdir(parents=True)
    if content is not None:
        (project / "claude.json").write_text(content)
    expected = find_home(project)
    assert shared_home(expected) is expected
    (project / "metrics" / "metrics.db").write_text("x")
    assert find_home(project) != expected
    assert shared_home(find_home(project)) == expected


def test_a_folder_that_was_named_keeps_its_store(home: Path) -> None:
    """The home of a folder has its settings and its store, whatever they say."""
    project = home / "shop" / ".claude"
    project.mkdir(parents=True)
    for folder in (project, project / "metrics"):
        assert home_at(folder).database_file == project / "metrics" / "metrics.db"
        assert home_at(folder).settings_file == project / "claude.json"


@pytest.mark.parametrize(
    ("made", "ignoring"),
    [
        (".claude/metrics", [".claude/metrics"]),
        (".claude/metrics/backups", [".claude/metrics"]),
        ("deep/.claude/metrics", ["deep/.claude/metrics"]),
        (".claude", []),
        ("data/metrics", []),
        (".claude/agents", []),
    ],
)
def test_git_ignores_a_metrics_folder(made: str, ignoring: list[str], tmp_path: Path) -> None:
    """And no other folder; an own `.gitignore` stays."""
    for _ in range(2):
        make_folder(tmp_path / made)
        assert [str(file.parent.relative_to(tmp_path)) for file in tmp_path.rglob(".gitignore")] == ignoring
    for folder in ignoring:
        assert (tmp_path / folder / ".gitignore").read_text() == "*\n"
        (tmp_path / folder / ".gitignore").write_text("backups\n")
        make_folder(tmp_path / made)
        assert (tmp_path / folder / ".gitignore").read_text() == "backups\n"
