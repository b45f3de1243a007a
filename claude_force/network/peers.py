"""Whose a connection within this machine is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""The connections of this machine, a line each: https://docs.kernel.org/networking/proc_net_tcp.html."""

_LOOPBACK = "0100007F"
"""127.0.0.1 as these tables have it. An address of IPv6 that means it ends so."""

_LOCAL, _REMOTE, _USER = 1, 2, 7


def owner_of(port: int, server_port: int) -> int | None:
    """The user id of the program that is connected from `port` to `server_port`, both on 127.0.0.1. None where that
    cannot be known: not every system has these tables."""
    wanted = f"{_LOOPBACK}:{port:04X}", f"{_LOOPBACK}:{server_port:04X}"
    for fields in _connections():
        if fields[_LOCAL].endswith(wanted[0]) and fields[_REMOTE].endswith(wanted[1]):
            return int(fields[_USER])
    return None


def _connections() -> Iterator[list[str]]:
    for table in _TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        yield from (line.split() for line in lines)
