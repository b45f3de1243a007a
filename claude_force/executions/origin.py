"""Where an execution was recorded: host and project."""

from __future__ import annotations

import functools
import os

from claude_force.executions.record import NAME_LIMIT, PROJECT_LIMIT


@functools.cache
def host_name() -> str | None:
    """The name of this machine, cut to the limit of a record; None if it has none."""
    # The same name as socket.gethostname, whose module takes two milliseconds to load.
    return os.uname().nodename[:NAME_LIMIT] or None


def project_of_working_folder() -> str | None:
    """The working folder, without the beginning of a path over the limit; None if the folder was deleted."""
    try:
        folder = os.getcwd()
    except OSError:
        return None
    if not folder.isascii():
        folder = folder.encode("utf-8", "backslashreplace").decode()
    return folder[-PROJECT_LIMIT:]
