"""The HTML page: it loads nothing, its security policy is exact, and it works for screen readers."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import Counter
from datetime import UTC
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

import claude_force.reports.html
from claude_force.clock import DAY_US
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.database.writes import Store
from claude_force.reports.html.content import PageRequest, interval_for, read_content
from claude_force.reports.html.page import render_page
from claude_force.settings.home import find_home
from claude_force.time_windows import ALL_TIME
from tests.browser import by_id, parse, text_of
from tests.builders import NOON_US, an_execution

ASSETS = files("claude_force.reports.html") / "assets"
HEADINGS = ("h1", "h2", "h3")


def a_page(home: Path, notes: tuple[str, ...] = (), days: int = 3) -> str:
    """The page of a history with so many days."""
    workspace = workspace_at(find_home(home), str(home / "metrics.db"))[0]
    Store(workspace.database).add([an_execution(timestamp_us=NOON_US + day * DAY_US) for day in range(days)])
    return page_of(workspace, notes)


def page_of(workspace: Workspace, notes: tuple[str, ...] = ()) -> str:
    """The page of everything in a workspace."""
    request = PageRequest(Filter(ALL_TIME), None, None, 1.15, UTC, NOON_US + 400 * DAY_US)
    return render_page(read_content(workspace, request), notes, "claude-sonnet-4-5")


def test_the_chart_library_is_the_named_release() -> None:
    """The file has the documented checksum and version, and its licence is beside it."""
    content = (ASSETS / "chart.umd.min.js").read_bytes()
    said = " ".join((claude_force.reports.html.__doc__ or "").split())
    assert f"sha256 {sha256(content).hexdigest()}." in said
    assert re.search(rb"Chart\.js v([\d.]+)", content[:100])[1].decode() in said  # type: ignore[index]
    assert "MIT License" in (ASSETS / "chart.LICENSE.md").read_text()


def test_a_page_loads_nothing(home: Path) -> None:
    """No element, style or script names another file, and the security policy forbids requests."""
    document = parse(a_page(home))
    names = {name for element in document.iter() for name, _ in element.items()}
    assert names & {"src", "srcset", "href", "style", "action", "poster"} == set()
    (style,) = document.iter("style")
    assert not re.search(r"url\(|@import", text_of(style))
    asking = re.compile(r"fetch\(|XMLHttpRequest|import\(|sourceMapping")
    assert not any(asking.search(text_of(one)) for one in scripts(document))
    assert policy(document)["default-src"] == "'none'"


def scripts(document: Element) -> list[Element]:
    """The scripts that run."""
    return [element for element in document.iter("script") if element.get("type") is None]


def policy(document: Element) -> dict[str, str]:
    """The directives of the security policy of a page."""
    (content,) = (one.get("content", "") for one in document.iter("meta") if one.get("http-equiv"))
    return dict(part.strip().split(" ", 1) for part in content.split(";"))


def test_the_policy_allows_only_the_scripts_and_style_of_the_page(home: Path) -> None:
    """It has their hashes and nothing else."""
    document = parse(a_page(home))
    hashes = {
        kind: " ".join(f"'sha256-{b64encode(sha256(text_of(one).encode()).digest()).decode()}'" for one in found)
        for kind, found in (("style-src", list(document.iter("style"))), ("script-src", scripts(document)))
    }
    assert {kind: policy(document)[kind] for kind in hashes} == hashes


def test_a_page_has_a_valid_outline(home: Path) -> None:
    """There is one h1, no heading level is skipped, landmarks and a language are set, and ids are unique."""
    document = parse(a_page(home, ("a note",)))
    levels = [HEADINGS.index(element.tag) for element in document.iter() if element.tag in HEADINGS]
    assert levels.count(0) == 1
    assert all(after - before <= 1 for before, after in zip([-1, *levels], levels, strict=False))
    assert document.get("lang") == "en"
    tags = Counter(element.tag for element in document.iter())
    assert [tags[tag] for tag in ("header", "main", "footer", "aside", "title")] == [1] * 5
    ids = [element.get("id") for element in document.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {element.get("aria-labelledby", "data") for element in document.iter()} <= set(ids)


def test_every_chart_has_a_caption_and_a_table(home: Path) -> None:
    """A figure has a caption, a named canvas, and an open table with as many values as the chart."""
    document = parse(a_page(home, days=5))
    drawn = {chart["key"]: chart for chart in json.loads(text_of(by_id(document, "data")))["charts"]}
    figures = {figure.get("id"): figure for figure in document.iter("figure")}
    assert list(figures) == list(drawn) == ["cost", "executions", "latency", "success", "mix"]
    for key, figure in figures.items():
        (canvas,), (details,) = figure.iter("canvas"), figure.iter("details")
        assert (canvas.get("role"), details.get("open")) == ("img", "")
        assert text_of(next(figure.iter("h3"))) in canvas.get("aria-label", "")
        rows = [list(row) for body in figure.iter("tbody") for row in body]
        series = drawn[key or ""]["series"]
        assert [len(row) for row in rows] == [1 + len(series)] * 5
        assert [len(one["values"]) for one in series] == [5] * len(series)


def test_tables_have_row_and_column_headings(home: Path) -> None:
    """A screen reader announces both for each number. A wide table can be scrolled by keyboard."""
    document = parse(a_page(home))
    assert {cell.get("scope") for head in document.iter("thead") for cell in head.iter("th")} == {"col"}
    assert all(row[0].get("scope") == "row" for body in document.iter("tbody") for row in body.iter("tr"))
    regions = [element for element in document.iter("div") if element.get("class") == "scroll"]
    assert len(regions) == len(list(document.iter("table")))
    assert all(region.get("tabindex") == "0" and region.get("aria-label") for region in regions)


def test_a_page_is_ascii(home: Path) -> None:
    """The page is valid in every encoding of standard output, and still shows the right characters."""
    workspace = workspace_at(find_home(home), str(home / "metrics.db"))[0]
    Store(workspace.database).add([an_execution(agent_name="Jürgen 漢字 🙂", model="modèle")])
    text = page_of(workspace)
    assert text.isascii()
    assert "Jürgen 漢字 🙂" in text_of(parse(text))
    assert json.loads(text_of(by_id(parse(text), "data")))["charts"][-1]["series"][0]["name"] == "modèle"


def test_an_empty_page_runs_no_script(home: Path) -> None:
    """It has its notes; indented ones are commands."""
    document = parse(
        page_of(workspace_at(find_home(home), str(home / "none.db"))[0], ("Nothing yet:", "  claude-force ingest"))
    )
    assert not list(document.iter("script"))
    assert [text_of(item) for item in document.iter("li")] == ["Nothing yet:", "claude-force ingest"]
    assert text_of(next(document.iter("code"))) == "claude-force ingest"
    assert "script-src" not in policy(document)


@pytest.mark.parametrize(
    ("days", "interval"),
    [(0, "hourly"), (3, "hourly"), (4, "daily"), (92, "daily"), (93, "weekly"), (644, "weekly"), (645, "monthly")],
)
def test_the_interval_fits_the_period(days: int, interval: str) -> None:
    """A few days are shown by hour, a year by day, longer periods by week and month."""
    assert interval_for(days * DAY_US) == interval


def _luminance(color: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(color[workspace : workspace + 2], 16) / 255 for workspace in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_enough_contrast(theme: int) -> None:
    """The contrast is at least 4.5 for text (WCAG AA) and 3 for charts, in both themes."""
    blocks = re.findall(r"--page:.*?--high:[^;]+;", (ASSETS / "page.css").read_text(), re.DOTALL)
    assert len(blocks) == 2
    colors = dict(re.findall(r"--(\w+): (#\w{6})", blocks[theme]))
    for text, ground in (("ink", "page"), ("ink", "card"), ("ink", "note"), ("muted", "page"), ("muted", "card"),
                         ("red", "card")):  # fmt: skip
        assert _contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for tone in ("blue", "red", "teal", "purple", "ochre", "grey", "low", "middle", "high"):
        assert _contrast(colors[tone], colors["card"]) >= 3, tone
