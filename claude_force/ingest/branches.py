"""Find the branch that is checked out in a folder. What is read is the text of `.git` alone; git itself is not run."""

from __future__ import annotations

import os
from pathlib import Path

_HEAD_LIMIT = 4096
_BRANCH = "ref: refs/heads/"


def branch_of(folder: str) -> str | None:
    """The branch that is checked out in a folder; None if that is not known."""
    for each in (folder, *map(str, Path(folder).parents)):
        place = os.path.join(each, ".git")  # noqa: PTH118  (as fast as possible: it runs after every answer)
        if os.path.isdir(place):  # noqa: PTH112
            return _branch_in(_read(os.path.join(place, "HEAD")))  # noqa: PTH118
        if os.path.isfile(place):  # noqa: PTH113
            linked = _read(place).removeprefix("gitdir: ")
            return _branch_in(_read(os.path.join(each, linked, "HEAD")))  # noqa: PTH118
    return None


def _read(path: str) -> str:
    """The begin of a small file; "" if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_HEAD_LIMIT).strip()
    except OSError:
        return ""


def _branch_in(head: str) -> str | None:
    """The branch that a HEAD names; as Claude Code does, HEAD for a checkout without a branch."""
    if head.startswith(_BRANCH):
        return head.removeprefix(_BRANCH)
    return "HEAD" if head else None
