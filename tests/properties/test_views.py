"""Truth about the views: DuckDB computes them from exported executions by itself, and the reports agree with them."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics.runs import runs
from claude_force.clock import DAY_US, LATEST_US
from claude_force.database.archive import archive_once
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.rows.alerts import EventRow
from claude_force.database.rows.telemetry import HeadlessRun, OutcomeSum
from claude_force.database.views import VIEWS
from claude_force.database.writes.alerts import add_events
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.executions.billed_steps import Step
from claude_force.executions.jsonl.codec import encode_line
from claude_force.executions.projects import name_projects
from claude_force.executions.record import COST_LIMIT_NANOUSD, STEP_TOKENS, ExecutionMetrics
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled
from tests.properties.strategies import instants, on_both_engines, records, refill
from tests.properties.test_run_oracle import near
from tests.properties.test_runs import histories

both_engines = settings(on_both_engines, max_examples=scaled(15))

Rows = list[dict[str, Any]]

_LOAD = """
CREATE TABLE executions AS SELECT
    json ->> 'uid' AS uid, epoch_us((json ->> 'timestamp')::TIMESTAMPTZ) AS timestamp_us,
    json ->> 'agent_name' AS agent, json ->> 'model' AS model, json ->> 'project' AS folder,
    json ->> 'source' AS source, json ->> 'host' AS host, json ->> 'git_branch' AS branch,
    json ->> 'user' AS user_name,
    coalesce(json ->> 'session_id', json ->> 'workflow_id') AS session,
    coalesce(json ->> 'run_id', json ->> 'workflow_id', json ->> 'session_id', json ->> 'uid') AS run,
    json ->> 'workflow_id' AS workflow, (json ->> 'workflow_position')::BIGINT AS workflow_position,
    json ->> 'task_hash' AS task_hash, (json ->> 'success')::BOOLEAN AS success, json ->> 'error_type' AS error_type,
    (json ->> 'execution_time_ms')::DOUBLE AS took_ms,
    (json ->> 'input_tokens')::BIGINT AS input_tokens, (json ->> 'output_tokens')::BIGINT AS output_tokens,
    (json ->> 'cache_read_tokens')::BIGINT AS cache_read_tokens,
    (json ->> 'cache_write_5m_tokens')::BIGINT AS cache_write_5m_tokens,
    (json ->> 'cache_write_1h_tokens')::BIGINT AS cache_write_1h_tokens,
    (json ->> 'total_tokens')::BIGINT AS total_tokens, (json ->> 'web_searches')::BIGINT AS web_searches,
    (json ->> 'estimated_cost')::DOUBLE AS cost, (json ->> 'reference_cost')::DOUBLE AS reference_cost,
    json ->> 'recorded_basis' AS recorded_basis,
    (json ->> 'recorded_cost')::DOUBLE AS recorded, json ->> 'price_version' AS price_version,
    json ->> 'usage_basis' AS usage_basis, json ->> 'service_tier' AS service_tier,
    json ->> 'inference_geo' AS inference_geo, json ->> 'provider' AS provider
FROM read_ndjson_objects($file);
"""

_EXECUTIONS = """
SELECT * EXCLUDE (took_ms, recorded, recorded_basis), took_ms / 1000 AS duration_seconds,
    CASE WHEN recorded_basis IS NULL THEN cost ELSE recorded END AS recorded_cost,
    strftime(make_timestamp(timestamp_us), '%Y-%m-%dT%H:%M:%S.%f+00:00') AS timestamp,
    strftime(make_timestamp(timestamp_us), '%Y-%m-%d') AS day
FROM executions ORDER BY uid
"""


def oracle(executions: Iterable[ExecutionMetrics], sql: str) -> Rows:
    """What DuckDB says about some executions."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file, duckdb.connect(config={"threads": 1}) as database:
        file.write(b"".join(encode_line(each, UTC) for each in executions) or b"\n")
        file.flush()
        database.execute(_LOAD.replace("$file", f"'{file.name}'"))
        found = database.execute(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def view(database: Database, name: str, order: str = "1") -> Rows:
    """The rows of a view, the same from both engines: instants and days as text, JSON as values."""
    found = next(each for each in VIEWS if each.name == name)
    names = [column.name for column in found.columns]
    kinds = {column.name: column.kind for column in found.columns}
    with database.read() as connection:
        rows = connection.fetch(f"SELECT {', '.join(names)} FROM {name} ORDER BY {order}")
    return [{key: _plain(kinds[key], value) for key, value in zip(names, row, strict=True)} for row in rows]


def _plain(kind: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
    if isinstance(value, date):
        return value.isoformat()
    if kind == "boolean":
        return bool(value)
    return json.loads(value) if kind == "json" and isinstance(value, str) else value


def assert_equal(found: Rows, expected: Rows) -> None:
    """Row by row; numbers but for the rounding of their last digit."""
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            is_number = isinstance(row[name], float) or isinstance(value, float)
            assert near(row[name], value) if is_number else row[name] == value, name


@st.composite
def repriced(draw: st.DrawFn) -> ExecutionMetrics:
    """Any record, with what it cost before it was priced anew, or never priced anew; its usage may not be final."""
    found = draw(records())
    found = replace(found, usage_basis=draw(st.sampled_from((None, "provisional", "parent"))))
    basis = draw(st.sampled_from((None, "given", "none")))
    if basis is None:
        return found
    costs = [step.recorded_cost_nanousd for step in found.steps or ()]
    if not found.steps:
        costs = [draw(st.integers(0, COST_LIMIT_NANOUSD)) if basis == "given" else None]
    whole = None if None in costs else sum(cost or 0 for cost in costs)
    return replace(found, recorded_basis=basis, recorded_cost_nanousd=whole)


@given(executions=st.lists(repriced(), max_size=8, unique_by=lambda record: record.uid))
@both_engines
def test_executions_are_those_of_the_export(database: Database, executions: list[ExecutionMetrics]) -> None:
    """Every field, to its limits."""
    refill(database, executions)
    assert_equal(view(database, "executions_v1"), oracle(executions, _EXECUTIONS))


def daily(executions: Iterable[ExecutionMetrics]) -> Rows:
    """The rows of `daily_v1`: a model has what its executions counted, and what each step of it took and cost."""
    days: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for each in executions:
        day = datetime.fromtimestamp(each.timestamp_us // 10**6, UTC).date().isoformat()
        days[day, each.agent_name, each.model, each.project, each.source].update(
            executions=1,
            successful_executions=each.success,
            timed_executions=each.duration_us is not None,
            duration_us=each.duration_us or 0,
            metered=each.input_tokens is not None,
            priced=each.cost_nanousd is not None,
            provisional_executions=each.usage_basis == "provisional",
        )
        for part in each.steps or [each]:
            if any(taken := _taken(part, is_repriced=each.recorded_basis is not None)):
                days[day, each.agent_name, part.model, each.project, each.source].update(taken)
    return [dict(zip(_LABELS, key, strict=True)) | _known(sums) for key, sums in days.items()]


_LABELS = ("day", "agent", "model", "folder", "source")


def _taken(part: ExecutionMetrics | Step, *, is_repriced: bool) -> Counter[str]:
    """The tokens and nano-dollars of an execution, or of a step; what is not known or nothing is not in it."""
    tokens = {name: getattr(part, name) for name in STEP_TOKENS}
    cost, reference = part.cost_nanousd, part.reference_cost_nanousd
    compared = (cost, reference) if None not in (cost, reference) else (None, None)
    recorded = part.recorded_cost_nanousd if is_repriced else cost
    money = {"cost": cost, "compared_cost": compared[0], "reference_cost": compared[1], "recorded_cost": recorded}
    return Counter({name: value for name, value in (tokens | money).items() if value})


def _known(sums: Counter[str]) -> dict[str, Any]:
    """The sums as columns; null is what nothing of is known."""
    used = any(sums[name] for name in ("metered", "input_tokens", "output_tokens"))
    priced = bool(sums["priced"] or sums["cost"])
    has_tokens, has_cost = used or not sums["executions"], priced or not (used or sums["executions"])
    has_recorded = sums["recorded_cost"] or (has_cost and not sums["cost"])
    return {
        **{name: sums[name] for name in ("executions", "successful_executions", "timed_executions")},
        **{name: sums[name] for name in (*STEP_TOKENS[2:], "provisional_executions")},
        **{name: sums[name] if has_tokens else None for name in STEP_TOKENS[:2]},
        **{name: sums[name] / 1e9 for name in ("reference_cost", "compared_cost")},
        "execution_seconds": sums["duration_us"] / 1e6,
        "total_tokens": sum(sums[name] for name in STEP_TOKENS) if has_tokens else None,
        "cost": sums["cost"] / 1e9 if has_cost else None,
        "unpriced_executions": sums["executions"] - sums["priced"],
        "recorded_cost": sums["recorded_cost"] / 1e9 if has_recorded else None,
    }


@given(executions=st.lists(repriced(), max_size=12, unique_by=lambda record: record.uid), until_us=instants)
@both_engines
def test_days_add_up(database: Database, tmp_path: Path, executions: list[ExecutionMetrics], until_us: int) -> None:
    """Every sum, of what is rolled up and of what is not, with steps and after repricing; and what is archived is still
    in it, unlike in the view of executions."""
    refill(database, executions)
    expected = sorted(daily(executions), key=_place)
    assert_equal(sorted(view(database, "daily_v1"), key=_place), expected)
    archive_once(database, Path(tempfile.mkdtemp(dir=tmp_path)), until_us, 0)
    assert_equal(sorted(view(database, "daily_v1"), key=_place), expected)
    with database.read() as connection:
        archived = {str(UUID(bytes=bytes(uid))) for (uid,) in connection.fetch("SELECT uid FROM archived")}
    assert {row["uid"] for row in view(database, "executions_v1")} == {each.uid for each in executions} - archived


def _place(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] or "" for name in _LABELS)


_PIECES = st.sampled_from(("", "home", "ü", ".claude", "worktrees", ".claude/worktrees", "quiet-otter", ".", "🦊"))
_folders = st.lists(_PIECES, min_size=1, max_size=7).map("/".join).filter(bool)
_folders = _folders.filter(lambda folder: folder.count("/.claude/worktrees") < 2)


@given(folders=st.lists(_folders, max_size=8, unique=True))
@both_engines
def test_a_worktree_is_a_folder_of_its_project(database: Database, folders: list[str]) -> None:
    """As in `by-project`, of whatever path: a view has it in SQL, a report in Python. Only a report takes two spellings
    of a folder for one."""
    refill(database, [an_execution(project=folder) for folder in folders])
    found = {row["folder"]: row["project"] for row in view(database, "executions_v1")}
    assert found == {folder: name_projects([folder], {})[folder] or None for folder in folders}


_instants = st.integers(0, LATEST_US - 1)
_label_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_events = st.builds(
    EventRow,
    event_id=st.uuids().map(str),
    at_us=_instants,
    fingerprint=st.just("f"),
    rule=st.sampled_from(("slow", "dear")),
    labels=st.dictionaries(_label_texts, _label_texts, max_size=3).map(json.dumps),
    severity=st.sampled_from(("info", "warning", "critical")),
    before=st.sampled_from(("ok", "pending")),
    after=st.just("firing"),
    reason=_label_texts,
    episode=st.one_of(st.none(), st.just("e1")),
    value=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    samples=st.one_of(st.none(), st.integers(0, 2**63 - 1)),
)


@given(events=st.lists(_events, max_size=6, unique_by=lambda event: event.event_id))
@both_engines
def test_transitions_are_those_that_were_stored(database: Database, events: list[EventRow]) -> None:
    """Every value, to its last bit."""
    with database.write() as connection:
        connection.execute("DELETE FROM alert_events")
        add_events(connection, events)
    kept = ("rule", "severity", "before", "after", "reason", "value", "samples", "episode")
    expected = [
        {name: getattr(each, name) for name in kept}
        | {"timestamp": _instant(each.at_us), "labels": json.loads(each.labels)}
        for each in events
    ]
    assert sorted(view(database, "alerts_v1"), key=text_of) == sorted(expected, key=text_of)


_sums = st.builds(
    OutcomeSum,
    day_us=st.integers(0, LATEST_US // DAY_US - 1).map(lambda day: day * DAY_US),
    session_id=st.sampled_from(("", "one", "zwei")),
    name=st.sampled_from(("commit", "tool_result", "active_time", "compaction", "cost", "tokens")),
    kind=st.sampled_from(("", "Bash", "failed:Bash", "failed:", "Failed:x", "afailed:x", "🦊")),
    records=st.integers(1, 2**62),
    value=st.integers(0, 2**62),
)


@given(sums=st.lists(_sums, max_size=8, unique_by=lambda row: row[:4]))
@both_engines
def test_what_agents_did_is_what_was_counted(database: Database, sums: list[OutcomeSum]) -> None:
    """Without the control sums of money and tokens, which no execution is made of; what is not known is null."""
    with database.write() as connection:
        connection.execute("DELETE FROM outcomes")
        connection.insert_all(f"outcomes ({', '.join(OutcomeSum._fields)})", sums, "")
    expected = [
        {
            "day": _instant(each.day_us)[:10],
            "session": each.session_id or None,
            "name": each.name,
            "kind": each.kind.removeprefix("failed:") or None,
            "failed": each.kind.startswith("failed:"),
            "value": each.value / 10**6 if each.name == "active_time" else float(each.value),
            "records": each.records,
        }
        for each in sums
        if each.name not in ("cost", "tokens")
    ]
    assert sorted(view(database, "outcomes_v1"), key=text_of) == sorted(expected, key=text_of)


def text_of(row: dict[str, Any]) -> str:
    """A text by which rows that are equal have one place."""
    return json.dumps(row, sort_keys=True)


def _instant(us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


@given(executions=histories, told=st.one_of(st.none(), st.booleans()))
@both_engines
def test_runs_are_those_of_the_report(
    database: Database, executions: list[ExecutionMetrics], told: bool | None
) -> None:
    """`claude-force runs --json` says the same of every run, with steps, failures and outcomes of programs."""
    refill(database, executions)
    with database.write() as connection:
        connection.execute("DELETE FROM headless_runs")
        if told is not None:
            run = HeadlessRun("run", "one", None, None, None, NOON_US, 10**9, 1, int(told), *[None] * 3)
            add_headless_run(connection, run)
    report = runs(database, Filter(), "newest", zone=UTC).to_dict()["runs"]
    expected = {(row["session"], row["run"]): row for row in report}
    found = {(row["session"], row["run"]): row for row in view(database, "runs_v1")}
    assert found.keys() == expected.keys()
    for key, row in found.items():
        wanted = expected[key]
        assert row["cost"] == wanted["total_cost"]
        assert wanted | row == row | wanted
