"""Prometheus counters while transcripts grow."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from claude_force.clock import HOUR_US, to_instant
from claude_force.exporters.metrics import read_exposition
from claude_force.exporters.prometheus.text_format import encode
from tests.monitoring import Samples, samples_of
from tests.transcripts import START, Ingester, Talk, Tokens, main_file, put, text_block, thinking_block, tool_block


def a_conversation() -> Talk:
    """Responses of several lines, over more than the five minutes after which they are counted."""
    talk = Talk()
    for number in range(24):
        talk.prompt()
        talk.seconds += number % 3 * 15
        for blocks in ([thinking_block()], [text_block()], [tool_block(f"toolu_{number}")]):
            talk.respond(f"msg_{number}", Tokens(3, 10 * len(talk.lines), 9, 0, 4), blocks=blocks)
        talk.result(call=f"toolu_{number}")
    return talk


def test_no_counter_falls_while_a_transcript_grows(ingester: Ingester, tmp_path: Path) -> None:
    """After any line, no counter and no histogram bucket is lower than before. One hour later everything is counted."""
    talk, before = a_conversation(), Samples()
    path = main_file(tmp_path)
    for count in range(1, len(talk.lines), 2):
        put(path, talk.lines[:count])
        assert ingester.ingest(tmp_path).problems == []
        after = counters(ingester, datetime.fromisoformat(talk.lines[count - 1]["timestamp"]) + timedelta(seconds=0.5))
        assert {key: value for key, value in before.items() if after[key] < value} == {}
        before = after
    assert before
    put(path, talk.lines)
    ingester.ingest(tmp_path)
    whole = counters(ingester, START + timedelta(hours=1))
    assert sum(value for (name, _), value in whole.items() if name == "claude_force_executions_total") == 24
    assert sum(value for (name, _), value in whole.items() if name.endswith("_count")) == 24


def counters(ingester: Ingester, now: datetime) -> Samples:
    """The counters and buckets exposed at this time."""
    found = samples_of(encode(read_exposition(ingester.store.database, to_instant(now), HOUR_US)).decode())
    return {key: value for key, value in found.items() if key[0].endswith(("_total", "_bucket", "_sum", "_count"))}
