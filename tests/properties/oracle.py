"""A second opinion: every figure of every report, computed by DuckDB from the JSONL files themselves.

It reads the text of the lines, rounds to integer units by itself, finds local time with DuckDB's own zone rules (ICU),
and shares no code with the package. SQL gives exact integers; the divisions are done here, once each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb

Row = dict[str, Any]

COLUMNS = {
    name: name for name in ("agent", "model", "workflow", "project", "source", "session", "branch", "host", "user")
}

_MACROS = r"""
SET TimeZone = 'UTC';
CREATE MACRO local_time(us, zone) AS make_timestamptz(us) AT TIME ZONE zone;
CREATE MACRO offset_us(us, zone) AS epoch_us(local_time(us, zone)) - us;
-- A wall time that a clock change repeats means its first occurrence; ICU gives the second.
CREATE MACRO from_wall(wall, zone) AS list_min(list_filter(
    [epoch_us(wall AT TIME ZONE zone) - earlier * 60000000::BIGINT for earlier in [0, 30, 60]],
    lambda us: local_time(us, zone) = wall OR us = epoch_us(wall AT TIME ZONE zone)
));
CREATE MACRO half_even(whole, rest, size) AS
    whole + CASE WHEN 2 * rest > size OR (2 * rest = size AND whole % 2 = 1) THEN 1 ELSE 0 END;
CREATE MACRO fraction_us(digits) AS half_even(
    left(rpad(digits, 18, '0'), 6)::BIGINT, substr(rpad(digits, 18, '0'), 7)::BIGINT, 1000000000000
);
CREATE MACRO offset_of(text) AS CASE WHEN text = 'Z' THEN 0 ELSE
    (CASE WHEN left(text, 1) = '-' THEN -60000000::BIGINT ELSE 60000000::BIGINT END)
    * (60 * substr(text, 2, 2)::BIGINT + right(text, 2)::BIGINT)
END;
CREATE MACRO instant(parts, zone) AS
    CASE WHEN parts.place = ''
        THEN from_wall((parts.day || ' ' || parts.clock)::TIMESTAMP, zone)
        ELSE epoch_us((parts.day || ' ' || parts.clock)::TIMESTAMP) - offset_of(parts.place)
    END + fraction_us(parts.fraction);
CREATE MACRO scaled(line, name, factor) AS round_even((line ->> name)::DOUBLE * factor, 0)::BIGINT;
CREATE MACRO tokens(line, name) AS (line ->> name)::DOUBLE::BIGINT;
"""

_LOAD = r"""
CREATE TABLE runs AS
SELECT *,
    local_time(at_us, $zone) AS local, offset_us(at_us, $zone) AS offset_us,
    CASE WHEN listed IS NULL AND input IS NOT NULL
        THEN input * $input_rate::BIGINT + output * $output_rate::BIGINT ELSE listed END AS reference,
FROM (
    SELECT
        instant(regexp_extract(json ->> 'timestamp',
            '^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?(Z|[+-]\d\d:?\d\d)?$',
            ['day', 'clock', 'fraction', 'place']), $naive_zone) AS at_us,
        json ->> 'agent_name' AS agent,
        json ->> 'model' AS model,
        coalesce(json ->> 'workflow_id', json ->> 'workflow_name') AS workflow,
        coalesce(json ->> 'session_id', json ->> 'workflow_id', json ->> 'workflow_name') AS session,
        json ->> 'git_branch' AS branch,
        json ->> 'host' AS host,
        json ->> 'user' AS "user",
        json ->> 'project' AS project,
        coalesce(json ->> 'source', 'jsonl') AS source,
        json ->> 'usage_basis' IS NOT DISTINCT FROM 'provisional' AS provisional,
        CASE WHEN json ->> 'recorded_basis' IS NULL THEN scaled(json, 'estimated_cost', 1e9)
            ELSE scaled(json, 'recorded_cost', 1e9) END AS recorded,
        json ->> 'error_type' AS error,
        (json ->> 'success')::BOOLEAN AS ok,
        coalesce(scaled(json, 'execution_time_ms', 1000), scaled(json, 'duration_ms', 1000)) AS took_us,
        tokens(json, 'input_tokens') AS input,
        tokens(json, 'output_tokens') AS output,
        coalesce(tokens(json, 'cache_read_tokens'), 0) AS cache_read,
        coalesce(tokens(json, 'cache_write_5m_tokens'), 0) AS cache_5m,
        coalesce(tokens(json, 'cache_write_1h_tokens'), 0) AS cache_1h,
        scaled(json, 'estimated_cost', 1e9) AS cost,
        scaled(json, 'reference_cost', 1e9) AS listed,
        json ->> 'price_version' AS price_version,
    FROM read_ndjson_objects($files)
);
"""

_SUMS = """
    count(*) AS executions, count(*) FILTER (ok) AS successes,
    count(took_us) AS timed, coalesce(sum(took_us), 0) AS took,
    count(input) AS metered, coalesce(sum(input), 0) AS input, coalesce(sum(output), 0) AS output,
    coalesce(sum(cache_read), 0) AS cache_read, coalesce(sum(cache_5m), 0) AS cache_5m,
    coalesce(sum(cache_1h), 0) AS cache_1h,
    count(*) FILTER (provisional) AS provisional, coalesce(sum(recorded), 0) AS recorded,
    count(cost) AS priced, coalesce(sum(cost), 0) AS cost,
    coalesce(sum(cost) FILTER (reference IS NOT NULL), 0) AS compared,
    coalesce(sum(reference) FILTER (cost IS NOT NULL), 0) AS reference
"""

_NO_BACKFILL = {
    "days": 0,
    "tokens": 0,
    "cost": None,
    "cost_unknown_reason": "the statistics do not tell the kinds of tokens apart",
}
_NONE_ARCHIVED = {"archived_executions": 0}
"""A file of executions holds all of them."""

_FAMILY = "coalesce(nullif(regexp_extract(model, 'haiku|sonnet|opus|fable|mythos|instant'), ''), model)"


class Oracle:
    """The reports on JSONL files, in the shape of their `to_dict`.

    `zone` is for the reports, `naive_zone` (by default the same) for timestamps without an offset. `reference_rates`
    are nano-dollars for an input and an output token, for lines that bring no reference cost.
    """

    def __init__(
        self,
        files: Sequence[Path],
        zone: str,
        naive_zone: str | None = None,
        reference_rates: tuple[int, int] | None = None,
    ) -> None:
        self._database = duckdb.connect(config={"threads": 1})
        self._database.execute(_MACROS)
        rates = reference_rates or (None, None)
        parameters = {"zone": zone, "naive_zone": naive_zone or zone, "files": [str(path) for path in files]}
        self._database.execute(_LOAD, parameters | {"input_rate": rates[0], "output_rate": rates[1]})
        self.where = "true"

    def close(self) -> None:
        """Free the memory."""
        self._database.close()

    def rows(self, sql: str) -> list[Row]:
        """What a query gives, by column name; integers are exact."""
        found = self._database.execute(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def summary(self, period: str) -> Row:
        """`analytics summary`."""
        total = self._total()
        by_family = self.rows(
            f"SELECT {_FAMILY} AS family, count(*) AS n FROM runs WHERE {self.where} "
            "GROUP BY family ORDER BY n DESC, family"
        )
        return {
            "period": period,
            "total_executions": total["executions"],
            "success_rate": _ratio(100 * total["successes"], total["executions"]),
            "avg_execution_time_ms": _ratio(total["took"], 1000 * total["timed"]),
            **self._latencies("NULL").get(None, _NO_LATENCIES),
            "total_cost": _cost(total),
            "avg_cost_per_execution": _ratio(total["cost"], 10**9 * total["priced"]),
            "avg_input_tokens": _ratio(total["input"], total["metered"]),
            "avg_output_tokens": _ratio(total["output"], total["metered"]),
            "model_distribution": {row["family"]: 100 * row["n"] / total["executions"] for row in by_family},
            "successful_executions": total["successes"],
            "failed_executions": total["executions"] - total["successes"],
            **_kinds(total, "total_"),
            "unpriced_executions": total["executions"] - total["priced"],
            "unpriced_models": self._unpriced(),
            "provisional_executions": total["provisional"],
            "cost_too_low_executions": self._too_low(),
            **_NONE_ARCHIVED,
            "before_first_transcript": _NO_BACKFILL,
            "cost_savings": _savings(total),
            "percentiles": "exact",
            "agents": self._groups("agent", "executions", latencies=False),
            "models": self._groups("model", "executions", latencies=False),
        }

    def _too_low(self) -> int:
        (found,) = self.rows(
            f"SELECT count(*) AS executions FROM runs WHERE {self.where} AND reference IS NULL "
            "AND price_version IS NULL AND starts_with(model, 'claude') "
            "AND cost > 0 AND cost < 250 * input + 1250 * output"
        )
        return int(found["executions"])

    def breakdown(self, dimension: str, sort_by: str, period: str) -> Row:
        """`analytics by-agent`, `by-model`, `by-workflow`, `by-project`, `by-session`, `by-branch`."""
        groups = self._groups(dimension, sort_by, latencies=True)
        if dimension in ("workflow", "session"):
            began = self.rows(
                f"SELECT {dimension} AS name, {_moment('min')} AS started FROM runs "
                f"WHERE {dimension} IS NOT NULL AND {self.where} GROUP BY {dimension}"
            )
            started = {row["name"]: row["started"] for row in began}
            groups = [group | {"started": started.get(group[dimension])} for group in groups]
        several = f"{dimension}es" if dimension == "branch" else f"{dimension}s"
        found = {"period": period, f"total_{several}": len(groups), "percentiles": "exact", several: groups}
        return found | _NONE_ARCHIVED | {"totals": _figures(self._total())}

    def costs(self, interval: str, period: str) -> Row:
        """`analytics costs`."""
        total = self._total()
        agents, models = (self._groups(name, "cost", latencies=False) for name in ("agent", "model"))
        return {
            "period": period,
            "total_executions": total["executions"],
            "total_cost": _cost(total),
            "recorded_cost": _recorded(total),
            "avg_cost_per_execution": _ratio(total["cost"], 10**9 * total["priced"]),
            **_kinds(total, "total_"),
            "unpriced_executions": total["executions"] - total["priced"],
            "unpriced_models": self._unpriced(),
            "unpriced_reasons": [],
            "provisional_executions": total["provisional"],
            "cost_too_low_executions": self._too_low(),
            **_NONE_ARCHIVED,
            "recommendations": [],
            "cost_savings": _savings(total),
            "total_agents": len(agents),
            "by_agent": agents,
            "total_models": len(models),
            "by_model": models,
            "interval": interval,
            "trends": self._buckets(interval),
        }

    def trends(self, interval: str, period: str) -> Row:
        """`analytics trends`, without its change, which depends on what time it is."""
        return {
            "period": period,
            "interval": interval,
            "trends": self._buckets(interval),
            "before_first_transcript": _NO_BACKFILL,
            **_NONE_ARCHIVED,
        }

    def usage(self, interval: str, period: str) -> Row:
        """`daily`, `weekly` and `monthly`, up to the last of all executions."""
        label = _LABELS[interval]
        by_model = self.rows(
            f"SELECT {label} AS label, model AS name, {_SUMS} FROM runs WHERE {self.where} "
            "GROUP BY ALL ORDER BY label, name"
        )
        by_model.sort(key=lambda row: (row["label"], _descending(_SORT_VALUES["cost"](row))))
        models = [(row["label"], {"model": row["name"], **_figures(row)}) for row in by_model]
        known = {bucket["date"]: bucket for bucket in self._buckets(interval)}
        steps = self.rows(
            f"SELECT DISTINCT {label} AS label FROM "
            "(SELECT unnest(generate_series(min(local)::DATE, max(local)::DATE, INTERVAL 1 DAY)) AS local FROM runs) "
            "ORDER BY label"
        )
        empty = _figures(dict.fromkeys(_EMPTY, 0))
        steps = steps if known else []
        return {
            "period": period,
            "interval": interval,
            "begins_at": None,
            **_NONE_ARCHIVED,
            "unpriced_models": self._unpriced(),
            "total_intervals": len(steps),
            interval: [
                {
                    **known.get(row["label"], {"date": row["label"], **empty}),
                    "models": [model for at, model in models if at == row["label"]],
                }
                for row in steps
            ],
            "totals": _figures(self._total()),
        }

    def errors(self, period: str) -> Row:
        """`analytics errors`."""
        groups = self.rows(f"""
            SELECT error, count(*) AS n, count(DISTINCT agent) AS agents,
                {_moment("min")} AS first_seen, {_moment("max")} AS last_seen
            FROM runs WHERE NOT ok AND {self.where} GROUP BY error ORDER BY n DESC, coalesce(error, '')
        """)
        failures = sum(row["n"] for row in groups)
        return {
            "period": period,
            "total_executions": self._total()["executions"],
            "failed_executions": failures,
            "total_error_types": len(groups),
            **_NONE_ARCHIVED,
            "errors": [
                {
                    "error_type": row["error"],
                    "failures": row["n"],
                    "percent_of_failures": 100 * row["n"] / failures,
                    "agents": row["agents"],
                    "first_seen": row["first_seen"],
                    "last_seen": row["last_seen"],
                }
                for row in groups
            ],
        }

    def _total(self) -> Row:
        return self.rows(f"SELECT {_SUMS} FROM runs WHERE {self.where}")[0]

    def _unpriced(self) -> list[str]:
        found = self.rows(
            f"SELECT model, count(*) AS n FROM runs WHERE cost IS NULL AND {self.where} "
            "GROUP BY model ORDER BY n DESC, model"
        )
        return [row["model"] for row in found]

    def _groups(self, dimension: str, sort_by: str, *, latencies: bool) -> list[Row]:
        column = COLUMNS[dimension]
        found = self.rows(
            f"SELECT {column} AS name, {_SUMS} FROM runs WHERE {self.where} "
            f"GROUP BY {column} ORDER BY {column} NULLS LAST"
        )
        if sort_by != "name":
            found.sort(key=lambda row: _descending(_SORT_VALUES[sort_by](row)))
        known = self._latencies(column) if latencies else {}
        more: Callable[[Any], Row] = lambda name: known.get(name, _NO_LATENCIES) if latencies else {}  # noqa: E731
        return [{dimension: row["name"], **_figures(row), **more(row["name"])} for row in found]

    def _latencies(self, column: str) -> dict[Any, Row]:
        """Nearest rank by its definition: the smallest value such that at least p percent are not above it."""
        ranks = ", ".join(f"min(took_us) FILTER (100 * upto >= {p} * size) AS p{p}" for p in (50, 95, 99))
        found = self.rows(f"""
            SELECT name, {ranks} FROM (
                SELECT {column} AS name, took_us, count(*) OVER (PARTITION BY {column}) AS size,
                    count(*) OVER (PARTITION BY {column} ORDER BY took_us) AS upto
                FROM runs WHERE took_us IS NOT NULL AND {self.where}
            ) GROUP BY name
        """)
        return {row["name"]: {f"p{p}_latency_ms": row[f"p{p}"] / 1000 for p in (50, 95, 99)} for row in found}

    def _buckets(self, interval: str) -> list[Row]:
        label = _LABELS[interval]
        found = self.rows(
            f"SELECT {label} AS label, {_SUMS} FROM runs WHERE {self.where} GROUP BY label ORDER BY min(at_us)"
        )
        return [{"date": row["label"], **_figures(row)} for row in found]


def _offset(column: str) -> str:
    return f"printf('%s%02d:%02d', CASE WHEN {column} < 0 THEN '-' ELSE '+' END, {_minutes(column)})"


def _minutes(column: str) -> str:
    return f"abs({column}) // 3600000000, abs({column}) // 60000000 % 60"


def _moment(which: str) -> str:
    return f"arg_{which}(strftime(local, '%Y-%m-%dT%H:%M:%S.%f') || {_offset('offset_us')}, at_us)"


_LABELS = {
    "hourly": f"strftime(date_trunc('hour', local), '%Y-%m-%d %H:00') || {_offset('offset_us')}",
    "daily": "strftime(local, '%Y-%m-%d')",
    "weekly": "strftime(date_trunc('week', local), '%Y-%m-%d')",
    "monthly": "strftime(local, '%Y-%m')",
}
"""The name of the interval of an execution."""

_EMPTY = (
    "executions", "successes", "timed", "took", "metered", "input", "output", "cache_read", "cache_5m", "cache_1h",
    "provisional", "priced", "cost",
)  # fmt: skip


def _figures(row: Row) -> Row:
    return {
        "executions": row["executions"],
        "successful_executions": row["successes"],
        "success_rate": _ratio(100 * row["successes"], row["executions"]),
        "avg_execution_time_ms": _ratio(row["took"], 1000 * row["timed"]),
        "total_cost": _cost(row),
        "avg_cost_per_execution": _ratio(row["cost"], 10**9 * row["priced"]),
        **_kinds(row, ""),
        "avg_input_tokens": _ratio(row["input"], row["metered"]),
        "avg_output_tokens": _ratio(row["output"], row["metered"]),
        "unpriced_executions": row["executions"] - row["priced"],
        "provisional_executions": row["provisional"],
    }


def _kinds(row: Row, prefix: str) -> Row:
    return {
        "total_tokens": _tokens(row),
        f"{prefix}input_tokens": _known(row, row["input"]),
        f"{prefix}output_tokens": _known(row, row["output"]),
        f"{prefix}cache_read_tokens": row["cache_read"],
        f"{prefix}cache_write_5m_tokens": row["cache_5m"],
        f"{prefix}cache_write_1h_tokens": row["cache_1h"],
    }


_NO_LATENCIES: Row = {"p50_latency_ms": None, "p95_latency_ms": None, "p99_latency_ms": None}


def _ratio(dividend: int, divisor: int) -> float | None:
    return dividend / divisor if divisor else None


def _tokens(row: Row) -> int | None:
    return _known(row, sum(int(row[name]) for name in ("input", "output", "cache_read", "cache_5m", "cache_1h")))


def _known(row: Row, tokens: int) -> int | None:
    """Tokens, unless there are executions and none of them has a usage."""
    return None if row["executions"] and not row["metered"] else tokens


def _cost(row: Row) -> float | None:
    known = row["priced"] or not row["executions"]
    return row["cost"] / 10**9 if known else None


def _recorded(row: Row) -> float | None:
    """What is recorded is not known where it adds up to nothing but the cost does not."""
    known = row["recorded"] or (not row["cost"] and _cost(row) is not None)
    return row["recorded"] / 10**9 if known else None


def _savings(row: Row) -> dict[str, float | None]:
    if not row["reference"]:
        return {"amount": None, "percent": None}
    saved = row["reference"] - row["compared"]
    return {"amount": saved / 10**9, "percent": 100 * saved / row["reference"]}


_SORT_VALUES: dict[str, Callable[[Row], Fraction | None]] = {
    "executions": lambda row: Fraction(row["executions"]),
    "time": lambda row: Fraction(row["took"], row["timed"]) if row["timed"] else None,
    "cost": lambda row: Fraction(row["cost"]) if row["priced"] else None,
    "success": lambda row: Fraction(row["successes"], row["executions"]),
    "tokens": lambda row: None if (tokens := _tokens(row)) is None else Fraction(tokens),
}


def _descending(value: Fraction | None) -> tuple[bool, Fraction]:
    return (value is None, -(value or Fraction(0)))
