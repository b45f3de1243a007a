"""Transcripts that are written while somebody reads them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.transcripts import (
    START,
    Line,
    Talk,
    Tokens,
    agent_file,
    main_file,
    task_block,
    task_result,
    text_block,
    thinking_block,
    tool_block,
)


@dataclass
class Writer:
    """Sessions and their sub-agents that are written at once, each line in several writes. `truth` is what each
    response used, by its message id."""

    root: Path
    chance: random.Random
    truth: dict[str, Tokens] = field(default_factory=dict)
    began: float = field(default_factory=lambda: (datetime.now(UTC) - START).total_seconds() - 86_400)
    number: int = 0
    _sessions: list[Iterator[tuple[Path, bytes]]] = field(default_factory=list)

    def step(self) -> None:
        """The next write, of any of four sessions."""
        while len(self._sessions) < 4:
            self.number += 1
            self._sessions.append(self._session(f"session-{self.number}"))
        place = self.chance.randrange(4)
        try:
            path, data = next(self._sessions[place])
        except StopIteration:
            del self._sessions[place]
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(data)

    def finish(self) -> None:
        """Write what is left."""
        for session in self._sessions:
            for path, data in session:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as stream:
                    stream.write(data)

    def _session(self, session: str) -> Iterator[tuple[Path, bytes]]:
        chance, request = self.chance, self.chance.choice(["", None])
        talk = Talk(session, seconds=self.began + self.number * 5)
        for turn in range(chance.randint(1, 4)):
            talk.prompt(f"Question {turn} of {session}")
            self._respond(talk, f"{session}-{turn}", request, tool_block())
            talk.result()
            if chance.random() < 0.5:
                agent_id = f"a{session}{turn}".replace("-", "")
                self._respond(talk, f"{session}-{turn}-task", request, task_block("Look", "Plan"))
                yield from self._pieces(main_file(self.root, session), talk)
                agent = Talk(session, agent_id, seconds=talk.seconds)
                agent.prompt("Look")
                for place in range(chance.randint(1, 3)):
                    tokens = self._respond(agent, f"{agent_id}-{place}", request, tool_block())
                    agent.result()
                yield from self._pieces(agent_file(self.root, agent_id, session), agent)
                talk.seconds = agent.seconds
                final = tokens._replace(output_tokens=tokens.output_tokens + 500)
                talk.result("ok", task_result(agent_id, final, "Look"), call="toolu_01Task")
                self.truth[f"{agent_id}-{place}"] = final
            yield from self._pieces(main_file(self.root, session), talk)

    def _respond(self, talk: Talk, message_id: str, request: str | None, last: Line) -> Tokens:
        blocks = [thinking_block(), text_block("größer " * self.chance.randint(1, 60)), last][
            self.chance.randint(0, 2) :
        ]
        final = Tokens(*(self.chance.randint(0, 9000) for _ in Tokens._fields))
        growing = [final._replace(output_tokens=final.output_tokens // (len(blocks) - at)) for at in range(len(blocks))]
        talk.respond(message_id, growing, request=None if request is None else f"req-{message_id}", blocks=blocks)
        self.truth[message_id] = final
        return final

    def _pieces(self, path: Path, talk: Talk) -> Iterator[tuple[Path, bytes]]:
        data, talk.lines = talk.data(), []
        at = 0
        while at < len(data):
            size = self.chance.choice([1, 40, 300, 1500, 6000])
            yield path, data[at : at + size]
            at += size
