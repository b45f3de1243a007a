"""Every error that claude-force raises on purpose, under one base class.

A message is one line: what is wrong, where, and what to do about it. Faces print it as it stands; a driver's own
exception never passes the database edge.
"""

from __future__ import annotations


class ClaudeForceError(Exception):
    """Base of everything raised on purpose. `exit_code` is what the command line returns for it."""

    exit_code = 1


class InvalidRecord(ClaudeForceError, ValueError):
    """A value that no execution can have.

    `field` is the name in the record format ("" where the whole line is at fault), `reason` what is wrong with it.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class InvalidWindow(ClaudeForceError, ValueError):
    """A period that cannot be meant: it ends before it starts, or is not a date."""

    exit_code = 2


class UnknownName(ClaudeForceError, LookupError):
    """A filter names an agent, model, workflow or project that the store has never seen."""


class SettingsError(ClaudeForceError):
    """`claude.json` cannot be read, or holds a value of the wrong kind."""


class OutputError(ClaudeForceError):
    """A result could not be written where the caller asked for it."""


class InputError(ClaudeForceError):
    """A file to import cannot be opened or read to its end."""


class BaselineError(ClaudeForceError):
    """A baseline cannot be made, found or read. A check that cannot be made is no regression."""

    exit_code = 2


class NoBaseline(BaselineError):
    """There is no baseline to compare with, and none was asked for by its name."""


class ArchiveError(ClaudeForceError):
    """Executions could not be archived: another run is at work, the file cannot be written. None was deleted that is
    not in an archive."""


class ArchiveDamaged(ArchiveError):
    """An archive that is there cannot be read to its end, or holds what no archive does. It is never touched."""


class MissingExtra(ClaudeForceError):
    """An optional dependency is not installed; the message holds the install line."""


class DatabaseError(ClaudeForceError):
    """Base of everything that a database can answer with."""


class DatabaseMissing(DatabaseError):
    """What was asked for needs a database that exists: a backup, a check."""


class DatabaseBusy(DatabaseError):
    """Another process held the write lock for longer than the busy timeout. Nothing was written; retry is safe."""


class DatabaseFull(DatabaseError):
    """The disk under the database is full. What was committed before is intact."""


class DatabaseReadOnly(DatabaseError):
    """This process may not write to the database."""


class DatabaseUnavailable(DatabaseError):
    """The server or the file cannot be reached."""


class DatabaseCorrupt(DatabaseError):
    """The file is damaged; restore a backup."""


class NotADatabase(DatabaseError):
    """The file exists but is not a claude-force database. It is never touched."""


class SchemaOutdated(DatabaseError):
    """The database is older than this program: migrate it."""


class SchemaTooNew(DatabaseError):
    """The database was written by a newer program: upgrade the program. Nothing is changed."""


class SchedulerError(ClaudeForceError):
    """The scheduler cannot be started or stopped: another one has the database, or a process does not answer."""
