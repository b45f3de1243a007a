"""The files around the code: documents name paths that exist, and YAML is what its reader expects."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conftest import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
TOP = "claude_force|tests|scripts|migrations|benchmarks|torture|examples"
PATH = re.compile(rf"(?<![\w/.-])(?:{TOP})/[\w./-]*[\w/]")
YAML = [
    *sorted((ROOT / ".github").rglob("*.yml")),
    ROOT / ".pre-commit-config.yaml",
    ROOT / "mkdocs.yml",
]


def of_root(path: Path) -> str:
    """A path as the reader of a failure wants it."""
    return str(path.relative_to(ROOT))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file."""
    return msgspec.yaml.decode(path.read_bytes())


@pytest.mark.parametrize("page", PAGES, ids=of_root)
def test_every_path_named_in_a_page_exists(page: Path) -> None:
    """A file or folder that was moved is found here."""
    named = set(PATH.findall(page.read_text(encoding="utf-8")))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_page_named_in_the_code_exists() -> None:
    """A message, help text or comment that names a page of docs/ names one that exists."""
    code = [path for folder in TOP.split("|") for path in (ROOT / folder).rglob("*") if path.suffix in {"", ".py"}]
    texts = [path.read_text(encoding="utf-8") for path in code if path.is_file()]
    named = {name for text in texts for name in re.findall(r"(?<![\w/-])docs/(?!gen-ai)[\w./-]+\.md", text)}
    assert len(named) > 10
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_readme_is_short() -> None:
    """At most 250 lines; text fits into 80 columns."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 250
    wide = [line for line in lines if len(line) > 80 and not line.startswith(("!", "claude-force "))]
    assert wide == []


@pytest.mark.parametrize("path", YAML, ids=of_root)
def test_yaml_is_valid(path: Path) -> None:
    """Every file of the forge, of pre-commit and of the site parses to a mapping."""
    assert isinstance(read_yaml(path), dict)


def test_the_tests_run_on_every_supported_python() -> None:
    """The versions of the workflow are those of the classifiers, on Linux and macOS."""
    matrix = read_yaml(ROOT / ".github/workflows/tests.yml")["jobs"]["test"]["strategy"]["matrix"]
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]
    known = [name.rpartition(" ")[2] for name in project["classifiers"] if ":: Python ::" in name]
    assert matrix["python"] == known
    assert {name.partition("-")[0] for name in matrix["system"]} == {"ubuntu", "macos"}


def test_workflows_run_scripts_that_exist() -> None:
    """A script that was renamed is found here, and a release is published without a stored token."""
    tests = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    scripts = set(re.findall(r"scripts/\w+", tests))
    assert scripts
    assert [script for script in scripts if not (ROOT / script).exists()] == []
    release = read_yaml(ROOT / ".github/workflows/release.yml")
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")


def test_a_bug_report_asks_for_the_bundle() -> None:
    """The form asks for `claude-force doctor --bundle`, and does not let it be left out."""
    fields = {field["id"]: field for field in read_yaml(ROOT / ".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    assert "claude-force doctor --bundle" in fields["bundle"]["attributes"]["description"]
    assert fields["bundle"]["validations"] == {"required": True}


def test_every_page_is_in_the_navigation() -> None:
    """A page that cannot be reached from the menu of the site is found here."""
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]))
    docs = ROOT / "docs"
    assert listed == {str(page.relative_to(docs)) for page in docs.rglob("*.md")}


@pytest.mark.thorough
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """No broken link, and no script, style, font or picture of another server."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    pages = [page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")]
    assert len(pages) > 40
    loaded = re.compile(r"<(?:script|link|img|source|iframe)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    assert [tag for page in pages for tag in loaded.findall(page)] == []
