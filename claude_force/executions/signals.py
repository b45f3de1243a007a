"""The signals: what one telemetry record says about an agent, whichever program sent it and in whatever format.

The receiver makes signals of records, the spool keeps them as JSON lines, an ingestion pass stores them. Prompts
and what tools read or wrote never become part of a signal, nor do personal data but for the one attribute that the
settings name (`performance.otlp_user`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

EVENT, SPAN, SDK_SPAN, METRIC = "event", "span", "sdk", "metric"
"""Where a signal comes from: a log event of an agent, a span of an agent or of a library, the Anthropic SDK (a span or
a recorded call), a point of a metric."""


class ModelRequest(msgspec.Struct, tag="request", omit_defaults=True, frozen=True, kw_only=True):
    """One model request, or its final failure.

    `origin` is EVENT, SPAN or SDK_SPAN. `at_us` is when it ended. `input_tokens` are without cached ones.
    `cost_nanousd` is what the sender computed. `cache_write_1h_tokens` None with `cache_write_5m_tokens` known: the
    sender does not tell them apart. `error_type` None: it succeeded. `response_id` and `span_id` identify it where the
    request id is not known. `provisional`: its stream was abandoned, so the usage is a lower bound.
    """

    origin: str
    service: str
    at_us: int
    model: str
    request_id: str | None = None
    response_id: str | None = None
    span_id: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    agent_name: str | None = None
    query_source: str | None = None
    project: str | None = None
    user: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    web_searches: int | None = None
    duration_us: int | None = None
    ttft_us: int | None = None
    effort: str | None = None
    service_tier: str | None = None
    cost_nanousd: int | None = None
    error_type: str | None = None
    provisional: bool = False


class Call(msgspec.Struct, tag="call", omit_defaults=True, frozen=True, kw_only=True):
    """One call of the Anthropic SDK, as a program that is recorded keeps it: nothing is worked out in that program.

    `usage` and `stop_details` are those of the API's response. `error_type` is the API's word, or that of the SDK for a
    connection; `status` is the HTTP status of a failure. `session_id` is the run of `claude-force run`, or one of the
    program if it has a label.
    """

    at_us: int
    model: str
    agent_name: str
    request_id: str | None = None
    response_id: str | None = None
    session_id: str | None = None
    project: str | None = None
    provider: str | None = None
    usage: dict[str, Any] | None = None
    stop_reason: str | None = None
    stop_details: dict[str, Any] | None = None
    duration_us: int | None = None
    ttft_us: int | None = None
    effort: str | None = None
    error_type: str | None = None
    status: int | None = None
    provisional: bool = False
    is_batch: bool = False
    label: str | None = None


class Outcome(msgspec.Struct, tag="outcome", omit_defaults=True, frozen=True, kw_only=True):
    """Something that an agent did, or a control sum of its costs: `value` of `name`, for example 12 `lines_of_code` of
    the `kind` "added". Money is in nano-dollars, time in microseconds. `key` is the same (32 hexadecimal digits) when
    the record is sent again."""

    key: str
    at_us: int
    name: str
    value: int
    kind: str = ""
    session_id: str = ""


class Heard(msgspec.Struct, tag="heard", omit_defaults=True, frozen=True, kw_only=True):
    """That records of one kind came: what `telemetry status` shows. `name` is the event, span or metric; `ignored` says
    why its records were not used, and is "" if they were."""

    service: str
    name: str
    at_us: int
    records: int
    version: str = ""
    ignored: str = ""


class Labelled(msgspec.Struct, tag="label", omit_defaults=True, frozen=True, kw_only=True):
    """That a run with a label was at work in a session: see `executions.run_labels.RunLabel`."""

    session: str
    label: str
    since_us: int
    until_us: int
    run: str = ""


Signal = ModelRequest | Call | Outcome | Heard | Labelled

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Signal)


def encode(signals: Sequence[Signal]) -> bytes:
    """Signals as lines of JSON."""
    return _encoder.encode_lines(signals)


def decode(line: bytes) -> Signal:
    """A line of JSON as a signal. Raises msgspec.DecodeError for a line that is none."""
    signal: Signal = _decoder.decode(line)
    return signal
