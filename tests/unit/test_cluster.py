"""What is wrong with the nodes of a distributed database."""

from __future__ import annotations

import pytest

from claude_force.database.cluster import Cluster, Node

COORDINATOR = Node("c", 5432, True, True, False, 0)
WORKERS = [Node("w1", 5432, False, True, True, 8), Node("w2", 5432, False, True, True, 8)]
SOUND = Cluster([COORDINATOR, *WORKERS], {}, {})


def test_a_sound_cluster() -> None:
    """Its workers are named with their shards, and nothing is wrong with it."""
    assert str(SOUND) == "distributed in 16 shards: w1:5432 8, w2:5432 8"
    assert SOUND.defects() == []


@pytest.mark.parametrize(
    ("cluster", "text", "remedy", "is_urgent"),
    [
        (
            SOUND._replace(nodes=[COORDINATOR, WORKERS[0]._replace(is_active=False)]),
            "w1:5432 is not active", "citus_activate_node('w1', 5432)", True,
        ),
        (SOUND._replace(lost={"w2:5432": "refused"}), "w2:5432 does not answer: refused", "start it", True),
        (SOUND._replace(slow_commits={"w2:5432": 3}), "w2:5432 waits for the end of 3 commits", "start", True),
        (
            SOUND._replace(nodes=[COORDINATOR, WORKERS[0], WORKERS[1]._replace(shards=0)]),
            "between 0 and 8 on a node", "citus_rebalance_start()", False,
        ),
    ],
)  # fmt: skip
def test_a_defect(cluster: Cluster, text: str, remedy: str, is_urgent: bool) -> None:
    """Each is named with what to do; only shards that are not balanced can wait."""
    (found,) = cluster.defects()
    assert text in found.text
    assert remedy in found.remedy
    assert found.is_urgent is is_urgent


def test_a_coordinator_without_shards_is_balanced() -> None:
    """A node that may have no shards does not count; one shard more is as even as it gets."""
    uneven = [COORDINATOR, WORKERS[0], WORKERS[1]._replace(shards=7)]
    assert SOUND._replace(nodes=uneven).defects() == []
