"""The receiver inside the scheduler: on 127.0.0.1, when `performance.otlp_port` is set.

It has threads of its own, so no job delays it. A port or token that cannot be used stops no job.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from claude_force.errors import ReceiverError, SettingsError
from claude_force.scheduler.http_endpoint import Served
from claude_force.scheduler.runs import FindWorkspace
from claude_force.scheduler.status import LOCAL_ADDRESS, NOT_RECEIVED, OTLP_PORT

logger = logging.getLogger("claude_force.scheduler")


@contextmanager
def receive_telemetry(find_workspace: FindWorkspace) -> Iterator[Served]:
    """Receive on `otlp_port` within the block, if it is set. If that is not possible, the problem is logged and
    returned, and the block runs without."""
    workspace = find_workspace()
    if not workspace.settings.otlp_port:
        yield Served()
        return
    # Imported here: a scheduler that receives nothing does without its 10 MB.
    from claude_force.ingest.spool_files import telemetry_folders
    from claude_force.receiver.receiving import Receiver
    from claude_force.receiver.server import Endpoint
    from claude_force.receiver.settings import token_of
    from claude_force.receiver.storing import storing
    from claude_force.receiver.team import delivering

    home = workspace.home
    try:
        token = token_of(workspace.settings, os.environ, home.folder)
        endpoint = Endpoint(LOCAL_ADDRESS, workspace.settings.otlp_port, token)
        folders = telemetry_folders(workspace.location, home.metrics_folder)
        store, deliver = storing(find_workspace, folders), delivering(find_workspace)
        receiver = Receiver(endpoint, folders, store, workspace.settings.otlp_user, deliver)
    except (ReceiverError, SettingsError) as error:
        problem = f"{NOT_RECEIVED}: {error}"
        logger.error(problem)  # noqa: TRY400
        yield Served(problem=problem)
        return
    receiver.start()
    logger.info("telemetry on %s", receiver.server.url)
    try:
        yield Served({OTLP_PORT: receiver.server.server_port})
    finally:
        receiver.close()
