"""Uids that are made from content, so that what is read again has the uid that it had.

Each begins with the instant in milliseconds, as every uid does: see `record`.
"""

from __future__ import annotations

from collections.abc import Iterable

from claude_force.executions.record import identity_text, make_identity


def content_uid(timestamp_us: int, digest: bytes, ordinal: int) -> str:
    """The UUID, version 8, of a line without a uid: the instant in milliseconds, then 74 bits of a hash of its content
    and of its ordinal among the equal lines of its file. The same file always gives the same uids."""
    return identity_text(content_identity(timestamp_us, digest, ordinal))


def content_identity(timestamp_us: int, digest: bytes, ordinal: int) -> bytes:
    """`content_uid` as sixteen bytes."""
    import hashlib

    mixed = hashlib.blake2b(digest + ordinal.to_bytes(8), digest_size=10).digest()
    return make_identity(timestamp_us, 8, int.from_bytes(mixed))


def content_identities(instants_us: Iterable[int], digests: Iterable[bytes]) -> list[bytes]:
    """`content_identity` with the ordinal 0, for many lines."""
    from hashlib import blake2b

    number, nothing, low_bits = int.from_bytes, bytes(8), (1 << 62) - 1
    # In one expression: a call for each line would take longer than the hash.
    return [
        (
            (
                instant // 1000 << 16
                | 8 << 12
                | (noise := number(blake2b(digest + nothing, digest_size=10).digest())) >> 68
            )
            << 64
            | 0b10 << 62
            | noise & low_bits
        ).to_bytes(16)
        for instant, digest in zip(instants_us, digests, strict=True)
    ]
