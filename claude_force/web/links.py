"""Addresses of views. The filters are the query string, in the words of the command line: every view can be shared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC
from urllib.parse import quote, urlencode

from claude_force import clock
from claude_force.analytics.json_fields import TITLES
from claude_force.database.queries import FilterDimension
from claude_force.executions.totals import Bucket
from claude_force.reports.html.linked import Linked, PageLinks
from claude_force.web.answers import Query

PERIOD = ("days", "hours", "last", "since", "until", "start", "end")
"""The words that choose a period."""

NAMES = tuple(TITLES.values())
"""The words that choose names."""

ZONE = "timezone"

SHARED = frozenset((*PERIOD, *NAMES, ZONE))
"""The words that stay when a link leads to another view."""


_LONGEST_DAY_US = 25 * clock.HOUR_US
"""The day on which clocks are set back."""


class Links(PageLinks):
    """Where things lead from a view at `path` with the words of `query`. For each path, `renamed` has the filters that
    it calls otherwise, and `taken` those that it takes (default: all): see `View`."""

    def __init__(
        self,
        path: str,
        query: Query,
        renamed: Mapping[str, Mapping[str, str]] = {},
        taken: Mapping[str, Collection[str]] = {},
    ) -> None:
        self.path, self.query, self._renamed, self._taken = path, query, renamed, taken

    def to(self, path: str, **words: str | None) -> str:
        """Another view with the filters of this one, and with these words in place of theirs: `for_model="opus"`.
        None takes a word out. A period replaces the whole period."""
        here, renamed = self._renamed.get(self.path, {}), self._renamed.get(path, {})
        back = {other: word for word, other in here.items()}
        taken = self._taken.get(path, SHARED)
        # What a command calls otherwise, it calls so because it has another option of that name.
        shared = ((back.get(word, word), value) for word, value in self.query if word not in here)
        kept = tuple((renamed.get(word, word), value) for word, value in shared if word in taken)
        return _address(path, _replaced(kept, words))

    def here(self, **words: str | None) -> str:
        """This view with these words in place of theirs. All other words stay."""
        return _address(self.path, _replaced(self.query, words))

    def without(self, word: str, value: str) -> str:
        """This view without a word of a value."""
        return _address(self.path, tuple(pair for pair in self.query if pair != (word, value)))

    def without_period(self) -> str:
        """This view over all time."""
        return _address(self.path, tuple(pair for pair in self.query if pair[0] not in PERIOD))

    def name(self, dimension: FilterDimension, name: str, text: str) -> str:
        """The cell of a name leads to this view of that name alone."""
        return Linked(text, self.here(**{TITLES[dimension]: name}))

    def interval(self, bucket: Bucket) -> str:
        """The cell of an interval leads to its runs."""
        is_day = len(bucket.label) == len("2026-01-31") and bucket.end_us - bucket.start_us <= _LONGEST_DAY_US
        if is_day:
            return Linked(bucket.label, self.to("/runs", since=bucket.label, until=bucket.label))
        return Linked(bucket.label, self.within("/runs", bucket.start_us, bucket.end_us))

    def within(self, path: str, start_us: int, end_us: int, **words: str) -> str:
        """Another view from one instant to another."""
        return self.to(path, start=_instant(start_us), end=_instant(end_us), **words)


def _instant(at_us: int) -> str:
    return f"{clock.to_datetime(at_us, UTC):%Y-%m-%dT%H:%MZ}"


def _replaced(query: Query, words: Mapping[str, str | None]) -> Query:
    given = {word.replace("_", "-"): value for word, value in words.items()}
    gone = {*given, *(PERIOD if any(word in PERIOD for word in given) else ())}
    kept = tuple(pair for pair in query if pair[0] not in gone)
    return kept + tuple((word, value) for word, value in given.items() if value is not None)


def _address(path: str, query: Query) -> str:
    return f"{path}?{urlencode(query, quote_via=quote, safe='/:@')}" if query else path
