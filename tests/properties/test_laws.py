"""Laws that hold for every history, on both engines: identity, additivity, lossless JSONL."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics import reports as analytics
from claude_force.analytics.json_fields import plural
from claude_force.clock import DAY_US, LATEST_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Dimension, Filter
from claude_force.database.writes import Store
from claude_force.errors import InvalidWindow
from claude_force.executions.intervals import Interval
from claude_force.executions.jsonl.codec import decode_line, encode_line
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.totals import Added, Totals
from claude_force.time_windows import Window
from tests.builders import a_line, an_execution
from tests.conftest import EXAMPLES, Run
from tests.profiles import scaled
from tests.properties.strategies import (
    ZONES,
    Line,
    fill,
    histories,
    instants,
    lines,
    on_both_engines,
    read_back,
    records,
    refill,
    to_bytes,
    utc,
    zones,
)

GUIDE = EXAMPLES / "executions-guide.jsonl"
INTERVALS: tuple[Interval, ...] = get_args(Interval)
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
ODD_ZONES = ("America/Havana", "Asia/Beirut", "America/Nuuk", "Antarctica/Troll", "Pacific/Apia", "Pacific/Chatham")
"""Clocks that change at midnight, an hour before it, by two hours, by a whole day; a quarter of an hour off UTC."""

both_engines = settings(on_both_engines, max_examples=scaled(15))
pure = settings(max_examples=scaled(60))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Database]:
    """A second, empty SQLite database."""
    found = open_database(str(tmp_path / "elsewhere.db"))
    yield found
    found.close()


def every_report(database: Database, zone: ZoneInfo) -> list[dict[str, Any]]:
    """What all reports say."""
    everything = Filter()
    return [
        analytics.summary(database, everything).to_dict(),
        analytics.errors(database, everything, zone).to_dict(),
        *(analytics.breakdown(database, everything, dimension, "cost").to_dict() for dimension in DIMENSIONS),
        *(
            analytics.costs(database, everything, analytics.COST_PARTS | {"trends"}, interval, zone).to_dict()
            for interval in INTERVALS
        ),
        *(analytics.trends(database, everything, interval, zone).to_dict() for interval in INTERVALS),
    ]


def totals(database: Database, chosen: Filter = Filter()) -> Totals:  # noqa: B008  (a frozen value)
    """The sums over chosen executions."""
    with database.read() as connection:
        return queries.totals(connection, chosen)


def exported(database: Database, zone: ZoneInfo) -> bytes:
    """The export as JSONL."""
    return b"".join(encode_line(record, zone) for record in queries.iterate(database, Filter()))


# Identity


@given(history=histories(), naive_zone=st.sampled_from(ZONES))
@both_engines
def test_adding_a_history_twice_adds_it_once(database: Database, history: list[Line], naive_zone: str) -> None:
    """Each line is one execution, equal lines too, and reading the file again brings nothing new."""
    content = to_bytes(history)
    fill(database, content, naive_zone)
    assert totals(database).executions == len(history)
    assert Store(database).add(read_back(content, naive_zone)) == Added(0, len(history))
    assert totals(database).executions == len(history)


@given(history=histories(), chance=st.randoms(use_true_random=False), zone=zones)
@both_engines
def test_the_order_of_lines_does_not_matter(
    database: Database, elsewhere: Database, history: list[Line], chance: Any, zone: ZoneInfo
) -> None:
    """A shuffled file gives the same reports, and the same export to the byte."""
    fill(database, to_bytes(history))
    chance.shuffle(history)
    fill(elsewhere, to_bytes(history))
    assert every_report(elsewhere, zone) == every_report(database, zone)
    assert exported(elsewhere, zone) == exported(database, zone)


def test_importing_a_file_twice_adds_nothing(run: Run, location: str, tmp_path: Path) -> None:
    """The file, its gzip copy under another name, and standard input are the same executions."""
    copy = tmp_path / "copy.gz"
    copy.write_bytes(gzip.compress(GUIDE.read_bytes()))
    first = json.loads(run("import", GUIDE, "--json", "--db", location).stdout)
    before = run("analytics", "export", "--format", "jsonl", "--db", location).stdout
    content = GUIDE.read_text()
    again = json.loads(run("import", GUIDE, copy, "-", "--json", "--db", location, input=content).stdout)
    assert (first["added"], first["duplicates"], first["rejected"]) == (2001, 0, 0)
    assert (again["added"], again["duplicates"], again["rejected"]) == (0, 6003, 0)
    assert run("analytics", "export", "--format", "jsonl", "--db", location).stdout == before


def test_equal_lines_are_executions_of_their_own(database: Database) -> None:
    """Two equal lines are two executions and stay two; when the file grows by a third, one is added."""
    store = Store(database)
    assert store.add(read_back(a_line() * 2)) == Added(2, 0)
    assert store.add(read_back(a_line() * 2)) == Added(0, 2)
    assert store.add(read_back(a_line() * 3)) == Added(1, 2)
    assert totals(database).executions == 3


def respelled(line: Line, chance: Any) -> bytes:
    """The line with the same content, written differently."""
    names = list(line)
    chance.shuffle(names)
    space = chance.choice(("", " ", "\t", "   "))
    fields = [f"{space}{json.dumps(name)}{space}:{space}{_respelled_value(line[name], chance)}" for name in names]
    end = chance.choice(("\n", "\r\n", " \n", "\n\n"))
    return f"{space}{{{','.join(fields)}{space}}}{end}".encode()


def _respelled_value(value: Any, chance: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(chance.choice((f"{value}", f"{value}.0", f"{value}e0", f"{value}.00E+00")))
    if isinstance(value, float):
        return str(
            chance.choice((repr(value), f"{value:.17e}", f"{value!r}00" if "e" not in repr(value) else f"{value}"))
        )
    return json.dumps(value, ensure_ascii=chance.choice((True, False)))


@given(line=lines(), chance=st.randoms(use_true_random=False))
@pure
def test_spelling_is_not_part_of_the_identity(line: Line, chance: Any) -> None:
    """The order of keys, white space, line ends, escapes and the spelling of numbers do not make another execution."""
    assert read_back(respelled(line, chance)) == read_back(to_bytes([line]))


@pytest.mark.parametrize(
    ("line", "same"),
    [
        pytest.param(a_line(workflow_id="w"), a_line(workflow_name="w"), id="the name of 1.3"),
        pytest.param(a_line(), a_line(execution_time_ms=..., duration_ms=3456), id="duration_ms"),
        pytest.param(a_line(), a_line(workflow_id=None, error_type=None, project=None), id="null as absent"),
        pytest.param(a_line(), a_line(total_tokens=...), id="a total that is computed"),
        pytest.param(a_line(), a_line(timestamp="2025-11-14T16:00:45.123456+05:30"), id="another offset"),
        pytest.param(a_line(workflow_position=2), a_line(workflow_position=2.0), id="a float for a whole number"),
        pytest.param(a_line(), a_line(comment=None), id="an unknown field that is null"),
        pytest.param(a_line(weight=1), a_line(weight=1.0), id="a number in an unknown field"),
        pytest.param(a_line(more={"a": 1, "b": [2]}), a_line(more={"b": [2], "a": 1}), id="keys in an unknown field"),
    ],
)
def test_the_same_content_is_the_same_execution(line: bytes, same: bytes) -> None:
    """What a line means is its identity, not how it says so."""
    assert read_back(same) == read_back(line)


@pytest.mark.parametrize(
    "other",
    [
        a_line(timestamp="2025-11-14T10:30:45.123457"),
        a_line(agent_name="Python-expert"),
        a_line(agent_name="python-expert "),
        a_line(success=False),
        a_line(execution_time_ms=3456.001),
        a_line(output_tokens=568),
        a_line(estimated_cost=0.000234001),
        a_line(estimated_cost=None),
        a_line(workflow_id="w"),
        a_line(comment="unknown, but said"),
    ],
)
def test_another_content_is_another_execution(other: bytes) -> None:
    """A difference in any field, also in one that is not known, makes two executions."""
    assert read_back(other)[0].uid != read_back(a_line())[0].uid


# Additivity


@given(
    executions=st.lists(records(), max_size=25, unique_by=lambda record: record.uid),
    zone=st.sampled_from(ZONES + ODD_ZONES),
)
@both_engines
def test_intervals_add_up_and_are_periods(database: Database, executions: list[ExecutionMetrics], zone: str) -> None:
    """For every interval in every zone, whatever happened: see `assert_periods`."""
    refill(database, executions)
    for interval in INTERVALS:
        assert_periods(database, interval, zone)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("America/New_York", "2025-11-02T06:00:00"),
        ("America/New_York", "2025-03-09T07:00:00"),
        ("Australia/Lord_Howe", "2025-04-05T15:00:00"),
        ("Australia/Lord_Howe", "2025-10-04T15:30:00"),
        ("America/Havana", "2025-11-02T05:00:00"),
        ("America/Havana", "2025-03-09T05:00:00"),
        ("America/Nuuk", "2025-10-26T01:00:00"),
        ("Antarctica/Troll", "2025-10-26T01:00:00"),
        ("Pacific/Apia", "2011-12-30T10:00:00"),
    ],
)
def test_intervals_at_a_clock_change_are_periods(zone: str, change: str, database: Database) -> None:
    """Around a change of the clock, by an hour, half an hour, two hours or a day, every interval is a period, the same
    whichever executions are in it."""
    moments = [utc(change) + minute * 60_000_000 for minute in range(-150, 151, 10)]
    refill(database, [an_execution(timestamp_us=moment) for moment in moments])
    for interval in INTERVALS:
        assert_periods(database, interval, zone)
        with database.read() as connection:
            every = queries.trend(connection, Filter(), interval, ZoneInfo(zone))
            alone = [
                queries.trend(connection, Filter(Window(moment, moment + 1)), interval, ZoneInfo(zone))[0]
                for moment in moments
            ]
        limits = {bucket.label: (bucket.start_us, bucket.end_us) for bucket in every}
        assert [one.label for one in alone if limits[one.label] != (one.start_us, one.end_us)] == []


def assert_periods(database: Database, interval: Interval, zone: str) -> None:
    """The sums over the intervals are the total; an interval begins before it ends, does not overlap the next one, and
    holds exactly the executions between its two instants."""
    with database.read() as connection:
        found = queries.trend(connection, Filter(), interval, ZoneInfo(zone))
        inside = [queries.totals(connection, Filter(Window(bucket.start_us, bucket.end_us))) for bucket in found]
    assert sum((bucket.totals for bucket in found), Totals()) == totals(database)
    assert [bucket.label for bucket in found if bucket.start_us >= bucket.end_us] == []
    assert [after.label for before, after in pairwise(found) if before.end_us > after.start_us] == []
    assert [bucket.label for bucket, sums in zip(found, inside, strict=True) if bucket.totals != sums] == []


@given(
    executions=st.lists(records(), max_size=25, unique_by=lambda record: record.uid),
    edges=st.tuples(instants, instants, instants).map(sorted),
)
@both_engines
def test_a_window_split_anywhere_adds_up(
    database: Database, executions: list[ExecutionMetrics], edges: list[int]
) -> None:
    """Two windows that meet count every execution between them once, at their common edge too."""
    refill(database, executions)
    start, middle, end = edges
    for first, last in ((start, end), (None, None), (None, end), (start, None)):
        parts = (Window(first, middle), Window(middle, last))
        assert totals(database, Filter(parts[0])) + totals(database, Filter(parts[1])) == totals(
            database, Filter(Window(first, last))
        )


@given(history=histories())
@both_engines
def test_names_add_up(database: Database, history: list[Line]) -> None:
    """Each name asked for alone gives its row of the breakdown, and the rows give the total."""
    fill(database, to_bytes(history))
    everything = totals(database)
    asks: dict[Dimension, Callable[[str], Filter]] = {
        "agent_name": lambda name: Filter(agents=(name,)),
        "model": lambda name: Filter(models=(name,)),
        "workflow_id": lambda name: Filter(workflows=(name,)),
        "project": lambda name: Filter(projects=(name,)),
        "source": lambda name: Filter(sources=(name,)),
        "session_id": lambda name: Filter(sessions=(name,)),
        "git_branch": lambda name: Filter(branches=(name,)),
        "host": lambda name: Filter(hosts=(name,)),
        "user_name": lambda name: Filter(users=(name,)),
    }
    for dimension, ask in asks.items():
        groups = analytics.breakdown(database, Filter(), dimension, "name").groups
        assert sum((group.totals for group in groups), Totals()) == everything
        assert all(totals(database, ask(group.name)) == group.totals for group in groups if group.name is not None)


def test_rows_of_a_breakdown_have_the_same_keys(database: Database) -> None:
    """A row whose executions were never timed says null for its latencies, so that every row has every column."""
    names: dict[str, Any] = dict.fromkeys(DIMENSIONS, "a")
    timed = an_execution(**dict.fromkeys(names, "b"))
    refill(database, [an_execution(duration_us=None, **names), timed])
    for dimension in DIMENSIONS:
        report = analytics.breakdown(database, Filter(), dimension, "name").to_dict()
        first, second = report[plural(dimension)]
        assert list(first) == list(second)
        assert first["p95_latency_ms"] is None


def test_a_breakdown_as_csv_has_the_latencies_of_every_row(run: Run, location: str, database: Database) -> None:
    """The most frequent agent was never timed: the other one's latencies are still there."""
    untimed = [an_execution(agent_name="a", duration_us=None) for _ in range(2)]
    Store(database).add([*untimed, an_execution(agent_name="b", duration_us=5000)])
    written = run("analytics", "by-agent", "--format", "csv", "--db", location).stdout
    rows = list(csv.DictReader(io.StringIO(written)))
    assert [(row["agent"], row.get("p95_latency_ms")) for row in rows] == [("a", ""), ("b", "5")]


def test_a_trend_is_over_whole_intervals(database: Database) -> None:
    """The first and the last day of a period that begins and ends at noon do not count, nor does the day on which the
    history begins or one that is not over yet. Days without executions do."""
    noon = utc("2025-11-10T12:00:00")
    counts = {0: 70, 1: 1, 2: 2, 3: 0, 4: 4, 5: 5, 6: 6, 7: 70}
    moments = [noon + DAY_US * day + index for day, count in counts.items() for index in range(count)]
    refill(database, [an_execution(timestamp_us=moment) for moment in moments])
    zone = ZoneInfo("UTC")

    def change(window: Window, now_us: int) -> tuple[str, str, int, bool]:
        found = analytics.trends(database, Filter(window), "daily", zone, now_us).change
        assert found is not None
        return found.first, found.last, found.intervals, found.executions is None

    six = ("2025-11-11", "2025-11-16", 6, False)
    assert change(Window(noon, noon + 7 * DAY_US), noon + 9 * DAY_US) == six
    assert change(Window(noon - DAY_US, None), noon + 7 * DAY_US) == six
    assert change(Window(noon, noon + 3 * DAY_US), noon + 9 * DAY_US) == ("2025-11-11", "2025-11-12", 2, True)


@pytest.mark.parametrize("interval", INTERVALS)
def test_intervals_without_executions_are_there(interval: Interval, database: Database) -> None:
    """From the start of the history or of the period to its end or now; without an end, to the last execution."""
    zone, day = ZoneInfo("Europe/Berlin"), utc("2025-03-28T12:00:00")
    moments = [day, day + DAY_US, day + 40 * DAY_US]
    refill(database, [an_execution(timestamp_us=at) for at in moments])
    for window, now_us, last_us in (
        (Window(), day + 90 * DAY_US, moments[-1]),
        (Window(day - 9 * DAY_US, None), day + 50 * DAY_US, moments[-1]),
        (Window(day - 9 * DAY_US, day + 45 * DAY_US), day + 50 * DAY_US, day + 45 * DAY_US - 1),
        (Window(day - 9 * DAY_US, day + 45 * DAY_US), day + 42 * DAY_US, day + 42 * DAY_US - 1),
    ):
        trends = analytics.trends(database, Filter(window), interval, zone, now_us)
        parts = frozenset(("trends",))
        costs = analytics.costs(database, Filter(window), parts, interval, zone, now_us=now_us)
        buckets = trends.buckets
        assert costs.buckets == buckets
        assert all(one.end_us == following.start_us for one, following in pairwise(buckets))
        assert buckets[0].start_us <= day < buckets[0].end_us
        assert buckets[-1].start_us <= last_us < buckets[-1].end_us
        assert len({bucket.label for bucket in buckets}) == len(buckets)
        assert sum(bucket.totals.executions for bucket in buckets) == 3
    assert analytics.trends(database, Filter(Window(0, 1)), interval, zone, day).buckets == []


def test_a_wrong_clock_makes_no_endless_report(database: Database) -> None:
    """A century of hours is refused, in one line that names the remedy."""
    refill(database, [an_execution(timestamp_us=utc(f"{year}-01-01T00:00:00")) for year in (1990, 2026)])
    with pytest.raises(InvalidWindow, match=r"315,\d{3} hourly intervals .* choose a longer --interval"):
        analytics.trends(database, Filter(), "hourly", ZoneInfo("UTC"))
    assert len(analytics.trends(database, Filter(), "monthly", ZoneInfo("UTC")).buckets) == 433


# JSONL


@given(
    record=records(st.one_of(instants, st.integers(0, LATEST_US - 1))),
    written=st.sampled_from((*ZONES, *ODD_ZONES, "Africa/Monrovia")),
    read=zones,
)
@settings(max_examples=scaled(200))
def test_a_line_gives_back_its_record(record: ExecutionMetrics, written: str, read: ZoneInfo) -> None:
    """Encoding and decoding are inverse for every record, in whatever zones they happen, and raise no notes."""
    line = encode_line(record, ZoneInfo(written))
    draft = decode_line(line, read)
    assert ExecutionMetrics(**draft.fields) == record
    assert draft.notes == ()
    assert encode_line(ExecutionMetrics(**draft.fields), ZoneInfo(written)) == line


@given(executions=st.lists(records(), max_size=15, unique_by=lambda record: record.uid), zone=zones)
@both_engines
def test_an_export_survives_another_database(
    database: Database, elsewhere: Database, executions: list[ExecutionMetrics], zone: ZoneInfo
) -> None:
    """Export, import into another database, export: equal bytes, from SQLite to PostgreSQL and back."""
    refill(elsewhere, executions)
    first = exported(elsewhere, zone)
    fill(database, first)
    assert exported(database, zone) == first
    fill(elsewhere, exported(database, ZoneInfo("UTC")))
    assert exported(elsewhere, zone) == first


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(an_execution(), id="ordinary"),
        pytest.param(an_execution(cost_nanousd=None, reference_cost_nanousd=None), id="without a cost"),
        pytest.param(an_execution(reference_cost_nanousd=None), id="without a reference cost"),
        pytest.param(an_execution(input_tokens=None, output_tokens=None, cost_nanousd=None), id="without usage"),
        pytest.param(an_execution(model="a model of ours", cost_nanousd=None), id="of an unknown model"),
        pytest.param(an_execution(agent_name="=агент\u2028\u0007'\"", duration_us=None), id="with an odd name"),
    ],
)
def test_the_installed_program_loses_nothing(record: ExecutionMetrics, run: Run, elsewhere: Database) -> None:
    """`analytics export --output FILE.jsonl`, `import` into another database, and export again: equal bytes."""
    Store(elsewhere).add([record])
    zone = ("--timezone", "Asia/Kolkata")
    assert run("analytics", "export", "--output", "first.jsonl", "--db", elsewhere.name, *zone).returncode == 0
    assert run("import", "first.jsonl").returncode == 0
    assert run("analytics", "export", "--output", "second.jsonl", *zone).returncode == 0
    assert Path("first.jsonl").read_bytes() == encode_line(record, ZoneInfo("Asia/Kolkata"))
    assert Path("second.jsonl").read_bytes() == Path("first.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("local", "options", "expected"),
    [
        ("America/New_York", (), "2025-11-02T05:30:00.000000+00:00"),
        ("Asia/Kolkata", (), "2025-11-01T20:00:00.000000+00:00"),
        ("Asia/Kolkata", ("--timezone", "America/New_York"), "2025-11-02T05:30:00.000000+00:00"),
    ],
)
def test_a_time_without_an_offset_is_local_time(local: str, options: tuple[str, ...], expected: str, run: Run) -> None:
    """The zone of the machine counts, unless --timezone names another; a repeated hour means its first occurrence."""
    line = a_line(timestamp="2025-11-02T01:30:00").decode()
    assert run("import", "-", *options, input=line, env={"TZ": local}).returncode == 0
    written = run("analytics", "export", "--format", "jsonl", "--timezone", "UTC", env={"TZ": local}).stdout
    assert json.loads(written)["timestamp"] == expected


def test_the_real_history_survives_both_engines(run: Run, location: str, tmp_path: Path) -> None:
    """The 3,000 executions of claude-force 1.3, exported, imported elsewhere and exported: equal bytes."""
    other = tmp_path / "other.db"
    run("import", EXAMPLES / "executions-1.3.jsonl", "--db", location, "--timezone", "America/New_York")
    first = run("analytics", "export", "--format", "jsonl", "--db", location).stdout
    assert run("import", "-", "--db", other, input=first).returncode == 0
    assert first.count("\n") == 3000
    assert run("analytics", "export", "--format", "jsonl", "--db", other).stdout == first


def test_repricing_later_is_repricing_at_once(run: Run) -> None:
    """A history that came in without prices gets, by `import --reprice`, what it would have got at the beginning: the
    costs, and the savings also of an execution whose cost was right already."""
    right, wrong = a_line(estimated_cost=0.0032552), a_line(estimated_cost=0.5)
    Path("history.jsonl").write_bytes(right + wrong)
    run("config", "set", "performance.cost_tracking", "false")
    assert run("import", "history.jsonl", "--db", "later.db").returncode == 0
    run("config", "set", "performance.cost_tracking", "true")
    for database in ("later.db", "once.db"):
        assert run("import", "history.jsonl", "--reprice", "--db", database).returncode == 0
    later, once = (
        json.loads(run("analytics", "summary", "--json", "--db", name).stdout) for name in ("later.db", "once.db")
    )
    assert once["total_cost"] == 0.0065104
    # All but how old the answer is.
    assert later | {"data": None} == once | {"data": None}
