"""Sightings: what each source says of one execution, and how the execution is merged from them.

The invariant: the merged execution depends on what the sources say, and not on the order in which they came or how
often. So each source keeps its own fields, and every new sighting merges all of them again.

| field of the execution                                       | is taken from                                         |
|--------------------------------------------------------------|-------------------------------------------------------|
| input, output and cached tokens, `usage_basis`, `steps`      | the most certain usage: known, then final, then by    |
|                                                              | rank. A final figure is never replaced by one that is |
|                                                              | not                                                   |
| 5-minute and 1-hour cache writes                             | the same, or if it does not tell them apart, the      |
|                                                              | first by rank that does and has the same sum          |
| `duration_us`                                                | an event, a span, an SDK span, then the transcript:   |
|                                                              | telemetry times the request itself                    |
| `timestamp_us`, `source`, `success` with `error_type`        | the first by rank                                     |
| `agent_name`                                                 | the first by rank that is neither MAIN nor SUBAGENT:  |
|                                                              | `claude-force run --agent` gives the main             |
|                                                              | conversation a name, which only telemetry knows       |
| `project`                                                    | that of telemetry, which somebody has given, else     |
|                                                              | the folder that the transcript names                  |
| `model`                                                      | the first by rank that is not UNKNOWN                 |
| `workflow_id` with `session_id`                              | the first by rank that knows a workflow               |
| `run_id`, `git_branch`, `host`, `user_name`, `task_hash`,    | the first by rank that knows it                       |
| `service_tier`, `inference_geo`, `provider`, `web_searches`  |                                                       |
| costs                                                        | the price of the merged tokens; where it is not       |
|                                                              | known, the first cost by rank that a source reported  |

The ranks: TRANSCRIPT, EVENT, SPAN, SDK, RESULT. Whether two sightings are of one execution is decided in `joining`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from claude_force.executions.deduplication import certainty, preference, usage_size
from claude_force.executions.record import (
    CLAUDE_CODE,
    FIELDS,
    MAIN,
    STEP_TOKENS,
    SUBAGENT,
    TELEMETRY,
    UNKNOWN,
    ExecutionRow,
    column,
    columns,
    getter,
)

TRANSCRIPT, EVENT, SPAN, SDK, RESULT = RANKS = ("transcript", "event", "span", "sdk", "result")
"""The sources of a sighting: a line of a transcript, a log event, a span, a span of the Anthropic SDK, a result."""

TIMED_BY = (EVENT, SPAN, SDK, TRANSCRIPT, RESULT)
"""The sources by how well they know how long a request took, and whose project it was for."""

Price = Callable[[ExecutionRow], ExecutionRow]
"""Gives a row the costs of its usage."""

_FIRST_KNOWN = tuple(
    columns(*names)
    for names in (
        ("timestamp_us",), ("source",), ("workflow_id", "session_id"), ("run_id",),
        ("git_branch",), ("host",), ("user_name",), ("task_hash",), ("workflow_position",), ("service_tier",),
        ("inference_geo",), ("provider",), ("web_searches",),
    )
)  # fmt: skip
"""Fields that the first source by rank decides that knows the first of them."""

_NAMES = ((column("agent_name"), (SUBAGENT, MAIN)), (column("model"), (UNKNOWN,)))
"""Names, and those that stand for one that is not known or not given, the last one before the others."""

_PROJECT = column("project")

_BASIS = column("usage_basis")
_OUTCOME = columns("success", "error_type")
_DURATION, _SUCCESS, _STEPS = columns("duration_us", "success", "steps")
_SPLIT = columns("cache_write_5m_tokens", "cache_write_1h_tokens")
_TOKENS = columns(*STEP_TOKENS)
_COSTS = columns("cost_nanousd", "reference_cost_nanousd", "price_version")
_RECORDED = columns("recorded_cost_nanousd", "recorded_basis")
_billed_of = getter(
    "model", "timestamp_us", "success", "service_tier", "inference_geo", "provider", "web_searches", *STEP_TOKENS
)
_split_of = getter("cache_write_5m_tokens", "cache_write_1h_tokens")


class Sighting(NamedTuple):
    """What one source says of an execution: `row`, whose uid and recorded costs do not count.

    `request` is the end of the key of its request id; that of a stored transcript is not known. `has_split` says
    whether it tells 5-minute and 1-hour cache writes apart; otherwise all of them are in the first.
    `reported_cost_nanousd` is what the source computed itself.
    """

    source: str
    row: ExecutionRow
    request: bytes | None = None
    has_split: bool = True
    ttft_us: int | None = None
    effort: str | None = None
    query_source: str | None = None
    reported_cost_nanousd: int | None = None

    @property
    def is_side_request(self) -> bool:
        """Whether it is of a request that no transcript has, such as a search or a title."""
        return self.query_source is not None and is_side_request(self.query_source)


BySource = Mapping[str, Sighting]
"""The sightings of one execution, by source."""


def is_main(query_source: str) -> bool:
    """Whether a request of Claude Code is one of the main conversation."""
    return query_source.startswith("repl_main_thread") or query_source in ("sdk", "main")


def is_side_request(query_source: str) -> bool:
    """Whether a request of Claude Code is neither of the main conversation nor of a sub-agent. An unknown word is."""
    return not (
        is_main(query_source) or query_source.startswith("agent:") or query_source in ("hook_agent", "subagent")
    )


def rank(sighting: Sighting) -> int:
    """The rank of its source, 0 for the best."""
    return RANKS.index(sighting.source)


def merge_sightings(uid: Any, found: Iterable[Sighting], price: Price | None) -> ExecutionRow:
    """The execution that some sightings are of, one of each source. Without `price` it has the cost that came with its
    usage, if any."""
    ranked = list(found)
    if len(ranked) == 1:
        is_transcript = ranked[0].source == TRANSCRIPT
        return (uid, *ranked[0].row[1:]) if is_transcript else _alone(uid, ranked[0], price)
    ranked.sort(key=rank)
    best = min(ranked, key=_usage_order)
    merged = list(best.row)
    merged[0] = uid
    for group in _FIRST_KNOWN:
        known = next((each.row for each in ranked if each.row[group[0]]), ranked[0].row)
        _copy(known, group, merged)
    _copy(ranked[0].row, _OUTCOME, merged)
    for index, weak in _NAMES:
        merged[index] = _first_name([each.row[index] for each in ranked], weak)
    projects = {each.source: each.row[_PROJECT] for each in ranked}
    merged[_PROJECT] = next((projects[name] for name in TIMED_BY if projects.get(name)), None)
    times = {each.source: each.row[_DURATION] for each in ranked}
    merged[_DURATION] = next((times[name] for name in TIMED_BY if times.get(name) is not None), None)
    merged[_SPLIT[0]], merged[_SPLIT[1]] = _best_split(best, ranked)
    merged[_RECORDED[0]] = merged[_RECORDED[1]] = None
    return _with_costs(tuple(merged), best, ranked, price)


def _alone(uid: Any, only: Sighting, price: Price | None) -> ExecutionRow:
    """What the merge makes of one sighting of telemetry, at a tenth of its time: most are alone at first."""
    row = list(only.row)
    row[0], row[_PROJECT] = uid, only.row[_PROJECT] or None
    row[_RECORDED[0]] = row[_RECORDED[1]] = None
    if row[_COSTS[0]] is None and price is not None:
        row[_COSTS[0]], row[_COSTS[2]] = only.reported_cost_nanousd, None
    return tuple(row)


def _first_name(names: Sequence[str], weak: Sequence[str]) -> str:
    """The first name that is not weak, else the best of the weak ones."""
    return next((name for name in names if name not in weak), None) or max(names, key=weak.index)


def _copy(row: ExecutionRow, fields: Iterable[int], into: list[Any]) -> None:
    for index in fields:
        into[index] = row[index]


def merge_again(before: ExecutionRow, found: Iterable[Sighting], price: Price | None) -> ExecutionRow:
    """A stored execution after another sighting: the same as `merge_sightings`, but for a cost that was priced again
    since, which stays while nothing that is billed changes."""
    merged = list(merge_sightings(before[0], found, price))
    if before[_RECORDED[1]] is not None and _billed_of(before) == _billed_of(tuple(merged)):
        _copy(before, (*_COSTS, _STEPS), merged)
    _copy(before, _RECORDED, merged)
    return tuple(merged)


def merge_source(known: Sighting, seen: Sighting) -> Sighting:
    """What a source other than a transcript says after it said something again, in whichever order."""
    return max(known, seen, key=_preference)


def _usage_order(sighting: Sighting) -> tuple[Any, ...]:
    """The most certain usage first, and last that of a failure without any tokens; of two that are not final, the
    larger; then by rank."""
    is_known, how_certain = certainty(sighting.row)
    output, tokens = usage_size(sighting.row) if sighting.row[_BASIS] is not None else (0, 0)
    return not is_known, used_nothing(sighting.row), -how_certain, -output, -tokens, rank(sighting)


def used_nothing(row: ExecutionRow) -> bool:
    """Whether a request failed, as far as a source knows without any tokens."""
    return not row[_SUCCESS] and not any(row[index] for index in _TOKENS)


def _best_split(best: Sighting, ranked: list[Sighting]) -> tuple[int, int]:
    """Cache writes of five minutes and of an hour, from whoever tells them apart."""
    found: tuple[int, int] = _split_of(best.row)
    if best.has_split:
        return found
    others = (_split_of(each.row) for each in ranked if each.has_split)
    return next((split for split in others if sum(split) == sum(found)), found)


def _with_costs(row: ExecutionRow, best: Sighting, ranked: list[Sighting], price: Price | None) -> ExecutionRow:
    """The row with the costs of its usage, which are those of the best sighting if nothing that is billed differs."""
    costs = tuple(best.row[index] for index in _COSTS)
    if _billed_of(row) != _billed_of(best.row):
        row, costs = _priced(row, price)
    if costs[0] is None and price is not None:
        reported = (each.reported_cost_nanousd for each in ranked if each.reported_cost_nanousd is not None)
        costs = (next(reported, None), costs[1], None)
    changed = list(row)
    for index, cost in zip(_COSTS, costs, strict=True):
        changed[index] = cost
    return tuple(changed)


def _priced(row: ExecutionRow, price: Price | None) -> tuple[ExecutionRow, tuple[Any, ...]]:
    is_known = row[_TOKENS[0]] is not None
    if is_known and row[_STEPS] is None and used_nothing(row):
        # A refused request is not billed, also where the model has no price.
        return row, (0, 0, None)
    if price is None or not is_known:
        return row, (None, None, None)
    row = price(row)
    return row, tuple(row[index] for index in _COSTS)


def _preference(sighting: Sighting) -> tuple[Any, ...]:
    rest = (
        sighting.request, sighting.has_split, sighting.ttft_us, sighting.effort, sighting.query_source,
        sighting.reported_cost_nanousd,
    )  # fmt: skip
    return (*preference(sighting.row), *((value is not None, str(value)) for value in rest))


_SOURCE = column("source")
_OWN = tuple((index, name) for index, name in enumerate(FIELDS) if index not in (0, _SOURCE, *_RECORDED))
_REQUEST, _NO_SPLIT = "request", "no_split"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def encode_fields(sighting: Sighting, merged: ExecutionRow) -> str:
    """What is stored of a sighting beside its columns: where it differs from the merged execution, as JSON. That is a
    quarter of all its fields, and the rest follows when the execution is priced again."""
    row, fields = sighting.row, {}
    # Of an execution that one source saw, nothing differs.
    if row[1:] != merged[1:]:
        fields = {name: row[index] for index, name in _OWN if row[index] != merged[index]}
    if sighting.request is not None:
        fields[_REQUEST] = sighting.request.hex()
    if not sighting.has_split:
        fields[_NO_SPLIT] = 1
    return _encode(fields).decode()


def decode_fields(source: str, fields: str, merged: ExecutionRow, **more: Any) -> Sighting:
    """A sighting from what `encode_fields` made of it, the merged execution, and its columns by name. Raises ValueError
    for other text."""
    said = _decode(fields)
    row = list(merged)
    row[0], row[_SOURCE] = b"", CLAUDE_CODE if source == TRANSCRIPT else TELEMETRY
    row[_RECORDED[0]] = row[_RECORDED[1]] = None
    for index, name in _OWN:
        if name in said:
            row[index] = said[name]
    request = said.get(_REQUEST)
    return Sighting(source, tuple(row), bytes.fromhex(request) if request else None, _NO_SPLIT not in said, **more)
