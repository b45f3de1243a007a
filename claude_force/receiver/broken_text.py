"""Repairs OTLP bodies in protobuf whose texts are not valid UTF-8.

Some programs cut a text within a character, for example the message of an error, and send it. The protobuf library then
refuses the whole body, with all of its good records. On the wire a text is the same as bytes: so the body is read by
copies of the messages whose texts are bytes, what is broken in them is replaced, and it is written again.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_TEXT, _BYTES, _MESSAGE = 9, 12, 11
"""Types of fields, as descriptors say them."""


def repaired(message: Any, body: bytes) -> bytes:
    """A body of a message with valid texts: what was broken is U+FFFD. Raises DecodeError if it is no such message."""
    found = _with_bytes(message.DESCRIPTOR.full_name, message.DESCRIPTOR.file).FromString(body)
    _repair(found, message.DESCRIPTOR)
    written: bytes = found.SerializeToString()
    return written


def _repair(message: Any, descriptor: Any) -> None:
    for field, value in message.ListFields():
        known = descriptor.fields_by_name[field.name]
        if known.type == _MESSAGE:
            for part in (value,) if isinstance(value, Message) else value:
                _repair(part, known.message_type)
        elif known.type == _TEXT:
            if isinstance(value, bytes):
                setattr(message, field.name, _valid(value))
            else:
                value[:] = map(_valid, value)


def _valid(text: bytes) -> bytes:
    return text.decode("utf-8", "replace").encode()


@functools.cache
def _with_bytes(name: str, file: Any) -> Any:
    """The class of a message whose texts, and those of its parts, are bytes."""
    pool = descriptor_pool.DescriptorPool()
    _add(pool, file, set())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def _add(pool: descriptor_pool.DescriptorPool, file: Any, added: set[str]) -> None:
    if file.name in added:
        return
    added.add(file.name)
    for needed in file.dependencies:
        _add(pool, needed, added)
    copy = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copy)
    kinds = list(copy.message_type)
    for kind in kinds:
        kinds.extend(kind.nested_type)
        for field in kind.field:
            field.type = _BYTES if field.type == _TEXT else field.type
    pool.Add(copy)
