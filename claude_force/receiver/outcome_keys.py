"""The keys of outcomes: the same for a record that is sent again, and for no other record."""

from __future__ import annotations

from hashlib import blake2b

from claude_force.receiver.records import LogRecord, Point, Source

_DIGEST_SIZE = 16


def key_of_event(record: LogRecord, name: str) -> str:
    """The key of an event: its session, its instant and its number. The number alone begins again in every process."""
    said = record.attributes
    number = said.get("event.sequence")
    rest = number if number is not None else sorted(said.items(), key=repr)
    return _digest(name, said.get("session.id"), record.time_ns, rest)


def key_of_point(source: Source, point: Point) -> str:
    """The key of a data point: who sent it, its attributes, and the time that it is about."""
    resource, attributes = (sorted(found.items(), key=repr) for found in (source.resource, point.attributes))
    return _digest(point.name, resource, attributes, point.start_ns, point.time_ns)


def _digest(*parts: object) -> str:
    return blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=_DIGEST_SIZE).hexdigest()
