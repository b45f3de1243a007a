"""What generated transcripts hold: responses and tokens by day (UTC), model and agent."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

MAIN = "main"
"""The agent of a session's own conversation."""


@dataclass(slots=True)
class Tokens:
    """Counts of responses and of their tokens.

    `output_on_lines` is the output according to the lines of the responses. `output_tokens` is the true output: a line
    of a sub-agent has a placeholder of a few tokens, and the result of its run has the final usage of its last
    response.
    """

    responses: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_on_lines: int = field(default=0, compare=False)

    def add(self, other: Tokens) -> None:
        """Add the other counts."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))


@dataclass
class Truth:
    """The contents of the transcripts. A cell is a day and a model; an agent is a type of sub-agents, or `main`."""

    files: int = 0
    runs: int = 0
    size_bytes: int = 0
    cells: defaultdict[tuple[str, str], Tokens] = field(default_factory=lambda: defaultdict(Tokens))
    agents: defaultdict[str, Tokens] = field(default_factory=lambda: defaultdict(Tokens))

    def document(self) -> dict[str, Any]:
        """For JSON."""
        days, models, total = defaultdict[str, Tokens](Tokens), defaultdict[str, Tokens](Tokens), Tokens()
        for (day, model), tokens in self.cells.items():
            for sums in (days[day], models[model], total):
                sums.add(tokens)
        return {
            "files": self.files,
            "runs": self.runs,
            "bytes": self.size_bytes,
            "total": asdict(total),
            "days": _by_name(days),
            "models": _by_name(models),
            "agents": _by_name(self.agents),
            "cells": [
                {"day": day, "model": model, **asdict(self.cells[day, model])} for day, model in sorted(self.cells)
            ],
        }


def _by_name(sums: Mapping[str, Tokens]) -> dict[str, Any]:
    return {name: asdict(sums[name]) for name in sorted(sums)}


def truth_file(folder: Path) -> Path:
    """The file with the truth of a folder."""
    return folder.with_name(f"{folder.name}.truth.json")


def read_cells(path: Path) -> dict[tuple[str, str], Tokens]:
    """The truth by day and model."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {(cell.pop("day"), cell.pop("model")): Tokens(**cell) for cell in cells}


def read_agents(path: Path) -> dict[str, Tokens]:
    """The truth by agent."""
    agents = json.loads(path.read_text(encoding="utf-8"))["agents"]
    return {name: Tokens(**counts) for name, counts in agents.items()}
