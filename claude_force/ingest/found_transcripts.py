"""What there is to read on this machine, for a user who has not read anything yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.ingest.find_files import OnProblem
from claude_force.ingest.transcripts import locate
from claude_force.settings.home import user_folder


class FoundTranscripts(NamedTuple):
    """A folder with transcripts: how many sessions it has, and the size of all its files, sub-agents' too."""

    folder: Path
    sessions: int
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"folder": str(self.folder), "sessions": self.sessions, "bytes": self.size_bytes}


def found_transcripts(on_problem: OnProblem) -> list[FoundTranscripts]:
    """The usual folders of this user that have transcripts."""
    counted = [_counted(folder, on_problem) for folder in locate.roots(os.environ, user_folder(), on_problem)]
    return [found for found in counted if found.size_bytes]


def _counted(folder: Path, on_problem: OnProblem) -> FoundTranscripts:
    files = locate.find([folder], on_problem)
    conversations = [file for file in files if not locate.agent_ids([file]) and file.path.name != locate.AUDIT_LOG]
    return FoundTranscripts(folder, len(conversations), sum(file.size for file in files))
