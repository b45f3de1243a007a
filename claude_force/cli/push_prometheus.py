"""`claude-force push prometheus`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from claude_force.cli.options import database_option, find_workspace
from claude_force.cli.push import push_to, say_pushed, target_at

if TYPE_CHECKING:
    from claude_force.exporters.prometheus.push import Prometheus


@click.command()
@click.option("--gateway", metavar="URL", help="Push to this Pushgateway.  [default: http://localhost:9091]")
@click.option(
    "--textfile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Write a .prom file for the node exporter instead.",
)
@click.option("--job", metavar="NAME", help="The job of the group.  [default: claude_force]")
@click.option("--instance", metavar="NAME", help="The instance of the group.  [default: the host name]")
@click.option("--window", metavar="LENGTH", help="Gauges are of so long, such as 15m or 1d.  [default: 1h]")
@click.option("--delete", "is_deletion", is_flag=True, help="Delete what was pushed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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

    What is not given stands in performance.exporters.prometheus of claude.json. A push replaces the whole group of its
    job and instance; docs/how-to/prometheus.md names the metrics.

    \b
    Example:
      claude-force push prometheus --gateway http://localhost:9091
    """
    if gateway and textfile:
        raise click.UsageError("--gateway and --textfile are two places: give one of them")
    given = {"gateway": gateway, "textfile": textfile and str(textfile.absolute())}
    given |= {"job": job, "instance": instance, "window": window}
    # What is given takes the place of whichever of the two claude.json names.
    given |= {"textfile": ""} if gateway else {"gateway": ""} if textfile else {}
    if is_deletion:
        target = cast("Prometheus", target_at(find_workspace(location), "prometheus", given))
        say_pushed(target.delete(), as_json=as_json)
        return
    push_to(location, "prometheus", given, as_json=as_json)
