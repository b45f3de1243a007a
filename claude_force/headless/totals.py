"""Money of a run that no other source knows: what its total rose since the last one that is known.

The total of a result contains the whole session, and the session that it is a fork of. Where results are the only
source of a session, `ingest.results` keeps the largest. The total of a fork also contains what its original had cost,
and that part is stored already.
"""

from __future__ import annotations

from claude_force.database.contract import Connection
from claude_force.database.queries.headless_runs import cost_of_session, last_total


def known_of_fork(connection: Connection, session_id: str, resumed: str | None) -> int:
    """What of the total of a fork is known already, in nano-dollars: of its original, and of its own earlier runs.
    `resumed` is the session that the run was told to go on with, or to copy. 0 for a session that is no fork."""
    own = last_total(connection, session_id)
    if own is not None:
        return own if own > (cost_of_session(connection, session_id) or 0) else 0
    if resumed is None or resumed == session_id:
        return 0
    return last_total(connection, resumed) or cost_of_session(connection, resumed) or 0
