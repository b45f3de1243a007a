"""Variables that send telemetry to a receiver."""

from __future__ import annotations

import pytest

from claude_force.settings.telemetry_variables import (
    ENDPOINT,
    HEADERS,
    JSON,
    other_endpoint,
    telemetry_variables,
    with_attributes,
)

HERE, OTHER = "http://127.0.0.1:4319", "http://collector:4318"


def test_a_token_is_written_as_it_is() -> None:
    """Claude Code does not decode what is in this variable; without a token it is not set."""
    assert telemetry_variables(HERE, JSON, "a b")[HEADERS] == "Authorization=Bearer a b"
    assert HEADERS not in telemetry_variables(HERE, JSON)


ENDPOINTS = {
    "none": ({}, None),
    "ours": ({ENDPOINT: HERE}, None),
    "ours, with a slash": ({ENDPOINT: f"{HERE}/"}, None),
    "another": ({ENDPOINT: OTHER}, OTHER),
    "another for logs": ({ENDPOINT: HERE, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": OTHER}, OTHER),
    "empty": ({ENDPOINT: ""}, None),
}


@pytest.mark.parametrize(("variables", "expected"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_another_endpoint(variables: dict[str, str], expected: str | None) -> None:
    """Of all signals, or of one."""
    assert other_endpoint(variables, HERE) == expected


ATTRIBUTES = {
    "none": (None, {}, ""),
    "ours": (None, {"project": "a,b=c", "agent": None}, "project=a%2Cb%3Dc"),
    "beside others": ("team=x, region=y ,", {"agent": "z"}, "team=x, region=y ,agent=z"),
    "in place of one": ("agent=x,team=y", {"agent": "z"}, "team=y,agent=z"),
}


@pytest.mark.parametrize(("given", "added", "expected"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_attributes_are_added(given: str | None, added: dict[str, str | None], expected: str) -> None:
    """What was given stays, but for attributes of the same names."""
    assert with_attributes(given, added) == expected
