"""Anonymized texts: known names are replaced by aliases, foreign words are hidden."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.doctor.anonymize import Anonymizer, anonymize_sql, is_public_model


def test_a_name_has_the_same_alias_everywhere() -> None:
    """In texts and in fields. A shorter name inside a longer one is not replaced."""
    anonymizer = Anonymizer()
    anonymizer.add_names("agent", ["planner", "planner two"])
    assert anonymizer.alias("agent", "planner") == "agent-1"
    assert anonymizer.text("the job planner two failed, planner: failed") == "the job agent-2 failed, agent-1: failed"


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
def test_foreign_words_are_hidden(text: str) -> None:
    """Addresses, paths, tokens, card numbers and words."""
    shown = Anonymizer().text(f"failed: {text}, 3 lines")
    assert text not in shown
    assert (shown[:8], shown[-9:]) == ("failed: ", ", 3 lines")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24 10:00:00,123 ERROR ingest: the job archive failed",
        "the WAL has 87.2 MB, the database 4.1 KB",
        "no setting performance.database; did you mean performance.reference_model?",
        "the database's schema: claude-force scheduler start --detach",
        "5,001 executions of claude-opus-4-6, late by 3m05s",
    ],
)
def test_words_of_the_program_are_shown(text: str) -> None:
    """Words, numbers, dates, settings, commands and public models."""
    assert Anonymizer().text(text) == text


@pytest.mark.parametrize("name", ["claude-acme", "claude-sonnet-acme", "gpt-4o", "claude-3-opus-20240229-acme", ""])
def test_a_private_model_gets_an_alias(name: str) -> None:
    """Only Anthropic's own model names are shown."""
    assert not is_public_model(name)
    assert Anonymizer().model(name) == "model-1"


@pytest.mark.parametrize("name", ["claude-3-5-haiku-20241022", "claude-opus-4-6", "claude-sonnet-4-5-20250929"])
def test_a_public_model_keeps_its_name(name: str) -> None:
    """Models of every generation."""
    assert is_public_model(name)
    assert Anonymizer().model(name) == name


def test_sql_keeps_our_identifiers() -> None:
    """Foreign identifiers are hidden, in quotes too."""
    assert anonymize_sql("CREATE TABLE rollups (level INTEGER, wrzlbrmft TEXT DEFAULT 'blorft')") == (
        "CREATE TABLE rollups (level INTEGER, <hidden> TEXT DEFAULT '<hidden>')"
    )


@given(st.text(alphabet="zqxj", min_size=3), st.text())
def test_no_foreign_word_comes_through(word: str, around: str) -> None:
    """Whatever surrounds it."""
    word = f"zqx{word}"
    assert word not in Anonymizer().text(f"{around} {word} {around}{word}{around}").replace("<hidden>", "")
