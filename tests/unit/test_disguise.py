"""Texts without names: what is known is replaced, what the program does not say itself is hidden."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.doctor.anonymize import Disguise, definition, is_public_model


def test_a_name_has_the_same_other_name_everywhere() -> None:
    """In a text as in a field; a longer name is not taken for the shorter one in it."""
    disguise = Disguise()
    disguise.learn("agent", ["planner", "planner two"])
    assert disguise.name("agent", "planner") == "agent-1"
    assert disguise.text("the job planner two failed, planner: failed") == "the job agent-2 failed, agent-1: failed"


@pytest.mark.parametrize(
    "text",
    [
        "https://hooks.example/T00/B00",
        "me@example.org",
        "10.1.2.3",
        "/home/database/metrics",
        "sk-ant-0123",
        "4929123412341234",
        "0x7f3a",
        "${SECRET}",
        "wrzlbrmft",
        "fe80::1",
        "C:\\Users",
    ],
)
def test_what_is_not_the_programs_is_hidden(text: str) -> None:
    """Addresses, paths, tokens, numbers of cards, words."""
    shown = Disguise().text(f"failed: {text}, 3 lines")
    assert text not in shown
    assert (shown[:8], shown[-9:]) == ("failed: ", ", 3 lines")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24 10:00:00,123 ERROR ingest: the job archive failed",
        "the log has 87.2 MB, the database 4.1 KB",
        "no setting performance.database; did you mean performance.reference_model?",
        "its owner's alone: claude-force scheduler start --detach",
        "5,001 executions of claude-opus-4-6, late by 3m05s",
    ],
)
def test_what_the_program_says_is_shown(text: str) -> None:
    """Words, numbers, dates, settings, commands, models of Claude."""
    assert Disguise().text(text) == text


@pytest.mark.parametrize("name", ["claude-acme", "claude-sonnet-acme", "gpt-4o", "claude-3-opus-20240229-acme", ""])
def test_a_model_of_ones_own_is_no_public_one(name: str) -> None:
    """Only what Claude's models are called stays."""
    assert not is_public_model(name)
    assert Disguise().model(name) == "model-1"


@pytest.mark.parametrize("name", ["claude-3-5-haiku-20241022", "claude-opus-4-6", "claude-sonnet-4-5-20250929"])
def test_a_model_of_claude_stays(name: str) -> None:
    """Of any generation."""
    assert is_public_model(name)
    assert Disguise().model(name) == name


def test_a_definition_keeps_what_is_ours() -> None:
    """Identifiers of somebody else are hidden, in quotes too."""
    assert definition("CREATE TABLE rollups (level INTEGER, wrzlbrmft TEXT DEFAULT 'blorft')") == (
        "CREATE TABLE rollups (level INTEGER, <hidden> TEXT DEFAULT '<hidden>')"
    )


@given(st.text(alphabet="zqxj", min_size=3), st.text())
def test_no_word_that_is_unknown_comes_through(word: str, around: str) -> None:
    """Whatever stands before and after it."""
    word = f"zqx{word}"
    assert word not in Disguise().text(f"{around} {word} {around}{word}{around}").replace("<hidden>", "")
