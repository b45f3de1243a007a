"""The live page as people use it: the installed program serves, and a real browser opens, clicks, types and listens.

with serving(home) as program, chromium() as browser:  # skips the test where there is no browser
    tab = Tab(browser, program)
    tab.open("/runs")
    tab.rows("Runs")                                    # the cells of a table
    tab.said                                            # the console, errors, and requests to elsewhere
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from tests.browser import NAMES
from tests.daemons import PATIENCE_S, Program

_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
_PATIENCE_MS = 1000 * PATIENCE_S
_LISTEN = """selector => {
  const all = [...document.querySelectorAll(selector)].filter(element => element.checkVisibility());
  window.waiting = new Set(all);
  window.unmarked = [];
  addEventListener("focusin", ({ target }) => {
    waiting.delete(target);
    if (getComputedStyle(target).outlineStyle === "none") unmarked.push(target);
  });
  return all.length;
}"""
"""What one can reach is waited for; what has no mark when it has the focus is kept."""

_FOCUSABLE = "a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']"


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine, without a screen. Skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} on PATH")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(_OPTIONS), timeout=_PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A tab of the browser. `said` has every line of its console, every error, dialog, and request to elsewhere."""

    def __init__(self, browser: Browser, program: Program, **options: Any) -> None:
        self.url, self.said = f"http://127.0.0.1:{program.port}", list[str]()
        self.page: Page = browser.new_page(**options)
        self.page.context.set_default_timeout(_PATIENCE_MS)
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("dialog", self._hear_dialog)
        self.page.on("request", lambda request: self._hear_request(request.url))

    def _hear_dialog(self, dialog: Dialog) -> None:
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _hear_request(self, address: str) -> None:
        if not address.startswith(f"{self.url}/"):
            self.said.append(f"request: {address}")

    def open(self, path: str) -> None:
        """Visit a view; it must answer with a page."""
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == 200, (path, self.page.inner_text("main"))

    def status(self, address: str) -> int:
        """What a whole address answers."""
        return self.page.request.get(address, headers={"Accept": "text/html"}).status

    def json(self, path: str) -> Any:
        """The JSON at the address of a view."""
        answer = self.page.request.get(self.url + path, headers={"Accept": "application/json"})
        assert answer.status == 200, answer.text()
        return json.loads(answer.text())

    def rows(self, title: str) -> list[list[str]]:
        """The cells of the rows of the table whose caption starts so."""
        found: list[list[str]] = self.page.evaluate(
            "title => [...[...document.querySelectorAll('table')]"
            ".find(table => table.caption.textContent.startsWith(title)).tBodies[0].rows]"
            ".map(row => [...row.cells].map(cell => cell.textContent.trim()))",
            title,
        )
        return found

    def unreached(self) -> list[str]:
        """What can be used with the mouse and is not reached by the Tab key alone, or shows no focus."""
        keys: int = self.page.evaluate(_LISTEN, _FOCUSABLE)
        for _ in range(keys):
            self.page.keyboard.press("Tab")
        found: list[str] = self.page.evaluate(
            "[...waiting, ...unmarked].map(element => element.outerHTML.slice(0, 99))"
        )
        return found

    def close(self) -> None:
        """Close the tab."""
        self.page.close()
