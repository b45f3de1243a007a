"""From the URL of a database on a server to what the driver is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from claude_force.errors import DatabaseError

CONNECT_TIMEOUT_S = 10
LOST_AFTER_S = 25

DEFAULTS = {
    "connect_timeout": str(CONNECT_TIMEOUT_S),
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": str(LOST_AFTER_S * 1000),
}
"""Options of libpq that a URL may change. Without them, whoever waits for a machine that vanished (no power, no
network) waits for a quarter of an hour, or two hours."""

_PREPARED = "prepare_threshold"
"""psycopg's option. It cannot be used behind a pooler that gives each transaction another session."""

_OWN = ("autocommit", "conninfo", "context", "cursor_factory", "row_factory")
"""Arguments of psycopg's `connect` that are no options of a connection."""

_LAST_PORT = 65_535
_PORT_DIGITS = 5

_UNREADABLE = "the database URL cannot be read; it looks like postgresql://user@host:port/name, the port a number"


def connection_options(url: str) -> dict[str, Any]:
    """The options of psycopg's `connect` for a PostgreSQL URL. Raises DatabaseError if it is not one."""
    engine, separator, rest = url.partition("://")
    engine = engine.partition("+")[0]
    if not separator:
        raise DatabaseError(_UNREADABLE)
    if engine not in ("postgresql", "postgres"):
        raise DatabaseError(f"no support for {engine} databases: give a file, or a postgresql:// URL")
    login, _, address = rest.partition("@")
    user, _, password = login.partition(":")
    if not address or "/" in user or "?" in user:
        user, password, address = "", "", rest
    try:
        parts = urlsplit(f"//{address}")
    except ValueError:
        raise DatabaseError(_UNREADABLE) from None
    if "@" in parts.netloc:
        raise DatabaseError("a password with an @ in it must be written with %40 in the database URL")
    login_options = {"user": unquote(user), "password": unquote(password)}
    options = login_options | _hosts(parts.netloc.split(",")) | {"dbname": parts.path.removeprefix("/")}
    found = {name: value for name, value in options.items() if value}
    return DEFAULTS | found | _options_in(parts.query)


def _options_in(query: str) -> dict[str, Any]:
    """The options after the question mark. Several hosts, each with its port, are one option each."""
    options: dict[str, list[str]] = {}
    for name, value in parse_qsl(query):
        options.setdefault(name, []).append(value)
    if wrong := next((name for name in options if name in _OWN), None):
        raise DatabaseError(f'invalid connection option "{wrong}" in the database URL; leave it out')
    hosts = options.get("host", [])
    found: dict[str, Any] = {name: ",".join(values) for name, values in options.items()}
    if len(hosts) > 1:
        found |= _hosts(hosts)
    if _PREPARED in found:
        found[_PREPARED] = _threshold(found[_PREPARED])
    return found


def _hosts(addresses: Sequence[str]) -> dict[str, str]:
    """The options for servers, each "host:port". A port that none has is no option."""
    hosts, ports = zip(*map(_split_port, addresses), strict=True)
    return {"host": ",".join(hosts), "port": ",".join(ports) if any(ports) else ""}


def _threshold(value: str) -> int | None:
    """After how many uses a statement is prepared; None for never."""
    if value != "none" and not value.isdecimal():
        raise DatabaseError(f"{_PREPARED} in the database URL is a number, or none: {value}")
    return None if value == "none" else int(value)


def _split_port(address: str) -> tuple[str, str]:
    """Host and port of "host:port". Raises DatabaseError for a port that there cannot be."""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = address.partition(":")
    # The length first: Python refuses to read a number of thousands of digits.
    if port and not (port.isdecimal() and len(port) <= _PORT_DIGITS and int(port) <= _LAST_PORT):
        raise DatabaseError(_UNREADABLE)
    return host, port
