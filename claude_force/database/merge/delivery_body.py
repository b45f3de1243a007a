"""The body of a delivery over HTTP: one JSON object.

| field | holds |
|---|---|
| `version` | the version of this format |
| `columns`, `executions` | the names of the columns, and a list of values for each execution |
| `identities` | pairs of an identity and the uid that it stands for |
| `sightings` | what a source saw of an execution: its uid, the source, the columns of `sightings` |
| `tables` | for each further table its `columns` and `rows` |

Columns go by name, so sender and receiver may be of different releases: what the receiver has no column for is left out
and named in its answer, and what the sender does not send is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.database.contract import Row
from claude_force.database.merge.delivered_tables import ROW_TYPES
from claude_force.database.merge.delivery import Delivery, Rejected
from claude_force.database.merge.tables import TABLES
from claude_force.database.queries.sightings import SIGHTING_COLUMNS
from claude_force.errors import BodyTooLarge, InvalidBody, InvalidRecord
from claude_force.executions.record import (
    FIELDS,
    NEVER_NULL,
    PROJECT_LIMIT,
    ExecutionRow,
    check_row,
    column,
    identity_bytes,
    identity_text,
)
from claude_force.executions.sightings import RANKS, Sighting, decode_fields, encode_fields
from claude_force.text import sanitize

VERSION = 1
ROWS_LIMIT = 20_000
"""The most executions of a body: four times what is sent."""

OTHER_ROWS_LIMIT = 200_000
"""The most identities, sightings and rows of other tables, each."""

VALUES_LIMIT = 2_000_000
"""The most lists and values of a body: a value of two bytes may need fifty times as much memory."""

_SUCCESS = column("success")
_DEFAULTS = tuple(0 if name in NEVER_NULL else None for name in FIELDS)
_NUMBER_LIMIT = 10**15
"""Numbers of other tables are smaller, so that no sum of them overflows."""

_SIGNED = ("exit_code", "value")
"""The columns whose numbers may be below zero."""


class Rows(msgspec.Struct):
    """Rows of a table, with the names of its columns."""

    columns: list[str]
    rows: list[list[Any]]


class Body(msgspec.Struct, omit_defaults=True):
    """See the table of this module."""

    version: int
    columns: list[str] = []
    executions: list[list[Any]] = []
    identities: list[tuple[str, str]] = []
    sightings: list[tuple[str, str, int | None, str | None, str | None, int | None, str]] = []
    tables: dict[str, Rows] = {}


class Received(NamedTuple):
    """A delivery that was received, what of it cannot be stored, and the names of the columns and tables that are not
    known here."""

    delivery: Delivery
    rejected: list[Rejected]
    left_out: list[str]


def encode_body(delivery: Delivery) -> bytes:
    """A delivery as a body."""
    rows = {row[0]: row for row in delivery.rows}
    return msgspec.json.encode(
        Body(
            VERSION,
            list(FIELDS),
            [[row[0].hex(), *row[1:]] for row in delivery.rows],
            [(identity.hex(), uid.hex()) for identity, uid in delivery.identities.items()],
            [
                (uid.hex(), source, *(getattr(seen, name) for name in SIGHTING_COLUMNS), encode_fields(seen, rows[uid]))
                for uid, by_source in delivery.sightings.items()
                for source, seen in by_source.items()
            ],
            {
                name: Rows(list(TABLES[name].columns), [list(row) for row in rows_of])
                for name, rows_of in delivery.tables.items()
            },
        )
    )


def decode_body(body: bytes) -> Received:
    """The delivery of a body. Raises InvalidBody if it is none, or of another version, and BodyTooLarge."""
    if body.count(b",") + body.count(b"[") > VALUES_LIMIT:
        raise BodyTooLarge(f"the body has more than {VALUES_LIMIT:,} values: send fewer at once")
    try:
        found = msgspec.json.decode(body, type=Body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidBody(f"the body is no delivery: {sanitize(str(error), 200)}") from None
    if found.version != VERSION:
        raise InvalidBody(f"the body has version {found.version}, known is {VERSION}: upgrade the older claude-force")
    _check_size(found)
    rejected: list[Rejected] = []
    left_out = Counter(sanitize(name, 60) for name in found.columns if name not in FIELDS)
    rows = _rows_of(found, rejected)
    identities = _identities_of(found, rows.keys(), rejected)
    sightings = _sightings_of(found, rows, rejected)
    tables = {name: _checked(name, given, rejected, left_out) for name, given in found.tables.items()}
    known = {name: table for name, table in tables.items() if table}
    return Received(Delivery(list(rows.values()), identities, sightings, known), rejected, sorted(left_out))


def _check_size(body: Body) -> None:
    others = max(len(body.identities), len(body.sightings), *(len(table.rows) for table in body.tables.values()), 0)
    if len(body.executions) > ROWS_LIMIT or others > OTHER_ROWS_LIMIT:
        raise BodyTooLarge(
            f"the body has more than {ROWS_LIMIT:,} executions or {OTHER_ROWS_LIMIT:,} other rows: send fewer at once"
        )
    if len(set(body.columns)) != len(body.columns) or (body.executions and "uid" not in body.columns):
        raise InvalidBody("the columns of the body have no uid, or one of them twice")


def _rows_of(body: Body, rejected: list[Rejected]) -> dict[bytes, ExecutionRow]:
    """The executions that are valid, by uid."""
    places = [body.columns.index(name) if name in body.columns else None for name in FIELDS]
    rows: dict[bytes, ExecutionRow] = {}
    for values in body.executions:
        uid = str(values[body.columns.index("uid")]) if len(values) == len(body.columns) else ""
        try:
            row = _row_of(uid, values, places)
            rows[row[0]] = row
        except (ValueError, TypeError) as error:
            rejected.append(Rejected(_named(uid), sanitize(str(error), 200)))
    return rows


def _row_of(uid: str, values: Sequence[Any], places: Sequence[int | None]) -> ExecutionRow:
    if not uid:
        raise InvalidRecord("columns", "there are more or fewer values than columns")
    _, *rest = (default if place is None else values[place] for place, default in zip(places, _DEFAULTS, strict=True))
    row = (_sixteen_bytes(uid), *rest)
    if type(row[_SUCCESS]) is not int or row[_SUCCESS] not in (0, 1):
        raise InvalidRecord("success", "expected 0 or 1")
    check_row(row)
    return row


def _named(uid: str) -> str:
    try:
        return identity_text(_sixteen_bytes(uid))
    except ValueError:
        return sanitize(uid, 40) or "an execution"


def _sixteen_bytes(text: str) -> bytes:
    found = identity_bytes(text)
    if len(found) != 16:
        raise InvalidRecord("uid", "expected 32 hexadecimal digits")
    return found


def _identities_of(body: Body, uids: Iterable[bytes], rejected: list[Rejected]) -> dict[bytes, bytes]:
    """The identities of executions of the body; others would stand for what it does not bring."""
    known, identities = set(uids), dict[bytes, bytes]()
    for identity, uid in body.identities:
        try:
            found, raw = _sixteen_bytes(identity), _sixteen_bytes(uid)
        except ValueError:
            rejected.append(Rejected("identities", "expected pairs of 32 hexadecimal digits"))
            continue
        if raw in known:
            identities[found] = raw
    return identities


def _sightings_of(
    body: Body, rows: Mapping[bytes, ExecutionRow], rejected: list[Rejected]
) -> dict[bytes, dict[str, Sighting]]:
    found: dict[bytes, dict[str, Sighting]] = {}
    for uid, source, *columns, fields in body.sightings:
        try:
            raw = _sixteen_bytes(uid)
            if raw not in rows:
                continue
            if source not in RANKS:
                raise InvalidRecord("source", "is none of a sighting")
            more = dict(zip(SIGHTING_COLUMNS, columns, strict=True))
            _check_cells(more)
            seen = decode_fields(source, str(fields), rows[raw], **more)
            check_row((raw, *seen.row[1:]))
            found.setdefault(raw, {})[source] = seen
        except (ValueError, TypeError) as error:
            rejected.append(Rejected(f"a sighting of {_named(uid)}", sanitize(str(error), 200)))
    return found


def _checked(name: str, given: Rows, rejected: list[Rejected], left_out: Counter[str]) -> Sequence[Row]:
    """The valid rows of a table."""
    if name not in ROW_TYPES:
        left_out[sanitize(name, 60)] += 1
        return []
    wanted = TABLES[name].columns
    left_out.update(f"{name}.{sanitize(column, 60)}" for column in given.columns if column not in wanted)
    places = [given.columns.index(column) if column in given.columns else None for column in wanted]
    rows: dict[Row, Row] = {}
    for values in given.rows:
        try:
            row = [None if place is None else values[place] for place in places]
            found = tuple(msgspec.convert(row, ROW_TYPES[name]))
            _check_cells(dict(zip(wanted, found, strict=True)))
            rows[found[: TABLES[name].keys]] = found
        except (ValueError, IndexError) as error:
            rejected.append(Rejected(name, sanitize(str(error), 200)))
    return list(rows.values())


def _check_cells(row: Mapping[str, Any]) -> None:
    """Raise InvalidRecord for a value that a database cannot store, or that would break reports of the team."""
    for name, value in row.items():
        if isinstance(value, str) and ("\0" in value or len(value) > PROJECT_LIMIT):
            raise InvalidRecord(name, f"has a NUL character or more than {PROJECT_LIMIT} characters")
        if isinstance(value, int):
            least, end = (EARLIEST_US, LATEST_US) if name.endswith("_us") else (0, _NUMBER_LIMIT)
            if not (-_NUMBER_LIMIT if name in _SIGNED else least) <= value < end:
                raise InvalidRecord(name, "is outside of what can be true")
