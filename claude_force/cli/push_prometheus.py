"""`claude-force push prometheus`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.options import json_option
from claude_force.cli.push import find_exporter, print_result, run_push

if TYPE_CHECKING:
    from claude_force.exporters.prometheus.push import PrometheusExporter


@click.command()
@click.option("--gateway", metavar="URL", help="Push to this Pushgateway.  [default: http://localhost:9091]")
@click.option(
    "--textfile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Write a .prom file for the node exporter instead.",
)
@click.option("--job", metavar="NAME", help="The job label of the group.  [default: claude_force]")
@click.option("--instance", metavar="NAME", help="The instance label of the group.  [default: the host name]")
@click.option("--window", metavar="LENGTH", help="The period of the gauges, such as 15m or 1d.  [default: 1h]")
@click.option("--delete", "is_deletion", is_flag=True, help="Delete the group, or the file, instead of pushing.")
@json_option
@database_option
def prometheus(
    gateway: str | None,
    textfile: Path | None,
    job: str | None,
    instance: str | None,
    window: str | None,
    is_deletion: bool,
    as_json: bool,
    location: str | None,
) -> None:
    """Push to a Prometheus Pushgateway, or a file.

    Options left out are read from performance.exporters.prometheus in claude.json. A push replaces the whole group of
    its job and instance.

    \b
    Example:
      claude-force push prometheus --gateway http://localhost:9091
    """
    if gateway and textfile:
        raise click.UsageError("--gateway and --textfile exclude each other")
    given = {"gateway": gateway, "textfile": textfile and str(textfile.absolute())}
    given |= {"job": job, "instance": instance, "window": window}
    # An option replaces both kinds of destination in claude.json.
    given |= {"textfile": ""} if gateway else {"gateway": ""} if textfile else {}
    if is_deletion:
        exporter = cast("PrometheusExporter", find_exporter(find_workspace(location), "prometheus", given))
        print_result(exporter.delete(), as_json=as_json)
        return
    run_push(location, "prometheus", given, as_json=as_json)
