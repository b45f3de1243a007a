"""`claude-force push otlp`: metrics to OpenTelemetry."""

from __future__ import annotations

import click

from claude_force.cli.chosen_database import database_option
from claude_force.cli.options import json_option
from claude_force.cli.push import run_push


@click.command()
@click.option("--endpoint", metavar="URL", help="The receiver; /v1/metrics is added.  [default: http://localhost:4318]")
@json_option
@database_option
def otlp(endpoint: str | None, as_json: bool, location: str | None) -> None:
    """Export metrics to OpenTelemetry.

    Sends OTLP over HTTP to a collector, or to any service that accepts OTLP. The variables
    OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS override claude.json.

    \b
    Example:
      claude-force push otlp --endpoint http://localhost:4318
    """
    run_push(location, "otlp", {"endpoint": endpoint}, as_json=as_json)
