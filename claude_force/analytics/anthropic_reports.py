"""What Anthropic's Admin API says of an organization by day (UTC): its usage report and its cost report.

Both answer in pages of at most 31 days. The cost report gives cents as decimal text, and has no costs of the Priority
Tier. An answer of another shape is an error, never a cost of 0. The key is in no message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from claude_force.clock import DAY_US, parse_instant, to_datetime
from claude_force.errors import ReportUnavailable, SettingsError
from claude_force.formatting import quantity
from claude_force.network.connection import Patience
from claude_force.network.http import Answer, Request, exchange
from claude_force.network.redaction import Secret
from claude_force.settings.claude_json import Settings
from claude_force.settings.fields import Fields, Problems
from claude_force.settings.home import SECTION

URL = "https://api.anthropic.com"
COSTS, USAGE = "/v1/organizations/cost_report", "/v1/organizations/usage_report/messages"

_KEY, _URL_KEY = "admin_api_key", "admin_api_url"
_KNOWN = {_KEY: "ANTHROPIC_ADMIN_KEY", _URL_KEY: None}
_PATIENCE = Patience(step_s=20.0, overall_s=60.0)
_ANSWER_LIMIT = 16 * 1024 * 1024
_DAYS_AT_ONCE = 31
_PAGES = 500
"""No more pages are asked for: that would be forty years."""

_NANOUSD_PER_CENT = 10_000_000
_REMEDIES = {
    HTTPStatus.UNAUTHORIZED: f"does not know the key of {SECTION}.{_KEY}; an Admin API key begins with sk-ant-admin",
    HTTPStatus.FORBIDDEN: "does not let this key read reports; an admin of the organization makes one that may",
    HTTPStatus.NOT_FOUND: f"has no such report; see {SECTION}.{_URL_KEY}",
}


class Billed(NamedTuple):
    """One day of the organization. The cost is None if the cost report has not this day, the tokens if the usage report
    has it not."""

    cost_nanousd: int | None = None
    tokens: int | None = None
    web_searches: int | None = None

    def plus(self, other: Billed) -> Billed:
        """Both together; what one of them does not know is that of the other."""
        return Billed(
            *(mine if others is None else others + (mine or 0) for mine, others in zip(self, other, strict=True))
        )


Bucket = Callable[[list[dict[str, Any]]], Billed]
"""Reads the results of one day of a report."""


@dataclass(frozen=True, slots=True)
class AdminApi:
    """Where the reports are, and the key for them."""

    url: str
    key: Secret


def admin_api(settings: Settings, environment: Mapping[str, str], folder: Path) -> AdminApi | None:
    """The Admin API of the settings; None without a key. A relative file of a key is relative to `folder`. Raises
    SettingsError if the key cannot be read, or is in claude.json itself."""
    fields = _fields(settings, environment, folder)
    if not fields.has(_KEY):
        return None
    found = AdminApi(_url(fields), fields.secret(_KEY))
    if fields.problems:
        raise SettingsError("; ".join(f"{SECTION}: {problem}" for problem in fields.problems))
    return found


def key_problems(settings: Settings, environment: Mapping[str, str], folder: Path) -> Problems:
    """What is wrong with the key in claude.json, whatever variables are set."""
    fields = _fields(settings, environment, folder)
    _url(fields)
    if fields.has(_KEY):
        fields.secret(_KEY)
    return fields.lasting()


def _fields(settings: Settings, environment: Mapping[str, str], folder: Path) -> Fields:
    given = {
        _KEY: settings.admin_api_key,
        f"{_KEY}_file": settings.admin_api_key_file,
        _URL_KEY: settings.admin_api_url,
    }
    stated = {name: value for name, value in given.items() if value is not None}
    return Fields(SECTION, stated, _KNOWN, environment, folder)


def _url(fields: Fields) -> str:
    url = fields.text(_URL_KEY, URL).rstrip("/")
    fields.check_url(_URL_KEY, url, is_private=True)
    return url


def billed_days(api: AdminApi, start_us: int, end_us: int) -> dict[int, Billed]:
    """What is billed for each day (UTC) from one midnight to another, by the first instant of the day. Raises
    ReportUnavailable."""
    found: dict[int, Billed] = {}
    for path, read in ((COSTS, _costs), (USAGE, _usage)):
        for bucket in _buckets(api, path, start_us, end_us):
            day_us, billed = _day(bucket, path, read)
            found[day_us] = found.get(day_us, Billed()).plus(billed)
    return found


def _buckets(api: AdminApi, path: str, start_us: int, end_us: int) -> Iterator[Any]:
    """The days of all pages of a report."""
    asked = {"starting_at": _instant(start_us), "ending_at": _instant(end_us), "bucket_width": "1d"}
    page: str | None = None
    for _ in range(_PAGES):
        query = urlencode({**asked, "limit": _DAYS_AT_ONCE, **({"page": page} if page else {})})
        found = _ask(api, f"{api.url}{path}?{query}", path)
        yield from found["data"]
        if not found["has_more"]:
            return
        following = found.get("next_page")
        if not isinstance(following, str) or following == page:
            raise _strange(path)
        page = following
    raise _strange(path)


def _instant(at_us: int) -> str:
    return to_datetime(at_us, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ask(api: AdminApi, url: str, path: str) -> dict[str, Any]:
    headers = {"x-api-key": api.key.reveal(), "anthropic-version": "2023-06-01"}
    request = Request("GET", Secret(url), headers=headers, secrets=(api.key,), is_public=True)
    answer = exchange(request, _PATIENCE, _ANSWER_LIMIT)
    if answer.outcome.status != "delivered":
        raise ReportUnavailable(_refusal(request.host, answer))
    found = answer.json()
    if not isinstance(found, dict) or not isinstance(found.get("data"), list) or "has_more" not in found:
        raise _strange(path)
    return found


def _refusal(host: str, answer: Answer) -> str:
    """Why there is no report, with a remedy where there is one."""
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        wait_s = answer.outcome.retry_after_s
        again = "later" if wait_s is None else f"in {quantity(round(wait_s), 'second')}"
        return f"{host} was asked too often ({answer.status}); ask again {again}"
    for status, remedy in _REMEDIES.items():
        if answer.status == status:
            return f"{host} {remedy} (it answered {status.value})"
    return answer.outcome.problem or f"{host} gave no report"


def _strange(path: str) -> ReportUnavailable:
    return ReportUnavailable(f"the answer to {path} is not what Anthropic documents; is there a newer claude-force?")


def _day(bucket: Any, path: str, read: Bucket) -> tuple[int, Billed]:
    """A day of a report, by its first instant, and what is billed for it."""
    try:
        at_us = parse_instant(bucket["starting_at"], UTC)
        billed = read(bucket["results"])
    except (TypeError, ValueError, KeyError, AttributeError, InvalidOperation):
        raise _strange(path) from None
    return at_us // DAY_US * DAY_US, billed


def _costs(results: list[dict[str, Any]]) -> Billed:
    total = Decimal(0)
    for item in results:
        if item["currency"] != "USD":
            raise ValueError("a currency of which the rate is not known")
        total += Decimal(str(item["amount"]))
    return Billed(cost_nanousd=int((total * _NANOUSD_PER_CENT).quantize(Decimal(1), ROUND_HALF_EVEN)))


def _usage(results: list[dict[str, Any]]) -> Billed:
    tokens = searches = 0
    for item in results:
        written = item.get("cache_creation") or {}
        tokens += item["uncached_input_tokens"] + item["output_tokens"] + item["cache_read_input_tokens"]
        tokens += sum(written.values())
        searches += (item.get("server_tool_use") or {}).get("web_search_requests") or 0
    return Billed(tokens=tokens, web_searches=searches)
