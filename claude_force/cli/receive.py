"""`claude-force receive`: take telemetry in the foreground."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.say import say
from claude_force.errors import ReceiverError
from claude_force.files import make_folder
from claude_force.formatting import quantity

if TYPE_CHECKING:
    from claude_force.database.workspace import Workspace
    from claude_force.receiver.receiving import Receiver
    from claude_force.receiver.server import Endpoint

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), metavar="N", help="Listen on this port; 0 is a free one.  [default: 4319]"
)
@click.option("--address", default="127.0.0.1", metavar="IP", help="Listen on this address.  [default: 127.0.0.1]")
@click.option("--token-file", type=_FILE, metavar="FILE", help="Accept only requests with the token in this file.")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Serve https with this certificate (PEM).")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="The key of the certificate, if it is not in that file.")
@database_option
def receive(
    port: int | None,
    address: str,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    location: str | None,
) -> None:
    """Receive telemetry (OTLP over HTTP), until Ctrl-C.

    Takes what Claude Code and other agents report, keeps it on the disk before it answers, and stores it every second.
    Also takes what `claude-force push team` sends, and answers when it is stored.
    The scheduler does the same when performance.otlp_port is set. Another address than this machine's own needs a
    token.

    \b
    Example:
      claude-force receive
      claude-force receive --address 0.0.0.0 --token-file token --tls-cert cert.pem --tls-key key.pem
    """
    from claude_force.ingest.spool_files import telemetry_folders
    from claude_force.receiver.receiving import receiving
    from claude_force.receiver.storing import storing
    from claude_force.receiver.team import delivering

    workspace = find_workspace(location, may_be_missing=True)
    endpoint = _endpoint(workspace, address, port, token_file, tls_cert, tls_key)
    folders = telemetry_folders(workspace.location, workspace.home.metrics_folder)
    _make_spool(folders[0])
    _log_to_stderr()
    store, deliver = storing(lambda: workspace, folders), delivering(lambda: workspace)
    user_attribute = workspace.settings.otlp_user
    with _named_remedy(), receiving(endpoint, folders, store, user_attribute, deliver) as receiver:
        _say_where(workspace, receiver, token_file)
        _wait_for_signal()
    _say_what(receiver)


def _endpoint(
    workspace: Workspace,
    address: str,
    port: int | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> Endpoint:
    from claude_force.network.connection import is_loopback
    from claude_force.receiver.server import Endpoint
    from claude_force.receiver.settings import server_tls, token_in, token_of
    from claude_force.settings.telemetry_variables import DEFAULT_PORT

    settings = workspace.settings
    token = token_in(token_file) if token_file else token_of(settings, os.environ, workspace.home.folder)
    if tls_key and not tls_cert:
        raise click.UsageError("--tls-key is of no use without --tls-cert")
    if not is_loopback(address):
        if token is None:
            raise click.UsageError(f"--address {address} lets other machines in: give --token-file as well")
        if tls_cert is None:
            say("warning: the token is sent in the clear: give --tls-cert, or put a TLS proxy in front", err=True)
    tls = server_tls(tls_cert, tls_key) if tls_cert else None
    chosen = port if port is not None else settings.otlp_port or DEFAULT_PORT
    return Endpoint(address, chosen, token, tls)


def _make_spool(folder: Path) -> None:
    """Make the folder of what is received. Raises ReceiverError: a path that was mistyped is refused before anybody
    sends."""
    try:
        make_folder(folder)
    except OSError as error:
        problem = error.strerror or str(error)
        raise ReceiverError(f"nothing can be kept in {folder}: {problem}; choose another --db") from None


@contextmanager
def _named_remedy() -> Iterator[None]:
    """Say what to do where the port cannot be had."""
    try:
        yield
    except ReceiverError as error:
        raise ReceiverError(f"{error}; choose another --port, 0 is a free one") from None


def _log_to_stderr() -> None:
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("claude_force").addHandler(handler)
    logging.getLogger("claude_force").setLevel(logging.INFO)


def _say_where(workspace: Workspace, receiver: Receiver, token_file: Path | None) -> None:
    url = receiver.server.url
    say(f"Receiving on {url} for {workspace.database.name}; Ctrl-C ends it")
    say("To point Claude Code here, set where it runs:")
    say("  export CLAUDE_CODE_ENABLE_TELEMETRY=1")
    say("  export OTEL_LOGS_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp")
    say(f"  export OTEL_EXPORTER_OTLP_ENDPOINT={url}")
    if receiver.server.endpoint.token is not None:
        source = f"$(cat {token_file})" if token_file else "$CLAUDE_FORCE_OTLP_TOKEN"
        say(f'  export OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer {source}"')


def _say_what(receiver: Receiver) -> None:
    received = receiver.received
    refused = sum(number for status, number in receiver.server.answers.items() if status >= 400)
    parts = [quantity(received.model_requests, "model request"), quantity(received.outcomes, "outcome")]
    line = f"Received {quantity(received.requests, 'export')}: {', '.join(parts)}"
    say(line + (f"; {quantity(refused, 'request')} refused" if refused else ""))


def _wait_for_signal() -> None:
    """Return at Ctrl-C or SIGTERM."""
    import signal
    import threading

    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
