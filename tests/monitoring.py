"""A real Prometheus and a real Pushgateway on 127.0.0.1, as Debian packs them. Where they are not installed a test that
needs them is skipped, and says so."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.counterparts import unused_port
from tests.daemons import eventually

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]


def samples_of(text: str) -> Samples:
    """The samples of an exposition by name and labels. No two are of one series."""
    read = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in read}
    assert len(found) == len(read)
    return found


def of(samples: Samples, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of a name, by the values of labels that tell them apart."""
    named = [(dict(found), value) for (found_name, found), value in samples.items() if found_name == name]
    found = {tuple(values[label] for label in labels): value for values, value in named}
    assert len(found) == len(named)
    return found


def fetch(port: int, path: str, method: str = "GET", headers: Mapping[str, str] = {}) -> tuple[int, str, str]:
    """The status, the content type and the text of an answer of a port of 127.0.0.1."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


def program(name: str) -> str:
    """The path of a program; skips the test where it is not installed."""
    return shutil.which(name) or pytest.skip(
        f"{name} is not installed: apt-get install prometheus-pushgateway prometheus"
    )


@contextmanager
def pushgateway() -> Iterator[int]:
    """An empty Pushgateway; its port."""
    port = unused_port()
    # Debian's keeps what was pushed in a file of the machine unless it is told not to.
    options = [f"--web.listen-address=127.0.0.1:{port}", "--persistence.file="]
    with _served([program("prometheus-pushgateway"), *options], port):
        yield port


class Prometheus:
    """A Prometheus on a port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression of PromQL comes to now."""
        status, _, text = fetch(self.port, f"/api/v1/query?{urlencode({'query': expression})}")
        assert status == 200, f"{expression}\n{text}"
        result = json.loads(text)["data"]["result"]
        assert isinstance(result, list)
        return result

    def number(self, expression: str) -> float | None:
        """What an expression with one answer comes to; None while it has none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None


@contextmanager
def prometheus(folder: Path, configuration: str) -> Iterator[Prometheus]:
    """A Prometheus with the `scrape_configs` of a configuration, each scraped every two seconds."""
    port = unused_port()
    file = folder / "prometheus.yml"
    file.write_text(f"global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\n{configuration}")
    command = [
        program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with _served(command, port):
        yield Prometheus(port)


@contextmanager
def _served(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_ready() -> bool:
        assert process.poll() is None, "it has ended"
        try:
            return fetch(port, "/-/ready")[0] == 200
        except OSError:
            return False

    try:
        eventually(is_ready)
        yield
    finally:
        process.kill()
        process.wait()
