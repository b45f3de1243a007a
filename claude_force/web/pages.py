"""Templates, and what they share with the report: its style sheet, its script, its figures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from claude_force import __version__
from claude_force.reports.html import elements
from claude_force.reports.html.linked import linked_html
from claude_force.reports.render import Page, Section, Table
from claude_force.text import for_html

CHARTS = "charts.js"
"""The name under which Chart.js is served: the only script that is not within the page."""

_HAS_CHARTS = 'id="data"'


def shown(text: str) -> Markup:
    """Text as a reader sees it: what is invisible, or turns the direction of what follows, is spelled."""
    return trusted(for_html(text))


def trusted(html: str) -> Markup:
    """HTML of `reports.html`, which escapes what comes from outside."""
    return Markup(html)  # noqa: S704  (the one place that says so)


@cache
def environment() -> Environment:
    """The templates. Whatever is no Markup is escaped, and a name that is not there is an error."""
    made = Environment(
        loader=PackageLoader("claude_force.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["shown"] = shown
    made.globals |= {
        "table": _table,
        "notes": lambda lines: trusted(elements.notes_aside(lines)),
        "page": page_html,
        "link": lambda text: trusted(linked_html(text)),
        "version": __version__,
    }
    # All of them now: an upgrade beneath a running page must not mix its templates with the code in memory.
    for name in made.list_templates():
        made.get_template(name)
    return made


def _table(title: str, found: Table) -> Markup:
    return trusted(elements.table(title, found.columns, found.rows))


def page_html(page: Page) -> Markup:
    """The output of a command as sections: its headings, lines and tables."""
    found: list[str] = []
    for number, part in enumerate(page.parts):
        if isinstance(part, Section):
            lines = "".join(_line(line) for line in part.lines)
            heading = f"<h2>{for_html(part.heading)}</h2>" if part.heading else ""
            found.append(f"<section>{heading}{lines}</section>")
        else:
            kept = [index for index, column in enumerate(part.columns) if column.kind != "bar"]
            rows = [[row[index] for index in kept] for row in part.rows]
            title = f"{page.heading}, table {number + 1}"
            found.append(f"<section>{elements.table(title, [part.columns[index] for index in kept], rows)}</section>")
    return trusted("".join(found))


def _line(line: str) -> str:
    text = for_html(line.strip())
    return f"<p><code>{text}</code></p>" if line.startswith("  ") else f"<p>{text}</p>"


@cache
def own_asset(name: str) -> str:
    """The text of a file in the folder `assets` of this package."""
    return (files("claude_force.web") / "assets" / name).read_text(encoding="ascii")


@cache
def style() -> str:
    """The style sheet of the report, and what only the live page has."""
    return elements.asset("page.css") + own_asset("live.css") + own_asset("views.css")


@lru_cache(8)
def content_policy(origin: str) -> str:
    """What a page may do: run its own scripts, by their hashes, and ask its own server."""
    scripts = (elements.chart_library(), elements.asset("page.js"), own_asset("live.js"))
    # Not every browser compares the hash of a script that is a file; its address is that of one file.
    sources = [*map(elements.hash_source, scripts), f"{origin}/assets/{CHARTS}"]
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(sources)}",
            f"style-src {elements.hash_source(style())}",
            "connect-src 'self'",
            "img-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def render(template: str, variables: Mapping[str, Any]) -> str:
    """A page. Scripts of charts are part of it if it has the data of charts."""
    made = environment().get_template(template)
    shell = {
        "style": trusted(style()),
        "live_script": trusted(own_asset("live.js")),
        "chart_script": trusted(elements.asset("page.js")),
        "charts_file": f"/assets/{CHARTS}",
        "charts_hash": elements.hash_source(elements.chart_library()).strip("'"),
        "has_charts": lambda main: _HAS_CHARTS in main,
    }
    return made.render(shell | dict(variables))
