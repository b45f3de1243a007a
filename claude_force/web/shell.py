"""What is around a view: navigation, heading, filters, and the page of a problem."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from shlex import quote
from typing import Any

from claude_force.analytics.json_fields import TITLES
from claude_force.clock import to_datetime
from claude_force.database import queries
from claude_force.errors import ClaudeForceError
from claude_force.reports.layouts.base import Request
from claude_force.reports.render import Page, Table
from claude_force.text import for_terminal
from claude_force.time_windows import heading_of
from claude_force.web import pages
from claude_force.web.answers import Answer, Ask, Query
from claude_force.web.links import ALL_TIME, NAMES, PERIOD, SHARED, ZONE, Links
from claude_force.web.view import ALL_ROWS, LIMIT, MOST_ROWS, View, Visit, refuse_other_words
from claude_force.web.views import VIEWS

_PERIODS = (
    ("Today", {"last": "today"}),
    ("24 hours", {"hours": "24"}),
    ("7 days", {"days": "7"}),
    ("30 days", {"days": "30"}),
    ("Month", {"last": "month"}),
)
_DATES = (("From", "since"), ("To (included)", "until"))
_MOST_NAMES = 200


class Shell:
    """A view with the words of a query string."""

    def __init__(self, view: View, query: Query, generation: int, token: str) -> None:
        self.view, self.query = view, query + view.missing_words(query)
        self._generation, self._token = generation, token
        renamed = {each.path: each.renamed for each in VIEWS}
        self.links = Links(view.path, self.query, renamed, {each.path: each.takes for each in VIEWS})

    @property
    def generation_mark(self) -> str:
        """The only text of a page that depends on its generation."""
        return f'data-generation="{self._generation}"'

    def question(self) -> tuple[str, Query]:
        """The command and its words. Raises BadQuestion for a word that the view does not take."""
        refuse_other_words(self.query, self.view.known_words())
        return self.view.command, self.query

    def _command_line(self) -> str:
        """The command as one would type it."""
        typed = [
            quote(value)
            if word == self.view.argument
            else f"--{word}"
            if value == "true"
            else f"--{word} {quote(value)}"
            for word, value in self.query
        ]
        return " ".join(["claude-force", self.view.command, *typed])

    def json_question(self) -> tuple[str, Query]:
        """The command whose JSON the view gives, and its words. Raises BadQuestion as `question` does."""
        command, query = self.question()
        if self.view.json_command is None:
            return command, query
        return self.view.json_command, tuple(pair for pair in query if pair[0] in SHARED)

    def draw(self, ask: Ask) -> str:
        """The page. Raises the errors of the command."""
        command, query = self.question()
        answer = ask(command, self.view.for_page(query), "table")
        found = self.view.fill(Visit(answer, self.links))
        is_full = isinstance(page := found.get("found"), Page) and _longest(page) >= MOST_ROWS
        return pages.render(self.view.template, {**self._around(answer), "is_full": is_full, **found})

    def draw_problem(self, error: Exception) -> str:
        """The page of an error, with the navigation and the filters, so that they can be mended."""
        href = self.view.path if self.query else None
        problem = {"title": "No answer", "message": message_of(error), "href": href}
        return pages.render("problem.html", {**self._around(None), "problem": problem})

    def _around(self, answer: Answer | None) -> dict[str, Any]:
        request = answer.request if answer else None
        return {
            "title": self.view.title,
            "generation": self._generation,
            "token": self._token,
            "links": self.links,
            "answer": answer,
            "heading": _heading(request) if request else [],
            "said": list(answer.lines) if answer else [],
            "navigation": [
                {
                    "href": self.links.to(each.path),
                    "title": each.title,
                    "is_here": each.path in (self.view.path, self.view.below),
                }
                for each in VIEWS
                if each.navigation
            ],
            "filters": self._filters(request) if request or answer is None else None,
            "command_line": self._command_line(),
            "json_href": self.links.here(format="json"),
            "is_full": False,
            "most_rows": MOST_ROWS,
            "all_href": self.links.here(limit=ALL_ROWS if LIMIT in self.view.words else None, format="json"),
        }

    def _filters(self, request: Request | None) -> Mapping[str, Any]:
        period = {word: value for word, value in self.query if word in PERIOD}
        presets = [
            {"title": title, "href": self.links.here(**words), "is_here": period == words} for title, words in _PERIODS
        ]
        every = self.links.here(**ALL_TIME) if self.view.has_period else self.links.without_period()
        presets.append({"title": "All time", "href": every, "is_here": period in ({}, ALL_TIME)})
        is_preset = any(entry["is_here"] for entry in presets)
        names = [self.view.renamed.get(name, name) for name in NAMES]
        return {
            "path": self.view.path,
            "periods": presets,
            "chips": [
                {"word": word, "value": value, "href": self.links.without(word, value)}
                for word, value in self.query
                if word in names or word == ZONE or (word in PERIOD and not is_preset)
            ],
            "forms": [self._form_of_dates(period), self._form_of_names(request, names)],
        }

    def _form_of_dates(self, period: Mapping[str, str]) -> Mapping[str, Any]:
        fields = [
            {"title": title, "word": word, "kind": "date", "value": period.get(word, ""), "names": ()}
            for title, word in _DATES
        ]
        return {"title": "Show these days", "hidden": self._without(PERIOD), "fields": fields}

    def _form_of_names(self, request: Request | None, names: Sequence[str]) -> Mapping[str, Any]:
        known = _known_names(request) if request else {}
        fields = [
            {"title": word.capitalize(), "word": word, "kind": "text", "value": "", "names": known.get(name, ())}
            for name, word in zip(NAMES, names, strict=True)
        ]
        return {"title": "Show only these", "hidden": self.query, "fields": fields}

    def _without(self, words: Collection[str]) -> Query:
        return tuple(pair for pair in self.query if pair[0] not in words)


def _longest(page: Page) -> int:
    """The rows of its longest table."""
    return max((len(part.rows) for part in page.parts if isinstance(part, Table)), default=0)


def _known_names(request: Request) -> dict[str, Sequence[str]]:
    """Names to choose from, for the dimensions that have few."""
    with request.workspace.database.read() as connection:
        return {
            TITLES[dimension]: queries.names(connection, dimension)[:_MOST_NAMES]
            for dimension in ("agent_name", "model", "project", "source")
        }


def _heading(request: Request) -> list[str]:
    made = to_datetime(request.now_us, request.zone)
    return [heading_of(request.chosen.window.label), f"At {made:%Y-%m-%d %H:%M}, time zone {request.zone}"]


def problem_page(back: str, error: Exception) -> str:
    """A problem that belongs to no view."""
    view = next((each for each in VIEWS if each.path == back), VIEWS[0])
    return Shell(view, (), 0, "").draw_problem(error)


def message_of(error: Exception) -> str:
    """An error in one line, as the command line says it."""
    if isinstance(error, ClaudeForceError):
        return for_terminal(str(error))
    return f"unexpected: {' '.join(f'{type(error).__name__}: {error}'.split())[:300]} (please report it)"
