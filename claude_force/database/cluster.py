"""The servers of a distributed database, and what is wrong with them."""

from __future__ import annotations

from typing import NamedTuple

from claude_force.formatting import quantity

HAS_CITUS = "to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"
"""Whether a server has Citus, as SQL. Without it the tables of `IS_DISTRIBUTED` are not there."""

IS_DISTRIBUTED = "SELECT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = to_regclass('executions'))"
"""Whether the executions are spread over workers."""


class Node(NamedTuple):
    """A server of a distributed database. `shards` is how many of the executions' shards it holds."""

    host: str
    port: int
    is_coordinator: bool
    is_active: bool
    may_have_shards: bool
    shards: int

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.host}:{self.port}"


class Defect(NamedTuple):
    """What is wrong, and what to do about it. An urgent one makes figures wrong or stops who records."""

    text: str
    remedy: str
    is_urgent: bool = True


class Cluster(NamedTuple):
    """The servers of a distributed database: those that did not answer, with the reason, and how many commits of
    several nodes wait on each for more than a minute."""

    nodes: list[Node]
    lost: dict[str, str]
    slow_commits: dict[str, int]

    def __str__(self) -> str:
        held = ", ".join(f"{node.name} {node.shards}" for node in self.nodes if not node.is_coordinator)
        return f"distributed in {sum(node.shards for node in self.nodes)} shards: {held}"

    def defects(self) -> list[Defect]:
        """What is wrong with the servers."""
        found = [
            Defect(
                f"the node {node.name} is not active: what it holds cannot be read",
                f"start it; on the coordinator: SELECT citus_activate_node('{node.host}', {node.port})",
            )
            for node in self.nodes
            if not node.is_active
        ]
        found += [
            Defect(f"the node {name} does not answer: {' '.join(reason.split())}", "start it, or its network")
            for name, reason in self.lost.items()
        ]
        found += [
            Defect(
                f"the node {name} waits for the end of {quantity(count, 'commit')} for more than a minute: reports do "
                "not see them there, and who changes the same executions waits",
                "start the nodes that do not answer, and Citus ends them: SELECT recover_prepared_transactions()",
            )
            for name, count in self.slow_commits.items()
        ]
        return found + self._imbalance()

    def _imbalance(self) -> list[Defect]:
        held = [node.shards for node in self.nodes if node.may_have_shards]
        if not held or max(held) - min(held) < 2:
            return []
        text = f"the shards are not balanced: between {min(held)} and {max(held)} on a node"
        return [Defect(text, "on the coordinator: SELECT citus_rebalance_start()", is_urgent=False)]
