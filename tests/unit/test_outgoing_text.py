"""Texts that are sent or shown: sanitized, cut between pieces, and without secrets."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.network.redaction import Secret, redact
from claude_force.text import for_terminal, sanitize, truncate_pieces


@given(st.lists(st.text(min_size=1, max_size=5)), st.integers(1, 30))
def test_a_text_is_cut_between_its_pieces(pieces: list[str], limit: int) -> None:
    """It is whole if it fits; else as many whole pieces as fit, and an ellipsis."""
    found = truncate_pieces(pieces, limit)
    whole = "".join(pieces)
    assert len(found) <= limit
    if len(whole) <= limit:
        assert found == whole
        return
    beginnings = ["".join(pieces[:count]) + "…" for count in range(len(pieces))]
    assert found == max((text for text in beginnings if len(text) <= limit), key=len)


@given(st.text(), st.integers(1, 50))
def test_a_sanitized_text_is_one_visible_line(text: str, limit: int) -> None:
    """Whatever it was."""
    found = sanitize(text, limit)
    assert found.isprintable()
    assert len(found) <= limit
    if len(for_terminal(text)) <= limit:
        assert found == for_terminal(text)


@given(st.text("abcXYZ019", min_size=1), st.text(), st.text())
def test_a_secret_is_redacted_in_any_text(value: str, before: str, after: str) -> None:
    """Wherever it is, and however often."""
    assert value not in redact(before + value + after + value, [Secret(value)])


URLS = {
    "a path": ("see https://a.example/b/c", "see https://a.example/***"),
    "a query": ("https://a.example?k=v", "https://a.example/***"),
    "a fragment": ("https://a.example#k", "https://a.example/***"),
    "a login": ("https://me:pw@a.example", "https://a.example"),
    "a port": ("http://127.0.0.1:80/x: no", "http://127.0.0.1:80/*** no"),
    "in quotes": ("'https://a.example/b' was", "'https://a.example/***' was"),
    "nothing to hide": ("https://a.example and https://b.example/", "https://a.example and https://b.example"),
    "another scheme": ("slack://token/token", "slack://***"),
    "two": ("http://a.example/1 http://b.example/2", "http://a.example/*** http://b.example/***"),
    "no URL": ("a/b c:d e@f", "a/b c:d e@f"),
}


@pytest.mark.parametrize(("text", "shown"), URLS.values(), ids=URLS)
def test_a_url_is_reduced_to_its_host(text: str, shown: str) -> None:
    """Login, path, query and fragment may be credentials."""
    assert redact(text) == shown


def test_a_part_of_a_secret_url_is_a_secret_too() -> None:
    """A service may quote the path that it does not know."""
    url = Secret("https://hooks.slack.com/services/T0AAAAAAA/B0BBBBBBB/token+token?key=0123456789")
    for text in ("/services/T0AAAAAAA/B0BBBBBBB/token+token", "no token+token here", "0123456789", "token%2Btoken"):
        shown = redact(text, [url])
        assert "token+token" not in shown
        assert "token%2Btoken" not in shown
        assert "0123456789" not in shown
    assert redact("hooks.slack.com answered 404", [url]) == "hooks.slack.com answered 404"


def test_a_login_in_a_url_is_a_secret_and_its_host_is_not() -> None:
    """Except for schemes whose host may be a token."""
    url = Secret("https://somebody:l0ngpassword@alerts.example.com/")
    assert redact("alerts.example.com: l0ngpassword of somebody", [url]) == "alerts.example.com: *** of ***"
    assert redact("sent to T0KENT0KEN", [Secret("slack://T0KENT0KEN/x")]) == "sent to ***"


def test_a_secret_is_never_shown() -> None:
    """In no way that Python has to show a value, and it cannot be serialized."""
    secret = Secret("hunter2")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>5}",
        repr([secret]),
        repr({"a": secret}),
    ]
    assert all("hunter2" not in text for text in shown)
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            write(secret)
