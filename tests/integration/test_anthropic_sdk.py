"""Calls of the real Anthropic SDK against a stand-in of the API: each is one execution, with its final usage.

The version here is the newest; `benchmarks/anthropic_versions.py` runs this file with older ones.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any, ClassVar

import pytest

from claude_force.anthropic_sdk import recording
from claude_force.anthropic_sdk.recording import CALLS_VARIABLE, instrument, record_batch
from claude_force.anthropic_sdk.streams import Body
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, iterate
from claude_force.executions.record import PROVISIONAL, ExecutionMetrics, from_row
from claude_force.executions.signals import SDK_SPAN, Call, ModelRequest, Signal, decode
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.telemetry.calls import observe_call
from claude_force.ingest.telemetry.telemetry_pass import store_signals
from claude_force.performance_tracker.timing import Tracking
from tests.anthropic_api import MODEL, USAGE, AnthropicApi, prompt, serve_anthropic
from tests.builders import NOON_US
from tests.sighted import PRICES

anthropic = pytest.importorskip("anthropic")

Do = Callable[[Any], object]
OPTIONS = IngestOptions(PRICES, UTC, "here", None, NOON_US)


@pytest.fixture(scope="module")
def api() -> Iterator[AnthropicApi]:
    """The stand-in."""
    with serve_anthropic() as server:
        yield server


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the calls of this test are kept, as under `claude-force run`."""
    folder = tmp_path / "calls"
    monkeypatch.setenv(CALLS_VARIABLE, str(folder))
    monkeypatch.setattr(recording, "_recording", None)
    instrument("bot", "shop")
    return folder


@pytest.fixture
def client(api: AnthropicApi, spool: Path) -> Iterator[Any]:
    """A client that asks the stand-in."""
    with anthropic.Anthropic(api_key="none", base_url=api.url, max_retries=1) as found:
        yield found


@pytest.fixture
def waiting(api: AnthropicApi, spool: Path) -> Any:
    """An asynchronous client that asks the stand-in."""
    return anthropic.AsyncAnthropic(api_key="none", base_url=api.url, max_retries=1)


def kept(folder: Path) -> list[Signal]:
    """The calls that were kept."""
    lines = (line for path in sorted(folder.glob("*")) for line in path.read_bytes().splitlines())
    return [decode(line) for line in lines]


def only(folder: Path) -> ExecutionMetrics:
    """The only call that was kept, as an execution."""
    (call,) = kept(folder)
    assert isinstance(call, Call)
    return from_row(observe_call(call, PRICES, "here").row)


def with_stream(client: Any) -> None:
    """`messages.stream`, read to its end."""
    with client.messages.stream(**prompt()) as stream:
        stream.get_final_message()


def with_streaming_response(client: Any) -> None:
    """A response whose body the program reads itself."""
    with client.messages.with_streaming_response.create(**prompt()) as response:
        response.parse()


def with_lines(client: Any) -> None:
    """A stream whose lines the program reads itself."""
    with client.messages.with_streaming_response.create(stream=True, **prompt()) as response:
        assert any("message_stop" in line for line in response.iter_lines())


WHOLE: dict[str, Do] = {
    "create": lambda client: client.messages.create(**prompt()),
    "create(stream=True)": lambda client: list(client.messages.create(stream=True, **prompt())),
    "stream()": with_stream,
    "beta": lambda client: client.beta.messages.create(**prompt()),
    "raw": lambda client: client.messages.with_raw_response.create(**prompt()).parse(),
    "raw stream": lambda client: list(client.messages.with_raw_response.create(stream=True, **prompt()).parse()),
    "streaming response": with_streaming_response,
    "lines of a stream": with_lines,
    "compressed": lambda client: client.messages.create(**prompt(gzip=1)),
    "compressed stream": lambda client: list(client.messages.create(stream=True, **prompt(gzip=1))),
    "tried again": lambda client: client.messages.create(**prompt(statuses=[529, 200])),
    "by a copy": lambda client: client.with_options(timeout=9).messages.create(**prompt()),
}


@pytest.mark.parametrize("do", WHOLE.values(), ids=WHOLE)
def test_a_call_is_one_execution_with_its_final_usage(do: Do, client: Any, spool: Path) -> None:
    """Whichever way it is made and read."""
    do(client)
    found = only(spool)
    assert (found.input_tokens, found.output_tokens, found.cache_read_tokens) == (12, 345, 1000)
    assert (found.cache_write_5m_tokens, found.cache_write_1h_tokens) == (200, 300)
    assert (found.success, found.usage_basis, found.model) == (True, None, MODEL)
    assert (found.agent_name, found.project) == ("bot", "shop")
    assert found.duration_us
    assert found.cost_nanousd


async def await_stream(client: Any) -> None:
    """`messages.stream`, read to its end."""
    async with client.messages.stream(**prompt()) as stream:
        await stream.get_final_message()


async def await_events(client: Any) -> None:
    """`create(stream=True)`, read to its end."""
    async for _ in await client.messages.create(stream=True, **prompt()):
        pass


async def await_lines(client: Any) -> None:
    """A stream whose lines the program reads itself."""
    async with client.messages.with_streaming_response.create(stream=True, **prompt()) as response:
        async for _ in response.iter_lines():
            pass


AWAITED: dict[str, Do] = {
    "create": lambda client: client.messages.create(**prompt()),
    "create(stream=True)": await_events,
    "stream()": await_stream,
    "raw": lambda client: client.messages.with_raw_response.create(**prompt()),
    "lines of a stream": await_lines,
}


async def _run(do: Do, client: Any) -> None:
    async with client:
        await do(client)  # type: ignore[misc]


@pytest.mark.parametrize("do", AWAITED.values(), ids=AWAITED)
def test_an_awaited_call_too(do: Do, waiting: Any, spool: Path) -> None:
    """Of the asynchronous client."""
    asyncio.run(_run(do, waiting))
    found = only(spool)
    assert (found.input_tokens, found.output_tokens, found.usage_basis) == (12, 345, None)


def leave(client: Any) -> None:
    """`messages.stream`, of which the program reads one text."""
    with client.messages.stream(**prompt()) as stream:
        next(iter(stream.text_stream))


def drop(client: Any) -> None:
    """`create(stream=True)`, of which it reads one event."""
    next(iter(client.messages.create(stream=True, **prompt())))
    gc.collect()


@pytest.mark.parametrize("do", [leave, drop])
def test_an_abandoned_stream_is_provisional(do: Do, client: Any, spool: Path) -> None:
    """Its prompt is known, and that its output is not."""
    do(client)
    found = only(spool)
    assert (found.input_tokens, found.output_tokens, found.usage_basis) == (12, 1, PROVISIONAL)
    assert found.success


@pytest.mark.parametrize(
    ("script", "error_type"),
    [
        ({"statuses": [529]}, "overloaded_error"),
        ({"statuses": [400], "error": "invalid_request_error"}, "invalid_request_error"),
    ],
)
def test_a_failure_is_one_execution_that_used_nothing(
    script: dict[str, Any], error_type: str, client: Any, spool: Path
) -> None:
    """After all attempts, in the words that transcripts and spans have."""
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**prompt(**script))
    found = only(spool)
    assert not found.success
    assert found.error_type in (error_type, error_type.removesuffix("_error"))
    assert (found.input_tokens, found.output_tokens, found.cost_nanousd) == (0, 0, 0)


@pytest.mark.parametrize(
    ("script", "error_type"), [({"cut": 3}, "connection_error"), ({"cut": 3, "error": "api_error"}, "api_error")]
)
def test_a_stream_that_breaks_off_is_a_failure(
    script: dict[str, Any], error_type: str, client: Any, spool: Path
) -> None:
    """By the connection or by an event; what it used is a lower bound."""
    with pytest.raises(Exception, match=r"closed|api_error"):
        list(client.messages.create(stream=True, **prompt(**script)))
    found = only(spool)
    assert (found.success, found.error_type, found.usage_basis) == (False, error_type, PROVISIONAL)
    assert found.input_tokens == 12


def test_nobody_listens(client: Any, spool: Path) -> None:
    """Nothing is known of what was used."""
    with pytest.raises(anthropic.APIConnectionError):
        client.with_options(base_url="http://127.0.0.1:9", max_retries=0).messages.create(**prompt())
    found = only(spool)
    assert (found.error_type, found.input_tokens) == ("connection_error", None)


def test_what_a_call_is_billed_for(client: Any, spool: Path) -> None:
    """Speed, residency, web searches and the steps of a response, which no span has."""
    steps = [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
        {"type": "message", "input_tokens": 12, "output_tokens": 345},
    ]
    usage = {"speed": "fast", "inference_geo": "us", "server_tool_use": {"web_search_requests": 3}, "iterations": steps}
    client.messages.create(**prompt(usage=usage))
    found = only(spool)
    assert (found.service_tier, found.inference_geo, found.web_searches) == ("fast", "us", 3)
    assert found.steps is not None
    assert [step.kind for step in found.steps] == ["compaction", "message"]
    assert (found.input_tokens, found.output_tokens) == (112, 365)


def test_a_client_of_another_seller_names_it(api: AnthropicApi, spool: Path) -> None:
    """It asks another path, with another body."""
    with anthropic.AnthropicVertex(region="r", project_id="p", access_token="t", base_url=api.url) as client:
        list(client.messages.create(stream=True, **prompt()))
    found = only(spool)
    assert (found.provider, found.model, found.output_tokens) == ("vertex", MODEL, 345)


def test_a_refusal_is_a_failure(client: Any, spool: Path) -> None:
    """One before any output is not billed, if its category says so."""
    message = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "cyber"}}
    client.messages.create(**prompt(message=message, usage={"output_tokens": 0}))
    found = only(spool)
    assert (found.success, found.error_type, found.cost_nanousd) == (False, "refusal", 0)


def test_what_ran_before_a_refusal_is_billed(client: Any, spool: Path) -> None:
    """An attempt with output is, although the fallback was refused."""
    steps = [
        {"type": "message", "model": "claude-fable-5", "input_tokens": 5000, "output_tokens": 400},
        {"type": "fallback_message", "model": MODEL, "input_tokens": 5000, "output_tokens": 0},
    ]
    message = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "cyber"}}
    client.messages.create(**prompt(message=message, usage={"output_tokens": 0, "iterations": steps}))
    found = only(spool)
    assert (found.success, found.error_type, found.cost_nanousd) == (False, "refusal", 70_000_000)


def test_counting_tokens_is_no_execution(client: Any, spool: Path) -> None:
    """Nor is any other request."""
    if not hasattr(client.messages, "count_tokens"):
        pytest.skip("this version does not count")
    client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "x"}])
    assert kept(spool) == []


def test_a_tracked_block_records_its_calls_itself(client: Any, spool: Path) -> None:
    """Whether it takes their usage or not; calls after it are recorded again."""
    reports: list[Any] = []
    with Tracking(reports.append, "block") as tracked:
        tracked.take_usage(client.messages.create(**prompt()))
    assert kept(spool) == []
    client.messages.create(**prompt())
    assert only(spool).output_tokens == reports[0].output_tokens == 345


def test_a_tool_runner_makes_one_execution_for_each_request(client: Any, spool: Path) -> None:
    """Not one more for all of them."""
    if not hasattr(client.beta.messages, "tool_runner"):
        pytest.skip("this version has none")

    def look() -> str:
        """Look."""
        return "seen"

    wanted = [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]
    asked = prompt(message={"content": wanted, "stop_reason": "tool_use"})
    list(client.beta.messages.tool_runner(tools=[anthropic.beta_tool(look)], max_iterations=2, **asked))
    assert len(kept(spool)) == 2


def test_a_spool_that_cannot_be_written_fails_nobody(client: Any, spool: Path) -> None:
    """What could not be written is kept in memory, and written with the next call."""
    spool.write_text("no folder")
    client.messages.create(**prompt())
    spool.unlink()
    client.messages.create(**prompt())
    assert len(kept(spool)) == 2


def test_what_can_be_kept_nowhere_is_counted(client: Any, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the program ends; until then it waits for the folder."""
    spool.write_text("no folder")
    client.messages.create(**prompt())
    client.messages.create(**prompt())
    recording._of_process()._finish()
    assert "2 calls of the Anthropic SDK could not be kept anywhere" in caplog.text


def test_what_waits_at_the_end_is_written(client: Any, spool: Path) -> None:
    """The folder may be there again."""
    spool.write_text("no folder")
    client.messages.create(**prompt())
    spool.unlink()
    recording._of_process()._finish()
    assert only(spool).output_tokens == 345


@pytest.mark.parametrize(
    "message",
    [
        {"usage": "none"},
        {"usage": [1]},
        {"usage": None},
        {"model": 7},
        {"id": 7},
        {"stop_reason": 5},
        {"stop_details": "x"},
    ],
)
def test_an_answer_that_cannot_be_understood_is_an_execution(message: dict[str, Any], client: Any, spool: Path) -> None:
    """As a gateway may send it; what of it is as it should be is known."""
    client.messages.create(**prompt(message=message))
    found = only(spool)
    assert (found.success, found.model) == (True, MODEL if "model" not in message else "unknown")
    assert found.output_tokens == (None if "usage" in message else 345)


def test_a_path_names_a_project(client: Any, spool: Path) -> None:
    """Though it is no text."""
    instrument("bot", Path("/work/shop"))  # type: ignore[arg-type]
    client.messages.create(**prompt())
    assert only(spool).project == "/work/shop"


def test_a_long_line_of_a_stream_is_joined_once() -> None:
    """And not again for each of its chunks, which would take a minute for this one."""
    message = b'data: {"type":"message_start","message":{"usage":{"input_tokens":7},"x":"' + b"x" * 64
    body = Body(_Events())
    body.feed(message)
    for _ in range(50_000):
        body.feed(b"x" * 1000)
    body.feed(b'"}}\n\n')
    assert body.fields(0)["usage"] == {"input_tokens": 7}


class _Events:
    """The response of a stream."""

    headers: ClassVar = {"content-type": "text/event-stream"}
    is_closed = False


def test_threads_and_a_fork_keep_all(client: Any, spool: Path) -> None:
    """A child goes on with the calls of its own, also if it ends without any clean-up."""
    threads = [threading.Thread(target=client.messages.create, kwargs=prompt()) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = os.fork()
    if not child:
        with suppress(Exception):
            recording.begin(client, _OPTIONS).failed(ValueError())  # type: ignore[union-attr]
        os._exit(0)
    os.waitpid(child, 0)
    assert len(kept(spool)) == 9


class _OPTIONS:
    """The options of a request."""

    url, method, json_data = "/v1/messages", "post", prompt()


def test_an_interrupted_call_is_cancelled(waiting: Any, spool: Path) -> None:
    """The program stopped it itself."""

    async def stop() -> None:
        task = asyncio.ensure_future(waiting.messages.create(**prompt()))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(stop())
    assert only(spool).error_type == "cancelled"


def test_a_provider_of_traces_keeps_its_own_export(api: AnthropicApi, spool: Path) -> None:
    """The program's spans are those that it has without us."""
    if tuple(map(int, anthropic.__version__.split(".")[:2])) < (1, 14):
        pytest.skip("this version has no spans")
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    provider, exporter = trace.TracerProvider(), export.InMemorySpanExporter()
    provider.add_span_processor(pytest.importorskip("opentelemetry.sdk.trace.export").SimpleSpanProcessor(exporter))
    with anthropic.Anthropic(api_key="none", base_url=api.url, open_telemetry={"tracer_provider": provider}) as client:
        client.messages.create(**prompt())
        list(client.messages.create(stream=True, **prompt()))
    spans = exporter.get_finished_spans()
    assert [span.attributes["gen_ai.usage.output_tokens"] for span in spans] == [345, 345]
    assert [call.request_id for call in kept(spool)] == [span.attributes["anthropic.request.id"] for span in spans]  # type: ignore[union-attr]


def test_a_call_that_telemetry_sees_too_is_one_execution(database: Database, client: Any, spool: Path) -> None:
    """As when a program also sends its spans to the receiver: what the span lacks stays, whoever comes first."""
    client.messages.create(**prompt(usage={"server_tool_use": {"web_search_requests": 2}}))
    (call,) = kept(spool)
    assert isinstance(call, Call)
    span = ModelRequest(
        origin=SDK_SPAN, service="app", at_us=call.at_us - 50, model=MODEL, request_id=call.request_id,
        response_id=call.response_id, input_tokens=12, output_tokens=345, cache_read_tokens=1000,
        cache_write_5m_tokens=200, cache_write_1h_tokens=300,
    )  # fmt: skip
    store_signals(database, [call, span, call], OPTIONS)
    (found,) = iterate(database, Filter())
    assert (found.agent_name, found.web_searches, found.output_tokens) == ("bot", 2, 345)


def test_a_batch_is_recorded_once_at_its_price(database: Database, client: Any, api: AnthropicApi, spool: Path) -> None:
    """Its results, however often they are read; one that failed used nothing."""
    if not hasattr(client.messages, "batches"):
        pytest.skip("this version has none")
    message: dict[str, Any] = {"id": "msg_b1", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    message |= {"stop_reason": "end_turn", "stop_sequence": None, "usage": USAGE | {"service_tier": "batch"}}
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    api.batch = [
        {"custom_id": "a", "result": {"type": "succeeded", "message": message}},
        {"custom_id": "b", "result": {"type": "errored", "error": error}},
        {"custom_id": "c", "result": {"type": "expired"}},
    ]
    assert record_batch(client.messages.batches.results("msgbatch_1")) == 3
    assert record_batch(client.messages.batches.results("msgbatch_1")) == 3
    store_signals(database, kept(spool), OPTIONS)
    found = sorted(iterate(database, Filter()), key=lambda each: each.error_type or "")
    assert [each.error_type for each in found] == [None, "expired", "invalid_request_error"]
    assert [each.input_tokens for each in found] == [12, 0, 0]
    assert found[0].service_tier == "batch"


def test_results_of_a_file_are_recorded_too(spool: Path) -> None:
    """As mappings, with the tier of a batch where the line does not say it."""
    message = {"id": "msg_b1", "model": MODEL, "usage": USAGE}
    line = json.loads(json.dumps({"custom_id": "a", "result": {"type": "succeeded", "message": message}}))
    assert record_batch([line]) == 1
    assert only(spool).service_tier == "batch"
