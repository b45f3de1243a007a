"""Where results go: standard output, or a file that appears only once it is complete."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from claude_force.errors import OutputError
from claude_force.files import replacing
from claude_force.text import for_json, for_terminal, join_commands, part_commands


def is_unicode(file: TextIO) -> bool:
    """Whether the file can encode every character."""
    return (file.encoding or "utf-8").lower().replace("-", "").startswith("utf")


def fitted(line: str, file: TextIO | None) -> str:
    """The line with breaks between words where a terminal would break within one, and not within a command. Elsewhere
    it is whole, and so is a line that begins with a space: a command or a value to copy."""
    if line.startswith(" ") or file is None or not file.isatty():
        return line
    from shutil import get_terminal_size
    from textwrap import fill

    width = get_terminal_size().columns
    if len(line) <= width:
        return line
    return part_commands(fill(join_commands(line, width), width, break_long_words=False, break_on_hyphens=False))


def write_lines(lines: Iterable[str], file: TextIO) -> None:
    """Write lines, safe for a terminal and fitted to it."""
    file.writelines(f"{fitted(for_terminal(line), file)}\n" for line in lines)


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
