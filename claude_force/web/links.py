"""Addresses of views. The filters are the query string, in the words of the command line: every view can be shared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC
from urllib.parse import quote

from claude_force import clock
from claude_force.analytics.json_fields import TITLES
from claude_force.database.queries import FilterDimension
from claude_force.executions.totals import Bucket
from claude_force.reports.html.linked import Linked, PageLinks
from claude_force.web.answers import Query

PERIOD = ("days", "hours", "last", "since", "until", "start", "end")
"""The words that choose a period."""

ALL_TIME = {"since": "1970-01-01"}
"""All time, for a view that has another period by itself."""

NAMES = tuple(TITLES.values())
"""The words that choose names."""

ZONE = "timezone"

RULE = "/alerts/explain"
"""The view of an alert rule."""

SHARED = frozenset((*PERIOD, *NAMES, ZONE))
"""The words that stay when a link leads to another view."""


_SAFE = "/:@"
"""What need not be escaped in a value (RFC 3986, query)."""

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
        self._kept: dict[tuple[str, ...], str] = {}
        self._made: dict[tuple[object, ...], str] = {}

    def to(self, path: str, **words: str | None) -> str:
        """Another view with the filters of this one, and with these words in place of theirs: `for_model="opus"`.
        None takes a word out. A period replaces the whole period."""
        return self._address(path, words, self._filters_for)

    def _all_words(self, _: str) -> Query:
        return self.query

    def _filters_for(self, path: str) -> Query:
        """The filters of this view, as another one calls them."""
        here, renamed = self._renamed.get(self.path, {}), self._renamed.get(path, {})
        back = {other: word for word, other in here.items()}
        taken = self._taken.get(path, SHARED)
        # What a command calls otherwise, it calls so because it has another option of that name.
        shared = ((back.get(word, word), value) for word, value in self.query if word not in here)
        return tuple((renamed.get(word, word), value) for word, value in shared if word in taken)

    def here(self, **words: str | None) -> str:
        """This view with these words in place of theirs. All other words stay."""
        return self._address(self.path, words, self._all_words)

    def _address(self, path: str, words: Mapping[str, str | None], query_for: Callable[[str], Query]) -> str:
        """An address with these words in place of those of a query. A table has hundreds that differ in a value: what
        stays is written once for each path and each set of words."""
        whole = (path, query_for.__name__, *words.items())
        if whole not in self._made:
            key = (path, query_for.__name__, *words)
            if key not in self._kept:
                gone = {_spelled(word) for word in words}
                gone |= set(PERIOD) if gone & set(PERIOD) else set()
                self._kept[key] = _encoded(pair for pair in query_for(path) if pair[0] not in gone)
            given = _encoded((_spelled(word), value) for word, value in words.items() if value is not None)
            text = "&".join(filter(None, (self._kept[key], given)))
            self._made[whole] = f"{path}?{text}" if text else path
        return self._made[whole]

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

    def rule(self, name: str, text: str) -> str:
        """The cell of an alert leads to the explanation of its rule."""
        return Linked(text, self.to(RULE, name=name))

    def within(self, path: str, start_us: int, end_us: int, **words: str) -> str:
        """Another view from one instant to another."""
        return self.to(path, start=_instant(start_us), end=_instant(end_us), **words)


def _instant(at_us: int) -> str:
    return f"{clock.to_datetime(at_us, UTC):%Y-%m-%dT%H:%MZ}"


def _spelled(word: str) -> str:
    return word.replace("_", "-")


def _encoded(query: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{quote(word)}={quote(value, _SAFE)}" for word, value in query)


def _address(path: str, query: Query) -> str:
    return f"{path}?{_encoded(query)}" if query else path
