"""Names in the cells of a terminal: wrapped or shortened, and never two that look alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.reports.cells import cell_width, cut, keep_direction, shorten, shorten_all, visible, wrap, wrap_all

LIKE_NAMES = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="ab -\\x20\x1b…宽שא1\u0301", max_size=60),
    st.builds("{}{}{}".format, st.just("agent-" * 20), st.integers(0, 9), st.just("-reviewer" * 10)),
)
"""Also names of few characters, and names that differ only in the middle."""


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 12, [""]),
        ("python-expert", 13, ["python-expert"]),
        ("python-expert", 12, ["python-", "expert"]),
        ("claude-sonnet-4-5-20250929", 14, ["claude-sonnet-", "4-5-20250929"]),
        ("2026-11-24 15:38 1b2c3d4e folder", 16, ["2026-11-24 15:38", "1b2c3d4e folder"]),
        ("a" * 30, 12, ["a" * 12, "a" * 12, "a" * 6]),
        ("宽" * 10, 12, ["宽" * 6, "宽" * 4]),
        ("it is 1,234,567,890 tokens", 16, ["it is", "1,234,567,890", "tokens"]),
        ("a/" + "b" * 20, 12, ["a/" + "b" * 10, "b" * 10]),
        ("e\u0301" * 13, 12, ["e\u0301" * 12, "e\u0301"]),
    ],
)
def test_a_text_breaks_at_spaces_and_a_long_word_at_its_separators(text: str, width: int, lines: list[str]) -> None:
    """A date, a time or a number that fits into a line is never broken."""
    assert wrap(text, width) == lines


def test_later_lines_are_indented() -> None:
    """The indentation counts."""
    assert wrap("one two three four", 14, hang=2) == ["one two three", "  four"]
    assert wrap("a" * 30, 14, hang=2) == ["a" * 12, "  " + "a" * 12, "  " + "a" * 6]


@given(LIKE_NAMES, st.integers(12, 40), st.sampled_from([0, 2]))
def test_wrapping_loses_nothing_but_spaces(text: str, width: int, hang: int) -> None:
    """No line is too wide."""
    lines = wrap(text, width, hang)
    assert max(map(cell_width, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(st.sets(LIKE_NAMES, max_size=12), st.integers(12, 40))
def test_no_two_texts_look_alike_when_wrapped(texts: set[str], width: int) -> None:
    """Not even if they differ in spaces, or in what a terminal cannot show."""
    shown = visible(texts)
    wrapped = wrap_all(set(shown.values()), width)
    assert len({tuple(line.rstrip() for line in wrapped[shown[text]]) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    "texts",
    [
        ("a b", "ab"),
        ("a", "a "),
        ("\x1b[m", "\\x1b[m"),
        ("a" * 12 + " b", "a" * 12 + "b"),
        ("a  b", "a b"),
        (" ", "\u3164"),
    ],
    ids=ascii,
)
def test_an_invisible_difference_is_spelled_out(texts: tuple[str, str]) -> None:
    """Lines break where the difference is, or it is at the end."""
    shown = visible(set(texts))
    wrapped = wrap_all(set(shown.values()), 12)
    assert len({"|".join(line.rstrip() for line in wrapped[shown[text]]) for text in texts}) == 2


@pytest.mark.parametrize("text", ["aaaaaaaaaaaa ", "aaaaaaaaaaaa  bbbbbbbbbbbb", "aaaaaaaaaaaa bbbb   "])
def test_no_line_is_blank(text: str) -> None:
    """Not where a space stands at the end of a full line, or two between words."""
    assert all(line.strip() for line in wrap_all({text}, 12)[text])


def test_a_name_is_shortened_in_the_middle() -> None:
    """Its start and its end say most."""
    assert shorten("python-expert-reviewer", 12) == "pytho…viewer"
    assert shorten("python", 12) == "python"
    assert shorten("宽" * 10, 12) == "宽宽…宽宽宽"


def test_names_that_would_look_alike_keep_what_differs() -> None:
    """The ellipsis moves; names that no place tells apart are numbered."""
    names = [f"agent-number-{number}-of-the-team" for number in range(3)]
    assert list(shorten_all(names, 16).values()) == ["ag…0-of-the-team", "ag…1-of-the-team", "ag…2-of-the-team"]
    middle = [f"the-team-of-agent-{number}-is-{'x' * 20}" for number in range(2)]
    assert list(shorten_all(middle, 12).values()) == ["the-…0-is-x…", "the-…1-is-x…"]
    both = [f"{start}{'a' * 20}{middle}{'b' * 20}" for start in "xy" for middle in "12"]
    assert len(set(shorten_all(both, 12).values())) == 4


@given(st.sets(st.integers(0, 999).map(lambda number: f"{'a' * 90}{number:03}{'b' * 90}")), st.integers(12, 40))
def test_no_two_names_look_alike_when_shortened(names: set[str], width: int) -> None:
    """Their only difference is in the middle."""
    shown = shorten_all(sorted(names), width)
    assert len(set(shown.values())) == len(names)
    assert all(cell_width(text) <= width for text in shown.values())


def test_cut_text_ends_with_an_ellipsis() -> None:
    """For lines of a dashboard."""
    assert (cut("python", 6), cut("python", 5), cut("宽" * 4, 6)) == ("python", "pyth…", "宽宽…")


@pytest.mark.parametrize("name", ["סוכן", "وكيل البرمجة", "סוכן 2 של הצוות"])
def test_a_name_from_right_to_left_has_a_mark_behind_it(name: str) -> None:
    """Without the mark, a terminal would show the number first. Other text is unchanged."""
    shown = keep_direction(f"{name}  12  $3.40")
    assert shown.startswith("\u200e")
    assert "\u200e  12  $3.40" in shown
    assert shown.replace("\u200e", "") == f"{name}  12  $3.40"
    assert keep_direction("宽 é x") == "宽 é x"
