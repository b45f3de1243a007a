"""The fast path for JSONL lines: usual ones, many at once, by the column.

A typed decoder checks lines while it decodes them, several times as fast as Python code, and what follows works on
lists of values. The executions are those of the slow path (`codec.decode_line` and the record), bit for bit; a test
compares the two. Unusual lines are left to the slow path, which knows the reasons and notes: unknown fields, older
field names, numbers as text, impossible values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import tzinfo
from functools import lru_cache
from itertools import compress
from operator import add
from typing import Annotated, Any, NamedTuple

import msgspec
import orjson

from claude_force.clock import parse_instant, parse_instants
from claude_force.executions.columns import Columns, arrange
from claude_force.executions.content_uids import content_identities, content_identity
from claude_force.executions.jsonl.codec import digest_of
from claude_force.executions.jsonl.priced_columns import price_columns
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import (
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    FIELDS,
    NAME_LIMIT,
    NANOUSD,
    NEVER_NULL,
    POSITION_LIMIT,
    PROJECT_LIMIT,
    SEARCHES_LIMIT,
    STEP_TOKENS,
    TOKENS_LIMIT,
    UID,
    ExecutionRow,
    identity_bytes,
)

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LIMIT)]
_Project = Annotated[str, msgspec.Meta(min_length=1, max_length=PROJECT_LIMIT)]
_Uid = Annotated[str, msgspec.Meta(pattern=rf"\A{UID.pattern}\Z")]
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=TOKENS_LIMIT)]
_Dollars = Annotated[float, msgspec.Meta(ge=0, le=COST_LIMIT_NANOUSD // NANOUSD)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=DURATION_LIMIT_US // 1000)]
_WholeMilliseconds = Annotated[int, msgspec.Meta(ge=0, le=DURATION_LIMIT_US // 1000)]
_Searches = Annotated[int, msgspec.Meta(ge=0, le=SEARCHES_LIMIT)]
_Position = Annotated[int, msgspec.Meta(ge=0, le=POSITION_LIMIT)]

_NUL = b"\\u0000"


class _Line(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A line. Fields are in alphabetical order, as in the content that its uid is made from."""

    agent_name: _Name
    cache_read_tokens: _Tokens | None = None
    cache_write_1h_tokens: _Tokens | None = None
    cache_write_5m_tokens: _Tokens | None = None
    error_type: _Name | None = None
    estimated_cost: _Dollars | None = None
    execution_time_ms: _WholeMilliseconds | _Milliseconds | None
    git_branch: _Name | None = None
    host: _Name | None = None
    inference_geo: _Name | None = None
    input_tokens: _Tokens | None
    model: _Name
    output_tokens: _Tokens | None
    price_version: _Name | None = None
    project: _Project | None = None
    provider: _Name | None = None
    recorded_basis: _Name | None = None
    recorded_cost: _Dollars | None = None
    reference_cost: _Dollars | None = None
    run_id: _Name | None = None
    service_tier: _Name | None = None
    session_id: _Name | None = None
    source: _Name | None = None
    steps: None = None
    success: bool
    task_hash: _Name | None = None
    timestamp: str
    total_tokens: int | None = None
    uid: _Uid | None = None
    usage_basis: _Name | None = None
    user: _Name | None = None
    web_searches: _Searches | None = None
    workflow_id: _Name | None = None
    workflow_position: _Position | None = None


_NAMES = _Line.__struct_fields__
_MONEY = {
    "cost_nanousd": "estimated_cost",
    "reference_cost_nanousd": "reference_cost",
    "recorded_cost_nanousd": "recorded_cost",
}
_decode_one = msgspec.json.Decoder(_Line).decode
_REQUIRED = frozenset(field.name for field in msgspec.structs.fields(_Line) if field.required)
_encode_lines = msgspec.json.Encoder().encode_lines
_values_of = msgspec.structs.astuple

_Values = dict[str, list[Any]]
"""Values by field. A field that no execution has is left out."""


class Usual(NamedTuple):
    """The executions of the usual lines among some, and the indexes of the others."""

    rows: Columns
    others: list[int]

    def by_line(self, count: int) -> list[ExecutionRow | None]:
        """The executions of so many lines; None for one that is not usual."""
        rest, others = iter(self.rows), set(self.others)
        return [None if index in others else next(rest, None) for index in range(count)]


class UsualLines:
    """Decodes usual lines. The arguments are those of `JsonlSource`; `count_earlier` gives the numbers of earlier lines
    that are equal to these, by their identities."""

    def __init__(
        self,
        zone: tzinfo,
        prices: PriceTable | None,
        count_earlier: Callable[[Sequence[bytes]], list[int]],
        *,
        reprice: bool,
    ) -> None:
        self._zone = zone
        self._prices = prices
        self._reprice = reprice
        self._count_earlier = count_earlier

    def read(self, raw: Sequence[bytes]) -> Usual:
        """The executions of lines, and which lines are unusual."""
        lines = _decode(raw)
        usual = [line for line in lines if line is not None]
        try:
            values = self._checked(usual)
        except ValueError:
            lines = [line if line is not None and self._is_usual(line) else None for line in lines]
            usual = [line for line in lines if line is not None]
            values = self._checked(usual)
        others = [index for index, line in enumerate(lines) if line is None] if len(usual) < len(lines) else []
        return Usual(self._columns(values) if usual else Columns(), others)

    def _is_usual(self, line: _Line) -> bool:
        """Whether `_checked` accepts a line."""
        tokens = [getattr(line, name, None) for name in STEP_TOKENS]
        if (tokens[0] is None) != (tokens[1] is None):
            return False
        total = getattr(line, "total_tokens", None)
        if total is not None and total != sum(filter(None, tokens)):
            return False
        try:
            parse_instant(line.timestamp, self._zone)
        except ValueError:
            return False
        return True

    def _checked(self, lines: Sequence[_Line]) -> _Values:
        """The values of lines, with instants for timestamps. Raises ValueError if one line contradicts itself, or has
        no instant."""
        names = lines[0].__struct_fields__ if lines else ()
        values = {
            name: list(column)
            for name, column in zip(names, zip(*map(_values_of, lines), strict=True), strict=False)
            if column[0] is not None or column.count(None) < len(column)
        }
        inputs, outputs = (values.get(name, ()) for name in STEP_TOKENS[:2])
        if (None in inputs or None in outputs or len(inputs) != len(outputs)) and (
            [value is None for value in inputs] != [value is None for value in outputs]
        ):
            raise ValueError
        totals = values.pop("total_tokens", None)
        if totals is not None and totals != (sums := _totals(values, len(lines))):
            pairs = zip(totals, sums, strict=True)
            if any(total is not None and total != found for total, found in pairs):
                raise ValueError
        values["timestamp"] = parse_instants(values.get("timestamp", ()), self._zone)
        return values

    def _columns(self, values: _Values) -> Columns:
        size, source = len(values["timestamp"]), values.get("source")
        values["source"] = ["jsonl"] * size if source is None else [name or "jsonl" for name in source]
        if "execution_time_ms" in values:
            values["execution_time_ms"] = _scaled(values["execution_time_ms"], 1000)
        for name in _MONEY.values():
            if name in values:
                values[name] = _scaled(values[name], NANOUSD)
        identities, has_uid = self._identities(values)
        found: dict[str, Any] = {name: values.get(name) for name in FIELDS}
        found |= {name: values.get(public) for name, public in _MONEY.items()}
        found["uid"], found["timestamp_us"] = identities, values["timestamp"]
        found["duration_us"], found["user_name"] = values.get("execution_time_ms"), values.get("user")
        found["success"] = list(map(int, values["success"]))
        for name in NEVER_NULL:
            found[name] = [value or 0 for value in values[name]] if name in values else None
        if self._prices is not None and (self._reprice or not all(has_uid)):
            keeps = has_uid if any(has_uid) and not self._reprice else None
            price_columns(self._prices, found, keeps, replace=self._reprice)
        absent = {name: 0 if name in NEVER_NULL else None for name, column in found.items() if column is None}
        return arrange({name: column for name, column in found.items() if column is not None}, absent)

    def _identities(self, values: _Values) -> tuple[list[bytes], list[bool]]:
        """The uids of lines as bytes, and which lines brought theirs."""
        instants, uids = values["timestamp"], values.get("uid")
        has_uid = [False] * len(instants) if uids is None else [uid is not None for uid in uids]
        if uids is not None and all(has_uid):
            return list(map(identity_bytes, uids)), has_uid
        digests = [digest_of(content) for content in _contents(values)]
        found = content_identities(instants, digests)
        if uids is None:
            return self._told_apart(found, instants, digests), has_uid
        lacks = [not has for has in has_uid]
        made = iter(self._told_apart(*(list(compress(column, lacks)) for column in (found, instants, digests))))
        return [next(made) if uid is None else identity_bytes(uid) for uid in uids], has_uid

    def _told_apart(self, identities: list[bytes], instants: list[int], digests: list[bytes]) -> list[bytes]:
        """Identities that differ where lines are equal."""
        earlier = self._count_earlier(identities)
        if not any(earlier):
            return identities
        lines = zip(identities, instants, digests, earlier, strict=True)
        return [
            content_identity(instant, digest, ordinal) if ordinal else identity
            for identity, instant, digest, ordinal in lines
        ]


def _decode(raw: Sequence[bytes]) -> Sequence[Any]:
    """The lines that are usual as far as the decoder can tell, and None for the others."""
    data = b"".join(raw)
    # Looking for one byte is much faster.
    if b"\\" not in data or _NUL not in data:
        # Usually all lines have the fields of the first one: a structure of these takes half the time.
        for decode_lines in (_line_decoder(_fields_of(raw[0])), _line_decoder(_NAMES)) if raw else ():
            with suppress(msgspec.MsgspecError):
                lines: Sequence[Any] = decode_lines(data)
                # A value that goes over the end of a line, and a blank line, give fewer.
                if len(lines) == len(raw):
                    return lines
    return list(map(_decode_alone, raw))


def _fields_of(line: bytes) -> tuple[str, ...]:
    """The fields of a line, and those that every line has; all fields if it is no object."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _NAMES
    return tuple(name for name in _NAMES if name in found or name in _REQUIRED) if isinstance(found, dict) else _NAMES


@lru_cache(maxsize=100)
def _line_decoder(names: tuple[str, ...]) -> Callable[[bytes], list[Any]]:
    """Decodes lines of these fields."""
    fields = [field for field in msgspec.structs.fields(_Line) if field.name in names]
    line = msgspec.defstruct(
        "_LineOf",
        [(field.name, field.type) if field.required else (field.name, field.type, None) for field in fields],
        kw_only=True, forbid_unknown_fields=True, gc=False,
    )  # fmt: skip
    return msgspec.json.Decoder(line).decode_lines


def _decode_alone(data: bytes) -> _Line | None:
    if _NUL in data:
        return None
    try:
        return _decode_one(data)
    except msgspec.MsgspecError:
        return None


def _totals(values: _Values, size: int) -> list[int]:
    """All tokens of each line."""
    sums = [0] * size
    for name in STEP_TOKENS:
        if name in values:
            column = values[name]
            sums = list(map(add, sums, [value or 0 for value in column] if None in column else column))
    return sums


def _scaled(column: Sequence[Any], factor: int) -> list[int | None]:
    """Numbers times a factor, rounded half to even; None stays None."""
    if None in column:
        return [None if value is None else round(value * factor) for value in column]
    return [round(value * factor) for value in column]


def _contents(values: _Values) -> list[bytes]:
    """What the uid of each line is a hash of (see `codec.content_digest`)."""
    content = _content_type(tuple(name for name in _NAMES if name in values))
    encoded = _encode_lines(list(map(content, *(values[name] for name in content.__struct_fields__))))
    return encoded.split(b"\n")[:-1]


@lru_cache(maxsize=100)
def _content_type(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """Has these fields, and leaves out those that are None when it is encoded."""
    return msgspec.defstruct("_Content", [(name, Any, None) for name in names], omit_defaults=True, gc=False)
