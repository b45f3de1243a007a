"""Which folders are one project: by the settings, by what was found on the disk, by their paths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from claude_force.errors import SettingsError
from claude_force.executions.projects import ProjectNames, name_projects
from claude_force.settings.claude_json import load_settings, project_globs
from claude_force.settings.home import Home

WORKTREES = {
    "/home/me/shop/.claude/worktrees/quiet-otter": "/home/me/shop",
    "/home/me/shop/.claude/worktrees/quiet-otter/src/api": "/home/me/shop",
    "C:\\Users\\me\\shop\\.claude\\worktrees\\quiet-otter": "C:\\Users\\me\\shop",
    "/home/me/shop/.claude/worktrees": "/home/me/shop/.claude/worktrees",
    "/home/me/shop/.claude": "/home/me/shop/.claude",
    "/home/me/shop/worktrees/quiet-otter": "/home/me/shop/worktrees/quiet-otter",
    "/.claude/worktrees/x": "/.claude/worktrees/x",
    "shop": "shop",
    "": "",
}


@pytest.mark.parametrize("folder", WORKTREES)
def test_a_worktree_of_claude_code_belongs_to_its_repository(folder: str) -> None:
    """By its path alone, when neither is there any more."""
    assert name_projects([folder], {}) == {folder: WORKTREES[folder]}


EQUAL = [
    ("C:\\Users\\x\\shop", "c:\\users\\X\\shop", "C:/Users/x/shop", "c:/Users/x/shop/"),
    ("C:\\Users\\x\\shop", "/c/Users/x/shop", "/mnt/c/Users/x/shop", "/cygdrive/c/users/x/shop"),
    ("\\\\wsl$\\Ubuntu\\home\\x", "\\\\wsl.localhost\\Ubuntu\\home\\x"),
    ("\\\\SERVER\\Share\\shop", "\\\\server\\share\\shop"),
    ("/home/x/shop", "/home/x/shop/"),
]


@pytest.mark.parametrize("folders", EQUAL)
def test_what_is_certainly_one_folder_is_one_project(folders: tuple[str, ...]) -> None:
    """Windows ignores case, and takes both slashes. The project has the spelling with a capital drive letter."""
    assert set(name_projects(folders, {}).values()) == {folders[0]}
    assert set(name_projects(reversed(folders), {}).values()) == {folders[0]}


DIFFERENT = [
    ("/home/x/shop", "/home/X/shop"),
    ("/c/Users/x/shop", "/mnt/c/Users/x/shop"),
    ("/c/Users/x/shop", "/c/users/x/shop"),
    ("C:\\Users\\x\\shop", "D:\\Users\\x\\shop", "/d/users/y/shop"),
    ("\\\\wsl$\\Ubuntu\\home\\x", "\\\\wsl$\\Debian\\home\\x", "\\\\wsl$\\Ubuntu\\home\\X", "/home/x"),
    ("/home/x/shop", "/home/x/shop-2", "/home/x/shop/api"),
    ("C:\\Users\\x", "/home/c:\\users\\x"),
    ("shop", "Shop"),
]


@pytest.mark.parametrize("folders", DIFFERENT)
def test_what_may_be_two_folders_is_two_projects(folders: tuple[str, ...]) -> None:
    """On Linux case matters, and /c may be a folder of its own."""
    assert name_projects(folders, {}) == {folder: folder for folder in folders}


def test_what_was_found_on_the_disk() -> None:
    """A folder belongs to the repository that was found for it, in whichever spelling."""
    found = {"/x/shop/api": "/x/shop", "/x/shop-2": "/x/shop", "c:\\w\\api": "C:/w"}
    folders = ["/x/shop", "/x/shop/api", "/x/shop-2", "c:\\w\\api", "C:\\w"]
    assert name_projects(folders, found) == {
        "/x/shop": "/x/shop",
        "/x/shop/api": "/x/shop",
        "/x/shop-2": "/x/shop",
        "c:\\w\\api": "C:\\w",
        "C:\\w": "C:\\w",
    }


GLOBS: dict[str, tuple[str, Mapping[str, str], str]] = {
    "a folder": ("/x/shop", {}, "shop"),
    "a folder below it": ("/x/shop/api", {}, "shop"),
    "a folder that only begins so": ("/x/shopping", {}, "/x/shopping"),
    "a star": ("/x/shop-feat-a", {}, "shop"),
    "its repository": ("/y/tree", {"/y/tree": "/x/shop"}, "shop"),
    "the first name counts": ("/x/shop-old", {}, "shop"),
    "a later name": ("/z/old", {}, "old"),
    "a name that is also found": ("/x/shop/api", {"/x/shop/api": "/x/other"}, "shop"),
    "a drive": ("c:/users/X/Web", {}, "web"),
    "none of them": ("/y/other", {}, "/y/other"),
}


@pytest.mark.parametrize("case", GLOBS)
def test_the_settings_name_and_group(case: str) -> None:
    """A glob matches a folder, a parent of it, or its repository; the first project that matches counts."""
    folder, found, expected = GLOBS[case]
    globs = (("shop", ("/x/shop", "/x/shop-*")), ("old", ("*/old", "*-old")), ("web", ("C:\\Users\\x\\*",)))
    assert name_projects([folder], found, globs) == {folder: expected}


NAMES = ProjectNames((), {"/x/shop": "/x/shop", "/x/shop-2": "/x/shop", "/y/app": "web", "/z/app": "/z/app", "b": "b"})
MEANT = {
    "/x/shop": "/x/shop",
    "shop": "/x/shop",
    "x/shop": "/x/shop",
    "web": "web",
    "app": "/z/app",
    "y/app": "/y/app",
    "/x/shop-2": "/x/shop-2",
    "shop-2": "/x/shop-2",
    "b": "b",
    "op": None,
    "nothing": None,
    "": None,
}


@pytest.mark.parametrize("name", MEANT)
def test_a_name_means_a_project_or_a_folder(name: str) -> None:
    """As it is written, else by its last folders if only one ends so; a project before a folder."""
    assert NAMES.full_name(name) == MEANT[name]


def test_a_project_has_folders() -> None:
    """A project has all of its own; a folder is itself, and so is a name that nobody knows."""
    assert NAMES.folders("/x/shop") == ("/x/shop", "/x/shop-2")
    assert NAMES.folders("web") == ("/y/app",)
    assert NAMES.folders("/x/shop-2") == ("/x/shop-2",)
    assert NAMES.folders("nothing") == ("nothing",)
    assert (NAMES.of("/x/shop-2"), NAMES.of("elsewhere"), NAMES.of(None)) == ("/x/shop", "elsewhere", None)


def test_names_that_were_not_read() -> None:
    """Every folder is itself."""
    names = ProjectNames((("shop", ("/x/*",)),))
    assert (names.of("/x/shop"), names.folders("shop"), names.full_name("shop")) == ("/x/shop", ("shop",), None)
    assert not names.has_merged


def settings_file(tmp_path: Path, projects: Any) -> Home:
    """A home whose claude.json has these projects."""
    (tmp_path / "claude.json").write_text(json.dumps({"performance": {"projects": projects}}))
    return Home(tmp_path, tmp_path / "metrics")


def test_projects_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are kept in order, with the home folder in place of the tilde."""
    monkeypatch.setenv("HOME", "/home/me")
    given = {"shop": ["~/shop", "/srv/shop-*"], "web": ["*/web", "C:\\Users\\*", "\\\\server\\web"]}
    settings, problems = load_settings(settings_file(tmp_path, given))
    assert problems == ()
    assert project_globs(settings) == (
        ("shop", ("/home/me/shop", "/srv/shop-*")),
        ("web", ("*/web", "C:\\Users\\*", "\\\\server\\web")),
    )


INVALID = [
    ([], "performance.projects must be an object, not an array"),
    ({"shop": "/x"}, "performance.projects: the folders of 'shop' must be a list of texts"),
    ({"shop": ["/x", 5]}, "performance.projects: the folders of 'shop' must be a list of texts"),
    ({"shop": []}, "performance.projects: the folders of 'shop' must not be empty"),
    ({"shop": ["shop"]}, "performance.projects: the folders of 'shop' must be full paths, not 'shop'"),
    ({"shop": [""]}, "performance.projects: the folders of 'shop' must be full paths, not ''"),
    ({"shop": ["/x\0"]}, "performance.projects: the folders of 'shop' must be full paths"),
    ({" ": ["/x"]}, "performance.projects: ' ' is not a name for a project"),
    ({"a\nb": ["/x"]}, "performance.projects: 'a\\nb' is not a name for a project"),
]


@pytest.mark.parametrize(("given", "problem"), INVALID)
def test_projects_that_are_not_valid(given: Any, problem: str, tmp_path: Path) -> None:
    """One line names the project, what is wrong, and how it is written."""
    with pytest.raises(SettingsError) as caught:
        load_settings(settings_file(tmp_path, given))
    assert str(caught.value).startswith(f"{tmp_path / 'claude.json'}: {problem}")
    assert "\n" not in str(caught.value)
