"""Which lines of a transcript are one response, and by which identities a response is found again.

| identity     | of                        | made of                                                            |
|--------------|---------------------------|--------------------------------------------------------------------|
| request      | a request id              | message id and request id                                          |
| moment       | a line without request id | message id, instant and prompt tokens                              |
| side         | a message of a session    | session, side, message id, and a hash of the first line's content  |
| side prompt  | a message of a session    | session, side, message id and prompt tokens, if these are not 0    |
| request id   | a request id              | the request id alone; telemetry knows no more of a response        |
| session      | a session                 | the session; results of `claude -p` have it, too                   |

A request, or a moment of one of its lines, is enough to recognise a response: copies of a transcript keep both. A
gateway may repeat a message id, but not together with instant and tokens.

When Claude Code replays the main conversation in a sub-agent's transcript, only the message id, and the content or the
prompt, are the same. So each response also has identities for its side (main or sub-agent). They count only while a
single response of that side has them. The request id alone counts only while a single message has it. Telemetry will
join by it; transcripts do not.

All identities are sixteen bytes and are stored, so they must never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar

import msgspec

from claude_force.clock import MINUTE_US
from claude_force.ingest.transcripts.entries import Message, Usage
from claude_force.ingest.transcripts.reported_usage import prompt_tokens

LONGEST_GAP_US = 5 * MINUTE_US
"""Lines of one response without a request id are closer together than this; 219 s was the most in 24,782 real ones."""

MAX_TOKENS = "max_tokens"
"""The stop reason of a response that was cut off. Claude Code asks again with the same prompt."""

REMEMBERED = 16
"""How many of the latest things of a kind are kept between two passes."""

_LONGEST_ID = 64

K = TypeVar("K")
V = TypeVar("V")


def digest(*parts: object) -> bytes:
    """Sixteen bytes that identify some values."""
    return blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def request_identity(message_id: str | None, request_id: str) -> bytes:
    """The identity of a response with a request id."""
    return digest("request", message_id, request_id)


def moment_identity(message_id: str | None, instant: int, prompt: int) -> bytes:
    """The identity of a line without a request id. The first one's is that of its response."""
    return digest("moment", message_id, instant, prompt)


def request_id_identity(request_id: str) -> bytes:
    """The identity of a request id alone. Gateways may repeat one, so it identifies a response only while no other
    message has it.

    It begins with what follows "req_": in ids of the Claude API that is the time, to some seconds. What comes together
    is stored together, so few pages change."""
    text = request_id.encode("utf-8", "backslashreplace")
    return text[4:12].ljust(8, b"\0") + blake2b(b"request-id\0" + text, digest_size=8).digest()


@lru_cache(maxsize=4096)
def session_key(session_id: str | None) -> bytes | None:
    """The key of a session, by which its transcript and its results find each other; None without a session."""
    return digest("session", session_id) if session_id else None


def side_identities(
    session_id: str | None, message_id: str, content: bytes, prompt: int, *, is_sidechain: bool
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The identities of a response on its own side of its session, and on the other; none without a session or a
    message id. `content` is a hash of its first line's content, `prompt` the tokens of its prompt, 0 if they are not
    known."""
    session = session_key(session_id)
    if session is None or not message_id:
        return (), ()
    own, other = _sides(f"('side', {session_id!r}, {message_id!r}, {content!r}, ", is_sidechain)
    if not prompt:
        return (own,), (other,)
    # The hash of the session comes first: what is stored together lies together, so few pages change.
    by_prompt = blake2b(f"{message_id}\0{prompt}".encode("utf-8", "backslashreplace"), digest_size=9).digest()
    main, side = session[:6] + by_prompt + b"\0", session[:6] + by_prompt + b"\1"
    return ((own, side), (other, main)) if is_sidechain else ((own, main), (other, side))


def _sides(beginning: str, is_sidechain: bool) -> tuple[bytes, bytes]:
    """`digest` of values whose text begins so, and that end in the side: the own one, and the other one."""
    head = blake2b(beginning.encode("utf-8", "backslashreplace"), digest_size=16)
    main = head.copy()
    main.update(b"False)")
    head.update(b"True)")
    return (head.digest(), main.digest()) if is_sidechain else (main.digest(), head.digest())


class LatestResponse(msgspec.Struct):
    """The latest response of one agent in a file, if it has no request id. It is stored with the state of a reader, so
    these names never change.

    `prompt_tokens` are None where version 2.2 stored it; then `message_id` is a hash of both. `content` is a hash of
    its first line's content (None: not known), `cut_output` its output tokens if it ended with `max_tokens`.
    `has_results` says that results of tools followed.
    """

    identity: bytes
    message_id: str
    prompt_tokens: int | None
    last_us: int
    content: bytes | None = None
    cut_output: int | None = None
    has_results: bool = False

    def goes_on_with(self, message: Message, instant: int) -> bool:
        """Whether a line of the same agent is a further line of this response. Its prompt is the same, but a gateway
        may say 0 until it knows the usage. A response has no less output than it was cut off with, and never repeats
        its first block after the result of a tool."""
        usage = message.usage or Usage()
        if abs(instant - self.last_us) >= LONGEST_GAP_US or not self._has_prompt(message.id, prompt_tokens(usage)):
            return False
        if self.cut_output is not None and (usage.output_tokens or 0) < self.cut_output:
            return False
        return not self.has_results or self.content != digest(bytes(message.content))

    def _has_prompt(self, message_id: str | None, prompt: int) -> bool:
        if not message_id:
            return False
        if self.prompt_tokens is None:
            return self.message_id in (digest(message_id, prompt).hex(), digest(message_id, 0).hex())
        is_known_later = not self.prompt_tokens or not (prompt or self.has_results)
        return self.message_id == _short(message_id) and (prompt == self.prompt_tokens or is_known_later)

    def add_line(self, message: Message, instant: int) -> None:
        """Update it from its next line."""
        usage = message.usage or Usage()
        self.message_id = _short(message.id or "")
        self.prompt_tokens = prompt_tokens(usage) or self.prompt_tokens or 0
        self.last_us = max(self.last_us, instant)
        if message.stop_reason == MAX_TOKENS:
            self.cut_output = max(self.cut_output or 0, usage.output_tokens or 0)


@dataclass(slots=True)
class LatestResponses:
    """The latest response without a request id of each agent in a file, by the index of its run."""

    by_run: dict[int, LatestResponse] = field(default_factory=dict)
    _moments: dict[bytes, bytes] = field(default_factory=dict)

    def match(self, message_id: str | None, message: Message, instant: int, run: int) -> tuple[bytes, bytes]:
        """The identity of the response that a line belongs to, and that of the line: a response that has this line
        already (the file has a copy of itself), or the latest one, or a new one."""
        moment = moment_identity(message_id, instant, prompt_tokens(message.usage or Usage()))
        copied, latest = self._moments.get(moment), self.by_run.get(run)
        if copied is not None or latest is None or not latest.goes_on_with(message, instant):
            latest = LatestResponse(copied or moment, "", 0, instant, digest(bytes(message.content)))
        latest.add_line(message, instant)
        remember(self.by_run, run, latest)
        self._moments[moment] = latest.identity
        return latest.identity, moment

    def add_result(self, run: int) -> None:
        """Note the result of a tool of a run."""
        if run in self.by_run:
            self.by_run[run].has_results = True

    def end(self, run: int) -> None:
        """End the latest response of a run."""
        self.by_run.pop(run, None)

    def forget_lines(self) -> None:
        """Forget the lines, but not the latest responses."""
        self._moments.clear()


def latest_of_2_2(
    chains: Sequence[tuple[str, str, str]], entries: Mapping[str, tuple[int, int]], ends: Mapping[bytes, int], run: int
) -> dict[int, LatestResponse]:
    """The latest responses by run, from what version 2.2 stored: `chains` are uuid, identity, and hash of message id
    and prompt tokens of the latest lines; `entries` instant and run of the latest entries by uuid; `ends` when
    responses ended. Lines of which no entry is left are of `run`."""
    found: dict[int, LatestResponse] = {}
    for uuid, identity_hex, prompt in chains:
        identity = bytes.fromhex(identity_hex)
        instant, run_of_line = entries.get(uuid, (ends.get(identity), run))
        if instant is not None:
            found[run_of_line] = LatestResponse(identity, prompt, None, instant)
    return found


def remember(known: dict[K, V], key: K, value: V) -> None:
    """Put an item last; drop the first one when there are more than REMEMBERED."""
    known.pop(key, None)
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]


def _short(message_id: str) -> str:
    """A message id, or a hash of a long one: what is remembered fits on a page."""
    return message_id if len(message_id) <= _LONGEST_ID else digest(message_id).hex()
