"""Where an execution comes from: the machine and the project."""

from __future__ import annotations

import functools
import os

from claude_force.executions.record import NAME_LIMIT, PROJECT_LIMIT


@functools.cache
def host_name() -> str | None:
    """The name of this machine, as a record takes it; None where it has none."""
    # Loaded when it is needed: a report does not, and it takes two milliseconds.
    import socket

    return socket.gethostname()[:NAME_LIMIT] or None


def project_of_working_folder() -> str | None:
    """The working folder, where there is one; a longer path keeps its end."""
    try:
        folder = os.getcwd()
    except OSError:
        return None
    printable = folder.encode("utf-8", "backslashreplace").decode()
    return printable[-PROJECT_LIMIT:]
