"""The usage of a streamed call of the Anthropic SDK, in whatever pieces its body comes and wherever it ends."""

from __future__ import annotations

import itertools
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from claude_force.anthropic_sdk.streams import Body

_EVENTS = (
    b'data: {"type": "message_start", "message": {"id": "m", "error": null, "usage": {"input_tokens": 7}}}\n',
    *[b'data: {"type": "content_block_delta", "delta": {"text": "\\"message_delta\\""}}\n'] * 40,
    b'data: {"type": "message_delta", "delta": 5}\n',  # not as the API has it
    b'data: {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}}\r\n',
    b'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}\n',
    b'data: {"type": "message_stop"}\n',
)
_BODY = b"".join(b"event: of this type\n" + event + b"\n" for event in _EVENTS)
_START, _FIRST, _FINAL = (
    _BODY.index(event) + len(event) for event in (_EVENTS[0], _EVENTS[-3], _EVENTS[-2])
)  # where each is read as a whole


class _Response:
    """The response of a stream."""

    headers: ClassVar = {"content-type": "text/event-stream"}
    is_closed = False


@given(st.integers(0, len(_BODY)), st.lists(st.integers(0, len(_BODY)), max_size=90))
def test_figures_are_those_of_the_last_event_that_was_read(read: int, cuts: list[int]) -> None:
    """A stream that is left before its last figures is provisional, also in the middle of a line."""
    body = Body(_Response())
    for start, end in itertools.pairwise([0, *sorted(cut for cut in cuts if cut < read), read]):
        body.feed(_BODY[start:end])
    told = body.fields(0)
    output = {"output_tokens": 9 if read >= _FINAL else 5} if read >= _FIRST else {}
    assert told["usage"] == ({"input_tokens": 7, **output} if read >= _START else None)
    assert told["provisional"] == (True if _START <= read < _FINAL else None)
