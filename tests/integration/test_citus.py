"""A database that is distributed over the nodes of a Citus cluster: how it becomes one, and that its figures are true.

All other tests of a server run there, too, if `CLAUDE_FORCE_TEST_CITUS` names a cluster: see tests/citus.py."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from claude_force.database import migrate, queries
from claude_force.database.ad_hoc import QueryLimits
from claude_force.database.check import check
from claude_force.database.contract import Database
from claude_force.database.distribute import distribute_missing
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.revisions import HEAD
from claude_force.database.views import VIEWS
from claude_force.database.writes import Store
from claude_force.errors import DatabaseBusy, DatabaseError, QueryRefused
from claude_force.executions.deduplication import Observation
from claude_force.executions.record import PROVISIONAL, ExecutionMetrics, to_row
from claude_force.executions.rollups import ALL_SERIES, ERA
from tests import citus
from tests.builders import NOON_US, an_execution
from tests.conftest import ROOT, Run
from tests.histories import a_labelled_history, connected
from tests.migration.test_migrations import states_of_killed

pytestmark = pytest.mark.skipif(
    citus.COORDINATOR is None, reason="CLAUDE_FORCE_TEST_CITUS names no coordinator of a Citus cluster"
)

LIMITS = QueryLimits(rows=100, seconds=20)

_SPREAD = "SELECT logicalrelid::regclass::text, partmethod FROM pg_dist_partition ORDER BY 1"
_ON_THE_COORDINATOR = (
    "SELECT COALESCE(SUM(pg_relation_size(logicalrelid)), 0) FROM pg_dist_partition WHERE partmethod <> 'n'"
)
PLACES = [
    ("archived", "h"), ("executions", "h"), ("export_queue", "h"), ("identities", "h"), ("run_labels", "n"),
    ("series", "n"), ("sightings", "h"), ("step_usage", "h"), ("uncounted", "h"),
]  # fmt: skip


def test_a_filled_database_is_distributed(bare_url: str, run: Run) -> None:
    """Its executions move to the workers, no figure changes, the coordinator keeps no copy; again, nothing happens."""
    with closing(open_database(bare_url)) as database:
        migrate.upgrade(database)
        store = Store(database)
        store.add([an_execution(timestamp_us=NOON_US + number) for number in range(150)])
        store.add([an_execution(timestamp_us=NOON_US + 1000)])
        before = list(queries.iterate(database, Filter()))
        looked = run("db", "distribute", "--dry-run", "--db", bare_url)
        assert "151 executions to move" in looked.stdout
        assert citus.rows(bare_url, _SPREAD) == []
        refused = run("db", "distribute", "--db", bare_url, input="")
        assert (refused.returncode, "give --yes" in refused.stderr) == (2, True)
        done = run("db", "distribute", "--shards", "4", "--yes", "--db", bare_url)
        assert done.returncode == 0, done.stderr
        assert citus.rows(bare_url, _SPREAD) == PLACES
        assert citus.rows(bare_url, _ON_THE_COORDINATOR) == [(0,)]
        assert list(queries.iterate(database, Filter())) == before
        assert check(database)[0] == []
        again = run("db", "distribute", "--db", bare_url)
        assert (again.returncode, "All tables are where they belong" in again.stdout) == (0, True)
        other = run("db", "distribute", "--shards", "8", "--db", bare_url)
        assert (other.returncode, "has 4 shards already" in other.stderr) == (1, True)


def test_where_a_database_cannot_be_distributed(bare_url: str, postgres_url: str) -> None:
    """Without tables, on a worker, without workers and without the extension: each says what to do."""
    worker = citus.url_of(postgres_url.rpartition("/")[2].partition("?")[0], citus.nodes()[1])
    bare = open_database(bare_url)
    with closing(bare), pytest.raises(DatabaseError, match="run `claude-force db upgrade` first"):
        migrate.plan_distribution(bare, None)
    uses: list[Callable[[Database], object]] = [
        migrate.upgrade,
        lambda found: migrate.plan_distribution(found, None),
        lambda found: found.revision(),
    ]
    for use in uses:
        with closing(open_database(worker)) as database, pytest.raises(DatabaseError, match="name the coordinator"):
            use(database)
    with closing(open_database(bare_url)) as database:
        migrate.upgrade(database)
        for host, port in citus.rows(bare_url, "SELECT * FROM citus_get_active_worker_nodes()"):
            citus.rows(bare_url, f"SELECT citus_remove_node('{host}', {port})")
        with pytest.raises(DatabaseError, match="citus_add_node"):
            migrate.plan_distribution(database, None)
        citus.rows(bare_url, "DROP EXTENSION citus")
        with pytest.raises(DatabaseError, match="CREATE EXTENSION citus"):
            migrate.plan_distribution(database, None)


def test_the_nodes_are_named(postgres_url: str, run: Run) -> None:
    """`db current` and the doctor say which nodes hold how many shards."""
    coordinator, *workers = (url.rpartition("@")[2].partition("/")[0] for url in citus.nodes())
    said = run("db", "current", "--db", postgres_url).stdout
    assert "distributed in 4 shards" in said
    assert all(worker in said for worker in workers)
    nodes = json.loads(run("db", "current", "--json", "--db", postgres_url).stdout)["nodes"]
    assert [f"{node['host']}:{node['port']}" for node in nodes] == [coordinator, *workers]
    found = json.loads(run("doctor", "--json", "--db", postgres_url).stdout)["findings"]
    assert [each["level"] for each in found if each["id"] == "cluster"] == ["ok"]


def test_what_is_wrong_with_the_nodes(bare_url: str, run: Run) -> None:
    """Shards that are not balanced, a node that is not active and one that does not answer are named, with what to do;
    the last two are problems, of `db check`, too."""
    name, node = bare_url.rpartition("/")[2].partition("?")[0], citus.nodes()[2]
    place = node.rpartition("@")[2].partition("/")[0].replace(":", "', ")
    with closing(open_database(bare_url)) as database:
        migrate.upgrade(database)
        migrate.distribute(database, migrate.plan_distribution(database, 4))
        citus.rows(bare_url, f"SELECT citus_drain_node('{place}, 'block_writes')")
        citus.rows(bare_url, f"SELECT citus_set_node_property('{place}, 'shouldhaveshards', true)")
        assert levels(run, bare_url) == ["note"]
        citus.rows(node, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        citus.rows(node, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
        assert levels(run, bare_url) == ["problem", "note"]
        problems = json.loads(run("doctor", "--json", "--db", bare_url).stdout)["findings"]
        # Once, and not by each check that cannot read the rows.
        assert [each["id"] for each in problems if each["level"] == "problem"] == ["cluster"]
        assert "does not answer" in check(database)[0][0]
        citus.rows(node, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        citus.rows(bare_url, f"SELECT citus_disable_node('{place}, true)")
        assert levels(run, bare_url) == ["problem", "note"]


def test_rows_of_an_interrupted_commit_are_waited_for(postgres_url: str, run: Run) -> None:
    """A worker failed between the two steps of a commit, so its rows do not show yet. Sums are neither made from the
    others nor compared with them, which would say that the sums are wrong; afterwards both go on."""
    worker = citus.url_of(postgres_url.rpartition("/")[2].partition("?")[0], citus.nodes()[1])
    place = worker.rpartition("@")[2].partition("/")[0]
    with closing(open_database(postgres_url)) as database:
        store = Store(database)
        store.add([an_execution(timestamp_us=NOON_US)])
        # That it is of another coordinator keeps the one here from ending it.
        citus.rows(worker, "BEGIN; PREPARE TRANSACTION 'citus_99_1_1_1'")
        with pytest.raises(DatabaseBusy, match=f"{place} failed in a commit"):
            store.rebuild()
        refused = run("db", "check", "--db", postgres_url)
        assert (refused.returncode, "rebuild" in refused.stderr) == (1, False)
        assert f"{place} failed in a commit" in refused.stderr
        citus.rows(worker, "ROLLBACK PREPARED 'citus_99_1_1_1'")
        assert (store.rebuild(), check(database)[0]) == (1, [])


def levels(run: Run, location: str) -> list[str]:
    """How the doctor judges the nodes."""
    found = json.loads(run("doctor", "--json", "--db", location).stdout)["findings"]
    return [each["level"] for each in found if each["id"] == "cluster"]


def distributed_at(location: str, revision: str) -> list[ExecutionMetrics]:
    """Make a database of an old revision, distribute it, and say what it holds."""
    executions = a_labelled_history(location, 20)
    with closing(open_database(location)) as database, connected(database) as connection:
        migrate.upgrade_connection(connection, revision)

        def ask(sql: str) -> Sequence[Sequence[Any]]:
            found = connection.exec_driver_sql(sql)
            return found.fetchall() if found.returns_rows else ()

        assert "sightings" not in distribute_missing(ask, 4)
        connection.commit()
    return executions


def test_an_upgrade_distributes_the_tables_that_it_makes(bare_url: str) -> None:
    """From an old revision to the newest, all tables are where they belong, and the roll-ups are right."""
    executions = distributed_at(bare_url, "0005")
    with closing(open_database(bare_url)) as database:
        assert migrate.upgrade(database).after == HEAD
        assert list(queries.iterate(database, Filter())) == executions
        assert check(database)[0] == []
        assert migrate.plan_distribution(database, None).missing == []


def test_an_upgrade_that_is_killed_leaves_a_whole_revision(bare_url: str) -> None:
    """Killed after any of its statements, an upgrade left a whole revision, whose new tables are distributed; then it
    succeeds."""
    executions = distributed_at(bare_url, "0007")
    before, *killed, after = states_of_killed(bare_url, ROOT / "migrations")
    assert len(killed) >= 10
    wholes = {state["revision"]: state for state in [*killed, before]}
    assert [state for state in killed if state != wholes[state["revision"]]] == []
    assert after["revision"] == HEAD
    with closing(open_database(bare_url)) as database:
        assert migrate.plan_distribution(database, None).missing == []
        assert list(queries.iterate(database, Filter())) == executions
        assert check(database)[0] == []


def test_a_report_beside_writers_is_exact(postgres_url: str) -> None:
    """The sums that reports read are those of the rows in the same read, while others commit on several nodes."""
    with writing(postgres_url, (120, 30, 1)), closing(open_database(postgres_url)) as database:
        seen = [counts(database) for _ in range(150)]
    assert [each for each in seen if len(set(each)) > 1] == []
    assert len(set(seen)) > 5


@pytest.fixture
def reader_url(postgres_url: str) -> Iterator[str]:
    """The URL of a role that reads every table."""
    found, reader = urlsplit(postgres_url), f"reader_{uuid4().hex}"
    citus.rows(postgres_url, f"CREATE ROLE {reader} LOGIN IN ROLE pg_read_all_data")
    try:
        yield found._replace(netloc=f"{reader}@{found.hostname}:{found.port}").geturl()
    finally:
        citus.rows(postgres_url, f"DROP ROLE {reader}")


def test_a_query_beside_writers_is_exact(postgres_url: str, reader_url: str) -> None:
    """It sees all nodes as of one moment, as reports do: each write whole or not at all."""
    sql = "SELECT (SELECT COALESCE(SUM(executions), 0) FROM daily_v1), (SELECT COUNT(*) FROM executions_v1)"
    with writing(postgres_url, (20, 20)), closing(open_database(reader_url)) as database:
        seen = [tuple(map(int, database.ask(sql, LIMITS).rows[0])) for _ in range(30)]
    assert [each for each in seen if len(set(each)) > 1 or each[0] % 20] == []
    assert len(set(seen)) > 5


def test_a_query_runs_with_the_rights_of_its_role(postgres_url: str, reader_url: str) -> None:
    """Every view answers a role that reads the tables. A superuser is refused: workers know no lesser one."""
    with closing(open_database(reader_url)) as database:
        for each in VIEWS:
            assert database.ask(f"SELECT * FROM {each.name}", LIMITS).rows == []
    with closing(open_database(postgres_url)) as database, pytest.raises(QueryRefused, match="of pg_read_all_data"):
        database.ask("SELECT 1", LIMITS)


@contextmanager
def writing(location: str, sizes: Sequence[int]) -> Iterator[None]:
    """Others add executions during the block, so many at a time."""
    is_over = threading.Event()
    writers = [
        threading.Thread(target=write_until, args=(location, is_over, size, number))
        for number, size in enumerate(sizes, 1)
    ]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        is_over.set()
        for writer in writers:
            writer.join()


def write_until(location: str, is_over: threading.Event, size: int, number: int) -> None:
    """Add so many executions at a time, until it is over."""
    with closing(open_database(location)) as database:
        for start in itertools.count(number * 1_000_000, size):
            if is_over.is_set():
                return
            Store(database).add([an_execution(timestamp_us=NOON_US + start + each) for each in range(size)])


def counts(database: Database) -> tuple[int, int]:
    """How many executions there are in one read: by the sums and what they do not contain yet, and by the rows."""
    summed = f"SELECT COALESCE(SUM(executions), 0) FROM rollups WHERE scope = {ALL_SERIES} AND level = {ERA}"
    with database.read() as connection:
        (sums,), (rows,), (pending,) = (
            connection.fetch(sql)[0]
            for sql in (summed, "SELECT COUNT(*) FROM executions", "SELECT COUNT(*) FROM uncounted")
        )
        return int(sums) + pending, rows


_LAST_STATEMENTS = """
SELECT query FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'citus_internal%' AND query LIKE 'COMMIT%'
"""


def test_a_change_of_one_execution_is_committed_in_two_steps(postgres_url: str) -> None:
    """Its row is on a worker and its sums on the coordinator. Were the worker to commit first, and the coordinator to
    fail before it has, the sums would be those of the row as it was."""
    begun = an_execution(timestamp_us=NOON_US, output_tokens=1, usage_basis=PROVISIONAL)
    ended = an_execution(timestamp_us=NOON_US, output_tokens=900)
    with closing(open_database(postgres_url)) as database:
        store = Store(database)
        store.ingest([Observation(to_row(begun), (bytes(16),))], [])
        store.rebuild()
        assert store.ingest([Observation(to_row(ended), (bytes(16),))], []).changed == 1
        name = postgres_url.rpartition("/")[2].partition("?")[0]
        workers = [citus.url_of(name, node) for node in citus.nodes()[1:]]
        said = [query for worker in workers for (query,) in citus.rows(worker, _LAST_STATEMENTS)]
        # A node that was only read from ends with a plain COMMIT.
        assert any(query.startswith("COMMIT PREPARED") for query in said)


def test_what_a_worker_stores_is_noticed(postgres_url: str) -> None:
    """The mark of changes moves with each execution, whichever node has it."""
    with closing(open_database(postgres_url)) as database:
        store, marks = Store(database), [database.change_mark()]
        for number in range(6):
            store.add([an_execution(timestamp_us=NOON_US + number)])
            marks.append(database.change_mark())
    assert len(set(marks)) == len(marks)
