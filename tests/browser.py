"""A real browser, without a screen, that opens a page and tells what became of it.

    loaded = open_page(path)            # skips the test where there is no browser
    loaded.console                      # what was said on its console
    loaded.document                     # the elements as they are after the script ran
    print_page(path, width)             # the PDF that it prints

`parse` gives the elements of a page as it was written, for tests that need no browser.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
    "--v=0", "--virtual-time-budget=10000",
)  # fmt: skip
_CONSOLE = re.compile(r"\bCONSOLE\b.*")
_WITHOUT_END = frozenset(("br", "col", "hr", "img", "input", "link", "meta"))
_MAY_STAY_OPEN = frozenset(("html", "body", "thead", "tbody", "tr", "th", "td", "li"))


@dataclass(frozen=True)
class Loaded:
    """A page after it was loaded."""

    document: Element
    console: list[str]


def open_page(path: Path) -> Loaded:
    """The page in a browser with a profile of its own, without a network that anything is asked of."""
    done = _browse("--dump-dom", path.as_uri())
    return Loaded(parse(done.stdout), _CONSOLE.findall(done.stderr))


def print_page(path: Path, width: int) -> bytes:
    """The page as a PDF, printed from a window that is so many pixels wide."""
    target = path.with_suffix(".pdf")
    _browse(f"--window-size={width},900", f"--print-to-pdf={target}", path.as_uri())
    return target.read_bytes()


def _browse(*arguments: str) -> subprocess.CompletedProcess[str]:
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} on PATH")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        return subprocess.run(
            [browser, *_OPTIONS, f"--user-data-dir={profile}", *arguments],
            env=os.environ | {"HOME": profile},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tree = TreeBuilder()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        while self.open and _ends_before(self.open[-1], tag):
            self.tree.end(self.open.pop())
        self.tree.start(tag, {name: value or "" for name, value in attrs})
        if tag in _WITHOUT_END:
            self.tree.end(tag)
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] != tag:
            assert self.open[-1] in _MAY_STAY_OPEN, f"</{tag}> ends <{self.open[-1]}>"
            self.tree.end(self.open.pop())
        self.tree.end(self.open.pop())

    def handle_data(self, data: str) -> None:
        if self.open:
            self.tree.data(data)


def _ends_before(last: str, tag: str) -> bool:
    """Whether an element ends where another begins: those of tables, whose ends HTML lets out."""
    if last in ("th", "td"):
        return tag in ("th", "td", "tr", "tbody")
    return last == "tr" and tag in ("tr", "tbody")


def parse(text: str) -> Element:
    """The elements of a page. An element that ends within another fails."""
    builder = _Builder()
    builder.feed(text)
    builder.close()
    while builder.open:
        builder.tree.end(builder.open.pop())
    return builder.tree.close()


def text_of(element: Element) -> str:
    """All text in an element."""
    return "".join(element.itertext())


def by_id(document: Element, name: str) -> Element:
    """The one element with an id."""
    (found,) = (element for element in document.iter() if element.get("id") == name)
    return found


def rows_of(element: Element) -> list[list[str]]:
    """The rows of the tables in an element, without their heads."""
    return [[text_of(cell).strip("\n") for cell in row] for body in element.iter("tbody") for row in body.iter("tr")]
