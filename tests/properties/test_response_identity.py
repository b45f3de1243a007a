"""Without request ids: the lines of several agents in any order, read in any passes, with copies, give the same
executions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.transcripts import GATEWAY_ID, Ingester, Line, Talk, Tokens, copied, main_file, put, tokens_of, tool_block


class Answer(NamedTuple):
    """A response: so many lines, where results of tools follow on some, and whether a prompt comes before it."""

    results: tuple[int, ...]
    is_asked: bool
    usage_comes_last: bool


class Conversation(NamedTuple):
    """The lines of each agent in one file, and the tokens of its responses."""

    lines: list[list[Line]]
    responses: list[Tokens]


ANSWERS = st.builds(
    Answer,
    st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple),
    st.booleans(),
    st.booleans(),
)


def conversation(agents: Sequence[Sequence[Answer]], *, is_constant: bool) -> Conversation:
    """What these agents say. With `is_constant`, the gateway gives every response one message id."""
    found = Conversation([], [])
    for agent, answers in enumerate(agents):
        talk = Talk(agent_id=f"a{agent}" if agent else None, seconds=agent / 20)
        talk.prompt(f"Task {agent}")
        for place, answer in enumerate(answers):
            # A response follows a prompt or results of tools.
            if answer.is_asked or (place and not answers[place - 1].results[-1]):
                talk.prompt(f"More {agent} {place}")
            message_id = GATEWAY_ID if is_constant else f"msg_{agent}_{place}"
            tokens = Tokens(3, 10 + place, 1000 * agent + 10 * place, 0, 7)
            respond(talk, message_id, tokens, answer)
            found.responses.append(tokens)
        found.lines.append(talk.lines)
    return found


def respond(talk: Talk, message_id: str, tokens: Tokens, answer: Answer) -> None:
    """Add the lines of a response, with output that grows, and the results of its tools between them."""
    last = len(answer.results) - 1
    for number, results in enumerate(answer.results):
        known = tokens if number == last else tokens._replace(output_tokens=1)
        if answer.usage_comes_last and number < last:
            known = Tokens(0, 0, 0, 0, 0)
        stop = {"stop_reason": "tool_use" if number == last else None}
        talk.respond(message_id, known, request=None, blocks=[tool_block(f"{talk.seconds} {number}")], message=stop)
        for _ in range(results):
            talk.result()


class Mixture(NamedTuple):
    """What agents say, in which order their lines stand in a file, where passes end, from which line on it is copied,
    and whether the copy is read first."""

    agents: list[list[Answer]]
    is_constant: bool
    order: list[int]
    cuts: list[int]
    start: int
    copy_first: bool


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    """Any mixture of up to four agents."""
    agents = draw(st.lists(st.lists(ANSWERS, min_size=1, max_size=4), min_size=1, max_size=4))
    is_constant = draw(st.booleans())
    lines = conversation(agents, is_constant=is_constant).lines
    order = draw(st.permutations([number for number, own in enumerate(lines) for _ in own]))
    start, copy_first = draw(st.integers(0, len(order))), draw(st.booleans())
    # The first lines of a response have nothing in common with a copy of its last lines: where such a copy is known
    # already, the original must come at once.
    passes = 0 if copy_first and start else 4
    cuts = draw(st.lists(st.integers(1, len(order)), max_size=passes).map(sorted))
    return Mixture(agents, is_constant, order, cuts, start, copy_first)


@settings(max_examples=60, deadline=None)
@given(mixture=mixtures())
def test_any_order_of_lines_passes_and_copies_gives_the_same_executions(mixture: Mixture) -> None:
    """Each response is one execution with its tokens: in one pass or several, with a copy that begins anywhere."""
    talks = conversation(mixture.agents, is_constant=mixture.is_constant)
    waiting = [iter(lines) for lines in talks.lines]
    mixed = [next(waiting[number]) for number in mixture.order]
    copy = copied(mixed[mixture.start :], new_uuids=True, sessionId="another")
    with TemporaryDirectory() as folder, closing(open_database(f"{folder}/metrics.db")) as database:
        passes, projects = Ingester(Store(database), Path(folder, "rejected.jsonl")), Path(folder, "projects")
        if mixture.copy_first:
            put(main_file(projects, "another"), copy)
            passes.ingest(projects)
        for cut in [*mixture.cuts, len(mixed)]:
            put(main_file(projects), mixed[:cut])
            passes.ingest(projects)
        put(main_file(projects, "another"), copy)
        passes.ingest(projects)
        assert Counter(map(tokens_of, passes.rows())) == Counter(talks.responses)
