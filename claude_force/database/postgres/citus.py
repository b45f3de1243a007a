"""What is asked of Citus, the extension that spreads the tables of a database over several servers.

A coordinator, whose URL every client uses, knows which worker holds which shard: a part of the rows of a table.
https://docs.citusdata.com/en/stable/develop/api_metadata.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_force.database.cluster import HAS_CITUS, IS_DISTRIBUTED, Cluster, Node
from claude_force.database.postgres.values import Raw
from claude_force.errors import DatabaseBusy

if TYPE_CHECKING:
    from claude_force.database.postgres.connection import ServerConnection

SLOW_COMMIT_S = 60
"""A commit of several nodes that takes longer has lost one of them between its two phases."""

_COORDINATOR = """
SELECT nodename || ':' || nodeport FROM pg_dist_node WHERE groupid = 0 AND NOT citus_is_coordinator()
"""
_NODES = """
SELECT nodename, nodeport, groupid = 0, isactive, shouldhaveshards,
    (SELECT COUNT(*) FROM pg_dist_placement JOIN pg_dist_shard USING (shardid)
     WHERE pg_dist_placement.groupid = pg_dist_node.groupid AND logicalrelid = to_regclass('executions'))
FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid = 0 DESC, 1, 2
"""
_WAITING_COMMITS = """
SELECT nodename || ':' || nodeport, success, result FROM run_command_on_all_nodes($$
    SELECT COUNT(*) FROM pg_prepared_xacts WHERE database = current_database() AND gid LIKE 'citus%'
    AND prepared <= now() - interval '{seconds} seconds'
$$) JOIN pg_dist_node USING (nodeid)
"""
_MARKS = """
SELECT string_agg(result, ' ' ORDER BY nodeid) FROM run_command_on_all_nodes('SELECT pg_current_wal_insert_lsn()')
"""

_COMMIT_LOCK = 0x636C6674
"""The key of the advisory lock of commits. The server releases it after every node has committed."""

COMMITTING = f"SELECT pg_advisory_xact_lock_shared({_COMMIT_LOCK})"
"""The last statement of a transaction that writes to several nodes: see `fix_snapshot`."""

TWO_STEPS = "INSERT INTO uncounted (uid) SELECT uid FROM unnest(CAST('{}' AS UUID[])) AS no_rows (uid)"
"""Asked in a transaction, makes its commit one in two steps, which is whole also if the coordinator fails in it.

Citus does so by itself where several workers are written to. With one worker, that commits first, and the coordinator's
own tables are left as they were if it fails then: the sums would not contain what the rows say. To copy rows into a
distributed table, none of them here, asks for two steps and takes no lock that others wait for."""

_ONE_CONNECTION = "SET LOCAL citus.max_adaptive_executor_pool_size = 1"
_TOUCH_EVERY_NODE = "SELECT COUNT(*) FROM uncounted"


def coordinator_of(raw: Raw) -> str | None:
    """The host and port of the coordinator, if this server is one of its workers."""
    if not _first(raw, f"SELECT {HAS_CITUS}"):
        return None
    found = raw.execute(_COORDINATOR.encode()).fetchone()
    return None if found is None else str(found[0])


def is_distributed(raw: Raw) -> bool:
    """Whether the executions are spread over workers."""
    return bool(_first(raw, f"SELECT {HAS_CITUS}")) and bool(_first(raw, IS_DISTRIBUTED))


def fix_snapshot(raw: Raw, connection: ServerConnection) -> None:
    """Make a transaction, in which nothing was asked yet, see all nodes as of one moment.

    Each node has snapshots of its own, and a commit reaches one node after the other. So the snapshots of all nodes are
    taken while nobody commits: a writer holds the lock, shared, for the time of its commit (`COMMITTING`), and a reader
    alone until each node has answered. The transaction has one connection to each, whose snapshot is that of its first
    statement. The lock is taken before it begins, since whoever waits for a lock has a snapshot already."""
    try:
        raw.execute("SELECT pg_advisory_lock($1)", [_COMMIT_LOCK])
        connection.send_later(_ONE_CONNECTION)
        connection.send_later(_TOUCH_EVERY_NODE)
        connection.fetch("SELECT pg_advisory_unlock(:key)", {"key": _COMMIT_LOCK})
    except BaseException:
        # A lock of the session would outlive the transaction.
        raw.close()
        raise


def refuse_missing_rows(raw: Raw, connection: ServerConnection) -> None:
    """Raise DatabaseBusy if a commit was interrupted: a node that failed between its two steps does not show its rows
    until Citus has ended it, while the sums on the coordinator contain them. While this has the lock of commits, none
    of ours is between its steps."""
    try:
        connection.fetch("SELECT pg_advisory_lock(:key)", {"key": _COMMIT_LOCK})
        answers = connection.fetch(_WAITING_COMMITS.format(seconds=0))
        connection.fetch("SELECT pg_advisory_unlock(:key)", {"key": _COMMIT_LOCK})
    except BaseException:
        # A lock of the session would outlive the transaction.
        raw.close()
        raise
    waiting = [name for name, success, result in answers if success and int(result)]
    if waiting:
        raise DatabaseBusy(
            f"{', '.join(waiting)} failed in a commit and does not show its rows yet; nothing was written. Citus ends "
            "the commit within a minute once all nodes answer; then try again"
        )


def change_mark(raw: Raw) -> object:
    """What every write to any node moves: the coordinator does not see that a worker stored an execution."""
    return _first(raw, _MARKS)


def cluster_of(raw: Raw) -> Cluster | None:
    """The nodes; None if the executions are on this server alone."""
    if not is_distributed(raw):
        return None
    nodes = [Node(*row) for row in raw.execute(_NODES.encode())]
    answers = raw.execute(_WAITING_COMMITS.format(seconds=SLOW_COMMIT_S).encode()).fetchall()
    lost = {name: str(result) for name, success, result in answers if not success}
    slow = {name: int(result) for name, success, result in answers if success and int(result)}
    return Cluster(nodes, lost, slow)


def _first(raw: Raw, sql: str) -> Any:
    return (raw.execute(sql.encode()).fetchone() or (None,))[0]
