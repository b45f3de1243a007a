"""A Citus cluster that somebody else runs, and databases on all of its nodes.

`CLAUDE_FORCE_TEST_CITUS` is the URL of the coordinator as a superuser, of a cluster for one run of the tests at a time.
Then every test of a server has a distributed database there. docs/how-to/citus.md says how to make such a cluster.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from claude_force.database import migrate
from claude_force.database.open import open_database

COORDINATOR = os.environ.get("CLAUDE_FORCE_TEST_CITUS")
"""Read once: a test does not see the variables of this machine."""

WAITS_FOR_A_LOCK = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
"""A row if a session of a database waits for another one; of a distributed database, on a worker."""
if COORDINATOR:
    WAITS_FOR_A_LOCK = f"SELECT 1 FROM run_command_on_workers($${WAITS_FOR_A_LOCK}$$) WHERE result <> ''"

_NODES = "SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
_END_SESSIONS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{}'"
_SHARDS = 4
_TRIES = 20


def url_of(name: str, server: str | None = None) -> str:
    """The URL of a database of the coordinator, or of another node."""
    found = urlsplit(server or COORDINATOR or "")
    # Tests add parameters.
    return found._replace(path=f"/{name}", query=found.query or "sslmode=prefer").geturl()


def nodes() -> list[str]:
    """The URLs of all nodes, the coordinator first."""
    assert COORDINATOR
    found = urlsplit(COORDINATOR)
    user = found.netloc.rpartition("@")[0]
    return [found._replace(netloc=f"{user}@{host}:{port}").geturl() for host, port in rows(COORDINATOR, _NODES)]


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows of one statement outside of a transaction."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(sql.encode())
        return found.fetchall() if found.description else []


def make_templates(bare: str, at_head: str) -> None:
    """Make the databases that others are copied from: nodes that know each other, and distributed tables at head."""
    remove_databases((bare, at_head))
    create_database(bare, "template1")
    for node in nodes():
        rows(url_of(bare, node), "CREATE EXTENSION citus")
    coordinator, *workers = map(urlsplit, nodes())
    rows(url_of(bare), f"SELECT citus_set_coordinator_host('{coordinator.hostname}', {coordinator.port})")
    for worker in workers:
        rows(url_of(bare), f"SELECT citus_add_node('{worker.hostname}', {worker.port})")
    _leave(bare)
    create_database(at_head, bare)
    with closing(open_database(url_of(at_head))) as template:
        migrate.upgrade(template)
        migrate.distribute(template, migrate.plan_distribution(template, _SHARDS))
    _leave(at_head)


def _leave(name: str) -> None:
    """Let nobody connect to a database any more, also no daemon of Citus: a database in use is not copied."""
    for node in nodes():
        rows(node, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        rows(node, _END_SESSIONS.format(name))


def create_database(name: str, template: str) -> None:
    """Copy a database on every node."""
    for node in nodes():
        _retry(node, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")


def drop_database(name: str) -> None:
    """Drop a database on every node, the coordinator first."""
    for node in nodes():
        _retry(node, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def remove_databases(names: tuple[str, ...]) -> None:
    """Drop these databases, and those that tests have left."""
    left = [name for (name,) in rows(nodes()[0], "SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'")]
    for name in (*left, *names):
        drop_database(name)


def _retry(node: str, sql: str) -> None:
    """Run a statement that a daemon of Citus, which is just connecting, can be in the way of."""
    from psycopg.errors import ObjectInUse

    for attempt in range(_TRIES):
        try:
            rows(node, sql)
            return
        except ObjectInUse:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.1)
