"""Where results go: standard output, or a file that appears only once it is complete."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from claude_force.errors import OutputError
from claude_force.files import replacing
from claude_force.text import for_json


def is_unicode(file: TextIO) -> bool:
    """Whether the file can encode every character."""
    return (file.encoding or "utf-8").lower().replace("-", "").startswith("utf")


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Standard output if `path` is None, else a file that appears once it is complete. Raises OutputError."""
    if path is None:
        if sys.stdout is None:
            raise OutputError("the standard output is closed")
        yield sys.stdout
        sys.stdout.flush()
        return
    if path.exists() and not path.is_file():
        # A pipe or a device cannot be replaced, such as /dev/stdout.
        with _explained(path), path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    with (
        _explained(path),
        replacing(path, 0o666 & ~_umask()) as descriptor,
        open(descriptor, "w", encoding="utf-8", newline="", closefd=False) as file,
    ):
        yield file


def _umask() -> int:
    """The umask. The system offers no way to read it without setting it."""
    found = os.umask(0o077)
    os.umask(found)
    return found


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except io.UnsupportedOperation as error:
        raise OutputError(f"{path}: {error}") from error
    except OSError as error:
        if not path.parent.is_dir():
            raise OutputError(f"{path}: the folder {path.parent} does not exist; mkdir -p {path.parent}") from None
        raise OutputError(f"{path}: {error.strerror}") from None


def write_json(value: Mapping[str, Any], file: TextIO) -> None:
    """Write a result as indented JSON, with control characters escaped."""
    file.write(for_json(json.dumps(value, indent=2, ensure_ascii=not is_unicode(file), allow_nan=False)) + "\n")
