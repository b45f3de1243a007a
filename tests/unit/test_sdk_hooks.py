"""The wrapping of the Anthropic SDK: once, whichever version it is, and never in the way."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from claude_force.anthropic_sdk import hooks
from claude_force.anthropic_sdk.recording import CALLS_VARIABLE, Recording
from claude_force.anthropic_sdk.streams import Body
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate

FIELDS = {
    "at_us": 1_795_960_000_000_000,
    "model": "claude-sonnet-4-6",
    "usage": {"input_tokens": 1, "output_tokens": 2},
}


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the clients, of a version of the SDK that a test may change."""
    version, module = ModuleType("anthropic._version"), ModuleType(hooks._CLIENTS)
    vars(version)["__version__"] = "2.14.0"
    vars(module).update({name: type(name, (), {"request": request}) for name in ("SyncAPIClient", "AsyncAPIClient")})
    monkeypatch.setitem(sys.modules, "anthropic._version", version)
    monkeypatch.setitem(sys.modules, hooks._CLIENTS, module)
    return module


def request(self: object, cast_to: object, options: object) -> str:
    """What the SDK does."""
    return "answer"


def test_wrapping_twice_is_wrapping_once(clients: ModuleType) -> None:
    """So `instrument()` may be called under `claude-force run`."""
    hooks.wrap_sdk()
    once = clients.SyncAPIClient.request
    hooks.wrap_sdk()
    assert clients.SyncAPIClient.request is once is not request
    assert once.__wrapped__ is request


@pytest.mark.parametrize(("version", "word"), [("0.39.0", "pip install 'anthropic>=0.40'"), ("2.15.0", "newer")])
def test_a_version_that_cannot_be_recorded_is_named(version: str, word: str, clients: ModuleType) -> None:
    """One that is too old with what to install, and one that is not as we know it."""
    vars(sys.modules["anthropic._version"])["__version__"] = version
    if version != "0.39.0":
        del clients.AsyncAPIClient
    with pytest.warns(RuntimeWarning, match=word):
        hooks.wrap_sdk()
    assert clients.SyncAPIClient.request is request
    with warnings.catch_warnings(action="error"):
        hooks.wrap_sdk()


def test_a_loader_of_many_modules_wraps_one_of_them(clients: ModuleType) -> None:
    """As that of a zip file, which goes on with the modules that the clients import."""
    load = hooks._and_wrap(lambda _: None)
    with warnings.catch_warnings(record=True, action="always") as warned:
        load(ModuleType("anthropic._models"))
    assert not warned
    assert clients.SyncAPIClient.request is request
    load(clients)
    assert clients.SyncAPIClient.request is not request


def test_a_call_that_cannot_be_understood_is_a_call_all_the_same(clients: ModuleType) -> None:
    """The program gets its answer."""
    hooks.wrap_sdk()
    assert clients.SyncAPIClient().request(None, object()) == "answer"
    assert clients.SyncAPIClient().request(cast_to=None, options=None) == "answer"


@pytest.fixture
def recorded(home: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    """A recording of this process, which stores when it is told to."""
    monkeypatch.setenv(CALLS_VARIABLE, str(home / "calls"))
    return Recording(str(home / "metrics.db"))


def number_stored(home: Path) -> int:
    """How many executions are stored."""
    database = open_database(str(home / "metrics.db"))
    try:
        return len(list(iterate(database, Filter())))
    finally:
        database.close()


def test_what_was_kept_is_stored_once(recorded: Recording, home: Path) -> None:
    """However often."""
    recorded.keep_results([{**FIELDS, "response_id": "a"}])
    recorded.store()
    recorded.store()
    assert number_stored(home) == 1


def test_what_is_in_memory_is_stored_too(recorded: Recording, home: Path) -> None:
    """As on a full disk, if the database is elsewhere."""
    (home / "calls").write_text("no folder")
    recorded.keep_results([{**FIELDS, "response_id": "a"}, {**FIELDS, "response_id": "b"}])
    recorded.store()
    assert number_stored(home) == 2


def test_a_stream_of_amazon_is_read() -> None:
    """Its events are in frames of another kind, each packed as base64, and may come in any pieces."""
    body = Body(_response("application/vnd.amazon.eventstream"))
    frames = b"".join(b'\x00\x01{"bytes":"' + event + b'","p":"x"}\x02' for event in _AMAZON)
    for start in range(0, len(frames), 7):
        body.feed(frames[start : start + 7])
    fields = body.fields(0)
    assert fields["usage"] == {"input_tokens": 3, "output_tokens": 9}
    assert (fields["stop_reason"], fields["provisional"]) == ("end_turn", None)


_AMAZON = (
    b"eyJ0eXBlIjoibWVzc2FnZV9zdGFydCIsIm1lc3NhZ2UiOnsiaWQiOiJtIiwidXNhZ2UiOnsiaW5wdXRfdG9rZW5zIjozLCJvdXRwdXRfdG9rZW5zIjoxfX19",
    b"eyJ0eXBlIjoibWVzc2FnZV9kZWx0YSIsImRlbHRhIjp7InN0b3BfcmVhc29uIjoiZW5kX3R1cm4ifSwidXNhZ2UiOnsib3V0cHV0X3Rva2VucyI6OX19",
)


def _response(content_type: str) -> Any:
    found = ModuleType("response")
    vars(found).update(headers={"content-type": content_type}, is_closed=False)
    return found
