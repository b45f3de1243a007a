"""Wraps the method of the Anthropic SDK through which all of its requests go, as soon as the SDK is imported.

`SyncAPIClient.request` and its asynchronous twin are called once for each call, with all of its retries inside: by
`create`, `stream`, `parse`, `beta`, raw and streaming responses, the tool runner, and the clients of other sellers. It
has been so since version 0.40.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

OLDEST = (0, 40)
"""The oldest version of the SDK whose calls are recorded."""

_CLIENTS = "anthropic._base_client"
_WRAPPED = "_claude_force"


class Ending(Protocol):
    """A call that has begun. Neither method raises."""

    def returned(self, result: Any) -> None:
        """Take what the SDK returned; of a stream it is not the end yet."""

    def failed(self, error: BaseException) -> None:
        """Take what the SDK raised."""


Begin = Callable[[Any, Any], Ending | None]
"""Begins the call of a client with its options; None if it is not recorded. Must not raise."""


def wrap_sdk() -> None:
    """Wrap the SDK: now if it is imported, otherwise when it is. Wrapping it again changes nothing."""
    if _CLIENTS in sys.modules:
        _wrap_clients(sys.modules[_CLIENTS])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds the module of the clients as all others do, and wraps them when it has been executed."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _CLIENTS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            vars(spec.loader)["exec_module"] = _and_wrap(spec.loader.exec_module)
        return spec


def _and_wrap(execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def execute_and_wrap(module: ModuleType) -> None:
        execute(module)
        # A zip file has one loader for all of its modules.
        if module.__name__ == _CLIENTS:
            _wrap_clients(module)

    return execute_and_wrap


def _wrap_clients(module: ModuleType) -> None:
    """Wrap both kinds of clients. A version that is too old, or is not as we know it, is warned about."""
    try:
        # Imported here: most programs never import the SDK.
        from claude_force.anthropic_sdk.recording import begin

        version = importlib.import_module("anthropic._version").__version__
        plain, waiting = module.SyncAPIClient, module.AsyncAPIClient
        if _is_too_old(version):
            _warn(f"calls of anthropic {version} are not recorded: pip install 'anthropic>={OLDEST[0]}.{OLDEST[1]}'")
        elif not hasattr(plain.request, _WRAPPED):
            plain.request, waiting.request = _plain(plain.request, begin), _waiting(waiting.request, begin)
    except Exception as error:  # the program must go on, whatever a new version is like
        _warn(f"calls of this version of anthropic are not recorded: {error}; a newer claude-force may know it")


def _is_too_old(version: str) -> bool:
    numbers = version.split(".")[:2]
    return all(map(str.isdigit, numbers)) and tuple(map(int, numbers)) < OLDEST


def _warn(message: str) -> None:
    # A program that makes errors of warnings goes on as well.
    with suppress(RuntimeWarning):
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _plain(original: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(self: Any, cast_to: Any, options: Any, *arguments: Any, **keywords: Any) -> Any:
        call = begin(self, options)
        if call is None:
            return original(self, cast_to, options, *arguments, **keywords)
        try:
            result = original(self, cast_to, options, *arguments, **keywords)
        except BaseException as error:
            call.failed(error)
            raise
        call.returned(result)
        return result

    vars(request)[_WRAPPED] = True
    return request


def _waiting(original: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(self: Any, cast_to: Any, options: Any, *arguments: Any, **keywords: Any) -> Any:
        call = begin(self, options)
        if call is None:
            return await original(self, cast_to, options, *arguments, **keywords)
        try:
            result = await original(self, cast_to, options, *arguments, **keywords)
        except BaseException as error:
            call.failed(error)
            raise
        call.returned(result)
        return result

    return request
