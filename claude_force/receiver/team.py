"""Deliveries of laptops to the store of a team: answered when they are stored, not before.

What telemetry sends waits in a spool; a delivery does not. Its sender keeps it until it is acknowledged, and the answer
says what became of each part.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from claude_force.database.workspace import Workspace

Deliver = Callable[[bytes], bytes]
"""Stores the delivery in a body; returns the answer. Raises InvalidBody, BodyTooLarge or DatabaseError: then nothing of
it is stored, or that is not known."""


def delivering(find_workspace: Callable[[], Workspace]) -> Deliver:
    """A function that stores deliveries in the database of a workspace, one at a time: the database takes no more, and
    a decoded body may need much more memory than its bytes."""
    turn = threading.Lock()

    def deliver(body: bytes) -> bytes:
        # Imported here: most receivers never get a delivery.
        from claude_force.database.merge.delivery import store_delivery
        from claude_force.database.merge.delivery_body import decode_body
        from claude_force.executions.costs import lazy_pricer
        from claude_force.executions.pricing import price_table

        workspace = find_workspace()
        with turn:
            received = decode_body(body)
            counts = store_delivery(
                workspace.database, received.delivery, lazy_pricer(lambda: price_table(workspace.settings))
            )
        return msgspec.json.encode(
            {
                "added": counts.added,
                "changed": counts.changed,
                "known": counts.known,
                "rejected": [item._asdict() for item in received.rejected],
                "left_out": received.left_out,
            }
        )

    return deliver
