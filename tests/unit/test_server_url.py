"""URLs of databases on a server."""

from __future__ import annotations

import pytest

from claude_force.database.postgres.server_url import DEFAULTS, connection_options
from claude_force.errors import DatabaseError

URLS: dict[str, dict[str, object]] = {
    "postgresql://": {},
    "postgres://h/d": {"host": "h", "dbname": "d"},
    "postgresql+psycopg://me@h:5433/d": {"user": "me", "host": "h", "port": "5433", "dbname": "d"},
    "postgresql://me:p%40s%2Fs@h": {"user": "me", "password": "p@s/s", "host": "h"},
    "postgresql://me:s3/c?r#t@h/d": {"user": "me", "password": "s3/c?r#t", "host": "h", "dbname": "d"},
    "postgresql://me:@/d?host=/run/pg": {"user": "me", "dbname": "d", "host": "/run/pg"},
    "postgresql://[::1]:5433/d": {"host": "::1", "port": "5433", "dbname": "d"},
    "postgresql:///d?host=a:1&host=b:2": {"dbname": "d", "host": "a,b", "port": "1,2"},
    "postgresql://me:x@a:1,b:2/d?target_session_attrs=read-write": {
        "user": "me", "password": "x", "host": "a,b", "port": "1,2", "dbname": "d",
        "target_session_attrs": "read-write",
    },
    "postgresql://a,b:2/d": {"host": "a,b", "port": ",2", "dbname": "d"},
    "postgresql://a,b/d": {"host": "a,b", "dbname": "d"},
    "postgresql://[::1]:1,[::2]/d": {"host": "::1,::2", "port": "1,", "dbname": "d"},
    "postgresql://h/d?sslmode=require&connect_timeout=3": {
        "host": "h", "dbname": "d", "sslmode": "require", "connect_timeout": "3",
    },
    "postgresql://h/d?prepare_threshold=none": {"host": "h", "dbname": "d", "prepare_threshold": None},
    "postgresql://h/d?user=a@b": {"host": "h", "dbname": "d", "user": "a@b"},
}  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_the_options_of_a_connection(url: str) -> None:
    """Names and passwords are decoded; what follows the question mark is passed on."""
    assert connection_options(url) == DEFAULTS | URLS[url]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://me:p@ss@h/d", "%40"),
        ("postgresql://h:port/d", "a number"),
        ("postgresql://a:1,b:port/d", "a number"),
        ("postgresql://a:1,b:99999/d", "a number"),
        (f"postgresql://h:{'1' * 5000}/d", "a number"),
        ("postgresql://[::1/d", "cannot be read"),
        ("postgresql://h/d?prepare_threshold=x", "a number, or none"),
        ("postgresql://h/d?autocommit=1", "autocommit"),
        ("postgresql://h/d?cursor_factory=x", "cursor_factory"),
        ("mysql://h/d", "no support for mysql"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, reason: str) -> None:
    """The message says what is wrong, without a password."""
    with pytest.raises(DatabaseError, match=reason) as refused:
        connection_options(url)
    assert "p@ss" not in str(refused.value)
