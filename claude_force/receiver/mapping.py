"""From records to signals: which reader understands a record, and how many records of each kind came.

A reader makes of one record a `ModelRequest` or an `Outcome`; it raises Unusable for a record that is ignored. Every
record is counted in exactly one `Heard`, so nothing that is sent disappears without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from claude_force.clock import LATEST_US
from claude_force.executions.run_labels import RunLabel, merged
from claude_force.executions.signals import Heard, Labelled, ModelRequest, Signal
from claude_force.receiver import claude_code, claude_code_outcomes, conventions, other_agents
from claude_force.receiver.records import Groups, LogRecord, Point, Record, Source, Span
from claude_force.receiver.sender import SERVICE_UNKNOWN, Sender, said, sender_of
from claude_force.receiver.values import Unusable

KINDS_LIMIT = 200
"""The most kinds of records of one body that are told apart."""

OWN = "sent by claude-force itself"
UNREAD = "no record of a program that is read"

_OWN_SERVICE, _OWN_SCOPES = "claude-force", ("claude_force", "claude-force")
_WORD = re.compile(r"[A-Za-z][\w.:/-]{0,99}", re.ASCII)
_NAMELESS = "record"
_OTHER_KINDS = "further kinds"

Kind = tuple[str, str, str, str]
"""The service, the name of the record, the version of the service, and why it is ignored, "" if it is not."""

Kinds = dict[Kind, list[int]]
"""How many records of each kind there are, and the instant of the last."""


def to_signals(groups: Groups, user_attribute: str | None = None) -> list[Signal]:
    """The signals of a body: those of its records, then a Heard of each kind of record. `user_attribute` is the
    attribute that says who the user is, None if that is not asked."""
    signals: list[Signal] = []
    kinds: Kinds = {}
    for source, records in groups:
        sender = sender_of(source)
        service, version = sender.service, sender.version or ""
        read = _read_own if _is_own(sender) else _read
        begun = len(signals)
        for record in records:
            name = _name(sender, record)
            ignored = ""
            try:
                signal = read(source, sender, record, name)
                signals.append(_with_user(signal, source, record, user_attribute) if user_attribute else signal)
            except Unusable as reason:
                ignored = str(reason)
            _tally(kinds, (service, name, version, ignored), record)
        if sender.label is not None:
            signals += _labelled(signals[begun:], sender.label, sender.run or "")
    signals += _heard(kinds)
    return signals


def _with_user(signal: Signal, source: Source, record: Record, attribute: str) -> Signal:
    """The signal with the user that the record names, or else its sender."""
    user = said(record.attributes, attribute) or said(source.resource, attribute)
    return msgspec.structs.replace(signal, user=user) if user and isinstance(signal, ModelRequest) else signal


def _labelled(signals: Iterable[Signal], label: str, run: str) -> list[Labelled]:
    """When the sessions of some requests were at work under a label."""
    requests = [signal for signal in signals if isinstance(signal, ModelRequest) and signal.session_id]
    rows = [
        RunLabel(request.session_id or "", run, label, request.at_us - (request.duration_us or 0), request.at_us)
        for request in requests
    ]
    return [Labelled(**row._asdict()) for row in merged(rows)]


def _is_own(sender: Sender) -> bool:
    return sender.service == _OWN_SERVICE or sender.scope.startswith(_OWN_SCOPES)


def _name(sender: Sender, record: Record) -> str:
    """The name under which a record is counted. No user chose it: the names of events and metrics are fixed by their
    programs, but those of spans are often made of what a user asked for."""
    if isinstance(record, LogRecord):
        return claude_code.event_name(sender, record) or _event_name(record)
    if isinstance(record, Point) or record.name.startswith(claude_code.PREFIX) or conventions.is_sdk(sender):
        return record.name
    return conventions.kind_of(record) or _NAMELESS


def _event_name(record: LogRecord) -> str:
    name = record.name or record.attributes.get("event.name")
    return name if isinstance(name, str) else ""


def _read_own(_source: Source, _sender: Sender, _record: Record, _name: str) -> Signal:
    raise Unusable(OWN)


def _read(source: Source, sender: Sender, record: Record, name: str) -> Signal:
    """The signal of a record. Raises Unusable if it is ignored."""
    if isinstance(record, LogRecord):
        return _read_event(sender, record, name)
    if isinstance(record, Span):
        return _read_span(sender, record)
    if not name.startswith(claude_code.PREFIX):
        raise Unusable(UNREAD)
    return claude_code_outcomes.read_point(source, record, name.removeprefix(claude_code.PREFIX))


def _read_event(sender: Sender, record: LogRecord, name: str) -> Signal:
    if name.startswith(claude_code.PREFIX):
        return claude_code.read_event(sender, record, name.removeprefix(claude_code.PREFIX))
    if name.startswith(other_agents.PREFIXES) or other_agents.is_read(sender):
        return other_agents.read_event(sender, record, name)
    raise Unusable(UNREAD)


def _read_span(sender: Sender, span: Span) -> Signal:
    if span.name.startswith(claude_code.PREFIX):
        return claude_code.read_span(sender, span)
    if other_agents.is_read(sender):
        raise Unusable(other_agents.SEEN_ALREADY)
    return conventions.read_span(sender, span)


def _tally(kinds: Kinds, kind: Kind, record: Record) -> None:
    counted = kinds.get(kind)
    if counted is None:
        if len(kinds) >= KINDS_LIMIT:
            kind = (SERVICE_UNKNOWN, _OTHER_KINDS, "", UNREAD if kind[3] else "")
        counted = kinds.setdefault(kind, [0, 0])
    time_ns = record.end_ns if isinstance(record, Span) else record.time_ns
    counted[0] += 1
    if counted[1] < time_ns < LATEST_US * 1000:
        counted[1] = time_ns


def _heard(kinds: Kinds) -> Iterator[Heard]:
    for (service, name, version, ignored), (records, time_ns) in kinds.items():
        word = name if _WORD.fullmatch(name) or name == _OTHER_KINDS else _NAMELESS
        yield Heard(
            service=service, name=word, at_us=time_ns // 1000, records=records, version=version, ignored=ignored
        )
