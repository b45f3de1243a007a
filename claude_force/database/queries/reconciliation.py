"""What each source knows of sessions and days: who saw which executions, and what Claude Code itself counted.

Sums by session are taken of an interval of time, since there is no index on sessions: `sums_of_sessions` finds the
interval in which some sessions lie as a whole, without reading the rest of the history.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection, Row
from claude_force.database.queries.aggregates import known_ranges
from claude_force.database.queries.filter import IS_OF_SERIES, SERIES, SERIES_NAMES, SESSION, Filter, where, within
from claude_force.executions.ledgers import WHOLE_SESSION
from claude_force.executions.outcomes import COST, TOKENS
from claude_force.executions.record import CLAUDE_CODE, PROVISIONAL, RESULT
from claude_force.time_windows import ALL_TIME, Window

QUIET_US = 31 * DAY_US
"""A session that did nothing for so long does not go on: Claude Code deletes its transcript after 30 days."""

TELEMETRY, SDK = "telemetry", "sdk"
"""The sources of executions that only telemetry, or only a span of the SDK, saw."""

_MOST_NAMES = 5000
_NAME = "session_name"
_SIGHTING_COLUMN = re.compile(r"\b(?:script|event|span|sdk)\.\w+")
_SOURCES = f"series.source IN ('{CLAUDE_CODE}', '{TELEMETRY}', '{SDK}', '{RESULT}')"
_SIGHTING = "LEFT JOIN sightings AS {name} ON {name}.uid = executions.uid AND {name}.source = '{source}'"
_SIGHTINGS = " ".join(
    _SIGHTING.format(name=name, source=source)
    for name, source in (("script", "transcript"), ("event", "event"), ("span", "span"), ("sdk", "sdk"))
)
_CONTROLS = f"""LEFT JOIN session_ledgers AS whole ON whole.session_id = {SESSION} AND whole.model = '{WHOLE_SESSION}'
LEFT JOIN (SELECT session_id, MAX(started_us + duration_us) AS at_us FROM headless_runs
    WHERE reported_cost_nanousd > 0 GROUP BY session_id) AS run ON run.session_id = {SESSION}"""

_IN_TRANSCRIPT = f"(series.source = '{CLAUDE_CODE}' OR script.uid IS NOT NULL)"
_BY_SDK = f"(sdk.uid IS NOT NULL OR series.source = '{SDK}')"
_BY_TELEMETRY = (
    f"(event.uid IS NOT NULL OR span.uid IS NOT NULL OR (series.source = '{TELEMETRY}' AND sdk.uid IS NULL))"
)
_FROM_RESULT = f"series.source = '{RESULT}'"
_ELSEWHERE = "COALESCE(executions.provider, 'anthropic') NOT IN ('anthropic', 'firstParty')"
_REPORTED = "COALESCE(event.reported_cost_nanousd, span.reported_cost_nanousd)"
_COST = "executions.cost_nanousd"
_HAS_BOTH = f"{_REPORTED} IS NOT NULL AND {_COST} IS NOT NULL"
_IS_GIVEN = f"{_HAS_BOTH} AND executions.price_version IS NULL"
_SPECIAL = (
    "(executions.inference_geo IS NOT NULL OR executions.service_tier IS NOT NULL OR executions.provider IS NOT NULL)"
)
_ROUNDING_NANOUSD = 1000
"""Claude Code reports whole micro-dollars: a smaller difference of a request is rounding."""


def _flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def _sum_of(value: str, condition: str) -> str:
    return f"COALESCE(SUM(CASE WHEN {condition} THEN {value} END), 0)"


_KINDS = (
    f"series.agent_name, series.model, {_flag(_IN_TRANSCRIPT)}, {_flag(_BY_TELEMETRY)}, {_flag(_BY_SDK)}, "
    f"{_flag(_FROM_RESULT)}, {_flag(_ELSEWHERE)}, COALESCE(event.query_source, span.query_source)"
)
_FIGURES = ", ".join(
    (
        "COUNT(*)",
        f"COUNT({_COST})",
        f"COALESCE(SUM({_COST}), 0)",
        _sum_of("1", f"executions.usage_basis = '{PROVISIONAL}'"),
        "COALESCE(SUM(executions.input_tokens), 0)",
        "COALESCE(SUM(executions.output_tokens), 0)",
        "COALESCE(SUM(executions.cache_read_tokens), 0)",
        "COALESCE(SUM(executions.cache_write_5m_tokens + executions.cache_write_1h_tokens), 0)",
        f"COUNT({_REPORTED})",
        f"COALESCE(SUM({_REPORTED}), 0)",
        _sum_of(f"{_REPORTED} - {_COST}", f"{_HAS_BOTH} AND NOT {_SPECIAL}"),
        _sum_of(f"{_REPORTED} - {_COST}", f"{_HAS_BOTH} AND {_SPECIAL}"),
        _sum_of("1", f"{_HAS_BOTH} AND ABS({_REPORTED} - {_COST}) >= {_ROUNDING_NANOUSD}"),
        _sum_of(_REPORTED, f"{_COST} IS NULL"),
        _sum_of("1", _IS_GIVEN),
        _sum_of(_COST, _IS_GIVEN),
        "MIN(executions.timestamp_us)",
        "MAX(executions.timestamp_us)",
    )
)


class Kind(NamedTuple):
    """Which executions of a session or a day: of which agent and model, and who saw them. `is_result`: they come from
    the result of a headless run. `is_elsewhere`: another provider than Anthropic bills them. The last two: they were
    before the end of the ledger, of the last headless run."""

    agent_name: str
    model: str
    in_transcript: bool
    by_telemetry: bool
    by_sdk: bool
    is_result: bool
    is_elsewhere: bool
    query_source: str | None
    before_ledger: bool = False
    before_run: bool = False


class Figures(NamedTuple):
    """Sums of executions. `reported` have a figure of Claude Code, too. `price_gap_nanousd` is what these say more than
    ours for the same requests, `special_gap_nanousd` for those with a residency, a tier or another provider;
    `differing` counts the requests whose gap is more than rounding. `unpriced_reported_nanousd` is reported for
    requests that have no price of ours; `given` took the figure of Claude Code in its place, `given_nanousd` in all."""

    executions: int = 0
    priced: int = 0
    cost_nanousd: int = 0
    provisional: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reported: int = 0
    reported_nanousd: int = 0
    price_gap_nanousd: int = 0
    special_gap_nanousd: int = 0
    differing: int = 0
    unpriced_reported_nanousd: int = 0
    given: int = 0
    given_nanousd: int = 0
    first_us: int | None = None
    last_us: int | None = None

    @property
    def tokens(self) -> int:
        """The tokens of all kinds."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def known_cost_nanousd(self) -> int | None:
        """The cost; None if there are no executions, or none has a price."""
        return self.cost_nanousd if self.priced else None

    def plus(self, other: Figures) -> Figures:
        """Both together."""
        return sum_figures((self, other))


NOTHING = Figures()


def sum_figures(found: Iterable[Figures]) -> Figures:
    """The sum of some figures."""
    rows = list(found)
    if len(rows) < 2:
        return rows[0] if rows else NOTHING
    *sums, firsts, lasts = zip(*rows, strict=True)
    first_us = min((first for first in firsts if first is not None), default=None)
    last_us = max((last for last in lasts if last is not None), default=None)
    return Figures._make([*map(sum, sums), first_us, last_us])


SessionSums = dict[str, dict[Kind, Figures]]
"""The sums of each session, by kind of execution."""


class RunTotal(NamedTuple):
    """The last total that headless runs of a session printed: of the whole session until then, not of one run."""

    started_us: int
    at_us: int
    cost_nanousd: int


class ControlSum(NamedTuple):
    """What the metrics of an agent add up to, for a session or a day (UTC). Without cost metrics the cost is None."""

    cost_nanousd: int | None = None
    tokens: int | None = None

    def plus(self, name: str, value: int) -> ControlSum:
        """With the sum of an outcome, too."""
        field = "cost_nanousd" if name == COST else "tokens"
        return self._replace(**{field: value + (getattr(self, field) or 0)})


NO_METRICS = ControlSum()


def sessions_seen(connection: Connection, filters: Filter) -> set[str]:
    """The sessions that any source saw in the period, by executions that match the names; without names in the filter,
    also those of which there are only metrics or results."""
    period, parameters = within(filters.window)
    names, named = filters.conditions()
    matching = where([IS_OF_SERIES, _SOURCES, f"{SESSION} IS NOT NULL", *period, *names])
    parts = [f"SELECT {SESSION} FROM executions{SERIES}{matching}"]
    if not names:
        days = _days(period)
        runs = [condition.replace("timestamp_us", "started_us") for condition in period]
        kinds = f"name = '{COST}' AND session_id <> ''"
        parts.append(f"SELECT session_id FROM outcomes{where([kinds, *days])}")
        parts.append(f"SELECT session_id FROM headless_runs{where(['reported_cost_nanousd > 0', *runs])}")
    rows = connection.fetch(" UNION ".join(parts), parameters | named)
    return {row[0] for row in rows if row[0]}


def _days(period: Iterable[str]) -> list[str]:
    """The conditions of a period on days (UTC): those that it touches."""
    start_of_day = f"day_us > :start_us - {DAY_US}"
    return [
        condition.replace("timestamp_us >= :start_us", start_of_day).replace("timestamp_us", "day_us")
        for condition in period
    ]


def sums_by_session(connection: Connection, window: Window, sessions: Collection[str] = ()) -> SessionSums:
    """The sums of sessions in an interval: of all, or of some. If these are very many, others may be among them."""
    period, parameters = within(window)
    if 0 < len(sessions) <= _MOST_NAMES:
        names = {f"name_{index}": name for index, name in enumerate(sessions)}
        period, parameters = [*period, f"{_NAME} IN ({', '.join(f':{key}' for key in names)})"], parameters | names
    flags = f"{_flag('executions.timestamp_us <= whole.at_us')}, {_flag('executions.timestamp_us <= run.at_us')}"
    conditions = [IS_OF_SERIES, _SOURCES, f"{SESSION} IS NOT NULL", *map(_of_executions, period)]
    rows = _fetch_seen(
        connection,
        f"SELECT {SESSION}, {_KINDS}, {flags}, {_FIGURES} FROM executions{SERIES} {_SIGHTINGS} {_CONTROLS}"
        f"{where(conditions)} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
        parameters,
    )
    found: SessionSums = {}
    for session_id, *values in rows:
        found.setdefault(session_id, {})[_kind(values[:10])] = _figures(values[10:])
    return found


def _of_executions(condition: str) -> str:
    return condition.replace(_NAME, SESSION) if _NAME in condition else f"executions.{condition}"


def _fetch_seen(connection: Connection, sql: str, parameters: dict[str, Any]) -> list[Row]:
    """The answer of a query that joins executions with their sightings. Without any sighting in the store it does not
    join them: that takes half of the time."""
    if not connection.fetch("SELECT 1 FROM sightings LIMIT 1"):
        sql = _SIGHTING_COLUMN.sub("CAST(NULL AS BIGINT)", sql.replace(_SIGHTINGS, ""))
    return connection.fetch(sql, parameters)


def _kind(values: Sequence[object]) -> Kind:
    agent, model, *flags = values
    source = None if flags[5] is None else str(flags[5])
    transcript, telemetry, sdk, result, elsewhere, before_ledger, before_run = map(bool, flags[:5] + flags[6:])
    return Kind(
        str(agent), str(model), transcript, telemetry, sdk, result, elsewhere, source, before_ledger, before_run
    )


def _figures(values: Sequence[object]) -> Figures:
    return Figures(*(int(str(value)) for value in values))


def sums_of_sessions(connection: Connection, window: Window, sessions: Collection[str]) -> SessionSums:
    """The sums of some sessions as a whole, that were active in a window. Both ends of the window go outward by
    QUIET_US until none of the sessions was active in the last step."""
    found: SessionSums = {}
    stored, _ = known_ranges(connection)
    if not sessions or stored is None:
        return found
    _add(found, sums_by_session(connection, window), sessions)
    edges = (window.start_us, window.end_us)
    for edge_us, reach_us, step_us in zip(edges, (stored.first_us, stored.last_us), (-QUIET_US, QUIET_US), strict=True):
        at_us = edge_us
        while at_us is not None and (at_us > reach_us if step_us < 0 else at_us <= reach_us):
            part = Window(min(at_us, at_us + step_us), max(at_us, at_us + step_us))
            if not _add(found, sums_by_session(connection, part, sessions), sessions):
                break
            at_us += step_us
    return found


def _add(found: SessionSums, sums: SessionSums, sessions: Collection[str]) -> bool:
    """Add the sums of the sessions. Returns whether there were any."""
    added = [session_id for session_id in sums if session_id in sessions]
    for session_id in added:
        kinds = found.setdefault(session_id, {})
        for kind, figures in sums[session_id].items():
            kinds[kind] = kinds[kind].plus(figures) if kind in kinds else figures
    return bool(added)


def not_in_telemetry(connection: Connection, window: Window, since: dict[str, int]) -> dict[str, Figures]:
    """The responses of transcripts that telemetry did not see, of some sessions (a few hundred at most), each since an
    instant."""
    found: dict[str, Figures] = {}
    names = {f"name_{index}": name for index, name in enumerate(since)}
    period, parameters = within(window)
    among = f"{SESSION} IN ({', '.join(f':{name}' for name in names)})"
    unseen = [IS_OF_SERIES, among, *map(_of_executions, period), _IN_TRANSCRIPT, f"NOT {_BY_TELEMETRY}"]
    rows = connection.fetch(
        f"SELECT {SESSION}, executions.timestamp_us, {_COST} FROM executions{SERIES} {_SIGHTINGS}{where(unseen)}",
        parameters | names,
    )
    for session_id, at_us, cost in rows:
        if at_us >= since[session_id]:
            one = Figures(1, int(cost is not None), cost or 0, first_us=at_us, last_us=at_us)
            found[session_id] = found.get(session_id, NOTHING).plus(one)
    return found


def sums_by_day(connection: Connection, filters: Filter) -> dict[int, dict[Kind, Figures]]:
    """The sums of the matching executions of every source by day (UTC), whose key is its first instant."""
    period, parameters = within(filters.window)
    names, named = filters.conditions()
    qualified = [f"series.{name}" if name.partition(" ")[0] in SERIES_NAMES else name for name in names]
    conditions = [IS_OF_SERIES, *map(_of_executions, period), *qualified]
    rows = _fetch_seen(
        connection,
        f"SELECT executions.timestamp_us / {DAY_US}, {_KINDS}, {_FIGURES} FROM executions{SERIES} {_SIGHTINGS}"
        f"{where(conditions)} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9",
        parameters | named,
    )
    found: dict[int, dict[Kind, Figures]] = {}
    for day, *values in rows:
        found.setdefault(int(day) * DAY_US, {})[_kind([*values[:8], 0, 0])] = _figures(values[8:])
    return found


def run_totals(connection: Connection) -> dict[str, RunTotal]:
    """The last total of each session with headless runs. A run that crashed reports 0, which is no total."""
    found: dict[str, RunTotal] = {}
    for session_id, started_us, at_us, cost in connection.fetch(
        "SELECT session_id, started_us, started_us + duration_us, reported_cost_nanousd FROM headless_runs "
        "WHERE session_id IS NOT NULL AND reported_cost_nanousd > 0 ORDER BY started_us + duration_us, run_id"
    ):
        found[session_id] = RunTotal(int(started_us), int(at_us), int(cost))
    return found


def control_sums_of_sessions(connection: Connection) -> dict[str, ControlSum]:
    """What metrics say of each session."""
    return {str(name): found for name, found in _control_sums(connection, "session_id", ALL_TIME).items() if name}


def control_sums_by_day(connection: Connection, window: Window) -> dict[int, ControlSum]:
    """What metrics say of each day (UTC) that the period touches."""
    return {int(str(day)): found for day, found in _control_sums(connection, "day_us", window).items()}


def _control_sums(connection: Connection, key: str, window: Window) -> dict[object, ControlSum]:
    period, parameters = within(window)
    conditions = where([f"name IN ('{COST}', '{TOKENS}')", *_days(period)])
    rows = connection.fetch(f"SELECT {key}, name, SUM(value) FROM outcomes{conditions} GROUP BY 1, 2", parameters)
    found: dict[object, ControlSum] = {}
    for name, kind, value in rows:
        found[name] = found.get(name, ControlSum()).plus(kind, int(value))
    return found
