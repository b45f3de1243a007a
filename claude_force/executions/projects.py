"""The project of a folder: its repository, or the name that the settings give it.

Executions keep the folder that they ran in. Which project a folder belongs to is decided when a report asks:

1. by a glob in `performance.projects`, which matches the folder, a parent of it, or its repository;
2. by what ingestion found on the disk: the repository of a subfolder or of a git worktree;
3. by the path of a worktree that Claude Code made, `REPOSITORY/.claude/worktrees/NAME`;
4. otherwise it is a project of its own.

Folders of Windows are the same whichever case and slashes they are written with. `/c/Users/x` (Git Bash) and
`/mnt/c/Users/x` (WSL) are `C:\\Users\\x` only if the store has that too, since Linux can have such folders of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

Globs = tuple[tuple[str, tuple[str, ...]], ...]
"""The projects of the settings: name and globs, in order."""

_WORKTREE = re.compile(r"(.+?)[/\\]\.claude[/\\]worktrees[/\\][^/\\]+(?:[/\\].*)?")
_DRIVE = re.compile(r"[A-Za-z]:(?:[/\\]|$)")
_MOUNTED_DRIVE = re.compile(r"(?:/mnt|/cygdrive)?/([A-Za-z])(/.*)?")
_SEPARATOR = re.compile(r"[/\\]")
_WSL = re.compile(r"//wsl(?:\$|\.localhost)/([^/]+)(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProjectNames:
    """The projects of the settings, and the project of each folder in the store; None before it was read."""

    globs: Globs = ()
    by_folder: Mapping[str, str] | None = field(default=None, compare=False)

    def of(self, folder: str | None) -> str | None:
        """The project of a folder; None if the folder is not known."""
        return folder if folder is None or self.by_folder is None else self.by_folder.get(folder, folder)

    def full_name(self, name: str) -> str | None:
        """The project or folder that a name means: as it is written, else by its last folders, if only one ends so. A
        project comes before a folder. None if there is none, or more than one."""
        by_folder = self.by_folder or {}
        for known in (set(by_folder.values()), set(by_folder)):
            ends = [full for full in known if full.endswith((f"/{name}", f"\\{name}"))]
            if name in known or len(ends) == 1:
                return name if name in known else ends[0]
        return None

    def matching(self, glob: str) -> tuple[str, ...]:
        """The projects whose name or last folders match a glob; if none does, the folders."""
        by_folder = self.by_folder or {}
        for known in (set(by_folder.values()), set(by_folder)):
            if found := sorted(full for full in known if _fits(full, glob)):
                return tuple(found)
        return ()

    @property
    def has_merged(self) -> bool:
        """Whether a folder belongs to a project of another name."""
        return any(folder != project for folder, project in (self.by_folder or {}).items())

    def folders(self, name: str) -> tuple[str, ...]:
        """The folders of a project; for any other name the name itself, which may be a folder of a project."""
        found = tuple(folder for folder, project in (self.by_folder or {}).items() if project == name)
        return found or (name,)


NO_PROJECTS = ProjectNames()
"""No projects in the settings; folders are not read yet."""


def name_projects(folders: Iterable[str], found: Mapping[str, str], globs: Globs = ()) -> dict[str, str]:
    """The project of each folder. `found` is what ingestion found on the disk, by folder."""
    automatic = {folder: found.get(folder) or worktree_root(folder) or folder for folder in folders}
    spelled = _one_spelling(automatic.values())
    return {folder: _name_by_globs((folder, root), globs) or spelled[root] for folder, root in automatic.items()}


def worktree_root(folder: str) -> str | None:
    """The repository of a worktree that Claude Code made, or of a folder in it, by its path; None for any other
    folder."""
    match = _WORKTREE.fullmatch(folder)
    return match[1] if match else None


def _name_by_globs(folders: Iterable[str], globs: Globs) -> str | None:
    if not globs:
        return None
    keys = set(map(_key, folders))
    return next((name for name, own in globs if any(_matches(key, _key(glob)) for glob in own for key in keys)), None)


def _matches(key: str, glob: str) -> bool:
    return fnmatchcase(key, glob) or fnmatchcase(key, f"{glob}/*")


def _fits(folder: str, glob: str) -> bool:
    """Whether the whole folder matches a glob, or as many of its last parts as the glob has."""
    count = len(_SEPARATOR.split(glob))
    return fnmatchcase(folder, glob) or fnmatchcase("/".join(_SEPARATOR.split(folder)[-count:]), glob)


def _one_spelling(folders: Iterable[str]) -> dict[str, str]:
    """One spelling for all that mean the same folder: that of Windows first, then by the alphabet."""
    spellings = sorted(set(folders), key=lambda folder: (not _is_windows(folder), "/" in folder, folder))
    first: dict[str, str] = {}
    chosen: dict[str, str] = {}
    for folder in spellings:
        mounted = _mounted_key(folder)
        chosen[folder] = first.get(mounted or "") or first.setdefault(_key(folder), folder)
    return chosen


def _key(folder: str) -> str:
    """What all certain spellings of a folder have in common."""
    is_windows = _is_windows(folder)
    path = (folder.replace("\\", "/") if is_windows else folder).rstrip("/") or "/"
    if wsl := _WSL.fullmatch(path):
        return f"//wsl/{wsl[1].lower()}{wsl[2]}"
    return path.lower() if is_windows else path


def _is_windows(folder: str) -> bool:
    """Whether it has a drive or a server."""
    return folder.startswith("\\\\") or _DRIVE.match(folder) is not None


def _mounted_key(folder: str) -> str | None:
    """The key of the folder of Windows that a path of Git Bash or WSL may mean; None for any other path."""
    match = _MOUNTED_DRIVE.fullmatch(folder)
    return f"{match[1]}:{match[2] or ''}".lower().rstrip("/") if match else None
