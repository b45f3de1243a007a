"""How many records a second the receiver takes, on one core, into the store: `python benchmarks/receiving.py`.

Eight clients on another core send `api_request` events, 50 in a body, in protobuf as Claude Code does by default. The
rate is that of records that are stored, from the first request until the last record is in the database. Needs Linux.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import PROGRAM, say
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, totals

CLIENTS = 8
RECORDS = 50
ID_PLACE, TIME_PLACE = f"req_011C{0:020}", 1_111_111_111_111_111_111
"""Where a request id and an instant go in a body; all that go there have the same length."""

ID_NS = 16 * 10**9
"""Request ids of the Claude API begin with four characters of the time, in which one more is about a quarter of a
minute."""

SESSION_PLACE = b"5f0c9a1e-3b52-4d7c-9a43-0f6f2d1b7c11"
"""The session, which is another for each client."""

BEGAN_NS = 1_764_338_400 * 10**9
EVERY_NS = 3 * 10**9
"""The instants of the records of one client: a request every three seconds, which is a busy session."""

_POLL_S = 0.2


class Found(NamedTuple):
    """What one run showed. `cpu_s` is without the start; `latency_ms` are the times of all requests, sorted."""

    records: int
    sent_s: float
    stored_s: float
    peak_bytes: int
    cpu_s: float
    latency_ms: Sequence[float]

    def lines(self) -> list[str]:
        """For people."""
        p50, p99 = (self.latency_ms[int(len(self.latency_ms) * share)] for share in (0.5, 0.99))
        return [
            f"stored:       {self.records / self.stored_s:,.0f} records/s ({self.records:,} in {self.stored_s:.1f} s)",
            f"acknowledged: {self.records / self.sent_s:,.0f} records/s, in {p50:.1f} ms (p50), {p99:.1f} ms (p99)",
            f"CPU:          {self.cpu_s / self.records * 1e6:.0f} µs for each record",
            f"peak memory:  {self.peak_bytes / 1e6:.0f} MB",
        ]


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long clients send (30)")
    parser.add_argument("--rate", type=float, default=0, help="records a second that they send; 0 is all they can")
    parser.add_argument("--json", action="store_true", help="bodies in JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="claude-force-receiving-") as folder:
        found = measure(Path(folder), options.seconds, options.rate, as_json=options.json)
    print("\n".join(found.lines()))


def measure(folder: Path, seconds: float, rate: float, *, as_json: bool) -> Found:
    """Send for some seconds, and wait until everything is stored."""
    content_type, template, instant = _json_body() if as_json else _protobuf_body()
    pieces = re.split(b"(?:%s|%s)" % (ID_PLACE.encode(), re.escape(instant(TIME_PLACE))), template)
    assert len(pieces) == 2 * RECORDS + 1
    say(f"{RECORDS} records in {len(template):,} bytes")
    database = folder / "metrics.db"
    process = _receiver(folder, database)
    try:
        port = _port_of(process)
        latencies: list[float] = []
        started_cpu_s = _used(process.pid)[1]
        began_s = time.monotonic()
        ends_s = began_s + seconds
        pause_s = CLIENTS * RECORDS / rate if rate else 0

        def send(client: int) -> None:
            _send_until(ends_s, port, content_type, _bodies(pieces, instant, client), pause_s, latencies)

        clients = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        sent_s = time.monotonic() - began_s
        records = len(latencies) * RECORDS
        stored_s = _wait_for(database, records) - began_s
        peak_bytes, cpu_s = _used(process.pid)
        return Found(records, sent_s, stored_s, peak_bytes, cpu_s - started_cpu_s, sorted(latencies))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def _receiver(folder: Path, database: Path) -> subprocess.Popen[str]:
    """A receiver on the first core; this process keeps the others."""
    cores = sorted(os.sched_getaffinity(0))
    command = [str(PROGRAM), "receive", "--port", "0", "--db", str(database)]
    os.sched_setaffinity(0, cores[:1])
    try:
        return subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, text=True, env=os.environ | {"HOME": str(folder), "TZ": "UTC"}
        )
    finally:
        os.sched_setaffinity(0, cores[1:] or cores)


def _port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    match = re.search(r":(\d+) for", process.stdout.readline())
    assert match
    return int(match[1])


def _bodies(pieces: Sequence[bytes], instant: Callable[[int], bytes], client: int) -> Callable[[], bytes]:
    """A function that makes body after body, each with ids that no other has."""
    number = 0

    def make() -> bytes:
        nonlocal number
        parts = [pieces[0]]
        for after_time, after_id in zip(pieces[1::2], pieces[2::2], strict=True):
            number += 1
            at_ns = BEGAN_NS + number * EVERY_NS + client
            parts += (
                instant(at_ns),
                after_time.replace(SESSION_PLACE, b"%036d" % client),
                b"req_011C%04x%016d" % (at_ns // ID_NS & 0xFFFF, client * 10**10 + number),
                after_id,
            )
        return b"".join(parts)

    return make


def _send_until(
    ends_s: float, port: int, content_type: str, make: Callable[[], bytes], pause_s: float, latencies: list[float]
) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        due_s = time.monotonic()
        while time.monotonic() < ends_s:
            body = make()
            start_s = time.monotonic()
            connection.request("POST", "/v1/logs", body, {"Content-Type": content_type})
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status
            latencies.append((time.monotonic() - start_s) * 1e3)
            due_s += pause_s
            time.sleep(max(0.0, due_s - time.monotonic()))


def _wait_for(database: Path, records: int) -> float:
    """When so many records were stored."""
    while True:
        with closing(open_database(str(database))) as opened, opened.read() as connection:
            number = totals(connection, Filter()).executions
        if number >= records:
            assert number == records, f"{number - records} too many"
            return time.monotonic()
        time.sleep(_POLL_S)


def _used(pid: int) -> tuple[int, float]:
    """The peak memory of a process in bytes, and its CPU time."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak
    return int(peak[1]) * 1024, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _attributes() -> dict[str, str | int | float]:
    """What Claude Code says of one request."""
    return {
        "session.id": SESSION_PLACE.decode(),
        "anthropic.provider": "firstParty",
        "project": "shop",
        "event.name": "api_request",
        "event.timestamp": "2026-11-28T14:00:00.250Z",
        "event.sequence": 41,
        "prompt.id": "7d3e5f20-41aa-4a8e-8b0e-5b8b6c0a2f90",
        "model": "claude-opus-4-5",
        "input_tokens": 6,
        "output_tokens": 412,
        "cache_read_tokens": 48_200,
        "cache_creation_tokens": 2310,
        "cache_creation_5m_tokens": 0,
        "cache_creation_1h_tokens": 2310,
        "cost_usd": 0.036384,
        "cost_usd_micros": 36384,
        "duration_ms": 9120,
        "ttft_ms": 1380,
        "request_id": ID_PLACE,
        "speed": "normal",
        "query_source": "repl_main_thread",
        "effort": "high",
    }


def _protobuf_body() -> tuple[str, bytes, Callable[[int], bytes]]:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    export = ExportLogsServiceRequest()
    logs = export.resource_logs.add()
    name = logs.resource.attributes.add(key="service.name")
    name.value.string_value = "claude-code"
    scope = logs.scope_logs.add()
    scope.scope.name = "com.anthropic.claude_code.events"
    for _ in range(RECORDS):
        record = scope.log_records.add(time_unix_nano=TIME_PLACE)
        record.body.string_value = "claude_code.api_request"
        for key, value in _attributes().items():
            kind = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
            setattr(record.attributes.add(key=key).value, kind, value)
    return "application/x-protobuf", export.SerializeToString(), lambda ns: struct.pack("<Q", ns)


def _json_body() -> tuple[str, bytes, Callable[[int], bytes]]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
    attributes = [{"key": key, "value": {kinds[type(value)]: value}} for key, value in _attributes().items()]
    body = {"stringValue": "claude_code.api_request"}
    records = [{"timeUnixNano": str(TIME_PLACE), "body": body, "attributes": attributes}] * RECORDS
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "claude-code"}}]}
    scope = {"scope": {"name": "com.anthropic.claude_code.events"}, "logRecords": records}
    export = {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}
    return "application/json", json.dumps(export).encode(), lambda ns: b"%d" % ns


if __name__ == "__main__":
    main()
