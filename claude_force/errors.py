"""All errors of claude-force, under one base class.

A message is one line: what is wrong, where, and the remedy. The command line prints it unchanged. The exceptions of
database drivers are translated in `database` and never leave it.
"""

from __future__ import annotations


class ClaudeForceError(Exception):
    """Base of all errors. `exit_code` is the exit code of the command line for it."""

    exit_code = 1


class InvalidRecord(ClaudeForceError, ValueError):
    """An invalid value in an execution.

    `field` is the name in the record format, "" if the whole line is invalid; `reason` says what is wrong.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class InvalidJson(InvalidRecord):
    """A line that is not JSON: it is damaged, or was never a record."""

    def __init__(self, reason: str) -> None:
        super().__init__("", reason)


class InvalidWindow(ClaudeForceError, ValueError):
    """An invalid period: it ends before it starts, or is not a date."""

    exit_code = 2


class UnknownName(ClaudeForceError, LookupError):
    """A filter names an agent, model, workflow or project that the store does not have."""


class TooManyNames(ClaudeForceError):
    """A glob in a filter means more names than a query takes."""

    exit_code = 2


class UnpricedModel(ClaudeForceError):
    """A name that is not one model with a known price, where a price is needed."""

    exit_code = 2


class EmptyReport(ClaudeForceError):
    """A report without an execution, where `--fail-on-empty` asks for an error."""


class NotReconciled(ClaudeForceError):
    """What the sources of costs differ by is more than the tolerance."""


class ReportUnavailable(ClaudeForceError):
    """Anthropic's Admin API gives no report: the key is refused, or the service cannot be reached."""


class SettingsError(ClaudeForceError):
    """`claude.json` cannot be read, or holds a value of the wrong kind."""


class SettingRefused(SettingsError):
    """A change of `claude.json` would make it wrong, or names what does not exist. Nothing was written."""

    exit_code = 2


class OutputError(ClaudeForceError):
    """A result cannot be written to the given file."""


class InputError(ClaudeForceError):
    """A file to import cannot be opened or read completely."""


class BaselineError(ClaudeForceError):
    """A baseline cannot be created, found or read. A check that cannot run is not a regression."""

    exit_code = 2


class NoBaseline(BaselineError):
    """There is no baseline, and the caller did not name one."""


class ArchiveError(ClaudeForceError):
    """Executions could not be archived, for example because another run is archiving. No execution is deleted unless
    an archive holds it."""


class ArchiveDamaged(ArchiveError):
    """An existing archive is damaged or not an archive. It is never changed."""


class MissingExtra(ClaudeForceError):
    """An optional dependency is not installed; the message has the install command."""


class InvalidBody(ClaudeForceError):
    """What was sent to the receiver is not OpenTelemetry data (OTLP), or no delivery. Sending it again is of no use."""


class BodyTooLarge(InvalidBody):
    """A delivery has too many rows. Sending them in parts is of use."""


class ServeError(ClaudeForceError):
    """The live page cannot be served."""


class ReceiverError(ClaudeForceError):
    """The receiver cannot listen where it should."""


class DatabaseError(ClaudeForceError):
    """Base of all database errors."""


class DatabaseMissing(DatabaseError):
    """The database does not exist, and the operation (a report, a backup, a check) does not create it."""

    exit_code = 2


class QueryRefused(DatabaseError):
    """A query that somebody wrote: it is wrong, it would do more than read, or it needs too much."""


class DatabaseBusy(DatabaseError):
    """Another process held the write lock longer than this one waits. Nothing was written; a retry is safe."""


class DatabaseFull(DatabaseError):
    """The disk is full. Earlier commits are intact."""


class DatabaseReadOnly(DatabaseError):
    """This process may not write to the database."""


class DatabaseUnavailable(DatabaseError):
    """The server or the file cannot be reached."""


class DatabaseCorrupt(DatabaseError):
    """The file is damaged; restore a backup."""


class NotADatabase(DatabaseError):
    """The file is not a claude-force database. It is never changed."""

    exit_code = 2


class SchemaOutdated(DatabaseError):
    """The database is older than this program. Remedy: upgrade the database."""


class SchemaTooNew(DatabaseError):
    """The database is newer than this program. Remedy: upgrade the program. Nothing was changed."""


class SchedulerError(ClaudeForceError):
    """The scheduler cannot start or stop: another one uses the database, or the process does not respond."""
