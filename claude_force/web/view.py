"""What a view is, and what it gets when it is visited."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from claude_force.web.answers import Answer
from claude_force.web.links import SHARED, Links


class Visit(NamedTuple):
    """One visit of a view: the answer of its command, and the addresses that lead on."""

    answer: Answer
    links: Links


class View(NamedTuple):
    """A page of the live page.

    - `command`: whose options the query string has, and whose JSON the view gives ("alerts list").
    - `template`: a file in `templates`; `fill` makes its variables.
    - `navigation`: whether the navigation has it. Others are reached by a link.
    - `json_command`: whose JSON the view gives, if `command` has none. It gets the filters only.
    - `defaults`: words that are given if the query string has none of them: {"by": "agent"}. A word without a value is
      not given: {"model": "claude-haiku-4-5", "batch": ""} is for a command that needs one of two.
    - `takes`: the words of filters that its command takes; a link to it leaves out the others.
    - `argument`: the word of the argument of the command, which is no option ("id").
    - `renamed`: words of filters that this command calls otherwise: {"model": "for-model"}.
    """

    path: str
    title: str
    command: str
    template: str
    fill: Callable[[Visit], Mapping[str, Any]]
    navigation: bool = True
    json_command: str | None = None
    defaults: Mapping[str, str] = {}
    renamed: Mapping[str, str] = {}
    takes: Collection[str] = SHARED
    argument: str | None = None


class Action(NamedTuple):
    """A command that changes something, asked by POST from a form. The page that it leads `back` to shows what the
    command said."""

    path: str
    command: str
    back: str
