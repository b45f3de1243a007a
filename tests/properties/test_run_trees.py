"""Laws of the tree of a session: every execution is in it once, in whatever order runs and their parents came."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics.run_trees import run_tree
from claude_force.database import queries
from claude_force.database.contract import Database, Row
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.run_parents import RunParent
from claude_force.executions.run_trees import RunNode, session_tree
from claude_force.executions.runs import FailedRequests, Run, RunKey
from claude_force.executions.totals import Totals
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines

both_engines = settings(on_both_engines, max_examples=scaled(12))

SESSION, OTHER, WORKFLOW = "session", "other", "wf_1"
NONE, ONE = FailedRequests(0, 0), Totals(executions=1)
RUNS = ("a", "b", "c", "d", "e", "f")

executions = st.lists(
    st.builds(
        lambda number, run, session, workflow, success, cost: an_execution(
            timestamp_us=NOON_US + number * 60_000_000,
            run_id=run,
            workflow_id=workflow or session,
            session_id=session if workflow else None,
            success=success,
            error_type=None if success else "overloaded_error",
            cost_nanousd=cost,
        ),
        st.integers(0, 9),
        st.sampled_from((None, *RUNS)),
        st.sampled_from((SESSION, SESSION, OTHER)),
        st.sampled_from((None, None, WORKFLOW)),
        st.booleans(),
        st.sampled_from((None, 0, 1, 7_654_321)),
    ),
    min_size=1,
    max_size=8,
)
parents = st.lists(
    st.builds(
        RunParent,
        st.sampled_from((*RUNS, WORKFLOW)),
        st.just(SESSION),
        st.sampled_from((*RUNS, WORKFLOW, SESSION, "gone")),
        st.integers(1, 3),
    ),
    max_size=8,
)


def start_again(database: Database) -> Store:
    """An empty store."""
    store = Store(database)
    store.rebuild()
    with database.write() as connection:
        for table in ("executions", "uncounted", "run_parents"):
            connection.execute(f"DELETE FROM {table}")
    store.rebuild()
    return store


def stored_parents(database: Database) -> list[Row]:
    """All rows of the table."""
    with database.read() as connection:
        return connection.fetch("SELECT run_id, session_id, parent_id, seen_us FROM run_parents ORDER BY 1, 2")


@given(records=executions, links=parents, data=st.data())
@both_engines
def test_a_tree_has_every_execution_once(
    database: Database, records: list[ExecutionMetrics], links: list[RunParent], data: st.DataObject
) -> None:
    """Whatever came first, or twice, the parents are the same; every figure is that of a count over the rows."""
    store = start_again(database)
    store.ingest([], [], parents=links)
    store.add(records)
    expected = stored_parents(database)
    store = start_again(database)
    steps: list[ExecutionMetrics | RunParent] = [*records, *links, *links[:2], *records[:1]]
    for step in data.draw(st.permutations(steps)):
        if isinstance(step, RunParent):
            store.ingest([], [], parents=[step])
        else:
            store.add([step])
    assert stored_parents(database) == expected
    for session in {record.session_id or record.workflow_id or "" for record in records}:
        tree = run_tree(database, session, UTC)
        assert_counted(tree.root, [record for record in records if session in (record.session_id, record.workflow_id)])
        with database.read() as connection:
            whole = queries.totals(connection, queries.with_reach(connection, Filter(sessions=(session,))))
        assert tree.root.totals == whole
        for _, node in tree.root.walk()[1:]:
            if node.run is not None and node.id not in (SESSION, OTHER, WORKFLOW) and session == SESSION:
                assert run_tree_of(database, node) == node.totals


def run_tree_of(database: Database, node: RunNode) -> Totals:
    """The totals of a run that is asked for by its id; those of the node where two sessions have one."""
    with database.read() as connection:
        in_both = connection.fetch(
            "SELECT COUNT(DISTINCT COALESCE(session_id, workflow_id)) FROM executions WHERE run_id = :run_id",
            {"run_id": node.id},
        )
    return node.totals if in_both[0][0] > 1 else run_tree(database, node.id, UTC).root.totals


def assert_counted(root: RunNode, records: list[ExecutionMetrics]) -> None:
    """The tree has the figures that the records have, counted without it: own ones, and with all below."""
    names = [record.run_id or record.workflow_id for record in records]
    nodes = {node.id: node for _, node in root.walk()}
    assert len(nodes) == len(root.walk())
    above = {child.id: node.id for node in nodes.values() for child in node.children}
    for name, node in nodes.items():
        mine = [record for record, own in zip(records, names, strict=True) if own == name]
        assert node.own.executions == len(mine)
        assert node.own.cost_nanousd == sum(record.cost_nanousd or 0 for record in mine)
        assert node.own.failures == sum(not record.success for record in mine)
        below = [record for record, own in zip(records, names, strict=True) if name in path_of(own, above)]
        assert node.totals.executions == len(below) > 0
        assert node.totals.cost_nanousd == sum(record.cost_nanousd or 0 for record in below)
        assert node.totals.total_tokens == sum(
            (record.input_tokens or 0) + (record.output_tokens or 0) for record in below
        )


def path_of(name: str | None, above: dict[str, str]) -> list[str]:
    """A run and all above it."""
    path = []
    while name is not None:
        path.append(name)
        assert len(path) <= len(above) + 1
        name = above.get(name)
    return path


chains = st.dictionaries(st.sampled_from(RUNS), st.sampled_from((*RUNS, SESSION)))


@given(parent_of=chains)
@settings(max_examples=scaled(200), deadline=None)
def test_a_circle_is_cut_at_its_first_run(parent_of: dict[str, str]) -> None:
    """All others keep the parent that is known."""
    runs = [Run(RunKey(SESSION, name), 0, 0, ONE, "success", {}, NONE, ("x",), (), (), (SESSION,)) for name in RUNS]
    root = session_tree(SESSION, runs, [RunParent(run, SESSION, parent, 1) for run, parent in parent_of.items()])
    above = {child.id: node.id for _, node in root.walk() for child in node.children}
    assert sorted(above) == sorted(RUNS)
    assert root.totals.executions == len(RUNS)
    for name in RUNS:
        path = [name]
        while path[-1] in parent_of and parent_of[path[-1]] not in (*path, SESSION):
            path.append(parent_of[path[-1]])
        closes = parent_of.get(path[-1]) in path
        circle = path[path.index(parent_of[path[-1]]) :] if closes else []
        is_cut = name not in parent_of or (name in circle and name == min(circle))
        assert above[name] == (SESSION if is_cut else parent_of[name])


def test_a_circle_with_a_run_of_which_nothing_is_stored() -> None:
    """The tree ends at the run that has executions."""
    run = Run(RunKey(SESSION, "a"), 0, 0, Totals(executions=1), "success", {}, NONE, ("x",), (), (), (SESSION,))
    root = session_tree(SESSION, [run], [RunParent("a", SESSION, "b", 1), RunParent("b", SESSION, "a", 1)])
    assert [(depth, node.id, node.has_parent) for depth, node in root.walk()] == [(0, SESSION, True), (1, "a", False)]


def test_a_chain_of_thousands_is_a_tree() -> None:
    """Neither building nor walking it goes deep in Python."""
    run = Run(RunKey(SESSION, "0"), 0, 0, Totals(executions=1), "success", {}, NONE, ("x",), (), (), (SESSION,))
    runs = [replace(run, key=RunKey(SESSION, str(number))) for number in range(1000)]
    links = [RunParent(str(number), SESSION, str(number - 1), 1) for number in range(1, 1000)]
    root = session_tree(SESSION, runs, links)
    assert root.totals.executions == 1000
    assert max(depth for depth, _ in root.walk()) == 1000
