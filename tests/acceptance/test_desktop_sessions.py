"""Sessions of Claude Desktop (Cowork): found without being named, and counted from their transcripts alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.transcripts import SESSION, Line, Talk, Tokens, exported, ingested, jsonl, put

AUDIT = "the audit log of Claude Desktop, a copy of the transcript beside it"
PLACES = ("Library/Application Support/Claude", ".config/Claude")


def conversation() -> Talk:
    """Two responses in the virtual machine of a session."""
    talk = Talk(constants={"cwd": "/sessions/calm-fox"})
    talk.prompt()
    talk.respond("msg_1", Tokens(12, 3000, 20_000, 0, 0))
    talk.prompt("Thanks.")
    talk.respond("msg_2", Tokens(12, 4000, 24_000, 0, 0))
    return talk


def audited(lines: list[Line], **stamps: str) -> list[Line]:
    """The same lines as the audit log has them: of each response its beginning, and at the end a result."""
    kept = []
    for line in lines:
        message = json.loads(json.dumps(line["message"]))
        if "usage" in message:
            message["usage"]["output_tokens"] = 3
        kept.append({"type": line["type"], "uuid": line["uuid"], "session_id": SESSION, "message": message} | stamps)
    usage = {"input_tokens": 24, "output_tokens": 7000}
    return [*kept, {"type": "result", "session_id": SESSION, "total_cost_usd": 0.0788, "usage": usage} | stamps]


def put_session(folder: Path, **stamps: str) -> Path:
    """A session of Claude Desktop as it lies on the disk; its folder."""
    session = folder / "local-agent-mode-sessions" / "account" / "organisation" / "local_1"
    talk = conversation()
    put(session / ".claude" / "projects" / "-sessions-calm-fox" / f"{SESSION}.jsonl", talk.lines)
    put(session / "audit.jsonl", audited(talk.lines, **stamps))
    put(session / "uploads" / "sales.jsonl", b'{"sold": 3}\nnot JSON\n')
    put(session.with_suffix(".json"), jsonl([{"sessionId": "local_1", "title": "Tidy"}]))
    return session


@pytest.mark.parametrize("place", PLACES)
def test_a_session_is_found_and_counted_from_its_transcript(run: Run, home: Path, place: str) -> None:
    """Its audit log and the files of the user add nothing and are no errors; the doctor names the folder."""
    put_session(home / place, _audit_timestamp="2026-03-02T09:00:03.000Z", _audit_hmac="00")
    done = ingested(run)
    assert (done["added"], done["rejected"], done["sources"]["claude-code"]["skipped"]) == (2, 0, {AUDIT: 5})
    rows = exported(run)
    assert [(row["output_tokens"], row["project"]) for row in rows] == [
        (3000, "/sessions/calm-fox"),
        (4000, "/sessions/calm-fox"),
    ]
    assert ingested(run)["added"] == 0
    doctor = json.loads(run("doctor", "--json").stdout)
    assert doctor["folders"] == [str(home / place / "local-agent-mode-sessions")]
    assert doctor["sources"][0]["skipped"] == {AUDIT: 5}


def test_an_audit_log_is_known_by_its_name_or_by_its_lines(run: Run, home: Path) -> None:
    """Without its stamps, or copied under another name, or read before the transcript."""
    session = put_session(home / "kept")
    assert ingested(run, home / "kept")["sources"]["claude-code"]["skipped"] == {AUDIT: 5}
    stamped = audited(conversation().lines, _audit_timestamp="2026-03-02T09:00:03.000Z")
    put(home / "copy.jsonl", stamped)
    copied = ingested(run, home / "copy.jsonl", session / "audit.jsonl")
    assert (copied["added"], copied["rejected"], copied["sources"]["claude-code"]["skipped"]) == (0, 0, {AUDIT: 5})
    assert len(exported(run)) == 2
