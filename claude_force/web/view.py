"""What a view is, and what it gets when it is visited."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from claude_force.web.answers import Answer, BadQuestion, Query
from claude_force.web.links import PERIOD, SHARED, Links

MOST_ROWS = 500
"""The rows of a table of a page, so that it stays below 150 kB whatever its address asks for."""

LIMIT = "limit"
ALL_ROWS = "1000000000"
"""The limit that leaves out nothing, also where a view has one by itself."""


class Visit(NamedTuple):
    """One visit of a view: the answer of its command, and the addresses that lead on."""

    answer: Answer
    links: Links


class View(NamedTuple):
    """A page of the live page.

    - `command`: whose options the query string has, and whose JSON the view gives ("alerts list").
    - `template`: a file in `templates`; `fill` makes its variables.
    - `navigation`: whether the navigation has it. Others are reached by a link.
    - `below`: the path of the view that the navigation marks in its place.
    - `json_command`: whose JSON the view gives, if `command` has none. It gets the filters only.
    - `defaults`: choices, each by its words: if the query string has none of the words, those with a value are given.
      {"model": "claude-haiku-4-5", "batch": ""} is for a command that needs one of two.
    - `renamed`: words of filters that this command calls otherwise: {"model": "for-model"}.
    - `takes`: the shared filters that it takes, as other views call them.
    - `words`: the options of its command that it takes beside them. All others are refused: a page names no file, asks
      nobody else, and is drawn again and again.
    - `argument`: the word for the argument of its command.
    """

    path: str
    title: str
    command: str
    template: str
    fill: Callable[[Visit], Mapping[str, Any]]
    navigation: bool = True
    json_command: str | None = None
    defaults: tuple[Mapping[str, str], ...] = ()
    renamed: Mapping[str, str] = {}
    takes: Collection[str] = SHARED
    words: Collection[str] = ()
    argument: str | None = None
    below: str | None = None

    def known_words(self) -> Collection[str]:
        """The words that a query string may have."""
        return {*(self.renamed.get(word, word) for word in self.takes), *self.words, *filter(None, [self.argument])}

    def missing_words(self, query: Query) -> Query:
        """The words of the defaults that a query string lacks."""
        given = {word for word, _ in query}
        missing = (choice for choice in self.defaults if not given & choice.keys())
        return tuple((word, value) for choice in missing for word, value in choice.items() if value)

    def for_page(self, query: Query) -> Query:
        """The words of a query with at most MOST_ROWS rows, for a command that takes a limit."""
        if LIMIT not in self.words:
            return query
        given = dict(query).get(LIMIT, ALL_ROWS)
        with suppress(ValueError):  # which the command says
            given = str(min(int(given), MOST_ROWS))
        return (*(pair for pair in query if pair[0] != LIMIT), (LIMIT, given))

    @property
    def has_period(self) -> bool:
        """Whether it has a period by itself: not all time, which takes long for some commands."""
        return any(word in PERIOD for choice in self.defaults for word in choice)


def last_days(days: int) -> Mapping[str, str]:
    """The default of a view that shows the last days, unless a period is given."""
    return {**dict.fromkeys(PERIOD, ""), "days": str(days)}


class Action(NamedTuple):
    """A command that changes something, asked by POST from a form with these `words`. The page that it leads `back` to
    shows what changed."""

    path: str
    command: str
    words: Collection[str]
    back: str


def refuse_other_words(query: Query, known: Collection[str]) -> None:
    """Raise BadQuestion for a word of a query that is not known."""
    for word, _ in query:
        if word not in known:
            raise BadQuestion(f"there is no filter {word[:40]!r} here")
