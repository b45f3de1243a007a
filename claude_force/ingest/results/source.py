"""Read the output of `claude -p`: lines of `stream-json`, or a JSON document of `json`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from claude_force.errors import InvalidJson, InvalidRecord
from claude_force.executions.jsonl.damaged_lines import lost_bytes, split_damaged
from claude_force.executions.jsonl.lines import BOM, LINE_LIMIT_BYTES, read_chunks
from claude_force.ingest.find_files import find_files
from claude_force.ingest.jsonl_source import first_object
from claude_force.ingest.rejects import Rejected
from claude_force.ingest.results.events import EVENT, Event, decode_event, is_event
from claude_force.ingest.results.runs import RunReader
from claude_force.ingest.transcripts.locate import AUDIT_LOG, is_entered

_CHUNK_LINES = 1000
_PEEKED_BYTES = 1024 * 1024
_DOCUMENT_LIMIT_BYTES = 256 * 1024 * 1024
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Counts(NamedTuple):
    """What was read: lines (events, for a document), and those that were rejected."""

    lines: int
    rejected: list[Rejected]


def results_at(paths: Iterable[Path], known: Collection[str] = ()) -> list[Path]:
    """The files with output of `claude -p` at some paths, and in folders. `known` are the names of files that are none:
    they are not opened. Problems of folders are those that are met when transcripts are looked for, so they are not
    reported twice."""
    found = find_files([path.absolute() for path in paths], _is_wanted, lambda _path, _problem: None, is_entered)
    return [file.path for file in found if file.name not in known and _holds_results(file.path)]


def _is_wanted(_folder: Path, name: str) -> bool:
    return name.endswith((".json", ".jsonl")) and name != AUDIT_LOG


def _holds_results(path: Path) -> bool:
    if path.name == AUDIT_LOG:
        return False
    found = first_object(path) or _first_of_document(path)
    return found is not None and is_event(found)


def _first_of_document(path: Path) -> dict[str, object] | None:
    try:
        with path.open("rb") as stream:
            return first_in_document(stream.read(_PEEKED_BYTES))
    except OSError:
        return None


def first_in_document(start: bytes) -> dict[str, object] | None:
    """The first object of a JSON document that begins so; None if it is no such document, or the object is larger than
    its beginning."""
    text = start.removeprefix(BOM).decode("latin-1").lstrip()
    try:
        found, _ = json.JSONDecoder().raw_decode(text, text.index("{", 0, 100)) if text[:1] in "[{" else (None, 0)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_results(stream: BinaryIO, head: bytes, reader: RunReader) -> Counts:
    """Read all events of a stream into the reader. `head` is how it begins. Raises OSError, or InvalidRecord if a
    document is not JSON."""
    beginning = head.removeprefix(BOM).lstrip()
    if beginning[:1] == b"[" or beginning.split(b"\n", 1)[0].strip() == b"{":
        return _read_document(stream, reader)
    counts = Counts(0, [])
    for chunk in read_chunks(stream, _CHUNK_LINES):
        whole = chunk.raw[:-1] if chunk.is_cut else chunk.raw
        offsets = accumulate(map(len, whole), initial=chunk.offset)
        for number, (line, offset) in enumerate(zip(whole, offsets, strict=False), chunk.number):
            _read_line(line.removeprefix(BOM) if offset == 0 else line, number, offset, reader, counts.rejected)
        if chunk.is_cut:
            reason = f"longer than {LINE_LIMIT_BYTES // 1024**2} MiB; not read"
            counts.rejected.append(
                Rejected(chunk.number + len(whole), chunk.offset + sum(map(len, whole)), reason, b"")
            )
        counts = counts._replace(lines=counts.lines + len(chunk.raw))
    return counts


def _read_line(line: bytes, number: int, offset: int, reader: RunReader, rejected: list[Rejected]) -> None:
    if line.isspace():
        return
    try:
        reader.read(decode_event(line))
    except InvalidJson as error:
        parts = split_damaged(line, EVENT)
        for part in parts:
            try:
                if not part.is_whole:
                    raise InvalidJson(lost_bytes(part) if len(parts) > 1 else str(error)) from None
                reader.read(decode_event(line[part.start : part.end]))
            except InvalidRecord as cause:
                rejected.append(Rejected(number, offset + part.start, str(cause), b""))
    except InvalidRecord as error:
        rejected.append(Rejected(number, offset, str(error), b""))


def _read_document(stream: BinaryIO, reader: RunReader) -> Counts:
    data = stream.read(_DOCUMENT_LIMIT_BYTES + 1).removeprefix(BOM).strip()
    if len(data) > _DOCUMENT_LIMIT_BYTES:
        raise InvalidRecord("", f"longer than {_DOCUMENT_LIMIT_BYTES // 1024**2} MiB; use --output-format stream-json")
    try:
        items = _decode_items(data) if data[:1] == b"[" else [msgspec.Raw(data)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"not valid JSON: {error}") from None
    rejected: list[Rejected] = []
    for number, item in enumerate(items, 1):
        try:
            reader.read(_event(item))
        except InvalidRecord as error:
            rejected.append(Rejected(number, 0, str(error), b""))
    return Counts(len(items), rejected)


def _event(item: msgspec.Raw) -> Event:
    return decode_event(bytes(item))
