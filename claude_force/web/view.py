"""What a view is, and what it gets when it is visited."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from claude_force.web.answers import Answer, Query
from claude_force.web.links import PERIOD, SHARED, Links


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
    argument: str | None = None
    below: str | None = None

    def missing_words(self, query: Query) -> Query:
        """The words of the defaults that a query string lacks."""
        given = {word for word, _ in query}
        missing = (choice for choice in self.defaults if not given & choice.keys())
        return tuple((word, value) for choice in missing for word, value in choice.items() if value)

    @property
    def has_period(self) -> bool:
        """Whether it has a period by itself: not all time, which takes long for some commands."""
        return any(word in PERIOD for choice in self.defaults for word in choice)


def last_days(days: int) -> Mapping[str, str]:
    """The default of a view that shows the last days, unless a period is given."""
    return {**dict.fromkeys(PERIOD, ""), "days": str(days)}


class Action(NamedTuple):
    """A command that changes something, asked by POST from a form. The page that it leads `back` to shows what the
    command said."""

    path: str
    command: str
    back: str
