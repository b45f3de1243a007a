"""Budgets of what a program may take: which figure is over, and what is said of it."""

from __future__ import annotations

import tomllib

from benchmarks.budgets import FILE, compare, document, other_versions
from benchmarks.counted import counted_with


def said(figure: int, budgets: dict[str, dict[str, int]]) -> list[str]:
    """What is said of one figure."""
    return [str(finding) for finding in compare({"instructions": {"import": figure}}, budgets)]


def test_a_figure_over_its_budget_is_named_with_its_excess() -> None:
    """From 3 % on; a figure of a few, such as statements, is over by one."""
    assert said(1030, {"instructions": {"import": 1000}}) == []
    assert said(1031, {"instructions": {"import": 1000}}) == [
        "instructions, import: 1,031 of 1,000 (+3.1 %), over its budget"
    ]
    (finding,) = compare({"recording": {"statements": 6}}, {"recording": {"statements": 5}})
    assert (finding.verdict, finding.figure, finding.budget) == ("over", 6, 5)


def test_a_budget_far_above_its_figure_can_be_lowered() -> None:
    """So that what was made faster is not lost again unseen."""
    assert said(970, {"instructions": {"import": 1000}}) == []
    assert said(500, {"instructions": {"import": 1000}}) == [
        "instructions, import: 500 of 1,000 (-50.0 %), its budget can be lowered: --update"
    ]


def test_a_figure_without_a_budget_is_found() -> None:
    """A new figure, and any of a file that is not there."""
    expected = ["instructions, import: 7 has no budget: scripts/bench --check --update"]
    assert said(7, {}) == said(7, {"instructions": {"summary": 7}}) == expected


def test_what_is_written_is_read_again() -> None:
    """With names of any kind, and the interpreter that was counted with."""
    figures = {"instructions": {"import of 10,000 lines": 3_924_018_421}, "modules": {"--version": 55}}
    counted = {"click": "8.3.1"}
    assert tomllib.loads(document(figures, counted_with(), counted)) == {
        "counted_with": counted_with(), "versions": counted, **figures,
    }  # fmt: skip


def test_what_has_another_version_is_named() -> None:
    """Also one that is new, and one that is gone."""
    assert other_versions({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "3", "d": "4"}) == [
        "b 3 (was 2)",
        "c is gone (was 3)",
        "d 4 (was not used)",
    ]


def test_the_budgets_are_whole() -> None:
    """The file has every kind, and is as `--update` writes it."""
    text = FILE.read_text(encoding="utf-8")
    budgets = tomllib.loads(text)
    interpreter, counted = budgets.pop("counted_with"), budgets.pop("versions")
    assert list(budgets) == ["instructions", "recording", "modules"]
    assert document(budgets, interpreter, counted) == text
