"""What import-linter cannot see of the rules between the rooms of the package."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "claude_force"
SQL = re.compile(
    r"\bSELECT\b.*\bFROM\b|\b(INSERT|REPLACE)\b.*\bINTO\b|\bUPDATE\b.*\bSET\b|\bDELETE\s+FROM\b"
    r"|\b(CREATE|ALTER|DROP)\b.*\b(TABLE|INDEX)\b|\bPRAGMA\s+\w",
    re.DOTALL,
)


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the text of each string in a module, docstrings left out; an f-string with "{}" for its values."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings | parts:
            yield node.lineno, node.value


def sql_in(paths: Iterator[Path]) -> list[str]:
    """Where SQL stands, as "file:line"."""
    return [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(paths)
        for line, text in texts_of(path)
        if SQL.search(text)
    ]


def test_sql_stands_in_the_database_room_only() -> None:
    """No other room holds the text of a statement; in `database` the same search finds many."""
    database = PACKAGE / "database"
    assert sql_in(path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(database)) == []
    assert len(sql_in(database.rglob("*.py"))) > 50


def test_every_room_is_installed() -> None:
    """`pip install` copies the packages that pyproject.toml lists: each folder with Python files."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    without_python = (".migrations", ".assets", ".templates")
    assert {name for name in listed if not any(part in name for part in without_python)} == found
