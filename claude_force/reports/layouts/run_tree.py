"""Layout of `run show`: what a run is, the tree of the runs below it, and what failed."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force import clock
from claude_force.analytics.labels import project_labels, short_ids
from claude_force.analytics.run_trees import RunTree, duration_of
from claude_force.executions.record import dollars, model_family
from claude_force.executions.run_trees import RunNode
from claude_force.executions.totals import Totals
from claude_force.formatting import NONE, compact, count, duration, money, quantity
from claude_force.reports.columns import Column
from claude_force.reports.layouts.notes import join_names, provisional_sentence, unpriced_sentence
from claude_force.reports.render import Page, Section, Table

_TREE = (
    Column("Run", "name", 24), Column("Model", "name", 6), Column("Req."), Column("Tokens"), Column("Cost"),
    Column("With\nbelow"), Column("Time"), Column("Outcome", "text"),
)  # fmt: skip
_FAILURES = (Column("Failed requests", "name", 12), Column("Count"))

_KINDS = {
    "session": "Session",
    "workflow": "Workflow",
    "prompt": "Prompt",
    "agent": "Agent run",
    "headless": "Headless run",
}
_DEEPEST = 12
"""Runs further down are not indented further."""

_UNPLACED = "*"

_NAMES_WIDTH = 60
"""Room for names in a line of the head. The others are counted."""


def run_tree_page(tree: RunTree) -> Page:
    """The page of a run."""
    page = Page(f"{_KINDS[tree.root.kind]} {tree.root.id}")
    page.parts.append(Section(None, [f"  {name:<12}{text}" for name, text in head_lines(tree)]))
    page.parts.append(tree_table(tree))
    if tree.failures():
        page.parts.append(failures_table(tree))
    if lines := note_lines(tree):
        page.parts.append(Section(None, lines))
    return page


def tree_table(tree: RunTree) -> Table:
    """The runs of the tree, each after the one that started it."""
    return Table(_TREE, _rows(tree))


def failures_table(tree: RunTree) -> Table:
    """The failed requests by error type."""
    rows = [[name or "(no error type)", count(number)] for name, number in tree.failures().items()]
    return Table(_FAILURES, rows)


def head_lines(tree: RunTree) -> list[tuple[str, str]]:
    """What is known of the run as a whole: a name and a text each."""
    root = tree.root
    started = f"{clock.to_datetime(tree.began_us, tree.zone):%Y-%m-%d %H:%M:%S}" if tree.began_us is not None else ""
    known = [
        ("Agent", _names(root.run.agents) if root.run else (tree.headless and tree.headless.agent_name) or ""),
        ("Session", ", ".join(tree.sessions) if root.kind != "session" else ""),
        ("Started by", _starter(tree)),
        ("Label", tree.label or ""),
        ("Project", _names(list(project_labels(tree.projects()).values()))),
        ("Branch", _names(tree.branches)),
        ("Models", _names(tree.models())),
        ("Started", started),
        ("Duration", _time(tree.duration_us) if tree.duration_us is not None else ""),
        ("Outcome", _outcome(tree)),
        ("Own", _figures(root.own) if root.run else ""),
        ("All", _figures(root.totals)),
    ]
    return [(name, text) for name, text in known if text]


def _names(names: Sequence[str]) -> str:
    return join_names(names, _NAMES_WIDTH) if names else ""


def _starter(tree: RunTree) -> str:
    if tree.parent is not None:
        return f"{_label(tree.parent)} {tree.parent.id}"
    return "" if tree.root.kind in ("session", "headless") else "not known" if not tree.root.has_parent else ""


def _outcome(tree: RunTree) -> str:
    """How it ended, and how many runs ended how if there are several."""
    found = tree.outcomes()
    several = ", ".join(f"{count(number)} {outcome}" for outcome, number in found.items())
    of_all = f"{quantity(sum(found.values()), 'run')}: {several}" if sum(found.values()) > 1 else ""
    exit_code = f"exit code {tree.headless.exit_code}" if tree.headless else ""
    return "; ".join(filter(None, (tree.outcome, exit_code, of_all)))


def _figures(totals: Totals) -> str:
    if totals.is_empty:
        return "not known"
    tokens = "unknown tokens" if totals.total_tokens is None else quantity(totals.total_tokens, "token")
    return f"{quantity(totals.executions, 'request')}, {tokens}, {_cost(totals)}"


def _cost(totals: Totals) -> str:
    return "unknown cost" if totals.cost is None else money(dollars(totals.cost_nanousd))


def _rows(tree: RunTree) -> list[list[str]]:
    nodes = tree.root.walk()
    short = short_ids({node.id for _, node in nodes})
    return [[_name(depth, node, short[node.id]), *_cells(node)] for depth, node in nodes]


def _name(depth: int, node: RunNode, short_id: str) -> str:
    indent = f"{' ' * (min(depth, _DEEPEST) - 1)}└ " if depth else ""
    return f"{indent}{_label(node)} {short_id}{'' if node.has_parent or not depth else _UNPLACED}"


def _label(node: RunNode) -> str:
    """The agent of a run, or what it is."""
    if node.run is not None and node.kind in ("agent", "prompt"):
        return node.run.agents[0] if node.run.agents else "agent"
    return node.kind


def _cells(node: RunNode) -> list[str]:
    own, run = node.own, node.run
    if run is None:
        figures = [NONE] * 4
    else:
        models = ", ".join(dict.fromkeys(map(model_family, run.models)))
        figures = [models or NONE, count(own.executions), compact(own.total_tokens), money(own.cost)]
    below = NONE if node.totals.is_empty else money(node.totals.cost)
    return [*figures, below, _time(duration_of(node)), run.outcome if run else NONE]


def _time(duration_us: int | None) -> str:
    return duration(None if duration_us is None else duration_us / 1000)


def note_lines(tree: RunTree) -> list[str]:
    """What the tree lacks, and what is not certain in it."""
    totals, lines = tree.root.totals, []
    if totals.is_empty and tree.sessions:
        lines.append("No execution of its session is stored.")
    elif totals.is_empty:
        lines.append("No execution of it is known: it had no session, or several without a --label.")
    if any(not node.has_parent for _, node in tree.root.walk()[1:]):
        lines.append(f"{_UNPLACED} What started this run is not known, so it stands below its session.")
    if totals.unpriced:
        lines.append(unpriced_sentence(totals.unpriced))
    if totals.provisional:
        lines.append(provisional_sentence(totals.provisional))
    return lines
