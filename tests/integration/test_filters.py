"""Names in filters, on both engines: exact names, globs, families of models, and beginnings of ids."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from claude_force.analytics import reports
from claude_force.analytics.names import MOST_NAMES, known_names
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.errors import TooManyNames, UnknownName
from tests.builders import NOON_US, an_execution

AGENTS = (
    "reviewer",
    "review-bot",
    "review*",
    "Reviewer",
    "a[1]",
    "a1",
    "100%",
    "a_b",
    "aXb",
    "it's",
    "ünï",
    "漢字",
    "x y",
)
MODELS = (
    "claude-sonnet-4-5-20250929",
    "claude-3-5-sonnet-20241022",
    "anthropic/claude-sonnet-4",
    "claude-haiku-4-5",
    "claude-3-5-haiku-20241022",
    "claude-opus-4-6[1m]",
    "gpt-5",
    "opus",
)
SESSIONS = ("0a1b2c3d-1111", "0a1b2c3d-2222", "ffee0011-3333")
FOLDERS = ("/home/u/shop", "/home/u/shop-api", "/home/u/shops/web", "C:\\work\\shop-win", "/srv/other")
BRANCHES = ("main", "feat/cart", "feat/pay", "fix/pay")


@pytest.fixture
def filled(database: Database) -> Database:
    """One execution for each name of each dimension."""
    names: list[dict[str, Any]] = [
        *({"agent_name": name} for name in AGENTS),
        *({"model": name} for name in MODELS),
        *({"workflow_id": name} for name in SESSIONS),
        *({"project": name} for name in FOLDERS),
        *({"git_branch": name} for name in BRANCHES),
    ]
    constants = {"agent_name": "other", "model": "other", "workflow_id": None, "project": None, "git_branch": None}
    Store(database).add(
        an_execution(timestamp_us=NOON_US + number, **(constants | changes)) for number, changes in enumerate(names)
    )
    return database


def known(database: Database, **names: Any) -> Filter:
    """The filter with the names of the store."""
    with database.read() as connection:
        return replace(known_names(connection, Filter(**names)), project_names=Filter().project_names)


def only(kind: str, name: str) -> Filter:
    """The filter for one name."""
    names: dict[str, Any] = {kind: (name,)}
    return Filter(**names)


MEANT: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"agents": ("review*",)}, ("review*",)),
    ({"agents": ("revie*",)}, ("review*", "review-bot", "reviewer")),
    ({"agents": ("[rR]eviewer",)}, ("Reviewer", "reviewer")),
    ({"agents": ("a[1]",)}, ("a[1]",)),
    ({"agents": ("a?b",)}, ("aXb", "a_b")),
    ({"agents": ("100%",)}, ("100%",)),
    ({"agents": ("10*",)}, ("100%",)),
    ({"agents": ("it'*",)}, ("it's",)),
    ({"agents": ("ü*",)}, ("ünï",)),
    ({"agents": ("?字",)}, ("漢字",)),
    ({"agents": ("x *",)}, ("x y",)),
    ({"agents": ("reviewer", "*viewer")}, ("reviewer", "Reviewer")),
    ({"models": ("sonnet",)}, (MODELS[2], MODELS[1], MODELS[0])),
    ({"models": ("Haiku",)}, (MODELS[4], MODELS[3])),
    ({"models": ("opus",)}, ("opus",)),
    ({"models": ("claude-*-haiku*",)}, (MODELS[4],)),
    ({"models": ("*opus*",)}, ("claude-opus-4-6[1m]", "opus")),
    ({"models": ("claude-opus-4-6[1m]",)}, ("claude-opus-4-6[1m]",)),
    ({"models": ("gpt*", "haiku")}, ("gpt-5", MODELS[4], MODELS[3])),
    ({"sessions": ("0a1b2c3d-1",)}, (SESSIONS[0],)),
    ({"sessions": ("ffee00",)}, (SESSIONS[2],)),
    ({"sessions": ("0a1b2c3d*",)}, SESSIONS[:2]),
    ({"workflows": ("0a1b2c3d-2",)}, (SESSIONS[1],)),
    ({"workflows": ("*-3333",)}, (SESSIONS[2],)),
    ({"projects": ("shop",)}, ("/home/u/shop",)),
    ({"projects": ("shop*",)}, ("/home/u/shop", "/home/u/shop-api", "C:\\work\\shop-win")),
    ({"projects": ("shops/*",)}, ("/home/u/shops/web",)),
    ({"projects": ("/home/u/*",)}, FOLDERS[:3]),
    ({"branches": ("feat/*",)}, ("feat/cart", "feat/pay")),
    ({"branches": ("*/pay",)}, ("feat/pay", "fix/pay")),
    ({"sources": ("trac*",)}, ("tracker",)),
]


def test_what_a_name_means(filled: Database) -> None:
    """An exact name means itself. A glob, a family or the begin of an id means the names of the store, each once;
    reports count their executions."""
    for names, meant in MEANT:
        (kind,) = names
        found = getattr(known(filled, **names), kind)
        assert sorted(found) == sorted(meant), names
        of_each = [reports.summary(filled, only(kind, name)).totals.executions for name in meant]
        assert kind == "sources" or of_each == [1] * len(meant)
        assert reports.summary(filled, Filter(**names)).totals.executions == sum(of_each)


def test_a_glob_means_what_fnmatch_says(filled: Database) -> None:
    """Whatever wildcards mean in SQL; upper and lower case differ."""
    for glob in ("*", "?*", "a*", "*e*", "[!r]*", "*[", "r[e-a]*", "**", "*]", "a[[]1]", "\\*", "%", "_*"):
        meant = [name for name in (*AGENTS, "other") if fnmatchcase(name, glob)]
        if meant:
            assert sorted(known(filled, agents=(glob,)).agents) == sorted(meant), glob
        else:
            with pytest.raises(UnknownName, match="no agent "):
                known(filled, agents=(glob,))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"agents": ("reviwer",)}, r"^no agent reviwer in the store; did you mean reviewer\? there are: "),
    ({"agents": ("revuewer*",)}, r"^no agent revuewer\* in the store; did you mean reviewer\? there are: "),
    ({"agents": ("zzz*",)}, r"^no agent zzz\* in the store; there are: "),
    ({"agents": ("*zzz",)}, r"^no agent \*zzz in the store; there are: "),
    ({"agents": ("",)}, r"^no agent '' in the store; there are: "),
    ({"models": ("sonet",)}, r"^no model sonet in the store; did you mean sonnet\? there are: "),
    ({"models": ("claude-*-hiku*",)}, r"^no model claude-\*-hiku\* in the store; did you mean claude-"),
    ({"models": ("fable",)}, r"^no model fable in the store; there are: "),
    ({"sessions": ("0a1b2c3d",)}, r"^session 0a1b2c3d is ambiguous; there are: 0a1b2c3d-1111, 0a1b2c3d-2222; '0a"),
    ({"sessions": ("ffe",)}, r"^no session ffe in the store; did you mean ffee0011-3333\?"),
    ({"workflows": ("0a1b",)}, r"^workflow 0a1b is ambiguous"),
    ({"projects": ("shap*",)}, r"^no project shap\* in the store"),
    ({"projects": ("sho",)}, r"^no project sho in the store"),
    ({"projects": ("shp",)}, r"^no project shp in the store; did you mean shop\? there are: "),
    ({"branches": ("feat",)}, r"^no branch feat in the store; did you mean feat/cart\?"),
    ({"sources": ("traker",)}, r"^no source traker in the store; did you mean tracker\?"),
    ({"hosts": ("laptop",)}, "^no host laptop in the store; there is none yet$"),
    (
        {"users": ("ada",)},
        "^no user ada in the store; there is none yet: claude-force config set performance.user NAME$",
    ),
]


def test_what_means_nothing_names_the_nearest(filled: Database) -> None:
    """An empty report would hide a typing error."""
    for names, message in REFUSED:
        with pytest.raises(UnknownName, match=message) as refused:
            known(filled, **names)
        assert "\n" not in str(refused.value)


def test_an_empty_store_takes_every_name(database: Database) -> None:
    """It knows none. What is meant is seen later."""
    assert known(database, agents=("review*",), models=("sonnet",)) == Filter(agents=("review*",), models=("sonnet",))


def test_a_glob_means_at_most_so_many_names(database: Database) -> None:
    """More than a statement takes are refused, with the remedy; names of a series and of rows alike."""
    Store(database).add(
        an_execution(timestamp_us=NOON_US + number, workflow_id=f"w{number:06}") for number in range(MOST_NAMES + 1)
    )
    with pytest.raises(
        TooManyNames, match=r"--session w\* means 10,001 sessions, and a report takes 10,000"
    ) as refused:
        known(database, sessions=("w*",))
    assert refused.value.exit_code == 2
    assert reports.summary(database, Filter(sessions=("w00*",))).totals.executions == MOST_NAMES


def test_names_are_looked_up_once(filled: Database) -> None:
    """A page of several reports hands the names of the store from one to the other."""
    with filled.read() as connection:
        found = known_names(connection, Filter(agents=("revie*",), projects=("shop",)))
        assert known_names(connection, found) is found
