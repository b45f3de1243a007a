"""Why claude-force and ccusage count the same transcripts differently, and how to remove each reason from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

Entry = dict[str, Any]
Change = Callable[[bytes, Entry], bool]
"""Removes an oddity from the entry of a line. Whether there was one."""


@dataclass(frozen=True, slots=True)
class Reason:
    """An oddity in transcripts that the programs treat differently. `begin` makes the change that removes it from a
    file; `is_damage` says that it is damaged lines."""

    name: str
    explanation: str
    begin: Callable[[], Change]
    is_damage: bool = False


def _message(entry: Entry) -> Entry:
    message = entry.get("message")
    return message if isinstance(message, dict) else {}


def _usage(entry: Entry) -> Entry:
    usage = _message(entry).get("usage")
    return usage if isinstance(usage, dict) else {}


def _without_result(_: bytes, entry: Entry) -> bool:
    result = entry.get("toolUseResult")
    if not isinstance(result, dict) or "agentId" not in result:
        return False
    return (result.pop("usage", None), result.pop("totalTokens", None)) != (None, None)


def _without_null(_: bytes, entry: Entry) -> bool:
    owners = ((entry, ("cwd", "costUSD", "version", "sessionId", "isApiErrorMessage")), (_usage(entry), ("speed",)))
    nulls = [(owner, name) for owner, names in owners for name in names if owner.get(name, "") is None]
    for owner, name in nulls:
        del owner[name]
    return bool(nulls)


def _with_usual_version(_: bytes, entry: Entry) -> bool:
    version = entry.get("version")
    if not isinstance(version, str) or version.count(".") == 2:
        return False
    entry["version"] = "2.1.301"
    return True


def _with_milliseconds(_: bytes, entry: Entry) -> bool:
    head, point, fraction = str(entry.get("timestamp", "")).partition(".")
    digits = fraction.rstrip("Z")
    if not point or len(digits) == 3 or not digits.isdigit():
        return False
    entry["timestamp"] = f"{head}.{digits[:3]:0<3}Z"
    return True


def _at_usual_speed(_: bytes, entry: Entry) -> bool:
    if _usage(entry).get("speed") != "fast":
        return False
    _usage(entry)["speed"] = "standard"
    return True


def _with_one_step(_: bytes, entry: Entry) -> bool:
    usage = _usage(entry)
    steps = usage.get("iterations")
    if not isinstance(steps, list) or not any(_is_billed_beside(step) for step in steps):
        return False
    usage["iterations"] = [step for step in steps if step.get("type") == "advisor_message"]
    if usage["iterations"]:
        usage["iterations"].insert(0, {"type": "message", **{name: usage[name] for name in _COUNTED if name in usage}})
    return True


def _is_billed_beside(step: Entry) -> bool:
    kind = step.get("type", "message")
    return kind not in ("message", "advisor_message") or (kind == "message" and "model" in step)


def _in_the_standard_tier(_: bytes, entry: Entry) -> bool:
    tier: object = _usage(entry).pop("service_tier", None)
    return tier not in (None, "", "standard", "default")


def _at_no_place(_: bytes, entry: Entry) -> bool:
    place: object = _usage(entry).pop("inference_geo", None)
    return place == "us"


def _not_refused(_: bytes, entry: Entry) -> bool:
    if _message(entry).get("stop_reason") != "refusal":
        return False
    _message(entry)["stop_reason"] = "end_turn"
    return True


def _without_searches(_: bytes, entry: Entry) -> bool:
    used = _usage(entry).pop("server_tool_use", None)
    return isinstance(used, dict) and bool(used.get("web_search_requests"))


def _of_the_claude_api(_: bytes, entry: Entry) -> bool:
    message_id = str(_message(entry).get("id", ""))
    if not message_id.startswith(("msg_bdrk_", "msg_vrtx_")):
        return False
    _message(entry)["id"] = f"msg_{message_id[9:]}"
    return True


def _with_short_prompt(_: bytes, entry: Entry) -> bool:
    usage = _usage(entry)
    steps = usage.get("iterations")
    # A sum, not any(): each must be shortened.
    return sum(_shorten(counts) for counts in (usage, *(steps if isinstance(steps, list) else []))) > 0


def _shorten(counts: Entry) -> bool:
    prompt = [name for name in _COUNTED if name != "output_tokens" and counts.get(name)]
    if sum(counts[name] for name in prompt) <= _LONG_PROMPT:
        return False
    counts.pop("cache_creation", None)
    counts |= {name: counts[name] // 100 for name in prompt}
    return True


_COUNTED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_LONG_PROMPT = 200_000


def _whole(_line: bytes, _entry: Entry) -> bool:
    # `rewrite` makes lines of what is whole on a damaged one.
    return False


def _with_request_id(_: bytes, entry: Entry) -> bool:
    usage = _usage(entry)
    if not usage or entry.get("requestId"):
        return False
    prompt = [usage.get(name) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    entry["requestId"] = "-".join(map(str, ["req", _message(entry).get("id"), *prompt]))
    return True


def _without_tiers(_: bytes, entry: Entry) -> bool:
    tiers, usage = _usage(entry).get("cache_creation"), _usage(entry)
    if not isinstance(tiers, dict) or sum(tiers.values()) == usage.get("cache_creation_input_tokens"):
        return False
    del usage["cache_creation"]
    return True


def _without_spaces(line: bytes, _: Entry) -> bool:
    # Rewriting the line removes the spaces.
    return is_spaced(line)


def is_spaced(line: bytes) -> bool:
    return b'"usage": ' in line and b'"usage":{' not in line


def _at_its_beginning() -> Change:
    """Move all lines of a response to the day of its first."""
    begun: dict[tuple[Any, Any], str] = {}

    def change(_: bytes, entry: Entry) -> bool:
        message_id, instant = _message(entry).get("id"), entry.get("timestamp")
        if not message_id or not isinstance(instant, str):
            return False
        first = begun.setdefault((message_id, entry.get("requestId")), instant)
        entry["timestamp"] = first if first[:10] != instant[:10] else instant
        return first[:10] != instant[:10]

    return change


SEVERAL = "several of them"
"""The name of a part that only disappears without several reasons at once."""

REASONS = (
    Reason(
        "task-result",
        "The lines of a sub-agent have a placeholder of a few output tokens. The result of its run has the final usage "
        "of its last response: claude-force uses that, ccusage does not.",
        lambda: _without_result,
    ),
    Reason(
        "null-field",
        "ccusage drops a line with null in a text field (`version`, `cwd`, `speed`, ...).",
        lambda: _without_null,
    ),
    Reason(
        "other-version",
        "ccusage drops a line whose `version` is not three numbers.",
        lambda: _with_usual_version,
    ),
    Reason(
        "fraction",
        "ccusage drops a line whose timestamp has a fraction without exactly three digits.",
        lambda: _with_milliseconds,
    ),
    Reason("spaces", 'ccusage only reads lines with `"usage":{`, without a space.', lambda: _without_spaces),
    Reason(
        "fast",
        "ccusage appends `-fast` to the model of a response in fast mode, claude-force does not. A model that nobody "
        "sells in fast mode on that day has no cost in claude-force.",
        lambda: _at_usual_speed,
    ),
    Reason(
        "steps",
        "claude-force bills every step of a response on its own model. ccusage adds the steps of advisors alone: a "
        "compaction and a refused attempt before a fallback are missing.",
        lambda: _with_one_step,
    ),
    Reason(
        "service-tier",
        "claude-force charges half for a batch, and the cost of a tier without a published price is unknown. ccusage "
        "charges the standard price.",
        lambda: _in_the_standard_tier,
    ),
    Reason(
        "residency",
        "claude-force charges a tenth more for data residency in the US since Claude 4.6, ccusage the standard price.",
        lambda: _at_no_place,
    ),
    Reason(
        "refusal",
        "A refusal before any output costs nothing in claude-force, or what is billed is unknown; ccusage charges it.",
        lambda: _not_refused,
    ),
    Reason("searches", "claude-force charges web searches, ccusage does not.", lambda: _without_searches),
    Reason(
        "seller",
        "Bedrock and Vertex AI do not say in which region they sold a response, so its cost is unknown in "
        "claude-force. ccusage charges the price of the Claude API.",
        lambda: _of_the_claude_api,
    ),
    Reason(
        "long-prompt",
        "claude-force charges all tokens of a long prompt at its price on that day. ccusage charges only those above "
        "the limit, for each kind of token alone, and knows no days.",
        lambda: _with_short_prompt,
    ),
    Reason(
        "damaged",
        "claude-force reads the whole records on a damaged line, ccusage drops the line.",
        lambda: _whole,
        is_damage=True,
    ),
    Reason(
        "no-request-id",
        "Without a request id, ccusage counts every line of a response, and its copies in forked sessions again. "
        "claude-force knows them by message id, instant and prompt.",
        lambda: _with_request_id,
    ),
    Reason(
        "tiers",
        "If the tiers of the cache writes add up to less than the given sum, ccusage uses the tiers, claude-force the "
        "sum.",
        lambda: _without_tiers,
    ),
    Reason(
        "midnight",
        "ccusage counts a response across midnight on the day it started, claude-force on the day it ended.",
        _at_its_beginning,
    ),
)


def found_in(folder: Path) -> list[Reason]:
    """The reasons whose oddity occurs in a folder."""
    found: set[str] = set()
    for path in sorted(folder.rglob("*.jsonl")):
        changes = [(reason.name, reason.begin()) for reason in REASONS]
        for line, entry in _entries(path, repair=False):
            if entry is None and len(_whole_lines(line)) > 0:
                found.update(reason.name for reason in REASONS if reason.is_damage)
        # An oddity may stand on a damaged line, too.
        for line, entry in _entries(path, repair=True):
            found.update(name for name, change in changes if entry is not None and change(line, entry))
    return [reason for reason in REASONS if reason.name in found]


def rewrite(source: Path, target: Path, reasons: Sequence[Reason]) -> None:
    """Rewrite a folder without the oddities of these reasons. Files keep their times."""
    repair = any(reason.is_damage for reason in reasons)
    for path in sorted(source.rglob("*")):
        other = target / path.relative_to(source)
        if path.is_dir():
            continue
        other.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".jsonl":
            shutil.copy2(path, other)
            continue
        changes = [reason.begin() for reason in reasons]
        with open(other, "wb") as file:
            for line, entry in _entries(path, repair=repair):
                # A sum, not any(): each change must be applied.
                changed = entry is not None and sum(change(line, entry) for change in changes) > 0
                file.write(
                    _written(entry, spaced=is_spaced(line) and _without_spaces not in changes) if changed else line
                )
        shutil.copystat(path, other)


def _written(entry: Entry | None, *, spaced: bool) -> bytes:
    return json.dumps(entry).encode() + b"\n" if spaced else orjson.dumps(entry) + b"\n"


def _entries(path: Path, *, repair: bool) -> Iterator[tuple[bytes, Entry | None]]:
    """Each line with its entry; None if it is not a JSON object. With `repair`, what is whole on a damaged line is
    lines of their own."""
    with open(path, "rb") as lines:
        for line in lines:
            entry = _entry(line)
            parts = _whole_lines(line) if repair and entry is None else []
            yield from ((part, _entry(part)) for part in parts or [line])


def _entry(line: bytes) -> Entry | None:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) else None


def _whole_lines(line: bytes) -> list[bytes]:
    """The whole entries on a damaged line."""
    text, found, at = line.decode("utf-8", "replace"), [], 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, end = _decode_first(text, at)
        except ValueError:
            at += 1
            continue
        is_entry = "sessionId" in value and "type" in value
        if is_entry:
            found.append(f"{text[at:end]}\n".encode())
        at = end if is_entry else at + 1
    return found


_decode_first = json.JSONDecoder().raw_decode
