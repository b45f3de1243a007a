"""Text for generated transcripts: lines of code and prose, escaped for JSON."""

from __future__ import annotations

import json
import random
import string
from bisect import bisect_left, bisect_right
from itertools import accumulate

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


class Text:
    """Text for JSON strings: lines of code and prose, cut out of one long text."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 11))) for _ in range(600)]
        words += [
            "naïve",
            "größer",
            "→",
            "✓",
            "日本語",
            "🙂",
            '"',
            '{"usage":{"input_tokens":1}}',
            "\\d+",
            "\u2028",
            "</a>",
        ]
        lines = []
        for number in range(80_000):
            line = " " * (number * 7 % 5 * 4) + " ".join(chance.choices(words, k=number % 13))
            lines.append(json.dumps(f"{line}\n", ensure_ascii=False)[1:-1])
        self._all = "".join(lines)
        self._starts = [0, *accumulate(map(len, lines))]
        self._base64 = "".join(chance.choices(BASE62 + "+/", k=8192))

    def take(self, size: int) -> str:
        """About `size` characters in whole lines."""
        size = min(size, len(self._all) // 2)
        first = int(self._chance.random() * bisect_right(self._starts, len(self._all) - size))
        start = self._starts[first]
        return self._all[start : self._starts[bisect_left(self._starts, start + size)]]

    def signature(self) -> str:
        """The signature of hidden thinking."""
        size = self._chance.randint(200, 1400)
        start = int(self._chance.random() * (len(self._base64) - size))
        return self._base64[start : start + size]
