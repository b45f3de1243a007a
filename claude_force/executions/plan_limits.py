"""The limits of a Claude plan, as Claude Code sends them to its status line, and when one runs out. Pure.

    "rate_limits": {"five_hour": {"used_percentage": 62, "resets_at": 1764338400},
                    "seven_day": {"used_percentage": 31.5, "resets_at": 1764752400}}

`resets_at` is in seconds since 1970 (https://code.claude.com/docs/en/statusline); ISO 8601 text is read as well. Other
limits come in the same form: seven_day_opus, seven_day_sonnet, spend_limit. Any part may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any, NamedTuple

from claude_force.clock import DAY_US, EARLIEST_US, HOUR_US, LATEST_US, MINUTE_US, SECOND_US, parse_instant

FIVE_HOUR, SEVEN_DAY, SPEND = "five_hour", "seven_day", "spend_limit"

PERCENT_LIMIT = 1000.0
"""A percentage above this is an error. One above 100 is not: a spend limit can be exceeded."""

SAME_WINDOW_US = 10 * MINUTE_US
"""Two resets of a limit that are no further apart belong to the same window: the server does not repeat an instant to
the second."""

OTHER_ACCOUNT_US = 10 * MINUTE_US
"""Two sessions with different accounts take turns: the other account's window is kept at most this often."""

UNKNOWN_RESET_US = HOUR_US
"""How long a percentage without a reset is taken as current."""

_LONGEST_US = 366 * DAY_US
"""No window is longer."""

_KINDS_LIMIT = 20
_KIND = r"[a-z0-9_]{1,40}"


class PlanLimit(NamedTuple):
    """One observation of a limit.

    `kind` is the name that Claude Code uses ("five_hour"). `used_percent` has one decimal and may exceed 100. The
    limit is at 0 again at `resets_us`; None if that is unknown. `session_id` is the session that observed it.
    """

    host: str
    kind: str
    observed_us: int
    used_percent: float
    resets_us: int | None = None
    session_id: str | None = None

    def is_current(self, now_us: int) -> bool:
        """Whether its window has not ended yet. Afterwards the percentage says nothing."""
        ends_us = self.observed_us + UNKNOWN_RESET_US if self.resets_us is None else self.resets_us
        return now_us < ends_us

    def is_same_window(self, other: PlanLimit) -> bool:
        """Whether two observations of a limit are of one window. A reset that is unknown may be any."""
        if self.resets_us is None or other.resets_us is None:
            return True
        return abs(self.resets_us - other.resets_us) <= SAME_WINDOW_US


def decode(session: Any, host: str, now_us: int) -> tuple[list[PlanLimit], list[str]]:
    """The limits in the JSON of the status line, observed now, and a line for each that cannot be read. A limit that
    is null or has no percentage is absent; one whose window has ended comes from an idle session, and is left out."""
    sent = session.get("rate_limits") if isinstance(session, dict) else None
    if sent is None:
        return [], []
    if not isinstance(sent, dict):
        return [], ["rate_limits is no object"]
    session_id = session.get("session_id")
    named = session_id if isinstance(session_id, str) and session_id.isprintable() and len(session_id) <= 100 else None
    limits: list[PlanLimit] = []
    problems = [f"rate_limits has more than {_KINDS_LIMIT} limits"] if len(sent) > _KINDS_LIMIT else []
    for kind, value in list(sent.items())[:_KINDS_LIMIT]:
        try:
            limits += [PlanLimit(host, kind, now_us, *found, named) for found in _decode_limit(kind, value, now_us)]
        except ValueError as error:
            problems.append(f"rate_limits.{kind[:40]}: {error}")
    return [limit for limit in limits if limit.is_current(now_us)], problems


def _decode_limit(kind: str, value: Any, now_us: int) -> Iterator[tuple[float, int | None]]:
    """The percentage and the reset of a limit; nothing if it has no percentage. Raises ValueError."""
    if value is None:
        return
    if not isinstance(value, dict) or not re.fullmatch(_KIND, kind):
        raise ValueError("is not an object with the name of a limit")
    percent = value.get("used_percentage")
    if percent is not None:
        resets_us = _reset(value.get("resets_at"))
        if resets_us is not None and resets_us - now_us > 2 * (window_length_us(kind) or _LONGEST_US):
            raise ValueError("resets_at is further ahead than its window is long")
        yield _percent(percent), resets_us


def _percent(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Also refuses NaN.
    if not is_number or not 0 <= value <= PERCENT_LIMIT:
        raise ValueError(f"used_percentage {str(value)[:40]!a} is not a number from 0 to {PERCENT_LIMIT:g}")
    return round(float(value), 1)


def _reset(value: Any) -> int | None:
    """The instant of a reset. Raises ValueError for one that is none, or lies outside the years 1970 to 2099."""
    if value is None:
        return None
    if isinstance(value, str):
        return parse_instant(value, UTC)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not EARLIEST_US <= value * SECOND_US < LATEST_US:
        raise ValueError(f"resets_at {str(value)[:40]!a} is no instant from 1970 to 2099")
    return round(float(value) * SECOND_US)


def is_news(sent: PlanLimit, known: PlanLimit | None) -> bool:
    """Whether an observation says more than the last one that is known of the same limit.

    Usage only grows within a window, so a lower percentage comes from a session that has been idle, unless the session
    that observed the higher one observed this one too.
    """
    if known is None or not known.is_current(sent.observed_us):
        return True
    is_same_session = sent.session_id is not None and sent.session_id == known.session_id
    if sent.is_same_window(known):
        return sent.used_percent > known.used_percent or (is_same_session and sent.used_percent != known.used_percent)
    return is_same_session or sent.observed_us - known.observed_us >= OTHER_ACCOUNT_US


def merge(sent: Iterable[PlanLimit], known: Mapping[str, PlanLimit], now_us: int) -> list[PlanLimit]:
    """The current limits of a session: those that it sent, except where another session knows more of the same window,
    and the known ones that it did not send."""
    found = {kind: limit for kind, limit in known.items() if limit.is_current(now_us)}
    for limit in sent:
        before = found.get(limit.kind)
        if before is None or is_news(limit, before) or not limit.is_same_window(before):
            found[limit.kind] = limit
    return sorted(found.values(), key=order)


def order(limit: PlanLimit) -> tuple[int, str, str]:
    """The sort key of limits: five hours, the week, then the others by name."""
    return {FIVE_HOUR: 0, SEVEN_DAY: 1}.get(limit.kind, 2), limit.kind, limit.host


def title(kind: str) -> str:
    """The name of a limit for people: "5 hours", "week", "week opus", "spend limit"."""
    named = {FIVE_HOUR: "5 hours", SEVEN_DAY: "week"}.get(kind)
    return named or kind.replace(f"{SEVEN_DAY}_", "week ").replace("_", " ")


def window_length_us(kind: str) -> int | None:
    """The length of the windows of a limit; None if it is unknown, as for a spend limit."""
    if kind == FIVE_HOUR:
        return 5 * HOUR_US
    return 7 * DAY_US if kind.startswith(SEVEN_DAY) else None


def lookback_us(kind: str) -> int:
    """Whose rate a forecast continues: the last hour of a five-hour limit, the last day of the others."""
    return HOUR_US if kind == FIVE_HOUR else DAY_US


class Forecast(NamedTuple):
    """How a limit goes on at its present rate.

    `percent_per_hour` is the rate; None if it is unknown. `at_reset_percent` is what is used by the reset: above 100 it
    runs out before. `runs_out_us` is when it does, or, for a limit that is used up, when that was observed; None if it
    does not before its reset. Each is None if the rate or the reset that it needs is unknown.
    """

    percent_per_hour: float | None = None
    at_reset_percent: float | None = None
    runs_out_us: int | None = None


def forecast(limit: PlanLimit, history: Sequence[PlanLimit], now_us: int) -> Forecast:
    """The forecast of a current limit. `history` has its observations, oldest first: those of the last `lookback_us`
    and the one before them."""
    rate = _percent_per_us(limit, history, now_us)
    if rate is None:
        return Forecast(runs_out_us=limit.observed_us if limit.used_percent >= 100 else None)
    at_reset = None if limit.resets_us is None else limit.used_percent + rate * (limit.resets_us - now_us)
    return Forecast(rate * HOUR_US, at_reset, _runs_out_us(limit, rate, now_us))


def _runs_out_us(limit: PlanLimit, rate: float, now_us: int) -> int | None:
    if limit.used_percent >= 100:
        return limit.observed_us
    if rate <= 0:
        return None
    at_us = now_us + round((100 - limit.used_percent) / rate)
    return at_us if at_us < (LATEST_US if limit.resets_us is None else limit.resets_us) else None


def _percent_per_us(limit: PlanLimit, history: Sequence[PlanLimit], now_us: int) -> float | None:
    """The rate since the start of the lookback. If nothing is known of that time, the rate of the window so far."""
    start = _start(limit, history, now_us)
    if start is None or start[0] >= now_us:
        return None
    return max(limit.used_percent - start[1], 0.0) / (now_us - start[0])


def _start(limit: PlanLimit, history: Sequence[PlanLimit], now_us: int) -> tuple[int, float] | None:
    """The instant from which on the rate is measured, and the percentage at that time. A window begins at 0."""
    since_us, length_us = now_us - lookback_us(limit.kind), window_length_us(limit.kind)
    own = [each for each in history if each.is_same_window(limit) and each.observed_us < now_us]
    before = [each for each in own if each.observed_us <= since_us]
    if before:
        return since_us, before[-1].used_percent
    if limit.resets_us is not None and length_us is not None:
        return limit.resets_us - length_us, 0.0
    return (own[0].observed_us, own[0].used_percent) if own else None
