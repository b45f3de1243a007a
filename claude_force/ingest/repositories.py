"""Find the repository that a folder belongs to.

| `.git` in the folder, or in the nearest parent that has one | the repository                                     |
|--------------------------------------------------------------|----------------------------------------------------|
| a folder                                                     | that folder                                        |
| a file, `gitdir: R/.git/worktrees/NAME`                      | `R`: the folder is a worktree of it                |
| a file, `gitdir: R.git/worktrees/NAME` (a bare repository)   | `R.git`; for `P/.bare/worktrees/NAME` it is `P`    |
| a file, `gitdir: R/.git/modules/NAME`                        | the folder: a submodule is a repository of its own |

The search ends below home folders: a home folder that is a repository (dotfiles) is not the project of everything in
it. What is read is the text of `.git` alone; git itself is not run.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from threading import Thread
from threading import enumerate as running_threads

from claude_force.executions.projects import worktree_root
from claude_force.executions.record import PROJECT_LIMIT

PATIENCE_S = 2.0
"""How long a pass waits for the disk. A network folder that does not answer must not stop it."""

GONE = ""
"""In place of a repository: the folder was not there."""

_THREAD = "find repositories"
_GIT_FILE_LIMIT_BYTES = 4096
_GITDIR = re.compile(r"gitdir: *(.+?)\s*")
_WORKTREE = re.compile(r"(.+)[/\\]worktrees[/\\][^/\\]+")
_MODULE = re.compile(r"(.+)/\.git/modules/(.+)")
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_HOMES = re.compile(r"/|/root|/home|/Users|/(?:home|Users)/[^/]+")


def find_repositories(
    folders: Iterable[str],
    known_roots: Collection[str] = (),
    gone: Iterable[str] = (),
    patience_s: float = PATIENCE_S,
) -> dict[str, str]:
    """The repository of each folder; the folder itself if it is in none, GONE if it is not there and its path says
    nothing. A folder is left out if the disk did not answer within `patience_s` seconds, or still does not answer an
    earlier search.

    `known_roots` are repositories that are known already: a folder below one belongs to it even if both are gone.
    `gone` are folders that were not there: they are looked at only if they are there again."""
    found: dict[str, str] = {}
    if any(thread.name == _THREAD for thread in running_threads()):
        return found
    # A daemon: it must not keep the program alive when the disk never answers.
    arguments = (list(folders), set(known_roots), list(gone), found)
    search = Thread(target=_search, args=arguments, name=_THREAD, daemon=True)
    search.start()
    search.join(patience_s)
    return found.copy()


def _search(folders: list[str], roots: set[str], gone: list[str], found: dict[str, str]) -> None:
    paths = {}
    for folder in [*folders, *filter(os.path.lexists, gone)]:
        if (path := _real_path(folder)) is not None:
            paths[folder] = path
    # Worktrees first: they name repositories that others are below.
    for path in paths.values():
        root = _root_at(path) or worktree_root(path)
        if root is not None and root != path:
            roots.add(root)
    for folder, path in paths.items():
        root = _root_above(path, roots) or worktree_root(path) or (folder if os.path.isdir(path) else GONE)  # noqa: PTH112
        found[folder] = root if _can_be_stored(root) else folder


def _real_path(folder: str) -> str | None:
    """None for what is no folder of this machine."""
    if not os.path.isabs(folder) or folder.startswith("//"):  # noqa: PTH117
        return None
    try:
        return os.path.realpath(folder)
    except (OSError, ValueError):
        return None


def _root_above(path: str, roots: Collection[str]) -> str | None:
    """The repository of a folder, or of its nearest parent that has one."""
    for folder in _upwards(path):
        if root := _root_at(folder):
            return root
        if folder in roots:
            return folder
    return None


def _upwards(path: str) -> Iterator[str]:
    """A folder and its parents, up to the last one below a home folder."""
    yield path
    home = os.path.expanduser("~")  # noqa: PTH111  (Path.expanduser raises for an unknown user)
    folder = os.path.dirname(path)  # noqa: PTH120
    while home not in (folder, path) and not _HOMES.fullmatch(folder):
        yield folder
        folder = os.path.dirname(folder)  # noqa: PTH120


def _root_at(folder: str) -> str | None:
    """The repository that the `.git` in a folder means; None if it has none, or none that can be read."""
    git = os.path.join(folder, ".git")  # noqa: PTH118
    try:
        mode = os.stat(git).st_mode
        if stat.S_ISDIR(mode):
            return folder if os.path.exists(os.path.join(git, "HEAD")) else None  # noqa: PTH110, PTH118
        return _root_of_file(folder, git) if stat.S_ISREG(mode) else None
    except (OSError, ValueError):
        return None


def _root_of_file(folder: str, git: str) -> str | None:
    with open(git, "rb") as file:
        line = _GITDIR.fullmatch(file.read(_GIT_FILE_LIMIT_BYTES).decode())
    if line is None:
        return None
    target = line[1] if _DRIVE.match(line[1]) else os.path.normpath(os.path.join(folder, line[1]))  # noqa: PTH118
    worktree = _WORKTREE.fullmatch(target)
    return _root_of_git_folder(worktree[1]) if worktree else folder


def _root_of_git_folder(git_folder: str) -> str:
    """The repository whose git folder this is."""
    if module := _MODULE.fullmatch(git_folder):
        return os.path.join(module[1], *module[2].split("/modules/"))  # noqa: PTH118
    parent, name = os.path.split(git_folder)
    return parent if name.startswith(".") and parent else git_folder


def _can_be_stored(root: str) -> bool:
    try:
        root.encode()
    except UnicodeEncodeError:
        return False
    return len(root) <= PROJECT_LIMIT and "\0" not in root
