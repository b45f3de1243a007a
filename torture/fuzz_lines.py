"""Coverage-guided fuzzing: `pip install atheris`, then `python torture/fuzz_lines.py FOLDER`.

FOLDER keeps the interesting inputs, and the next run continues from there. The options are those of libFuzzer, such as
`-max_total_time=600`. An exception ends the run and writes the input to `crash-...` in the working folder; that file as
the only argument reproduces it. The campaign `fuzzing` does not need atheris.
"""

from __future__ import annotations

import io
import sys
import tempfile
from datetime import UTC
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

MISSING = "atheris is not installed; pip install atheris (it has wheels for Linux and CPython)"


def read_executions(data: bytes) -> None:
    """Import bytes. Raises AssertionError for a line that is neither accepted nor refused."""
    from claude_force.executions.jsonl.lines import BOM
    from claude_force.ingest.jsonl_source import JsonlSource

    batches = list(JsonlSource(UTC).read(io.BytesIO(data)))
    lines = sum(bool(line.strip(b" \t\r\0")) for line in data.replace(BOM, b"").split(b"\n"))
    refused = [item for batch in batches for item in batch.rejected]
    assert sum(len(batch.rows) for batch in batches) + len(refused) >= lines
    assert all(item.reason for item in refused)


def read_transcript(data: bytes) -> None:
    """Ingest bytes as a transcript. Raises AssertionError if a line is not counted."""
    from claude_force.ingest.find_files import found_file
    from claude_force.ingest.tail import resume
    from claude_force.ingest.transcripts.context import TranscriptContext
    from claude_force.ingest.transcripts.source import TranscriptSource

    with tempfile.NamedTemporaryFile() as stream:
        stream.write(data + b"\n")
        stream.flush()
        with resume(found_file(Path(stream.name)), None, host="here", source="claude-code") as tail:
            batches = list(TranscriptSource(None, "here").read(tail, TranscriptContext("session")))
    assert sum(batch.lines for batch in batches) == data.count(b"\n") + 1
    assert batches[-1].cursor.problem is None


def read_one(data: bytes) -> None:
    """The first byte decides which reader gets the rest."""
    (read_executions if data[:1] < b"\x80" else read_transcript)(data[1:])


def main() -> None:
    """Run until an exception, or until the options end it."""
    try:
        import atheris
    except ImportError:
        sys.exit(MISSING)
    with atheris.instrument_imports(include=["claude_force"]):
        import claude_force.ingest.jsonl_source  # noqa: F401 - so that both are instrumented
    atheris.Setup(sys.argv, read_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
