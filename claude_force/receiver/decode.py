"""From the body of a request to signals: the one door of the receiver's decoding."""

from __future__ import annotations

import threading
import types
from typing import Literal

from claude_force.errors import InvalidBody, MissingExtra
from claude_force.executions.signals import Signal
from claude_force.receiver import mapping, otlp_json
from claude_force.receiver.budget import COUNTED_BYTES
from claude_force.receiver.records import DROPPED

Kind = Literal["logs", "traces", "metrics"]

JSON = "application/json"
_one_small, _one_large = threading.Lock(), threading.Lock()
"""One body of each size is decoded at a time: what it is decoded to may be fifty times as large, and threads would not
make it faster. Small ones do not wait for a large one."""

PROTOBUF = ("application/x-protobuf", "application/protobuf")


def decode_export(signal: Kind, content_type: str, body: bytes, user_attribute: str | None = None) -> list[Signal]:
    """What the records of an export request say about agents. `content_type` is that of the request; `user_attribute`
    is the attribute that says who the user is, None to drop all of these.

    A record that cannot be used is a `Heard` that says why. Raises InvalidBody for a body that is no OTLP of this kind,
    and MissingExtra for one in protobuf without the extra `otel`.
    """
    decoder = _decoder(content_type.partition(";")[0].strip().lower())
    with _one_large if len(body) > COUNTED_BYTES else _one_small:
        groups = getattr(decoder, f"decode_{signal}")(body, DROPPED - {user_attribute})
        try:
            return mapping.to_signals(groups, user_attribute)
        except RecursionError:
            raise InvalidBody("the body has a value that is nested too deep") from None


def _decoder(media_type: str) -> types.ModuleType:
    if media_type == JSON:
        return otlp_json
    if media_type not in PROTOBUF:
        raise InvalidBody(f"the content type is neither {JSON} nor {PROTOBUF[0]}")
    try:
        # Imported when the first such body comes: it takes 36 ms and 6 MB, and JSON does not need it.
        from claude_force.receiver import otlp_protobuf
    except ImportError as missing:
        raise MissingExtra("OTLP in protobuf needs an extra: pip install 'claude-force[otel]'") from missing
    return otlp_protobuf
