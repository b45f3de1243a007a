"""Text from outside is sanitized for the place that shows it, and otherwise unchanged."""

from __future__ import annotations

import csv
import html
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.executions.export import csv_line
from claude_force.text import for_csv, for_html, for_markdown, for_terminal

HARMLESS = ["python-expert", "é漢字", "🙂", "a b", "C:\\new", "naïve façade", "العربية", "עברית", "50 % of $5", ""]

DANGEROUS = {
    "a bell": ("\x07", "\\x07"),
    "a colour": ("\x1b[31mred", "\\x1b[31mred"),
    "a window title": ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
    "a clipboard write": ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
    "an 8-bit escape": ("\x9b31m", "\\x9b31m"),
    "delete": ("\x7f", "\\x7f"),
    "a newline": ("a\nb", "a\\nb"),
    "a carriage return": ("real\rfake", "real\\rfake"),
    "a tab": ("a\tb", "a\\tb"),
    "a backspace": ("ab\b", "ab\\x08"),
    "a line separator": ("a\u2028b", "a\\u2028b"),
    "a paragraph separator": ("a\u2029b", "a\\u2029b"),
    "next line": ("a\x85b", "a\\x85b"),
    "a right-to-left override": ("\u202etxt.exe", "\\u202etxt.exe"),
    "a left-to-right isolate": ("\u2066a\u2069", "\\u2066a\\u2069"),
    "an Arabic letter mark": ("\u061ca", "\\u061ca"),
    "a zero-width space": ("ad\u200bmin", "ad\\u200bmin"),
    "a word joiner": ("a\u2060b", "a\\u2060b"),
    "a byte order mark": ("\ufeffa", "\\ufeffa"),
    "a lone surrogate": ("a\udcffb", "a\\udcffb"),
    "a soft hyphen": ("ad\u00admin", "ad\\xadmin"),
    "a Mongolian vowel separator": ("a\u180eb", "a\\u180eb"),
    "an interlinear annotation": ("a\ufff9b", "a\\ufff9b"),
    "a filler of Hangul": ("a\u3164", "a\\u3164"),
    "an empty Braille pattern": ("a\u2800", "a\\u2800"),
    "a tag": ("a\U000e0041b", "a\\U000e0041b"),
}


@pytest.mark.parametrize("text", HARMLESS)
def test_plain_text_reaches_the_terminal_unchanged(text: str) -> None:
    """Letters of every script, emoji, punctuation and backslashes."""
    assert for_terminal(text) == text


@pytest.mark.parametrize(("text", "shown"), DANGEROUS.values(), ids=DANGEROUS)
def test_control_characters_are_replaced_for_a_terminal(text: str, shown: str) -> None:
    """Control characters, escape sequences, invisible characters and direction overrides become visible escapes."""
    assert for_terminal(text) == shown


@given(st.text())
def test_no_text_controls_a_terminal(text: str) -> None:
    """Any text becomes one line without control or format characters, and sanitizing again changes nothing."""
    shown = for_terminal(text)
    assert not {character for character in shown if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")}
    assert shown.splitlines() in ([shown], [])
    assert for_terminal(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("http://evil.example","click")',
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u00a0=1",
        "=",
        "-",
    ],
)
def test_a_formula_becomes_text_in_a_spreadsheet(text: str) -> None:
    """A cell that a spreadsheet would run gets a leading apostrophe, also behind blanks."""
    assert for_csv(text) == f"'{text}"


@pytest.mark.parametrize("text", ["python-expert", "a=b", "1-2", "", "'=1", "mail@example.org", "é", "漢字"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    """A cell without a formula is unchanged."""
    assert for_csv(text) == text


@given(st.text())
def test_a_cell_survives_a_csv_file(text: str) -> None:
    """Any name, also one with a lone carriage return, is read back as one cell in one row."""
    line = csv_line([text, "end"])
    assert list(csv.reader(io.StringIO(line, newline=""))) == [[for_csv(text), "end"]]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("a\nb", "a\\\\nb"),
        ("**bold**", "\\*\\*bold\\*\\*"),
        ("_it_", "\\_it\\_"),
        ("`code`", "\\`code\\`"),
        ("[x](http://evil.example)", "\\[x\\](http://evil.example)"),
        ("![x](y)", "!\\[x\\](y)"),
        ("<script>", "\\<script\\>"),
        ("<!channel>", "\\<!channel\\>"),
        ("# Heading", "\\# Heading"),
        ("\\|", "\\\\\\|"),
        ("\x1b[31m", "\\\\x1b\\[31m"),
        ("&lt;b&gt;", "\\&lt;b\\&gt;"),
        ("~~gone~~", "\\~\\~gone\\~\\~"),
        ("python-expert", "python-expert"),
    ],
)
def test_markdown_is_shown_not_obeyed(text: str, shown: str) -> None:
    """No character of a name ends a table cell, starts markup, or mentions a channel."""
    assert for_markdown(text) == shown


@given(st.text())
def test_a_markdown_cell_stays_one_cell(text: str) -> None:
    """Every vertical bar has an odd number of backslashes before it, and there is no line break."""
    shown = for_markdown(text)
    assert "\n" not in shown
    for place in (index for index, character in enumerate(shown) if character == "|"):
        before = shown[:place]
        assert (len(before) - len(before.rstrip("\\"))) % 2 == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("</script><img src=x onerror=alert(1)>", "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"),
        ("\"' onload='x", "&quot;&#x27; onload=&#x27;x"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("<!-- -->", "&lt;!-- --&gt;"),
        ("a\nb", "a\\nb"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("a\x00b", "a\\x00b"),
        ("python-expert", "python-expert"),
    ],
)
def test_html_is_shown_not_obeyed(text: str, shown: str) -> None:
    """No character of a name is a tag, ends an attribute or changes the direction."""
    assert for_html(text) == shown


@given(st.text())
def test_a_page_shows_a_text_as_a_terminal_does(text: str) -> None:
    """A browser reads back the visible form of any text, and no markup."""
    assert not set("<>\"'") & set(for_html(text))
    assert html.unescape(for_html(text)) == for_terminal(text)
