"""The law of nearness: what is found among many executions is what a look at each of them finds."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from claude_force.executions.nearby import NEARBY_US, NearbyExecutions, fits
from claude_force.executions.record import PROVISIONAL, ExecutionRow
from claude_force.executions.sightings import EVENT, SPAN, TRANSCRIPT, Sighting
from tests.builders import NOON_US
from tests.sighted import FIELD, SESSION, in_telemetry, value_of

_ROW = in_telemetry().row
_PROMPT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_UIDS = [bytes([*bytes(15), number]) for number in range(8)]


@st.composite
def sightings(draw: st.DrawFn, source: str | None = None) -> Sighting:
    """Ones that are often equal but for a field or two."""
    changes = {
        "timestamp_us": NOON_US + draw(st.sampled_from((0, 1, NEARBY_US, NEARBY_US + 1, 3 * NEARBY_US // 2))),
        "model": draw(st.sampled_from(("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-opus-5", "unknown"))),
        "workflow_id": draw(st.sampled_from((SESSION, SESSION, None))),
        "output_tokens": draw(st.sampled_from((200, 200, 201))),
        "cache_read_tokens": draw(st.sampled_from((5000, 5000, 0))),
        "usage_basis": draw(st.sampled_from((None, None, PROVISIONAL))),
    }
    row = list(_ROW)
    for name, value in changes.items():
        row[FIELD[name]] = value
    return Sighting(
        source or draw(st.sampled_from((TRANSCRIPT, EVENT, SPAN))),
        tuple(row),
        draw(st.sampled_from((None, None, b"a", b"b"))),
        query_source=draw(st.sampled_from((None, "web_search_tool"))),
    )


def executions() -> st.SearchStrategy[dict[bytes, list[Sighting]]]:
    """What was seen of some executions, each seen once or twice."""
    return st.dictionaries(st.sampled_from(_UIDS), st.lists(sightings(), min_size=1, max_size=2))


def _used(row: ExecutionRow) -> tuple[list[int], int]:
    prompt = [value_of(row, name) for name in _PROMPT]
    return prompt, value_of(row, "output_tokens")


def _is_equal(one: ExecutionRow, other: ExecutionRow) -> bool:
    (prompt, output), (other_prompt, other_output) = _used(one), _used(other)
    are_final = value_of(one, "usage_basis") is None and value_of(other, "usage_basis") is None
    return prompt == other_prompt and (output == other_output or not are_final) and sum(prompt) > 0


def nearest(seen: Sighting, known: dict[bytes, list[Sighting]]) -> bytes | None:
    """What `NearbyExecutions.find` promises, by looking at each."""
    found = [
        (abs(value_of(other.row, "timestamp_us") - value_of(seen.row, "timestamp_us")), uid)
        for uid, others in known.items()
        if all(other.source != seen.source and other.is_side_request == seen.is_side_request for other in others)
        and fits(seen, others)
        for other in others
        if _is_equal(seen.row, other.row)
        and value_of(seen.row, "workflow_id") == value_of(other.row, "workflow_id") is not None
    ]
    return min((each for each in found if each[0] <= NEARBY_US), default=(0, None))[1]


@given(executions(), executions(), st.sets(st.sampled_from(_UIDS)), st.lists(sightings(), max_size=3))
def test_the_nearest_one_is_found(
    first: dict[bytes, list[Sighting]],
    later: dict[bytes, list[Sighting]],
    gone: set[bytes],
    seen: Iterable[Sighting],
) -> None:
    """After executions were seen, seen again and forgotten, with questions between."""
    near, known = NearbyExecutions(), dict[bytes, list[Sighting]]()
    questions = list(seen)
    for step in (first, later):
        for uid, found in step.items():
            near.note(uid, {one.source: one for one in found})
            known[uid] = list({one.source: one for one in found}.values())
        assert [near.find(one) for one in questions] == [nearest(one, known) for one in questions]
    for uid in gone:
        near.drop(uid)
        known.pop(uid, None)
    assert [near.find(one) for one in questions] == [nearest(one, known) for one in questions]
