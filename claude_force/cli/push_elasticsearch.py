"""`claude-force push elasticsearch`."""

from __future__ import annotations

from typing import Any

import click

from claude_force.cli.push_once import once_options, push_once


@click.command()
@click.option("--url", metavar="URL", help="The server.  [default: ELASTICSEARCH_URL or http://localhost:9200]")
@click.option("--index", metavar="NAME", help="The index.  [default: claude-force-metrics]")
@click.option("--data-stream", "is_stream", is_flag=True, help="Use a data stream of that name.")
@once_options
def elasticsearch(url: str | None, index: str | None, is_stream: bool, **options: Any) -> None:
    """Push executions to Elasticsearch.

    Each execution becomes one document; sending it again does not duplicate it. The first push creates the index and
    sends all executions. The login is read from ELASTIC_API_KEY, or from performance.exporters.elasticsearch in
    claude.json.

    \b
    Example:
      claude-force push elasticsearch --url http://localhost:9200
    """
    push_once("elasticsearch", {"url": url, "index": index, "data_stream": is_stream or None}, **options)
