"""Schema migrations: alembic, driven from code. The only importer of alembic.

On both engines an upgrade is one transaction: its revisions, their number, and the views. It holds a lock (the write
lock on SQLite, an advisory lock on PostgreSQL), so of several processes one migrates and the others find the work done.
A SQLite file that holds data is backed up first. There are no downgrades: an older schema cannot hold newer data.

The views are not part of a revision: an upgrade makes them when it has reached the newest one. On SQLite it drops them
before, because a table that a view reads cannot be made again under it. PostgreSQL changes a table under a view, and a
view that is replaced keeps the rights that were granted on it and the views that others made of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic.command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from claude_force.database import distribute as spreading
from claude_force.database import schema
from claude_force.database.contract import Database
from claude_force.database.revisions import HEAD, REVISIONS, VERSION_TABLE, refuse_other_schema
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.sqlite.files import connect, create_file, folder_lock
from claude_force.database.views import VIEWS
from claude_force.database.views.definition import Engine
from claude_force.errors import ClaudeForceError, DatabaseError, DatabaseMissing
from claude_force.files import free_name

if TYPE_CHECKING:
    from claude_force.database.postgres.database import ServerDatabase

_ADVISORY_LOCK = 0x636C6664
"""The key of PostgreSQL's advisory lock: any number that no other program uses in the same database."""

_alembic_state = threading.Lock()
"""alembic keeps its context in module globals, so one upgrade runs at a time in a process."""

_NO_DOWNGRADE = (
    "a schema cannot be downgraded: restore the backup that the upgrade made beside the database "
    "(claude-force db restore FILE), on PostgreSQL your own (pg_restore)"
)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did. `before` is None for a database without schema; `backup` is None if none was needed."""

    before: str | None
    after: str
    backup: Path | None


def upgrade(database: Database) -> Upgrade:
    """Upgrade a database to the head revision. Raises SchemaTooNew; DatabaseError if a revision fails, which then has
    changed nothing."""
    before = database.revision()
    if before is not None and before not in REVISIONS:
        refuse_other_schema(database.name, before)
    if before == HEAD:
        return Upgrade(before, HEAD, None)
    if isinstance(database, SqliteDatabase) and not database.exists():
        create_file(database.path)
        return Upgrade(None, HEAD, None)
    with _alone(database):
        backup = _backup_before(database)
        database.close()
        with _connected(database) as connection:
            upgrade_connection(connection, "head")
            is_distributed = _is_distributed(connection)
        if is_distributed:
            _forget_local_rows(database)
    return Upgrade(before, HEAD, backup)


def plan_distribution(database: Database, shards: int | None) -> spreading.Plan:
    """What `distribute` would do. Raises DatabaseError where it cannot, with the remedy."""
    if isinstance(database, SqliteDatabase):
        raise DatabaseError(f"{database.name} is a file: only a PostgreSQL server with Citus can be distributed")
    revision = database.revision()
    if revision is None:
        raise DatabaseMissing(f"{database.name} has no tables of claude-force: run `claude-force db upgrade` first")
    refuse_other_schema(database.name, revision)
    with _connected(database, "looking at the cluster") as connection:
        return spreading.plan(_ask(connection), database.name, shards)


def distribute(database: Database, plan: spreading.Plan) -> list[str]:
    """Spread the tables over the workers, in one transaction that other writers wait for; returns those that moved."""
    from claude_force.database.postgres.connection import ROLLUP_LOCK

    with _connected(database, "distributing") as connection:
        ask = _ask(connection)
        # A transaction that holds this lock changes tables of the coordinator, and then those that move.
        ask(f"SELECT pg_advisory_xact_lock({ROLLUP_LOCK})")
        moved = spreading.distribute_missing(ask, plan.shards)
        connection.commit()
    _forget_local_rows(database)
    database.close()
    return moved


def _forget_local_rows(database: Database) -> None:
    with _connected(database, "freeing the coordinator of the rows that moved") as connection:
        spreading.forget_local_rows(_ask(connection))
        connection.commit()


def _ask(connection: Connection) -> spreading.Ask:
    def ask(sql: str) -> Sequence[Sequence[Any]]:
        found = connection.exec_driver_sql(sql)
        return found.fetchall() if found.returns_rows else ()

    return ask


def _is_distributed(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql" and spreading.is_distributed(_ask(connection))


def _distribute_new_tables(ctx: Any, **_: object) -> None:
    """Called by alembic in the transaction of each revision."""
    if _is_distributed(ctx.connection):
        spreading.distribute_missing(_ask(ctx.connection))


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Hold the lock under which SQLite files of a folder are created and upgraded; a server has its own lock."""
    if isinstance(database, SqliteDatabase):
        with folder_lock(database.path.parent):
            yield
    else:
        yield


def upgrade_connection(connection: Connection, target: str) -> None:
    """Run the revisions up to `target` on an open connection, and commit."""
    config = configuration()
    config.attributes["connection"] = connection
    with _alembic_state:
        alembic.command.upgrade(config, target)


def configuration() -> Config:
    """alembic's configuration for the migrations of the installed package. No alembic.ini is read."""
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> Path:
    spec = find_spec("claude_force.database.migrations")
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseError("the installation holds no migrations; install claude-force again")
    return Path(next(iter(spec.submodule_search_locations)))


def _backup_before(database: Database) -> Path | None:
    """Back up a SQLite file that is not at head; returns the path (its name ends in the revision; none is overwritten).
    None if there is nothing to back up."""
    before = database.revision()
    if before == HEAD or not isinstance(database, SqliteDatabase):
        return None
    target = free_name(database.path.with_name(f"{database.path.name}.pre-{before or 'none'}"))
    database.backup(target)
    return target


@contextmanager
def _connected(database: Database, what: str = "the upgrade") -> Iterator[Connection]:
    """A connection for migrations that holds the lock. Its errors are translated; `what` they have failed."""
    try:
        if isinstance(database, SqliteDatabase):
            with sqlite_connection(database.path) as connection:
                yield connection
        else:
            with server_connection(database) as connection:  # type: ignore[arg-type]
                yield connection
    except SQLAlchemyError as error:
        cause = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
        raise DatabaseError(f"{database.name}: {what} failed and changed nothing: {cause}") from error


@contextmanager
def sqlite_connection(path: Path) -> Iterator[Connection]:
    """A connection whose transactions all begin with the write lock and include DDL.

    The driver's own transaction control leaves DDL outside of transactions: a failed revision would leave its tables.
    """
    engine = create_engine("sqlite://", creator=lambda: connect(path))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def server_connection(database: ServerDatabase) -> Iterator[Connection]:
    """A connection, while the transaction of a second one holds the advisory lock of migrations."""
    from claude_force.database.postgres.connection import UNLIMITED

    # Not a lock of a session: a pooler may give each transaction another one.
    with database.engine().connect().execution_options(isolation_level="READ COMMITTED") as keeper:
        keeper.execute(text(UNLIMITED))
        keeper.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        with database.engine().connect() as connection:
            yield connection


def run_in_alembic(context: Any) -> None:
    """The content of migrations/env.py. Runs on the connection that `upgrade_connection` passes, or for the `alembic`
    command on the database of the settings or of `-x db=PATH_OR_URL`."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _upgrade(context, connection)
        return
    try:
        _run_in_shell(context)
    except ClaudeForceError as error:
        raise CommandError(str(error)) from error


def _run_in_shell(context: Any) -> None:
    # alembic.command called from Python has no options: then it is an upgrade, or harmless.
    command = getattr(context.config.cmd_opts, "cmd", (alembic.command.upgrade,))[0]
    if command is alembic.command.downgrade:
        raise DatabaseError(_NO_DOWNGRADE)
    if context.is_offline_mode():
        raise DatabaseError("offline mode is not supported: a migration needs to see the database")
    if not _needs_database(command, context.config.cmd_opts):
        _run_without_database(context)
        return
    database = _database_of_shell(context.get_x_argument(as_dictionary=True).get("db"))
    if command is alembic.command.upgrade:
        _upgrade_in_shell(context, database)
        return
    if not database.exists():
        raise DatabaseMissing(f"there is no database at {database.name}; make it with: alembic upgrade head")
    with _connected(database) as opened:
        _run(context, opened)


def _needs_database(command: Any, options: Any) -> bool:
    """Whether a command of alembic reads or changes a database, and not only the files of the revisions."""
    if command is alembic.command.revision:
        return bool(options.autogenerate)
    if command is alembic.command.history:
        return bool(options.indicate_current or "current" in (options.rev_range or ""))
    return command is not alembic.command.merge


def _run_without_database(context: Any) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        _run(context, connection)
    engine.dispose()


def _upgrade_in_shell(context: Any, database: Database) -> None:
    if isinstance(database, SqliteDatabase) and not database.exists():
        create_file(database.path)
    with _alone(database):
        backup = _backup_before(database)
        with _connected(database) as opened:
            _upgrade(context, opened)
    if backup is not None:
        context.config.print_stdout("backup: %s", backup)
    context.config.print_stdout("%s is at %s", database.name, database.revision())


def _database_of_shell(flag: str | None) -> Database:
    from claude_force.database.open import open_database
    from claude_force.settings.claude_json import load_settings
    from claude_force.settings.home import find_home
    from claude_force.settings.location import database_location

    home = find_home()
    settings, _ = load_settings(home)
    return open_database(database_location(settings, home, flag))


def _upgrade(context: Any, connection: Connection) -> None:
    """Run the revisions, and make the views again if that leads to the newest one: all of it, or nothing."""
    with connection.begin():
        _configure(context, connection)
        newest = set(ScriptDirectory.from_config(context.config).get_heads())
        if set(context.get_context().get_current_heads()) == newest:
            return
        _drop_views(connection)
        context.run_migrations()
        if set(context.get_context().get_current_heads()) == newest:
            _make_views(connection)


def _drop_views(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        for view in VIEWS:
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {view.name}")


def _make_views(connection: Connection) -> None:
    engine: Engine = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
    for view in VIEWS:
        connection.execution_options(no_parameters=True).exec_driver_sql(view.sql(engine))


def _run(context: Any, connection: Connection) -> None:
    _configure(context, connection)
    with context.begin_transaction():
        context.run_migrations()


def _configure(context: Any, connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=schema.metadata,
        transactional_ddl=True,
        transaction_per_migration=True,
        render_as_batch=True,
        compare_server_default=True,
        version_table=VERSION_TABLE,
        include_name=_is_ours,
        process_revision_directives=_number,
        on_version_apply=_distribute_new_tables,
    )


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Whether `alembic check` compares an object: a team's database may hold tables of other programs."""
    return kind != "table" or name in schema.metadata.tables


def _number(context: Any, _revision: object, directives: list[Any]) -> None:
    """Give a new revision the next number, unless `--rev-id` names one."""
    config = context.config
    # `alembic check` has no such option, and makes no revision.
    if directives and getattr(config.cmd_opts, "rev_id", "") is None:
        revisions = ScriptDirectory.from_config(config).walk_revisions()
        directives[0].rev_id = f"{len(list(revisions)) + 1:04d}"
