"""What recording the calls of the Anthropic SDK adds to them: python benchmarks/anthropic_sdk.py

Pairs of equal calls, one recorded and one not, in turn, by the time that the calling thread has the processor; the
answers come from memory, so that nothing else is measured.
With `--database` the program also stores its calls itself, in the background, as with `claude_force.instrument()`;
without it they are only kept, as under `claude-force run`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from claude_force.anthropic_sdk.recording import CALLS_VARIABLE, instrument

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "word " * 300}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 12,
        "output_tokens": 345,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300},
        "service_tier": "standard",
    },
}
ASKED: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "A question"}],
}


def events(words: int) -> list[bytes]:
    """A streamed answer, a chunk for each event."""
    begun = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**MESSAGE["usage"], "output_tokens": 1}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 345}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    stop = {"type": "content_block_stop", "index": 0}
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        block,
        *[delta] * words,
        stop,
        ended,
        {"type": "message_stop"},
    ]
    return [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in told]


def client_of(words: int) -> Any:
    """A client whose answers come from memory. Their ids differ, as those of the API do."""
    import anthropic
    import httpx2

    chunks, numbers = events(words), iter(range(10**9))

    class Chunks(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            yield from chunks

    def answer(request: Any) -> Any:
        headers = {"request-id": f"req_{next(numbers)}"}
        if json.loads(request.content).get("stream"):
            return httpx2.Response(200, headers=headers | {"content-type": "text/event-stream"}, stream=Chunks())
        return httpx2.Response(200, headers=headers, json=MESSAGE)

    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(api_key="none", http_client=httpx2.Client(transport=transport))


def stream(client: Any) -> None:
    """One streamed call, read to its end."""
    with client.messages.stream(**ASKED) as told:
        told.get_final_message()


def microseconds(call: Callable[[], object]) -> float:
    """How much time of the processor one call takes in this thread."""
    started_ns = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - started_ns) / 1000


def compare(name: str, call: Callable[[], object], pairs: int) -> None:
    """Print the medians of recorded calls and of others, and that of the differences of the pairs."""
    from anthropic._base_client import SyncAPIClient

    recorded = SyncAPIClient.request
    plain = recorded.__wrapped__  # type: ignore[attr-defined]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs * 2 + 20):
        is_recorded = number % 4 in (1, 2)
        SyncAPIClient.request = recorded if is_recorded else plain  # type: ignore[method-assign]
        taken = microseconds(call)
        if number >= 20:
            times[is_recorded].append(taken)
    SyncAPIClient.request = recorded  # type: ignore[method-assign]
    added = statistics.median(after - before for before, after in zip(*times, strict=True))
    before, after = map(statistics.median, times)
    print(f"{name:<28} {before:8.0f} us  {after:8.0f} us  added {added:6.1f} us")


def main() -> None:
    """Compare a call, and streamed ones of two lengths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--database", action="store_true", help="store the calls in the background")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.database:
            instrument("benchmark", database=str(Path(folder) / "metrics.db"))
        else:
            os.environ[CALLS_VARIABLE] = folder
            instrument("benchmark")
        client = client_of(20)
        long = client_of(1000)
        print(f"{'':<28} {'plain':>11}  {'recorded':>11}")
        compare("messages.create", lambda: client.messages.create(**ASKED), given.pairs)
        compare("messages.stream, 20 words", lambda: stream(client), given.pairs)
        compare("messages.stream, 1000 words", lambda: stream(long), given.pairs // 20)


if __name__ == "__main__":
    main()
