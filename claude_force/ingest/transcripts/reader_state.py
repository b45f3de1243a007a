"""What the reader of a transcript remembers between two passes."""

from __future__ import annotations

import msgspec

from claude_force.ingest.transcripts.identity import LatestResponse


class ReaderState(msgspec.Struct):
    """What a reader remembers between two passes, stored as JSON with the cursor (so these names never change).

    `entries` are the latest: uuid, instant, index in `runs`. `main` and `side` are indexes of the current runs.
    `latest` are the latest responses without a request id, by index in `runs`. Version 2.2 had `chains` instead: uuid,
    identity and prompt hash of their latest lines.
    `called` are the types of started sub-agents by the hash of their prompt, `agents` the runs of sub-agents by id,
    `taken_out` the latest emitted responses by identity, with their ends.
    """

    entries: list[tuple[str, int, int]] = []
    runs: list[tuple[str | None, str, str | None]] = []
    main: int = -1
    side: int = -1
    chains: list[tuple[str, str, str]] = []
    called: list[tuple[str, str]] = []
    agents: list[tuple[str, int]] = []
    taken_out: list[tuple[str, int]] = []
    latest: list[tuple[int, LatestResponse]] = []
