"""The label of a tracker: kept once, beside its first execution."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from claude_force.clock import now_us
from claude_force.database.contract import Database
from claude_force.errors import ClaudeForceError, InvalidRecord
from claude_force.executions.record import fresh_uid
from claude_force.executions.run_labels import RunLabel, check_label, of_whole_session
from claude_force.settings.telemetry_variables import LABEL_VARIABLE

logger = logging.getLogger("claude_force")


class TrackerLabel:
    """A label, and the session that the executions of its tracker get. `folder` is the spool of signals."""

    def __init__(self, label: str, folder: Path) -> None:
        self.session = fresh_uid(now_us())
        self._row: RunLabel | None = of_whole_session(self.session, label)
        self._folder = folder

    def keep(self, database: Database | None) -> None:
        """Store the label, unless that is done. Where the database does not take it, or is None, the spool does; if
        that cannot be written either, the next call tries again. Raises nothing."""
        row = self._row
        if row is None:
            return
        # Imported here: most trackers have no label, and this is done once.
        from claude_force.database.writes.run_labels import add_run_labels

        try:
            if database is None:
                self._spool(row)
            else:
                with database.write() as connection:
                    add_run_labels(connection, [row])
        except OSError:
            return
        except ClaudeForceError:
            self.keep(None)
            return
        self._row = None

    def _spool(self, row: RunLabel) -> None:
        from claude_force.executions.signals import Labelled
        from claude_force.ingest.telemetry.spool import TelemetrySpool

        spool = TelemetrySpool(self._folder)
        spool.append([Labelled(**row._asdict())])
        spool.seal()


def label_of(given: str | None, folder: Path) -> TrackerLabel | None:
    """The label that a tracker is given, or that of the environment: one that is not valid there is warned about, since
    the host must go on. Raises InvalidRecord for a given one that is not valid."""
    if given is None and not os.environ.get(LABEL_VARIABLE):
        return None
    try:
        label = check_label(os.environ[LABEL_VARIABLE] if given is None else given)
    except InvalidRecord as error:
        if given is not None:
            raise
        logger.warning("%s: %s; executions are recorded without it", LABEL_VARIABLE, error.reason)
        return None
    return TrackerLabel(label, folder)
